//! The machine's real-time clock: how far it is off and how fast it gains, so that the next start knows the time before
//! any server has answered; set when it is too far off.
//!
//! It tells whole seconds only, and when each begins, by interrupts. They are asked for, the first is not looked at (it
//! may have waited), and the next is a `Reading`. All readings are told on the scale of the oscillator, so that
//! nothing that is done to the system clock changes them; how far the real-time clock is off is what the discipline
//! believes of true time at the moment of the question.

mod line;
#[cfg(test)]
mod tests;

use conf::config::Topic;
use conf::rtc::RtcError;
use line::{Line, Reading, fit};
use units::rounding::f64_from_i64;
use units::{Mono, UnixTime};
use wire::candm::{Header, Reply, Status};

use crate::engine::Engine;
use crate::io::{ControlPeer, LogFile, Now, Output, RtcCommand};
use crate::timer::Timer;

/// The largest number of readings that are kept.
const READINGS_MAX: usize = 64;

/// A reading that is so far from where the last one leads, seconds, is of a clock that somebody has set: none gains or
/// loses so much between two readings.
const SET_BY_OTHERS_S: f64 = 0.25;

/// An interrupt comes each second, or not at all, seconds.
const PATIENCE_S: f64 = 5.0;

/// How many readings, one each second, tell an offset at the start and after the clock was set (observed with chronyd
/// 4.9).
const SERIES: u8 = 8;

/// Real-time clocks are set to whole seconds and begin the next one half a second later: what they read then is half a
/// second more (rtc(4): that is how the widespread MC146818 works).
const AFTER_SETTING_S: f64 = 0.5;

/// A system clock that was set from it is off from it by up to half a second, which is what its readings leave open; one
/// that is off by more than this was set by somebody else meanwhile, seconds.
const AFTER_READING_MAX_S: f64 = 1.0;

/// The smallest error for which the clock is set, seconds: setting it makes one of up to half a second.
const SET_FROM_S: f64 = 1.0;

/// What the program found out about the real-time clock before the engine began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RtcStart {
    /// The system clock has just been set from it (`-s`), to the second; the engine does the rest.
    pub has_set_clock: bool,
    /// What the file of `rtcfile` says.
    pub known: Option<RtcError>,
}

/// The numbers of `chronyc rtcdata`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RtcReport {
    /// What the real-time clock and how far it was off when it was last read.
    pub error: RtcError,
    /// How many readings there are.
    pub samples: usize,
    /// How many runs of them lie on one side of the estimated line.
    pub runs: usize,
    /// The time between the first and the last, seconds.
    pub span_s: f64,
}

/// The real-time clock, as it is tracked.
#[derive(Debug, Clone)]
pub(crate) struct RealTimeClock {
    known: Option<RtcError>,
    /// The error from which on it is set, seconds.
    auto_trim_s: Option<f64>,
    /// The newest readings, oldest first.
    readings: Vec<Reading>,
    line: Option<Line>,
    /// What the clock gained before it was set, which holds until there are as many readings as in a series.
    gain_before: Option<f64>,
    measuring: Option<Measuring>,
    /// How long it rested before the reading that comes next, seconds.
    rested_s: u16,
    /// It has been said that it does not interrupt.
    is_silence_said: bool,
    /// The file is being written.
    is_writing: bool,
    /// Who waits to be told that it has been.
    asker: Option<(ControlPeer, Header)>,
}

/// Interrupts have been asked for.
#[derive(Debug, Clone, Copy)]
struct Measuring {
    why: Why,
    /// How many readings are still to come.
    left: u8,
    /// The next interrupt may have waited.
    skip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The usual reading.
    Tracking,
    /// The system clock has been set from it, and lacks the part of the second.
    Start,
    /// It has been set.
    Set,
}

/// The time that a reading of the real-time clock means, to half a second, with what is known about its error.
#[must_use]
pub fn time_of(second: i64, known: Option<&RtcError>) -> UnixTime {
    let fast_s = known.map_or(0.0, |known| fast_at_s(known, second));
    UnixTime::from_seconds(second).plus_seconds(0.5 - fast_s)
}

