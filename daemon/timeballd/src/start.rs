//! From arguments to a running daemon, and to its end.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use conf::config::{Config, Conflict, DriftFile, InterfaceRule, InterfaceTarget, RefClockDriver, Subnet};
use conf::diagnostic::{Diagnostic, Placed, Severity as Weight, Span};
use conf::dialect::{Dialect, Reading};
use engine::control::mode6::{About, LocalAddress};
use engine::io::Severity;
use engine::rtc::RtcStart;
use engine::{Engine, Options};
use os::background::{Detached, detach, inherit};
use os::pid_file::{PidFile, PidFileError};
use os::privileges::{self, User};
use os::{
    Clock, PassedError, PassedSocket, Random, Resolver, Rtc, SharedMemory, Stamping, Waiter, give_back_start,
    reason, signals,
};
use wire::condition::Condition;
use wire::ntp::auth::Key;

use crate::args::{Arguments, Once};
use crate::configuration::{ConfigurationText, adapt, report, shown_error, weight, with_settings};
use crate::confinement;
use crate::conflict::{self, ConflictFinder};
use crate::constraint::{Authorities, ConstraintClient};
use crate::control::ControlSockets;
use crate::files::{is_no_drift_file, make_directory, read_drift};
use crate::identity::{CommandLine, FEATURES, Identity};
use crate::interfaces::Interfaces;
use crate::keys;
use crate::leap_files::LeapFiles;
use crate::links::Links;
use crate::log::{Log, threshold};
use crate::log_files::LogFiles;
use crate::metrics::MetricsServer;
use crate::openntpd::{self, voice::Voice};
use crate::passed::PassedSockets;
use crate::ready::Announcements;
use crate::reload::{Reload, fixed_lines};
use crate::rtc;
use crate::run::{Daemon, Hands, now};
use crate::statistics_files::StatisticsFiles;

/// The first second of the NTP era window, Unix seconds: 1976-01-01. Servers' times are taken to be in the 2^32
/// seconds from there on, until 2112.
const ERA_START_S: i64 = 189_302_400;

/// The error bound of a frequency that an operator has said, ppm.
const SAID_SKEW_PPM: f64 = 1.0;

/// From so much on a frequency is no clock's, and is told by its magnitude, ppm.
const LEGIBLE_MAX_PPM: f64 = 1e6;

/// The highest real-time priority (`sched(7)`).
const PRIORITY_MAX: i32 = 99;

/// Why the daemon cannot run, in the words that are logged.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fatal(String);

/// Runs the daemon as it is asked, and returns the exit status of the program.
pub(crate) fn start(identity: &Identity, arguments: &Arguments) -> u8 {
    let mut announcements = Announcements::default();
    if let Some(descriptor) = arguments.notify_fd {
        match inherit(descriptor) {
            Ok(supervisor) => announcements.supervisor = Some(supervisor),
            Err(_) => {
                return refuse(
                    identity,
                    arguments,
                    &Fatal(format!("Invalid argument {descriptor}")),
                );
            }
        }
    }
    // Before anything else is opened, and in the process that they are for.
    let passed = PassedSocket::take_all(arguments.notify_fd);
    // The configuration is read once, whatever is done with it: it may come through a pipe.
    if arguments.print {
        return print_configuration(identity, arguments);
    }
    let text = ConfigurationText::find(identity, arguments);
    let Reading {
        config,
        diagnostics: mut problems,
        ..
    } = text.parse(arguments);
    if text.dialect == Dialect::OpenNtpd && openntpd::refuses(&problems) {
        return 1;
    }
    let arguments = &with_settings(arguments, &config);
    problems.extend(missing_user(arguments, &config, &text));
    if let Err(fatal) = check_user(identity, arguments) {
        return refuse(identity, arguments, &fatal);
    }
    if !arguments.foreground {
        match detach() {
            Ok(Detached::Daemon(starter)) => announcements.starter = Some(starter),
            Ok(Detached::Starter(Ok(()))) => return 0,
            Ok(Detached::Starter(Err(message))) => {
                say(&message);
                return 1;
            }
            Err(error) => return refuse(identity, arguments, &fatal("Could not detach", &error)),
        }
    }
    let mut log = match open_log(identity, arguments) {
        Ok(log) => log.like(style(identity, text.dialect)),
        Err(fatal) => {
            announcements.failed(&fatal.0);
            return refuse(identity, arguments, &fatal);
        }
    };
    log.info(&starting(identity));
    log.limit(config.process.log_topics);
    if let Some(guess) = text.guess() {
        log.info(&guess);
    }
    for left_out in arguments.left_out.iter().chain(&text.missing) {
        log.warn(left_out);
    }
    let reported = report(&problems, text.dialect, arguments, &mut log);
    match reported
        .map_err(Fatal)
        .and_then(|()| prepare(identity, arguments, config, &text, passed, &mut log))
    {
        Ok(prepared) => prepared.run(log, announcements, identity.name),
        Err(fatal) => {
            // What ended it stands last, where people and programs look. Of an ntp.conf everything has been said.
            let shown = shown_error(&problems).filter(|_| text.dialect != Dialect::Ntpd);
            if let Some(error) = shown.as_deref().filter(|_| arguments.foreground) {
                say(error);
            }
            log.write(Severity::Fatal, &fatal.0);
            if arguments.foreground && !log.is_on_stderr() {
                let _ = refuse(identity, arguments, &fatal);
            }
            announcements.failed(&match shown {
                Some(error) => format!("{error}\n{}", fatal.0),
                None => fatal.0,
            });
            1
        }
    }
}

