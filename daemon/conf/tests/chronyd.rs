//! The same configurations given to chronyd and to us: both take them, or both refuse them, and
//! both print the same directives.
//!
//! Runs the `chronyd` of the system, or the one that `TIMEBALL_CHRONYD` names. With a build of
//! chrony's development version the texts of errors are compared too: they are the ones we use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the files of a test, and the program beside it, are its own"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use conf::chrony::{parse, parse_arguments, print, print_arguments};
use conf::diagnostic::{Diagnostic, Severity};
use conf::include::{ReadError, Reader};

/// Says where a configuration is taken differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    /// Nowhere.
    No,
    /// chronyd 4.3 takes what later ones refuse, or does not know it yet.
    Then,
    /// We refuse what every chronyd takes, on purpose.
    Ours,
}
use Differs::{No, Ours, Then};

/// Configurations, `|` being the end of a line and `@` a directory of files.
const CORPUS: &[(&str, Differs)] = &[
    // Lines, comments, blanks, letter case.
    ("", No),
    ("#x|!x| ;x|\t%x", No),
    ("  \tRTCSYNC  ", No),
    ("MakeStep  1.0\t3", No),
    ("foo", No),
    ("foo bar", No),
    ("rtcsync # why", No),
    ("dumpdir a b", No),
    ("keyfile", No),
    ("port 1|foo|port 99999", No),
    // Directives of one integer.
    ("port 0", No),
    ("port 65535", No),
    ("port 65536", Then),
    ("port -1", Then),
    ("port x", No),
    ("port 12x", Then),
    ("port 1.5", Then),
    ("port 0x7b", Then),
    ("port +5", No),
    ("port 0123", No),
    ("port -0", No),
    ("port 99999999999999999999999", Then),
    ("acquisitionport 0", No),
    ("acquisitionport 30000000000", Then),
    ("cmdport 70000", Then),
    ("dscp 63", No),
    ("dscp 64", Then),
    ("logbanner 0", No),
    ("logbanner -1", Then),
    ("maxsamples 0", No),
    ("maxsamples 2147483648", Then),
    ("minsamples 3.5", Then),
    ("minsources 0", Then),
    ("minsources 2", No),
    ("maxstratum 5", Then),
    ("minstratum -1", No),
    ("maxtxbuffers 1048577", No),
    ("refresh 0", Then),
    ("sched_priority 100", No),
    ("sched_priority 101", Then),
    ("ntsprocesses 1001", Then),
    ("ntsprocesses 0", No),
    ("maxntsconnections 0", Then),
    ("ptpdomain 256", No),
    ("clientloglimit 100", No),
    ("clientloglimit 1.5x", No),
    ("clientloglimit x", No),
    // Directives of one number.
    ("maxdistance 1.5", No),
    ("maxdistance .5", No),
    ("maxdistance 5.", No),
    ("maxdistance 1e-3", No),
    ("maxdistance +5", No),
    ("maxdistance -5", No),
    ("maxdistance 3s", No),
    ("maxdistance inf", No),
    ("maxdistance nan", No),
    ("maxdistance x", No),
    ("maxdistance", No),
    ("maxdistance 0x10", Ours),
    ("clockprecision 1e-12", No),
    ("combinelimit 0", No),
    ("corrtimeratio 2", No),
    ("hwtstimeout 0.01", Then),
    ("hwtstimeout x", No),
    ("logchange 0.5", No),
    ("maxclockerror 1", No),
    ("maxdrift 500", No),
    ("maxjitter 0.1", No),
    ("maxslewrate 100", No),
    ("maxupdateskew 100.0", No),
    ("reselectdist 0", No),
    ("rtcautotrim 5", No),
    ("stratumweight 0", No),
    // Directives of one word or none.
    ("manual|lock_all|rtcsync|rtconutc|noclientlog", No),
    ("manual x", No),
    ("user nobody", No),
    ("user nosuchuser", No),
    ("pidfile /", No),
    ("dumpdir /x|logdir /x|keyfile /x|ntsdumpdir /x|ntscachedir /x", No),
    ("rtcfile /x|rtcdevice /dev/rtc0|hwclockfile /x", No),
    ("rtcfile /x|rtcsync", No),
    ("leapsectz right/UTC", No),
    ("leapseclist /x", Then),
    ("binddevice eth0|bindacqdevice eth0|bindcmddevice eth0", No),
    ("dumponexit|dumponexit x", No),
    (
        "commandkey 1|generatecommandkey|linux_hz 100|linux_freq_scale 1.0",
        No,
    ),
    // Directives of their own form.
    ("makestep 1", No),
    ("makestep 1 -1", No),
    ("makestep 1 3.5", No),
    ("makestep x 3", No),
    ("makestep 1 x", No),
    ("makestep 1 3 4", No),
    ("makestep 1x 3", No),
    ("maxchange 1x 2 3", No),
    ("maxchange 1 2x 3", No),
    ("maxchange 1 2 3x", No),
    ("maxchange 1000 1 2", No),
    ("maxchange 1 2", No),
    ("maxchange 1 2 x", No),
    ("maxchange 1 -2 -3", No),
    ("fallbackdrift 16 19", No),
    ("fallbackdrift 2 1", No),
    ("fallbackdrift 1", No),
    ("fallbackdrift 1.5 2", No),
    ("fallbackdrift 1 2x", No),
    ("fallbackdrift x y", No),
    ("initstepslew 10", No),
    ("initstepslew 10 127.0.0.1", No),
    ("initstepslew x", No),
    ("initstepslew", No),
    ("smoothtime 400 0.01", No),
    ("smoothtime 400 0.01 LeapOnly", No),
    ("smoothtime 400 0.01 foo", No),
    ("smoothtime 400", No),
    ("smoothtime 400x 1", No),
    ("smoothtime 400 1x leaponly", No),
    ("smoothtime x 1", No),
    ("ratelimit", No),
    ("ratelimit INTERVAL 1 burst 16 leak 3", No),
    ("ratelimit interval 2 interval 3", No),
    ("ratelimit kod 2", Then),
    ("ratelimit interval -33", Then),
    ("ratelimit burst 33", Then),
    ("ratelimit leak 5", No),
    ("ratelimit foo 3", No),
    ("ratelimit interval", No),
    ("ratelimit interval x", No),
    ("ratelimit interval 2x", No),
    ("cmdratelimit interval 1 burst 16 leak 3", No),
    ("cmdratelimit kod 1", No),
    ("ratelimit|noclientlog", No),
    ("ntsratelimit interval 5", No),
    ("ntsratelimit kod 1", No),
    ("broadcast 64 192.0.2.255", No),
    ("broadcast 64 192.0.2.255 123", No),
    ("broadcast 64 foo", No),
    ("broadcast 64", No),
    ("broadcast x 192.0.2.255", No),
    ("broadcast 64 192.0.2.255 123 4", No),
    ("broadcast 0 192.0.2.255", Ours),
    ("broadcast -1 192.0.2.255", Ours),
    ("broadcast 64 192.0.2.255 99999", Ours),
    ("broadcast 64 192.0.2.255 -1", Ours),
    (
        "bindaddress 192.0.2.1|bindaddress ::1|bindacqaddress 192.0.2.1",
        No,
    ),
    ("bindaddress foo", No),
    ("bindaddress 192.0.2", No),
    ("bindaddress fe80::1%lo", No),
    ("bindcmdaddress 0.0.0.0|bindcmdaddress ::|bindcmdaddress /a/b", No),
    ("bindcmdaddress /", No),
    ("bindcmdaddress foo/bar", No),
    ("log tracking measurements rawmeasurements", No),
    ("log selection statistics rtc refclocks tempcomp", No),
    ("log", No),
    ("log Tracking", No),
    ("log tracking,measurements", No),
    ("log tracking foo", No),
    ("driftfile /x", No),
    ("driftfile", No),
    ("driftfile /x interval 5", Then),
    ("driftfile /x INTERVAL 1.5x", Then),
    ("driftfile /x interval", No),
    ("driftfile /x interval x", No),
    ("driftfile /x interval inf", No),
    ("driftfile /x foo 3", No),
    ("driftfile /x interval 3 4", No),
    ("leapsecmode Slew", No),
    ("leapsecmode foo", No),
    ("authselectmode MIX", No),
    ("authselectmode foo", No),
    ("authselectmode", No),
    ("leapsecmode step slew", No),
    ("opencommands", Then),
    ("opencommands Tracking sources", Then),
    ("opencommands all", No),
    ("mailonchange root@x 0.5", No),
    ("mailonchange root@x", No),
    ("mailonchange root@x y", No),
    ("tempcomp /x 30 26 0 0.1 0.2", No),
    ("tempcomp /x 30", No),
    ("tempcomp /x y z", No),
    ("tempcomp /x 30x /y", No),
    ("tempcomp /x 30 /y z", No),
    ("tempcomp /x 30x 26 0 0.1 0.2", No),
    ("tempcomp /x 30 26 0 0.1 0.2 3", No),
    ("hwtimestamp *", No),
    ("hwtimestamp eth0 minpoll 3 rxfilter ptp nocrossts", No),
    ("hwtimestamp eth0 minpoll 3 foo", No),
    ("hwtimestamp eth0 minpoll", No),
    ("hwtimestamp eth0 maxpoll 33", No),
    ("hwtimestamp eth0 precision 1x", No),
    ("hwtimestamp", No),
    ("ntsaeads 30 15", Then),
    ("ntsaeads x", No),
    ("ntsaeads -1", No),
    ("ntsaeads 30 1x", No),
    ("ntstrustedcerts 1 /x", No),
    ("ntstrustedcerts x /x", No),
    ("ntstrustedcerts", No),
    (
        "nosystemcert|nocerttimecheck 1|ntsrefresh 5|ntsrotate 0|ntsport 4460",
        No,
    ),
    // Access.
    ("allow|deny|allow all|deny all|cmdallow|cmddeny all", No),
    (
        "allow 192.0.2.1|allow 192.0.2.0/24|allow 192.0.2|allow 192|allow 192.0/9",
        No,
    ),
    ("allow 2001:db8::/32|allow ::/0|allow ::1|deny all 192.0.2", No),
    ("allow ALL", No),
    ("allow 192.0.2.1/33", No),
    ("allow ::1/129", No),
    ("allow 192.0.2.1/", No),
    ("allow 192.0.2.1/x", No),
    ("allow 192.0.2.1/-1", No),
    ("allow 192.0.2.1/24x", No),
    ("allow 192.0.2.1/032", No),
    ("allow 01.2|allow 1.2.3.04", No),
    ("allow 192.0.2.1 x", No),
    ("allow 300", No),
    ("allow 192.256", No),
    ("allow 192.0.2.400", No),
    ("allow 192.0.2.", No),
    ("allow 192..2", No),
    ("allow 192.0.2.4.5", No),
    ("allow /8", No),
    ("allow all/8", No),
    ("allow all all", No),
    ("allow localhost", No),
    ("allow localhost/32", No),
    ("allow +1", Ours),
    ("allow 0x1.2.3.4", Ours),
    ("deny 1.0x2", Ours),
    ("deny 2001:db8::g", No),
    ("deny all 1::2::3", No),
    ("cmdallow a:b", No),
    ("cmddeny all 12345::", No),
    ("deny fe80::1%lo", No),
    ("deny localhost%lo", No),
    ("deny 1.2.3.08", No),
    ("deny 010.1.2.3|deny 1.2.3.0377", No),
    ("deny 010.1.2.3/24", No),
    // Local reference.
    ("local", No),
    ("local STRATUM 8 orphan distance 0.5", No),
    ("local stratum 0", No),
    ("local stratum 16", No),
    ("local stratum x", No),
    ("local stratum 3x", No),
    ("local distance -1", No),
    ("local distance", No),
    ("local foo", No),
    ("local activate 1.0", Then),
    ("local waitsynced 1 waitunsynced 5", Then),
    ("local distance nan", Ours),
    // Time sources.
    ("server", No),
    ("SERVER 192.0.2.1 IBurst MINPOLL 4 maxpoll 4 prefer", No),
    ("pool a maxsources 4 iburst|peer b key 5", No),
    (
        "server a burst offline auto_offline noselect trust require xleave copy",
        No,
    ),
    (
        "server a maxdelay 1 maxdelayratio 2 maxdelaydevratio 3 mindelay 0 asymmetry 0.5 offset -1e-3",
        No,
    ),
    ("server a maxdelayquant 0.5", No),
    (
        "server a minpoll -99|server b minpoll 30|server c minpoll 99999999999",
        No,
    ),
    ("server a maxpoll 33", Then),
    ("server a maxpoll 25", No),
    ("server a minpoll x", No),
    ("server a minpoll", No),
    ("server a minpoll 3.5", No),
    ("server a minpoll +3", No),
    ("server a minpoll 0x3", No),
    ("server a minpoll 3 # why", No),
    ("server a port 70000", Then),
    ("server a key 0", No),
    ("server a key 4294967296", No),
    ("server a version 5", Then),
    ("server a version 3", No),
    ("server a polltarget 0", Then),
    ("server a minstratum 15", No),
    ("server a minstratum 17", Then),
    ("server a maxsources 0", Then),
    ("server a maxsources 100", No),
    ("server a filter -1", Then),
    ("server a presend 9", No),
    ("server a presend 100", Then),
    ("server a minsamples 8 maxsamples 16", No),
    ("server a maxsamples -1", Then),
    ("server a maxunreach 10", Then),
    ("server a maxdelay 1e3x", No),
    (
        "server a maxdelay nan|server b maxdelay inf|server c maxdelay -1",
        No,
    ),
    ("server a asymmetry 3", No),
    ("server a certset 3|server a certset -1", No),
    ("server a ntsport 99999", Then),
    ("server a extfield F323", No),
    ("server a extfield 10A", Then),
    ("server a extfield 1", No),
    ("server a ipv4|server a ipv6", Then),
    ("server a foo", No),
    ("peer a iburst burst copy nts presend 3 maxsources 3", No),
    ("server a/b|server #x", No),
    ("server 0.0.0.0|server ::|server 224.0.0.1|peer ff02::1", No),
    ("server a maxdelay 0x1p3", Ours),
    ("server a minpoll 3iburst", Ours),
    // Files.
    ("include @/one.conf", No),
    ("include @/one.conf|port 9", No),
    ("include @/*.conf", No),
    ("include @/none*.conf", No),
    ("include @/none/*.conf", No),
    ("include @/*/*.conf", No),
    ("include @/*/none.conf", No),
    ("include @/*/only/*.conf", No),
    ("include @/*/none/*.conf", No),
    ("include @/*/only/*/*.conf", No),
    ("include @/none/*/*.conf", No),
    ("include @/none.conf", No),
    ("include @/a/1\\0.conf", No),
    ("include @/\\a/10.conf", No),
    ("include @/\\a/1*.conf", No),
    ("include @/a\\/10.conf", No),
    ("include @/a\\/1*.conf", No),
    ("include @/[a]\\/10.conf", No),
    ("include @/[a]\\/1*.conf", No),
    ("include @/[a]/\\1*.conf", No),
    ("include @/*/onl\\y/30.conf", No),
    ("include @/*/onl\\y/\\30.conf", No),
    ("include @/\\*/10.conf", No),
    ("include @/\\*/1*.conf", No),
    ("include @/a/none\\.conf", No),
    ("include @/a/10.conf\\", No),
    ("include @/none/1\\0.conf", No),
    ("include @/\\none/1*.conf", No),
    ("include @/\\none/10.conf", No),
    ("include @/\\a", No),
    ("include @/\\a/", No),
    ("include @/a\\", No),
    ("include @/a\\/", No),
    ("include @/bad.inc", No),
    ("include @/loop.inc", No),
    ("include", No),
    ("include a b", No),
    ("confdir @", No),
    ("confdir @/a @/b", No),
    ("confdir @/b @/a", No),
    ("confdir @/none", No),
    ("confdir", No),
    ("confdir 1 2 3 4 5 6 7 8 9 10 11", No),
    ("sourcedir @/a", No),
    ("sourcedir", No),
    ("sourcedir 1 2 3 4 5 6 7 8 9 10 11", No),
    // What distributions, clouds and installers write.
    (
        "pool 2.rhel.pool.ntp.org iburst|sourcedir /run/chrony-dhcp|driftfile /var/lib/chrony/drift|\
         makestep 1.0 3|rtcsync|#hwtimestamp *|keyfile /etc/chrony.keys|ntsdumpdir /var/lib/chrony|\
         leapsectz right/UTC|logdir /var/log/chrony",
        No,
    ),
    ("server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4", No),
    ("server metadata.google.internal prefer iburst", No),
    (
        "server a iburst|driftfile /d|makestep 1.0 3|rtcsync|dumpdir /x|dumponexit|local stratum 10|\
         allow 0.0.0.0/0|maxupdateskew 100.0|stratumweight 0|logdir /l|log measurements statistics|noclientlog",
        No,
    ),
    (
        "server a minpoll 6 maxpoll 10 iburst prefer trust key 5 xleave filter 3|hwtimestamp eth0 minpoll 2|\
         minsources 2|maxdistance 2",
        No,
    ),
    (
        "pidfile tmp/pidfile.1|allow|cmdallow|bindcmdaddress 0.0.0.0|bindcmdaddress /unix/chronyd.sock|\
         local stratum 1",
        No,
    ),
    // What we do not do, and say so.
    ("server a nts", Ours),
    ("refclock SHM 0", No),
    (
        "refclock SHM 0:perm=0644 poll 3 dpoll 1 refid GPS offset 0.1 delay 1e-3 stratum 2 precision 1e-3",
        No,
    ),
    (
        "refclock SHM 0 filter 10 minsamples 4 maxsamples 8 prefer trust require noselect",
        No,
    ),
    ("refclock SHM 0 refid AB", No),
    ("refclock SHM 0 refid ABCDE", No),
    ("refclock SHM 0 poll 40", Then),
    ("refclock SHM 0 poll x", No),
    ("refclock SHM 0 poll", No),
    ("refclock SHM 0 stratum 16", No),
    ("refclock SHM 0 minsamples 1x", No),
    ("refclock SHM 0 delay 0.1x", No),
    ("refclock SHM 0 foo", No),
    ("refclock SHM 0 tai|leapsectz right/UTC", No),
    ("refclock SHM 0 lock GPS", Ours),
    ("refclock SHM 0 pps", Ours),
    ("refclock SHM", No),
    ("ntsservercert /x|ntsserverkey /x", Ours),
    ("ntpsigndsocket /x", Ours),
    ("ptpport 319", Ours),
    ("ptpport 0", No),
];

