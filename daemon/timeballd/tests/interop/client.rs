//! timeballd follows servers of others.

use crate::capture;
use crate::programs::{
    THEIR_IPV6, accepted, chronyc, start_chronyd, start_ntpsec, start_openntpd, start_timeballd,
};
use crate::rules::{Association, Mac, check_requests};
use crate::world::{Host, World, inside};

/// Of key 5 the other does not know the secret.
const DENIED: &str = "192.0.2.18";

/// One association per kind of key, and one in IPv6.
const KEYED: &str = "
server 192.0.2.11 iburst minpoll 1 maxpoll 1
server 192.0.2.12 iburst minpoll 1 maxpoll 1 key 1
server 192.0.2.13 iburst minpoll 1 maxpoll 1 key 2
server 192.0.2.14 iburst minpoll 1 maxpoll 1 key 3
server 192.0.2.15 iburst minpoll 1 maxpoll 1 key 4
server 2001:db8::11 iburst minpoll 1 maxpoll 1
server 192.0.2.18 iburst minpoll 1 maxpoll 1 key 5
port 0";

/// The associations of [`KEYED`] that are good. The code of SHA-256 is longer than version 4 has room for.
fn keyed() -> Vec<Association> {
    let keyed = |server, key, length| Association {
        mac: Some((key, length)),
        ..Association::with(server)
    };
    vec![
        Association::with("192.0.2.11"),
        keyed("192.0.2.12", 1, 16),
        keyed("192.0.2.13", 2, 20),
        Association {
            version: 3,
            ..keyed("192.0.2.14", 3, 32)
        },
        keyed("192.0.2.15", 4, 16),
        Association::with(THEIR_IPV6),
    ]
}

/// Waits until all these servers answered four times at least, and are good enough to be followed.
fn wait_until_followed(world: &World, associations: &[Association]) {
    world.wait_until("all servers are followed", || {
        let sources = chronyc(world, "timeballd", &["-c", "-n"], "sources");
        let is_followed = |association: &Association| {
            let server = association.server.to_string();
            let row = sources.lines().map(|line| line.split(',').collect::<Vec<_>>());
            let mut row = row.filter(|row| row[2] == server);
            row.any(|row| {
                let reached = u8::from_str_radix(row[5], 8).unwrap().count_ones();
                ["*", "+", "-"].contains(&row[1]) && reached >= 4
            })
        };
        let is_synchronised = sources.contains("^,*,");
        if is_synchronised && associations.iter().all(is_followed) {
            Ok(())
        } else {
            Err(sources)
        }
    });
}

/// What `chronyc ntpdata` and `authdata` say: every test passed, with the key.
#[track_caller]
fn check_reports(world: &World, associations: &[Association], stratum: u8) {
    let authentication = chronyc(world, "timeballd", &["-c", "-n"], "authdata");
    for association in associations {
        let server = association.server;
        let data = accepted(world, "timeballd", server);
        let value = |label: &str| {
            let line = data.lines().find(|line| line.starts_with(label));
            line.and_then(|line| line.split_once(": "))
                .unwrap_or_else(|| panic!("{label}: {data}"))
                .1
        };
        assert_eq!(value("Leap status"), "Normal", "{data}");
        assert_eq!(value("Stratum"), stratum.to_string(), "{data}");
        assert_eq!(value("Mode"), "Server", "{data}");
        let is_authenticated = association.mac.is_some();
        assert_eq!(
            value("Authenticated"),
            if is_authenticated { "Yes" } else { "No" },
            "{data}"
        );
        let key = association.mac.map_or(0, |(key, _)| key);
        let kind = if is_authenticated { "SK" } else { "-" };
        let row = format!("{server},{kind},{key},");
        assert!(authentication.contains(&row), "{row} in {authentication}");
    }
    let tracking = chronyc(world, "timeballd", &["-c", "-n"], "tracking");
    let tracking = tracking.split(',').collect::<Vec<_>>();
    assert_eq!(tracking[2], (stratum + 1).to_string(), "stratum: {tracking:?}");
}

/// That a server whose answers are not authentic was asked and not believed.
#[track_caller]
fn check_denied(world: &World) {
    let sources = chronyc(world, "timeballd", &["-c", "-n"], "sources");
    let row = sources.lines().find(|line| line.contains(DENIED)).unwrap();
    assert!(
        row.starts_with("^,?,") && row.split(',').nth(5) == Some("0"),
        "{row}"
    );
    let datagrams = capture::datagrams(world);
    let is_asked = datagrams
        .iter()
        .any(|datagram| datagram.to.ip().to_string() == DENIED);
    assert!(is_asked, "{DENIED} was never asked");
}

#[track_caller]
fn check_capture(world: &World, associations: &[Association]) {
    let datagrams = capture::datagrams(world);
    for association in associations {
        let continued = check_requests(&datagrams, association);
        assert_eq!(
            continued > 0,
            association.interleaved,
            "interleaved: {association:?}"
        );
    }
}

#[test]
fn of_chronyd_with_keys() {
    inside(|world| {
        capture::start(world);
        start_chronyd(world, "local stratum 3\nallow");
        start_timeballd(world, KEYED);
        wait_until_followed(world, &keyed());
        check_reports(world, &keyed(), 3);
        check_denied(world);
        check_capture(world, &keyed());
    });
}

