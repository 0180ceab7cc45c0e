//! The arguments of the program, in the form that chronyd has them.
//!
//! Options are single characters, may be written together and may stand between other arguments. What is not an
//! option is a line of configuration, and such lines replace the configuration file.

use conf::dialect::{Dialect, UnknownDialect};
use os::AddressFamily;

use crate::identity::Identity;

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
    /// Lines of configuration in the place of a file.
    pub directives: Vec<String>,
    /// Stay in the foreground (`-n`, `-d`, `-q`, `-Q`).
    pub foreground: bool,
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
    /// Reads the arguments without the program's name.
    ///
    /// # Errors
    /// The first that makes no sense.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, ArgumentError> {
        let mut rest = arguments.into_iter().peekable();
        if let Some(long) = rest.peek() {
            match long.as_str() {
                "--help" => return Ok(Self::Help),
                "--version" => return Ok(Self::Version),
                _ => {}
            }
        }
        let mut parsed = Arguments::default();
        while let Some(argument) = rest.next() {
            match argument.strip_prefix('-') {
                None | Some("") => parsed.directives.push(argument),
                Some("-") => {
                    parsed.directives.extend(rest);
                    break;
                }
                Some("-dialect") => {
                    let word = rest.next().ok_or(ArgumentError::Missing('-'))?;
                    parsed.dialect = Some(word.parse()?);
                }
                Some(long) if long.starts_with("-dialect=") => {
                    let word = long.strip_prefix("-dialect=").unwrap_or_default();
                    parsed.dialect = Some(word.parse()?);
                }
                Some(options) => {
                    let mut options = options.chars();
                    while let Some(option) = options.next() {
                        let mut value = || match options.as_str() {
                            "" => rest.next().ok_or(ArgumentError::Missing(option)),
                            _ => Ok(options.by_ref().collect::<String>()),
                        };
                        match option {
                            'h' => return Ok(Self::Help),
                            'v' => return Ok(Self::Version),
                            _ => parsed.option(option, &mut value)?,
                        }
                    }
                }
            }
        }
        Ok(Self::Run(parsed))
    }
}

impl Arguments {
    /// Takes one option, and its value if it has one.
    fn option(
        &mut self,
        option: char,
        value: &mut dyn FnMut() -> Result<String, ArgumentError>,
    ) -> Result<(), ArgumentError> {
        match option {
            '4' => self.family = AddressFamily::Ipv4,
            '6' => self.family = AddressFamily::Ipv6,
            'd' => {
                self.debug += 1;
                self.foreground = true;
            }
            'f' => self.config_file = Some(value()?),
            'F' => self.filter_level = Some(number(value()?)?),
            'l' => self.log_file = Some(value()?),
            'L' => self.log_level = number(value()?)?,
            'm' => self.lock_memory = true,
            'n' => self.foreground = true,
            'N' => self.notify_fd = Some(number(value()?)?),
            'p' => {
                self.print = true;
                self.foreground = true;
            }
            'P' => self.priority = Some(number(value()?)?),
            'q' => {
                self.once = Some(Once::Set);
                self.foreground = true;
            }
            'Q' => {
                self.once = Some(Once::Log);
                self.foreground = true;
                self.observe = true;
                self.any_user = true;
            }
            'r' => self.reload = true,
            'R' => self.restart = true,
            's' => self.set_from_rtc = true,
            't' => self.timeout_s = Some(number(value()?)?),
            'u' => self.user = Some(value()?),
            'U' => self.any_user = true,
            'x' => self.observe = true,
            _ => return Err(ArgumentError::Unknown(option)),
        }
        Ok(())
    }

    /// Whether log lines go to stderr.
    pub(crate) fn logs_to_stderr(&self) -> bool {
        self.debug > 0 || self.print || self.once.is_some()
    }
}

/// Reads the value of an option that takes a number.
fn number<N: std::str::FromStr>(value: String) -> Result<N, ArgumentError> {
    value.parse().map_err(|_| ArgumentError::NoNumber(value))
}

