//! Servers as lines of ntp.conf, and back.

use std::fmt::Write as _;

use model::{Failure, FailureKind, Server, ServerOptions};

use crate::providers::ntp::managed::{Entry, not_expressible, refuse_options};
use crate::providers::ntp::{MANAGED_HEADER, NTPD};

/// The options that ntpd has, too.
const TAKEN: [&str; 8] = [
    "nts", "prefer", "trust", "noselect", "minpoll", "maxpoll", "version", "key",
];

/// The polling intervals that ntpd takes, log2 s; it would make another number one of these.
const POLL_MIN: i8 = 3;
const POLL_MAX: i8 = 17;

/// With what the addresses begin that stand for reference clocks.
const REFCLOCK: &str = "127.127.";

/// The greatest number of a key.
const KEY_MAX: u32 = 65_534;

/// Writes the managed file.
///
/// # Errors
/// When ntpd cannot be told an option.
pub(super) fn write(servers: &[Server]) -> Result<String, Failure> {
    let mut text = format!("# {MANAGED_HEADER}\n");
    for server in servers {
        check(server)?;
        text.push_str(&line(server));
        text.push('\n');
    }
    Ok(text)
}

fn check(server: &Server) -> Result<(), Failure> {
    refuse_options(NTPD, server, &TAKEN)?;
    if server.name().starts_with(REFCLOCK) {
        return Err(Failure::new(
            FailureKind::NotExpressible,
            format!(
                "ntpd takes {} for a reference clock of this host, not for a server: leave it out, and configure clocks \
                 of the host in its own ntp.conf",
                server.name()
            ),
        ));
    }
    let options = server.options();
    for (name, poll) in [("minpoll", options.minpoll), ("maxpoll", options.maxpoll)] {
        if poll.is_some_and(|poll| !(POLL_MIN..=POLL_MAX).contains(&poll)) {
            let remedy = format!("give {POLL_MIN} to {POLL_MAX}");
            return Err(not_expressible(NTPD, server, name, &remedy));
        }
    }
    if options.key.is_some_and(|key| key > KEY_MAX) {
        let remedy = format!("give a key from 1 to {KEY_MAX}");
        return Err(not_expressible(NTPD, server, "key", &remedy));
    }
    if options.pool && options.nts {
        let remedy = "name the servers of the pool one by one";
        return Err(not_expressible(NTPD, server, "nts of a pool", remedy));
    }
    Ok(())
}

fn line(server: &Server) -> String {
    let options = server.options();
    let word = if options.pool { "pool" } else { "server" };
    let mut line = format!("{word} {}", server.name());
    for (word, given) in [
        ("iburst", server.iburst()),
        ("nts", options.nts),
        ("prefer", options.prefer),
        ("true", options.trust),
        ("noselect", options.noselect),
    ] {
        if given {
            line.push(' ');
            line.push_str(word);
        }
    }
    let number = |line: &mut String, word: &str, value: Option<i64>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(line, " {word} {value}");
        }
    };
    number(&mut line, "minpoll", options.minpoll.map(i64::from));
    number(&mut line, "maxpoll", options.maxpoll.map(i64::from));
    number(&mut line, "version", options.version.map(i64::from));
    number(&mut line, "key", options.key.map(i64::from));
    line
}

/// The servers of the managed file; other lines are left out.
pub(super) fn read(text: &str) -> Vec<Entry> {
    text.lines().filter_map(entry).collect()
}

/// The words of a line without its comment.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let (line, _) = line.split_once('#').unwrap_or((line, ""));
    line.split_ascii_whitespace()
}

/// The name of the source that a line of ntp.conf is for, if it is for one that is asked over the network.
pub(super) fn source_name(line: &str) -> Option<&str> {
    let mut words = words(line);
    matches!(words.next()?, "server" | "pool" | "peer").then_some(())?;
    words
        .find(|word| !matches!(*word, "-4" | "-6"))
        .filter(|name| !name.starts_with(REFCLOCK))
}

fn entry(line: &str) -> Option<Entry> {
    let name = source_name(line)?;
    let text: Vec<&str> = words(line).collect();
    Some(Entry {
        name: name.to_owned(),
        text: text.join(" "),
        server: server_of(line, name),
    })
}

