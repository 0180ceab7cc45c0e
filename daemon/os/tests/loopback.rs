//! Datagrams over the loopback, with the kernel's timestamps and addresses, as the loop of a daemon sees them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use os::{Clock, DATAGRAM_LENGTH_MAX, Ready, Stamping, Token, UdpOptions, UdpSocket, Waiter, Watch, Woken};

const SERVER: Token = Token(1);
const CLIENT: Token = Token(2);

/// How long anything on the loopback may take.
const PATIENCE_S: f64 = 10.0;

fn server(ipv6: bool) -> UdpSocket {
    let address = if ipv6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    };
    UdpSocket::open(&UdpOptions {
        ipv6,
        address: Some(address),
        early: true,
        packet_info: true,
        dscp: 46,
        stamp_received: true,
        stamp_sent: true,
        ..UdpOptions::default()
    })
    .unwrap()
}

fn client(to: SocketAddr) -> UdpSocket {
    UdpSocket::open(&UdpOptions {
        ipv6: to.is_ipv6(),
        remote: Some(to),
        stamp_received: true,
        stamp_sent: true,
        ..UdpOptions::default()
    })
    .unwrap()
}

/// Waits until something is ready, and fails when nothing is.
#[track_caller]
fn next(waiter: &mut Waiter, what: impl Fn(&Ready) -> bool) {
    let deadline = Clock::new().now().mono.plus_seconds(PATIENCE_S);
    let mut ready = Vec::new();
    while Clock::new().now().mono < deadline {
        waiter.wait(Some(deadline), &mut ready).unwrap();
        if ready.iter().any(&what) {
            return;
        }
    }
    panic!("nothing happened");
}

/// Sends something to itself on new sockets until what arrives is stamped; returns how often it was not.
fn wait_for_stamps() -> u32 {
    let mut waiter = Waiter::new().unwrap();
    for missed in 0..10_000 {
        let socket = server(false);
        let to = SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            socket.local_address().unwrap().port(),
        );
        waiter.watch(SERVER, &socket, Watch::Readable);
        socket.send(b"to myself", to, None).unwrap();
        next(&mut waiter, |ready| ready.readable);
        waiter.forget(SERVER);
        if socket.receive(&mut [0; 64]).unwrap().unwrap().stamp.is_some() {
            return missed;
        }
    }
    panic!("the kernel does not stamp what is received");
}

#[test]
fn while_stamping_goes_on_no_answer_is_missed() {
    let _stamping = Stamping::begin();
    wait_for_stamps();
    for _ in 0..200 {
        assert_eq!(wait_for_stamps(), 0);
    }
}

fn check_a_question_and_its_answer(ipv6: bool, local: IpAddr) {
    let clock = Clock::new();
    let _stamping = Stamping::begin();
    wait_for_stamps();
    let server = server(ipv6);
    let to = SocketAddr::new(local, server.local_address().unwrap().port());
    let client = client(to);
    let mut waiter = Waiter::new().unwrap();
    waiter.watch(SERVER, &server, Watch::ReadableOrStamped);
    waiter.watch(CLIENT, &client, Watch::ReadableOrStamped);
    let mut buffer = [0; DATAGRAM_LENGTH_MAX];

    let before = clock.now().wall;
    client.send(b"what time is it", to, None).unwrap();
    next(&mut waiter, |ready| ready.token == CLIENT && ready.stamped);
    let sent = client.receive_transmitted(&mut buffer).unwrap().unwrap();
    assert_eq!(&buffer[sent.payload], b"what time is it");

    next(&mut waiter, |ready| ready.token == SERVER && ready.readable);
    let question = server.receive(&mut buffer).unwrap().unwrap();
    assert_eq!(&buffer[..question.length], b"what time is it");
    assert_eq!(question.from, client.local_address().unwrap());
    assert_eq!(question.to, Some(local));
    assert_ne!(question.interface, 0);
    let received = question.stamp.unwrap();
    assert!(before <= sent.stamp && sent.stamp <= received && received <= clock.now().wall);

    server.send(b"late", question.from, question.to).unwrap();
    next(&mut waiter, |ready| ready.token == CLIENT && ready.readable);
    let answer = client.receive(&mut buffer).unwrap().unwrap();
    assert_eq!(&buffer[..answer.length], b"late");
    assert_eq!(answer.from, to);
    assert!(answer.stamp.is_some());
    next(&mut waiter, |ready| ready.token == SERVER && ready.stamped);
    let sent = server.receive_transmitted(&mut buffer).unwrap().unwrap();
    assert_eq!(&buffer[sent.payload], b"late");

    assert_eq!(server.receive(&mut buffer).unwrap(), None);
    assert_eq!(server.receive_transmitted(&mut buffer).unwrap(), None);
}

#[test]
fn a_question_and_its_answer_are_stamped_over_ipv4() {
    check_a_question_and_its_answer(false, IpAddr::V4(Ipv4Addr::LOCALHOST));
}

#[test]
fn a_question_and_its_answer_are_stamped_over_ipv6() {
    check_a_question_and_its_answer(true, IpAddr::V6(Ipv6Addr::LOCALHOST));
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    check_a_question_and_its_answer(false, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77)));
}