/// The files of the directory `@`.
const FILES: &[(&str, &str)] = &[
    ("one.conf", "# one\n  port   1\ninclude @/two.inc\ncmdport 1\n"),
    ("two.inc", "driftfile /two"),
    ("bad.inc", "port 1\n\nbad\n"),
    ("loop.inc", "port 1\ninclude @/loop.inc\n"),
    (".hidden.conf", "bad\n"),
    ("a/10.conf", "port 10\n"),
    ("a/20.conf", "port 20\n"),
    ("b/05.conf", "port 5\n"),
    ("b/20.conf", "port 21\n"),
    ("b/20.other", "bad\n"),
    ("a/x.sources", "server a bad\n"),
    ("c/only/30.conf", "port 30\n"),
];

/// Files as they are.
struct Disk;

impl Reader for Disk {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(ReadError::NotFound),
            Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => Err(ReadError::IsDirectory),
            Err(error) => Err(ReadError::Other(error.to_string())),
        }
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let entries = std::fs::read_dir(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotADirectory => ReadError::NotDirectory,
            _ => ReadError::NotFound,
        })?;
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        Ok(names.collect())
    }
}

/// What `-p` answers.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    starts: bool,
    printed: String,
    /// The text of the error, if it has one.
    fatal: Option<String>,
}

