//! ntp.conf: whole files with what is said about them, and each rule of the language by itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]
#![allow(clippy::disallowed_methods, reason = "the files of a test are its own")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use conf::chrony;
use conf::config::{
    ClientLog, Config, DriftFormat, InterfaceRule, KeyFormat, MakeStep, RestrictFlags, SourceKind,
    SourceName, Statistics, StatisticsFile, StatisticsKind, Subnet, Topic,
};
use conf::diagnostic::Severity;
use conf::dialect::{Dialect, Reading};
use conf::explain::Fate;
use conf::ntp::DIRECTIVES;

use files::{Files, MAIN};

#[expect(dead_code, reason = "the other tests are about chrony.conf")]
mod files;

fn read(text: &str) -> Reading {
    Dialect::Ntpd.read(MAIN, &Files::new([(MAIN, text)]))
}

/// What is said about a text: `severity line:column message`.
fn said(text: &str) -> Vec<String> {
    let said = read(text).diagnostics.into_iter().map(|found| {
        let severity = match found.severity {
            Severity::Warning => 'W',
            Severity::Skipped => 'S',
            Severity::Error => 'E',
        };
        format!(
            "{severity} {}:{} {}",
            found.span.line, found.span.column, found.message
        )
    });
    said.collect()
}

/// A configuration with a source that nothing is said about.
fn config(text: &str) -> Config {
    let reading = read(&format!("server 192.0.2.1\n{text}"));
    let bad = reading
        .diagnostics
        .iter()
        .filter(|found| found.severity > Severity::Warning)
        .collect::<Vec<_>>();
    assert!(bad.is_empty(), "{text}: {bad:?}");
    reading.config
}

/// All that is said about a file: diagnostics as a person sees them, and what each line becomes.
fn page(text: &str) -> String {
    let reading = Dialect::Ntpd.read("/etc/ntp.conf", &Files::new([("/etc/ntp.conf", text)]));
    let mut page = String::new();
    for found in &reading.diagnostics {
        let severity = match found.severity {
            Severity::Warning => "warning",
            Severity::Skipped => "skipped",
            Severity::Error => "error",
        };
        writeln!(page, "{severity}: {found}\n").unwrap();
    }
    for line in &reading.lines {
        writeln!(page, "{} {}: {}", line.span, line.fate.word(), line.text).unwrap();
        for chrony in &line.chrony {
            writeln!(page, "    {chrony}").unwrap();
        }
        if let Some(note) = &line.note {
            writeln!(page, "    ({note})").unwrap();
        }
    }
    page
}

/// Each file of the directory beside what is said about it. `UPDATE=1` writes that anew, to be looked at.
#[test]
fn whole_files_and_what_is_said_about_them() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ntp");
    for name in ["server", "server-filled", "client", "client-filled", "debian"] {
        let text = fs::read_to_string(directory.join(format!("{name}.conf"))).unwrap();
        assert_eq!(Dialect::Chrony.or_of_text(&text), Dialect::Ntpd, "{name}");
        let golden = directory.join(format!("{name}.said"));
        let page = page(&text);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &page).unwrap();
        }
        assert_eq!(page, fs::read_to_string(&golden).unwrap(), "{name}");
    }
}

/// The rule that decides about an address and port.
fn flags(config: &Config, address: &str, port: u16) -> RestrictFlags {
    let rules = config.server.restrictions.as_ref().unwrap();
    rules.find(address.parse().unwrap(), port).unwrap().flags
}

/// The flags of some words.
fn of(words: &str) -> RestrictFlags {
    let has = |word: &str| words.split(' ').any(|found| found == word);
    RestrictFlags {
        ignore: has("ignore"),
        noserve: has("noserve"),
        notrust: has("notrust"),
        version: has("version"),
        limited: has("limited"),
        kod: has("kod"),
        flake: has("flake"),
        noquery: has("noquery"),
        nomodify: has("nomodify"),
        nomrulist: has("nomrulist"),
    }
}

#[test]
fn without_rules_this_host_may_do_everything_and_others_ask_for_the_time() {
    let config = config("");
    for address in ["192.0.2.9", "2001:db8::9"] {
        assert_eq!(flags(&config, address, 1000), of("kod limited nomodify noquery"));
    }
    for address in ["127.0.0.1", "127.1.2.3", "::1"] {
        assert_eq!(flags(&config, address, 1000), of(""));
    }
}

#[test]
fn a_mistyped_address_is_no_name_and_a_zone_says_nothing() {
    assert_eq!(
        said("server 192.0.2.1\nrestrict 2001:db8::g noserve\n"),
        ["E 2:10 \"2001:db8::g\" is neither an address nor a name"]
    );
    let config = config("restrict fe80::1%lo ignore\n");
    assert_eq!(flags(&config, "fe80::1", 1000), of("ignore"));
}