/// The real-time clock − true time when the real-time clock reads this, seconds.
fn fast_at_s(error: &RtcError, second: i64) -> f64 {
    error.fast_s + error.gain_ppm * 1e-6 * f64_from_i64(second.saturating_sub(error.reference))
}

/// How long the clock rests when there are so many readings, seconds (observed with chronyd 4.9).
fn rest_s(readings: usize) -> u16 {
    match readings {
        0..4 => 15,
        4..6 => 30,
        6..10 => 60,
        10..14 => 120,
        _ => 240,
    }
}

impl Engine {
    /// Begins to track the real-time clock, if that is asked for. Returns whether the sources wait for it.
    pub(crate) fn begin_rtc(&mut self, now: Mono) -> bool {
        let Some(start) = self.options.rtc else {
            return false;
        };
        if self.options.once.is_some() && !start.has_set_clock {
            return false;
        }
        self.rtc = Some(RealTimeClock {
            known: start.known,
            auto_trim_s: self.config.rtc.auto_trim_s,
            readings: Vec::new(),
            line: None,
            gain_before: None,
            measuring: None,
            rested_s: rest_s(0),
            is_silence_said: false,
            is_writing: false,
            asker: None,
        });
        let why = if start.has_set_clock {
            Why::Start
        } else {
            Why::Tracking
        };
        self.measure_rtc(now, why);
        start.has_set_clock
    }

    /// The clock has rested for long enough, or does not interrupt.
    pub(crate) fn rtc_due(&mut self, now: Now) {
        let Some(rtc) = &mut self.rtc else { return };
        let Some(measuring) = rtc.measuring else {
            return self.measure_rtc(now.mono, Why::Tracking);
        };
        if !std::mem::replace(&mut rtc.is_silence_said, true) {
            self.out.warn("RTC does not interrupt at its seconds : not read");
        }
        self.rest_rtc(now.mono);
        if measuring.why == Why::Start {
            self.begin(now);
        }
    }

    /// A second of the real-time clock has begun.
    pub(crate) fn rtc_ticked(&mut self, now: Now, second: i64) {
        let at = self.timeline.oscillator(now.mono);
        let Some(rtc) = &mut self.rtc else { return };
        let Some(measuring) = &mut rtc.measuring else {
            return;
        };
        self.timers.set(Timer::Rtc, now.mono.plus_seconds(PATIENCE_S));
        if std::mem::take(&mut measuring.skip) {
            return;
        }
        measuring.left = measuring.left.saturating_sub(1);
        let Measuring { why, left, .. } = *measuring;
        rtc.add(Reading { at, second });
        if why == Why::Tracking
            && let Some(line) = fit(&mut rtc.readings)
        {
            if rtc.readings.len() >= usize::from(SERIES) {
                rtc.gain_before = None;
            }
            rtc.line = Some(Line {
                gain: rtc.gain_before.unwrap_or(line.gain),
                ..line
            });
        }
        self.write_rtc_log(now.mono, second);
        if left > 0 {
            if let Some(rtc) = &mut self.rtc {
                rtc.rested_s = 1;
            }
            return;
        }
        match why {
            Why::Tracking => self.rtc_tracked(now.mono),
            Why::Start => self.finish_clock_from_rtc(now, second),
            Why::Set => self.finish_setting_rtc(now.mono),
        }
    }

    /// The real-time clock cannot be used.
    pub(crate) fn rtc_failed(&mut self, now: Now) {
        let Some(rtc) = self.rtc.take() else { return };
        self.timers.stop(Timer::Rtc);
        if rtc.measuring.is_some_and(|measuring| measuring.why == Why::Start) {
            self.begin(now);
        }
    }

    /// The real-time clock could not be set. It is not tried again unless somebody asks.
    pub(crate) fn rtc_not_set(&mut self, now: Mono) {
        if let Some(rtc) = &mut self.rtc {
            rtc.forget();
            rtc.auto_trim_s = None;
            self.rest_rtc(now);
        }
    }

