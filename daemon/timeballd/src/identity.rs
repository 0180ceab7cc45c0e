//! Who the program is: its name decides whose files it has and which words it uses.

use std::env;
use std::path::Path;

use conf::config::PathSetting;
use conf::dialect::Dialect;
use conf::include::Reader;

use crate::args::{Arguments, Invocation};

/// The version of the words that are said under chrony's name: those of this release.
const CHRONY_VERSION: &str = "4.8";

/// The variable of the environment that names the configuration file.
const CONFIG_FILE_VARIABLE: &str = "NTP_CONF_FILE";

/// What this daemon can do, in the words by which chrony lists it.
pub(crate) const FEATURES: &str =
    "+CMDMON +NTP +REFCLOCK +RTC +PRIVDROP +SCFILTER -SIGND +ASYNCDNS -NTS +SECHASH +IPV6 -DEBUG";

/// Whose way of asking a program takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandLine {
    /// chronyd's.
    Chrony,
    /// ntpd's, of NTPsec and the classic one.
    Ntpd,
    /// OpenNTPD's.
    OpenNtpd,
}

/// A name under which the program runs, and what comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name, as it stands in messages.
    pub name: &'static str,
    /// The project, as it stands in the version.
    pub project: &'static str,
    /// The version that is said.
    pub version: &'static str,
    /// Whose arguments it takes.
    pub command_line: CommandLine,
    /// The language of the configuration; `None` if it is to be told from the text.
    pub dialect: Option<Dialect>,
    /// Where the configuration is: the first of these that exists.
    pub config_files: &'static [&'static str],
    /// Whether the environment may name another.
    pub config_file_named: bool,
    /// The command socket.
    pub socket: &'static str,
    /// The file with the process's number; `None` if there is none unless it is asked for.
    pub pid_file: Option<&'static str>,
    /// The directory of what the daemon remembers.
    pub state_dir: &'static str,
    /// The user the daemon becomes: the first of these that exists.
    pub users: &'static [&'static str],
    /// Whether the daemon starts only if there is such a user. Its own name is also that of a program that nobody
    /// has installed.
    pub needs_user: bool,
    /// Whether, in a container, it stays the user it is and leaves the clock to whoever else keeps it.
    pub minds_container: bool,
    /// Whether a hang-up has the configuration be read again; otherwise it ends the program.
    pub reloads_on_hangup: bool,
    /// Whether observing needs no privileges. Under another's name it is as the other has it.
    pub observes_unprivileged: bool,
}

impl Identity {
    /// The program under its own name.
    pub(crate) const TIMEBALLD: Self = Self {
        name: "timeballd",
        project: "timeball",
        version: env!("CARGO_PKG_VERSION"),
        command_line: CommandLine::Chrony,
        dialect: None,
        config_files: &["/etc/timeball/timeballd.conf"],
        config_file_named: true,
        socket: "/run/timeballd/timeballd.sock",
        pid_file: Some("/run/timeballd/timeballd.pid"),
        state_dir: "/var/lib/timeballd",
        users: &["_timeball"],
        needs_user: false,
        minds_container: true,
        reloads_on_hangup: true,
        observes_unprivileged: true,
    };

    /// The program in the place of chronyd, with the files of Debian's package.
    pub(crate) const CHRONYD: Self = Self {
        name: "chronyd",
        project: "chrony",
        version: CHRONY_VERSION,
        command_line: CommandLine::Chrony,
        dialect: Some(Dialect::Chrony),
        config_files: &["/etc/chrony/chrony.conf", "/etc/chrony.conf"],
        config_file_named: false,
        socket: "/run/chrony/chronyd.sock",
        pid_file: Some("/run/chrony/chronyd.pid"),
        state_dir: "/var/lib/chrony",
        users: &["_chrony", "chrony"],
        needs_user: true,
        minds_container: false,
        reloads_on_hangup: false,
        observes_unprivileged: false,
    };

    /// The program in the place of ntpd, with the files of Debian's package of NTPsec, or else the classic ones.
    pub(crate) const NTPD: Self = Self {
        name: "ntpd",
        project: "timeball",
        version: env!("CARGO_PKG_VERSION"),
        command_line: CommandLine::Ntpd,
        dialect: Some(Dialect::Ntpd),
        config_files: &["/etc/ntpsec/ntp.conf", "/etc/ntp.conf"],
        config_file_named: true,
        socket: "/run/timeballd/timeballd.sock",
        pid_file: None,
        state_dir: "/var/lib/ntpsec",
        users: &["ntpsec", "ntp"],
        minds_container: true,
        reloads_on_hangup: true,
        needs_user: false,
        observes_unprivileged: true,
    };