/// The first line of the log.
fn starting(identity: &Identity) -> String {
    let Identity {
        name,
        project,
        version,
        ..
    } = identity;
    match identity.command_line {
        CommandLine::Chrony => format!("{name} version {version} starting ({FEATURES})"),
        CommandLine::Ntpd => format!("INIT: {name} {project}-{version}: Starting"),
        CommandLine::OpenNtpd => format!("{name} {project}-{version} starting"),
    }
}

/// What has been set up before the engine begins.
struct Prepared {
    config: Config,
    options: Options,
    clock: Clock,
    waiter: Waiter,
    control: ControlSockets,
    metrics: Option<MetricsServer>,
    keys: Vec<Key>,
    constraints: ConstraintClient,
    ref_clocks: Vec<SharedMemory>,
    rtc: Option<Rtc>,
    leap_files: LeapFiles,
    voice: Option<Voice>,
    conflict: Option<ConflictFinder>,
    condition: Condition,
    reloading: Reload,
    passed: PassedSockets,
    arguments: Arguments,
    /// Removed when the daemon has ended.
    pid_file: Option<PidFile>,
}

/// Does everything that can fail, and gives up privileges when they are not needed any more.
fn prepare(
    identity: &Identity,
    arguments: &Arguments,
    mut config: Config,
    text: &ConfigurationText,
    passed: Result<Vec<PassedSocket>, PassedError>,
    log: &mut Log,
) -> Result<Prepared, Fatal> {
    adapt(&mut config, arguments);
    check_drift_option(identity, arguments, &config)?;
    let fixed = fixed_lines(&config);
    // As long as files can be read.
    find_listening(&mut config)?;
    let about = about(identity);
    let user = find_user(identity, arguments, &config)?;
    make_directories(identity, &config, user, log);
    let pid_file = match Identity::path(&config.process.pid_file, identity.pid_file) {
        Some(path) => write_pid_file(path, identity, user, log)?,
        None => None,
    };
    let clock = Clock::new();
    let policy = conflict::policy(identity, &config).map_err(Fatal)?;
    if arguments.observe {
        log.info("Disabled control of system clock");
    } else {
        // A daemon that may not is told so whoever else keeps the clock: it could not take it over either.
        let allowed = match policy {
            Conflict::Ignore => clock.can_steer(),
            Conflict::Observe | Conflict::Fail => clock.may_steer(),
        };
        allowed.map_err(|error| {
            if text.dialect == Dialect::OpenNtpd {
                openntpd::cannot_steer(identity, &error, log);
            }
            Fatal(error.to_string())
        })?;
    }
    let (conflict, condition) = find_conflict(identity, arguments, policy, &config, &clock, log);
    let (voice, remembered) = (text.dialect == Dialect::OpenNtpd)
        .then(|| openntpd::begin(identity, !condition.steers, &mut config, log))
        .unzip();
    let sets_from_rtc = arguments.set_from_rtc && condition.steers;
    let (rtc, rtc_start) = set_up_rtc(sets_from_rtc, &config, &clock, log)?;
    let passed = passed.unwrap_or_else(|error| {
        log.warn(&error.to_string());
        Vec::new()
    });
    let passed = PassedSockets::sort(passed, &config, log);
    let mut control = ControlSockets::open(&config.control, config.family, &passed, log);
    let metrics = open_metrics(&config, log);
    let ref_clocks = open_ref_clocks(&config)?;
    let keys = keys::load(&config, log).map_err(Fatal)?;
    let constraints = ConstraintClient::new(clock, load_authorities(&config, log));
    set_scheduling(arguments, &config, log)?;
    let reloading = Reload::begin(
        identity,
        arguments,
        fixed,
        confinement::tcp_ports(&config),
        text,
        log,
    );
    let precision_s = config.clock.precision_s.unwrap_or_else(|| clock.precision_s());
    let is_simulated_or_tried = user.is_none();
    confinement::enter(user, identity, arguments, &config, &passed, log).map_err(Fatal)?;
    if let Some(path) = Identity::path(&config.control.socket, Some(identity.socket)) {
        control.open_unix(path, log);
    }
    // What ends by itself has that to do.
    if arguments.timeout_s.is_none() && arguments.once.is_none() && control.is_empty() && !has_work(&config) {
        return Err(Fatal("Nothing to do".to_owned()));
    }
    let said = config.clock.initial_frequency_ppm;
    let drift = said
        .map(|frequency_ppm| (frequency_ppm, SAID_SKEW_PPM))
        .or_else(|| {
            remembered.unwrap_or_else(|| {
                let drift = config.clock.drift_file.as_ref()?;
                known_drift(drift, log)
            })
        });
    signals::install().map_err(|error| fatal("Could not handle signals", &error))?;
    // No simulator knows a timer that tells when the clock is set: there it is found out at the next look at the clock.
    let waiter = if is_simulated_or_tried {
        Waiter::new()
    } else {
        Waiter::noticing()
    };
    let waiter = waiter.map_err(|error| fatal("Could not make a timer", &error))?;
    let leap_files = LeapFiles::read(&config.leap, now(&clock), log);
    let options = Options {
        observe: !condition.steers,
        drift,
        precision_s,
        era_start: ERA_START_S,
        leap_table: leap_files.table().cloned(),
        once: arguments.once.map(|once| match once {
            Once::Set => engine::Once::Set,
            Once::Log => engine::Once::Log,
        }),
        rtc: rtc_start,
        tells: voice.is_some(),
        set_at_once: arguments.step_first && text.dialect == Dialect::OpenNtpd,
        about,
    };
    Ok(Prepared {
        config,
        options,
        clock,
        waiter,
        control,
        metrics,
        keys,
        constraints,
        ref_clocks,
        rtc,
        leap_files,
        voice,
        conflict,
        condition,
        reloading,
        passed,
        arguments: arguments.clone(),
        pid_file,
    })
}

