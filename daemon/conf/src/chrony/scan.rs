//! A configuration followed through all its files.

use std::net::IpAddr;

use super::directives::Directive;
use super::source::{Issue, Source, SourceError, SourceKind, Verdict, read};
use super::walk::{Line, Reports, Visit, Walk};
use super::words::is_comment;
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::include::Reader;

/// The largest number of directories that `confdir` and `sourcedir` take.
pub(super) const DIRECTORIES_MAX: usize = 10;

/// Holds what a chrony configuration says about time sources, and where it says it.
///
/// Of directives that are given several times and have one value, the last one is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChronyConf {
    /// Time sources: those of the configuration in the order of its lines, then those of source
    /// files in the order in which a daemon reads them.
    pub sources: Vec<ConfiguredSource>,
    /// The directories of `sourcedir`, in the order of the lines.
    pub source_dirs: Vec<Directory>,
    /// The directories of `confdir`, in the order of the lines.
    pub conf_dirs: Vec<Directory>,
    /// The daemon's Unix socket (`bindcmdaddress` with a path).
    pub command_socket: CommandSocket,
    /// The local addresses of the UDP command port (`bindcmdaddress` with an address), at most one of
    /// each family; loopback by default.
    pub command_addresses: Vec<IpAddr>,
    /// The UDP command port (`cmdport`); 323 by default, 0 closes it.
    pub command_port: Option<u16>,
    /// The user the daemon runs as (`user`).
    pub user: Option<String>,
    /// The file with the daemon's process id (`pidfile`); `/` disables it.
    pub pid_file: Option<String>,
    /// The file with the frequency of the clock (`driftfile`).
    pub drift_file: Option<String>,
    /// Reference clocks (`refclock`), unread.
    pub ref_clocks: Vec<OtherDirective>,
    /// All other directives, unread.
    pub other: Vec<OtherDirective>,
    /// Every file that was read, in that order.
    pub files: Vec<String>,
}

/// Says where a daemon has its Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CommandSocket {
    /// Where it was built to have it, usually `/run/chrony/chronyd.sock`.
    #[default]
    Default,
    /// It has none.
    Disabled,
    /// At this path.
    Path(String),
}

/// Holds a time source and where it is configured.
///
/// A source with options that chrony 4.8 does not have ([`super::SourceOptions::other`]) is listed
/// too, since a later daemon may know them; one that does not skips a source file's line.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfiguredSource {
    /// The source.
    pub source: Source,
    /// Where it is configured.
    pub origin: Origin,
}

/// Says where something is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The line.
    pub span: Span,
    /// How the file of that line is part of the configuration.
    pub via: Via,
}

/// Says how a file is part of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// It is the configuration file itself.
    Main,
    /// A line `include` names it.
    Include,
    /// It is in a directory that `confdir` names.
    ConfDir,
    /// It is in a directory that `sourcedir` names, and read again on `reload sources`.
    SourceDir,
}

/// Holds a directory that `confdir` or `sourcedir` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The directory, as written.
    pub path: String,
    /// The directories before it in the same directive, as written: a file in one of them hides
    /// a file of the same name in this one.
    pub hidden_by: Vec<String>,
    /// Where it is named.
    pub span: Span,
}

/// Holds a directive that is not read further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherDirective {
    /// The directive's word, in lower case.
    pub name: &'static str,
    /// The words after it, separated by single blanks.
    pub rest: String,
    /// The line, from the directive's word on.
    pub span: Span,
}

/// Follows the configuration at `path` through all its files.
///
/// Never fails: what cannot be read or understood becomes a diagnostic, and reading goes on. A
/// diagnostic is an error if chronyd would not start with it. Lines of source files that chronyd
/// skips are warnings.
pub fn scan(path: &str, reader: &dyn Reader) -> (ChronyConf, Vec<Diagnostic>) {
    let mut scanner = Scanner::default();
    let mut walk = Walk::new(reader);
    walk.main_file(path, &mut scanner);
    for directories in std::mem::take(&mut scanner.source_dirs) {
        walk.source_files(&directories, &mut scanner);
    }
    scanner.conf.files = walk.files;
    (scanner.conf, walk.reports.into_diagnostics())
}

