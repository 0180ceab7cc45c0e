//! The past measurements of a source as a text, in the form of chrony's dump files.
//!
//! ```text
//! SRC0
//! ntp.example.net
//! 0 377 8 2 0
//! 2 0
//! 1262304000.402791245 1.687421e-04 1.687421e-04 7.060840e-04 3.632394e-06 7.060840e-04 3.632394e-06
//! 1262304065.567974160 1.101854e-05 1.101854e-05 2.937980e-04 2.807800e-06 2.937980e-04 2.807800e-06
//! ```
//!
//! Name; authentication, reach (octal), its width, stratum, leap; count of samples, a number of chrony's that is 0
//! here; then time, offset twice (positive: the clock is ahead), delay, dispersion, and with the source's own
//! parts. Times and offsets are as the clock would have had them if it had always been as it was at the end.

use std::str::{FromStr, SplitAsciiWhitespace};

use units::{Leap, Mono, Stratum, UnixTime};

use crate::estimate::{SAMPLES_MAX, Sample};
use crate::source::Source;

/// The first line.
const MAGIC: &str = "SRC0";

/// No offset, delay or dispersion in a file is larger than this, seconds.
const VALUE_MAX_S: f64 = 1e9;

/// How old a sample may be, seconds.
const AGE_MAX_S: f64 = 1e8;

/// The clock at the moment of writing or reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// The system clock.
    pub now: UnixTime,
    /// The oscillator.
    pub at: Mono,
    /// The system clock − the oscillator, seconds.
    pub correction_s: f64,
    /// The rate that makes up for the oscillator.
    pub frequency: f64,
}

/// A text is not what was written about this source, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

impl Source {
    /// What the file is called, without its suffix: by the address, or by the identifier of a reference clock.
    pub(crate) fn dump_name(&self) -> Option<String> {
        let of_clock = self.ref_clock.map(|id| format!("refid:{:08x}", id.0));
        self.address.map(|address| address.to_string()).or(of_clock)
    }

    /// What the file says that the source is called.
    fn dump_title(&self) -> String {
        match self.ref_clock {
            Some(_) => ".".to_owned(),
            None => self.config.name.to_string(),
        }
    }

    /// What was measured, as a text.
    pub fn dump(&self, clock: &Clock) -> String {
        let samples = self.estimator.samples_to_keep();
        let mut text = format!(
            "{MAGIC}\n{}\n{} {:o} {} {} {}\n{} 0\n",
            self.dump_title(),
            self.authentication_mode(),
            self.reach,
            self.polls,
            self.stratum.0,
            self.leap.bits(),
            samples.clone().count(),
        );
        for sample in samples {
            let age_s = clock.at.seconds_since(sample.at);
            let offset_s = clock.correction_s - clock.frequency * age_s - sample.phase_s;
            let (seconds, nanos) = clock
                .now
                .plus_seconds(-age_s * (1.0 + clock.frequency))
                .to_parts();
            let values = [
                offset_s,
                offset_s,
                sample.delay_s,
                sample.dispersion_s,
                sample.delay_s + sample.root_delay_s,
                sample.dispersion_s + sample.root_dispersion_s,
            ];
            text.push_str(&format!("{seconds}.{nanos:09}"));
            for value in values {
                text.push(' ');
                text.push_str(&exponential(value));
            }
            text.push('\n');
        }
        text
    }

    /// Takes in what was written before.
    ///
    /// # Errors
    /// The text is malformed, of another source, or of the future; nothing was taken in.
    pub fn load(&mut self, text: &str, clock: &Clock) -> Result<(), NotOurs> {
        let history = self.read(text, clock).ok_or(NotOurs)?;
        self.reach = history.reach;
        self.polls = history.polls;
        self.stratum = history.stratum;
        self.leap = history.leap;
        for sample in history.samples {
            self.estimator.add(sample);
        }
        self.updated = true;
        Ok(())
    }

    fn read(&self, text: &str, clock: &Clock) -> Option<History> {
        let mut lines = text.lines();
        if lines.next()? != MAGIC || lines.next()? != self.dump_title() {
            return None;
        }
        let mut words = lines.next()?.split_ascii_whitespace();
        let is_same_authentication = number::<u8>(&mut words)? == self.authentication_mode();
        let reach = u8::from_str_radix(words.next()?, 8).ok()?;
        let polls = number::<u8>(&mut words).filter(|polls| *polls <= 8)?;
        let stratum = number::<u8>(&mut words).filter(|stratum| *stratum <= 16)?;
        let leap = number::<u8>(&mut words).filter(|leap| *leap <= 3)?;
        let mut counts = lines.next()?.split_ascii_whitespace();
        let count = number::<usize>(&mut counts).filter(|count| (1..=SAMPLES_MAX).contains(count))?;
        let _asymmetry_run = number::<i32>(&mut counts)?;
        if !is_same_authentication || words.next().is_some() || counts.next().is_some() {
            return None;
        }
        let mut samples: Vec<Sample> = Vec::with_capacity(count);
        for line in lines {
            let sample = read_sample(line, clock)?;
            if samples.last().is_some_and(|last| sample.at <= last.at) {
                return None;
            }
            samples.push(sample);
            if samples.len() > count {
                return None;
            }
        }
        (samples.len() == count).then_some(History {
            reach,
            polls,
            stratum: Stratum(stratum),
            leap: Leap::from_bits(leap),
            samples,
        })
    }

    /// By what its answers are authenticated: 0 nothing, 1 a symmetric key.
    fn authentication_mode(&self) -> u8 {
        u8::from(self.config.key_id.is_some())
    }
}

/// What a text says.
struct History {
    reach: u8,
    polls: u8,
    stratum: Stratum,
    leap: Leap,
    samples: Vec<Sample>,
}

fn read_sample(line: &str, clock: &Clock) -> Option<Sample> {
    let mut words = line.split_ascii_whitespace();
    let time = read_time(words.next()?)?;
    let offset_s = value(&mut words)?;
    let _as_measured = value(&mut words)?;
    let delay_s = value(&mut words)?;
    let dispersion_s = value(&mut words).filter(|value| *value >= 0.0)?;
    let total_delay_s = value(&mut words)?;
    let total_dispersion_s = value(&mut words)?;
    if words.next().is_some() {
        return None;
    }
    let age_s = clock.now.seconds_since(time) / (1.0 + clock.frequency);
    if !(0.0..AGE_MAX_S).contains(&age_s) {
        return None;
    }
    Some(Sample {
        at: clock.at.plus_seconds(-age_s),
        phase_s: clock.correction_s - clock.frequency * age_s - offset_s,
        delay_s: delay_s.max(dispersion_s),
        dispersion_s,
        root_delay_s: (total_delay_s - delay_s).max(0.0),
        root_dispersion_s: (total_dispersion_s - dispersion_s).max(0.0),
    })
}

/// Seconds, a point and nine digits.
fn read_time(word: &str) -> Option<UnixTime> {
    let (seconds, nanos) = word.split_once('.')?;
    let is_exact = nanos.len() == 9 && nanos.bytes().all(|digit| digit.is_ascii_digit());
    is_exact
        .then(|| Some(UnixTime::from_parts(seconds.parse().ok()?, nanos.parse().ok()?)))
        .flatten()
}

fn value(words: &mut SplitAsciiWhitespace<'_>) -> Option<f64> {
    number::<f64>(words).filter(|value| value.abs() <= VALUE_MAX_S)
}

fn number<T: FromStr>(words: &mut SplitAsciiWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

/// C's `%.6e`.
fn exponential(value: f64) -> String {
    let text = format!("{value:.6e}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}
