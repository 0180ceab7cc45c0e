//! The daemons that read chrony's language and answer its protocol, as a table of what differs between them.

use crate::providers::ntp::address_in_one_form;

/// Names as they stand in the configuration.
fn as_written(name: &str) -> String {
    name.to_owned()
}

/// A time service, as a distribution has it.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its name in rows.
    pub(crate) name: &'static str,
    /// Its program.
    pub(crate) daemon: &'static str,
    /// systemd's names for it, the usual one first.
    pub(crate) units: &'static [&'static str],
    /// Its configuration file.
    pub(crate) config: &'static str,
    /// Its command socket, unless its configuration says another (`bindcmdaddress`).
    pub(crate) socket: &'static str,
    /// The file with its process id, unless its configuration says another (`pidfile`).
    pub(crate) pid_file: &'static str,
    /// The directory of managed sources that `adopt` adds.
    pub(crate) source_dir: &'static str,
    /// The directory of managed files that take effect by a restart.
    pub(crate) conf_dir: &'static str,
    /// How it is installed, for the operator.
    pub(crate) install: &'static str,
    /// What it calls a source that is configured by this name.
    pub(crate) called: fn(&str) -> String,
    /// The file of the agent's record in its state directory.
    pub(crate) record: &'static str,
}

/// chrony as Debian and its relatives have it.
pub(crate) static CHRONY_OF_DEBIAN: Service = Service {
    name: "chrony",
    daemon: "chronyd",
    units: &["chrony"],
    config: "/etc/chrony/chrony.conf",
    socket: "/run/chrony/chronyd.sock",
    pid_file: "/run/chrony/chronyd.pid",
    source_dir: "/etc/chrony/sources.d",
    conf_dir: "/etc/chrony/conf.d",
    install: "`apt-get install chrony`",
    called: as_written,
    record: "ntp.json",
};

/// chrony as Red Hat's and its relatives have it.
pub(crate) static CHRONY_OF_RHEL: Service = Service {
    units: &["chronyd"],
    config: "/etc/chrony.conf",
    install: "`dnf install chrony`",
    ..CHRONY_OF_DEBIAN
};

/// Our own daemon, which is the same everywhere.
pub(crate) static TIMEBALLD: Service = Service {
    name: "timeballd",
    daemon: "timeballd",
    units: &["timeballd"],
    config: "/etc/timeball/timeballd.conf",
    socket: "/run/timeballd/timeballd.sock",
    pid_file: "/run/timeballd/timeballd.pid",
    source_dir: "/etc/timeball/sources.d",
    conf_dir: "/etc/timeball/conf.d",
    install: "deploy/systemd/README.md says how to install it",
    called: address_in_one_form,
    record: "timeballd.json",
};

/// Our own daemon while it only observes, in a directory that the agent's settings name.
pub(crate) static OBSERVER: Service = Service {
    record: "observer.json",
    ..TIMEBALLD
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_called_as_the_daemon_calls_them() {
        for (written, by_timeballd) in [
            ("2001:DB8:0::1", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("NTP.example", "NTP.example"),
        ] {
            assert_eq!((CHRONY_OF_DEBIAN.called)(written), written);
            assert_eq!((TIMEBALLD.called)(written), by_timeballd);
        }
    }
}