/// Whether a daemon that nobody can command has anybody to serve or to ask.
fn has_work(config: &Config) -> bool {
    let asks_first = config.initial_step.as_ref();
    config.server.port != 0
        || !config.sources.is_empty()
        || !config.ref_clocks.is_empty()
        || !config.source_dirs.is_empty()
        || asks_first.is_some_and(|step| !step.servers.is_empty())
}

impl Prepared {
    /// Runs the engine until it ends, and returns the exit status.
    fn run(self, mut log: Log, announcements: Announcements, name: &str) -> u8 {
        let now = now(&self.clock);
        // Without random numbers nothing can be asked in a way that others cannot answer for the server.
        let mut random = Random::default();
        let entropy = Box::new(move || random.take().unwrap_or_default());
        let mut hands = Hands {
            clock: self.clock,
            waiter: self.waiter,
            _stamping: Stamping::begin(),
            sockets: BTreeMap::new(),
            passed: self.passed,
            control: self.control,
            ref_clocks: self.ref_clocks,
            rtc: self.rtc,
            leap_files: self.leap_files,
            conflict: self.conflict,
            condition: self.condition,
            reloading: self.reloading,
            resolver: Resolver::new(self.arguments.family),
            constraints: self.constraints,
            links: Links::default(),
            interfaces: Interfaces::new(self.config.server.interfaces.clone(), &mut log),
            log,
            voice: self.voice,
            log_files: LogFiles::new(&self.config.logs),
            statistics_files: StatisticsFiles::new(&self.config.statistics),
            announcements,
            config: self.config.clone(),
            reload: self.arguments.reload,
            dump_dir: self.config.dump_dir.as_ref().map(PathBuf::from),
            end_at: self
                .arguments
                .timeout_s
                .map(|seconds| now.mono.plus_seconds(f64::from(seconds))),
            helpers_at: None,
            is_helpless: false,
            metrics: self.metrics,
        };
        hands.control.watch(&mut hands.waiter);
        if let Some(metrics) = &hands.metrics {
            metrics.watch(&mut hands.waiter);
        }
        hands.reloading.watch(&mut hands.waiter);
        let engine = Engine::new(self.config, self.options, now, entropy);
        let mut daemon = Daemon { engine, hands };
        daemon.tell(engine::io::Input::Keys(self.keys));
        give_back_start();
        let status = daemon.run();
        daemon.hands.announcements.stopping();
        daemon.hands.control = ControlSockets::default();
        daemon.hands.log.info(&format!("{name} exiting"));
        if daemon.hands.voice.is_some() {
            Voice::ended(&mut daemon.hands.log);
        }
        // At last: when it is gone, all is.
        if let Some(Err(error)) = self.pid_file.map(PidFile::remove) {
            daemon.hands.log.warn(&error.to_string());
        }
        status
    }
}

