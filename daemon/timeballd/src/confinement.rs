//! What the daemon gives up once everything is open that needed it.
//!
//! As root it becomes its user and keeps the right to set the clock and to use low ports; then it leaves itself the
//! system calls it makes, the directories it writes to, and the ports to which it has to connect over TCP. Where there is
//! no other user to become, as in a simulation or for whoever tries the program, nothing is restricted.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use conf::config::Config;
use os::privileges::{self, Capability, User};
use os::reason;
use os::sandbox::{Otherwise, restrict_calls, restrict_files, restrict_tcp};

use crate::args::Arguments;
use crate::identity::Identity;
use crate::log::Log;
use crate::passed::PassedSockets;

/// The levels of `-F` that chronyd knows.
const FILTER_LEVELS: RangeInclusive<i32> = -2..=2;

/// Ports below this one are root's.
const FIRST_FREE_PORT: u16 = 1024;

/// The port of name servers (RFC 7766).
const DNS_PORT: u16 = 53;

/// Becomes the user, and confines the process.
///
/// # Errors
/// Why it could not become the user, as a line for the log. What a kernel cannot restrict is logged and goes on.
pub(crate) fn enter(
    user: Option<User>,
    identity: &Identity,
    arguments: &Arguments,
    config: &Config,
    passed: &PassedSockets,
    log: &mut Log,
) -> Result<(), String> {
    if arguments
        .filter_level
        .is_some_and(|level| !FILTER_LEVELS.contains(&level))
    {
        return Err("Unsupported filter level".to_owned());
    }
    let Some(user) = user else {
        // OpenNTPD is never anybody else altogether, and does not speak of it.
        if privileges::is_root() && !log.is_openntpd() {
            log.warn("Running with root privileges");
            if arguments.filter_level != Some(0) {
                log.info("System calls and files are not restricted: the daemon stays root");
            }
        }
        return Ok(());
    };
    privileges::become_user(user, &still_needed(arguments, config, passed))
        .map_err(|error| format!("Could not drop root privileges : {}", reason(&error)))?;
    if arguments.filter_level == Some(0) {
        return Ok(());
    }
    match restrict_files(&writable(identity, arguments, config)) {
        Ok(true) => {}
        Ok(false) => log.info("Files are not restricted: the kernel has no Landlock"),
        Err(error) => log.warn(&error.to_string()),
    }
    match (restrict_tcp(&tcp_ports(config)), arguments.filter_level) {
        (Ok(false), Some(_)) => log.info("TCP is not restricted: the kernel's Landlock does not know it"),
        (Ok(_), _) => {}
        (Err(error), _) => log.warn(&error.to_string()),
    }
    let otherwise = match arguments.filter_level {
        Some(1..) => Otherwise::Kill,
        _ => Otherwise::Refuse,
    };
    match (restrict_calls(otherwise), arguments.filter_level) {
        (Ok(()), Some(level)) => log.info(&format!("Loaded seccomp filter (level {})", level.abs())),
        // Nobody has asked for it.
        (Ok(()), None) => {}
        (Err(error), _) => log.warn(&error.to_string()),
    }
    Ok(())
}

/// What only root may do and the daemon will do later.
fn still_needed(arguments: &Arguments, config: &Config, passed: &PassedSockets) -> Vec<Capability> {
    let mut needed = Vec::new();
    if !arguments.observe {
        needed.push(Capability::SetClock);
    }
    // Requests from the NTP port go through the server's socket.
    let passed_port = passed.have_ntp_port(config).then_some(config.server.port);
    let ports =
        [Some(config.server.port), config.client.port].map(|port| port.filter(|_| port != passed_port));
    if ports
        .into_iter()
        .flatten()
        .any(|port| (1..FIRST_FREE_PORT).contains(&port))
    {
        needed.push(Capability::BindService);
    }
    needed
}

/// The ports to which the daemon, or rather its helpers, may have to connect: those of constraints, and that of name servers,
/// whose long answers come over TCP. What is confined stays so: ports that a later configuration adds are not reached.
pub(crate) fn tcp_ports(config: &Config) -> Vec<u16> {
    let constraints = config.constraints.from.iter();
    let constraints = constraints.map(|constraint| constraint.url.port());
    constraints.chain([DNS_PORT]).collect()
}

/// The directories with the files that the daemon writes, replaces and removes.
fn writable(identity: &Identity, arguments: &Arguments, config: &Config) -> Vec<PathBuf> {
    let drift = config
        .clock
        .drift_file
        .as_ref()
        .map(|drift| Path::new(&drift.path));
    let rtc = config.rtc.file.as_ref().map(Path::new);
    let log = arguments.log_file.as_ref().map(Path::new);
    let socket = Identity::path(&config.control.socket, Some(identity.socket));
    let pid_file = Identity::path(&config.process.pid_file, identity.pid_file);
    let files = [drift, rtc, log, socket, pid_file]
        .into_iter()
        .flatten()
        .filter_map(Path::parent);
    let directories = [&config.logs.dir, &config.dump_dir, &config.statistics.dir]
        .into_iter()
        .flatten()
        .map(Path::new);
    let named = |path: &Path| {
        if path.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            path.to_owned()
        }
    };
    files.chain(directories).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_given_up() {
        let (arguments, config) = (Arguments::default(), Config::default());
        let passed = PassedSockets::default();
        assert_eq!(
            still_needed(&arguments, &config, &passed),
            [Capability::SetClock, Capability::BindService]
        );
        let observe = Arguments {
            observe: true,
            ..Arguments::default()
        };
        let mut config = config;
        config.server.port = 0;
        assert_eq!(still_needed(&observe, &config, &passed), []);
        config.client.port = Some(123);
        assert_eq!(
            still_needed(&observe, &config, &passed),
            [Capability::BindService]
        );
    }

    #[test]
    fn only_constraints_and_name_servers_are_connected_to() {
        assert_eq!(tcp_ports(&Config::default()), [53]);
        let lines = ["https://10.0.0.1:8443/", "https://time.example.net/"]
            .map(|url| format!("timeball.constraints {url}"));
        let (config, problems) = conf::chrony::parse_arguments(&lines, &crate::files::ConfigurationFiles);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(tcp_ports(&config), [8443, 443, 53]);
    }

    #[test]
    fn only_the_daemons_own_directories_are_written() {
        let mut config = Config {
            dump_dir: Some("/var/lib/chrony".to_owned()),
            ..Config::default()
        };
        config.control.socket = conf::config::PathSetting::Disabled;
        let arguments = Arguments {
            log_file: Some("log".to_owned()),
            ..Arguments::default()
        };
        let paths = writable(&Identity::CHRONYD, &arguments, &config);
        assert_eq!(paths, [".", "/run/chrony", "/var/lib/chrony"].map(PathBuf::from));
    }
}
