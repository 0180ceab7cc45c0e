//! OpenNTPD's ntpd and ntpctl, and timeballd under their names: the same tests for both.

use std::os::unix::fs::symlink;

use crate::programs::{peers, prepare_for_openntpd, start_chronyd};
use crate::world::{Host, World, inside, needed};

/// The two programs of one side.
struct Side {
    ntpd: String,
    ntpctl: String,
    /// By how much timers are hurried.
    hurry: &'static str,
}

impl Side {
    /// Debian's OpenNTPD.
    fn theirs() -> Self {
        let program = |name| needed(&peers().join("openntpd/usr/sbin").join(name));
        Self {
            ntpd: program("ntpd"),
            ntpctl: program("ntpctl"),
            hurry: "50",
        }
    }

    /// timeballd, by links: `ntpd`, or `openntpd` where only that says which daemon of the former name is meant.
    fn ours(world: &World, ntpd: &str) -> Self {
        let link = |name| {
            let path = world.path(name);
            symlink(env!("CARGO_BIN_EXE_timeballd"), &path).unwrap();
            path.to_str().unwrap().to_owned()
        };
        Self {
            ntpd: link(ntpd),
            ntpctl: link("ntpctl"),
            hurry: "1",
        }
    }

    /// What ntpctl prints when it is asked in this way, and whether it succeeds.
    fn ask(&self, world: &World, arguments: &[&str]) -> (String, bool) {
        world.attempt(Host::Ours, &self.ntpctl, arguments, &[])
    }

    /// What ntpd prints when it ends at once, and whether it succeeds. It is called by different paths.
    fn run(&self, world: &World, arguments: &[&str]) -> (String, bool) {
        let (text, succeeded) = world.attempt(Host::Ours, &self.ntpd, arguments, &[]);
        // What it looks like is said too; OpenNTPD ends one of its lines twice, and Debian's has no TLS.
        let is_beside = |line: &&str| {
            line.is_empty()
                || line.starts_with("this looks like ")
                || *line == "constraint configured without libtls support"
        };
        let lines = text.lines().filter(|line| !is_beside(line));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        (text.replace(&self.ntpd, "ntpd"), succeeded)
    }
}

/// Asks for the time at each address once; says of each whether an answer came.
const ASK_AT: &str = r#"
import socket, sys
for server in sys.argv[1:]:
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.5)
        try:
            asking.connect((server, 123))
            asking.send(b"\x23" + bytes(39) + b"timeball")
            print(len(asking.recv(500)) == 48)
        except OSError:
            print(False)
"#;

/// Answers at several addresses of a family and at those of a name, and nowhere else.
fn listens_as_openntpd_does(world: &World, side: &Side) {
    start_chronyd(world, "local stratum 2\nallow");
    let library = prepare_for_openntpd(world);
    let hosts = world.write("hosts", "192.0.2.2 here.example\n");
    world.run(Host::Ours, "mount", &["--bind", &hosts, "/etc/hosts"]);
    let lines = "listen on 192.0.2.1\nlisten on here.example\nlisten on 192.0.2.4\nlisten on 2001:db8::1\nserver 192.0.2.11\n";
    let file = world.write("ntpd.conf", lines);
    let environment = [("LD_PRELOAD", library.as_str()), ("HURRY", side.hurry)];
    let arguments = ["-d", "-v", "-f", &file];
    world.start_with(Host::Ours, "ntpd", &side.ntpd, &arguments, &environment);
    let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "2001:db8::1"];
    let arguments = ["-c", ASK_AT].into_iter().chain(addresses).collect::<Vec<_>>();
    world.wait_until("it answers where it shall", || {
        let answered = world.run(Host::Theirs, "python3", &arguments);
        let answered: Vec<&str> = answered.split_whitespace().collect();
        match answered[..] {
            ["True", "True", "False", "True", "True"] => Ok(()),
            _ => Err(format!("{answered:?}")),
        }
    });
    // Of a name that stands for nothing the same is said.
    let file = world.write("wrong.conf", "listen on nosuch.invalid\nserver 192.0.2.11\n");
    let (said, succeeded) = side.run(world, &["-n", "-f", &file]);
    assert!(
        !succeeded && said.contains("could not resolve \"nosuch.invalid\""),
        "{said}"
    );
}

#[test]
fn openntpd_listens_at_addresses_and_names() {
    inside(|world| listens_as_openntpd_does(world, &Side::theirs()));
}

