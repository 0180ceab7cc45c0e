//! Every command of `chronyc`, in every form, rightly and wrongly, and every way of asking for a report.
//!
//! Commands that Debian's `chronyc` does not know yet are here too: with a later one they are compared as well.

use std::fs;

use super::*;

/// Sources that need no network, keys that are not there yet, and places for files.
const SOURCES: &str = "
port 0
keyfile @DIR@/keys
dumpdir @DIR@/dump
logdir @DIR@/logs
log measurements statistics
server 192.0.2.1 offline
server 192.0.2.2 offline key 3 prefer
server 2001:db8::1 offline minpoll 3 maxpoll 5
peer 192.0.2.3 offline trust key 4
pool nosuchpool.invalid maxsources 1 offline";

fn follow(daemon: &Daemon, transcript: &mut Transcript, commands: &[&str]) {
    for command in commands {
        transcript.add(command, daemon.ask(command));
    }
}

#[test]
fn commands_about_access_are_answered_alike() {
    same("port 0", |daemon, transcript| {
        for list in ["", "cmd"] {
            for word in ["allow", "deny"] {
                for rest in [
                    "",
                    " all",
                    " 192.0.2.1",
                    " all 192.0.2.1",
                    " 192.0.2.0/24",
                    " 192.0.2",
                    " 192.0",
                    " 10",
                    " 10/8",
                    " 2001:db8::1",
                    " all 2001:db8::/32",
                    " ::/0",
                    " 0.0.0.0/0",
                    " 192.0.2.1/33",
                    " 192.0.2.1/-1",
                    " 192.0.2.1/x",
                    " 2001:db8::/129",
                    " nosuchname.invalid",
                    " 192.0.2.1 192.0.2.2",
                    " all all",
                ] {
                    let command = format!("{list}{word}{rest}");
                    transcript.add(&command, daemon.ask(&command));
                    for address in ["192.0.2.1", "192.0.3.1", "10.1.2.3", "2001:db8::1", "2001:db9::1"] {
                        let check = format!("{list}accheck {address}");
                        transcript.add(&check, daemon.ask(&check));
                    }
                }
            }
            for check in ["accheck", "accheck x.invalid", "accheck 192.0.2.1/24"] {
                let check = format!("{list}{check}");
                transcript.add(&check, daemon.ask(&check));
            }
        }
    });
}