/// What `ntpq` is told about machine and program.
fn about(identity: &Identity) -> About {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    About {
        processor: env::consts::ARCH.to_owned(),
        system: match release.trim() {
            "" => "Linux".to_owned(),
            release => format!("Linux/{release}"),
        },
        version: format!("{} {}", identity.name, identity.version),
        addresses: os::local_addresses()
            .into_iter()
            .map(|(interface, address)| LocalAddress { interface, address })
            .collect(),
    }
}

/// Prints the configuration as it is understood, as far as it is: in chrony's language, whatever it is written in.
fn print_configuration(identity: &Identity, arguments: &Arguments) -> u8 {
    let text = ConfigurationText::find(identity, arguments);
    if identity.command_line == CommandLine::OpenNtpd {
        let mut reading = text.parse(arguments);
        if is_right(&reading)
            && let Err(fatal) = find_listening(&mut reading.config)
        {
            say(&format!("{}: {fatal}", text.path));
            return 1;
        }
        return openntpd::check(&reading.diagnostics);
    }
    if text.dialect != Dialect::Chrony {
        return print_translation(&text);
    }
    let (printed, mut problems) = if arguments.directives.is_empty() {
        conf::chrony::print(&text.path, &text)
    } else {
        conf::chrony::print_arguments(&arguments.directives, &text)
    };
    text.name_another(&mut problems);
    // Whoever stops reading has seen enough.
    let _ = io::stdout().write_all(printed.as_bytes());
    let mut log = Log::to_stderr(threshold(arguments.log_level));
    match report(&problems, Dialect::Chrony, arguments, &mut log) {
        Ok(()) => 0,
        Err(reason) => {
            if let Some(error) = shown_error(&problems) {
                say(&error);
            }
            refuse(identity, arguments, &Fatal(reason))
        }
    }
}

/// Whether there is nothing in a configuration with which the daemon does not start.
fn is_right(reading: &Reading) -> bool {
    let mut severities = reading.diagnostics.iter().map(|problem| problem.severity);
    severities.all(|severity| severity < conf::diagnostic::Severity::Error)
}