    /// The program in the place of OpenNTPD's ntpd, with the files of Debian's package, or else the original ones.
    pub(crate) const OPENNTPD: Self = Self {
        name: "ntpd",
        project: "timeball",
        version: env!("CARGO_PKG_VERSION"),
        command_line: CommandLine::OpenNtpd,
        dialect: Some(Dialect::OpenNtpd),
        config_files: &["/etc/openntpd/ntpd.conf", "/etc/ntpd.conf"],
        config_file_named: true,
        socket: "/run/timeballd/timeballd.sock",
        pid_file: None,
        state_dir: "/var/lib/openntpd",
        users: &["openntpd", "_ntp", "ntpd", "ntp"],
        minds_container: true,
        reloads_on_hangup: true,
        // It needs one for its chroot, and a container has none.
        needs_user: false,
        observes_unprivileged: false,
    };

    /// Finds out who the program is by the path under which it was started. Two daemons are called `ntpd`, so that
    /// there the arguments count too, and then the files that exist; `named` is the one that the environment names.
    pub(crate) fn of_program(
        path: &str,
        arguments: &[String],
        named: Option<&str>,
        files: &dyn Reader,
    ) -> Self {
        match Path::new(path).file_name().and_then(|name| name.to_str()) {
            Some("chronyd") => Self::CHRONYD,
            Some("openntpd") => Self::OPENNTPD,
            Some("ntpd") => Self::of_ntpd(arguments, named, files),
            _ => Self::TIMEBALLD,
        }
    }

    /// Says which of the daemons called `ntpd` is meant: the only one that has such arguments, or, of both, the one that has
    /// such a file.
    fn of_ntpd(arguments: &[String], named: Option<&str>, files: &dyn Reader) -> Self {
        let parse = |identity: &Self| Invocation::parse(arguments.iter().cloned(), identity);
        let is_open = match (parse(&Self::NTPD), parse(&Self::OPENNTPD)) {
            (Ok(_), Ok(Invocation::Run(Arguments { config_file, .. }))) => {
                Self::is_openntpds(config_file.as_deref(), named, files)
            }
            (Ok(_), _) => false,
            (Err(_), open) => open.is_ok(),
        };
        if is_open { Self::OPENNTPD } else { Self::NTPD }
    }

    /// Says whether a file is OpenNTPD's. What `-f` names is its configuration, unless it can be the drift file that it names
    /// to the other. If that tells nothing, or if nothing is named, the configurations that are there decide: nobody starts
    /// ntpd with a drift file and without any.
    fn is_openntpds(option: Option<&str>, named: Option<&str>, files: &dyn Reader) -> bool {
        let exists = |identity: &Self| {
            let mut files_of = identity.config_files.iter();
            files_of.any(|path| files.read_file(path).is_ok())
        };
        let Some(path) = option.or(named) else {
            return exists(&Self::OPENNTPD) && !exists(&Self::NTPD);
        };
        let text = files.read_file(path).unwrap_or_default();
        if text.trim().is_empty() {
            return !exists(&Self::NTPD);
        }
        match option {
            Some(_) => conf::drift::is_something_else(&text),
            None => Dialect::OpenNtpd.or_of_text(&text) == Dialect::OpenNtpd,
        }
    }

    /// The configuration file that the environment names.
    pub(crate) fn named_config_file() -> Option<String> {
        let path = env::var(CONFIG_FILE_VARIABLE).ok()?;
        Some(path).filter(|path| !path.is_empty())
    }

