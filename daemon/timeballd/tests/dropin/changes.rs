//! Commands that change something, what they are answered with, and what the log says.

use std::fs;

use super::*;

const SOURCES: &str = "
port 0
server 192.0.2.1 offline
server 192.0.2.2 offline iburst
server 2001:db8::1 offline
server nosuchname.invalid offline";

/// Commands, in the order in which they are given, with a look at what they did.
fn follow(daemon: &Daemon, transcript: &mut Transcript, commands: &[&str]) {
    for command in commands {
        transcript.add(command, daemon.ask(command));
    }
}

#[test]
fn sources_are_switched_alike() {
    same(SOURCES, |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "activity",
                "online 192.0.2.0/24",
                "online 198.51.100.0/24",
                "offline 192.0.2.1",
                "offline",
                "activity",
                "offline 255.255.255.0/1.2.3.0",
                "online 2001:db8::/32",
                "offline 2001:db8::1",
                "online ID#0000000001",
                "offline ID#0000000001",
                "online ID#0000000099",
                "burst 1/2 198.51.100.1",
                "activity",
            ],
        );
    });
}

#[test]
fn sources_are_added_and_deleted_alike() {
    same(SOURCES, |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "add server 192.0.2.9 offline",
                "add server 192.0.2.9 offline",
                "add peer 192.0.2.10 offline minpoll 2 maxpoll 6",
                "add server 192.0.2.11 ipv6 offline",
                "add server ::1 ipv4 offline",
                "add server 192.0.2.12 offline minpoll 12",
                "add server 192.0.2.13 offline minpoll 6 maxpoll 3",
                "add server 192.0.2.14 offline minpoll -6 maxpoll -8",
                "add server 192.0.2.15 offline minpoll 6 maxpoll 10 iburst burst key 1 maxdelay 1e-3 \
                 maxdelayratio 10.0 maxdelaydevratio 10.0 mindelay 1e-4 asymmetry 0.5 offset 1e-5 minsamples 6 \
                 maxsamples 6 filter 3 auto_offline prefer noselect trust require xleave polltarget 20 port 123 \
                 presend 7 minstratum 3 version 4",
                "sources",
                "authdata",
                "selectdata",
                "sourcename 192.0.2.9",
                "delete 192.0.2.9",
                "delete 192.0.2.9",
                "delete ID#0000000001",
                "delete ID#0000000001",
                "sources -a",
            ],
        );
    });
}

#[test]
fn sources_are_modified_alike() {
    same(SOURCES, |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "minpoll 192.0.2.1 5",
                "minpoll 192.0.2.1 12",
                "maxpoll 192.0.2.1 6",
                "maxpoll 192.0.2.1 10",
                "sources",
                "minpoll 192.0.2.1 25",
                "maxpoll 192.0.2.1 -9",
                "minpoll 192.0.2.99 3",
                "minpoll ID#0000000001 4",
                "maxdelay 192.0.2.1 1e-2",
                "maxdelayratio 192.0.2.1 3.0",
                "maxdelaydevratio 192.0.2.1 5.0",
                "minstratum 192.0.2.1 1",
                "polltarget 192.0.2.1 10",
                "maxdelay 192.0.2.99 1e-2",
                "sources",
                "reselect",
                "reselectdist 1e-3",
                "reset sources",
                "refresh",
                "sources",
            ],
        );
    });
}

#[test]
fn the_clock_is_commanded_alike() {
    same("port 0", |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "makestep",
                "makestep 10.0 3",
                "maxupdateskew 10.0",
                "dfreq 1.0e-3",
                "local stratum 5 distance 1.0 orphan",
                "local off",
                "manual list",
                "settime now",
                "manual on",
                "manual delete 0",
                "manual reset",
                "manual off",
                "settime now",
                "smoothtime reset",
                "smoothtime activate",
                "trimrtc",
                "writertc",
                "cyclelogs",
                "dump",
                "rekey",
                "onoffline",
                "reload sources",
                "nosuchcommand",
            ],
        );
    });
}

/// chronyd does so in releases after Debian's; there the old file goes on.
#[test]
fn a_log_that_was_moved_is_begun_anew_by_cyclelogs() {
    for program in [Program::Chronyd, Program::Timeballd] {
        let daemon = Daemon::start_with(program, &["-l", "@DIR@/own.log"], SOURCES);
        fs::rename(daemon.path("own.log"), daemon.path("own.log.1")).unwrap();
        for command in ["cyclelogs", "online 192.0.2.1"] {
            assert_eq!(daemon.ask(command), ("200 OK\n".to_owned(), Some(0)), "{command}");
        }
        let read = |name: &str| fs::read_to_string(daemon.path(name)).unwrap_or_default();
        let (old, new) = (read("own.log.1"), read("own.log"));
        let is_told = |log: &str| log.contains("Source 192.0.2.1 online");
        assert!(
            old.contains(" starting ") && (is_told(&old) != is_told(&new)),
            "{old}\n{new}"
        );
        assert!(program == Program::Chronyd || is_told(&new), "{old}\n{new}");
    }
}

#[test]
fn smoothing_is_begun_and_reset_alike() {
    for rule in ["smoothtime 400 0.01", "smoothtime 400 0.01 leaponly"] {
        same(&format!("port 0\n{rule}"), |daemon, transcript| {
            let commands = ["smoothing", "smoothtime activate", "smoothtime activate"];
            follow(daemon, transcript, &commands);
            follow(daemon, transcript, &["smoothtime reset", "smoothtime activate"]);
        });
    }
}