#[test]
fn timeballd_listens_at_the_same() {
    inside(|world| listens_as_openntpd_does(world, &Side::ours(world, "openntpd")));
}

/// Each character of a number made the same, so that columns can be compared.
fn columns(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '0'..='9' | '-' | ' ' => '.',
            character => character,
        })
        .collect()
}

/// Starts as the seed does, and is asked by ntpctl; ends when it is told to.
fn lives_as_openntpd_does(world: &World, side: &Side) {
    start_chronyd(world, "local stratum 2\nallow");
    let library = prepare_for_openntpd(world);
    let before = side.ask(world, &["-s", "all"]);
    assert!(
        before.0.starts_with("ntpctl: connect: /") && before.0.ends_with(": No such file or directory\n"),
        "{before:?}"
    );
    assert!(!before.1);
    let hosts = "192.0.2.12 time.example.net\n192.0.2.13 time.example.net\n";
    let hosts = world.write("hosts", hosts);
    world.run(Host::Ours, "mount", &["--bind", &hosts, "/etc/hosts"]);
    let file = world.write(
        "ntpd.conf",
        "server 192.0.2.11 weight 3\nservers time.example.net\n",
    );
    let pid_file = world.path("ntpd.pid");
    let arguments = ["-d", "-s", "-v", "-f", &file, "-p", pid_file.to_str().unwrap()];
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("HURRY", side.hurry),
        ("TZ", "UTC"),
    ];
    world.start_with(Host::Ours, "ntpd", &side.ntpd, &arguments, &environment);
    let log = world.wait_until("the clock is synchronised and all sources are valid", || {
        let log = world.log("ntpd");
        let is_there = log.contains("clock is now synced") && log.matches(" now valid\n").count() == 3;
        if is_there { Ok(log) } else { Err(log) }
    });
    // What OpenNTPD does not say.
    let log: String = log
        .lines()
        .filter(|line| !line.ends_with(": weight is not used"))
        .map(|line| format!("{line}\n"))
        .collect();
    check_log(&log);
    if side.hurry == "1" {
        let place = |line| log.find(line);
        assert!(place("creating new") < place("adjtimex adjusted"), "{log}");
        assert!(place("adjtimex adjusted") < place("ntp engine ready"), "{log}");
    }

    let (status, _) = side.ask(world, &["-s", "status"]);
    assert_eq!(status, "3/3 peers valid, clock synced, stratum 3\n");
    let (table, succeeded) = side.ask(world, &["-s", "peers"]);
    assert!(succeeded);
    let lines = table.lines().collect::<Vec<_>>();
    let heading = [
        "peer",
        "   wt tl st  next  poll          offset       delay      jitter",
    ];
    assert_eq!(lines[..2], heading, "{table}");
    let mut names = [lines[2], lines[4], lines[6]];
    names.sort_unstable();
    let pool = ["192.0.2.12", "192.0.2.13"].map(|address| format!("{address} from pool time.example.net"));
    assert_eq!(names, ["192.0.2.11 ", &pool[0], &pool[1]], "{table}");
    for (name, line) in [(lines[2], lines[3]), (lines[4], lines[5]), (lines[6], lines[7])] {
        let numbers = line.replacen('*', " ", 1);
        let pattern = "    1 10  2    6s   32s         0.003ms     0.034ms     0.013ms";
        assert_eq!(columns(&numbers), columns(pattern), "{table}");
        let weight = if name == "192.0.2.11 " { 3 } else { 1 };
        assert!(numbers.starts_with(&format!("    {weight} ")), "{table}");
    }
    assert_eq!(lines.len(), 8, "{table}");
    let (all, _) = side.ask(world, &["-s", "all"]);
    assert_eq!(columns(&all), columns(&format!("{status}\n{table}")), "{all}");
    let sensors = side.ask(world, &["-s", "Sensors"]);
    assert_eq!(sensors, ("no sensors configured\n".to_owned(), true));

    // OpenNTPD writes it only in the background.
    let pid = std::fs::read_to_string(&pid_file);
    assert_eq!(pid.is_ok_and(|pid| pid.ends_with('\n')), side.hurry == "1");
    assert!(world.stop("ntpd"), "it ends with success");
    let log = world.log("ntpd");
    let last = log.lines().rev().take(2).collect::<Vec<_>>();
    assert_eq!(last, ["Terminating", "ntp engine exiting"], "{log}");
    assert!(!pid_file.exists(), "the file with its number is gone");
}

