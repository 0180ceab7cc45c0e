//! ntpd's arguments: those of NTPsec, and what the classic ntpd 4.2.8 has beside them.
//!
//! Most of them say what a line of ntp.conf says, and become that line. What is not an option is a server. `-x` is not
//! what it is elsewhere: the clock is steered, and offsets of up to 600 s are not stepped.

use os::AddressFamily;

use super::letters::{Letters, Part};
use super::{ArgumentError, Arguments, Invocation, Once, number};

/// The real-time priority that `-N` asks for: above every process that has none.
const PRIORITY: i32 = 1;

/// An option.
struct Known {
    letter: Option<char>,
    word: &'static str,
    /// What its value is called in the help; `None` if it has none.
    value: Option<&'static str>,
    act: Act,
    help: &'static str,
}

/// What an option asks for.
#[derive(Clone, Copy)]
enum Act {
    /// A line of ntp.conf, which ends with the value in quotes.
    Line(&'static str),
    /// A system variable; the second is what follows it.
    Variable(&'static str),
    /// Something of the process.
    Set(fn(&mut Arguments, String) -> Result<(), ArgumentError>),
    /// The help.
    Help,
    /// The version.
    Version,
    /// Nothing that would change anything here.
    Idle,
    /// Something that is left out, which is said.
    LeftOut(&'static str),
    /// Something without which the daemon must not start.
    Refused(&'static str),
}

/// Every option, in the order of the help.
const OPTIONS: &[Known] = &[
    flag(
        '4',
        "ipv4",
        set(|all, _| family(all, AddressFamily::Ipv4)),
        "Use IPv4 addresses only",
    ),
    flag(
        '6',
        "ipv6",
        set(|all, _| family(all, AddressFamily::Ipv6)),
        "Use IPv6 addresses only",
    ),
    option(
        'c',
        "configfile",
        "FILE",
        set(|all, value| put(&mut all.config_file, value)),
        "Configuration file",
    ),
    flag(
        'd',
        "debug-level",
        set(|all, _| debug(all, 1)),
        "Stay in the foreground and log to stderr; twice, for debugging",
    ),
    option(
        'D',
        "set-debug-level",
        "LEVEL",
        set(|all, value| debug(all, number(value)?)),
        "Likewise, so many times",
    ),
    option('f', "driftfile", "FILE", Act::Line("driftfile"), "Drift file"),
    flag(
        'g',
        "panicgate",
        set(any_first_offset),
        "The first correction may be of any size",
    ),
    flag(
        'G',
        "force-step-once",
        set(step_first),
        "The first correction is a step, however small",
    ),
    flag('h', "help", Act::Help, "Print usage and exit"),
    option(
        'i',
        "jaildir",
        "DIR",
        Act::Refused("the daemon confines itself to the directories that it writes; leave it out"),
        "Not supported: change the root directory",
    ),
    option(
        'I',
        "interface",
        "NAME",
        Act::Line("interface listen"),
        "Answer clients on this interface or address; may be repeated",
    ),
    option(
        'k',
        "keyfile",
        "FILE",
        Act::Line("keys"),
        "File with symmetric keys",
    ),
    option(
        'l',
        "logfile",
        "FILE",
        set(|all, value| put(&mut all.log_file, value)),
        "Log to file",
    ),
    flag(
        'L',
        "novirtualips",
        Act::LeftOut(
            "clients are answered on aliases of an interface too; say interface ignore ADDRESS for each",
        ),
        "Ignored",
    ),
    flag(
        'm',
        "mdns",
        Act::LeftOut("nothing is registered with mDNS"),
        "Ignored",
    ),
    flag('M', "modifymmtimer", Act::Idle, "Ignored"),
    flag(
        'n',
        "nofork",
        set(foreground),
        "Stay in the foreground and log to stderr",
    ),
    flag(
        'N',
        "nice",
        set(|all, _| put(&mut all.priority, PRIORITY)),
        "Run with real-time priority",
    ),
    option(
        'p',
        "pidfile",
        "FILE",
        set(|all, value| put(&mut all.pid_file, value)),
        "File with the process's number",
    ),
    option(
        'P',
        "priority",
        "PRIORITY",
        set(|all, value| put(&mut all.priority, number(value)?)),
        "Real-time priority",
    ),
    flag('q', "quit", set(quit), "Set the clock and exit"),
    option(
        'r',
        "propagationdelay",
        "SECONDS",
        Act::Idle,
        "Ignored: nobody listens to broadcasts",
    ),
    option(
        's',
        "statsdir",
        "DIR",
        Act::Line("statsdir"),
        "Directory for files of statistics",
    ),
    option(
        't',
        "trustedkey",
        "NUMBER",
        Act::Line("trustedkey"),
        "Key that is used; may be repeated",
    ),
    option(
        'u',
        "user",
        "USER[:GROUP]",
        set(|all, value| put(&mut all.user, value)),
        "User to become",
    ),
    option(
        'U',
        "uinterval",
        "SECONDS",
        Act::Idle,
        "Ignored: interfaces are looked at when it matters",
    ),
    word("updateinterval", Some("SECONDS"), Act::Idle, "Ignored, likewise"),
    option(
        'v',
        "var",
        "NAME=VALUE",
        Act::Variable(""),
        "Variable that ntpq can read; may be repeated",
    ),
    word(
        "dvar",
        Some("NAME=VALUE"),
        Act::Variable(" default"),
        "Likewise, among those that it reads by default",
    ),
    option(
        'w',
        "wait-sync",
        "SECONDS",
        Act::LeftOut("nothing waits for synchronisation; `timeball wait` does"),
        "Ignored",
    ),
    flag(
        'x',
        "slew",
        Act::Line("tinker step 600"),
        "Step only offsets of more than 600 seconds",
    ),
    flag('V', "version", Act::Version, "Print version and exit"),
    flag(
        'a',
        "authreq",
        Act::Idle,
        "Ignored: what is unasked for and without a key is never believed",
    ),
    flag(
        'A',
        "authnoreq",
        Act::LeftOut("what is unasked for is never believed, with or without keys"),
        "Ignored",
    ),
    flag(
        'b',
        "bcastsync",
        Act::LeftOut("broadcasts are not listened to"),
        "Ignored",
    ),
    word(
        "saveconfigquit",
        Some("FILE"),
        Act::Refused("--check-config prints the configuration in the words of chrony.conf"),
        "Not supported: save the configuration",
    ),
    word(
        "tolerant",
        None,
        set(tolerant),
        "Start although lines on who may do what have errors; such a rule is then the strictest that it can have meant",
    ),
    word(
        "check-config",
        None,
        set(check),
        "Print what the configuration amounts to in chrony.conf, and what is wrong with it; exit with 1 if any line is refused",
    ),
];

const fn word(word: &'static str, value: Option<&'static str>, act: Act, help: &'static str) -> Known {
    Known {
        letter: None,
        word,
        value,
        act,
        help,
    }
}

const fn flag(letter: char, word: &'static str, act: Act, help: &'static str) -> Known {
    Known {
        letter: Some(letter),
        word,
        value: None,
        act,
        help,
    }
}

const fn option(
    letter: char,
    word: &'static str,
    value: &'static str,
    act: Act,
    help: &'static str,
) -> Known {
    Known {
        letter: Some(letter),
        word,
        value: Some(value),
        act,
        help,
    }
}

const fn set(act: fn(&mut Arguments, String) -> Result<(), ArgumentError>) -> Act {
    Act::Set(act)
}

/// Reads the arguments without the program's name.
///
/// # Errors
/// The first that makes no sense or asks for what must not be left out.
pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Invocation, ArgumentError> {
    let mut letters = Letters::new(arguments);
    let mut parsed = Arguments::default();
    while let Some(part) = letters.next() {
        let (option, shown, value) = match part {
            Part::Plain(server) => {
                let line = line("server", "a server", &server)?;
                parsed.directives.push(format!("{line} iburst"));
                continue;
            }
            Part::Letter('?' | '!') => return Ok(Invocation::Help),
            Part::Letter(letter) => {
                let option = OPTIONS.iter().find(|option| option.letter == Some(letter));
                let option = option.ok_or(ArgumentError::Unknown(letter))?;
                let value = option.value.map(|_| letters.value(letter)).transpose()?;
                (option, format!("-{letter}"), value)
            }
            Part::Word(word, value) => {
                let option = OPTIONS.iter().find(|option| option.word == word);
                let option = option.ok_or(ArgumentError::UnknownWord(word))?;
                let value = match (value, option.value) {
                    (None, Some(_)) => {
                        let next = letters.value('-');
                        Some(next.map_err(|_| ArgumentError::MissingAfter(option.word))?)
                    }
                    (Some(value), None) => return Err(ArgumentError::Unexpected(value)),
                    (value, _) => value,
                };
                (option, format!("--{}", option.word), value)
            }
        };
        let value = value.unwrap_or_default();
        match option.act {
            Act::Help => return Ok(Invocation::Help),
            Act::Version => return Ok(Invocation::Version),
            Act::Set(set) => set(&mut parsed, value)?,
            Act::Line(directive) if option.value.is_some() => {
                parsed.directives.push(line(directive, &shown, &value)?);
            }
            Act::Line(directive) => parsed.directives.push(directive.to_owned()),
            Act::Variable(rest) => parsed.directives.push(variable(&shown, &value)? + rest),
            Act::Idle => {}
            Act::LeftOut(why) => parsed
                .left_out
                .push(format!("Option {shown} is left out : {why}")),
            Act::Refused(why) => return Err(ArgumentError::Unsupported(shown, why)),
        }
    }
    Ok(Invocation::Run(parsed))
}

/// A line of ntp.conf with a value in quotes, which the language cannot put in quotes itself.
fn line(directive: &str, option: &str, value: &str) -> Result<String, ArgumentError> {
    let is_wrong = |character: char| character == '"' || character.is_control();
    if value.is_empty() || value.starts_with('-') || value.contains(is_wrong) {
        let why = "it is empty, begins with a dash, or has quotes or control characters in it";
        return Err(ArgumentError::Value(option.to_owned(), value.to_owned(), why));
    }
    Ok(format!("{directive} \"{value}\""))
}

/// The line for a system variable.
fn variable(option: &str, assignment: &str) -> Result<String, ArgumentError> {
    let wrong = |why| ArgumentError::Value(option.to_owned(), assignment.to_owned(), why);
    let (name, value) = assignment
        .split_once('=')
        .ok_or_else(|| wrong("it is NAME=VALUE"))?;
    let name = name.trim();
    if name.is_empty() || !name.chars().all(|character| character.is_ascii_graphic()) {
        return Err(wrong("it is NAME=VALUE"));
    }
    line(&format!("setvar {name} ="), option, value.trim())
}

fn put<T>(place: &mut Option<T>, value: T) -> Result<(), ArgumentError> {
    *place = Some(value);
    Ok(())
}

fn family(parsed: &mut Arguments, family: AddressFamily) -> Result<(), ArgumentError> {
    parsed.family = family;
    Ok(())
}

fn debug(parsed: &mut Arguments, levels: u32) -> Result<(), ArgumentError> {
    parsed.debug = parsed.debug.saturating_add(levels);
    parsed.foreground |= parsed.debug > 0;
    Ok(())
}

fn foreground(parsed: &mut Arguments, _: String) -> Result<(), ArgumentError> {
    parsed.foreground = true;
    parsed.log_to_stderr = true;
    Ok(())
}

fn any_first_offset(parsed: &mut Arguments, _: String) -> Result<(), ArgumentError> {
    parsed.any_first_offset = true;
    Ok(())
}

fn step_first(parsed: &mut Arguments, _: String) -> Result<(), ArgumentError> {
    parsed.step_first = true;
    Ok(())
}

fn quit(parsed: &mut Arguments, _: String) -> Result<(), ArgumentError> {
    parsed.once = Some(Once::Set);
    parsed.foreground = true;
    Ok(())
}

fn tolerant(parsed: &mut Arguments, _: String) -> Result<(), ArgumentError> {
    parsed.tolerant = true;
    Ok(())
}

fn check(parsed: &mut Arguments, _: String) -> Result<(), ArgumentError> {
    parsed.print = true;
    parsed.foreground = true;
    Ok(())
}

/// The text of `--help`.
pub(super) fn usage() -> String {
    let mut text = "Usage: ntpd [OPTION]... [SERVER]...\n\nOptions:\n".to_owned();
    for option in OPTIONS {
        let letter = option
            .letter
            .map_or("   ".to_owned(), |letter| format!("-{letter},"));
        let word = match option.value {
            Some(value) => format!("--{}={value}", option.word),
            None => format!("--{}", option.word),
        };
        text.push_str(&format!("  {letter} {word:<30} {}\n", option.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, ArgumentError> {
        let arguments = line.split('|').filter(|argument| !argument.is_empty());
        super::parse(arguments.map(str::to_owned))
    }

    fn run(line: &str) -> Arguments {
        match parse(line) {
            Ok(Invocation::Run(arguments)) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_debian_and_others_start_it_with_is_taken() {
        let arguments = run("-p|/run/ntpd.pid|-c|/run/ntp.conf.dhcp|-g|-N|-u|ntpsec:ntpsec");
        assert_eq!(arguments.pid_file.as_deref(), Some("/run/ntpd.pid"));
        assert_eq!(arguments.config_file.as_deref(), Some("/run/ntp.conf.dhcp"));
        assert_eq!(arguments.user.as_deref(), Some("ntpsec:ntpsec"));
        assert_eq!((arguments.any_first_offset, arguments.priority), (true, Some(1)));
        assert!(!arguments.foreground && !arguments.logs_to_stderr() && !arguments.observe);
        let arguments = run("-gqx|-4|pool.ntp.org");
        assert_eq!((arguments.once, arguments.foreground), (Some(Once::Set), true));
        assert_eq!(arguments.family, AddressFamily::Ipv4);
        assert_eq!(
            arguments.directives,
            ["tinker step 600", "server \"pool.ntp.org\" iburst"]
        );
        let arguments = run("-n");
        assert!(arguments.foreground && arguments.logs_to_stderr());
    }

    #[test]
    fn words_are_as_good_as_letters() {
        for (letters, words) in [
            ("-c|a|-f|b", "--configfile=a|--driftfile|b"),
            ("-gqn", "--panicgate|--quit|--nofork"),
            ("-t|7|-k|/k|-s|/s", "--trustedkey=7|--keyfile|/k|--statsdir|/s"),
            ("-ddd|-I|eth0", "--set-debug-level|3|--interface=eth0"),
            ("-v|a=b|-U|5", "--var=a=b|--uinterval|5"),
        ] {
            assert_eq!(parse(letters), parse(words), "{letters}");
        }
        assert_eq!(
            run("-f|/d|-k|/k k|-t|7|-I|eth0|-s|/s|--dvar|a = b c").directives,
            [
                "driftfile \"/d\"",
                "keys \"/k k\"",
                "trustedkey \"7\"",
                "interface listen \"eth0\"",
                "statsdir \"/s\"",
                "setvar a = \"b c\" default",
            ]
        );
    }

    #[test]
    fn help_and_version_win() {
        for line in ["-h", "--help", "-gh", "-?", "-c|x|--help"] {
            assert_eq!(parse(line), Ok(Invocation::Help), "{line}");
        }
        for line in ["-V", "--version", "-gV"] {
            assert_eq!(parse(line), Ok(Invocation::Version), "{line}");
        }
        let help = usage();
        for option in OPTIONS {
            assert!(help.contains(&format!("--{}", option.word)), "{}", option.word);
        }
    }

    #[test]
    fn what_makes_no_sense_or_must_not_be_left_out_is_said() {
        for (line, said) in [
            ("-Z", "invalid option -- 'Z'"),
            ("-gc", "option requires an argument -- 'c'"),
            ("--foo", "unrecognized option '--foo'"),
            ("--configfile", "option '--configfile' requires an argument"),
            ("--quit=5", "unexpected argument '5'"),
            ("-P|x", "Invalid argument x"),
            (
                "-i|/jail",
                "option -i is not supported: the daemon confines itself to the directories that it writes; leave it out",
            ),
            ("-v|a", "a is no value of option -v: it is NAME=VALUE"),
            (
                "a\"b",
                "a\"b is no value of option a server: it is empty, begins with a dash, or has quotes or control characters in it",
            ),
        ] {
            assert_eq!(
                parse(line).map_err(|error| error.to_string()),
                Err(said.to_owned()),
                "{line}"
            );
        }
        assert_eq!(run("-L").left_out.len(), 1);
    }
}