/// Such an address can be another host's on every cable: only its name says on which it is meant.
#[test]
fn of_chronyd_at_a_link_local_address() {
    inside(|world| {
        for (host, address) in [(Host::Ours, "fe80::1/64"), (Host::Theirs, "fe80::11/64")] {
            world.run(host, "ip", &["address", "add", address, "dev", "eth0", "nodad"]);
        }
        start_chronyd(world, "local stratum 3\nallow");
        start_timeballd(
            world,
            "server fe80::11%eth0 iburst minpoll 1 maxpoll 1
             server fe80::12
             port 0",
        );
        wait_until_followed(world, &[Association::with("fe80::11")]);
        let log = world.log("timeballd");
        let said = "fe80::12 is a link-local address : say on which link, as in fe80::12%eth0";
        assert_eq!(log.matches(said).count(), 1, "{log}");
    });
}

#[test]
fn of_chronyd_in_the_interleaved_mode() {
    inside(|world| {
        let interleaved = |server, mac: Mac| Association {
            interleaved: true,
            mac,
            ..Association::with(server)
        };
        let associations = [
            interleaved("192.0.2.11", None),
            interleaved("192.0.2.12", Some((4, 16))),
            interleaved(THEIR_IPV6, None),
        ];
        capture::start(world);
        start_chronyd(world, "local stratum 3\nallow");
        start_timeballd(
            world,
            "server 192.0.2.11 iburst minpoll 1 maxpoll 1 xleave
             server 192.0.2.12 iburst minpoll 1 maxpoll 1 xleave key 4
             server 2001:db8::11 iburst minpoll 1 maxpoll 1 xleave
             port 0",
        );
        wait_until_followed(world, &associations);
        check_reports(world, &associations, 3);
        for association in &associations {
            let data = chronyc(
                world,
                "timeballd",
                &["-n"],
                &format!("ntpdata {}", association.server),
            );
            assert!(data.contains("Interleaved     : Yes"), "{data}");
        }
        check_capture(world, &associations);
        let statistics = chronyc(world, "chronyd", &["-n"], "serverstats");
        let row = statistics
            .lines()
            .find(|line| line.starts_with("Interleaved NTP packets"))
            .unwrap();
        assert!(
            !row.ends_with(": 0"),
            "chronyd answered in the interleaved mode: {statistics}"
        );
    });
}

#[test]
fn of_ntpsec_with_keys() {
    inside(|world| {
        // NTPsec cuts the code of SHA-256, and does not take the whole one in version 3 either.
        let mut associations = keyed();
        associations[3] = Association {
            mac: Some((3, 20)),
            ..Association::with("192.0.2.14")
        };
        let config = KEYED.replace("key 3", "key 3 version 4");
        capture::start(world);
        start_ntpsec(world, "tos orphan 5 orphanwait 1");
        start_timeballd(world, &config);
        wait_until_followed(world, &associations);
        check_reports(world, &associations, 5);
        check_denied(world);
        check_capture(world, &associations);
    });
}

/// A server that cannot answer in the interleaved mode is followed in the basic one.
#[test]
fn of_ntpsec_that_cannot_interleave() {
    inside(|world| {
        let association = Association {
            interleaved: true,
            ..Association::with("192.0.2.11")
        };
        capture::start(world);
        start_ntpsec(world, "tos orphan 5 orphanwait 1");
        start_timeballd(
            world,
            "server 192.0.2.11 iburst minpoll 1 maxpoll 1 xleave\nport 0",
        );
        wait_until_followed(world, std::slice::from_ref(&association));
        check_reports(world, std::slice::from_ref(&association), 5);
        let data = chronyc(world, "timeballd", &["-n"], "ntpdata 192.0.2.11");
        assert!(data.contains("Interleaved     : No"), "{data}");
        check_capture(world, &[association]);
    });
}

/// OpenNTPD serves only after it has set its own clock twice, so it follows a chronyd first.
#[test]
fn of_openntpd() {
    inside(|world| {
        let associations = [Association::with("192.0.2.11"), Association::with(THEIR_IPV6)];
        capture::start(world);
        start_chronyd(
            world,
            "local stratum 3\nallow\nbindaddress 192.0.2.12\nbindaddress ::1",
        );
        start_openntpd(
            world,
            "listen on 192.0.2.11\nlisten on 2001:db8::11\nserver 192.0.2.12",
        );
        start_timeballd(
            world,
            "server 192.0.2.11 minpoll 1 maxpoll 1\nserver 2001:db8::11 minpoll 1 maxpoll 1\nport 0",
        );
        // Until then its leap indicator says that it is not synchronised.
        world.wait_until("OpenNTPD answers, and is not followed", || {
            let data = chronyc(world, "timeballd", &["-n"], "ntpdata 192.0.2.11");
            if data.contains("Leap status     : Not synchronised") {
                Ok(())
            } else {
                Err(data)
            }
        });
        let sources = chronyc(world, "timeballd", &["-c", "-n"], "sources");
        assert!(sources.starts_with("^,?,192.0.2.11,"), "{sources}");
        wait_until_followed(world, &associations);
        check_reports(world, &associations, 4);
        check_capture(world, &associations);
    });
}