#[test]
fn commands_about_sources_are_answered_alike() {
    same(SOURCES, |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "add",
                "add server",
                "add nothing 192.0.2.20",
                "add server nosuchname.invalid",
                "add server 192.0.2.20 nosuchoption",
                "add server 192.0.2.20 minpoll",
                "add server 192.0.2.20 minpoll x offline",
                "add server 192.0.2.21 offline port 11123 key 77",
                "add server 192.0.2.22 offline maxdelay 0.1 mindelay 0.01 asymmetry 0.2 filter 5",
                "add server 192.0.2.23 offline version 3 maxsources 3 maxunreach 9",
                "add pool 192.0.2.24 offline maxsources 2",
                "add peer 2001:db8::2 offline key 3 minpoll -4 maxpoll 0",
                "add peer 192.0.2.3 offline",
                "sources -a",
                "authdata -a",
                "selectdata -a",
                "delete",
                "delete nosuchname.invalid",
                "delete 192.0.2.99",
                "delete 2001:db8::2",
                "online 192.0.2.99",
                "online 255.255.255.0/192.0.2.0/24",
                "online 192.0.2.1/33",
                "online x",
                "offline 192.0.2.1",
                "offline 255.255.255.255/192.0.2.1",
                "offline 2001:db8::/129",
                "burst",
                "burst x/y",
                "burst 3",
                "burst 1/2 192.0.2.99",
                "burst 0/0 192.0.2.99",
                "activity",
                "minpoll",
                "minpoll 192.0.2.1",
                "minpoll 192.0.2.1 x",
                "minpoll nosuchname.invalid 3",
                "minpoll 2001:db8::1 2",
                "maxpoll 192.0.2.1 99",
                "maxpoll 192.0.2.99 4",
                "maxdelay 192.0.2.1",
                "maxdelay 192.0.2.1 x",
                "maxdelay 192.0.2.1 -1",
                "maxdelay 192.0.2.1 1e12",
                "maxdelayratio 192.0.2.2 0",
                "maxdelayratio 192.0.2.99 1",
                "maxdelaydevratio 192.0.2.2 1e-3",
                "maxdelaydevratio 192.0.2.99 1",
                "minstratum 192.0.2.2 20",
                "minstratum 192.0.2.99 2",
                "minstratum 192.0.2.2 x",
                "polltarget 192.0.2.2 0",
                "polltarget 192.0.2.99 6",
                "selectopts 192.0.2.1 +prefer -trust",
                "selectopts 192.0.2.2 -prefer +noselect +require",
                "selectopts 192.0.2.99 +prefer",
                "selectopts GPS +prefer",
                "selectopts 192.0.2.1 prefer",
                "selectdata -a",
                "offset 192.0.2.1 0.001",
                "offset 192.0.2.99 0.001",
                "sourcename",
                "sourcename 192.0.2.1",
                "sourcename 2001:db8::1",
                "ntpdata x.invalid",
                "refresh",
                "refresh x",
                "reload",
                "reload sources",
                "reload nothing",
                "reset",
                "reset sources",
                "reset nothing",
                "reselect",
                "reselectdist",
                "reselectdist x",
                "reselectdist -1",
                "reselectdist 0.001",
                "sources -a",
                "sourcestats -a",
            ],
        );
    });
}

/// What waits for nothing is seen at once: a burst begins after some time.
#[test]
fn bursts_are_counted_alike() {
    same(SOURCES, |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "burst 2/5 192.0.2.1",
                "activity",
                "burst 2/5 255.255.255.0/192.0.2.0",
                "activity",
                "online 192.0.2.2",
                "burst 2/5 2001:db8::/32",
                "activity",
                "offline",
                "activity",
            ],
        );
    });
}

#[test]
fn sources_with_a_route_are_put_online_alike() {
    same(
        "port 0\nserver 127.0.0.9 port 9 offline\nserver ::1 port 9 offline\npeer 127.0.0.8 offline",
        |daemon, transcript| {
            follow(
                daemon,
                transcript,
                &["activity", "onoffline", "activity", "onoffline x"],
            );
        },
    );
}

#[test]
fn sources_without_a_route_are_put_offline_alike() {
    // Where the tests run there is nothing but the loopback interface.
    same(
        "port 0\nserver 192.0.2.1\nserver 192.0.2.2 offline\nserver 127.0.0.9 port 9 offline\nserver ::1 port 9",
        |daemon, transcript| {
            follow(
                daemon,
                transcript,
                &["activity", "onoffline", "activity", "onoffline", "activity"],
            );
        },
    );
}

#[test]
fn commands_about_the_clock_are_answered_alike() {
    same(&format!("{SOURCES}\nmanual"), |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "makestep x",
                "makestep 0.1",
                "makestep 0.1 -1",
                "makestep -1 0",
                "makestep 0.1 3 4",
                "maxupdateskew",
                "maxupdateskew x",
                "maxupdateskew 0",
                "maxupdateskew -5",
                "dfreq",
                "dfreq x",
                "dfreq 0",
                "doffset",
                "doffset x",
                "doffset 0",
                "local stratum",
                "local stratum 0",
                "local stratum 16",
                "local stratum x",
                "local orphan",
                "local off",
                "local nothing",
                "local stratum 7 distance 0.1 activate 0.5 waitsynced 10 waitunsynced 20",
                "local off",
                "manual",
                "manual nothing",
                "manual list",
                "manual delete",
                "manual delete x",
                "manual delete 0",
                "manual delete 99",
                "manual reset",
                "manual off",
                "manual list",
                "manual on",
                "settime nonsense",
                "smoothtime",
                "smoothtime nothing",
                "smoothtime reset",
                "smoothing",
                "rtcdata",
                "trimrtc",
                "writertc",
                "waitsync 1 0.1 0 0.1",
                "waitsync 2 0 100 0.1",
                "tracking x",
                "shutdown x y",
            ],
        );
    });
}