    /// The file has been written, or not.
    pub(crate) fn rtc_file_written(&mut self, is_written: bool) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.is_writing = false;
        if let Some((peer, header)) = rtc.asker.take() {
            let bytes = if is_written {
                Reply::Done.encode(&header)
            } else {
                Status::BadRtcFile.encode(&header)
            };
            self.out.push(Output::ControlReply { peer, bytes });
        }
    }

    /// The host slept, and its oscillator was not counted.
    pub(crate) fn forget_rtc(&mut self) {
        if let Some(rtc) = &mut self.rtc {
            rtc.forget();
        }
    }

    /// What is known about the real-time clock; `None` when it is not tracked.
    pub fn rtc_report(&self, now: Mono) -> Option<RtcReport> {
        let rtc = self.rtc.as_ref()?;
        let nothing = RtcError {
            reference: 0,
            fast_s: 0.0,
            gain_ppm: 0.0,
        };
        let span_s = match (rtc.readings.first(), rtc.readings.last()) {
            (Some(first), Some(last)) => last.at.seconds_since(first.at),
            _ => 0.0,
        };
        Some(RtcReport {
            error: self.rtc_error(now).or(rtc.known).unwrap_or(nothing),
            samples: rtc.readings.len(),
            runs: rtc.line.map_or(0, |line| line.runs),
            span_s,
        })
    }

    /// Sets the real-time clock, if it is wrong by a second or more; says whether it is tracked at all.
    pub fn trim_rtc(&mut self, now: Mono) -> bool {
        let Some(rtc) = &self.rtc else { return false };
        let Some(line) = rtc.line else { return true };
        let fast_s = self.rtc_fast_s(now, &line);
        if fast_s.abs() < SET_FROM_S {
            return true;
        }
        self.out.info_about(
            Topic::ClockEvent,
            format!("RTC wrong by {fast_s:.3} seconds (step)"),
        );
        let second = self.true_time(now).seconds();
        self.out.push(Output::Rtc(RtcCommand::Set { second }));
        let at = self.timeline.oscillator(now);
        if let Some(rtc) = &mut self.rtc {
            rtc.readings.clear();
            rtc.gain_before = Some(line.gain);
            rtc.line = Some(Line {
                at,
                second,
                past_s: AFTER_SETTING_S,
                ..line
            });
        }
        // Its seconds begin at other moments now.
        self.out.push(Output::Rtc(RtcCommand::Interrupt(false)));
        self.measure_rtc(now, Why::Set);
        true
    }

    /// Has the file of `rtcfile` written, if there is something to write.
    pub(crate) fn write_rtc_file(&mut self, now: Mono) {
        let error = self.rtc_error(now);
        if let (Some(rtc), Some(error)) = (&mut self.rtc, error) {
            rtc.is_writing = true;
            self.out.push(Output::WriteRtcFile(error));
        }
    }

    /// Answers a request when the file has been written that is being written, if one is.
    pub(crate) fn answers_when_rtc_file_written(&mut self, peer: ControlPeer, header: Header) -> bool {
        let Some(rtc) = self.rtc.as_mut().filter(|rtc| rtc.is_writing) else {
            return false;
        };
        rtc.asker = Some((peer, header));
        true
    }

    /// Ends it: what was learned is for the next start.
    pub(crate) fn end_rtc(&mut self, now: Mono) {
        self.write_rtc_file(now);
        if self.rtc.as_ref().is_some_and(|rtc| rtc.measuring.is_some()) {
            self.out.push(Output::Rtc(RtcCommand::Interrupt(false)));
        }
    }

    /// Asks for interrupts.
    fn measure_rtc(&mut self, now: Mono, why: Why) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.measuring = Some(Measuring {
            why,
            left: if why == Why::Tracking { 1 } else { SERIES },
            skip: true,
        });
        self.out.push(Output::Rtc(RtcCommand::Interrupt(true)));
        self.timers.set(Timer::Rtc, now.plus_seconds(PATIENCE_S));
    }

    /// Lets the clock rest until the next reading.
    fn rest_rtc(&mut self, now: Mono) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.measuring = None;
        rtc.rested_s = rest_s(rtc.readings.len());
        self.timers
            .set(Timer::Rtc, now.plus_seconds(f64::from(rtc.rested_s)));
        self.out.push(Output::Rtc(RtcCommand::Interrupt(false)));
    }

    /// There is a new reading.
    fn rtc_tracked(&mut self, now: Mono) {
        self.rest_rtc(now);
        let Some(rtc) = &self.rtc else { return };
        if let (Some(limit_s), Some(line)) = (rtc.auto_trim_s, rtc.line)
            && self.discipline.reference().is_some()
            && self.rtc_fast_s(now, &line).abs() >= limit_s
        {
            self.trim_rtc(now);
        }
    }

    /// The system clock was set from the real-time clock to the second, and now it is known how far that was off.
    fn finish_clock_from_rtc(&mut self, now: Now, second: i64) {
        let Some(rtc) = &mut self.rtc else { return };
        let line = fit(&mut rtc.readings);
        rtc.forget();
        if let (Some(known), Some(line)) = (rtc.known, line) {
            let by_s = self.rtc_fast_s(now.mono, &line) - fast_at_s(&known, second);
            let slews = by_s.abs() <= AFTER_READING_MAX_S;
            let act = if slews { "slew" } else { "ignored" };
            self.out.info_about(
                Topic::ClockEvent,
                format!("System clock off from RTC by {:.6} seconds ({act})", -by_s),
            );
            if slews {
                let (timeline, timers) = (&self.timeline, &mut self.timers);
                self.discipline
                    .add_offset_s(now.mono, by_s, timeline, timers, &mut self.out);
            }
        } else {
            self.out.warn("No valid rtcfile coefficients");
        }
        self.rest_rtc(now.mono);
        self.begin(now);
    }

    /// The real-time clock was set, and now it is known where to.
    fn finish_setting_rtc(&mut self, now: Mono) {
        let Some(rtc) = &mut self.rtc else { return };
        // In so short a time nothing is learned about its rate.
        let gain = rtc.gain_before.unwrap_or_default();
        rtc.line = fit(&mut rtc.readings).map(|line| Line { gain, ..line });
        rtc.readings.clear();
        self.rest_rtc(now);
        self.write_rtc_file(now);
    }

    /// What is known about the clock at its last reading; `None` when that is not enough.
    fn rtc_error(&self, now: Mono) -> Option<RtcError> {
        let line = self.rtc.as_ref()?.line?;
        let gain = (line.gain - self.discipline.frequency()) / (1.0 + line.gain);
        let since_s = line.since_second_s(self.timeline.oscillator(now));
        Some(RtcError {
            reference: line.second,
            fast_s: self.rtc_fast_s(now, &line) - gain * since_s,
            gain_ppm: gain * 1e6,
        })
    }

    /// The real-time clock − true time now, as far as both are known, seconds.
    fn rtc_fast_s(&self, now: Mono, line: &Line) -> f64 {
        let since_s = line.since_second_s(self.timeline.oscillator(now));
        let reads = UnixTime::from_seconds(line.second).plus_seconds(since_s);
        reads.seconds_since(self.true_time(now))
    }

    /// A line of rtc.log.
    fn write_rtc_log(&mut self, now: Mono, second: i64) {
        let Some(rtc) = &self.rtc else { return };
        if !self.config.logs.kinds.contains(&conf::config::LogKind::Rtc) {
            return;
        }
        let measured_s = UnixTime::from_seconds(second).seconds_since(self.true_time(now));
        let estimated_s = rtc.line.map(|line| self.rtc_fast_s(now, &line));
        let line = format!(
            "{} {measured_s:14.6} {:1}  {:14.6}  {:12.3}  {:2}  {:2} {:4}",
            self.timeline.wall(now).date_time(),
            u8::from(estimated_s.is_some()),
            estimated_s.unwrap_or(0.0),
            self.rtc_error(now).map_or(0.0, |error| error.gain_ppm),
            rtc.readings.len(),
            rtc.line.map_or(0, |line| line.runs),
            rtc.rested_s,
        );
        self.out.line(LogFile::Rtc, line);
    }
}

impl RealTimeClock {
    fn add(&mut self, reading: Reading) {
        if let Some(last) = self.readings.last() {
            let passed_s = f64_from_i64(reading.second.saturating_sub(last.second));
            let late_s = passed_s - reading.at.seconds_since(last.at);
            if late_s.abs() > SET_BY_OTHERS_S {
                self.forget();
            }
        }
        if self.readings.len() >= READINGS_MAX {
            self.readings.remove(0);
        }
        self.readings.push(reading);
    }

    fn forget(&mut self) {
        self.readings.clear();
        self.line = None;
        self.gain_before = None;
    }
}
