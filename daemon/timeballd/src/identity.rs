//! Who the program is: its name decides whose files it has and which words it uses.

use std::path::Path;

use conf::config::PathSetting;
use conf::dialect::Dialect;

use crate::args::{ArgumentError, Invocation};

/// The version of the words that are said under chrony's name: those of this release.
const CHRONY_VERSION: &str = "4.8";

/// What this daemon can do, in the words by which chrony lists it.
pub(crate) const FEATURES: &str =
    "+CMDMON +REFCLOCK +RTC +PRIVDROP +SCFILTER -SIGND +ASYNCDNS -NTS +SECHASH +IPV6 -DEBUG";

/// A name under which the program runs, and what comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name, as it stands in messages.
    pub name: &'static str,
    /// The project, as it stands in the version.
    pub project: &'static str,
    /// The version that is said.
    pub version: &'static str,
    /// The configuration file.
    pub config_file: &'static str,
    /// The variable of the environment that names another.
    pub config_file_variable: Option<&'static str>,
    /// The command socket.
    pub socket: &'static str,
    /// The file with the process's number.
    pub pid_file: &'static str,
    /// The user the daemon becomes.
    pub user: &'static str,
    /// What that user is called by other distributions.
    pub user_elsewhere: Option<&'static str>,
    /// Whether the daemon starts only if there is such a user. Its own name is also that of a program that nobody
    /// has installed.
    pub needs_user: bool,
    /// Whether observing needs no privileges. Under another's name it is as the other has it.
    pub observes_unprivileged: bool,
}

impl Identity {
    /// The program under its own name.
    pub(crate) const TIMEBALLD: Self = Self {
        name: "timeballd",
        project: "timeball",
        version: env!("CARGO_PKG_VERSION"),
        config_file: "/etc/timeball/timeballd.conf",
        config_file_variable: Some("NTP_CONF_FILE"),
        socket: "/run/timeballd/timeballd.sock",
        pid_file: "/run/timeballd/timeballd.pid",
        user: "_timeball",
        user_elsewhere: None,
        needs_user: false,
        observes_unprivileged: true,
    };

    /// The program in the place of chronyd, with the files of Debian's package.
    pub(crate) const CHRONYD: Self = Self {
        name: "chronyd",
        project: "chrony",
        version: CHRONY_VERSION,
        config_file: "/etc/chrony/chrony.conf",
        config_file_variable: None,
        socket: "/run/chrony/chronyd.sock",
        pid_file: "/run/chrony/chronyd.pid",
        user: "_chrony",
        user_elsewhere: Some("chrony"),
        needs_user: true,
        observes_unprivileged: false,
    };

    /// Finds out who the program is by the path under which it was started.
    pub(crate) fn of_program(path: &str) -> Self {
        match Path::new(path).file_name().and_then(|name| name.to_str()) {
            Some("chronyd") => Self::CHRONYD,
            _ => Self::TIMEBALLD,
        }
    }

    /// Takes what is asked of the program, if it is asked in the way of the program under this name.
    ///
    /// # Errors
    /// An option that only the program under its own name has.
    pub(crate) fn takes(&self, invocation: Invocation) -> Result<Invocation, ArgumentError> {
        match &invocation {
            Invocation::Run(arguments) if arguments.dialect.is_some() && *self != Self::TIMEBALLD => {
                Err(ArgumentError::Unknown('-'))
            }
            _ => Ok(invocation),
        }
    }

    /// The language of the configuration; `None` if it is to be told from the text.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        (*self == Self::CHRONYD).then_some(Dialect::Chrony)
    }

    /// The path that a setting means; `None` for none.
    pub(crate) fn path<'a>(setting: &'a PathSetting, default: &'a str) -> Option<&'a Path> {
        match setting {
            PathSetting::Default => Some(Path::new(default)),
            PathSetting::Disabled => None,
            PathSetting::Path(path) => Some(Path::new(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_the_name_makes_a_drop_in() {
        for (path, identity) in [
            ("/usr/sbin/chronyd", Identity::CHRONYD),
            ("chronyd", Identity::CHRONYD),
            ("/usr/sbin/timeballd", Identity::TIMEBALLD),
            ("../../chronyd-old", Identity::TIMEBALLD),
            ("", Identity::TIMEBALLD),
        ] {
            assert_eq!(Identity::of_program(path), identity, "{path}");
        }
    }
}
