//! The engine: one call for what happened, one for what is due, one for what to do.

use std::collections::BTreeMap;

use conf::config::Config;
use units::rounding::nearest_i64;
use units::{Leap, Mono};

use crate::constraint::Constraints;
use crate::control::Control;
use crate::control::mode6::{About, Mode6};
use crate::discipline::fallback::FallbackFrequencies;
use crate::discipline::leap::{LeapTable, Leaps};
use crate::discipline::local::LocalReference;
use crate::discipline::{self, Discipline};
use crate::estimate::Prior;
use crate::first_step::FirstStep;
use crate::initial::InitialMeasurement;
use crate::io::{ClockCommand, Event, Input, Now, Output};
use crate::keyring::Keyring;
use crate::outbox::Outbox;
use crate::packets::Packets;
use crate::ports::Ports;
use crate::ref_clock::RefClockState;
use crate::rtc::{RealTimeClock, RtcStart};
use crate::select::{self, Selector};
use crate::serve;
use crate::server::Server;
use crate::source::SourceId;
use crate::sources::Sources;
use crate::timeline::{Jump, Timeline};
use crate::timer::{Timer, Timers};

/// From here on somebody else's step of the clock is a reason to look at it more often, seconds.
const JUMP_OF_OTHERS_S: f64 = 1e-3;

/// No frequency from before is more certain than this: a crystal is warmer or cooler after a restart or after sleep.
const FREQUENCY_ERROR_MIN: f64 = 3e-7;

/// What the program tells the engine beside the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Never touch the clock.
    pub observe: bool,
    /// The frequency from the drift file and its error, ppm; positive: the oscillator gains.
    pub drift: Option<(f64, f64)>,
    /// The precision of the clock, seconds.
    pub precision_s: f64,
    /// The first second of the NTP era window, Unix seconds: servers' times are taken to be in the 2^32 seconds
    /// from there on.
    pub era_start: i64,
    /// The leap seconds, from the file that the configuration names.
    pub leap_table: Option<LeapTable>,
    /// Measure once and end.
    pub once: Option<Once>,
    /// The real-time clock, when it is to be tracked and can be.
    pub rtc: Option<RtcStart>,
    /// Tell what happens as an [`Event`], for whoever has words of its own for it.
    pub tells: bool,
    /// Step the clock by what the first answers say, however little that is, and only then be ready (OpenNTPD's `-s`).
    pub set_at_once: bool,
    /// What `ntpq` is told about machine and program.
    pub about: About,
}

/// What is done with the one measurement of a daemon that ends after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// The clock is set (`-q`).
    Set,
    /// The offset is logged (`-Q`).
    Log,
}

/// Random numbers that nobody can foresee.
pub type Entropy = Box<dyn FnMut() -> u64>;

/// The brain of the daemon.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) options: Options,
    pub(crate) timeline: Timeline,
    pub(crate) timers: Timers,
    pub(crate) sources: Sources,
    pub(crate) constraints: Constraints,
    pub(crate) ports: Ports,
    pub(crate) keys: Keyring,
    pub(crate) server: Server,
    pub(crate) control: Control,
    pub(crate) mode6: Mode6,
    pub(crate) packets: Packets,
    pub(crate) discipline: Discipline,
    pub(crate) out: Outbox,
    pub(crate) entropy: Entropy,
    pub(crate) selector: Selector,
    /// What the last selection found about each source.
    pub(crate) verdicts: BTreeMap<SourceId, select::Verdict>,
    pub(crate) local: LocalReference,
    pub(crate) fallback: FallbackFrequencies,
    pub(crate) leaps: Leaps,
    pub(crate) tai_offset_s: Option<i32>,
    /// The leap second of which the kernel was told.
    pub(crate) told_leap: Leap,
    pub(crate) ref_clocks: Vec<RefClockState>,
    /// The first measurement, as long as it is made.
    pub(crate) initial: Option<InitialMeasurement>,
    /// The step at the start, as long as it is awaited.
    pub(crate) first_step: Option<FirstStep>,
    /// The real-time clock, when it is tracked.
    pub(crate) rtc: Option<RealTimeClock>,
    /// Whether it was said that answers of sources are taken whatever the rules are.
    pub(crate) is_hole_told: bool,
    /// Whether the sources of the configuration are asked: the first measurement is over.
    pub(crate) is_begun: bool,
    /// The precision of our clock, log2 s.
    pub(crate) precision: i8,
}