/// The server of a line that has no other options than this file is written with.
fn server_of(line: &str, name: &str) -> Option<Server> {
    let mut words = words(line);
    let mut options = ServerOptions {
        pool: words.next()? == "pool",
        iburst: Some(false),
        ..ServerOptions::default()
    };
    words.find(|word| *word == name)?;
    while let Some(word) = words.next() {
        match word {
            "iburst" => options.iburst = None,
            "nts" => options.nts = true,
            "prefer" => options.prefer = true,
            "true" => options.trust = true,
            "noselect" => options.noselect = true,
            "minpoll" => options.minpoll = Some(words.next()?.parse().ok()?),
            "maxpoll" => options.maxpoll = Some(words.next()?.parse().ok()?),
            "version" => options.version = Some(words.next()?.parse().ok()?),
            "key" => options.key = Some(words.next()?.parse().ok()?),
            _ => return None,
        }
    }
    Server::new(name, options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(texts: &[&str]) -> Vec<Server> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_reference_clock_is_no_server() {
        let refused = write(&servers(&["ntp1.lab", "127.127.1.0"])).unwrap_err();
        assert_eq!(refused.kind, FailureKind::NotExpressible);
        assert!(
            refused.error.contains("127.127.1.0 for a reference clock"),
            "{refused}"
        );
    }

    #[test]
    fn servers_become_lines_and_lines_servers() {
        let servers = servers(&[
            "ntp1.example.com",
            "192.0.2.1+noiburst",
            "2001:db8::1",
            "pool.example.com+pool",
            "a.example.com+nts+prefer+minpoll=4+maxpoll=6",
            "b+trust+version=3+key=7",
            "c+noselect",
        ]);
        let text = write(&servers).unwrap();
        assert!(
            text.ends_with(
                "\nserver ntp1.example.com iburst\nserver 192.0.2.1\nserver 2001:db8::1 iburst\npool \
                 pool.example.com iburst\nserver a.example.com iburst nts prefer minpoll 4 maxpoll 6\nserver b iburst \
                 true version 3 key 7\nserver c iburst noselect\n"
            ),
            "{text}"
        );
        let back: Vec<Server> = read(&text).into_iter().filter_map(|entry| entry.server).collect();
        assert_eq!(back, servers);
        // What the fleet's own reader of ntp.conf makes of it is the same.
        let without_nts = text.replace(" nts", "").replace(" key 7", "");
        let (config, _) = conf::ntp::parse("/f", &crate::providers::ntp::TextReader(&without_nts));
        let names: Vec<String> = config
            .sources
            .iter()
            .map(|source| source.name.to_string())
            .collect();
        assert_eq!(names, servers.iter().map(Server::name).collect::<Vec<_>>());
    }

    #[test]
    fn an_option_that_ntpd_does_not_have_is_named() {
        for (server, option) in [
            ("a+require", "require"),
            ("a+xleave", "xleave"),
            ("a+port=1123", "port"),
            ("a+pool+maxsources=3", "maxsources"),
            ("a+minpoll=-2", "minpoll"),
            ("a+minpoll=2", "minpoll"),
            ("a+maxpoll=18", "maxpoll"),
            ("a+key=65535", "key"),
            ("a+pool+nts", "nts of a pool"),
        ] {
            let failure = write(&servers(&[server])).unwrap_err();
            assert_eq!(failure.kind, FailureKind::NotExpressible);
            let named = format!("ntpd cannot be told {option} of a server (a");
            assert!(failure.error.starts_with(&named), "{failure}");
        }
    }

    #[test]
    fn lines_of_others_are_told_from_servers() {
        for (line, name) in [
            ("server a iburst # b", Some("a")),
            ("pool -4 b", Some("b")),
            ("peer 192.0.2.1", Some("192.0.2.1")),
            ("server 127.127.28.0", None),
            ("restrict default", None),
            ("#server a", None),
            ("server", None),
        ] {
            assert_eq!(source_name(line), name, "{line}");
        }
        let hand_edited = read("server a iburst ttl 3\nrubbish\npool b\n");
        let names: Vec<&str> = hand_edited.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(hand_edited[0].server, None);
    }
}