#[test]
fn rules_add_flags_and_unrestrict_takes_them_away() {
    let config = config(
        "restrict 10.0.0.0/8 nomodify\nrestrict 10.0.0.0 mask 255.0.0.0 noquery\nrestrict 10.1.2.3\n\
         restrict -6 default ignore\nunrestrict 10.0.0.0/8 nomodify\nrestrict 10.9.0.0/16 ignore\n\
         unrestrict 10.9.0.0/16\nrestrict 10.1.2.3 noserve ntpport\nunrestrict default\n",
    );
    assert_eq!(flags(&config, "10.5.5.5", 123), of("noquery"));
    assert_eq!(flags(&config, "10.9.0.1", 123), of("noquery"));
    assert_eq!(flags(&config, "10.1.2.3", 1000), of(""));
    assert_eq!(flags(&config, "10.1.2.3", 123), of("noserve"));
    assert_eq!(flags(&config, "11.0.0.1", 123), of("noquery limited"));
    assert_eq!(flags(&config, "2001:db8::1", 123), of("noquery limited ignore"));
    // Of IPv4 nothing was said that is about all.
    assert_eq!(flags(&config, "127.0.0.1", 1000), of(""));
    assert_eq!(flags(&config, "::1", 1000), of("noquery limited ignore"));
}

#[test]
fn rules_are_in_the_order_in_which_they_are_made() {
    let config = config(
        "restrict 10.0.0.1 nomodify\nrestrict 10.0.0.2 nomodify\nrestrict 10.0.0.3 nomodify\n\
         restrict 10.0.0.1 ntpport ignore\nunrestrict 10.0.0.1\nunrestrict 10.0.0.4\nrestrict 10.0.0.2 noquery\n\
         restrict 10.0.0.1 noserve\nunrestrict 10.0.0.5 noserve\n",
    );
    let rules = config.server.restrictions.unwrap().rules;
    let given = rules.iter().map(|rule| match rule.subnet {
        Subnet::Prefix { address, .. } => (address.to_string(), rule.ntp_port, rule.flags),
        _ => panic!("{rule:?}"),
    });
    let of = |address: &str, ntp_port, words: &str| (address.to_owned(), ntp_port, of(words));
    assert_eq!(
        given.take(4).collect::<Vec<_>>(),
        [
            of("10.0.0.2", false, "nomodify noquery"),
            of("10.0.0.3", false, "nomodify"),
            of("10.0.0.1", true, "ignore"),
            of("10.0.0.1", false, "noserve"),
        ]
    );
}

#[test]
fn what_is_said_of_port_123_of_all_is_a_rule_of_its_own() {
    let unsaid = "limited noquery";
    for (text, other, port_123) in [
        ("restrict default ntpport ignore\n", unsaid, "ignore"),
        (
            "restrict default ignore\nrestrict default ntpport nomodify\n",
            "ignore limited noquery",
            "nomodify",
        ),
        (
            "restrict default ignore\nunrestrict default ntpport ignore\n",
            "ignore limited noquery",
            "ignore limited noquery",
        ),
        (
            "restrict default ntpport ignore\nunrestrict default ntpport\nrestrict 10.1.1.1\n",
            unsaid,
            unsaid,
        ),
        ("restrict 0.0.0.0/0 ntpport ignore\n", unsaid, "ignore"),
        // Nothing can be taken from a rule that is not there.
        (
            "restrict default ignore\nunrestrict 192.0.2.0/24 ignore\n",
            "ignore limited noquery",
            "ignore limited noquery",
        ),
    ] {
        let config = config(text);
        assert_eq!(flags(&config, "192.0.2.9", 1000), of(other), "{text}");
        assert_eq!(flags(&config, "192.0.2.9", 123), of(port_123), "{text}");
    }
}

