//! Who may ask for what.

use super::*;

/// A command of each kind that changes something; all are refused over UDP, whatever follows.
const CHANGES: [&str; 50] = [
    "accheck 1.2.3.4",
    "cmdaccheck 1.2.3.4",
    "add peer 10.0.0.0 minpoll 2 maxpoll 6",
    "add server 10.0.0.0 minpoll 6 maxpoll 10 iburst",
    "allow 1.2.3.4",
    "allow 1.2",
    "allow all 10/24",
    "allow",
    "deny 1.2.3.4",
    "deny all 1.2.3.0/24",
    "cmdallow 1.2.3.4",
    "cmdallow all 1.2.3.0/24",
    "cmddeny 1.2.3.4",
    "cmddeny all 1.2.3.0/24",
    "burst 5/10",
    "burst 1/2 1.2.3.0/24",
    "cyclelogs",
    "delete 10.0.0.0",
    "delete ID#0000000001",
    "dfreq 1.0e-3",
    "doffset -1.0",
    "dump",
    "local stratum 5 distance 1.0 orphan",
    "local off",
    "makestep 10.0 3",
    "makestep",
    "manual delete 0",
    "manual off",
    "manual on",
    "manual reset",
    "maxdelay 1.2.3.4 1e-2",
    "maxpoll 1.2.3.4 5",
    "maxupdateskew 10.0",
    "minstratum ID#0000000001 1",
    "offline",
    "online 1.2.3.0/24",
    "onoffline",
    "polltarget 1.2.3.4 10",
    "refresh",
    "rekey",
    "reload sources",
    "reselect",
    "reselectdist 1e-3",
    "reset sources",
    "settime now",
    "shutdown",
    "smoothtime reset",
    "smoothtime activate",
    "trimrtc",
    "writertc",
];

#[test]
fn nothing_is_changed_over_udp() {
    same("port 0\nmanual", |daemon, transcript| {
        for command in CHANGES {
            let answer = daemon.ask_udp("127.0.0.1", command);
            assert_eq!(answer.0, "501 Not authorised\n", "{command}");
            transcript.add(command, answer);
        }
        transcript.add("activity", daemon.ask("activity"));
    });
}

#[test]
fn rules_are_kept_in_the_same_tree() {
    same("port 0", |daemon, transcript| {
        for command in [
            "deny all",
            "cmdallow all",
            "allow 1.2.3.4",
            "allow 1.2.3.0/28",
            "deny 1.2.3.0/27",
            "allow 1.2.4.5",
            "deny all 1.2.4.0/27",
            "cmddeny 5.6.7.8",
            "cmdallow all 5.6.7.0/28",
            "accheck 1.2.3.4",
            "accheck 1.2.3.5",
            "accheck 1.2.4.5",
            "cmdaccheck 5.6.7.8",
            "allow 2001:db8::1",
            "allow 2001:db8::/64",
            "deny 2001:db8::/63",
            "allow 2001:db8:1::1",
            "deny all 2001:db8:1::/63",
            "accheck 2001:db8::1",
            "accheck 2001:db8::2",
            "accheck 2001:db8:1::1",
            "allow 1.2.3.4/33",
            "allow 0/0",
            "accheck 9.9.9.9",
            "accheck 2001:db8:ffff::1",
        ] {
            transcript.add(command, daemon.ask(command));
        }
    });
}

#[test]
fn strangers_are_let_in_by_a_command() {
    same("port 0\nbindcmdaddress 0.0.0.0", |daemon, transcript| {
        // To the daemon, a question to 127.0.0.3 comes from 127.0.0.1, who is no stranger.
        for command in ["cmdallow 127.0.0.0/8", "cmddeny 127.0.0.1"] {
            transcript.add(command, daemon.ask(command));
            transcript.add("activity", daemon.ask_udp("127.0.0.3", "activity"));
        }
    });
}