/// The text of `--help`.
pub(crate) fn usage(program: &str, identity: &Identity) -> String {
    let Identity {
        config_file, user, ..
    } = identity;
    let dialect = match identity.dialect() {
        Some(_) => "",
        None => "  --dialect NAME\tLanguage of the configuration: chrony, ntpd or openntpd\n",
    };
    format!(
        "\
Usage: {program} [OPTION]... [DIRECTIVE]...

Options:
  -4\t\tUse IPv4 addresses only
  -6\t\tUse IPv6 addresses only
  -f FILE\tSpecify configuration file ({config_file})
  -n\t\tDon't run as daemon
  -d\t\tDon't run as daemon and log to stderr
  -l FILE\tLog to file
  -L LEVEL\tSet logging threshold (0)
  -p\t\tPrint configuration and exit
  -q\t\tSet clock and exit
  -Q\t\tLog offset and exit
  -r\t\tReload dump files
  -R\t\tAdapt configuration for restart
  -s\t\tSet clock from RTC
  -t SECONDS\tExit after elapsed time
  -u USER\tSpecify user ({user})
  -U\t\tDon't check for root
  -F LEVEL\tSet system call filter level (-1)
  -P PRIORITY\tSet process priority (0)
  -m\t\tLock memory
  -x\t\tDon't control clock
  -N FD\t\tNotify supervisor
{dialect}  -v, --version\tPrint version and exit
  -h, --help\tPrint usage and exit
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, ArgumentError> {
        Invocation::parse(
            line.split('|')
                .filter(|argument| !argument.is_empty())
                .map(str::to_owned),
        )
    }

    fn run(line: &str) -> Arguments {
        match parse(line) {
            Ok(Invocation::Run(arguments)) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_may_be_written_together_and_anywhere() {
        let arguments = run("server a iburst|-dxf|a.conf|-L-1|makestep 1 3|-t|60");
        assert_eq!(arguments.directives, ["server a iburst", "makestep 1 3"]);
        assert_eq!(arguments.config_file.as_deref(), Some("a.conf"));
        assert_eq!(
            (arguments.debug, arguments.observe, arguments.foreground),
            (1, true, true)
        );
        assert_eq!((arguments.log_level, arguments.timeout_s), (-1, Some(60)));
        assert_eq!(run("-d|-d|-F|-1").filter_level, Some(-1));
        assert_eq!(run("-4").family, AddressFamily::Ipv4);
    }

    #[test]
    fn measuring_once_has_consequences() {
        let set = run("-q");
        assert_eq!(
            (set.once, set.observe, set.any_user),
            (Some(Once::Set), false, false)
        );
        let log = run("-Q");
        assert_eq!(
            (log.once, log.observe, log.any_user),
            (Some(Once::Log), true, true)
        );
        assert!(log.foreground && log.logs_to_stderr());
    }

    #[test]
    fn after_two_dashes_all_are_directives() {
        assert_eq!(run("-n|--|-p|--help").directives, ["-p", "--help"]);
    }

    #[test]
    fn help_and_version_win() {
        assert_eq!(parse("--help"), Ok(Invocation::Help));
        assert_eq!(parse("--version"), Ok(Invocation::Version));
        assert_eq!(parse("-px|-h"), Ok(Invocation::Help));
        assert_eq!(parse("-v"), Ok(Invocation::Version));
    }

    #[test]
    fn the_language_is_said_with_a_long_option() {
        assert_eq!(run("-x|--dialect|ntpd|-n").dialect, Some(Dialect::Ntpd));
        assert_eq!(run("--dialect=openntpd").dialect, Some(Dialect::OpenNtpd));
        assert_eq!(run("-x").dialect, None);
        assert_eq!(parse("--dialect"), Err(ArgumentError::Missing('-')));
        assert!(matches!(parse("--dialect=ntp"), Err(ArgumentError::Dialect(_))));
        assert_eq!(parse("--dialects=ntp"), Err(ArgumentError::Unknown('-')));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert_eq!(parse("-Z"), Err(ArgumentError::Unknown('Z')));
        assert_eq!(parse("--foo"), Err(ArgumentError::Unknown('-')));
        assert_eq!(parse("-f"), Err(ArgumentError::Missing('f')));
        assert_eq!(parse("-tx"), Err(ArgumentError::NoNumber("x".to_owned())));
    }
}