/// Collects what a configuration says.
#[derive(Default)]
struct Scanner {
    conf: ChronyConf,
    /// The directories of each `sourcedir`, to be read after everything else.
    source_dirs: Vec<Vec<String>>,
}

impl Visit for Scanner {
    /// Reads a time source; `refused` is how grave it is when a daemon does not take the line.
    fn source(&mut self, line: &Line<'_>, kind: SourceKind, refused: Severity, reports: &mut Reports) {
        let texts = line.words.iter().map(|word| word.text).collect::<Vec<_>>();
        let (source, issues) = read(&texts);
        if let Some(source) = source {
            let origin = Origin {
                span: line.span(0),
                via: line.via,
            };
            self.conf.sources.push(ConfiguredSource { source, origin });
        }
        for Issue { word, error, verdict } in issues {
            let severity = if verdict == Verdict::Tolerated {
                Severity::Warning
            } else {
                refused
            };
            let help = match &error {
                SourceError::UnknownOption { word, .. } if is_comment(word) => {
                    Some("a comment needs a line of its own".to_owned())
                }
                SourceError::UnknownOption { .. } => {
                    Some(format!("options of {} are listed in chrony.conf(5)", kind.word()))
                }
                SourceError::OutOfRange { .. } if verdict == Verdict::Tolerated => {
                    Some("chronyd takes another value instead".to_owned())
                }
                _ => None,
            };
            reports.report(severity, line, word, error.to_string(), help);
        }
    }

    fn directive(&mut self, line: &Line<'_>, directive: &'static Directive, reports: &mut Reports) {
        match directive.name {
            "include" => {}
            "confdir" => self.conf.conf_dirs.extend(directories(line)),
            "sourcedir" => self.source_dir(line, reports),
            "bindcmdaddress" => self.bind_command(line, reports),
            "cmdport" => match line.word(1).map(str::parse) {
                Some(Ok(port)) => self.conf.command_port = Some(port),
                _ => {
                    let message = format!("Could not parse {} directive", directive.name);
                    let help = "a port is a number from 0 to 65535".to_owned();
                    reports.report(Severity::Error, line, 1, message, Some(help));
                }
            },
            "user" => self.conf.user = line.argument(),
            "pidfile" => self.conf.pid_file = line.argument(),
            "driftfile" => self.conf.drift_file = line.argument(),
            "refclock" => self.conf.ref_clocks.push(other(line, directive)),
            _ => self.conf.other.push(other(line, directive)),
        }
    }
}

impl Scanner {
    fn source_dir(&mut self, line: &Line<'_>, reports: &mut Reports) {
        let arguments = line.words.len() - 1;
        if arguments == 0 || arguments > DIRECTORIES_MAX {
            let message = "sourcedir directive has no effect".to_owned();
            let help = format!("it takes 1 to {DIRECTORIES_MAX} directories");
            return reports.report(Severity::Warning, line, 0, message, Some(help));
        }
        self.conf.source_dirs.extend(directories(line));
        self.source_dirs
            .push(line.arguments().map(str::to_owned).collect());
    }

    fn bind_command(&mut self, line: &Line<'_>, reports: &mut Reports) {
        let Some(argument) = line.argument() else { return };
        if argument == "/" {
            self.conf.command_socket = CommandSocket::Disabled;
        } else if argument.starts_with('/') {
            self.conf.command_socket = CommandSocket::Path(argument);
        } else if let Ok(address) = argument.parse::<IpAddr>() {
            self.conf
                .command_addresses
                .retain(|other| other.is_ipv4() != address.is_ipv4());
            self.conf.command_addresses.push(address);
        } else {
            let message = "Could not parse bindcmdaddress directive".to_owned();
            let help = "it takes an IP address or an absolute path".to_owned();
            reports.report(Severity::Error, line, 1, message, Some(help));
        }
    }
}