#[test]
fn what_lines_about_the_same_come_to_is_told_of_each() {
    let told = |text: &str| {
        let lines = read(text).lines;
        let of_line = |line: &conf::explain::Explanation| line.chrony.join(", ");
        lines.iter().skip(1).map(of_line).collect::<Vec<_>>()
    };
    for (text, expected) in [
        (
            "restrict 10.0.0.0/8 ignore\nrestrict 10.0.0.0/8 nomodify",
            &["deny 10.0.0.0/8", "deny 10.0.0.0/8"][..],
        ),
        ("restrict default notrust", &["deny"]),
        ("restrict 10.0.0.0/8 noserve\nunrestrict 10.0.0.0/8", &["", ""]),
        (
            "restrict default ignore\nunrestrict -6 default ignore",
            &["deny 0.0.0.0/0, allow ::/0", "allow ::/0"],
        ),
        ("restrict default nomodify", &["allow"]),
        ("restrict default ntpport ignore", &[""]),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn all_addresses_can_be_freed() {
    let config = config("restrict default\nunrestrict default noquery limited\n");
    assert_eq!(flags(&config, "192.0.2.9", 1000), of(""));
}

#[test]
fn the_words_of_logconfig_count_one_after_the_other() {
    let topics = [
        Topic::System,
        Topic::Source,
        Topic::SourceEvent,
        Topic::ClockEvent,
        Topic::Clock,
    ];
    // Of sysinfo, peerinfo, peerevents, syncevents and syncstatus those that are logged.
    for (text, expected) in [
        ("", "11111"),
        ("logconfig =syncall", "00011"),
        ("logconfig syncstatus", "00001"),
        ("logconfig =clockall =peerall =sysall =syncall", "00011"),
        ("logconfig =syncall +sysall", "10011"),
        ("logconfig =syncall +sysall -syncevents", "10001"),
        ("logconfig -peerevents", "11011"),
        ("logconfig =allevents", "00110"),
        ("logconfig =allpeer", "01100"),
        ("logconfig -all", "11111"),
        ("logconfig -allall", "00000"),
        ("logconfig =nonsense", "11111"),
        (
            "logconfig =clockall\nlogconfig +syncall\nlogconfig -syncevents",
            "00001",
        ),
        ("logconfig =clockall\nlogconfig =peerall", "01100"),
    ] {
        let logged = config(text).process.log_topics;
        let bits: String = topics
            .iter()
            .map(|topic| if logged.has(*topic) { '1' } else { '0' })
            .collect();
        assert_eq!(bits, expected, "{text}");
    }
}

#[test]
fn errors_about_who_may_do_what_keep_the_daemon_from_starting() {
    for (line, expected) in [
        ("restrict", "E 1:10 missing address after \"restrict\""),
        (
            "restrict nomodify",
            "E 1:10 missing address after \"restrict\" (\"nomodify\" is a flag)",
        ),
        (
            "restrict 1.2.3.4 nopee",
            "E 1:18 unknown flag \"nopee\" of \"restrict\"",
        ),
        (
            "restrict 10.0.0.0 nomodify mask 255.0.0.0",
            "E 1:28 \"mask\" is not behind the address",
        ),
        ("restrict 1.2.3.4 mask 255.0.255.0", "E 1:23 no mask of a network"),
        (
            "restrict 1.2.3.4 mask ffff::",
            "E 1:23 \"ffff::\" is no mask for 1.2.3.4",
        ),
        ("restrict 1.2.3.4/33", "E 1:10 no mask of a network"),
        (
            "restrict -6 1.2.3.4",
            "E 1:13 \"1.2.3.4\" is not of the family that was said",
        ),
        (
            "restrict ntp.example/8",
            "E 1:10 \"ntp.example\" is no address, and has a mask",
        ),
        (
            "restrict 1.2.3",
            "E 1:10 \"1.2.3\" is neither an address nor a name",
        ),
        (
            "restrict ${net}",
            "E 1:10 unexpanded template variable \"${net}\"",
        ),
        ("restrict \u{fffd}", "E 1:10 \"\u{fffd}\" is not UTF-8"),
        ("includefile /\u{fffd}", "E 1:13 \"/\u{fffd}\" is not UTF-8"),
        (
            "interface hear eth0",
            "E 1:11 unknown action \"hear\" of \"interface\"",
        ),
        ("interface listen", "E 1:18 missing interface"),
        (
            "interface listen 10.0.0.1/40",
            "E 1:18 \"10.0.0.1/40\" is no network",
        ),
        ("keys", "E 1:6 missing file after \"keys\""),
        ("keys \"\"", "E 1:6 missing file after \"keys\""),
        ("trustedkey 0", "E 1:12 \"0\" is no value for \"trustedkey\""),
        (
            "trustedkey 1 (2 ... 5) 99999",
            "E 1:24 \"99999\" is no value for \"trustedkey\"",
        ),
        ("trustedkey (5 ... 3)", "E 1:12 the range of keys is empty"),
        ("trustedkey (5 - 3)", "E 1:12 no range of keys"),
        ("nts enable", "E 1:5 timeballd is no NTS server yet"),
        ("server a nts", "E 1:10 nts is not supported"),
        (
            "includefile /none",
            "E 1:13 Could not open /none : No such file or directory",
        ),
    ] {
        let found = said(&format!("{line}\nserver 192.0.2.1\n"));
        assert_eq!(found, [expected], "{line}");
    }
}

#[test]
fn other_errors_cost_the_line_only() {
    for (line, expected) in [
        ("server", "S 1:8 missing address after \"server\""),
        (
            "server iburst",
            "S 1:8 missing address after \"server\" (\"iburst\" is an option)",
        ),
        (
            "server minpoll 4",
            "S 1:8 missing address after \"server\" (\"minpoll\" is an option)",
        ),
        ("pool -6", "S 1:9 missing address after \"pool\""),
        (
            "server a badopt",
            "S 1:10 unknown option \"badopt\" of \"server\"",
        ),
        ("server a minpoll", "S 1:18 missing value after \"minpoll\""),
        ("server a autokey", "S 1:10 autokey is not supported"),
        ("server 224.0.1.1", "S 1:8 \"224.0.1.1\" is a multicast address"),
        (
            "server fe80::1",
            "S 1:8 \"fe80::1\" is a link-local address without its interface",
        ),
        ("server a key 5", "S 1:8 there is no keys file for key 5"),
        ("server 127.127.20.0", "S 1:8 refclock type 20 not supported"),
        ("refclock nmae", "S 1:10 unknown type \"nmae\" of \"refclock\""),
        ("tos minsane x", "S 1:13 \"x\" is no value for \"minsane\""),
        ("tinker panik 0", "S 1:8 unknown option \"panik\" of \"tinker\""),
        ("enable mode7", "S 1:8 mode 7 is not available"),
        ("disable moniter", "S 1:9 unknown word \"moniter\" of \"disable\""),
        (
            "statistics loopstat",
            "S 1:12 unknown file \"loopstat\" of \"statistics\"",
        ),
        (
            "filegen loopstats file ../loop",
            "S 1:24 \"../loop\" is no value for \"file\"",
        ),
        (
            "filegen loopstats type hour",
            "S 1:24 \"hour\" is no value for \"type\"",
        ),
        ("setvar a b", "S 1:8 no variable"),
        (
            "setvar a = b always",
            "S 1:14 unknown word \"always\" of \"setvar\"",
        ),
        ("setvar a = \"é\"", "S 1:12 \"é\" is no value for a variable"),
        ("fudge 127.127.28.0 refid", "S 1:26 missing value after \"refid\""),
        ("refclock shm refid", "S 1:20 missing value after \"refid\""),
        ("controlkey x", "E 1:12 \"x\" is no value for \"controlkey\""),
        ("sever a", "W 1:1 unknown directive \"sever\" ignored"),
    ] {
        let found = said(&format!("{line}\nserver 192.0.2.1\n"));
        assert_eq!(found, [expected], "{line}");
    }
}

#[test]
fn files_of_statistics_are_those_that_are_named() {
    let statistics = |text: &str| config(text).statistics;
    let file = |name: &str, is_daily, has_link| StatisticsFile {
        name: name.to_owned(),
        is_daily,
        has_link,
    };
    assert_eq!(statistics(""), Statistics::default());
    let found =
        statistics("statistics loopstats peerstats\nfilegen peerstats file peers type none nolink enable\n");
    assert_eq!(found.dir.as_deref(), Some("/var/log/ntpsec"));
    assert_eq!(
        found.files.into_iter().collect::<Vec<_>>(),
        [
            (StatisticsKind::Loop, file("loopstats", true, true)),
            (StatisticsKind::Peer, file("peers", false, false)),
        ]
    );
    // What is said of a file also says that it is written, until something else is said.
    let found =
        statistics("filegen rawstats type day\nstatsdir /s/\nfilegen sysstats\nfilegen rawstats disable\n");
    assert_eq!(found.dir.as_deref(), Some("/s/"));
    assert_eq!(
        found.files.into_keys().collect::<Vec<_>>(),
        [StatisticsKind::System]
    );
    assert_eq!(
        statistics("statsdir /s/\nstatistics loopstats\ndisable stats\n"),
        Statistics::default()
    );
}

#[test]
fn a_rule_that_cannot_be_read_is_the_strictest_that_it_can_have_meant() {
    let flags = |text: &str, from: &str| {
        let rules = read(&format!("server 192.0.2.1\n{text}"))
            .config
            .server
            .restrictions
            .unwrap();
        let flags = rules.flags(from.parse().unwrap(), 1024, false);
        (flags.ignore, flags.noquery)
    };
    let (stranger, named) = ("198.51.100.1", "10.1.2.3");
    for (text, expected) in [
        ("restrict 10.0.0.0/8 nopee", [(false, true), (true, false)]),
        (
            "restrict 10.0.0.0/8\nrestrict ${net} nomodify",
            [(true, true), (false, false)],
        ),
        (
            "restrict 10.0.0.0/8\nrestrict nomodify notrap",
            [(true, true), (false, false)],
        ),
        (
            "restrict default noquer\nrestrict 10.0.0.0/8",
            [(true, true), (false, false)],
        ),
        (
            "restrict 10.0.0.0/8 noquery\nunrestrict 10.0.0.0/8 noquer",
            [(false, true), (false, true)],
        ),
    ] {
        assert_eq!([flags(text, stranger), flags(text, named)], expected, "{text}");
    }
}

#[test]
fn however_much_is_said_about_lines_the_last_of_them_counts() {
    for (repeated, severity) in [
        ("peer p.example\n", Severity::Warning),
        ("restrict 10.0.0.1 mask 255.0.0.0\n", Severity::Warning),
        ("nonsense\n", Severity::Warning),
        ("fudge\n", Severity::Skipped),
    ] {
        let reading = read(&format!(
            "server a\n{}restrict default ignore\n",
            repeated.repeat(5000)
        ));
        assert!(flags(&reading.config, "192.0.2.11", 1000).ignore, "{repeated}");
        let last = reading.diagnostics.last().unwrap();
        assert!(
            last.message.ends_with(" are not shown, in all files together"),
            "{last}"
        );
        assert_eq!(last.severity, severity, "{repeated}");
        assert!(reading.diagnostics.len() < 1010, "{repeated}");
        let fates = |fate: Fate| reading.lines.iter().filter(move |line| line.fate == fate);
        assert!(fates(Fate::Refused).count() <= 1000, "{repeated}");
        let right = reading.lines.last().unwrap();
        assert_eq!(
            (right.span.line, right.text.as_str()),
            (5002, "restrict default ignore")
        );
    }
    // Where errors are not shown the daemon does not start either.
    let reading = read(&format!(
        "{}{}",
        "nonsense\n".repeat(2000),
        "restrict\n".repeat(2000)
    ));
    let errors = reading
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error);
    assert_eq!(errors.count(), 1001);
}

#[test]
fn variables_are_kept_with_the_last_value() {
    let found = config("setvar a=b\nsetvar c = \"d e\" default\nsetvar a = f\n").variables;
    let found = found
        .iter()
        .map(|added| (added.name.as_str(), added.value.as_str(), added.is_default));
    assert_eq!(found.collect::<Vec<_>>(), [("c", "d e", true), ("a", "f", false)]);
    let many = (0..=64)
        .map(|number| format!("setvar v{number} = x\n"))
        .collect::<String>();
    assert_eq!(
        said(&format!("server 192.0.2.1\n{many}")),
        ["S 66:8 too many variables"]
    );
}

#[test]
fn the_key_of_control_packets_is_one_that_is_trusted() {
    let text = "keys /k\ntrustedkey 7\ncontrolkey 7\n";
    assert_eq!(config(text).control_key, Some(7));
    assert_eq!(config("keys /k\ncontrolkey 7\n").control_key, None);
}

#[test]
fn warnings_say_what_is_taken() {
    for (line, expected) in [
        (
            "server a minpoll 20 maxpoll 17",
            "W 1:18 20 is no polling interval",
        ),
        (
            "server a maxpoll 4",
            "W 1:10 maxpoll 4 is below minpoll 6, which is taken for both",
        ),
        ("peer a", "W 1:1 peer is treated as server"),
        (
            "restrict defualt kod limited",
            "W 1:10 \"defualt\" is taken for the name of a host",
        ),
        (
            "server 192.0.2.1\nserver a",
            "W 3:8 Ignoring duplicate '192.0.2.1'",
        ),
        ("pool a burst", "W 1:8 burst asks the servers of others too often"),
        (
            "restrict default -6 ignore",
            "W 1:18 \"-6\" belongs before \"default\"",
        ),
        (
            "restrict 10.1.2.3/16",
            "W 1:10 10.1.2.3 has bits set behind its mask",
        ),
        (
            "unrestrict 10.0.0.0/8 limited\nrestrict 10.0.0.0/8 kod",
            "W 2:21 KOD does nothing without LIMITED.",
        ),
        (
            "restrict default ignore\nrestrict ::1",
            "W 2:10 127.0.0.1 is ignored; ntpq over IPv4 will time out",
        ),
        (
            "logconfig =syncall =sysall",
            "W 1:20 \"=\" resets the mask; use \"+\" for later items",
        ),
        (
            "logconfig +sysal",
            "W 1:11 logconfig: 'sysal' not recognized - ignored",
        ),
        (
            "tinker stepout 900",
            "W 1:8 timeballd does not wait before a step",
        ),
        (
            "broadcastclient",
            "W 1:1 broadcastclient directive is not supported",
        ),
        ("disable auth", "W 1:9 authentication cannot be disabled"),
        (
            "statistics loopstats clockstats",
            "W 1:22 clockstats is not written",
        ),
        ("filegen loopstats type week", "W 1:24 type week is taken as day"),
        ("controlkey 7", "W 1:12 key 7 cannot be that of control packets"),
        (
            "mru initmem 5\nphone 1 2\nmru incmem 5",
            "W 1:5 accepted without effect: initmem (line 1), phone (line 2), incmem (line 3)",
        ),
        ("mru maxage 5", "W 1:5 maxage is left out"),
        ("nts cert /c", "W 1:5 nts is left out"),
        ("rlimit filenum 5", "W 1:8 filenum is left out"),
        ("extra port 1123", "W 1:1 extra directive is not supported"),
        (
            "disable monitor",
            "W 1:9 'monitor' cannot be disabled while 'limited' is enabled",
        ),
    ] {
        let found = said(&format!("{line}\nserver 192.0.2.1\n"));
        assert_eq!(found, [expected], "{line}");
    }
    assert_eq!(
        said(""),
        ["W 0:1 there is no source of time, so the clock stays as it is"]
    );
}

#[test]
fn sources_have_the_defaults_of_ntpd() {
    let config = config(
        "keys /k\ntrustedkey 1 (3 ... 5) 9\ndriftfile /d\nleapfile /l\npidfile /p\nlogfile /log\n\
         server -6 a.example iburst prefer minpoll 4 maxpoll 12 key 4 version 3\n\
         pool p.example\npool q.example\nserver b true noselect bias 0.5 xleave\n",
    );
    let [_, a, p, q, b] = &config.sources[..] else {
        panic!("{:?}", config.sources)
    };
    assert_eq!(a.name, SourceName::Name("a.example".to_owned()));
    assert!(a.iburst && a.select.prefer && a.family.is_some());
    assert_eq!(
        (a.min_poll, a.max_poll, a.key_id, a.version),
        (4, 12, Some(4), Some(3))
    );
    assert_eq!((p.kind, p.max_sources, q.max_sources), (SourceKind::Pool, 3, 2));
    assert!(b.select.trust && b.select.noselect && b.interleaved);
    assert_eq!(b.offset_s, 0.5);
    let step = config.clock.make_step.unwrap();
    assert_eq!(step, MakeStep::both(0.128, None));
    let panic = config.clock.max_change.unwrap();
    assert_eq!((panic.offset_s, panic.start, panic.ignore), (1000.0, 0, Some(0)));
    assert_eq!(config.clock.drift_file.unwrap().format, DriftFormat::Ntpd);
    assert_eq!(config.key_format, KeyFormat::Ntpd);
    assert_eq!(config.trusted_keys, Some(vec![1..=1, 3..=5, 9..=9]));
    assert!(config.rtc.kernel_sync && !config.clock.observe);
    assert_eq!(config.process.log_file.as_deref(), Some("/log"));
}

#[test]
fn the_clock_is_told_in_the_words_of_ntpd() {
    let tuned = config(
        "tinker panic 0 step 0.5 freq 12.5\ntos minsane 3 floor 1 ceiling 10 orphan 7 orphanwait 60 maxdist 2\n\
         disable ntp kernel\ndscp 0\nlimit average 0.25 burst 8 kod 0\nmru maxdepth 1000\nrlimit memlock 32\n",
    );
    assert_eq!(tuned.clock.max_change, None);
    assert_eq!(tuned.clock.make_step, Some(MakeStep::both(0.5, None)));
    assert_eq!(tuned.clock.initial_frequency_ppm, Some(-12.5));
    let selection = &tuned.selection;
    assert_eq!(
        (
            selection.min_sources,
            selection.min_stratum,
            selection.max_stratum
        ),
        (3, 1, 9)
    );
    assert_eq!(selection.max_distance_s, 2.0);
    let local = tuned.local.unwrap();
    assert_eq!(
        (local.stratum, local.orphan, local.wait_unsynced_s),
        (7, true, 60.0)
    );
    assert!(tuned.clock.observe && !tuned.rtc.kernel_sync && tuned.process.lock_memory);
    assert_eq!(tuned.client.dscp, 0);
    let limit = tuned.server.rate_limit.unwrap();
    assert_eq!((limit.interval, limit.burst, limit.kod), (2, 8, 0));
    assert_eq!(tuned.server.client_log, ClientLog::On { limit_bytes: 128_000 });
    // Of a line with one bad option the others count.
    let config = read("tinker step 0 panik 5 panic 5\n").config;
    assert_eq!(config.clock.make_step, None);
    assert_eq!(config.clock.max_change.unwrap().offset_s, 5.0);
}

#[test]
fn a_clock_is_stepped_in_each_direction_by_its_own_threshold() {
    const NEVER: f64 = f64::INFINITY;
    for (text, expected) in [
        ("tinker stepback 0", Some((0.128, NEVER))),
        ("tinker stepfwd 0", Some((NEVER, 0.128))),
        ("tinker stepfwd 0 stepback 0", None),
        ("tinker step 0\ntinker stepfwd 0.5", Some((0.5, NEVER))),
        ("tinker stepback 2\ntinker step 0.3", Some((0.3, 0.3))),
        ("tinker stepback 2 stepfwd 0.3", Some((0.3, 2.0))),
    ] {
        let step = config(text).clock.make_step;
        let found = step.map(|step| (step.forward_s, step.back_s));
        assert_eq!(found, expected, "{text}");
    }
    let step = config("tinker stepback 0").clock.make_step.unwrap();
    assert!(step.is_exceeded(0.2) && !step.is_exceeded(0.1) && !step.is_exceeded(-1000.0));
    // In the words of chrony it is stepped where both would.
    for (text, expected) in [
        ("tinker stepback 0", "makestep 0 0"),
        ("tinker stepback 2", "makestep 2 -1"),
    ] {
        assert_eq!(read(text).lines[1].chrony, [expected], "{text}");
        assert_eq!(read(text).lines[1].fate, Fate::Adapted, "{text}");
    }
}

#[test]
fn who_asked_is_forgotten_where_nobody_shall_know() {
    let small = config("disable monitor\n").server.client_log;
    assert!(matches!(small, ClientLog::On { limit_bytes } if limit_bytes < 100_000));
    // Whoever writes it again says so.
    assert!(!config("disable monitor\n").server.is_monitored);
    assert!(config("disable monitor\nenable monitor\n").server.is_monitored);
    let nobody_limited = "disable monitor\nunrestrict default limited\n";
    assert_eq!(config(nobody_limited).server.client_log, ClientLog::Off);
}

#[test]
fn reference_clocks_are_shared_memory_and_the_local_clock() {
    let reading = read(
        "fudge 127.127.28.2 time1 0.25 refid GPS\nserver 127.127.28.2 minpoll 4 prefer\nserver 127.127.1.0\n\
         fudge 127.127.1.0 stratum 10\nrefclock shm unit 0 refid PPS\n",
    );
    let [clock, other] = &reading.config.ref_clocks[..] else {
        panic!("{:?}", reading.config.ref_clocks)
    };
    assert_eq!(
        (clock.reference_id, clock.offset_s, clock.poll),
        (*b"GPS\0", 0.25, 4)
    );
    assert!(clock.select.prefer);
    assert_eq!(other.reference_id, *b"PPS\0");
    assert_eq!(reading.config.local.unwrap().stratum, 10);
    assert_eq!(reading.lines[3].chrony, ["local stratum 10"]);
}

#[test]
fn a_refid_stays_where_a_later_line_has_none() {
    let reading =
        read("server 127.127.28.0\nfudge 127.127.28.0 refid GPS\nfudge 127.127.28.0 time1 0.5 refid\n");
    assert_eq!(reading.config.ref_clocks[0].reference_id, *b"GPS\0");
}

#[test]
fn words_of_the_classic_ntpd_have_no_effect() {
    for line in [
        "broadcastdelay 0.008",
        "pollskewlist 6 12|10",
        "ttl 7 15 31",
        "tinker tick 0.01",
        "server a xmtnonce iburst",
        "leapfile /l ignorehash",
        "fudge 127.127.28.0 minjitter 0.1",
    ] {
        let reading = read(&format!("{line}\nserver 192.0.2.1\n"));
        let [found] = &reading.diagnostics[..] else {
            panic!("{line}: {:?}", reading.diagnostics)
        };
        assert!(found.message.starts_with("accepted without effect: "), "{found}");
        assert!(reading.is_right(), "{line}");
    }
    let config = config("server a xmtnonce iburst\nleapfile /l checkhash\n");
    assert!(config.sources[1].iburst);
    assert_eq!(config.leap.list_file.as_deref(), Some("/l"));
    assert_eq!(said("leapfile \"\"\nserver a\n").len(), 1);
}

#[test]
fn the_notice_of_words_without_effect_is_bounded() {
    let lines = (0..20_000)
        .map(|number| format!("driftfile /d w{number}\n"))
        .collect::<String>();
    let found = said(&format!("server a\n{lines}driftfile /d {}\n", "w".repeat(5000)));
    let [only] = &found[..] else { panic!("{found:?}") };
    assert!(only.ends_with(", w19 (line 21), and 19981 more"), "{only}");
    assert!(only.len() < 1000, "{only}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let files = Files::new([
        (MAIN, "\u{feff}server 192.0.2.1\nincludefile /more\n"),
        ("/more", "\u{feff}restrict default ignore\n"),
    ]);
    let reading = Dialect::Ntpd.read(MAIN, &files);
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    assert_eq!(reading.config.sources.len(), 1);
    assert!(flags(&reading.config, "192.0.2.9", 1000).ignore);
}

