//! Requests to servers of this process, with certificates of an authority of its own.

#[path = "../../tests/https/mod.rs"]
mod https;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use conf::config::ConstraintUrl;
use engine::io::{ConstraintAnswer, ConstraintError};
use os::Clock;
use rustls::ServerConfig;
use units::UnixTime;

use self::https::{Authority, Tls, take_request};
use super::{Authorities, Request};

/// What a good server says; the time of it.
const GOOD: &str = "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sun, 15 Jun 2025 12:00:00 GMT\r\n\r\n";
const JUNE_2025: i64 = 1_749_988_800;

/// Longer than any answer takes that comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a server for one connection.
fn listen(act: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || act(listener.accept().unwrap().0));
    address
}

/// Starts a server that acts so once it has been asked.
fn serve(config: Arc<ServerConfig>, act: impl FnOnce(&mut Tls, &str) + Send + 'static) -> SocketAddr {
    listen(move |stream| {
        if let Some((mut stream, asked)) = take_request(stream, config) {
            act(&mut stream, &asked);
        }
    })
}

fn answering(config: Arc<ServerConfig>, header: &str) -> SocketAddr {
    let header = header.to_owned();
    serve(config, move |stream, _| {
        let _ = stream.write_all(header.as_bytes());
        let _ = stream.flush();
    })
}

/// Asks a server by this name for the time, with a clock that says so or is not synchronised.
fn ask(authority: &Authority, address: SocketAddr, host: &str, clock: Option<i64>) -> ConstraintAnswer {
    ask_for(authority, address, host, clock, PATIENCE)
}

fn ask_for(
    authority: &Authority,
    address: SocketAddr,
    host: &str,
    clock: Option<i64>,
    time_out: Duration,
) -> ConstraintAnswer {
    let authorities = Authorities::from_pem(authority.pem.as_bytes()).unwrap();
    let request = Request {
        address,
        url: ConstraintUrl::parse(&format!("https://{host}:{}/now", address.port())).unwrap(),
        true_time: clock.map(UnixTime::from_seconds),
    };
    request.ask(&authorities, &Clock::new(), time_out)
}

#[track_caller]
fn refused(answer: ConstraintAnswer) -> ConstraintError {
    answer.expect_err("the constraint is refused")
}

#[test]
fn the_date_of_an_authentic_answer_is_taken() {
    let authority = Authority::new("known");
    for clock in [None, Some(JUNE_2025)] {
        let before = Clock::new().now();
        let address = answering(authority.certify("localhost", 2020, 2400), GOOD);
        let reply = ask(&authority, address, "localhost", clock).unwrap();
        assert_eq!(reply.date, UnixTime::from_seconds(JUNE_2025));
        assert!(reply.at.mono >= before.mono);
        assert_eq!(reply.remark, None);
    }
}

#[test]
fn only_the_header_is_asked_for_and_nothing_is_followed() {
    let authority = Authority::new("known");
    let (tell, told) = std::sync::mpsc::channel();
    let address = serve(
        authority.certify("localhost", 2020, 2400),
        move |stream, asked| {
            tell.send(asked.to_owned()).unwrap();
            let moved = GOOD.replace(
                "200 OK\r\n",
                "301 Moved\r\nLocation: https://nowhere.invalid/\r\n",
            );
            stream.write_all(moved.as_bytes()).unwrap();
        },
    );
    let reply = ask(&authority, address, "localhost", None).unwrap();
    assert_eq!(reply.date, UnixTime::from_seconds(JUNE_2025));
    let asked = told.recv().unwrap();
    let lines: Vec<&str> = asked.split("\r\n").collect();
    assert_eq!(lines[0], "HEAD /now HTTP/1.1");
    assert!(lines.contains(&format!("Host: localhost:{}", address.port()).as_str()));
    assert!(lines.contains(&"Connection: close"));
}

#[test]
fn a_certificate_is_checked_by_the_clock_only_if_that_is_synchronised() {
    let authority = Authority::new("known");
    // It has expired for this machine, and not at the time that its server tells.
    let address = answering(authority.certify("localhost", 2025, 2026), GOOD);
    let reply = ask(&authority, address, "localhost", None).unwrap();
    let remark = reply.remark.unwrap();
    let begin = "clock too wrong to check the certificate of 127.0.0.1 (localhost): not after 2026-01-01T00:00:00Z, now 20";
    assert!(remark.starts_with(begin), "{remark}");
    let address = answering(authority.certify("localhost", 2025, 2026), GOOD);
    let error = refused(ask(&authority, address, "localhost", Some(1_790_000_000)));
    assert_eq!(
        error.text,
        "tls certificate expired: 127.0.0.1 (localhost): not after 2026-01-01T00:00:00Z, now 2026-09-21T14:13:20Z"
    );
    assert!(error.is_unproven);
    let address = answering(authority.certify("localhost", 2025, 2026), GOOD);
    let error = refused(ask(&authority, address, "localhost", Some(1_000_000_000)));
    assert_eq!(
        error.text,
        "tls certificate not yet valid: 127.0.0.1 (localhost): not before 2025-01-01T00:00:00Z, now 2001-09-09T01:46:40Z"
    );
}