/// Returns the chronyd to compare with, and whether it is a development version.
fn chronyd() -> (PathBuf, bool) {
    let path = std::env::var_os("TIMEBALL_CHRONYD").map_or_else(|| "/usr/sbin/chronyd".into(), PathBuf::from);
    let output = Command::new(&path).arg("-v").output();
    let output = output.unwrap_or_else(|error| panic!("{} is needed: {error}", path.display()));
    let version = String::from_utf8(output.stdout).unwrap();
    let is_new = version.contains("DEVELOPMENT");
    assert!(is_new || version.contains("version 4.3"), "{version}");
    (path, is_new)
}

fn ask(program: &Path, arguments: &[&str]) -> Answer {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let fatal = errors
        .split_once("Fatal error : ")
        .map(|(_, text)| text.trim_end());
    Answer {
        starts: output.status.success(),
        printed: String::from_utf8(output.stdout).unwrap(),
        fatal: fatal.map(str::to_owned),
    }
}

fn answer((printed, diagnostics): (String, Vec<Diagnostic>)) -> Answer {
    let mut errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    let fatal = errors.next().map(Diagnostic::as_original);
    Answer {
        starts: fatal.is_none(),
        printed,
        fatal,
    }
}

#[test]
fn the_same_configurations_are_taken_and_refused() {
    let (chronyd, is_new) = chronyd();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_str().unwrap();
    for (name, text) in FILES {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace('@', root)).unwrap();
    }
    let main = directory.path().join("main.cf");
    let main = main.to_str().unwrap();
    let mut wrong = Vec::new();
    for (text, differs) in CORPUS {
        std::fs::write(main, format!("{}\n", text.replace('@', root).replace('|', "\n"))).unwrap();
        let theirs = ask(&chronyd, &["-p", "-f", main]);
        let ours = answer(print(main, &Disk));
        let starts_too = match differs {
            No => true,
            Then => is_new,
            Ours => false,
        };
        let agrees = ours.starts == theirs.starts && ours.printed == theirs.printed;
        let same_text = !is_new || ours.fatal == theirs.fatal;
        if (ours.starts == theirs.starts) != starts_too || (starts_too && !(agrees && same_text)) {
            wrong.push(format!(
                "{text} ({differs:?})\n  theirs {theirs:?}\n  ours   {ours:?}"
            ));
        }
        if *differs == Ours {
            assert!(!ours.starts, "{text}");
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        CORPUS.len(),
        wrong.join("\n")
    );
}

