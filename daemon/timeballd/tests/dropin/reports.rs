//! Reports: of a daemon that follows nothing, of one that follows a server, and of one that serves itself.

use std::time::Duration;

use super::*;
use daemon::server;

/// Sources of every kind of state that needs no network.
const IDLE: &str = "
port 0
server 192.0.2.1 offline
server 192.0.2.2 offline key 3 prefer
server 2001:db8::1 offline minpoll 3 maxpoll 5
peer 192.0.2.3 offline trust
server nosuchname.invalid offline
pool nosuchpool.invalid maxsources 2 offline";

/// Every report there is.
const REPORTS: [&str; 31] = [
    "tracking",
    "sources",
    "sources -a",
    "sources -v",
    "sourcestats",
    "sourcestats -v",
    "sourcestats -a",
    "selectdata",
    "selectdata -a",
    "activity",
    "authdata",
    "authdata -a",
    "ntpdata",
    "ntpdata 192.0.2.1",
    "ntpdata 192.0.2.99",
    "ntpdata ID#0000000001",
    "ntpdata ID#0000000099",
    "ntpdata 2001:db8::1",
    "sourcename 192.0.2.1",
    "sourcename ID#0000000001",
    "sourcename ID#0000000099",
    "sourcename 192.0.2.99",
    "clients",
    "clients -k",
    "clients -p 100",
    "manual list",
    "smoothing",
    "rtcdata",
    "accheck 192.0.2.1",
    "cmdaccheck 127.0.0.1",
    "waitsync 1 0 0 0.1",
];

#[test]
fn reports_without_synchronisation_are_the_same() {
    same(IDLE, |daemon, transcript| {
        for report in REPORTS {
            transcript.add(report, daemon.ask(report));
        }
        for report in [
            "tracking",
            "sources",
            "sourcestats",
            "selectdata",
            "authdata",
            "activity",
        ] {
            transcript.add(report, daemon.ask_for_values(report));
        }
    });
}

#[test]
fn reports_over_udp_are_the_same() {
    same(IDLE, |daemon, transcript| {
        for report in REPORTS {
            transcript.add(report, daemon.ask_udp("127.0.0.1", report));
        }
        transcript.add("over IPv6", daemon.ask_udp("::1", "sources"));
        // Not a loopback address as far as access is concerned.
        transcript.add("a stranger", daemon.ask_udp("127.0.0.2", "activity"));
    });
}

#[test]
fn requests_are_counted_alike() {
    same("port 0", |daemon, transcript| {
        for address in ["127.0.0.1", "::1", "127.0.0.1"] {
            transcript.add(address, daemon.ask_udp(address, "tracking"));
        }
        let count = |text: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with("Command packets received"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok())
                .unwrap()
        };
        let before = count(&daemon.ask("serverstats").0);
        let after = daemon.ask("serverstats").0;
        // How often the daemon was asked whether it is there yet is chance.
        assert_eq!(count(&after), before + 1);
        let after = after.replace(&format!(": {}\n", before + 1), ": N\n");
        transcript.add("serverstats", (after, None));
    });
}

#[test]
fn a_client_that_asked_is_listed() {
    same("port 0", |daemon, transcript| {
        let _ = daemon.ask_udp("127.0.0.1", "tracking");
        let (text, status) = daemon.ask("clients -r");
        transcript.add("clients -r", (first_words(&text, 7), status));
        let (text, status) = daemon.ask("clients");
        transcript.add("clients", (first_words(&text, 7), status));
    });
}

/// So many words of each line: the last ones are ages.
fn first_words(text: &str, count: usize) -> String {
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().take(count).collect();
        words.join(" ") + "\n"
    });
    lines.collect()
}

#[test]
fn without_a_client_log_there_are_no_clients() {
    same("port 0\nnoclientlog", |daemon, transcript| {
        transcript.add("clients", daemon.ask("clients"));
        transcript.add(
            "serverstats",
            (daemon.ask("serverstats").0.lines().take(2).collect(), None),
        );
    });
}

#[test]
fn a_local_reference_is_reported_alike() {
    alike("port 0\nlocal stratum 8", |daemon, transcript| {
        for report in ["tracking", "waitsync 1 0 0 0.1"] {
            transcript.add(report, daemon.ask(report));
        }
        transcript.add("tracking", daemon.ask_for_values("tracking"));
    });
}