#[test]
fn what_is_left_out_is_told_as_it_is_said() {
    let left_out = |text: &str| {
        let lines = read(text).lines;
        lines
            .into_iter()
            .flat_map(|line| line.left_out)
            .collect::<Vec<_>>()
    };
    for (text, expected) in [
        (
            "tinker panic 0 stepout 900 huffpuff 7200",
            &["tinker stepout 900", "tinker huffpuff 7200"][..],
        ),
        ("tos mindist 0.01 minsane 2", &["tos mindist 0.01"]),
        ("mru maxage 60 maxdepth 10", &["mru maxage 60"]),
        ("leapsmearinterval 86400", &["leapsmearinterval 86400"]),
        ("statistics loopstats clockstats", &["statistics clockstats"]),
        ("phone 1 2", &[]),
    ] {
        assert_eq!(left_out(text), expected, "{text}");
    }
}

/// A check does not pass with a line that the daemon would start without.
#[test]
fn a_line_that_is_refused_is_not_right() {
    let reading = read("server a\nservr e\npeer b\n");
    let severities = reading.diagnostics.iter().map(|found| reading.severity(found));
    assert_eq!(
        severities.collect::<Vec<_>>(),
        [Severity::Skipped, Severity::Warning]
    );
    assert!(!reading.is_right());
    assert!(read("server a\npeer b\n").is_right());
    assert!(!read("server a\nrestrict nomodify\n").is_right());
}

