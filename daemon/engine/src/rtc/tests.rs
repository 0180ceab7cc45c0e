//! An engine, a system clock that is right, and a real-time clock that is not.

use conf::config::{Config, LogKind, SourceConfig, SourceKind, SourceName};
use wire::candm::{ReplyError, Request};

use super::*;
use crate::Options;
use crate::io::{ClockCommand, Input, Severity};

/// 2010-01-01 00:00:00 UTC.
const BEGIN_S: i64 = 1_262_304_000;

const OPERATOR: ControlPeer = ControlPeer::Unix(7);

const KNOWN: RtcError = RtcError {
    reference: BEGIN_S - 1000,
    fast_s: 9.0,
    gain_ppm: 100.0,
};

/// The host.
struct Machine {
    engine: Engine,
    seconds: f64,
    /// The real-time clock − the system clock, seconds.
    ahead_s: f64,
    /// The next second of the real-time clock is told.
    interrupts: bool,
    /// The real-time clock lets itself be set.
    is_settable: bool,
    /// The disk takes files.
    is_writable: bool,
    log: Vec<(Severity, String)>,
    lines: Vec<String>,
    files: Vec<RtcError>,
    replies: Vec<Vec<u8>>,
    set_to: Vec<i64>,
    is_ready: bool,
}

impl Machine {
    fn new(ahead_s: f64, start: Option<RtcStart>) -> Self {
        Self::with(ahead_s, start, |_| {})
    }

    fn with(ahead_s: f64, start: Option<RtcStart>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.rtc.file = Some("/rtc".to_owned());
        config.logs.kinds.insert(LogKind::Rtc);
        change(&mut config);
        let options = Options {
            observe: false,
            drift: None,
            precision_s: 1e-7,
            era_start: 0,
            leap_table: None,
            once: None,
            rtc: start,
            tells: false,
            set_at_once: false,
            about: crate::control::mode6::About::default(),
        };
        let mut machine = Self {
            engine: Engine::new(config, options, now(0.0), Box::new(|| 5)),
            seconds: 0.0,
            ahead_s,
            interrupts: false,
            is_settable: true,
            is_writable: true,
            log: Vec::new(),
            lines: Vec::new(),
            files: Vec::new(),
            replies: Vec::new(),
            set_to: Vec::new(),
            is_ready: false,
        };
        machine.carry_out();
        machine
    }

    fn tracking(ahead_s: f64) -> Self {
        let start = RtcStart {
            has_set_clock: false,
            known: None,
        };
        Self::new(ahead_s, Some(start))
    }

    /// Lets time go on.
    fn run_until(&mut self, until_s: f64) {
        loop {
            let due = self
                .engine
                .poll_timeout()
                .map(|due| due.seconds_since(Mono::ZERO));
            let second = (self.seconds + self.ahead_s).floor() + 1.0;
            let tick = second - self.ahead_s;
            let due = due.unwrap_or(f64::INFINITY);
            let next = if self.interrupts { due.min(tick) } else { due };
            if next > until_s {
                break;
            }
            // A nanosecond more, so that the second has begun whatever was rounded.
            self.seconds = (next + 1e-9).max(self.seconds);
            if next < due {
                let second = BEGIN_S + units::rounding::nearest_i64(second);
                self.tell(Input::RtcTicked { second });
            } else {
                self.engine.handle_timeout(now(self.seconds));
                self.carry_out();
            }
        }
        self.seconds = until_s;
    }