/// Prints what a configuration in another language amounts to in chrony's, and all that is wrong with it, with the
/// lines. It is right if no line of it is left out.
fn print_translation(text: &ConfigurationText) -> u8 {
    let reading = text.read();
    let mut translation = String::new();
    for line in &reading.lines {
        for chrony in &line.chrony {
            translation.push_str(chrony);
            translation.push('\n');
        }
    }
    let _ = io::stdout().write_all(translation.as_bytes());
    for problem in &reading.diagnostics {
        let weight = weight(reading.severity(problem));
        let span = &problem.span;
        let shown = problem.to_string();
        let place = format!("{span}: ");
        let shown = shown.strip_prefix(&place).unwrap_or(&shown);
        say(&format!("{span}: {weight}: {shown}"));
    }
    u8::from(!reading.is_right())
}

/// Refuses to go on as somebody who will not be able to.
fn check_user(identity: &Identity, arguments: &Arguments) -> Result<(), Fatal> {
    let free = arguments.any_user || (arguments.observe && identity.observes_unprivileged);
    if free || privileges::is_root() {
        return Ok(());
    }
    Err(Fatal(match identity.command_line {
        CommandLine::Chrony => "Not superuser".to_owned(),
        CommandLine::Ntpd => format!("must be run as root, not uid {}", privileges::user()),
        CommandLine::OpenNtpd => "ntpd: need root privileges".to_owned(),
    }))
}

/// Puts addresses in the place of names on whose addresses clients are answered. They are looked up once, at the start.
fn find_listening(config: &mut Config) -> Result<(), Fatal> {
    let mut found = Vec::new();
    for InterfaceRule { listen, target } in std::mem::take(&mut config.server.interfaces) {
        let InterfaceTarget::Address(Subnet::Name(name)) = target else {
            found.push(InterfaceRule { listen, target });
            continue;
        };
        let addresses = os::look_up(&name, os::AddressFamily::Any).map_err(|error| {
            Fatal(format!(
                "could not resolve \"{name}\" : {error} (listen on takes an address of this host, a name of some, or * for all)"
            ))
        })?;
        found.extend(addresses.into_iter().map(|address| InterfaceRule {
            listen,
            target: InterfaceTarget::Address(Subnet::Prefix {
                address: address.ip(),
                length: Subnet::length_max(address.ip()),
            }),
        }));
    }
    config.server.interfaces = found;
    Ok(())
}

/// Refuses an option `-f` of ntpd that names something else than a drift file: to OpenNTPD's it is the configuration.
fn check_drift_option(identity: &Identity, arguments: &Arguments, config: &Config) -> Result<(), Fatal> {
    let has_option = arguments
        .directives
        .iter()
        .any(|line| line.starts_with("driftfile "));
    match &config.clock.drift_file {
        Some(DriftFile { path, .. })
            if identity.command_line == CommandLine::Ntpd
                && has_option
                && is_no_drift_file(Path::new(path)).unwrap_or_default() =>
        {
            Err(Fatal(format!(
                "Option -f : {path} is no drift file, and would be lost as one (-c names the configuration; OpenNTPD's -f does, \
                 under the name openntpd)"
            )))
        }
        _ => Ok(()),
    }
}

/// As whose daemon the log speaks: as that of the language, if one of the two is OpenNTPD's. Of others it would say next to
/// nothing in its words.
const fn style(identity: &Identity, dialect: Dialect) -> CommandLine {
    match (dialect, identity.command_line) {
        (Dialect::OpenNtpd, _) => CommandLine::OpenNtpd,
        (Dialect::Chrony, CommandLine::OpenNtpd) => CommandLine::Chrony,
        (Dialect::Ntpd, CommandLine::OpenNtpd) => CommandLine::Ntpd,
        (_, style) => style,
    }
}

/// Opens the log that is asked for.
fn open_log(identity: &Identity, arguments: &Arguments) -> Result<Log, Fatal> {
    let level = if arguments.debug > 1 {
        -1
    } else {
        arguments.log_level
    };
    let log = match &arguments.log_file {
        Some(path) => Log::to_file(path, threshold(level))
            .map_err(|error| fatal(format!("Could not open {path}"), &error))?,
        None if arguments.logs_to_stderr() => Log::to_stderr(threshold(level)),
        None => Log::to_system(identity.name, threshold(level)),
    };
    Ok(log.like(identity.command_line))
}