/// The log of a start, until the clock is synchronised.
fn check_log(log: &str) {
    let lines: Vec<&str> = log
        .lines()
        // What is missing in a test, and not what is tested.
        .filter(|line| !line.contains(" set priority: "))
        .filter(|line| !line.starts_with("pipe write error"))
        .collect();
    let first = [
        "creating new /var/lib/openntpd/db/ntpd.drift",
        "adjtimex adjusted frequency by 0.000000ppm",
        "ntp engine ready",
    ];
    // Those of OpenNTPD come from two processes.
    assert!(first.iter().all(|line| lines[..3].contains(line)), "{log}");
    let place = |beginning: &str| {
        let found = lines.iter().position(|line| line.starts_with(beginning));
        found.unwrap_or_else(|| panic!("{beginning}: {log}"))
    };
    assert!(place("reply from ") < place("set local clock to "), "{log}");
    for source in ["192.0.2.11", "192.0.2.12", "192.0.2.13"] {
        let valid = place(&format!("peer {source} now valid"));
        let reply = format!("reply from {source}: offset ");
        let before = lines[..valid].iter().filter(|line| line.starts_with(&reply));
        assert_eq!(before.count(), 3, "{log}");
        assert!(lines[valid + 1].starts_with(&reply), "{log}");
    }
    let valid = lines.iter().position(|line| line.ends_with(" now valid"));
    assert!(valid < Some(place("clock is now synced")), "{log}");
    for line in &lines[3..] {
        let is_known = is_like(line, "reply from #: offset # delay #, next query #s")
            || is_like(line, "set local clock to # # # # UTC # (offset #s)")
            || is_like(line, "peer # now valid")
            || *line == "clock is now synced";
        assert!(is_known, "{line}: {log}");
    }
}

/// Whether the words of a line are those of a pattern, in which `#` stands for anything in a word.
fn is_like(line: &str, pattern: &str) -> bool {
    let (words, wanted): (Vec<&str>, Vec<&str>) = (line.split(' ').collect(), pattern.split(' ').collect());
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.len() == wanted.len()
        && words
            .iter()
            .zip(&wanted)
            .all(|(word, wanted)| match wanted.split_once('#') {
                None => word == wanted,
                Some((before, after)) => {
                    word.len() > before.len() + after.len()
                        && word.starts_with(before)
                        && word.ends_with(after)
                }
            })
}

#[test]
fn openntpd_lives() {
    inside(|world| lives_as_openntpd_does(world, &Side::theirs()));
}

#[test]
fn timeballd_lives_as_openntpd_does() {
    inside(|world| lives_as_openntpd_does(world, &Side::ours(world, "ntpd")));
}

/// Without `-d` and with `-s` it is in the foreground until the clock is set, and then has gone into the background.
fn goes_into_the_background_when_the_clock_is_set(world: &World, side: &Side) {
    start_chronyd(world, "local stratum 2\nallow");
    let library = prepare_for_openntpd(world);
    let file = world.write("ntpd.conf", "server 192.0.2.11\n");
    let pid_file = world.path("ntpd.pid");
    let arguments = ["-s", "-f", &file, "-p", pid_file.to_str().unwrap()];
    let environment = [("LD_PRELOAD", library.as_str()), ("HURRY", side.hurry)];
    let (text, succeeded) = world.attempt(Host::Ours, &side.ntpd, &arguments, &environment);
    assert!(succeeded, "{text}");
    let (table, _) = world.wait_until("ntpctl is answered", || {
        let answer = side.ask(world, &["-s", "peers"]);
        if answer.1 { Ok(answer) } else { Err(answer.0) }
    });
    // The answer that has set the clock counts.
    let reply = table
        .lines()
        .find(|line| line.ends_with(" ---- peer not valid ----"));
    let trust = reply.and_then(|line| line.split_whitespace().nth(1)?.parse::<u8>().ok());
    assert!(reply.is_none() || trust >= Some(3), "{table}");
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    world.run(Host::Ours, "kill", &[pid.trim_end()]);
    world.wait_until("it has ended and its file is gone", || {
        if pid_file.exists() {
            Err(pid.clone())
        } else {
            Ok(())
        }
    });
}

#[test]
fn openntpd_goes_into_the_background() {
    inside(|world| goes_into_the_background_when_the_clock_is_set(world, &Side::theirs()));
}

#[test]
fn timeballd_goes_into_the_background_as_openntpd_does() {
    inside(|world| goes_into_the_background_when_the_clock_is_set(world, &Side::ours(world, "ntpd")));
}