    fn tell(&mut self, input: Input<'_>) {
        self.engine.handle_input(now(self.seconds), input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Clock(ClockCommand::SetFrequency { ppm }) => {
                    self.engine
                        .handle_input(now(self.seconds), Input::FrequencyApplied { ppm });
                }
                Output::Rtc(RtcCommand::Interrupt(is_on)) => self.interrupts = is_on,
                Output::Rtc(RtcCommand::Set { second }) => {
                    self.set_to.push(second);
                    if self.is_settable {
                        self.ahead_s = f64_from_i64(second - BEGIN_S) + 0.5 - self.seconds;
                    } else {
                        self.engine.handle_input(now(self.seconds), Input::RtcNotSet);
                    }
                }
                Output::WriteRtcFile(error) => {
                    self.files.push(error);
                    let is_written = self.is_writable;
                    self.engine
                        .handle_input(now(self.seconds), Input::RtcFileWritten { is_written });
                }
                Output::Log { severity, text, .. } => self.log.push((severity, text)),
                Output::LogFile {
                    file: LogFile::Rtc,
                    line,
                } => self.lines.push(line),
                Output::ControlReply {
                    peer: OPERATOR,
                    bytes,
                } => self.replies.push(bytes),
                Output::Ready => self.is_ready = true,
                _ => {}
            }
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, ReplyError> {
        let bytes = request.encode(3);
        self.tell(Input::Control {
            peer: OPERATOR,
            bytes: &bytes,
        });
        let replies = std::mem::take(&mut self.replies);
        assert_eq!(replies.len(), 1, "{request:?}");
        Reply::decode(&replies[0], request.command(), 3)
    }

    fn report(&mut self) -> wire::candm::Rtc {
        match self.ask(&Request::RtcReport) {
            Ok(Reply::Rtc(rtc)) => rtc,
            other => panic!("{other:?}"),
        }
    }

    fn said(&self, words: &str) -> usize {
        self.log.iter().filter(|(_, text)| text.contains(words)).count()
    }
}

fn now(seconds: f64) -> Now {
    Now {
        mono: Mono::ZERO.plus_seconds(seconds),
        wall: UnixTime::from_seconds(BEGIN_S).plus_seconds(seconds),
        slept_ns: 0,
    }
}

fn refusal(status: Status) -> Result<Reply, ReplyError> {
    Err(ReplyError::Status(status))
}

#[test]
fn the_log_has_chronyds_columns() {
    let mut machine = Machine::tracking(-9.25);
    machine.run_until(240.0);
    let lines: Vec<&str> = machine.lines.iter().map(String::as_str).collect();
    assert_eq!(
        lines[..7],
        [
            "2010-01-01 00:00:01      -9.250000 0        0.000000         0.000   1   0   15",
            "2010-01-01 00:00:18      -9.250000 0        0.000000         0.000   2   0   15",
            "2010-01-01 00:00:35      -9.250000 1       -9.250000         0.000   3   1   15",
            "2010-01-01 00:00:52      -9.250000 1       -9.250000         0.000   4   1   15",
            "2010-01-01 00:01:24      -9.250000 1       -9.250000         0.000   5   1   30",
            "2010-01-01 00:01:56      -9.250000 1       -9.250000         0.000   6   1   30",
            "2010-01-01 00:02:58      -9.250000 1       -9.250000         0.000   7   1   60",
        ]
    );
}

#[test]
fn nothing_is_logged_that_is_not_asked_for() {
    let start = RtcStart {
        has_set_clock: false,
        known: None,
    };
    let mut machine = Machine::with(0.0, Some(start), |config| config.logs.kinds.clear());
    machine.run_until(100.0);
    assert!(machine.lines.is_empty());
    assert_eq!(machine.report().samples, 5);
}

#[test]
fn reports_have_chronyds_signs() {
    let mut machine = Machine::tracking(-9.25);
    let empty = machine.report();
    assert_eq!((empty.samples, empty.fast_s, empty.gain_ppm), (0, 0.0, 0.0));
    machine.run_until(60.0);
    let report = machine.report();
    assert_eq!((report.samples, report.span_s), (4, 51));
    assert!((report.fast_s + 9.25).abs() < 1e-6, "{report:?}");
    assert!(report.gain_ppm.abs() < 1e-3);
    // It was last read when the system clock was at 52.25 s.
    let reference = UnixTime::from_seconds(BEGIN_S + 43);
    assert_eq!(
        report.reference_time,
        wire::candm::Timespec::new(reference.seconds(), 0)
    );
}

#[test]
fn a_system_clock_that_loses_sees_it_gain() {
    let mut machine = Machine::tracking(0.0);
    machine.run_until(60.0);
    // The oscillator turns out to lose 100 ppm: true time runs faster than it, and the real-time clock, which ran with
    // it, loses against that.
    let engine = &mut machine.engine;
    engine
        .discipline
        .add_gain_ppm(now(60.0).mono, -100.0, &engine.timeline, &mut engine.out);
    machine.carry_out();
    let report = machine.report();
    assert!((report.gain_ppm + 100.0).abs() < 0.1, "{report:?}");
}

#[test]
fn writing_is_answered_when_it_is_done() {
    let mut machine = Machine::tracking(-9.25);
    // There is nothing to write yet.
    assert_eq!(machine.ask(&Request::WriteRtc), Ok(Reply::Done));
    assert!(machine.files.is_empty());
    machine.run_until(60.0);
    assert_eq!(machine.ask(&Request::WriteRtc), Ok(Reply::Done));
    assert_eq!(machine.files[0].reference, BEGIN_S + 43);
    machine.is_writable = false;
    assert_eq!(machine.ask(&Request::WriteRtc), refusal(Status::BadRtcFile));
    assert_eq!(machine.ask(&Request::RtcReport).map(|_| ()), Ok(()));
}

#[test]
fn the_end_writes_what_is_known_and_only_that() {
    let mut machine = Machine::tracking(-9.25);
    machine.tell(Input::Terminate);
    assert!(machine.files.is_empty() && !machine.interrupts);
    let mut machine = Machine::tracking(-9.25);
    machine.run_until(60.0);
    machine.tell(Input::Terminate);
    assert!((machine.files[0].fast_s + 9.25).abs() < 1e-6);
}

#[test]
fn trimming_sets_it_to_the_second_and_measures_where_to() {
    let mut machine = Machine::tracking(-9.25);
    assert_eq!(machine.ask(&Request::TrimRtc), Ok(Reply::Done));
    machine.run_until(100.2);
    assert!(machine.set_to.is_empty(), "nothing was known");
    assert_eq!(machine.ask(&Request::TrimRtc), Ok(Reply::Done));
    assert_eq!(machine.set_to, [BEGIN_S + 100]);
    assert_eq!(machine.said("RTC wrong by -9.250 seconds (step)"), 1);
    assert!((machine.report().fast_s - 0.3).abs() < 1e-6);
    machine.run_until(110.0);
    let file = machine.files[0];
    assert!((file.fast_s - 0.3).abs() < 1e-6, "{file:?}");
    assert_eq!(machine.report().samples, 0);
    // It is not wrong by a second now.
    assert_eq!(machine.ask(&Request::TrimRtc), Ok(Reply::Done));
    assert_eq!(machine.set_to.len(), 1);
    machine.run_until(300.0);
    assert!(machine.report().samples > 3);
}

#[test]
fn what_cannot_be_set_is_tracked_on() {
    let mut machine = Machine::tracking(-9.25);
    machine.is_settable = false;
    machine.run_until(100.0);
    assert_eq!(machine.ask(&Request::TrimRtc), Ok(Reply::Done));
    assert!(!machine.interrupts, "it rests");
    machine.run_until(200.0);
    assert!((machine.report().fast_s + 9.25).abs() < 1e-6);
}

#[test]
fn sources_wait_for_a_start_from_it_and_for_nothing_else() {
    let source = || SourceConfig::new(SourceKind::Server, SourceName::Name("time".to_owned()));
    let from_rtc = Some(RtcStart {
        has_set_clock: true,
        known: Some(KNOWN),
    });
    // Its file says 9.1 s when the system clock was set from it, which was 0.35 s wrong then.
    let mut machine = Machine::with(8.75, from_rtc, |config| config.sources = vec![source()]);
    assert!(!machine.is_ready);
    machine.run_until(8.0);
    assert!(!machine.is_ready);
    machine.run_until(9.0);
    assert!(machine.is_ready);
    let lines: Vec<&str> = machine.log.iter().map(|(_, text)| text.as_str()).collect();
    let off = lines
        .iter()
        .find(|text| text.starts_with("System clock off from RTC by 0.35"))
        .unwrap();
    assert!(off.ends_with(" seconds (slew)"), "{off}");
    let remaining_s = machine
        .engine
        .discipline
        .remaining_s(now(9.0).mono, &machine.engine.timeline);
    assert!((-0.36..0.0).contains(&remaining_s), "it is fast: {remaining_s}");
    assert!(Machine::tracking(0.0).is_ready);
    assert!(Machine::new(0.0, None).is_ready);
}

#[test]
fn what_no_reading_leaves_open_is_not_slewed() {
    let nonsense = RtcError {
        gain_ppm: 1e300,
        ..KNOWN
    };
    // By what is known the system clock is some minutes wrong, or by more than there are seconds.
    for known in [
        RtcError {
            fast_s: 300.0,
            ..KNOWN
        },
        nonsense,
    ] {
        let start = RtcStart {
            has_set_clock: true,
            known: Some(known),
        };
        let mut machine = Machine::new(9.0, Some(start));
        machine.run_until(9.0);
        assert!(machine.is_ready);
        let mut lines = machine.log.iter().map(|(_, text)| text);
        assert!(lines.any(|text| {
            text.starts_with("System clock off from RTC by ") && text.ends_with(" seconds (ignored)")
        }));
        let (engine, at) = (&machine.engine, now(9.0).mono);
        assert_eq!(engine.discipline.remaining_s(at, &engine.timeline), 0.0);
        assert!(!crate::control::metrics::text(engine, at).contains("NaN"));
    }
}

#[test]
fn a_start_without_a_file_goes_on_after_a_warning() {
    let start = Some(RtcStart {
        has_set_clock: true,
        known: None,
    });
    let mut machine = Machine::new(0.4, start);
    machine.run_until(10.0);
    assert_eq!(machine.said("No valid rtcfile coefficients"), 1);
    assert!(machine.is_ready);
}

#[test]
fn a_clock_that_fails_is_gone_and_keeps_nobody_waiting() {
    let start = Some(RtcStart {
        has_set_clock: true,
        known: Some(KNOWN),
    });
    let mut machine = Machine::new(0.4, start);
    machine.tell(Input::RtcFailed);
    assert!(machine.is_ready);
    assert_eq!(machine.ask(&Request::RtcReport), refusal(Status::NoRtc));
    assert_eq!(machine.ask(&Request::TrimRtc), refusal(Status::NoRtc));
    assert_eq!(machine.ask(&Request::WriteRtc), refusal(Status::NoRtc));
    machine.run_until(1000.0);
    assert_eq!(machine.engine.poll_timeout(), None);
}

#[test]
fn a_jump_begins_anew() {
    let mut machine = Machine::tracking(0.25);
    machine.run_until(100.0);
    machine.ahead_s = 5.5;
    machine.run_until(125.0);
    assert_eq!(machine.report().samples, 1);
    machine.run_until(200.0);
    assert!((machine.report().fast_s - 5.5).abs() < 1e-6);
}

#[test]
fn any_reading_is_survived() {
    for seconds in [[i64::MIN, i64::MAX, 0], [i64::MAX, i64::MIN, -1], [0, 0, 0]] {
        let mut machine = Machine::tracking(0.0);
        for second in seconds {
            machine.tell(Input::RtcTicked { second });
            machine.tell(Input::RtcTicked { second });
        }
        let _ = (machine.report(), time_of(seconds[0], Some(&KNOWN)));
        machine.tell(Input::Terminate);
    }
}

#[test]
fn the_time_of_a_reading_is_in_the_middle_of_its_second() {
    assert_eq!(time_of(100, None), UnixTime::from_parts(100, 500_000_000));
    let by_file = time_of(BEGIN_S, Some(&KNOWN));
    assert!((by_file.seconds_since(UnixTime::from_seconds(BEGIN_S)) - (0.5 - 9.1)).abs() < 1e-6);
}
