//! OpenNTPD's place is taken: its log lines, in its order.

use std::fs;
use std::path::Path;
use std::process::Child;

use crate::{Clock, RIGHT, daemon, ended, new_world, outcome, server, start_alone};

/// What `docker logs` shows of OpenNTPD 6.2p3 after `ntpd -d -s -f /etc/ntpd.conf`. Two of its servers answered a request
/// that was sent before the clock was set: those answers are no use to it, and are left alone for an hour.
const OPENNTPD: &str = "\
creating new /var/db/ntpd.drift
adjtimex adjusted frequency by 0.000000ppm
ntp engine ready
reply from 45.55.217.50: offset -0.395447 delay 0.139999, next query 7s
reply from 50.205.244.112: offset -0.392487 delay 0.139775, next query 6s
set local clock to Tue Mar  3 20:18:48 UTC 2020 (offset -0.395447s)
reply from 216.240.36.24: negative delay -0.247795s, next query 3217s
reply from 23.129.64.159: negative delay -0.245678s, next query 3019s
reply from 50.205.244.112: offset 0.024988 delay 0.082805, next query 5s
reply from 45.55.217.50: offset 0.019650 delay 0.093784, next query 7s
reply from 45.55.217.50: offset 0.009099 delay 0.085599, next query 9s
peer 45.55.217.50 now valid
";

/// What has to be there of the machine.
const PREPARE: &str = "
mount --bind \"$PASSWD\" /etc/passwd
mkdir /var/db
[ -z \"$DRIFT\" ] || echo \"$DRIFT\" >/var/db/ntpd.drift
";

/// Starts the daemon under the name `ntpd` with the arguments of the seed's image, as node 2 whose clock is off by so much;
/// `drift` is what the drift file has in it, if there is one.
fn ntpd(folder: &Path, error_s: f64, drift: &str, configuration: &str) -> Child {
    let [file, passwd] = ["ntpd.conf", "passwd"].map(|name| folder.join(name));
    fs::write(&file, configuration).unwrap();
    fs::write(&passwd, "root:x:0:0::/:/bin/false\n").unwrap();
    let clock = Clock { error_s, ..RIGHT };
    let environment = [
        ("NTP_CONF_FILE", file.to_str().unwrap()),
        ("PASSWD", passwd.to_str().unwrap()),
        ("DRIFT", drift),
    ];
    start_alone(
        3,
        &clock,
        folder,
        PREPARE,
        ("ntpd", &["-v", "-d", "-s"]),
        &environment,
    )
}

/// A line without its numbers, addresses and names of days and months.
fn masked(line: &str) -> String {
    let mut text = String::new();
    for word in line.split_whitespace() {
        let is_name = word.len() == 3 && word.starts_with(char::is_uppercase) && word != "UTC";
        let mut is_number = false;
        for character in word.chars() {
            let is_part =
                character.is_ascii_digit() || "-.".contains(character) && word.contains(char::is_numeric);
            if !is_part {
                text.push(character);
            } else if !is_number {
                text.push('#');
            }
            is_number = is_part;
        }
        if is_name {
            text.truncate(text.len() - word.len());
            text.push('#');
        }
        text.push(' ');
    }
    text
}

#[test]
fn a_first_start_is_told_as_openntpd_tells_it() {
    let folder = new_world(7);
    // One of the two falls silent, as in what is compared with.
    let servers = [
        (1, server(1, 3, folder.path(), &[])),
        (3, server(3, 3, folder.path(), &["-t", "3"])),
    ];
    let client = ntpd(folder.path(), 0.395, "", "server 10.0.0.1\nserver 10.0.0.3");
    let (log, has_succeeded) = ended(2, client, folder.path());
    assert!(has_succeeded, "{log}");
    for (node, child) in servers {
        ended(node, child, folder.path());
    }
    // There are no such sockets in the simulated world.
    let (refused, lines): (Vec<&str>, Vec<&str>) =
        log.lines().partition(|line| line.contains("command socket"));
    assert_eq!(refused.len(), 1, "{log}");
    let wanted: Vec<String> = OPENNTPD
        .lines()
        .filter(|line| !line.contains("negative delay"))
        .map(masked)
        .collect();
    let (told, after) = lines.split_at(wanted.len());
    assert_eq!(
        told.iter().map(|line| masked(line)).collect::<Vec<_>>(),
        wanted,
        "{log}"
    );
    assert!(
        after[0].starts_with("reply from 10.0.0.1: offset "),
        "a source is valid before its fourth reply: {log}"
    );
    assert!(lines.ends_with(&["ntp engine exiting", "Terminating"]), "{log}");
    assert!(!log.contains("negative delay"), "{log}");

    // What it says is what was done.
    let outcome = outcome(folder.path());
    assert_eq!(outcome.steps, 1, "{log}");
    let offset = "(offset -0.395";
    assert!(lines.iter().any(|line| line.contains(offset)), "{log}");
    let left_s = outcome.errors_s.last().unwrap();
    assert!(left_s.abs() < 1e-3, "{left_s} s are left: {log}");
}

#[test]
fn the_drift_is_known_at_the_next_start() {
    let folder = new_world(3);
    let servers = [1, 3].map(|node| (node, server(node, 3, folder.path(), &[])));
    let client = ntpd(folder.path(), 0.0, "-12.346", "server 10.0.0.1\n");
    let (log, has_succeeded) = ended(2, client, folder.path());
    assert!(has_succeeded, "{log}");
    for (node, child) in servers {
        ended(node, child, folder.path());
    }
    assert!(!log.contains("ntpd.drift"), "{log}");
    let line = "adjtimex adjusted frequency by -12.34";
    assert!(log.contains(line), "{log}");
}

#[test]
fn without_an_answer_the_clock_is_not_set() {
    let folder = new_world(20);
    // They may be asked by nobody.
    let silent = |node| daemon(node, 3, &RIGHT, folder.path(), &["-x"], "local stratum 1\n");
    let servers = [1, 3].map(|node| (node, silent(node)));
    let client = ntpd(folder.path(), 100.0, "", "server 10.0.0.1\nserver 10.0.0.3\n");
    let (log, has_succeeded) = ended(2, client, folder.path());
    assert!(has_succeeded, "{log}");
    for (node, child) in servers {
        ended(node, child, folder.path());
    }
    assert_eq!(outcome(folder.path()).steps, 0, "{log}");
    let skipped = "no reply received in time, skipping initial time setting";
    assert_eq!(log.lines().filter(|line| *line == skipped).count(), 1, "{log}");
    assert!(
        log.contains("no reply from 10.0.0.1 received in time, next query "),
        "{log}"
    );
}