#[test]
fn arguments_are_directives_too() {
    let (chronyd, is_new) = chronyd();
    for arguments in [
        &["server   a", "# comment", "MAKEstep 1 3"][..],
        &["rtcsync\nfoo"],
        &["port 1", "foo bar"],
        &["", " "],
        &["include /nonexistent"],
    ] {
        let theirs = ask(&chronyd, &[&["-p"], arguments].concat());
        let lines = arguments
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>();
        let mut ours = answer(print_arguments(&lines, &Disk));
        if !is_new {
            ours.fatal.clone_from(&theirs.fatal);
        }
        assert_eq!(ours, theirs);
        let (_, diagnostics) = parse_arguments(&lines, &Disk);
        assert_eq!(diagnostics.is_empty(), theirs.starts);
    }
}

#[test]
fn long_lines_are_refused_alike() {
    let (chronyd, _) = chronyd();
    let directory = tempfile::tempdir().unwrap();
    let main = directory.path().join("main.cf");
    let main = main.to_str().unwrap();
    for (length, starts) in [(2046, true), (2047, false), (5000, false)] {
        std::fs::write(main, format!("rtcsync\n#{}\nport 1\n", "x".repeat(length - 1))).unwrap();
        let theirs = ask(&chronyd, &["-p", "-f", main]);
        assert_eq!((theirs.starts, &theirs), (starts, &answer(print(main, &Disk))));
    }
}

#[test]
fn the_configuration_of_the_distribution_starts_unchanged() {
    // Installed with the package chrony, which the comparisons need anyway.
    let stock = "/usr/share/chrony/chrony.conf";
    let stock = if Path::new(stock).exists() {
        stock
    } else {
        "/etc/chrony/chrony.conf"
    };
    let (config, diagnostics) = parse(stock, &Disk);
    assert_eq!(diagnostics, []);
    assert_eq!(config.clock.make_step.map(|step| step.limit), Some(Some(3)));
    assert_eq!(
        answer(print(stock, &Disk)),
        ask(&chronyd().0, &["-p", "-f", stock])
    );
}