#[test]
fn sources_are_taken_away_wherever_they_are_named() {
    let reading = read(
        "unpeer 192.0.2.12\nserver 192.0.2.12\nserver 192.0.2.13 iburst\nserver [2001:db8::1]\nserver B.example\n\
         server 127.127.28.0\nunconfig b.example\nunpeer 2001:db8::1\nunpeer 127.127.28.0\nunpeer c.example\n",
    );
    let names = reading
        .config
        .sources
        .iter()
        .map(|source| source.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["192.0.2.13"]);
    assert_eq!(reading.config.ref_clocks, []);
    let found = reading
        .diagnostics
        .iter()
        .map(|found| (found.severity, found.span.line, found.message.as_str()));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [(Severity::Warning, 10, "there is no source \"c.example\"")]
    );
    let left = reading.lines.iter().filter(|line| line.fate == Fate::Ignored);
    assert_eq!(
        left.map(|line| line.text.as_str()).collect::<Vec<_>>(),
        [
            "server 192.0.2.12",
            "server [2001:db8::1]",
            "server B.example",
            "server 127.127.28.0"
        ]
    );
    assert!(matches!(said("unpeer\nserver a\n").as_slice(), [only] if only.starts_with("S 1:")));
}

#[test]
fn a_source_is_taken_away_once_and_however_its_name_is_written() {
    let reading = read(
        "server A.example\npool a.EXAMPLE\nserver b\nserver A.example\nunpeer a.example\nunpeer A.example\n",
    );
    let names = reading
        .config
        .sources
        .iter()
        .map(|source| source.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["b"]);
    let found = reading
        .diagnostics
        .iter()
        .map(|found| (found.span.line, found.message.as_str()));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            (4, "Ignoring duplicate 'A.example'"),
            (6, "there is no source \"A.example\"")
        ]
    );
    let reading =
        read("unpeer 127.127.28.1\nserver 127.127.28.1\nserver 127.127.28.2\nrefclock shm unit 1\n");
    assert_eq!(reading.config.ref_clocks.len(), 1);
    let fates = reading.lines.iter().skip(1).map(|line| line.fate);
    assert_eq!(
        fates.collect::<Vec<_>>(),
        [Fate::Adapted, Fate::Ignored, Fate::Used, Fate::Ignored]
    );
}