#[test]
fn an_action_of_smoothing_that_does_not_exist_is_refused_alike() {
    for rule in ["", "smoothtime 400 0.01"] {
        same(&format!("port 0\n{rule}"), |daemon, transcript| {
            for action in [0, 1, 2, 7, u32::MAX] {
                // A request of the protocol's version 6, SMOOTHTIME, with its number and some room for the answer.
                let head = [6, 1, 0, 0, 0, 52, 0, 0, 0, 0, 0, 9];
                let request = [&head[..], &[0; 8], &action.to_be_bytes(), &[0; 16]].concat();
                let answer = daemon.ask_raw(&request);
                let status = answer.get(8..10).map(<[u8]>::to_vec);
                transcript.add(&action.to_string(), (format!("{status:?}\n"), None));
            }
        });
    }
}

#[test]
fn typed_times_are_answered_alike() {
    alike("port 0\nmanual", |daemon, transcript| {
        let words = |(text, status): (String, Option<i32>)| (text.replace('-', ""), status);
        transcript.add("settime now", words(daemon.ask("settime now")));
        transcript.add("settime now", words(daemon.ask("settime now")));
        transcript.add("manual delete 1", daemon.ask("manual delete 1"));
        transcript.add("manual delete 0", daemon.ask("manual delete 0"));
        transcript.add("manual list", daemon.ask("manual list"));
    });
}

#[test]
fn offsets_and_frequencies_are_added_with_the_same_sign() {
    same("port 0", |daemon, transcript| {
        follow(daemon, transcript, &["dfreq 50", "doffset 0.5"]);
        let (text, _) = daemon.ask("tracking");
        let frequency = text.lines().find(|line| line.starts_with("Frequency")).unwrap();
        transcript.add("frequency", (format!("{frequency}\n"), None));
        let offset = text.lines().find(|line| line.starts_with("System time")).unwrap();
        let is_half_a_second = offset.contains(": 0.4") || offset.contains(": 0.5");
        let direction = if offset.contains("fast") { "fast" } else { "slow" };
        transcript.add("offset", (format!("{is_half_a_second} {direction}\n"), None));
    });
}

#[test]
fn source_files_are_reloaded_alike() {
    same("port 0\nsourcedir @DIR@/sources.d", |daemon, transcript| {
        let folder = daemon.path("sources.d");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("a.sources");
        for content in [
            "server 192.0.2.7 offline\npeer 192.0.2.8 offline\n",
            "server 192.0.2.7 offline\n",
            "server 192.0.2.9 offline\nno such directive\nserver 192.0.2.7 offline",
            "",
        ] {
            fs::write(&file, content).unwrap();
            follow(daemon, transcript, &["reload sources", "sources", "activity"]);
        }
    });
}

#[test]
fn a_shutdown_is_answered_and_done() {
    let statuses = [Program::Chronyd, Program::Timeballd].map(|program| {
        let mut daemon = Daemon::start(program, "port 0");
        let answer = daemon.ask("shutdown");
        let status = daemon.wait();
        let said = daemon
            .log()
            .lines()
            .last()
            .unwrap_or_default()
            .ends_with(" exiting");
        let left = daemon.path("socket").exists() || daemon.path("pid").exists();
        (answer, status, said, left)
    });
    assert_eq!(statuses[1], statuses[0]);
    assert_eq!(
        statuses[1],
        (("200 OK\n".to_owned(), Some(0)), Some(0), true, false)
    );
}

/// What chronyd logs about commands we log too, word for word and in its order. Later releases of chronyd log more
/// than Debian's, and so do we.
#[test]
fn commands_are_logged_alike() {
    let logs = [Program::Chronyd, Program::Timeballd].map(|program| {
        let daemon = Daemon::start(program, SOURCES);
        for command in [
            "online 192.0.2.1",
            "offline 192.0.2.1",
            "minpoll 192.0.2.1 12",
            "maxdelay 192.0.2.1 1e-2",
            "polltarget 192.0.2.1 10",
            "minstratum 192.0.2.1 2",
            "maxupdateskew 5",
            "makestep 0.1 3",
            "reselectdist 0.1",
            "dfreq 1.5",
            "doffset -0.01",
            "local stratum 5",
            "local off",
            "allow 192.0.2.0/24",
            "deny all 2001:db8::/32",
            "cmdallow all",
            "add server 192.0.2.9 offline",
            "delete 192.0.2.9",
            "reset sources",
            "shutdown",
        ] {
            assert!(daemon.ask(command).0.starts_with("200 OK"), "{command}");
        }
        let log = daemon.log();
        let lines = log
            .lines()
            .filter_map(|line| line.split_once("Z ").map(|(_, text)| text.to_owned()));
        lines.skip(1).collect::<Vec<_>>()
    });
    let mut ours = logs[1].iter();
    for line in logs[0].iter().filter(|line| !line.ends_with("exiting")) {
        assert!(
            ours.any(|own| own == line),
            "{line}\nis not, or not there, in\n{:#?}",
            logs[1]
        );
    }
    assert!(logs[0].len() > 10);
}