#[test]
fn a_port_that_nobody_has_is_told() {
    let gone = server(false).local_address().unwrap().port();
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), gone);
    let client = client(to);
    let mut waiter = Waiter::new().unwrap();
    waiter.watch(CLIENT, &client, Watch::Readable);
    client.send(b"anybody there", to, None).unwrap();
    next(&mut waiter, |ready| ready.token == CLIENT && ready.readable);
    let error = client.receive(&mut [0; 64]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// A refusal is reported in the same way as a timestamp; it is told once and the socket is quiet again.
#[test]
fn a_refusal_in_the_place_of_a_timestamp_is_told() {
    let gone = server(false).local_address().unwrap().port();
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), gone);
    let client = client(to);
    let mut waiter = Waiter::new().unwrap();
    waiter.watch(CLIENT, &client, Watch::ReadableOrStamped);
    client.send(b"anybody there", to, None).unwrap();
    let mut buffer = [0; DATAGRAM_LENGTH_MAX];
    let mut refused = 0;
    for _ in 0..2 {
        next(&mut waiter, |ready| ready.stamped);
        refused += u32::from(client.receive_transmitted(&mut buffer).is_err());
    }
    assert_eq!(refused, 1);
    let mut ready = Vec::new();
    let soon = Clock::new().now().mono.plus_seconds(0.01);
    waiter.wait(Some(soon), &mut ready).unwrap();
    assert!(ready.is_empty());
}

#[test]
fn a_deadline_is_met_to_less_than_a_millisecond() {
    let clock = Clock::new();
    let mut waiter = Waiter::new().unwrap();
    let mut ready = Vec::new();
    let mut best_s = f64::INFINITY;
    // The machine may be busy; one of many waits is not disturbed.
    for _ in 0..50 {
        let deadline = clock.now().mono.plus_seconds(0.001_5);
        waiter.wait(Some(deadline), &mut ready).unwrap();
        assert!(ready.is_empty());
        let late_s = clock.now().mono.seconds_since(deadline);
        assert!(late_s >= 0.0, "{late_s}");
        best_s = best_s.min(late_s);
    }
    assert!(best_s < 0.000_4, "{best_s}");
}

#[test]
fn a_deadline_in_the_past_is_now() {
    let mut waiter = Waiter::new().unwrap();
    let past = Clock::new().now().mono.plus_seconds(-5.0);
    for _ in 0..3 {
        waiter.wait(Some(past), &mut Vec::new()).unwrap();
    }
}

#[test]
fn what_is_forgotten_is_not_waited_for() {
    let (first, second) = (server(false), server(false));
    let mut waiter = Waiter::new().unwrap();
    waiter.watch(SERVER, &first, Watch::Readable);
    waiter.watch(CLIENT, &second, Watch::Readable);
    waiter.forget(SERVER);
    let port = |socket: &UdpSocket| {
        SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            socket.local_address().unwrap().port(),
        )
    };
    first.send(b"one", port(&first), None).unwrap();
    second.send(b"two", port(&second), None).unwrap();
    next(&mut waiter, |ready| {
        assert_ne!(ready.token, SERVER);
        ready.token == CLIENT && ready.readable
    });
}

#[test]
fn what_is_put_off_is_waited_for_when_nothing_else_wakes_by_then() {
    let socket = server(false);
    let mut waiter = Waiter::new().unwrap();
    waiter.watch(SERVER, &socket, Watch::Readable);
    let to = SocketAddr::new(
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        socket.local_address().unwrap().port(),
    );
    socket.send(b"one", to, None).unwrap();
    let soon = Clock::new().now().mono.plus_seconds(0.05);
    waiter.put_off(SERVER, soon);
    let mut ready = Vec::new();
    waiter.wait(Some(soon), &mut ready).unwrap();
    assert_eq!(ready, [], "the instant came first");
    assert!(Clock::new().now().mono >= soon);
    next(&mut waiter, |ready| ready.token == SERVER && ready.readable);
    waiter.put_off(SERVER, soon);
    waiter.wait(None, &mut ready).unwrap();
    assert_eq!(ready.len(), 1, "there is no instant to wake at");
    waiter.put_off(SERVER, soon);
    waiter.forget(SERVER);
    waiter
        .wait(Some(Clock::new().now().mono.plus_seconds(0.02)), &mut ready)
        .unwrap();
    assert_eq!(ready, []);
}

#[test]
fn a_timer_that_notices_a_clock_that_is_set_rings_in_time_as_well() {
    let clock = Clock::new();
    let mut waiter = Waiter::noticing().unwrap();
    let mut ready = Vec::new();
    for micros in [0, 1, 50, 1_000, 20_000] {
        let until = clock.now().mono.plus_seconds(f64::from(micros) / 1e6);
        for _ in 0..2 {
            // Whoever sets this machine's clock just now is noticed.
            while waiter.wait(Some(until), &mut ready).unwrap() == Woken::ClockSet {}
            assert!(ready.is_empty());
            assert!(clock.now().mono >= until, "{micros}");
        }
    }
    // With nothing to wait for it waits for what it watches.
    let socket = server(false);
    let port = socket.local_address().unwrap().port();
    waiter.watch(SERVER, &socket, Watch::Readable);
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        client(to).send(b"here", to, None).unwrap();
    });
    while ready.is_empty() {
        waiter.wait(None, &mut ready).unwrap();
    }
    assert!(ready[0].readable && ready[0].token == SERVER);
    sender.join().unwrap();
}