/// Writes the file that says which process this is. The usual one is left out where nothing can be written at all, as in a
/// container without a volume.
fn write_pid_file(
    path: &Path,
    identity: &Identity,
    user: Option<User>,
    log: &mut Log,
) -> Result<Option<PidFile>, Fatal> {
    let is_usual = identity.pid_file.is_some_and(|usual| path == Path::new(usual));
    if let Some(directory) = path.parent()
        && is_usual
    {
        // The directory of the usual file is the daemon's own; of another, whoever named it has to care.
        let _ = make_directory(directory, user);
    }
    PidFile::write(path, identity.name)
        .map(Some)
        .or_else(|error| match error {
            PidFileError::Unwritable { error, .. } if is_usual && is_nowhere_to_write(&error, path) => {
                log.info(&format!(
                    "No pid file {} : nothing can be written there",
                    path.display()
                ));
                Ok(None)
            }
            // Whoever is not root can observe, but not with files in the system's directories.
            PidFileError::Unwritable { .. } if is_usual && !privileges::is_root() => Err(Fatal(format!(
                "{error}; `pidfile /` is for none, `pidfile PATH` for another"
            ))),
            _ => Err(Fatal(error.to_string())),
        })
}

/// Whether a file could not be written because its file system is read-only, as a container's is.
fn is_nowhere_to_write(error: &io::Error, path: &Path) -> bool {
    let is_read_only = |error: &io::Error| error.kind() == ErrorKind::ReadOnlyFilesystem;
    is_read_only(error)
        || path
            .parent()
            .is_some_and(|directory| make_directory(directory, None).is_err_and(|error| is_read_only(&error)))
}

/// Finds the line that names a user whom there is not, where that matters.
fn missing_user(arguments: &Arguments, config: &Config, text: &ConfigurationText) -> Option<Diagnostic> {
    let name = config.process.user.as_deref()?;
    if arguments.user.is_some() || !privileges::is_root() || find_user_and_group(name).is_some() {
        return None;
    }
    // The last one counts.
    let (span, line) = text.last_line_of("user", arguments)?;
    let before = line.split_once(name)?.0.chars().count();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let indent = usize::try_from(span.column).unwrap_or_default().saturating_sub(1);
    Some(Diagnostic {
        severity: Weight::Error,
        span: Span {
            column: span.column.saturating_add(number(before)),
            width: number(name.chars().count()),
            ..span
        },
        line_text: " ".repeat(indent) + &line,
        message: no_user(name),
        help: Some("the daemon becomes this user, who has to be there; root keeps it as it is".to_owned()),
        placed: Placed::Nowhere,
        unshown: 0,
    })
}

/// What chronyd says of a user whom there is not.
fn no_user(name: &str) -> String {
    format!("Could not get user/group ID of {name}")
}

/// Finds the user to become; `None` for nobody else.
fn find_user(identity: &Identity, arguments: &Arguments, config: &Config) -> Result<Option<User>, Fatal> {
    if !privileges::is_root() {
        return Ok(None);
    }
    let asked = arguments.user.as_ref().or(config.process.user.as_ref());
    // There the process has been given what it needs, and as a rule nothing with which it could become somebody else.
    if asked.is_none() && conflict::is_in_container(identity) {
        return Ok(None);
    }
    let user = choose_user(identity, asked.map(String::as_str), find_user_and_group)?;
    Ok(user.filter(|user| user.uid != 0))
}

/// Finds a user by name, and the group beside it if one is named: `USER:GROUP`.
fn find_user_and_group(name: &str) -> Option<User> {
    let Some((name, group)) = name.split_once(':') else {
        return privileges::find_user(name);
    };
    let gid = privileges::find_group(group)?;
    privileges::find_user(name).map(|user| User { gid, ..user })
}

/// The user that is asked for, or else that of the program under this name.
fn choose_user(
    identity: &Identity,
    asked: Option<&str>,
    find: impl Fn(&str) -> Option<User>,
) -> Result<Option<User>, Fatal> {
    let missing = |name: &str| Fatal(no_user(name));
    if let Some(name) = asked {
        return find(name).map(Some).ok_or_else(|| missing(name));
    }
    let user = identity.users.iter().copied().find_map(find);
    match identity.users.first() {
        Some(name) if user.is_none() && identity.needs_user => Err(missing(name)),
        _ => Ok(user),
    }
}