#[test]
fn a_configuration_is_checked_alike() {
    inside(|world| {
        let sides = [Side::theirs(), Side::ours(world, "openntpd")];
        for (number, text) in [
            "server 192.0.2.1\n",
            "",
            "# nothing\n",
            "servers pool.ntp.org\n",
            "listen on *\nserver a weight 1\nsensor *\n",
            "servers a\nlisten on 192.0.2.1\n",
            "servr a\n",
            "SERVER a\n",
            "server\nserver a weight 11\nlisten on\n",
            "server a weight 0\nserver a weight x\n",
            "sensor x refid toolong\n",
            "sensor x refid \"\"\n",
            "sensor x stratum 16\nsensor x stratum 0\n",
            "sensor x correction 127000001\n",
            "query from x\n",
            "query from 192.0.2.1\nserver a\n",
            "constraint from https://www.example.com/\n",
            "server [::1]\n",
            "server 2001:db8::1%eth0\n",
            "server \\\na\nserver b c\n",
        ]
        .into_iter()
        .enumerate()
        {
            let file = world.write(&format!("{number}.conf"), text);
            let [theirs, ours] = sides.each_ref().map(|side| side.run(world, &["-n", "-f", &file]));
            assert_eq!(ours, theirs, "{text:?}");
            let is_good = theirs.1;
            assert_eq!(theirs.0 == "configuration OK\n", is_good, "{theirs:?}");
            if !is_good {
                let [theirs, ours] = sides.each_ref().map(|side| side.run(world, &["-d", "-f", &file]));
                assert_eq!(ours, theirs, "{text:?} with -d");
            }
        }
    });
}

#[test]
fn arguments_are_refused_alike() {
    inside(|world| {
        let sides = [Side::theirs(), Side::ours(world, "openntpd")];
        let file = world.write("ntpd.conf", "server 192.0.2.1\n");
        for arguments in [
            &["-n", "-f", "/nowhere/ntpd.conf"][..],
            &["-n", "-f", "/tmp"],
            &["-n", "-Q", "-f", &file],
            &["-n", "-f", &file, "more"],
            &["-dn", "-v", "-sS", "-f", &file],
            &["-n", "-p"],
        ] {
            let [theirs, ours] = sides.each_ref().map(|side| side.run(world, arguments));
            assert_eq!(ours, theirs, "{arguments:?}");
        }
        for arguments in [
            &[][..],
            &["-s"],
            &["-s", "foo"],
            &["-s", "allx"],
            &["-x"],
            &["-s", ""],
        ] {
            let [theirs, ours] = sides.each_ref().map(|side| {
                let (text, succeeded) = side.ask(world, arguments);
                (text.replace(&side.ntpctl, "ntpctl"), succeeded)
            });
            assert_eq!(ours, theirs, "{arguments:?}");
            assert!(!theirs.1);
        }
    });
}

#[test]
fn without_the_right_to_set_the_clock_the_remedy_is_said() {
    inside(|world| {
        prepare_for_openntpd(world);
        let side = Side::ours(world, "ntpd");
        let file = world.write("ntpd.conf", "servers pool.ntp.org");
        // In a container with another keeper of the clock too, whom it could not follow either.
        let another = "mkdir /run/chrony; touch /run/chrony/chronyd.pid; rm /var/lib/openntpd/db/ntpd.drift";
        for environment in [&[][..], &[("container", "oci")]] {
            if !environment.is_empty() {
                world.run(Host::Ours, "sh", &["-euc", another]);
            }
            let arguments = ["-d", "-s", "-f", &file];
            let (text, succeeded) = world.attempt(Host::Ours, &side.ntpd, &arguments, environment);
            assert!(!succeeded, "{text}");
            let lines = text.lines().collect::<Vec<_>>();
            let openntpds = [
                "reset adjtime failed: Operation not permitted",
                "creating new /var/lib/openntpd/db/ntpd.drift",
                "adjtimex failed: Operation not permitted",
            ];
            assert_eq!(lines[..3], openntpds, "{text}");
            assert_eq!(lines.len(), 4, "{text}");
            for remedy in ["initial user namespace", "-x"] {
                assert!(lines[3].contains(remedy), "{text}");
            }
        }
        // Told to observe, it goes on.
        world.start(Host::Ours, "ntpd", &side.ntpd, &["-d", "-s", "-x", "-f", &file]);
        world.wait_until("it is ready", || {
            let log = world.log("ntpd");
            if log.contains("ntp engine ready\n") {
                Ok(())
            } else {
                Err(log)
            }
        });
    });
}