    /// The configuration file: the first of the usual ones that exists, or the first if none does.
    pub(crate) fn config_file(&self, files: &dyn Reader) -> &'static str {
        let mut paths = self.config_files.iter();
        let found = paths.find(|path| files.read_file(path).is_ok());
        found.or(self.config_files.first()).copied().unwrap_or_default()
    }

    /// The path that a setting means; `None` for none.
    pub(crate) fn path<'a>(setting: &'a PathSetting, default: Option<&'a str>) -> Option<&'a Path> {
        match setting {
            PathSetting::Default => default.map(Path::new),
            PathSetting::Disabled => None,
            PathSetting::Path(path) => Some(Path::new(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use conf::include::ReadError;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl Reader for Files {
        fn read_file(&self, path: &str) -> Result<String, ReadError> {
            let text = self.0.get(path).ok_or(ReadError::NotFound)?;
            Ok((*text).to_owned())
        }

        fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
            Err(ReadError::NotFound)
        }
    }

    #[test]
    fn a_link_of_the_name_makes_a_drop_in() {
        for (path, identity) in [
            ("/usr/sbin/chronyd", Identity::CHRONYD),
            ("chronyd", Identity::CHRONYD),
            ("/usr/sbin/timeballd", Identity::TIMEBALLD),
            ("../../chronyd-old", Identity::TIMEBALLD),
            ("", Identity::TIMEBALLD),
            ("/usr/sbin/ntpd", Identity::NTPD),
            ("/usr/sbin/openntpd", Identity::OPENNTPD),
        ] {
            let files = Files(BTreeMap::new());
            assert_eq!(Identity::of_program(path, &[], None, &files), identity, "{path}");
        }
    }

    #[test]
    fn which_ntpd_is_meant_is_told_by_arguments_and_files() {
        const NTPSEC: &str = "/etc/ntpsec/ntp.conf";
        const CLASSIC: &str = "/etc/ntp.conf";
        const OPEN: &str = "/etc/openntpd/ntpd.conf";
        const ORIGINAL: &str = "/etc/ntpd.conf";
        for (arguments, also, identity) in [
            ("-n", &[][..], Identity::NTPD),
            ("-n", &[CLASSIC], Identity::NTPD),
            ("-n", &[NTPSEC, OPEN], Identity::NTPD),
            ("-d", &[OPEN], Identity::OPENNTPD),
            ("-d", &[ORIGINAL], Identity::OPENNTPD),
            ("-d -s -v -f /servers", &[], Identity::OPENNTPD),
            ("-dsvf/servers", &[CLASSIC], Identity::OPENNTPD),
            ("-f /server", &[], Identity::OPENNTPD),
            // With a mistake in it, it is still one.
            ("-n -f /mistake", &[], Identity::OPENNTPD),
            ("-n -f /weight", &[CLASSIC], Identity::OPENNTPD),
            ("-n -f /comment", &[CLASSIC], Identity::OPENNTPD),
            ("-n -f /empty", &[], Identity::OPENNTPD),
            ("-n -f /nowhere", &[], Identity::OPENNTPD),
            // Another's, which it refuses.
            ("-n -f /restrict", &[], Identity::OPENNTPD),
            ("-f /drift", &[CLASSIC], Identity::NTPD),
            ("-f /drift", &[], Identity::NTPD),
            ("-f /damaged", &[], Identity::NTPD),
            ("-f /empty -p /pid", &[CLASSIC], Identity::NTPD),
            ("-n -f /nowhere", &[CLASSIC, OPEN], Identity::NTPD),
            ("-c /servers", &[OPEN], Identity::NTPD),
            ("-g -f /servers", &[], Identity::NTPD),
            ("-f /nowhere", &[ORIGINAL], Identity::OPENNTPD),
            // Only OpenNTPD's have no value there.
            ("-v -d -s", &[CLASSIC], Identity::OPENNTPD),
            ("-d -s -v", &[], Identity::OPENNTPD),
            ("-s /statistics", &[OPEN, CLASSIC], Identity::NTPD),
        ] {
            let mut files = BTreeMap::from([
                ("/servers", "servers pool.ntp.org"),
                ("/server", "# comment\nserver 192.0.2.1\n"),
                (
                    "/mistake",
                    "servers pool.ntp.org\nserver a wieght 5\nlisten on *\n",
                ),
                ("/weight", "server a weight 11\n"),
                ("/comment", "# nothing yet\n"),
                ("/restrict", "restrict default ignore\nserver a iburst\n"),
                ("/drift", "-12.345\n"),
                ("/damaged", "\0\0\0\0\n"),
                ("/empty", ""),
            ]);
            files.extend(also.iter().map(|path| (*path, "")));
            let arguments_of = arguments.split(' ').map(str::to_owned).collect::<Vec<_>>();
            let found = Identity::of_program("/usr/sbin/ntpd", &arguments_of, None, &Files(files));
            assert_eq!(found.dialect, identity.dialect, "{arguments} {also:?}");
        }
        for (text, identity) in [
            ("servers a\n", Identity::OPENNTPD),
            ("server a wieght 3\n", Identity::OPENNTPD),
            ("restrict default ignore\n", Identity::NTPD),
        ] {
            let files = Files(BTreeMap::from([("/named", text), (OPEN, "")]));
            let found = Identity::of_program("ntpd", &["-n".to_owned()], Some("/named"), &files);
            assert_eq!(found.dialect, identity.dialect, "{text}");
        }
    }

    #[test]
    fn the_first_configuration_file_that_exists_is_read() {
        let files = Files(BTreeMap::from([("/etc/ntp.conf", "")]));
        assert_eq!(Identity::NTPD.config_file(&files), "/etc/ntp.conf");
        assert_eq!(Identity::CHRONYD.config_file(&files), "/etc/chrony/chrony.conf");
    }
}
