//! Daemons that end by themselves: with what status, and what they say at last.

use super::*;

/// Nobody to serve, to ask or to be asked by.
const IDLE: [&str; 4] = ["port 0", "cmdport 0", "bindcmdaddress /", "pidfile @DIR@/pid"];

/// Runs both daemons, idle but for these arguments; returns how they ended.
#[track_caller]
fn alike(arguments: &[&str]) -> (Option<i32>, String) {
    let user = daemon::user();
    let arguments = [&["-u", user.as_str()], arguments, &IDLE].concat();
    let [original, ours] = [Program::Chronyd, Program::Timeballd].map(|program| {
        let (status, lines) = program.run(&arguments);
        let last = lines.iter().rev().take(2).rev();
        // What is told at the start depends on who runs the test, and who stays root is told more by ours.
        let last = last.filter(|line| !line.contains("root") && !line.starts_with("Disabled control"));
        (status, last.cloned().collect::<Vec<_>>().join(", "))
    });
    assert_eq!(ours, original, "{arguments:?}");
    ours
}

#[test]
fn a_daemon_without_anything_to_do_ends_when_it_was_told_to() {
    let reached = "Timeout reached, chronyd exiting";
    let none = "No suitable source for synchronisation, chronyd exiting";
    for (arguments, status, said) in [
        (&["-t", "1"][..], 1, reached),
        (&["-t", "1", "local stratum 3"], 0, reached),
        (&["-t", "1", "initstepslew 10 127.0.0.9"], 1, reached),
        (&["-t", "1", "initstepslew 10", "local"], 0, reached),
        (&["-Q"], 1, none),
        (&["-Q", "-t", "1", "local"], 1, none),
        (&[], 1, "Fatal error : Nothing to do"),
        (&["local"], 1, "Fatal error : Nothing to do"),
        (&["initstepslew 10"], 1, "Fatal error : Nothing to do"),
    ] {
        assert_eq!(alike(arguments), (Some(status), said.to_owned()), "{arguments:?}");
    }
}

#[test]
fn a_daemon_that_follows_itself_ends_well() {
    assert_eq!(
        alike(&["-t", "1", "local stratum 3", "server 127.0.0.9"]).0,
        Some(0)
    );
    assert_eq!(alike(&["-t", "1", "server 127.0.0.9"]).0, Some(1));
}

/// What cannot be opened at the start, while it runs and at the end.
#[test]
fn files_that_cannot_be_opened_are_told_alike() {
    let (status, said) = alike(&["-t", "1", "-l", "/nosuch/log"]);
    assert_eq!(
        (status, said.as_str()),
        (
            Some(1),
            "Fatal error : Could not open /nosuch/log : No such file or directory"
        )
    );
    let (_server, port) = daemon::server();
    let server = format!("server 127.0.0.1 port {port} iburst minpoll -2 maxpoll -2");
    let user = daemon::user();
    let told = [Program::Chronyd, Program::Timeballd].map(|program| {
        let arguments = [
            &["-u", &user, "-t", "4", &server][..],
            &IDLE,
            &["driftfile /nosuch/drift", "logdir /dev/null", "log tracking"],
        ]
        .concat();
        let (status, mut lines) = program.run(&arguments);
        lines.retain(|line| line.starts_with("Could not open /"));
        lines.sort();
        (status, lines)
    });
    assert_eq!(told[1], told[0]);
    assert_eq!(
        told[1].1,
        [
            "Could not open /dev/null/tracking.log : Not a directory",
            "Could not open /nosuch/drift.tmp : No such file or directory",
        ]
    );
}
