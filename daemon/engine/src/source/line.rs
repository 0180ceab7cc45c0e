//! Lines of the log files about one source.

use units::{Leap, UnixTime};
use wire::ntp::Header;

use crate::io::StampSource;
use crate::source::Source;
use crate::source::answer::Judgement;
use crate::source::exchange::Tests;
use crate::steer::scientific;

/// What a line of measurements.log needs beside the judgement.
#[derive(Debug, Clone, Copy)]
pub struct MeasurementLine<'a> {
    /// The packet.
    pub header: &'a Header,
    /// What was found.
    pub judgement: &'a Judgement,
    /// When it came, on the system clock.
    pub received: UnixTime,
    /// Who stamped it.
    pub received_by: StampSource,
}

impl Source {
    /// A line of measurements.log.
    pub fn measurement_line(&self, line: &MeasurementLine<'_>) -> String {
        let header = line.header;
        let judgement = line.judgement;
        let measured = judgement.measurement;
        let sent_by = self
            .pending
            .as_ref()
            .map_or(StampSource::Daemon, |pending| pending.sent.source);
        let (offset_s, delay_s, dispersion_s) = measured.map_or((0.0, 0.0, 0.0), |measured| {
            (measured.offset_s, measured.delay_s, measured.dispersion_s)
        });
        format!(
            "{} {:<15} {} {:>2} {} {:>2} {:>2} {:4.2} {} {} {} {} {} {} {}{} {} {}",
            measured
                .map_or(line.received, |measured| measured.middle)
                .date_time(),
            self.place(),
            leap_letter(header.leap),
            header.stratum.0,
            test_columns(judgement.tests),
            self.polling.interval().0,
            header.poll.0,
            self.polling.score() - f64::from(self.polling.interval().0),
            scientific(offset_s),
            scientific(delay_s),
            scientific(dispersion_s),
            scientific(header.root_delay.as_seconds()),
            scientific(header.root_dispersion.as_seconds()),
            header.reference_id,
            header.mode.bits(),
            if judgement.interleaved { 'I' } else { 'B' },
            stamp_letter(sent_by),
            stamp_letter(line.received_by),
        )
    }

    /// A line of statistics.log; `None` before there are three samples. `now` is the system clock, `clock_phase_s`
    /// where it is heading − oscillator, seconds, and `frequency` the rate that makes up for the oscillator.
    pub fn statistics_line(
        &self,
        now: UnixTime,
        clock_phase_s: f64,
        frequency: f64,
        stress: f64,
    ) -> Option<String> {
        if self.estimator.count() < 3 {
            return None;
        }
        let state = self.estimator.state()?;
        Some(format!(
            "{} {:<15} {} {} {} {} {} {} {:>3} {:>3} {:>3} {:5.2}",
            now.date_time(),
            self.place(),
            scientific(self.estimator.jitter_s().unwrap_or(0.0)),
            scientific(clock_phase_s - state.phase_s),
            scientific(state.phase_variance.max(0.0).sqrt()),
            scientific(frequency - state.frequency),
            scientific(state.frequency_variance.max(0.0).sqrt()),
            stress_column(stress),
            self.estimator.count(),
            0,
            self.estimator.runs(),
            self.config.asymmetry.unwrap_or(0.0),
        ))
    }
}

/// `N + - ?`
pub(crate) fn leap_letter(leap: Leap) -> char {
    match leap {
        Leap::Normal => 'N',
        Leap::Insert => '+',
        Leap::Delete => '-',
        Leap::Unsynchronised => '?',
    }
}

/// `D K H`
fn stamp_letter(source: StampSource) -> char {
    match source {
        StampSource::Daemon => 'D',
        StampSource::Kernel => 'K',
        StampSource::Hardware => 'H',
    }
}

/// `111 111 1111 `: tests 1 to 3, 5 to 7, A to D.
fn test_columns(tests: Tests) -> String {
    let bits = format!("{:010b}", tests.bits());
    let (rfc, ours) = bits.split_at(6);
    let (first, second) = rfc.split_at(3);
    format!("{first} {second} {ours} ")
}

/// C's `%7.1e`.
fn stress_column(value: f64) -> String {
    let three = format!("{value:.1e}");
    let Some((mantissa, exponent)) = three.split_once('e') else {
        return format!("{three:>7}");
    };
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{:>7}", format!("{mantissa}e{sign}{digits:0>2}"))
}
