//! ntp.conf with all its files: each line has a fate, and what it amounts to is chrony.conf.

use std::collections::BTreeMap;

use conf::chrony;
use conf::config::Subnet;
use conf::diagnostic::Severity;
use conf::explain::Fate;
use conf::include::FILE_LENGTH_MAX;
use conf::ntp::{self, DIRECTIVES};

use crate::files::Files;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "ntp_conf",
    check,
    seeds,
    words: dictionary,
};

/// The files of an input, in its order; the first is where reading begins.
const PATHS: [&str; 4] = ["/main", "/d/a.conf", "/d/b.conf", "/other"];

/// Lines that are longer are not written in chrony's language.
const LINE_LENGTH_MAX: usize = 1000;

/// The files are divided by bytes of 0.
fn check(bytes: &[u8]) {
    let texts = bytes.splitn(PATHS.len(), |byte| *byte == 0);
    let files = PATHS.iter().zip(texts).map(|(path, text)| {
        let text = String::from_utf8_lossy(text).into_owned();
        ((*path).to_owned(), text)
    });
    let files = Files(files.collect());
    let reading = ntp::explain("/main", &files);
    assert_eq!(
        ntp::parse("/main", &files),
        (reading.config.clone(), reading.diagnostics.clone())
    );
    for problem in &reading.diagnostics {
        assert!(!problem.as_original().is_empty());
        assert!(!problem.to_string().is_empty());
    }
    let mut chrony = String::new();
    for line in &reading.lines {
        assert!(line.fate == Fate::Used || line.note.is_some(), "{line:?}");
        for text in &line.chrony {
            assert!(!text.contains('\n'), "{text:?}");
            chrony.push_str(text);
            chrony.push('\n');
        }
    }
    let is_long = |text: &String| text.lines().any(|line| line.len() > LINE_LENGTH_MAX);
    if !files.0.values().any(is_long) && chrony.len() <= FILE_LENGTH_MAX {
        let written = Files(BTreeMap::from([("/main".to_owned(), chrony.clone())]));
        let (_, problems) = chrony::parse("/main", &written);
        let error = problems
            .iter()
            .find(|problem| problem.severity == Severity::Error);
        assert_eq!(error, None, "{chrony}");
    }
    let restrictions = reading.config.server.restrictions.unwrap_or_default();
    for (place, rule) in restrictions.rules.iter().enumerate() {
        let others = restrictions.rules.iter().skip(place + 1);
        let is_same = |other: &&conf::config::Restriction| {
            other.subnet == rule.subnet && other.ntp_port == rule.ntp_port
        };
        assert_eq!(others.clone().find(is_same), None);
        if let Subnet::Prefix { address, .. } = rule.subnet {
            assert!(restrictions.find(address, 123).is_some());
        }
    }
    let _keys = ntp::parse_keys("keys", bytes);
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = DIRECTIVES
        .iter()
        .flat_map(|directive| {
            [
                format!("{} 1\n", directive.name),
                format!("{} a 2 b\n", directive.name),
            ]
        })
        .map(String::into_bytes)
        .collect();
    seeds.push(b"server \xb1\nrestrict \xb1 nomodify\nincludefile /\xb1\n# \xb1\n".to_vec());
    // One that names itself: few lines are read often.
    seeds.push(b"tinker dispersion 1e9\nincludefile /main\nincludefile /main\nincludefile /main\n".to_vec());
    seeds.extend(words_of(&[
        "restrict default kod nomodify nopeer noquery limited\nrestrict -6 ::1\nrestrict 10.1.2.3 mask 255.0.0.0 ignore\n",
        "restrict default -6 ignore\nrestrict ${net} mask ${mask}\nunrestrict 10.0.0.0/8\nrestrict source notrust\n",
        "keys \"\"\nleapfile \"\n",
        "server iburst\nserver -4 a iburst minpoll 4 maxpoll 3 key 5 prefer\npool b burst\nkeys /k\ntrustedkey (1 ... 9) 3\n",
        "server 127.127.28.1\nfudge 127.127.28.1 refid A time1 0.5 stratum 3\nrefclock shm unit 2 prefer\n",
        "tinker step 0 panic 0 freq 5\ntos orphan 5 minsane 2 maxclock 20\nlimit average 0.1 burst 3 kod 0\n",
        "restrict 10.1.names0.0 ignore\nrestrict all\nrestrict 10.1 nomodify\n",
        "logconfig =clockall =peerall -sysinfo\ndisable monitor ntp\ninterface listen eth*\nmru maxmem 5\n",
        "includefile d\nincludefile /other\n\0server a\nend\n\0server b\n\0driftfile \"/a b\"\n",
    ]));
    seeds
}

fn dictionary() -> Vec<Vec<u8>> {
    let mut words = words_of(&[
        "ignore",
        "noserve",
        "notrust",
        "limited",
        "ntpport",
        "default",
        "source",
        "mask",
        "255.255.0.0",
        "127.127.1.0",
        "iburst",
        "minpoll",
        "-4",
        "-6",
        "::/0",
        "${",
        "\"",
        "#",
        "0x10",
        "1e308",
        "=sysall",
    ]);
    words.extend(
        DIRECTIVES
            .iter()
            .map(|directive| directive.name.as_bytes().to_vec()),
    );
    words
}