#[test]
fn a_key_is_trusted_wherever_its_range_stands() {
    let text = "keys /k\ntrustedkey 30 (4 ... 20) 6 (8 ... 9) 22\n";
    for (id, is_trusted) in [
        (3, false),
        (4, true),
        (7, true),
        (10, true),
        (20, true),
        (21, false),
        (22, true),
        (23, false),
        (30, true),
        (31, false),
    ] {
        let config = read(&format!("{text}server a key {id}\n")).config;
        assert_eq!(config.sources.len(), usize::from(is_trusted), "{id}");
    }
}

#[test]
fn of_a_long_line_all_that_is_wrong_counts_and_the_first_is_told() {
    let reading = read(&format!("tinker {}panic 7\nserver a\n", "foo 1 ".repeat(5000)));
    let last = reading.diagnostics.last().unwrap();
    assert_eq!(
        last.message,
        "4000 more mistakes are not shown, in all files together"
    );
    assert_eq!(reading.diagnostics.len(), 1001);
    assert!(
        reading
            .diagnostics
            .iter()
            .all(|found| found.line_text.len() < 3000)
    );
    assert_eq!(reading.config.clock.max_change.unwrap().offset_s, 7.0);
}

#[test]
fn files_are_named_relative_to_the_file_that_names_them() {
    let files = Files::new([
        (MAIN, "includefile d/a.conf\nincludefile /dir\nserver last\n"),
        ("/d/a.conf", "server a\nincludefile b\n"),
        ("/d/b", "server b\nend\nserver never\n"),
    ]);
    let reading = Dialect::Ntpd.read(MAIN, &files);
    let names = reading
        .config
        .sources
        .iter()
        .map(|source| source.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
    let files = Files::new([(MAIN, "includefile main\n")]);
    let reading = Dialect::Ntpd.read(MAIN, &files);
    assert!(
        reading
            .diagnostics
            .iter()
            .any(|found| found.message.contains("/main is not read"))
    );
}

#[test]
fn interfaces_are_named_or_addressed() {
    let config = config(
        "interface ignore all\nnic listen eth0\ninterface drop wildcard\ninterface listen 10.0.0.0/8\n",
    );
    let rules = &config.server.interfaces;
    assert_eq!(rules.len(), 3);
    let answers = |name, address: &str| InterfaceRule::answers(rules, name, address.parse().unwrap());
    assert!(answers("eth0", "192.0.2.1") && answers("eth1", "10.2.3.4") && !answers("eth1", "192.0.2.1"));
}

/// No directive is unknown, and none is passed over in silence that does nothing.
#[test]
fn every_directive_is_read() {
    for directive in DIRECTIVES {
        for words in ["", " 1", " a b c", " default ignore", " 127.127.1.0 stratum 3"] {
            let reading = read(&format!("{}{words}\nserver 192.0.2.1\n", directive.name));
            let about = reading.diagnostics.iter().map(|found| &found.message);
            for message in about {
                assert!(
                    !message.contains("unknown directive") && !message.contains("is not read"),
                    "{message}"
                );
            }
            let line = &reading.lines[1];
            let is_told = line.fate == Fate::Used || line.note.is_some() || !reading.diagnostics.is_empty();
            assert!(is_told, "{line:?}");
        }
    }
}

/// What a configuration amounts to is read by chrony without a word.
#[test]
fn what_lines_amount_to_is_chrony_conf() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ntp/server-filled.conf"))
        .unwrap();
    let more = "pool p minpoll 3 burst noselect\ntos orphan 5 minsane 2\nserver 127.127.28.0\ntinker panic 0 step 0\n\
                restrict 10.0.0.0/8 noserve\nlimit average 2 burst 5\nenable kernel\nmru maxmem 64\nkeys /k\n";
    let lines = read(&format!("{text}{more}")).lines;
    let chrony = lines.iter().flat_map(|line| &line.chrony);
    let text = chrony.map(|line| format!("{line}\n")).collect::<String>();
    let (_, diagnostics) = chrony::parse(MAIN, &Files::new([(MAIN, text.as_str())]));
    assert_eq!(diagnostics, [], "{text}");
}

#[test]
fn a_line_that_chrony_cannot_write_has_none() {
    for line in [
        "pool \"a b\"",
        "pool a\u{f}b",
        "server a\0b",
        "pool a\0b",
        "keys \"/a b\"",
    ] {
        let lines = read(line).lines;
        let read = lines.last().unwrap();
        let is_left_out = read.chrony.is_empty() && read.note.is_some();
        assert!(is_left_out && read.fate == Fate::Adapted, "{lines:?}");
    }
}
