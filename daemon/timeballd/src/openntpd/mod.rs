//! What is OpenNTPD's: how its daemon speaks ([`voice`]), how it remembers the frequency ([`drift`]), and how it is asked
//! ([`ntpctl`]).

pub(crate) mod drift;
pub(crate) mod ntpctl;
pub(crate) mod voice;

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use conf::config::{Config, DriftFile, DriftFormat};
use conf::diagnostic::{Diagnostic, Severity as Weight};
use engine::io::Severity;
use os::ClockError;

use crate::identity::Identity;
use crate::log::Log;
use drift::Drift;
use voice::Voice;

/// A source with so much trust is valid.
const TRUST_VALID: u8 = 6;

/// The trust in a source that has not been asked yet, and the most there is.
const TRUST_FIRST: u8 = 2;
const TRUST_MAX: u8 = 10;

/// An offset of less than this is corrected without a word, and the clock counts as synchronised, seconds.
const NEGLIGIBLE_S: f64 = 0.032;

/// OpenNTPD's trust in a source, 1 to 10, by its last eight polls, newest in bit 0: one more for an answer, half of it
/// where a valid one is silent. What was before the eight polls makes no difference while all are answered.
fn trust(reach: u8) -> u8 {
    (0..8).rev().fold(TRUST_FIRST, |trust, poll| {
        if reach >> poll & 1 == 1 {
            (trust + 1).min(TRUST_MAX)
        } else if trust >= TRUST_VALID {
            trust / 2
        } else {
            trust
        }
    })
}

/// Where the frequency is remembered: as Debian has it, as OpenBSD and Alpine have it, and under the program's own name.
const DRIFT_DEBIAN: &str = "/var/lib/openntpd/db/ntpd.drift";
const DRIFT_OPENBSD: &str = "/var/db/ntpd.drift";
const DRIFT_OWN: &str = "/var/lib/timeballd/ntpd.drift";

/// The time between two writes of it, seconds.
const DRIFT_INTERVAL_S: f64 = 3600.0;

/// Says everything that is wrong with a configuration and keeps the daemon from starting, as OpenNTPD says it, and after that
/// what holds for the file as a whole: of which other language it seems to be. Says whether there is anything wrong.
pub(crate) fn refuses(problems: &[Diagnostic]) -> bool {
    let lines = refusal(problems);
    lines.iter().for_each(|line| say(line));
    !lines.is_empty()
}

/// What is said of a configuration with which the daemon does not start; nothing of another one.
fn refusal(problems: &[Diagnostic]) -> Vec<String> {
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Weight::Error);
    let mut lines = errors.map(Diagnostic::as_original).collect::<Vec<_>>();
    let is_wrong = !lines.is_empty();
    for hint in problems.iter().filter(|problem| is_wrong && is_hint(problem)) {
        let help = hint.help.as_ref().map(|help| format!(" ({help})"));
        lines.push(format!("{}{}", hint.as_original(), help.unwrap_or_default()));
    }
    lines
}

/// Whether a problem is about a file as a whole and no error.
fn is_hint(problem: &Diagnostic) -> bool {
    problem.severity < Weight::Error && problem.span.line == 0
}

/// Checks a configuration (`-n`), and returns the exit status.
pub(crate) fn check(problems: &[Diagnostic]) -> u8 {
    let warnings = problems.iter().filter(|problem| problem.severity < Weight::Error);
    for warning in warnings.filter(|problem| !is_hint(problem)) {
        say(&warning.as_original());
    }
    if refuses(problems) {
        return 1;
    }
    say("configuration OK");
    0
}

/// Says a line on stderr; who does not read it has no use for it.
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Says that the clock cannot be set in the words in which OpenNTPD says it, which goes on and does nothing then.
pub(crate) fn cannot_steer(identity: &Identity, error: &ClockError, log: &mut Log) {
    let reason = match error {
        ClockError::NotPermitted | ClockError::Namespaced | ClockError::Blocked => {
            "Operation not permitted".to_owned()
        }
        ClockError::Refused(error) => os::reason(error),
    };
    log.say(Severity::Error, &format!("reset adjtime failed: {reason}"));
    Drift::open(Path::new(drift_path(identity, Path::is_dir)), log);
    log.say(Severity::Error, &format!("adjtimex failed: {reason}"));
}

/// Begins to speak as OpenNTPD: opens the drift file, which no directive names, and returns also what it remembers, by how
/// much the oscillator gains and the error of that, ppm.
pub(crate) fn begin(
    identity: &Identity,
    observes: bool,
    config: &mut Config,
    log: &mut Log,
) -> (Voice, Option<(f64, f64)>) {
    let path = drift_path(identity, Path::is_dir);
    let (drift, known) = Drift::open(Path::new(path), log);
    // The first answers set the clock, and not the first correction.
    config.clock.step_first = false;
    config.clock.drift_file = Some(DriftFile {
        path: path.to_owned(),
        interval_s: DRIFT_INTERVAL_S,
        format: DriftFormat::OpenNtpd,
    });
    (Voice::new(observes, drift, known), known)
}

/// The path of the drift file: Debian's where its directory is.
fn drift_path(identity: &Identity, is_directory: impl Fn(&Path) -> bool) -> &'static str {
    if *identity == Identity::TIMEBALLD {
        return DRIFT_OWN;
    }
    let is_debian = Path::new(DRIFT_DEBIAN).parent().is_some_and(is_directory);
    if is_debian { DRIFT_DEBIAN } else { DRIFT_OPENBSD }
}

/// Whether a source with these last polls is valid.
fn is_valid(reach: u8) -> bool {
    trust(reach) >= TRUST_VALID
}

/// How OpenNTPD writes the address of a source: without brackets, and an IPv4 address as such.
fn shown(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use conf::dialect::Dialect;
    use conf::include::{ReadError, Reader};

    use super::*;

    /// A file without others beside it.
    struct Alone(&'static str);

    impl Reader for Alone {
        fn read_file(&self, _path: &str) -> Result<String, ReadError> {
            Ok(self.0.to_owned())
        }

        fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
            Err(ReadError::NotFound)
        }
    }

    #[test]
    fn a_file_of_another_language_is_refused_with_its_name() {
        let said = |text| refusal(&Dialect::OpenNtpd.read("/f", &Alone(text)).diagnostics);
        assert_eq!(
            said("server a\nmakestep 1 3\nrtcsync\n"),
            [
                "/f:2: syntax error",
                "/f:3: syntax error",
                "this looks like a chrony.conf (say --dialect chrony to timeballd or timeball config)"
            ]
        );
        assert_eq!(said("server a weight 3\n"), [""; 0]);
    }

    #[test]
    fn the_fourth_answer_makes_a_source_valid_and_silence_takes_it_back() {
        let polls = [0b1, 0b11, 0b111, 0b1111, 0b1_1111, 0xff];
        assert_eq!(polls.map(trust), [3, 4, 5, 6, 7, 10]);
        assert_eq!(polls.map(is_valid), [false, false, false, true, true, true]);
        assert_eq!([0b1_1110, 0xfe, 0xfc].map(trust), [3, 4, 4]);
        assert_eq!(trust(0), TRUST_FIRST);
        // Of one that falls silent and comes back.
        assert_eq!([0b1111_1101, 0b1111_0111].map(is_valid), [false, true]);
    }
}