fn directories(line: &Line<'_>) -> Vec<Directory> {
    let paths = line.arguments().map(str::to_owned).collect::<Vec<_>>();
    let directory = |(at, path): (usize, &String)| Directory {
        path: path.clone(),
        hidden_by: paths.get(..at).unwrap_or_default().to_vec(),
        span: line.span(at + 1),
    };
    paths.iter().enumerate().map(directory).collect()
}

fn other(line: &Line<'_>, directive: &'static Directive) -> OtherDirective {
    let rest = line.arguments().collect::<Vec<_>>().join(" ");
    OtherDirective {
        name: directive.name,
        rest,
        span: line.span(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::Diagnostics;
    use crate::include::FILES_MAX;
    use crate::include::tests::Files;

    const MAIN: &str = "/etc/chrony/chrony.conf";

    /// What Debian 12 configures, with its comments cut down.
    const DEBIAN: &str = "\
# See chrony.conf(5).
confdir /etc/chrony/conf.d

pool 2.debian.pool.ntp.org iburst
sourcedir /run/chrony-dhcp
sourcedir /etc/chrony/sources.d
keyfile /etc/chrony/chrony.keys
driftfile /var/lib/chrony/chrony.drift
ntsdumpdir /var/lib/chrony
#log tracking measurements statistics
logdir /var/log/chrony
maxupdateskew 100.0
rtcsync
makestep 1 3
leapsectz right/UTC
";

    /// What RHEL 9 configures, with its comments cut down.
    const RHEL: &str = "\
pool 2.rhel.pool.ntp.org iburst
sourcedir /run/chrony-dhcp
driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
#hwtimestamp *
keyfile /etc/chrony.keys
ntsdumpdir /var/lib/chrony
leapsectz right/UTC
logdir /var/log/chrony
";

    fn lines(conf: &ChronyConf) -> Vec<String> {
        conf.sources
            .iter()
            .map(|configured| configured.source.render())
            .collect()
    }

    fn paths(directories: &[Directory]) -> Vec<&str> {
        directories
            .iter()
            .map(|directory| directory.path.as_str())
            .collect()
    }

    /// Scans one file with nothing around it; returns the diagnostics as `line:column message`.
    fn check(text: &str) -> (ChronyConf, Vec<String>) {
        let (conf, diagnostics) = scan(MAIN, &Files::new(&[(MAIN, text)]));
        let brief = |d: Diagnostic| format!("{}:{} {}", d.span.line, d.span.column, d.message);
        (conf, diagnostics.into_iter().map(brief).collect())
    }

    #[test]
    fn debian_configuration() {
        let files = Files::new(&[
            (MAIN, DEBIAN),
            ("/etc/chrony/conf.d/b.conf", "server b.example\ncmdport 0\n"),
            ("/etc/chrony/conf.d/README", "Not a configuration."),
            ("/etc/chrony/sources.d/fleet.sources", "server 192.0.2.1 iburst\n"),
            ("/run/chrony-dhcp/eth0.sources", "server 192.0.2.2 iburst\n"),
        ]);
        let (conf, diagnostics) = scan(MAIN, &files);
        assert_eq!(diagnostics, []);
        assert_eq!(
            lines(&conf),
            [
                "server b.example",
                "pool 2.debian.pool.ntp.org iburst",
                "server 192.0.2.2 iburst",
                "server 192.0.2.1 iburst"
            ]
        );
        let origins = conf
            .sources
            .iter()
            .map(|configured| &configured.origin)
            .collect::<Vec<_>>();
        let vias = origins.iter().map(|origin| origin.via).collect::<Vec<_>>();
        assert_eq!(vias, [Via::ConfDir, Via::Main, Via::SourceDir, Via::SourceDir]);
        assert_eq!(origins[1].span.to_string(), "/etc/chrony/chrony.conf:4:1");
        assert_eq!(
            paths(&conf.source_dirs),
            ["/run/chrony-dhcp", "/etc/chrony/sources.d"]
        );
        assert_eq!(paths(&conf.conf_dirs), ["/etc/chrony/conf.d"]);
        assert_eq!(conf.drift_file.as_deref(), Some("/var/lib/chrony/chrony.drift"));
        assert_eq!(
            (conf.command_port, conf.command_socket),
            (Some(0), CommandSocket::Default)
        );
        let others = conf.other.iter().map(|other| other.name).collect::<Vec<_>>();
        assert_eq!(
            others,
            [
                "keyfile",
                "ntsdumpdir",
                "logdir",
                "maxupdateskew",
                "rtcsync",
                "makestep",
                "leapsectz"
            ]
        );
        assert_eq!(conf.other[5].rest, "1 3");
        assert_eq!(conf.files.len(), 4);
    }

    #[test]
    fn rhel_configuration() {
        let (conf, diagnostics) = check(RHEL);
        assert_eq!(diagnostics, [""; 0]);
        assert_eq!(lines(&conf), ["pool 2.rhel.pool.ntp.org iburst"]);
        assert_eq!(paths(&conf.source_dirs), ["/run/chrony-dhcp"]);
        assert_eq!(conf.conf_dirs, []);
    }

    #[test]
    fn lines_that_chronyd_refuses_are_errors_and_reading_goes_on() {
        let (conf, diagnostics) = check(
            "servr a\nserver a minpoll x\nserver b # why\npidfile\nrtcsync 1\n; x\n% x\ncmdport 70000\n\
             bindcmdaddress rel\ninclude /none\ninclude /none*\ncommandkey 1\ndumponexit\nserver c minpoll 30\n\
             sourcedir\nserver d",
        );
        assert_eq!(
            diagnostics,
            [
                "1:1 Invalid directive servr",
                "2:18 option minpoll cannot have the value x",
                "3:10 unknown option #",
                "3:12 unknown option why",
                "4:9 Missing arguments for pidfile directive",
                "5:9 Too many arguments for rtcsync directive",
                "8:9 Could not parse cmdport directive",
                "9:16 Could not parse bindcmdaddress directive",
                "10:9 Could not open /none : No such file or directory",
                "12:1 commandkey directive is no longer supported",
                "14:18 option minpoll has a value out of the range -7 to 24",
                "15:1 sourcedir directive has no effect",
            ]
        );
        assert_eq!(lines(&conf), ["server c minpoll 24", "server d"]);
    }

    #[test]
    fn the_last_of_several_lines_counts() {
        let (conf, _) = check(
            "bindcmdaddress /run/a.sock\nbindcmdaddress 127.0.0.1\nbindcmdaddress ::1\n\
             bindcmdaddress 127.0.0.2\nuser a\nuser b\nrefclock PHC /dev/ptp0 poll 0\nBindCmdAddress /",
        );
        assert_eq!(conf.command_socket, CommandSocket::Disabled);
        let addresses = conf
            .command_addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        assert_eq!(addresses, ["::1", "127.0.0.2"]);
        assert_eq!(conf.user.as_deref(), Some("b"));
        assert_eq!(conf.ref_clocks[0].rest, "PHC /dev/ptp0 poll 0");
    }

    #[test]
    fn source_files_are_read_as_far_as_chronyd_reads_them() {
        let long = format!("server c\n#{}\nserver d\n", "x".repeat(2047));
        let just = format!("server e\n#{}\nserver f\n", "x".repeat(2046));
        let files = Files::new(&[
            (MAIN, "sourcedir /a /b\nsourcedir /b\nsourcedir /none\n"),
            (
                "/a/one.sources",
                "server a\nserver b foo 3 #\nminsources 2\n# x\nserver last",
            ),
            ("/b/one.sources", "server hidden\n"),
            ("/b/long.sources", &long),
            ("/b/just.sources", &just),
            ("/b/nul.sources", "server g\0\nserver h\n"),
            ("/b/.dot.sources", "server dot\n"),
        ]);
        let (conf, diagnostics) = scan(MAIN, &files);
        let first = ["server e", "server f", "server c", "server a"];
        let second = ["server e", "server f", "server c", "server hidden"];
        assert_eq!(lines(&conf), [first, second].concat());
        assert_eq!(conf.source_dirs[1].hidden_by, ["/a"]);
        assert!(
            diagnostics
                .iter()
                .all(|diagnostic| diagnostic.severity == Severity::Warning)
        );
        let of_one = diagnostics
            .iter()
            .filter(|d| &*d.span.file == "/a/one.sources")
            .collect::<Vec<_>>();
        let messages = of_one.iter().map(|d| d.message.as_str()).collect::<Vec<_>>();
        assert_eq!(
            messages,
            [
                "unknown option foo",
                "unknown option 3",
                "unknown option #",
                "Skipped what is no source",
                "Stopped reading"
            ]
        );
    }

    #[test]
    fn nesting_is_bounded_as_in_chronyd() {
        let deep = |levels: usize| {
            let mut files = Files::default();
            for level in 1..levels {
                let text = format!("include /d{}\n", level + 1);
                files.0.insert(format!("/d{level}"), text);
            }
            files.0.insert(format!("/d{levels}"), "server a\n".to_owned());
            let (conf, diagnostics) = scan("/d1", &files);
            (conf.sources.len(), diagnostics.len())
        };
        assert_eq!(deep(10), (1, 0));
        assert_eq!(deep(11), (0, 1));
    }

    #[test]
    fn a_file_that_includes_itself_many_times_comes_to_an_end() {
        let (conf, diagnostics) = check(&format!("include {MAIN}\n").repeat(50));
        assert!(conf.files.len() < FILES_MAX);
        assert_eq!(diagnostics.len(), Diagnostics::KEPT_MAX);
        assert_eq!(
            diagnostics.last().unwrap(),
            "0:1 too much is wrong; the rest is not read"
        );
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let wide = "include /b\n".repeat(30);
        let wider = "include /c\n".repeat(30);
        let files = Files::new(&[(MAIN, &wide), ("/b", &wider), ("/c", "")]);
        let (conf, diagnostics) = scan(MAIN, &files);
        assert_eq!(conf.files.len(), FILES_MAX);
        assert_eq!(
            diagnostics[0].message,
            "/c is not read: there are more than 512 files"
        );
    }

    #[test]
    fn long_lines_are_refused_at_the_length_of_chronyd() {
        let comment = |length: usize| check(&format!("#{}\n", "x".repeat(length - 1))).1.len();
        assert_eq!((comment(2046), comment(2047)), (0, 1));
    }

    #[test]
    fn missing_configuration_is_a_diagnostic() {
        let (conf, diagnostics) = scan(MAIN, &Files::default());
        assert_eq!(conf, ChronyConf::default());
        let expected =
            "/etc/chrony/chrony.conf: Could not open /etc/chrony/chrony.conf : No such file or directory";
        assert_eq!(diagnostics[0].to_string(), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_scanned(main in any::<String>(), sources in any::<String>()) {
            let main = format!("sourcedir /s\n{main}");
            let files = Files::new(&[(MAIN, &main), ("/s/a.sources", &sources)]);
            scan(MAIN, &files);
        }

        #[test]
        fn plausible_text_is_scanned(
            main in "((server|pool|include|confdir|sourcedir|allow) ?[a-z/* .#0-9]{0,20}\\n){0,20}",
        ) {
            let files = Files::new(&[(MAIN, &main), ("/a/a.conf", &main), ("/a/a.sources", &main)]);
            let (_, diagnostics) = scan(MAIN, &files);
            for diagnostic in diagnostics {
                prop_assert!(!diagnostic.to_string().is_empty());
            }
        }
    }
}
