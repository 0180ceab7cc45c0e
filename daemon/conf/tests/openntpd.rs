//! ntpd.conf, as OpenNTPD reads it: golden files, and the same files given to OpenNTPD and to us.
//!
//! `openntpd/NAME.conf` is read, and `openntpd/NAME.expected` is what is made of it. Run with `TIMEBALL_BLESS=1` to write
//! those that do not match.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the files of a test, and the program beside it, are its own"
)]

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use conf::config::{Config, InterfaceRule, InterfaceTarget, SourceKind, Subnet};
use conf::diagnostic::Severity;
use conf::dialect::{Dialect, Reading};
use conf::explain::Fate;
use conf::include::{ReadError, Reader};
use conf::openntpd::read;

/// The configuration file.
const MAIN: &str = "/main";

/// One file and its path.
struct File<'a>(&'a str, &'a str);

impl Reader for File<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        let Self(own, text) = self;
        if path == *own {
            Ok((*text).to_owned())
        } else {
            Err(ReadError::NotFound)
        }
    }

    fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
        Err(ReadError::NotFound)
    }
}

fn read_text(text: &str) -> Reading {
    read(MAIN, &File(MAIN, text))
}

fn originals(reading: &Reading, severity: Severity) -> Vec<String> {
    let of = reading
        .diagnostics
        .iter()
        .filter(|found| found.severity == severity);
    of.map(|found| found.as_original()).collect()
}

/// Writes all that is made of a file.
fn told(reading: &Reading) -> String {
    let mut text = String::new();
    for found in &reading.diagnostics {
        writeln!(text, "{:?}: {found}\n", found.severity).unwrap();
    }
    for line in &reading.lines {
        writeln!(text, "{} {}: {}", line.span, line.fate.word(), line.text).unwrap();
        for chrony in &line.chrony {
            writeln!(text, "    {chrony}").unwrap();
        }
        if let Some(note) = &line.note {
            writeln!(text, "    ({note})").unwrap();
        }
    }
    text
}