#[test]
fn clients_that_asked_for_the_time_are_counted_alike() {
    let config = format!("port {}\nallow\nlocal stratum 5", daemon::free_port());
    same(&config, |daemon, transcript| {
        let config = std::fs::read_to_string(daemon.path("conf")).unwrap();
        let port = config
            .lines()
            .find_map(|line| line.strip_prefix("port "))
            .unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for version in [3_u8, 4, 4] {
            let mut request = [0; 48];
            request[0] = version << 3 | 3;
            request[40..].copy_from_slice(&[version; 8]);
            socket.send_to(&request, format!("127.0.0.1:{port}")).unwrap();
            let mut answer = [0; 100];
            let length = socket.recv(&mut answer).unwrap();
            // Leap, version, mode, stratum; what is followed; what was sent.
            let told = format!(
                "{length} {:?} {:?} {:?}\n",
                &answer[..2],
                &answer[12..16],
                &answer[24..32]
            );
            transcript.add("the time", (told, None));
        }
        let (text, status) = daemon.ask("clients");
        transcript.add("clients", (first_words(&text, 3), status));
        let (text, status) = daemon.ask("serverstats");
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("Command packets received"));
        transcript.add(
            "serverstats",
            (lines.map(|line| format!("{line}\n")).collect(), status),
        );
    });
}

/// A server that is authenticated with key 1, of which the client's file has two: both daemons take the same one.
/// What is measured differs, so that of the values only their number is compared.
#[test]
fn a_daemon_that_authenticates_a_server_reports_alike() {
    let port = daemon::free_port();
    let config = format!("port {port}\nlocal stratum 5\nallow\nkeyfile @DIR@/keys\n");
    let server = Daemon::start(Program::Chronyd, &config);
    std::fs::write(server.path("keys"), "1 SHA1 the_second_secret\n").unwrap();
    let _ = server.ask("rekey");
    let config = format!(
        "port 0\nkeyfile @DIR@/keys\nserver 127.0.0.1 port {port} minpoll -2 maxpoll -2 key 1 offline\n\
         server 127.0.0.2 port {port} minpoll -2 maxpoll -2 key 2 xleave offline"
    );
    same(&config, |daemon, transcript| {
        let keys = "1 SHA1 the_first_secret\n1 SHA1 the_second_secret\n";
        std::fs::write(daemon.path("keys"), keys).unwrap();
        let _ = daemon.ask("rekey");
        transcript.add("online", daemon.ask("online"));
        wait_until(daemon, "^* 127.0.0.1 ");
        for report in ["authdata", "authdata -a", "activity", "sourcename 127.0.0.1"] {
            transcript.add(report, daemon.ask(report));
            transcript.add(report, daemon.ask_for_values(report));
        }
        for report in [
            "tracking",
            "sources",
            "sourcestats",
            "selectdata",
            "ntpdata",
            "ntpdata 127.0.0.1",
        ] {
            let (text, status) = daemon.ask_for_values(report);
            let counts = text
                .lines()
                .map(|line| format!("{} values\n", line.split(',').count()));
            transcript.add(report, (counts.collect(), status));
        }
        // What is done to a source that is followed shows at once.
        for command in [
            "offline 127.0.0.1",
            "delete 127.0.0.1",
            "activity",
            "sources",
            "authdata",
            "reset sources",
        ] {
            let (text, status) = daemon.ask(command);
            transcript.add(command, (text, status));
        }
        let (text, status) = daemon.ask("tracking");
        let kept = ["Reference ID", "Stratum", "Ref time", "Residual", "Root", "Leap"];
        let kept = text
            .lines()
            .filter(|line| kept.iter().any(|label| line.starts_with(label)));
        transcript.add(
            "tracking",
            (kept.map(|line| format!("{line}\n")).collect(), status),
        );
    });
}

/// Waits until `chronyc sources` shows something.
fn wait_until(daemon: &Daemon, shown: &str) {
    daemon.wait_until("sources", |(text, _)| text.contains(shown));
}

/// A server to be followed, quickly, by which the clock is 0.2 s slow, and one by which it is 0.4 s fast. Neither daemon
/// corrects the clock, but both count it as corrected.
fn following(port: u16) -> String {
    format!(
        "port 0
         server 127.0.0.2 port {port} minpoll -2 maxpoll -2 iburst prefer offset 0.2
         server 127.0.0.3 port {port} minpoll -2 maxpoll -2 iburst noselect offset -0.4
         server 192.0.2.1 offline noselect"
    )
}

