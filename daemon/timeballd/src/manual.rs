//! `timeballd man`: the manual pages of all names under which the program answers, made of what `--help` says there.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use os::reason;

use crate::args::usage;
use crate::ctl;
use crate::identity::Identity;
use crate::openntpd::ntpctl;

/// Below the directory of the manual: what belongs to administration.
const SECTION: &str = "man8";

/// A part of a page: its heading, and a text that stays as it is.
type Part = (&'static str, String);

/// Writes the pages below a directory, and returns the exit status: 0 done, 1 not, 2 not understood.
pub(crate) fn main(arguments: &[String]) -> u8 {
    let [directory] = arguments else {
        crate::complain("usage: timeballd man DIRECTORY\n");
        return 2;
    };
    let section = Path::new(directory).join(SECTION);
    let pages = pages();
    let mut written = fs::create_dir_all(&section).map_err(|error| (section.clone(), error));
    for (name, text) in &pages {
        let path = section.join(format!("{name}.8"));
        written = written.and_then(|()| fs::write(&path, text).map_err(|error| (path, error)));
    }
    match written {
        Ok(()) => {
            crate::print(&format!(
                "{} pages written to {}\n",
                pages.len(),
                section.display()
            ));
            0
        }
        Err((path, error)) => {
            crate::complain(&format!("timeballd: {}: {}\n", path.display(), reason(&error)));
            1
        }
    }
}

/// Every page, by its name.
fn pages() -> Vec<(&'static str, String)> {
    let of = |identity: &Identity| ("USAGE", usage(identity.name, identity));
    let with = |heading, identity: &Identity| (heading, usage(identity.name, identity));
    let own = Identity::TIMEBALLD;
    let files_of_both = format!(
        "with an ntp.conf:\n{}\nwith an ntpd.conf:\n{}",
        files(&Identity::NTPD),
        files(&Identity::OPENNTPD)
    );
    vec![
        page(
            "timeballd",
            "clock daemon: NTP client and server",
            &[of(&own), ("FILES", files(&own))],
        ),
        page(
            "timeballd-ctl",
            "ask timeballd or chronyd how the clock is",
            &[("USAGE", ctl::help())],
        ),
        page(
            "chronyd",
            "timeballd in the place of chronyd",
            &[of(&Identity::CHRONYD), ("FILES", files(&Identity::CHRONYD))],
        ),
        page(
            "ntpd",
            "timeballd in the place of ntpd or of OpenNTPD",
            &[
                with("WITH AN NTP.CONF", &Identity::NTPD),
                with("WITH AN NTPD.CONF", &Identity::OPENNTPD),
                ("FILES", files_of_both),
            ],
        ),
        page(
            "openntpd",
            "timeballd in the place of OpenNTPD",
            &[of(&Identity::OPENNTPD), ("FILES", files(&Identity::OPENNTPD))],
        ),
        page(
            "ntpctl",
            "timeballd in the place of OpenNTPD's ntpctl",
            &[
                ("USAGE", ntpctl::USAGE.to_owned()),
                ("FILES", format!("{}  command socket\n", own.socket)),
            ],
        ),
    ]
}

/// Where a name's files are.
fn files(identity: &Identity) -> String {
    let mut text = String::new();
    let mut line = |path: &str, what: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{path}  {what}");
    };
    for path in identity.config_files {
        line(path, "configuration");
    }
    line(identity.socket, "command socket");
    if let Some(path) = identity.pid_file {
        line(path, "number of the process");
    }
    line(identity.state_dir, "what the daemon remembers");
    text
}

fn page(name: &'static str, what: &str, parts: &[Part]) -> (&'static str, String) {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        ".TH {name} 8 \"\" \"timeball {version}\"\n.SH NAME\n{} \\- {}\n",
        escaped(name),
        escaped(what)
    );
    for (heading, body) in parts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, ".SH {heading}\n.nf");
        for line in body.lines() {
            text.push_str(&escaped(line));
            text.push('\n');
        }
        text.push_str(".fi\n");
    }
    text.push_str(
        ".SH DESCRIPTION\nThe languages of configuration, and what is done in another way than by those whose place is taken, \
         are in docs/dialects.md; what to do when something is wrong is in docs/operating.md.\n",
    );
    (name, text)
}

/// A line in roff: backslashes and hyphens as themselves, tabs as gaps, and no request at its beginning.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-").replace('\t', "  ");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_page_with_all_that_its_help_says() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "timeballd",
                "timeballd-ctl",
                "chronyd",
                "ntpd",
                "openntpd",
                "ntpctl"
            ]
        );
        let text = |name: &str| {
            let page = pages.iter().find(|(found, _)| *found == name);
            page.map(|(_, text)| text.clone()).unwrap_or_default()
        };
        for (name, identity) in [
            ("timeballd", Identity::TIMEBALLD),
            ("chronyd", Identity::CHRONYD),
            ("ntpd", Identity::NTPD),
            ("ntpd", Identity::OPENNTPD),
            ("openntpd", Identity::OPENNTPD),
        ] {
            for line in usage(identity.name, &identity).lines() {
                assert!(text(name).contains(&escaped(line)), "{name}: {line}");
            }
        }
        assert!(text("ntpd").contains("\\-\\-force\\-step\\-once"));
        assert!(text("timeballd-ctl").contains("tracking"));
        for (name, text) in &pages {
            let requests = text.lines().filter(|line| line.starts_with(['.', '\'']));
            for request in requests {
                let word = request.split(' ').next();
                assert!(
                    [Some(".TH"), Some(".SH"), Some(".nf"), Some(".fi")].contains(&word),
                    "{name}: {request}"
                );
            }
        }
    }

    #[test]
    fn nothing_in_a_line_is_for_roff() {
        assert_eq!(escaped(".a -b\t\\c"), "\\&.a \\-b  \\ec");
        assert_eq!(escaped("'x"), "\\&'x");
    }
}