#[test]
fn files_are_taken_as_their_golden_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openntpd");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            names.push(path);
        }
    }
    assert!(names.len() >= 5);
    let mut wrong = Vec::new();
    for path in names {
        let told = told(&read_text(&fs::read_to_string(&path).unwrap()));
        let golden = path.with_extension("expected");
        if fs::read_to_string(&golden).unwrap_or_default() != told {
            if std::env::var_os("TIMEBALL_BLESS").is_some() {
                fs::write(&golden, &told).unwrap();
            }
            wrong.push(format!("{}:\n{told}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_goes_without_saying_is_in_every_configuration() {
    let mut empty = Config::default();
    empty.rtc.kernel_sync = true;
    for text in ["", "\n", "# nothing", " \\\n"] {
        let reading = read_text(text);
        assert_eq!(reading.config, empty, "{text:?}");
        assert_eq!(reading.diagnostics, []);
        assert_eq!(reading.lines, []);
    }
}

#[test]
fn clients_are_answered_where_a_line_says_so() {
    let addresses = ["192.0.2.1", "192.0.2.2", "127.0.0.1", "2001:db8::1", "::1"];
    for (text, expected) in [
        ("listen on 192.0.2.1", [true, false, false, false, false]),
        (
            "listen on 192.0.2.1\nlisten on 192.0.2.1",
            [true, false, false, false, false],
        ),
        (
            "listen on 192.0.2.1\nlisten on 192.0.2.2",
            [true, true, false, false, false],
        ),
        (
            "listen on 192.0.2.1\nlisten on ::1\nlisten on 192.0.2.2",
            [true, true, false, false, true],
        ),
        (
            "listen on 127.0.0.1\nlisten on 192.0.2.2",
            [false, true, true, false, false],
        ),
        (
            "listen on 0.0.0.0\nlisten on 192.0.2.2",
            [true, true, true, false, false],
        ),
        (
            "listen on 192.0.2.2\nlisten on 0.0.0.0",
            [true, true, true, false, false],
        ),
        (
            "listen on ::\nlisten on 192.0.2.1",
            [true, false, false, true, true],
        ),
        ("listen on 192.0.2.1\nlisten on 192.0.2.2\nlisten on *", [true; 5]),
        ("listen on *\nlisten on 192.0.2.1", [true; 5]),
        // What a name stands for is not known here.
        ("listen on time.example", [false; 5]),
        (
            "listen on time.example\nlisten on 192.0.2.1",
            [true, false, false, false, false],
        ),
    ] {
        let reading = read_text(&format!("{text}\n"));
        assert_eq!(reading.diagnostics, [], "{text}");
        let server = &reading.config.server;
        let is_answered = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            let bound = match address {
                IpAddr::V4(_) => server.bind_ipv4.map(IpAddr::V4),
                IpAddr::V6(_) => server.bind_ipv6.map(IpAddr::V6),
            };
            let name = if address.is_loopback() { "lo" } else { "eth0" };
            server.access.iter().any(|rule| rule.subnet.contains(address))
                && bound.is_none_or(|bound| bound == address)
                && InterfaceRule::answers(&server.interfaces, name, address)
        };
        assert_eq!(addresses.map(is_answered), expected, "{text}");
    }
    let server = read_text("listen on time.example\n").config.server;
    let names = server.interfaces.iter().filter_map(|rule| match &rule.target {
        InterfaceTarget::Address(Subnet::Name(name)) if rule.listen => Some(name.as_str()),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), ["time.example"]);
}

#[test]
fn weights_are_kept_to_be_told() {
    let config = read_text("server a weight 3\nserver 2001:DB8::1 weight 10\nservers b weight 1\n").config;
    let weights: Vec<(&str, u8)> = config
        .weights
        .iter()
        .map(|(name, weight)| (name.as_str(), *weight))
        .collect();
    assert_eq!(weights, [("2001:db8::1", 10), ("a", 3)]);
}

#[test]
fn a_pool_of_a_name_has_eight_members_and_one_of_an_address_is_a_server() {
    let config = read_text("servers pool.example\nservers 192.0.2.1\nserver a trusted\n").config;
    let sources = config.sources.iter().map(|source| {
        (
            source.kind,
            source.max_sources,
            source.iburst,
            source.select.trust,
        )
    });
    assert_eq!(
        sources.collect::<Vec<_>>(),
        [
            (SourceKind::Pool, 8, true, false),
            (SourceKind::Server, 4, true, false),
            (SourceKind::Server, 4, true, true)
        ]
    );
}

#[test]
fn a_constraint_is_asked_at_the_addresses_that_are_said_or_those_of_its_name() {
    // What OpenNTPD installs, but for its comments.
    let shipped = "servers pool.ntp.org\nserver time.cloudflare.com\nsensor *\n\nconstraint from \"9.9.9.9\"\n\
                   constraint from \"2620:fe::fe\"\nconstraints from \"www.google.com\"\n";
    let reading = read_text(shipped);
    assert_eq!(reading.diagnostics, []);
    let lines = reading.lines.iter().flat_map(|line| line.chrony.clone());
    assert_eq!(
        lines.skip(2).collect::<Vec<_>>(),
        [
            "timeball.constraint https://9.9.9.9/",
            "timeball.constraint https://[2620:fe::fe]/",
            "timeball.constraints https://www.google.com/"
        ]
    );
    let reading = read_text("constraint from \"https://a/b\" 192.0.2.1 ::1\nserver c trusted\n");
    assert_eq!(reading.diagnostics, []);
    let [constraint] = &reading.config.constraints.from[..] else {
        panic!("one constraint")
    };
    assert_eq!((constraint.url.host(), constraint.url.path()), ("a", "/b"));
    assert_eq!(
        constraint.addresses,
        ["192.0.2.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap())
    );
}

#[test]
fn a_constraint_that_cannot_be_asked_is_never_left_out() {
    for text in [
        "constraint from \"\"\nserver a\n",
        "constraint from \"http://a/\"\nserver b trusted\n",
        "constraints from \"https://a/b c\"\n",
    ] {
        let reading = read_text(text);
        assert_eq!(originals(&reading, Severity::Error).len(), 1, "{text}");
        assert_eq!(reading.lines[0].fate, Fate::Refused);
    }
    // The column is that of the URL.
    let reading = read_text("server a\nconstraint from  \"http://a/\" 192.0.2.1\n");
    let [found] = &reading.diagnostics[..] else {
        panic!("{:?}", reading.diagnostics)
    };
    assert_eq!(
        found.to_string(),
        "/main:2:18: \"http://a/\" cannot be asked: constraints are asked over https only, and their URLs begin with https://\n  \
         constraint from  \"http://a/\" 192.0.2.1\n                   ^^^^^^^^^^^\n  \
         help: write \"https://HOST/PATH\"; OpenNTPD takes all of it for the name of a host, which it looks up for ever"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_said_as_the_original_does() {
    let reading = read("/none", &File(MAIN, ""));
    assert_eq!(
        originals(&reading, Severity::Error),
        ["/none: No such file or directory"]
    );
}

#[test]
fn the_language_is_known_by_its_words() {
    for (text, dialect) in [
        ("servers pool.ntp.org", Dialect::OpenNtpd),
        ("listen on *\nserver a\n", Dialect::OpenNtpd),
        (
            "server a\nserver b\nconstraints from \"https://c/\"\n",
            Dialect::OpenNtpd,
        ),
        ("server a iburst\n", Dialect::Chrony),
        ("server a\n", Dialect::Chrony),
    ] {
        assert_eq!(Dialect::Chrony.or_of_text(text), dialect, "{text}");
    }
}

#[test]
fn the_number_of_diagnostics_has_a_bound() {
    let reading = read_text(&"server *\n".repeat(5000));
    assert_eq!(reading.diagnostics.len(), 1000);
    let last = reading.diagnostics.last().unwrap();
    assert_eq!(last.message, "too much is wrong; the rest is not read");
}

#[test]
fn of_a_long_line_diagnostics_keep_the_beginning_and_are_so_many() {
    // Mistakes, of which the last that is kept ends the reading, and what is only warned of.
    let text = format!("sensor *\nserver a {}\nserver b\n", "weight 99 ".repeat(5000));
    let reading = read_text(&text);
    assert_eq!(reading.diagnostics.len(), 1000);
    let last = reading.diagnostics.last().unwrap();
    assert_eq!(last.message, "too much is wrong; the rest is not read");
    let of_line = reading.diagnostics.iter().filter(|found| found.span.line == 2);
    let columns = of_line.clone().map(|found| found.span.column);
    let expected = (0..999).map(|number| 17 + 10 * number);
    assert_eq!(columns.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert!(
        of_line
            .clone()
            .all(|found| found.line_text.starts_with("server a weight 99 "))
    );
    assert!(of_line.clone().all(|found| found.line_text.len() < 3000));
    assert_eq!(reading.config.sources, []);
    let fates = reading.lines.iter().map(|line| line.fate);
    assert_eq!(fates.collect::<Vec<_>>(), [Fate::Ignored, Fate::Refused]);

    let reading = read_text(&format!("server a weight 3 {}\n", "trusted ".repeat(5000)));
    let [found] = &reading.diagnostics[..] else {
        panic!("{:?}", reading.diagnostics)
    };
    assert_eq!(
        (found.severity, found.message.as_str()),
        (Severity::Warning, "weight is not used")
    );
    assert!(found.line_text.starts_with("server a weight 3 trusted ") && found.line_text.len() < 3000);
}

#[test]
fn what_is_listened_on_is_found_again_among_much() {
    let listen = |number: u16| format!("listen on 10.1.{}.{}\n", number >> 8, number & 255);
    let many = (0..2000).map(listen).collect::<String>();
    let reading = read_text(&format!(
        "{many}listen on ::1\nlisten on ::\n{}listen on ::1\nlisten on time.example\nlisten on ::2\n\
         listen on time.example\n",
        listen(7)
    ));
    let notes = reading
        .lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.fate == Fate::Ignored);
    let notes = notes.map(|(at, line)| (at, line.note.as_deref().unwrap_or_default()));
    assert_eq!(
        notes.collect::<Vec<_>>(),
        [
            (2002, "it is said before"),
            (2003, "it is said before"),
            (2005, "every address of its family is said before"),
            (2006, "it is said before"),
        ]
    );
    // The order is that of the lines, behind the two rules that shut all others.
    let interfaces = &reading.config.server.interfaces;
    let address = |at: usize| match &interfaces[at].target {
        InterfaceTarget::Address(Subnet::Prefix { address, length }) => format!("{address}/{length}"),
        other => format!("{other:?}"),
    };
    assert_eq!(interfaces.len(), 2005);
    assert_eq!(
        [2, 3, 2001, 2002, 2003].map(address),
        ["10.1.0.0/32", "10.1.0.1/32", "10.1.7.207/32", "::1/128", "::/0",]
    );

    // With all addresses nothing else is left.
    let reading = read_text(&format!("{many}listen on *\n{}", listen(7)));
    assert_eq!(reading.config.server.interfaces, []);
    let used = reading.lines.iter().filter(|line| line.fate == Fate::Used);
    assert_eq!(
        used.map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["listen on *"]
    );
}

/// Says where OpenNTPD 6.2p3 and we part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    /// Nowhere: both start, or both say the same as their first error.
    No,
    /// It is of a later release.
    Later,
    /// We take it.
    Taken,
    /// We do not take it, and say so with our own text.
    Refused,
}
use Differs::{Later, No, Refused, Taken};

/// Files, `|` being the end of a line.
const CORPUS: &[(&str, Differs)] = &[
    ("", No),
    ("|#x|", No),
    ("server 192.0.2.1|", No),
    ("server 192.0.2.1", Taken),
    ("server a \\||", No),
    ("server a\\", Taken),
    ("SERVER a|", No),
    ("foo bar|", No),
    ("server|", No),
    ("server \\||", No),
    ("server a b|", No),
    ("server *|", No),
    ("servers *|", No),
    ("server 10|", No),
    ("server -1|", No),
    ("server 10.0|", No),
    ("server 2001:db8::1%eth0|", No),
    ("server [::1]|", No),
    ("server on|", No),
    ("server \"on\"|", No),
    ("server a#c|", No),
    ("server a # c|", No),
    ("server a;b|", No),
    ("server a,b|", No),
    ("server a=b|", No),
    ("server é|", No),
    ("\tserver a\r|", No),
    ("{|", No),
    ("1 2|", No),
    ("server \"\"|", No),
    ("server 'a\\' b'|", No),
    ("server \"a|b\" weight 11|", No),
    ("server \"a\\|b\" weight 11|", No),
    ("server \"a|", No),
    ("server a\\| weight 11|", No),
    ("ser\\ver a|", No),
    ("# c \\|server a weight 0|", No),
    ("server a weight 10|", No),
    ("server a weight 11|", No),
    ("server a weight 0|", No),
    ("server a weight -1|", No),
    ("server a weight 05|", No),
    ("server a weight 5 weight 6|", No),
    ("server a weight 5#c|", No),
    ("server a weight x|", No),
    ("server a weight \"3\"|", No),
    ("server a weight 3)|", No),
    ("server a weight 99999999999999999999|", No),
    ("server a weight -99999999999999999999|", No),
    ("server a \"weight\" 5|", No),
    ("weight 3|", No),
    ("server a trusted|", Later),
    ("listen on *|", No),
    ("listen on \"*\"|", No),
    ("listen on 127.0.0.1|listen on ::1|", No),
    ("listen on 127.0.0.1|listen on 127.0.0.2|", No),
    ("listen on localhost|", No),
    // The daemon looks names up when it starts.
    ("listen on nosuch.invalid|", Taken),
    ("listen on \"no name\"|", No),
    ("listen on * rtable 3|", No),
    ("listen on * rtable|", No),
    ("listen on * rtable 3 rtable 4|", No),
    ("listen *|", No),
    ("query from 192.0.2.1|", No),
    ("query from ::1|", No),
    ("query from *|", No),
    ("query from a|", No),
    ("query from fe80::1%lo|", No),
    ("query from 192.0.2.1|server a|query from 192.0.2.2|", Refused),
    ("sensor *|", No),
    ("sensor a correction 5 refid abcd stratum 3 weight 3|", No),
    ("sensor \"a b\" weight 0|", No),
    ("sensor a correction 127000000|", No),
    ("sensor a correction 127000001|", No),
    ("sensor a correction -127000001|", No),
    ("sensor a correction - 5|", No),
    ("sensor a correction --5|", No),
    ("sensor a refid abcde|", No),
    ("sensor a refid \"\"|", No),
    ("sensor a refid 123|", No),
    ("sensor a stratum 0|", No),
    ("sensor a stratum 16|", No),
    ("sensor a foo|", No),
    ("constraint from \"https://a/\"|", No),
    ("constraint from \"\"|", Refused),
    ("constraint from *|", No),
    ("constraint from https://a/|", No),
    ("constraint \"a\"|", No),
    ("constraint from \"a\" 192.0.2.1|", Later),
    ("constraint from \"a\" b|", Later),
    ("constraints from \"a\"|", No),
    ("constraints from \"a\" 192.0.2.1|", No),
    ("constraint from \"a\"|server b|", No),
    ("constraint from \"https://a:8443/\"|server b|", No),
    ("constraint from \"http://a/\"|", Refused),
];

#[test]
fn openntpd_takes_what_we_take_and_says_the_same_of_the_rest() {
    let peers = std::env::var_os("TIMEBALL_PEERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers"),
        PathBuf::from,
    );
    let program = peers.join("openntpd/usr/sbin/ntpd");
    assert!(
        program.exists(),
        "{} is missing: ./test unpacks it, and TIMEBALL_PEERS names another directory for it",
        program.display()
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ntpd.conf");
    let path = path.to_str().unwrap();
    let mut wrong = Vec::new();
    for (text, differs) in CORPUS {
        let text = text.replace('|', "\n");
        fs::write(path, &text).unwrap();
        let output = Command::new(&program)
            .args(["-n", "-f", path])
            .env("LD_LIBRARY_PATH", peers.join("libraries"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let their_error = said
            .lines()
            .find(|line| line.starts_with(path))
            .map(str::to_owned);
        assert_eq!(their_error.is_none(), output.status.success(), "{said}");
        let reading = read(path, &File(path, &text));
        let our_error = originals(&reading, Severity::Error).into_iter().next();
        let is_right = match differs {
            No => their_error == our_error,
            Later => their_error
                .as_ref()
                .is_some_and(|error| error.ends_with("syntax error")),
            Taken => their_error.is_some() && our_error.is_none(),
            Refused => their_error.is_none() && our_error.is_some(),
        };
        if !is_right {
            wrong.push(format!("{differs:?} {text:?}: {their_error:?}, {our_error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