#[test]
fn commands_of_the_client_alone_are_answered_alike() {
    same("port 0", |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &[
                "",
                "help",
                "nosuchcommand",
                "dns -n",
                "dns x",
                "timeout 100",
                "timeout x",
                "retries 1",
                "exit",
            ],
        );
    });
}

#[test]
fn keys_are_read_again_alike() {
    same(SOURCES, |daemon, transcript| {
        follow(daemon, transcript, &["authdata", "rekey"]);
        let texts = [
            "3 MD5 ASCII:a secret\n4 SHA1 HEX:00112233445566778899",
            "3 SHA256 ASCII:abcdefghij\n4 AES128 HEX:00112233445566778899aabbccddeeff\n",
            "3 SHA1 ASCII:abcdefghijk\n3 MD5 ASCII:twice\n3 SHA256 ASCII:three_times\n4 nonsense\n",
            "4 AES256 HEX:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n3 SHA384 abcdef\n",
            "",
        ];
        for text in texts {
            fs::write(daemon.path("keys"), text).unwrap();
            follow(daemon, transcript, &["rekey", "authdata", "authdata -a"]);
            transcript.add("authdata", daemon.ask_for_values("authdata"));
        }
    });
}

/// Nothing was measured, so that there is nothing to dump, and nothing to log.
#[test]
fn without_measurements_the_same_files_are_written() {
    same(SOURCES, |daemon, transcript| {
        follow(
            daemon,
            transcript,
            &["dump", "cyclelogs", "dump x", "cyclelogs x"],
        );
        for folder in ["dump", "logs"] {
            let entries = fs::read_dir(daemon.path(folder)).map(Iterator::collect::<Vec<_>>);
            let names = entries.unwrap_or_default().into_iter();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap() + "\n");
            let mut names = names.collect::<Vec<_>>();
            names.sort();
            transcript.add(folder, (names.concat(), None));
        }
    });
}

/// All reports, in every form in which they can be asked for.
#[test]
fn reports_have_the_same_forms() {
    const REPORTS: [&str; 21] = [
        "tracking",
        "sources",
        "sources -a",
        "sources -v",
        "sources -a -v",
        "sourcestats",
        "sourcestats -a",
        "sourcestats -v",
        "selectdata",
        "selectdata -a",
        "selectdata -v",
        "authdata",
        "authdata -a",
        "authdata -v",
        "activity",
        "ntpdata",
        "ntpdata 192.0.2.1",
        "manual list",
        "smoothing",
        "rtcdata",
        "clients",
    ];
    same(SOURCES, |daemon, transcript| {
        for options in [
            &["-c", "-n"][..],
            &["-c"],
            &["-n"],
            &["-N"],
            &["-c", "-N"],
            &["-e", "-n"],
            &["-n", "-4"],
        ] {
            for report in REPORTS {
                let answer = daemon.ask_with(options, &report.split(' ').collect::<Vec<_>>());
                transcript.add(&format!("{options:?} {report}"), answer);
            }
        }
    });
}

/// Several commands at once: each is answered, and the last one decides the exit status.
#[test]
fn several_commands_are_answered_alike() {
    same(SOURCES, |daemon, transcript| {
        for commands in [
            &["activity", "sources -a", "online 192.0.2.99"][..],
            &["online 192.0.2.99", "activity"],
            &["nosuchcommand", "activity"],
            &["activity", "nosuchcommand"],
        ] {
            for options in [&["-n", "-m"][..], &["-c", "-n", "-m"]] {
                transcript.add(
                    &format!("{options:?} {commands:?}"),
                    daemon.ask_with(options, commands),
                );
            }
        }
    });
}