impl Engine {
    /// Begins to work. The outputs waiting afterwards set everything up.
    pub fn new(config: Config, options: Options, now: Now, mut entropy: Entropy) -> Self {
        // What is never written cannot be the frequency of this clock.
        let max_drift_ppm = config.clock.max_drift_ppm;
        let drift = options.drift.filter(|drift| drift.0.abs() <= max_drift_ppm);
        let (frequency, skew) = match drift {
            Some((gain_ppm, skew_ppm)) => (-gain_ppm / 1e6, skew_ppm / 1e6),
            None => (0.0, discipline::FREQUENCY_ERROR_UNKNOWN),
        };
        let mut engine = Self {
            discipline: Discipline::new(config.clock.clone(), options.observe, frequency, skew)
                .smoothing(config.server.smoothing),
            timeline: Timeline::new(now, 0.0),
            timers: Timers::default(),
            sources: Sources::new(&config, now.mono),
            constraints: Constraints::new(&config.constraints.from),
            ports: Ports::new(config.server.port),
            keys: Keyring::default(),
            server: serve::server(&config, entropy()),
            control: Control::new(&config.control),
            mode6: Mode6::new(options.about.clone(), now.mono),
            packets: Packets::default(),
            out: Outbox::new(options.tells),
            entropy,
            selector: Selector::new(),
            verdicts: BTreeMap::new(),
            local: LocalReference::new(config.local, now.mono),
            fallback: FallbackFrequencies::new(config.clock.fallback_drift),
            leaps: Leaps::new(config.leap.mode, options.leap_table.clone()),
            tai_offset_s: None,
            told_leap: Leap::Normal,
            ref_clocks: Vec::new(),
            initial: None,
            first_step: None,
            rtc: None,
            is_hole_told: false,
            is_begun: false,
            precision: i8::try_from(nearest_i64(options.precision_s.log2())).unwrap_or(0),
            options,
            config,
        };
        if drift != engine.options.drift {
            engine.out.warn(format!(
                "Frequency from driftfile ignored : more than maxdrift {max_drift_ppm:.3} ppm"
            ));
        }
        engine.start(now);
        engine
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        // The answers of the clock come while a step may be under way.
        if !matches!(input, Input::FrequencyApplied { .. } | Input::ClockRefused { .. }) {
            self.observe(now);
        }
        match input {
            Input::Datagram {
                socket,
                from,
                to,
                received,
                bytes,
            } => {
                self.packets.received += u64::from(!bytes.is_empty());
                if !self.datagram(now, socket, from, to, received, bytes) {
                    // Whoever asks changes nothing about the clock and its sources.
                    return self.answer(now, socket, from, to, received, bytes);
                }
            }
            Input::Transmitted { socket, sent, bytes } => {
                if !self.transmitted(now, socket, sent, bytes) {
                    self.answered(now.mono, sent, bytes);
                }
                return;
            }
            Input::SendFailed { socket } => {
                self.packets.send_failures += 1;
                self.ask(now, |sources, tools| sources.send_failed(socket, tools));
            }
            Input::Undelivered { socket, reason } => {
                self.ask(now, |sources, tools| sources.undelivered(socket, reason, tools));
            }
            Input::FrequencyApplied { ppm } => {
                self.timeline.set_rate(now.mono, ppm / 1e6);
                self.discipline
                    .rate_applied(now.mono, ppm / 1e6, &mut self.timers);
            }
            Input::ClockRefused { reason } => {
                self.timeline.step_refused();
                if !self.out.tells() {
                    self.out
                        .warn(format!("Could not adjust the system clock: {reason}"));
                }
            }
            Input::RtcTicked { second } => self.rtc_ticked(now, second),
            Input::RtcFailed => self.rtc_failed(now),
            Input::RtcNotSet => self.rtc_not_set(now.mono),
            Input::RtcFileWritten { is_written } => self.rtc_file_written(is_written),
            Input::Terminate => self.terminate(now),
            Input::Resolved { lookup, answer } => {
                if !self.rule_resolved(now.mono, lookup, &answer)
                    && !self.constraint_resolved(now, lookup, &answer)
                {
                    self.ask(now, |sources, tools| sources.resolved(lookup, answer, tools));
                }
            }
            Input::Constraint { request, answer } => self.constraint_answered(now, request, &answer),
            Input::Route { source, exists } => {
                self.ask(now, |sources, tools| sources.route_found(source, exists, tools));
            }
            Input::SourceFiles(configs) => {
                self.ask(now, |sources, tools| sources.directory_read(configs, tools));
                self.give_up_if_alone(now.mono);
            }
            Input::Keys(keys) => {
                self.keys = Keyring::new(keys);
                self.ask(now, Sources::keys_changed);
            }
            Input::LeapTable(table) => self.leaps.set_table(table),
            Input::KernelClock(reading) => return self.kernel_read(now, reading),
            Input::RefClock { ref_clock, reading } => self.ref_clock_read(now, ref_clock, reading),
            Input::Dump { source, text } => {
                self.ask(now, |sources, tools| sources.remember(source, text, tools));
            }
            Input::Control { peer, bytes } => self.control(now, peer, bytes),
            Input::Configuration(config) => self.reconfigure(now, *config),
            Input::Steering { steers, rate_ppm } => self.set_steering(now, steers, rate_ppm / 1e6),
        }
        self.watch_constraints(now);
        self.note_events(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.observe(now);
        while let Some(timer) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Poll(id) => self.ask(now, |sources, tools| sources.poll(id, tools)),
                Timer::GiveUp(id) => self.ask(now, |sources, tools| sources.give_up(id, tools)),
                Timer::Resolve => self.ask(now, Sources::resolve_due),
                Timer::Rules => self.look_up_rules_again(),
                Timer::Constraint => self.retry_constraints(now),
                Timer::Initial => self.initial_due(now),
                Timer::FirstStep => self.first_step_due(now.mono),
                Timer::SlewEnd => self
                    .discipline
                    .slew_end(now.mono, &mut self.timers, &mut self.out),
                Timer::Leap => self.pass_leap(now.mono),
                Timer::Drift => self.write_drift(),
                Timer::Broadcast(index) => self.broadcast(now, index),
                Timer::RefClock(index) => self.ref_clock_due(now.mono, index),
                Timer::Fallback => self.fall_back(now.mono),
                Timer::Status => self.tell_kernel(now.mono),
                Timer::Rtc => self.rtc_due(now),
                Timer::Statistics => self.write_system_statistics(now),
                Timer::Local => {}
            }
        }
        self.watch_constraints(now);
        self.note_events(now);
    }

    /// What to do next; `None` when nothing is left.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.timeline.step_made();
        let output = self.out.pop();
        if let Some(Output::Clock(ClockCommand::Step { by_s })) = output {
            self.timeline.begin_step(by_s);
        }
        output
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.timers.next()
    }

    fn start(&mut self, now: Now) {
        if !self.options.observe {
            self.discipline.start(&mut self.out);
        }
        self.begin_events(now);
        self.open_for_clients();
        self.look_up_rules();
        self.fetch_constraints(now);
        if !self.begin_rtc(now.mono) {
            self.begin(now);
        }
        self.note_events(now);
    }

    /// Adds the sources of the configuration, and says that the daemon is ready.
    pub(crate) fn begin_normal_operation(&mut self, now: Now) {
        self.is_begun = true;
        self.write_tracking_of_loss(now.mono);
        self.begin_ref_clocks(now);
        let configured = std::mem::take(&mut self.config.sources);
        self.ask(now, |sources, tools| sources.add_configured(configured, tools));
        if self.config.source_dirs.is_empty() {
            self.give_up_if_alone(now.mono);
        } else {
            self.out.push(Output::ReadSourceFiles);
        }
        self.plan_broadcasts(now);
        self.out.happened(Event::Began);
        if !self.await_first_answer(now.mono) {
            self.out.push(Output::Ready);
        }
    }

    /// Ends the daemon's work at the request of an operator or the system.
    pub(crate) fn terminate(&mut self, now: Now) {
        self.ask(now, |sources, tools| sources.dump(tools));
        self.end(now.mono, 0);
    }

    /// Leaves the clock as it is, keeps what is known of it, and ends the daemon with this status.
    pub(crate) fn end(&mut self, now: Mono, status: u8) {
        self.discipline.end(&mut self.timers, &mut self.out);
        self.write_drift();
        self.end_rtc(now);
        self.out.push(Output::Exit { status });
    }

    /// What a source begins with.
    pub(crate) fn prior(&self) -> Prior {
        Prior {
            frequency: self.discipline.frequency(),
            frequency_error: self.discipline.skew().max(FREQUENCY_ERROR_MIN),
            precision_s: self.options.precision_s,
        }
    }

    /// Notices when the clock was moved by somebody else or the host slept.
    fn observe(&mut self, now: Now) {
        let Some(Jump { by_s, slept }) = self.timeline.observe(now) else {
            return;
        };
        self.server.clock_stepped();
        if slept {
            self.forget_rtc();
            self.discipline.forget_phase(&mut self.timers, &mut self.out);
            self.ask(now, Sources::start_over);
        } else {
            self.expect_leap(now.mono, by_s);
            let left_s = self.discipline.remaining_s(now.mono, &self.timeline);
            if by_s.abs() > JUMP_OF_OTHERS_S && left_s.abs() > by_s.abs() / 2.0 {
                // Whoever moves the clock away may do it again, and that is noticed when the daemon wakes up.
                self.sources.ask_often();
            }
            self.discipline.jumped(
                now.mono,
                by_s,
                &mut self.timeline,
                &mut self.timers,
                &mut self.out,
            );
        }
        self.move_origin();
    }

    /// Keeps phases small, so that they keep their precision.
    pub(crate) fn move_origin(&mut self) {
        if let Some(by_s) = self.timeline.move_origin() {
            self.discipline.shift(by_s);
            self.sources.shift(by_s);
            self.shift_ref_clocks(by_s);
            self.control.manual.shift(by_s);
        }
    }
}
