//! ntpd.conf of OpenNTPD: what is told of its lines in chrony's words says the same as the whole.

use std::collections::BTreeMap;

use conf::chrony;
use conf::config::Config;
use conf::diagnostic::Severity;
use conf::explain::Fate;
use conf::openntpd;

use crate::config::sources_left_out;
use crate::files::Files;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "openntpd",
    check,
    seeds,
    words: dictionary,
};

const PATH: &str = "/main";

fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines = text.split('\n').count();
    let files = |text: String| Files(BTreeMap::from([(PATH.to_owned(), text)]));
    let reading = openntpd::read(PATH, &files(text));
    for problem in &reading.diagnostics {
        assert!(!problem.as_original().is_empty());
        assert!(!problem.to_string().is_empty());
        assert!(usize::try_from(problem.span.line).is_ok_and(|line| line <= lines));
    }
    let mut told = "rtcsync\n".to_owned();
    for line in &reading.lines {
        assert!(line.span.line > 0 && !line.text.is_empty());
        let is_used = matches!(line.fate, Fate::Used | Fate::Adapted);
        assert!(line.chrony.is_empty() != is_used || (is_used && line.note.is_some()));
        for chrony in &line.chrony {
            assert!(!chrony.contains('\n'));
            told.push_str(chrony);
            told.push('\n');
        }
    }
    if reading
        .diagnostics
        .iter()
        .any(|problem| problem.severity > Severity::Warning)
    {
        return;
    }
    let (config, problems) = chrony::parse(PATH, &files(told));
    // Sources with an address of no host are told all the same, and nothing else is said.
    let said: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
    assert_eq!(said, sources_left_out(&config));
    // Of weights nothing is written, and chrony cannot say several addresses.
    let expected = Config {
        weights: BTreeMap::new(),
        ..reading.config
    };
    if expected.server.interfaces.is_empty() {
        assert_eq!(config, expected);
    }
    let again = openntpd::read(PATH, &files(openntpd::write(&expected)));
    assert_eq!(again.config, expected);
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = words_of(&[
        "servers pool.ntp.org",
        "# a\nlisten on *\nserver a weight 3\nserver 192.0.2.1 trusted\nsensor * refid GPS stratum 1 correction -5\n",
        "query from 192.0.2.1\nquery from ::1\nlisten on 192.0.2.1 rtable 3\nlisten on ::\nservers \"a b\" trusted\n",
        "constraint from \"https://a/b\" 192.0.2.1 ::1\nconstraints from 'a' # b \\\nc\n",
        "server a \\\n weight \\\n 4\n\nserver it\\'s\nserver 'it\\'s\nso'\nserver 99999999999999999999 -5 [::1]\n",
        "listen on 192.0.2.1\nserver a\nlisten on *\nlisten on 192.0.2.2\nquery from 192.0.2.1\n",
        "listen on 192.0.2.1\nlisten on 192.0.2.2\nlisten on ::1\nlisten on fe80::1%eth0\nlisten on a\n",
    ]);
    seeds.push(b"server '\xb1'\nserver \xb1\nservers a # \xb1\n".to_vec());
    seeds
}

fn dictionary() -> Vec<Vec<u8>> {
    words_of(&[
        "constraint from ",
        "constraints from ",
        " correction ",
        "listen on ",
        "query from ",
        " refid ",
        " rtable ",
        "sensor ",
        "server ",
        "servers ",
        " stratum ",
        " trusted",
        " weight ",
        "\"https://",
        "'",
        "\"",
        "\\\n",
        "\\",
        "\n",
        " #",
        "*",
        "192.0.2.1",
        "0.0.0.0",
        "2001:db8::1",
        "::",
        "%eth0",
        "-127000001",
        "10",
        "99999999999999999999",
    ])
}
