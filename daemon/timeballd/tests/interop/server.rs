//! Clients of others follow timeballd.

use crate::capture;
use crate::programs::{
    OUR_IPV6, accepted, chronyc, chronyd_once, ntpdig, start_chronyd, start_ntpsec, start_openntpd,
    start_timeballd,
};
use crate::rules::{Mac, Served, check_answers};
use crate::world::{World, inside};

/// A server of its own clock.
const SERVING: &str = "local stratum 4\nallow\nport 123";

const SERVED: Served = Served {
    stratum: 4,
    reference_id: 0x7f7f_0101,
};

/// The addresses of ours that are asked, and with which key.
const ASKED: [(&str, Mac); 6] = [
    ("192.0.2.1", None),
    ("192.0.2.2", Some((1, 16))),
    ("192.0.2.3", Some((2, 20))),
    ("192.0.2.4", Some((3, 32))),
    ("192.0.2.5", Some((4, 16))),
    (OUR_IPV6, None),
];

/// Asked with key 5, whose secret is not the same on both sides.
const DENIED: &str = "192.0.2.8";

/// What timeballd counted: number of a row of `serverstats`.
fn count(world: &World, label: &str) -> u64 {
    let statistics = chronyc(world, "timeballd", &["-n"], "serverstats");
    let row = statistics.lines().find(|line| line.starts_with(label));
    let row = row.unwrap_or_else(|| panic!("{label} in {statistics}"));
    row.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn of_chronyd_with_keys() {
    inside(|world| {
        capture::start(world);
        start_timeballd(world, SERVING);
        let lines = ASKED.map(|(address, mac)| {
            let key = mac.map_or_else(String::new, |(key, _)| format!(" key {key}"));
            format!("server {address} iburst minpoll 1 maxpoll 1{key}\n")
        });
        let denied = format!("server {DENIED} iburst minpoll 1 maxpoll 1 key 5\nport 0");
        start_chronyd(world, &format!("{}{denied}", lines.concat()));
        world.wait_until("chronyd follows", || {
            let sources = chronyc(world, "chronyd", &["-c", "-n"], "sources");
            let is_followed = |address: &str| {
                let rows = sources.lines().map(|line| line.split(',').collect::<Vec<_>>());
                let mut rows = rows.filter(|row| row[2] == address);
                rows.any(|row| row[1] != "?" && u8::from_str_radix(row[5], 8).unwrap().count_ones() >= 4)
            };
            if ASKED.iter().all(|(address, _)| is_followed(address)) {
                Ok(())
            } else {
                Err(sources)
            }
        });
        for (address, mac) in ASKED {
            let data = accepted(world, "chronyd", address);
            assert!(data.contains("Stratum         : 4"), "{data}");
            let authenticated = if mac.is_some() { "Yes" } else { "No" };
            assert!(
                data.contains(&format!("Authenticated   : {authenticated}")),
                "{data}"
            );
        }
        let sources = chronyc(world, "chronyd", &["-c", "-n"], "sources");
        assert!(sources.contains(&format!("^,?,{DENIED},0,1,0,")), "{sources}");
        let datagrams = capture::datagrams(world);
        for (address, mac) in ASKED {
            assert_eq!(check_answers(&datagrams, address, mac, SERVED), 0, "{address}");
        }
        let is_refused = |datagram: &capture::Datagram| datagram.from.ip().to_string() == DENIED;
        assert!(
            !datagrams.iter().any(is_refused),
            "who cannot authenticate gets no answer"
        );
        assert!(count(world, "Authenticated NTP packets") >= 16);
    });
}

#[test]
fn of_chronyd_in_the_interleaved_mode() {
    inside(|world| {
        capture::start(world);
        start_timeballd(world, SERVING);
        start_chronyd(
            world,
            "server 192.0.2.1 iburst minpoll 1 maxpoll 1 xleave
             server 192.0.2.2 iburst minpoll 1 maxpoll 1 xleave key 2
             server 2001:db8::1 iburst minpoll 1 maxpoll 1 xleave
             port 0",
        );
        let asked = [
            ("192.0.2.1", None),
            ("192.0.2.2", Some((2, 20))),
            (OUR_IPV6, None),
        ];
        for (address, _) in asked {
            world.wait_until("chronyd follows in the interleaved mode", || {
                let data = chronyc(world, "chronyd", &["-n"], &format!("ntpdata {address}"));
                let is_followed = data.contains("Interleaved     : Yes") && data.contains("111 111 1111");
                if is_followed { Ok(()) } else { Err(data) }
            });
        }
        let datagrams = capture::datagrams(world);
        for (address, mac) in asked {
            assert!(check_answers(&datagrams, address, mac, SERVED) > 0, "{address}");
        }
        assert!(count(world, "Interleaved NTP packets") >= 3);
    });
}

#[test]
fn of_chronyd_that_asks_once() {
    inside(|world| {
        capture::start(world);
        start_timeballd(world, SERVING);
        for source in [
            "server 192.0.2.1 iburst",
            "server 192.0.2.2 iburst key 4",
            "server 2001:db8::1 iburst",
        ] {
            let said = chronyd_once(world, source);
            assert!(said.contains("System clock wrong by"), "{source}: {said}");
        }
        // chronyd may have ended before the recorder has written the last answer down.
        let datagrams = world.wait_until("all answers are recorded", || {
            let datagrams = capture::datagrams(world);
            let answers = datagrams
                .iter()
                .filter(|datagram| datagram.from.port() == 123)
                .count();
            let requests = datagrams.len() - answers;
            if answers == requests {
                Ok(datagrams)
            } else {
                Err(format!("{answers} answers to {requests} requests"))
            }
        });
        for (address, mac) in [
            ("192.0.2.1", None),
            ("192.0.2.2", Some((4, 16))),
            (OUR_IPV6, None),
        ] {
            assert_eq!(check_answers(&datagrams, address, mac, SERVED), 0, "{address}");
        }
    });
}

#[test]
fn of_ntpsec_with_keys() {
    inside(|world| {
        // NTPsec's codes are 20 octets long at most.
        let asked = ASKED.map(|(address, mac)| (address, mac.map(|(key, length)| (key, length.min(20)))));
        capture::start(world);
        start_timeballd(world, SERVING);
        let lines = asked.map(|(address, mac)| {
            let key = mac.map_or_else(String::new, |(key, _)| format!(" key {key}"));
            format!("server {address} iburst minpoll 1 maxpoll 1{key}\n")
        });
        start_ntpsec(world, &lines.concat());
        // Its log of measurements: day, second, address, status, offset, delay, dispersion, jitter.
        world.wait_until("NTPsec follows", || {
            let log = std::fs::read_to_string(world.path("peerstats")).unwrap_or_default();
            let rows = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            // Address, status and offset of rows that are complete.
            let rows = rows.filter(|row| row.len() == 8).map(|row| {
                let status = u16::from_str_radix(row[3], 16).unwrap();
                (row[2].to_owned(), status, row[4].parse::<f64>().unwrap())
            });
            let rows = rows.collect::<Vec<_>>();
            let is_measured = |(address, mac): &(&str, Mac)| {
                let rows = rows.iter().filter(|(row, _, _)| row == address);
                let good = rows.filter(|(_, status, offset_s)| {
                    // RFC 9327 §3: configured and reached; with a key, authentic.
                    let (mask, expected) = if mac.is_some() {
                        (0xf000, 0xf000)
                    } else {
                        (0xd000, 0x9000)
                    };
                    status & mask == expected && offset_s.abs() < 0.1
                });
                good.count() >= 4
            };
            // Selection 6: it is the one that would be followed.
            let is_followed = rows.iter().any(|(_, status, _)| status >> 8 & 7 == 6);
            if is_followed && asked.iter().all(is_measured) {
                Ok(())
            } else {
                Err(log)
            }
        });
        let datagrams = capture::datagrams(world);
        for (address, mac) in asked {
            assert_eq!(check_answers(&datagrams, address, mac, SERVED), 0, "{address}");
        }
    });
}

#[test]
fn of_ntpdig() {
    inside(|world| {
        start_timeballd(world, SERVING);
        let keys = world.write("ntpdig.keys", "7 SHA1 0123456789abcdef0123456789abcdef01234567\n");
        let ours = world.path("timeballd.keys");
        let known = std::fs::read_to_string(&ours).unwrap();
        std::fs::write(
            &ours,
            known + "7 SHA1 HEX:0123456789abcdef0123456789abcdef01234567\n",
        )
        .unwrap();
        chronyc(world, "timeballd", &["-n"], "rekey");
        for arguments in [
            &["-j", "192.0.2.1"][..],
            &["-j", OUR_IPV6],
            &["-j", "-k", &keys, "-a", "7", "192.0.2.1"],
        ] {
            let said = ntpdig(world, arguments);
            assert!(said.contains("\"stratum\":4"), "{arguments:?}: {said}");
            assert!(said.contains("\"offset\":"), "{arguments:?}: {said}");
        }
        assert_eq!(count(world, "Authenticated NTP packets"), 1);
    });
}

#[test]
fn of_openntpd() {
    inside(|world| {
        capture::start(world);
        start_timeballd(world, SERVING);
        start_openntpd(world, "server 192.0.2.1\nserver 2001:db8::1");
        world.wait_until("OpenNTPD follows", || {
            let log = world.log("openntpd");
            let is_followed = |address: &str| log.contains(&format!("peer {address} now valid"));
            if is_followed("192.0.2.1") && is_followed(OUR_IPV6) {
                Ok(())
            } else {
                Err(log)
            }
        });
        let datagrams = capture::datagrams(world);
        for address in ["192.0.2.1", OUR_IPV6] {
            assert_eq!(check_answers(&datagrams, address, None, SERVED), 0, "{address}");
        }
    });
}