#[test]
fn a_daemon_that_follows_a_server_reports_alike() {
    let (_server, port) = server();
    compare(&following(port), body, |transcript| {
        let lines = transcript.sized();
        lines.lines().map(|line| without_chance(line) + "\n").collect()
    });

    /// How many samples, runs and packets there are is chance, and so is whether a sample is a second old, and what the
    /// tests said of the last packet.
    fn without_chance(line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let [first, _, third, ..] = words[..] else {
            return line.to_owned();
        };
        let without = |chance: std::ops::Range<usize>| {
            let kept = words.iter().enumerate().filter(|(at, _)| !chance.contains(at));
            kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
        };
        match (first, words.len()) {
            ("Total", count) => without(count - 1..count),
            ("NTP", count) => without(3..count),
            // sources
            ("^*" | "^?", 10) => without(5..6),
            ("^", 10) => without(6..7),
            // sourcestats
            ("127.0.0.2" | "127.0.0.3", 8) => without(1..4),
            // selectdata
            (_, 10) if third == "N" => without(5..6),
            (_, 18) => without(13..14),
            _ => line.to_owned(),
        }
    }

    fn body(daemon: &Daemon, transcript: &mut Transcript) {
        // The registers are full after eight polls.
        daemon.wait_until("sources", |(text, _)| {
            let is_full = |row: &str| {
                text.lines()
                    .any(|line| line.starts_with(row) && line.contains(" 377 "))
            };
            is_full("^* 127.0.0.2 ") && is_full("^? 127.0.0.3 ")
        });
        transcript.add("waitsync", daemon.ask_udp("127.0.0.1,::1", "waitsync 0 0 0.0 1"));
        let enough = daemon.ask_udp("127.0.0.1", "waitsync 1 0.3 0.0 0.1").1;
        let too_little = daemon.ask_udp("127.0.0.1", "waitsync 1 0.1 0.0 0.1").1;
        transcript.add("waitsync 1 0.3", (String::new(), enough));
        transcript.add("waitsync 1 0.1", (String::new(), too_little));
        for report in [
            "tracking",
            "sources -a",
            "sourcestats",
            "selectdata",
            "ntpdata 127.0.0.2",
            "activity",
            "authdata",
        ] {
            transcript.add(report, daemon.ask(report));
        }
        for report in ["tracking", "sources", "sourcestats", "selectdata"] {
            transcript.add(report, daemon.ask_for_values(report));
        }
        // What the situation fixes is there at all.
        let sized = transcript.sized();
        for told in [": +2e-1 seconds slow", "+6e-1", "^* 127.0.0.2 5 -2 377"] {
            assert!(sized.contains(told), "{told} is not in\n{sized}");
        }
    }
}

/// A server that says when its clock was set, with a fraction of a second that is no whole number of nanoseconds.
fn server_set_at(reference: u64) -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut request = [0; 100];
        while let Ok((_, from)) = socket.recv_from(&mut request) {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            let seconds = (now.as_secs() + 2_208_988_800) << 32;
            let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
            // Version 4, server, stratum 2, precision 2^-20 s, and no root delay or dispersion to speak of.
            let head = [0x24, 2, 0, 0xec, 0, 0, 0, 9, 0, 0, 0, 9, 192, 0, 2, 1];
            let times = [(seconds | fraction).to_be_bytes(); 2].concat();
            let answer = [&head[..], &reference.to_be_bytes(), &request[40..48], &times].concat();
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

#[test]
fn a_time_that_a_server_told_is_cut_to_nanoseconds() {
    const NEW_YEAR: u64 = 0xed00_0000_0000_0000;
    let references = [NEW_YEAR | 0xebd5_ebd5, NEW_YEAR | 0xffff_ffff, NEW_YEAR | 1, 0];
    let lines = references.map(|reference| {
        let port = server_set_at(reference);
        format!("server 127.0.0.1 port {port} iburst minpoll -2 maxpoll -2")
    });
    for line in lines {
        same(&format!("port 0\n{line}"), |daemon, transcript| {
            let value = |(text, _): &(String, _)| text.split(',').nth(17).map(str::to_owned);
            daemon.wait_until("sources", |(text, _)| text.contains("^* 127.0.0.1"));
            let told = value(&daemon.ask_for_values("ntpdata")).unwrap_or_default();
            transcript.add("the reference time", (told + "\n", None));
        });
    }
}

#[test]
fn a_reference_clock_without_samples_looks_the_same() {
    // A segment that nobody else has.
    let unit = 100_000 + std::process::id();
    let config = format!("port 0\nrefclock SHM {unit}\nrefclock SHM {unit} refid GPS poll 2 noselect");
    same(&config, |daemon, transcript| {
        for report in ["sources", "sourcestats", "selectdata", "activity", "tracking"] {
            transcript.add(report, daemon.ask(report));
            transcript.add(report, daemon.ask_for_values(report));
        }
    });
    let key = 0x4e54_5030 + unit;
    let removed = std::process::Command::new("ipcrm")
        .args(["-M", &key.to_string()])
        .status();
    assert!(removed.is_ok_and(|status| status.success()));
}
