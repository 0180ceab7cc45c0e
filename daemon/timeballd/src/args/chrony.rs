//! chronyd's arguments.
//!
//! Options are single characters, may be written together and may stand between other arguments. What is not an
//! option is a line of configuration, and such lines replace the configuration file.

use os::AddressFamily;

use super::letters::{Letters, Part};
use super::{ArgumentError, Arguments, Invocation, Once, number};
use crate::identity::Identity;

/// Reads the arguments without the program's name.
///
/// # Errors
/// The first that makes no sense.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = String>,
    identity: &Identity,
) -> Result<Invocation, ArgumentError> {
    let mut letters = Letters::new(arguments);
    let mut parsed = Arguments::default();
    let mut is_first = true;
    while let Some(part) = letters.next() {
        match part {
            Part::Plain(line) => parsed.directives.push(line),
            Part::Word(word, None) if is_first && word == "help" => return Ok(Invocation::Help),
            Part::Word(word, None) if is_first && word == "version" => return Ok(Invocation::Version),
            // Which language it is goes without saying under another's name.
            Part::Word(word, value) if word == "dialect" && identity.dialect.is_none() => {
                let word = value.map_or_else(|| letters.value('-'), Ok)?;
                parsed.dialect = Some(word.parse()?);
            }
            Part::Word(..) => return Err(ArgumentError::Unknown('-')),
            Part::Letter('h') => return Ok(Invocation::Help),
            Part::Letter('v') => return Ok(Invocation::Version),
            Part::Letter(letter) => option(&mut parsed, letter, &mut || letters.value(letter))?,
        }
        is_first = false;
    }
    Ok(Invocation::Run(parsed))
}

/// Takes one option, and its value if it has one.
fn option(
    parsed: &mut Arguments,
    option: char,
    value: &mut dyn FnMut() -> Result<String, ArgumentError>,
) -> Result<(), ArgumentError> {
    match option {
        '4' => parsed.family = AddressFamily::Ipv4,
        '6' => parsed.family = AddressFamily::Ipv6,
        'd' => {
            parsed.debug += 1;
            parsed.foreground = true;
        }
        'f' => parsed.config_file = Some(value()?),
        'F' => parsed.filter_level = Some(number(value()?)?),
        'l' => parsed.log_file = Some(value()?),
        'L' => parsed.log_level = number(value()?)?,
        'm' => parsed.lock_memory = true,
        'n' => parsed.foreground = true,
        'N' => parsed.notify_fd = Some(number(value()?)?),
        'p' => {
            parsed.print = true;
            parsed.foreground = true;
        }
        'P' => parsed.priority = Some(number(value()?)?),
        'q' => {
            parsed.once = Some(Once::Set);
            parsed.foreground = true;
        }
        'Q' => {
            parsed.once = Some(Once::Log);
            parsed.foreground = true;
            parsed.observe = true;
            parsed.any_user = true;
        }
        'r' => parsed.reload = true,
        'R' => parsed.restart = true,
        's' => parsed.set_from_rtc = true,
        't' => parsed.timeout_s = Some(number(value()?)?),
        'u' => parsed.user = Some(value()?),
        'U' => parsed.any_user = true,
        'x' => parsed.observe = true,
        _ => return Err(ArgumentError::Unknown(option)),
    }
    Ok(())
}

/// The text of `--help`.
pub(super) fn usage(program: &str, identity: &Identity) -> String {
    let [config_file, user] = [identity.config_files, identity.users].map(|all| all.first().unwrap_or(&""));
    let dialect = match identity.dialect {
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
    use conf::dialect::Dialect;

    use super::*;

    fn parse(line: &str) -> Result<Invocation, ArgumentError> {
        let arguments = line.split('|').filter(|argument| !argument.is_empty());
        super::parse(arguments.map(str::to_owned), &Identity::TIMEBALLD)
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
        let under_chronys_name = super::parse(["--dialect=ntpd".to_owned()], &Identity::CHRONYD);
        assert_eq!(under_chronys_name, Err(ArgumentError::Unknown('-')));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert_eq!(parse("-Z"), Err(ArgumentError::Unknown('Z')));
        assert_eq!(parse("--foo"), Err(ArgumentError::Unknown('-')));
        assert_eq!(parse("-f"), Err(ArgumentError::Missing('f')));
        assert_eq!(parse("-tx"), Err(ArgumentError::NoNumber("x".to_owned())));
    }
}
