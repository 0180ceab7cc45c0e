//! The arguments of the program: each program whose place it takes has its own way to ask for the same things.

mod chrony;
mod letters;
mod ntpd;
mod openntpd;

use conf::dialect::{Dialect, UnknownDialect};
use os::AddressFamily;

use crate::identity::{CommandLine, Identity};

/// What is asked of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// To run, or to check its configuration.
    Run(Arguments),
    /// To print how it is used (`-h`, `--help`).
    Help,
    /// To print its version (`-v`, `--version`).
    Version,
}

/// What is asked of the daemon beside its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Arguments {
    /// Which addresses are used (`-4`, `-6`).
    pub family: AddressFamily,
    /// The language of the configuration (`--dialect`); told from the name and the text if nothing is said.
    pub dialect: Option<Dialect>,
    /// The configuration file (`-f`), in the place of the usual one.
    pub config_file: Option<String>,
    /// Lines of configuration: in the place of a file, or after it where the program takes them so.
    pub directives: Vec<String>,
    /// The file with the process's number, in the place of the configured one.
    pub pid_file: Option<String>,
    /// Stay in the foreground (`-n`, `-d`, `-q`, `-Q`).
    pub foreground: bool,
    /// Log to stderr although nothing is debugged, unless there is a log file.
    pub log_to_stderr: bool,
    /// How often `-d` was given: log to stderr; twice, with messages for debugging.
    pub debug: u32,
    /// Log to this file (`-l`).
    pub log_file: Option<String>,
    /// The least severity that is logged (`-L`): −1 debug, 0 information, 1 warning, 2 error, 3 fatal.
    pub log_level: i32,
    /// Print the configuration and end (`-p`).
    pub print: bool,
    /// Measure once and end (`-q`, `-Q`).
    pub once: Option<Once>,
    /// Take past measurements from dump files (`-r`).
    pub reload: bool,
    /// Do without the steps of a first start (`-R`).
    pub restart: bool,
    /// Set the clock from the real-time clock (`-s`).
    pub set_from_rtc: bool,
    /// End after so many seconds (`-t`).
    pub timeout_s: Option<u32>,
    /// The user to become (`-u`).
    pub user: Option<String>,
    /// Go on without being root (`-U`).
    pub any_user: bool,
    /// The level of the system call filter (`-F`): 0 is none, above it forbidden calls kill the daemon, below it
    /// they fail, as they do when nothing is said.
    pub filter_level: Option<i32>,
    /// The real-time priority (`-P`).
    pub priority: Option<i32>,
    /// Keep the memory from being paged out (`-m`).
    pub lock_memory: bool,
    /// Never touch the clock (`-x`, `-Q`).
    pub observe: bool,
    /// Where to write a newline when ready (`-N`).
    pub notify_fd: Option<i32>,
    /// The first correction may be of any size, however large an offset ends the daemon later (ntpd's `-g`).
    pub any_first_offset: bool,
    /// The first correction is a step, however small (ntpd's `-G`, OpenNTPD's `-s`).
    pub step_first: bool,
    /// Start although lines on who may do what have errors (`--tolerant`).
    pub tolerant: bool,
    /// Options that are accepted and do nothing here, each with what is to be known about it.
    pub left_out: Vec<String>,
}

/// What is done with one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Once {
    /// The clock is set by it.
    Set,
    /// It is logged.
    Log,
}

/// Why the arguments make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    /// There is no such option.
    #[error("invalid option -- '{0}'")]
    Unknown(char),
    /// There is no such word.
    #[error("unrecognized option '--{0}'")]
    UnknownWord(String),
    /// The word takes a value and has none.
    #[error("option '--{0}' requires an argument")]
    MissingAfter(&'static str),
    /// The option is there, and this program does not do what it asks for.
    #[error("option {0} is not supported: {1}")]
    Unsupported(String, &'static str),
    /// The value cannot be that of the option.
    #[error("{1} is no value of option {0}: {2}")]
    Value(String, String, &'static str),
    /// Nothing is expected there.
    #[error("unexpected argument '{0}'")]
    Unexpected(String),
    /// The option takes a value and has none.
    #[error("option requires an argument -- '{0}'")]
    Missing(char),
    /// The value is no number.
    #[error("Invalid argument {0}")]
    NoNumber(String),
    /// There is no such language.
    #[error("{0}")]
    Dialect(#[from] UnknownDialect),
}

impl Invocation {
    /// Reads the arguments without the program's name, as the program takes them whose place this one takes.
    ///
    /// # Errors
    /// The first that makes no sense.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
        identity: &Identity,
    ) -> Result<Self, ArgumentError> {
        match identity.command_line {
            CommandLine::Chrony => chrony::parse(arguments, identity),
            CommandLine::Ntpd => ntpd::parse(arguments),
            CommandLine::OpenNtpd => openntpd::parse(arguments),
        }
    }
}

impl Arguments {
    /// Whether log lines go to stderr.
    pub(crate) fn logs_to_stderr(&self) -> bool {
        self.debug > 0 || self.print || self.once.is_some() || self.log_to_stderr
    }
}

/// Reads the value of an option that takes a number.
fn number<N: std::str::FromStr>(value: String) -> Result<N, ArgumentError> {
    value.parse().map_err(|_| ArgumentError::NoNumber(value))
}

/// Tells how the program is used.
pub(crate) fn usage(program: &str, identity: &Identity) -> String {
    match identity.command_line {
        CommandLine::Chrony => chrony::usage(program, identity),
        CommandLine::Ntpd => ntpd::usage(),
        CommandLine::OpenNtpd => openntpd::usage(),
    }
}
