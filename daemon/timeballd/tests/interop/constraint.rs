//! timeballd asks HTTPS servers for the time before it believes a server that anybody could be.
//!
//! Debian's OpenNTPD is built without TLS, so that nothing can be compared with it: these tests are timeballd's alone.

use std::fs;

use crate::https::{Authority, TimeServer};
use crate::programs::{chronyc, start_chronyd, start_timeballd};
use crate::world::{Host, World, inside};

/// Where the HTTPS server is, on our host.
const HTTPS: &str = "192.0.2.2";

/// The NTP server of the other host.
const SERVER: &str = "192.0.2.11";

/// Starts an NTP server that is right, and an HTTPS server whose clock is ahead by so much. The certificate of its
/// authority is in a file, whose path is returned.
fn set_up(world: &World, ahead_s: i64) -> (TimeServer, String) {
    let authority = Authority::new("known");
    let https = TimeServer::start(
        &format!("{HTTPS}:443"),
        authority.certify(HTTPS, 2020, 2400),
        ahead_s,
    );
    let file = world.write("authority.pem", &authority.pem);
    start_chronyd(world, "local stratum 2\nallow");
    (https, file)
}

fn sources(world: &World) -> String {
    chronyc(world, "timeballd", &["-c", "-n"], "sources")
}

fn wait_for_line(world: &World, line: &str) {
    world.wait_until(line, || {
        let log = world.log("timeballd");
        if log.contains(line) { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_server_is_followed_that_agrees_with_the_constraint() {
    inside(|world| {
        let (https, file) = set_up(world, 0);
        start_timeballd(
            world,
            &format!(
                "server {SERVER} iburst\nport 0\ntimeball.constraint {HTTPS}\ntimeball.constraint-ca {file}"
            ),
        );
        world.wait_until("the server is followed", || {
            let sources = sources(world);
            if sources.contains("^,*,") {
                Ok(())
            } else {
                Err(sources)
            }
        });
        wait_for_line(world, &format!("constraint reply from {HTTPS}: offset "));
        world.wait_until("the constraint is asked again by the synchronised clock", || {
            let answers = https.answers();
            if answers == 2 {
                Ok(())
            } else {
                Err(answers.to_string())
            }
        });
    });
}

#[test]
fn a_server_is_left_alone_that_contradicts_the_constraint() {
    inside(|world| {
        let (_https, file) = set_up(world, 3600);
        start_timeballd(
            world,
            &format!(
                "server {SERVER} iburst\nport 0\ntimeball.constraint {HTTPS}\ntimeball.constraint-ca {file}"
            ),
        );
        wait_for_line(world, &format!("reply from {SERVER}: constraint check failed"));
        assert!(sources(world).contains("^,?,"), "{}", sources(world));
    });
}

#[test]
fn no_server_is_asked_while_the_certificate_is_nobodys() {
    inside(|world| {
        let (https, _) = set_up(world, 0);
        let stranger = world.write("stranger.pem", &Authority::new("stranger").pem);
        start_timeballd(
            world,
            &format!(
                "server {SERVER} iburst\nport 0\ntimeball.constraint {HTTPS}\ntimeball.constraint-ca {stranger}"
            ),
        );
        wait_for_line(world, "constraints configured but none available");
        let said = format!("tls connect failed: {HTTPS} ({HTTPS}): invalid peer certificate: UnknownIssuer");
        assert!(world.log("timeballd").contains(&said));
        assert_eq!(https.answers(), 1, "it told the time, and that was not believed");
        let data = chronyc(world, "timeballd", &["-n"], &format!("ntpdata {SERVER}"));
        let was_asked = data
            .lines()
            .any(|line| line.starts_with("Total TX") && !line.ends_with(": 0"));
        assert!(!was_asked, "{data}");
    });
}

/// Resident memory of timeballd, kB. The processes of the world have to be those that are seen.
fn resident_kb(world: &World) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", world.pid("timeballd"))).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_constraint_that_is_configured_later_is_asked_and_its_memory_given_back() {
    inside(|world| {
        let (https, file) = set_up(world, 0);
        let common = format!("server {SERVER} iburst minpoll 2\nport 0\ntimeball.constraint-ca {file}");
        start_timeballd(world, &common);
        wait_for_line(world, "Selected source");
        world.run(Host::Ours, "mount", &["-t", "proc", "proc", "/proc"]);
        let before_kb = resident_kb(world);
        let path = world.path("timeballd.conf");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(&format!("timeball.constraint {HTTPS}\n"));
        fs::write(&path, text).unwrap();
        world.run(Host::Ours, "kill", &["-HUP", &world.pid("timeballd").to_string()]);
        wait_for_line(world, &format!("constraint reply from {HTTPS}: offset "));
        assert!(!world.log("timeballd").contains("In force only after a restart"));
        assert_eq!(https.answers(), 1);
        // A handshake takes megabytes, of code above all. What stays are the certificates of the authorities.
        world.wait_until("memory is given back", || {
            let now_kb = resident_kb(world);
            if now_kb <= before_kb + 1024 {
                Ok(())
            } else {
                Err(format!("{now_kb} kB, {before_kb} kB before"))
            }
        });
    });
}

#[test]
fn a_file_of_openntpd_with_constraints_starts_and_believes_the_authorities_of_the_environment() {
    inside(|world| {
        let (_https, file) = set_up(world, 0);
        let text = format!("server {SERVER}\nsensor *\nconstraint from \"{HTTPS}\"\n");
        let config = world.write("ntpd.conf", &text);
        world.start_with(
            Host::Ours,
            "timeballd",
            env!("CARGO_BIN_EXE_timeballd"),
            &["--dialect", "openntpd", "-d", "-x", "-f", &config],
            &[("SSL_CERT_FILE", file.as_str())],
        );
        wait_for_line(world, &format!("constraint reply from {HTTPS}: offset "));
    });
}
