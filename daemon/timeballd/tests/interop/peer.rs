//! timeballd and chronyd as peers.

use crate::capture;
use crate::programs::{accepted, chronyc, start_chronyd, start_timeballd};
use crate::rules::{Mac, check_packets_to_peer};
use crate::world::{World, inside};

/// Waits until a daemon follows its peer, whose stratum is given.
fn wait_until_followed(world: &World, name: &str, peer: &str, stratum: u8) {
    world.wait_until("the peer is followed", || {
        let sources = chronyc(world, name, &["-c", "-n"], "sources");
        let is_followed = sources
            .lines()
            .any(|line| line.starts_with(&format!("=,*,{peer},{stratum},")));
        if is_followed { Ok(()) } else { Err(sources) }
    });
}

/// Likewise; then what timeballd sent, in this mode, is checked. Returns how much of it was interleaved.
fn follow(world: &World, name: &str, peer: &str, mode: u8, mac: Mac) -> usize {
    wait_until_followed(world, name, peer, 3);
    accepted(world, name, peer);
    world.wait_until("six packets are sent", || {
        let ours: std::net::IpAddr = "192.0.2.1".parse().unwrap();
        let sent = capture::datagrams(world)
            .iter()
            .filter(|datagram| datagram.from.ip() == ours)
            .count();
        if sent >= 6 { Ok(()) } else { Err(sent.to_string()) }
    });
    check_packets_to_peer(&capture::datagrams(world), "192.0.2.1", mode, mac)
}

#[test]
fn both_active_with_a_key() {
    inside(|world| {
        capture::start(world);
        start_chronyd(world, "local stratum 3\npeer 192.0.2.1 minpoll 0 maxpoll 0 key 2");
        start_timeballd(world, "peer 192.0.2.11 minpoll 0 maxpoll 0 key 2");
        assert_eq!(follow(world, "timeballd", "192.0.2.11", 1, Some((2, 20))), 0);
    });
}

#[test]
fn both_active_in_the_interleaved_mode() {
    inside(|world| {
        capture::start(world);
        start_chronyd(
            world,
            "local stratum 3\npeer 192.0.2.1 minpoll 0 maxpoll 0 xleave",
        );
        start_timeballd(world, "peer 192.0.2.11 minpoll 0 maxpoll 0 xleave");
        wait_until_followed(world, "timeballd", "192.0.2.11", 3);
        for (name, peer) in [("timeballd", "192.0.2.11"), ("chronyd", "192.0.2.1")] {
            world.wait_until("both are interleaved", || {
                let data = chronyc(world, name, &["-n"], &format!("ntpdata {peer}"));
                if data.contains("Interleaved     : Yes") {
                    Ok(())
                } else {
                    Err(data)
                }
            });
        }
        assert!(follow(world, "timeballd", "192.0.2.11", 1, None) > 0);
    });
}

/// chronyd does not know of us and answers all the same.
#[test]
fn we_active_and_chronyd_passive() {
    inside(|world| {
        capture::start(world);
        start_chronyd(world, "local stratum 3\nallow");
        start_timeballd(world, "peer 192.0.2.11 minpoll 0 maxpoll 0");
        assert_eq!(follow(world, "timeballd", "192.0.2.11", 1, None), 0);
    });
}

/// We do not know of chronyd and answer all the same.
#[test]
fn we_passive_and_chronyd_active() {
    inside(|world| {
        capture::start(world);
        start_timeballd(world, "local stratum 3\nallow");
        start_chronyd(world, "peer 192.0.2.1 minpoll 0 maxpoll 0");
        assert_eq!(follow(world, "chronyd", "192.0.2.1", 2, None), 0);
    });
}