/// Makes the directories that are missing, for the daemon's user.
fn make_directories(identity: &Identity, config: &Config, user: Option<User>, log: &mut Log) {
    let socket = Identity::path(&config.control.socket, Some(identity.socket));
    let directories = [&config.logs.dir, &config.dump_dir, &config.statistics.dir]
        .into_iter()
        .flatten()
        .map(Path::new);
    for directory in directories.chain(socket.and_then(Path::parent)) {
        if let Err(error) = make_directory(directory, user) {
            let directory = directory.display();
            log.warn(&format!(
                "Could not create directory {directory} : {}",
                reason(&error)
            ));
        }
    }
}

/// Reads the certificates of the authorities that are believed, if constraints are to be asked.
pub(crate) fn load_authorities(config: &Config, log: &mut Log) -> Option<Authorities> {
    if config.constraints.from.is_empty() {
        return None;
    }
    Authorities::load(&config.constraints)
        .inspect_err(|error| log.write(Severity::Error, error))
        .ok()
}

/// Opens what reference clocks write into.
fn open_ref_clocks(config: &Config) -> Result<Vec<SharedMemory>, Fatal> {
    let open = config.ref_clocks.iter().map(|clock| {
        let RefClockDriver::SharedMemory { unit, permissions } = clock.driver;
        SharedMemory::attach(unit, permissions)
            .map_err(|error| fatal(format!("Could not attach SHM segment {unit}"), &error))
    });
    open.collect()
}

/// Looks whether somebody else keeps the clock, where that matters here.
fn find_conflict(
    identity: &Identity,
    arguments: &Arguments,
    policy: Conflict,
    config: &Config,
    clock: &Clock,
    log: &mut Log,
) -> (Option<ConflictFinder>, Condition) {
    let mut condition = Condition {
        steers: !arguments.observe,
        conflict_fails: policy == Conflict::Fail,
        weights: config.weights.clone(),
        ..Condition::default()
    };
    if arguments.observe || arguments.once.is_some() || policy == Conflict::Ignore {
        return (None, condition);
    }
    let drift = config.clock.drift_file.as_ref();
    let state = drift.map_or(Some(Path::new(identity.state_dir)), |drift| {
        Path::new(&drift.path).parent()
    });
    let finder = ConflictFinder::begin(state, clock, now(clock).mono);
    if let Some(reason) = finder.reason() {
        log.warn(&conflict::refusal(reason));
        condition.steers = false;
        condition.conflict = Some(reason.to_owned());
    }
    (Some(finder), condition)
}

/// Opens the real-time clock, sets the system clock at the start where that is asked for, and finds out what the engine
/// has to know. The former is returned when it is tracked.
fn set_up_rtc(
    sets_clock: bool,
    config: &Config,
    clock: &Clock,
    log: &mut Log,
) -> Result<(Option<Rtc>, Option<RtcStart>), Fatal> {
    let file = config.rtc.file.as_deref();
    if !sets_clock && file.is_none() {
        return Ok((None, None));
    }
    let device = rtc::open(&config.rtc, log);
    let mut known = None;
    let mut is_set = false;
    if sets_clock {
        known = file.and_then(|path| rtc::read_file(path, log));
        is_set = rtc::set_system_clock(clock, device.as_ref(), known.as_ref(), config, log)
            .map_err(|error| Fatal(error.to_string()))?;
    }
    let tracked = device.filter(|_| file.is_some());
    let start = tracked.as_ref().map(|_| RtcStart {
        has_set_clock: is_set,
        known,
    });
    Ok((tracked, start))
}

/// Opens the address of the daemon's numbers, if they are to be had.
fn open_metrics(config: &Config, log: &mut Log) -> Option<MetricsServer> {
    let address = config.metrics_address?;
    MetricsServer::open(address)
        .inspect_err(|error| {
            log.warn(&format!(
                "Could not open metrics on {address} : {}",
                reason(error)
            ));
        })
        .ok()
}