#[test]
fn a_server_cannot_tell_a_time_at_which_its_certificate_is_not_valid() {
    let authority = Authority::new("known");
    for (from, to, text) in [
        (
            2020,
            2021,
            "tls certificate expired: 127.0.0.1 (localhost): not after 2021-01-01T00:00:00Z, now 2025-06-15T12:00:00Z",
        ),
        (
            2026,
            2400,
            "tls certificate not yet valid: 127.0.0.1 (localhost): not before 2026-01-01T00:00:00Z, now 2025-06-15T12:00:00Z",
        ),
    ] {
        let address = answering(authority.certify("localhost", from, to), GOOD);
        let error = refused(ask(&authority, address, "localhost", None));
        assert_eq!((error.text.as_str(), error.is_unproven), (text, true));
    }
}

#[test]
fn who_is_somebody_else_or_certified_by_nobody_known_is_not_believed() {
    let (authority, stranger) = (Authority::new("known"), Authority::new("stranger"));
    for clock in [None, Some(JUNE_2025)] {
        for (certifier, host, reason) in [
            (&authority, "other.example", "not valid for name"),
            (&authority, "127.0.0.1", "not valid for name"),
            (&stranger, "localhost", "UnknownIssuer"),
        ] {
            let address = answering(certifier.certify("localhost", 2020, 2400), GOOD);
            let error = refused(ask(&authority, address, host, clock));
            let begin = format!("tls connect failed: 127.0.0.1 ({host}): invalid peer certificate: ");
            assert!(error.text.starts_with(&begin), "{}", error.text);
            assert!(error.text.contains(reason), "{}", error.text);
            assert!(error.is_unproven);
        }
    }
}

#[test]
fn an_answer_that_does_not_tell_the_time_says_why() {
    let authority = Authority::new("known");
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n{GOOD}", "x".repeat(9000));
    for (header, reason) in [
        ("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", "no date in the header"),
        ("HTTP/1.1 200 OK\r\nDate: now\r\n\r\n", "unsupported date format"),
        (long.as_str(), "maximum length exceeded"),
        ("220 mail.example\r\n", "not an answer of HTTP/1"),
        ("HTTP/1.1 200 OK\r\n", "unexpected end of file"),
    ] {
        let address = answering(authority.certify("localhost", 2020, 2400), header);
        let error = refused(ask(&authority, address, "localhost", None));
        let expected = format!("tls read failed: 127.0.0.1 (localhost): {reason}");
        assert_eq!((error.text, error.is_unproven), (expected, false));
    }
}

#[test]
fn who_takes_too_long_is_not_waited_for() {
    let authority = Authority::new("known");
    let time_out = Duration::from_millis(500);
    let silent = listen(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = refused(ask_for(&authority, silent, "localhost", None, time_out));
    assert_eq!(
        error.text,
        "tls connect failed: 127.0.0.1 (localhost): handshake: timed out"
    );
    // Each byte comes soon after the one before it.
    let slow = serve(authority.certify("localhost", 2020, 2400), |stream, _| {
        for byte in GOOD.as_bytes().iter().cycle() {
            thread::sleep(Duration::from_millis(20));
            if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    });
    let error = refused(ask_for(&authority, slow, "localhost", None, time_out));
    assert_eq!(error.text, "tls read failed: 127.0.0.1 (localhost): timed out");
}

#[test]
fn who_does_not_listen_or_speaks_something_else_is_told_by_its_reason() {
    let authority = Authority::new("known");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let error = refused(ask(&authority, closed, "localhost", None));
    assert_eq!(
        error.text,
        "tls connect failed: 127.0.0.1 (localhost): connect: Connection refused"
    );
    let plain = listen(|mut stream| {
        let _ = stream.write_all(GOOD.as_bytes());
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = refused(ask(&authority, plain, "localhost", None));
    assert!(
        error
            .text
            .starts_with("tls connect failed: 127.0.0.1 (localhost): "),
        "{}",
        error.text
    );
    assert!(!error.is_unproven);
}

#[test]
fn a_file_without_certificates_is_no_authority() {
    assert!(Authorities::from_pem(b"").is_none());
    assert!(
        Authorities::from_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_none()
    );
    let mixed = format!("# a comment\n{}garbage\n", Authority::new("known").pem);
    assert!(Authorities::from_pem(mixed.as_bytes()).is_some());
}
