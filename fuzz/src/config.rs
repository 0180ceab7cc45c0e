//! chrony.conf with all its files: what is read, printed and read again is the same, and sources are one line each.

use std::collections::BTreeMap;

use conf::chrony::{self, DIRECTIVES, EXTENSIONS, Source};
use conf::config::Config;
use conf::diagnostic::{Diagnostic, Severity};
use conf::include::FILE_LENGTH_MAX;

use crate::files::Files;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "config",
    check,
    seeds,
    words: dictionary,
};

/// The files of an input, in its order; the first is where reading begins.
const PATHS: [&str; 5] = ["/main", "/c/a.conf", "/c/b.conf", "/s/a.sources", "/other"];

/// The files are divided by bytes of 0.
fn check(bytes: &[u8]) {
    let texts = bytes.splitn(PATHS.len(), |byte| *byte == 0);
    let files = PATHS.iter().zip(texts).map(|(path, text)| {
        let text = String::from_utf8_lossy(text).into_owned();
        ((*path).to_owned(), text)
    });
    let files = Files(files.collect());
    check_parsed(&files);
    check_scanned(&files);
    for text in files.0.values() {
        let (_, problems) = chrony::parse_source_file("/s/a.sources", text);
        assert!(
            problems
                .iter()
                .all(|problem| problem.severity == Severity::Warning)
        );
    }
}

/// What is printed is what was read.
fn check_parsed(files: &Files) {
    let (config, problems) = chrony::parse("/main", files);
    problems.iter().for_each(check_said);
    let (_, problems_of_sources) = chrony::read_source_dirs(&config.source_dirs, files);
    problems_of_sources.iter().for_each(check_said);
    let (text, _) = chrony::print("/main", files);
    if has_error(&problems) || text.len() > FILE_LENGTH_MAX {
        return;
    }
    let printed = Files(BTreeMap::from([("/main".to_owned(), text.clone())]));
    let (again, problems) = chrony::parse("/main", &printed);
    assert!(!has_error(&problems), "{problems:?}");
    assert_eq!(again, config);
    assert_eq!(chrony::print("/main", &printed).0, text);
    let written = chrony::write(&config);
    let files = Files(BTreeMap::from([("/main".to_owned(), written)]));
    let (again, problems) = chrony::parse("/main", &files);
    assert_eq!(again, config);
    // Options and sources that are left out are written all the same.
    let left_out = sources_left_out(&config);
    let is_left_out = |problem: &Diagnostic| {
        problem.message.ends_with(" is not supported") || left_out.contains(&problem.message)
    };
    assert!(problems.iter().all(is_left_out), "{problems:?}");
}

/// What is said of the sources that are never asked.
pub(crate) fn sources_left_out(config: &Config) -> Vec<String> {
    let addresses = config
        .sources
        .iter()
        .filter_map(|source| source.name.address_of_no_host());
    addresses
        .map(|address| format!("no host has the address {address}"))
        .collect()
}

/// Each source is a line, which is the source.
fn check_scanned(files: &Files) {
    let (scanned, problems) = chrony::scan("/main", files);
    problems.iter().for_each(check_said);
    for configured in scanned.sources {
        let line = configured.source.render();
        assert!(!line.contains('\n'));
        assert_eq!(line.parse::<Source>().as_ref(), Ok(&configured.source));
    }
}

fn check_said(problem: &Diagnostic) {
    assert!(!problem.as_original().is_empty());
    assert!(!problem.to_string().is_empty());
}

fn has_error(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = DIRECTIVES
        .iter()
        .chain(EXTENSIONS.iter())
        .flat_map(|directive| {
            [
                format!("{} 1\n", directive.name),
                format!("{} 1 2 3\n", directive.name),
            ]
        })
        .map(String::into_bytes)
        .collect();
    seeds.extend(words_of(&[
        "pool 2.debian.pool.ntp.org iburst\nkeyfile /etc/chrony/chrony.keys\ndriftfile /d\nlogdir /l\n\
         maxupdateskew 100.0\nrtcsync\nmakestep 1 3\nleapsectz right/UTC\nlog tracking measurements statistics\n",
        "confdir /c /none\nsourcedir /s\ninclude /oth*\n\0server a minpoll -6 maxpoll 24 key 7\n\0\
         peer b xleave prefer trust require noselect\n\0server c port 11123 offset 1e-3\nserver d\n\0allow 10/8\ndeny all\n",
        "include /main\n",
        "allow\nallow all 10\ndeny 2001:db8::/32\ncmdallow 1.2.3\nlocal stratum 8 orphan distance 0.1\nmaxchange 1 2 -1\n\
         ratelimit interval 3 burst 8 leak 2\nfallbackdrift 16 19\nleapsecmode slew\nsmoothtime 400 0.01 leaponly\n\
         initstepslew 30 a b\nbindaddress ::1\nbindcmdaddress /run/s\nopencommands tracking\ncmdport 0\n",
        "server [::1] iburst\nserver 192.0.2.1 maxdelay 0.1 maxdelayratio 3 maxdelaydevratio 10 mindelay 1e-4 \
         asymmetry 0.5 filter 5 polltarget 8 presend 9 minstratum 2 version 3 extfield F323 copy ipv6\n! x\n; y\n% z\n# a\n",
    ]));
    seeds
}

fn dictionary() -> Vec<Vec<u8>> {
    let directives = DIRECTIVES.iter().chain(EXTENSIONS.iter());
    let mut words: Vec<Vec<u8>> = directives
        .map(|directive| directive.name.as_bytes().to_vec())
        .collect();
    words.extend(words_of(&[
        "server ",
        "pool ",
        "peer ",
        " iburst",
        " burst",
        " minpoll ",
        " maxpoll ",
        " key ",
        " xleave",
        " prefer",
        " trust",
        " require",
        " noselect",
        " maxsources ",
        " presend ",
        " offline",
        " auto_offline",
        " port ",
        " nts",
        " maxdelay ",
        " filter ",
        " extfield ",
        " F323",
        " offset ",
        " asymmetry ",
        " polltarget ",
        " version ",
        " ipv4",
        " ipv6",
        "include /other\n",
        "confdir /c\n",
        "sourcedir /s\n",
        "192.0.2.1",
        "2001:db8::1",
        "/24",
        " all",
        " 1e300",
        " -1",
        " nan",
        " inf",
        "0x10",
        " orphan",
        " stratum ",
        " distance ",
        "\n",
        "\0",
        "*",
        "[",
        " interval ",
        " burst ",
        " leak ",
        " tracking",
        " system",
        " slew",
        " step",
        " ignore",
        "99999999999999999999",
    ]));
    words
}
