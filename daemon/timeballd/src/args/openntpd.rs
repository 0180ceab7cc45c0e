//! OpenNTPD's arguments: those of its portable release 6.2p3, of which those of later ones are a part.

use super::letters::{Letters, Part};
use super::{ArgumentError, Arguments, Invocation};

/// Reads the arguments without the program's name.
///
/// # Errors
/// The first that makes no sense.
pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Invocation, ArgumentError> {
    let mut letters = Letters::new(arguments);
    let mut parsed = Arguments::default();
    while let Some(part) = letters.next() {
        match part {
            Part::Letter('d') => {
                parsed.debug += 1;
                parsed.foreground = true;
                // What is said for debugging is seen with -d alone.
                parsed.log_level = -1;
            }
            Part::Letter('f') => parsed.config_file = Some(letters.value('f')?),
            Part::Letter('n') => {
                parsed.print = true;
                parsed.foreground = true;
            }
            Part::Letter('p') => parsed.pid_file = Some(letters.value('p')?),
            Part::Letter('s') => parsed.step_first = true,
            Part::Letter('S') => parsed.step_first = false,
            Part::Letter('v') => parsed.log_level = -1,
            // No option of OpenNTPD's, and not in its usage: observe only.
            Part::Letter('x') => {
                parsed.observe = true;
                parsed.any_user = true;
            }
            Part::Letter(letter) => return Err(ArgumentError::Unknown(letter)),
            Part::Word(..) => return Err(ArgumentError::Unknown('-')),
            Part::Plain(argument) => return Err(ArgumentError::Unexpected(argument)),
        }
    }
    Ok(Invocation::Run(parsed))
}

/// The text that is printed when the arguments make no sense.
pub(super) fn usage() -> String {
    "usage: ntpd [-dnSsv] [-f file] [-p file]\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_read() {
        let parse = |line: &str| parse(line.split_whitespace().map(str::to_owned));
        let Ok(Invocation::Run(arguments)) = parse("-dsv -f /etc/ntpd.conf -p/run/ntpd.pid") else {
            panic!("these are its options");
        };
        assert_eq!(arguments.config_file.as_deref(), Some("/etc/ntpd.conf"));
        assert_eq!(arguments.pid_file.as_deref(), Some("/run/ntpd.pid"));
        assert!(arguments.foreground && arguments.step_first && arguments.logs_to_stderr());
        for (line, error) in [
            ("-h", ArgumentError::Unknown('h')),
            ("-f", ArgumentError::Missing('f')),
            ("-d x", ArgumentError::Unexpected("x".to_owned())),
        ] {
            assert_eq!(parse(line), Err(error), "{line}");
        }
    }
}