/// Keeps the daemon from waiting for memory or for others, where that is asked for.
fn set_scheduling(arguments: &Arguments, config: &Config, log: &mut Log) -> Result<(), Fatal> {
    let priority = arguments
        .priority
        .unwrap_or(i32::from(config.process.sched_priority));
    if !(0..=PRIORITY_MAX).contains(&priority) {
        return Err(Fatal(format!("Bad scheduler priority: {priority}")));
    }
    if priority > 0
        && let Err(error) = privileges::run_in_real_time(priority)
    {
        log.warn(&format!("Could not set real-time priority : {}", reason(&error)));
    }
    if (arguments.lock_memory || config.process.lock_memory)
        && let Err(error) = privileges::lock_memory()
    {
        log.warn(&format!(
            "Could not lock memory, running on without : {}. It needs RLIMIT_MEMLOCK to be unlimited (systemd: \
             LimitMEMLOCK=infinity)",
            reason(&error)
        ));
    }
    Ok(())
}

/// Reads the drift file and says what it says.
fn known_drift(drift: &DriftFile, log: &mut Log) -> Option<(f64, f64)> {
    let path = &drift.path;
    match read_drift(Path::new(path), drift.format) {
        Ok((frequency, skew)) => {
            log.info(&format!(
                "Frequency {} +/- {} ppm read from {path}",
                legible(frequency),
                legible(skew)
            ));
            Some((frequency, skew))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(_) => {
            log.warn(&format!(
                "Could not read valid frequency and skew from driftfile {path}"
            ));
            if is_no_drift_file(Path::new(path)).unwrap_or_default() {
                log.write(
                    Severity::Error,
                    &format!("{path} is no drift file : it stays as it is, and the frequency is not kept"),
                );
            }
            None
        }
    }
}

/// Says on stderr why the program ends at once, and returns its exit status.
fn refuse(identity: &Identity, arguments: &Arguments, fatal: &Fatal) -> u8 {
    // OpenNTPD has no log yet when it refuses.
    if arguments.foreground && identity.command_line != CommandLine::OpenNtpd {
        let log = Log::to_stderr(threshold(arguments.log_level));
        log.like(identity.command_line).write(Severity::Fatal, &fatal.0);
    } else {
        say(&fatal.0);
    }
    1
}

/// Says a line on stderr.
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// What was tried, and what the system says.
fn fatal(tried: impl Display, error: &io::Error) -> Fatal {
    Fatal(format!("{tried} : {}", reason(error)))
}

/// A number of ppm in a line of the log. A file can say anything, of which a number of 300 digits is not for people.
fn legible(ppm: f64) -> String {
    if ppm.abs() < LEGIBLE_MAX_PPM {
        format!("{ppm:.3}")
    } else {
        format!("{ppm:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frequency_has_300_digits() {
        assert_eq!(legible(-10.053_497), "-10.053");
        assert_eq!(legible(1e308), "1.000e308");
        assert_eq!(legible(-1e6), "-1.000e6");
    }

    #[test]
    fn chronyd_needs_its_user_and_the_program_under_its_own_name_does_not() {
        let host = |users: &'static [(&str, u32)]| {
            move |name: &str| {
                let found = users.iter().find(|(user, _)| *user == name);
                found.map(|(_, uid)| User { uid: *uid, gid: *uid })
            }
        };
        let choose = |identity: &Identity, asked, users| {
            let chosen = choose_user(identity, asked, host(users));
            chosen
                .map(|user| user.map(|user| user.uid))
                .map_err(|fatal| fatal.0)
        };
        let (debian, red_hat): (&[_], &[_]) = (&[("_chrony", 101)], &[("chrony", 990), ("ntp", 38)]);
        assert_eq!(choose(&Identity::CHRONYD, None, debian), Ok(Some(101)));
        assert_eq!(choose(&Identity::CHRONYD, None, red_hat), Ok(Some(990)));
        assert_eq!(choose(&Identity::CHRONYD, Some("ntp"), red_hat), Ok(Some(38)));
        let missing = |name: &str| Err(format!("Could not get user/group ID of {name}"));
        assert_eq!(choose(&Identity::CHRONYD, None, &[]), missing("_chrony"));
        assert_eq!(choose(&Identity::TIMEBALLD, Some("ntp"), &[]), missing("ntp"));
        assert_eq!(choose(&Identity::TIMEBALLD, None, &[]), Ok(None));
    }
}
