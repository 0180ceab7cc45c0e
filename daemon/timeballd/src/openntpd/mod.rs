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

/// Says everything that is wrong with a configuration and keeps the daemon from starting, as OpenNTPD says it; says whether
/// there is anything.
pub(crate) fn refuses(problems: &[Diagnostic]) -> bool {
    let mut errors = problems
        .iter()
        .filter(|problem| problem.severity == Weight::Error)
        .peekable();
    let is_wrong = errors.peek().is_some();
    for error in errors {
        say(&error.as_original());
    }
    is_wrong
}

/// Checks a configuration (`-n`), and returns the exit status.
pub(crate) fn check(problems: &[Diagnostic]) -> u8 {
    for warning in problems.iter().filter(|problem| problem.severity < Weight::Error) {
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
        ClockError::NotPermitted | ClockError::Blocked => "Operation not permitted".to_owned(),
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
    use super::*;

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
