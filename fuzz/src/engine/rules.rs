//! What an engine may do to its host, as its configuration and its operators say.

use conf::config::{Clock, Config, LeapMode, MakeStep};
use engine::Once;
use engine::io::ClockCommand;
use wire::candm::Request;

/// Numbers in a log are rounded.
const ROUNDING: f64 = 1.001;

/// The largest TAI − UTC that is believed, seconds.
const TAI_OFFSET_MAX_S: i32 = 1000;

/// Who has asked for what is done now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cause {
    /// An operator has asked for a step.
    pub(crate) is_step_ordered: bool,
    /// An operator has said what time it is, or by how much the clock is off: what is stepped for that is none of the steps at
    /// the start.
    pub(crate) is_by_hand: bool,
    /// Nobody who may has said anything that could move the clock.
    pub(crate) is_idle: bool,
}

/// The rules for the clock, and what counts for them.
pub(crate) struct Rules {
    clock: Clock,
    make_step: Option<MakeStep>,
    /// The first measurement is not over: it may make one step if that is larger than this, seconds.
    first_step_s: Option<f64>,
    /// The first answers may set the clock, once.
    pub(crate) sets_at_once: bool,
    leap_mode: LeapMode,
    observe: bool,
    once: Option<Once>,
    updates: u32,
    /// Those that are known to count for the rules: the sample was one of the selected source.
    updates_counted: u32,
    /// Such updates, and the steps, since the rule for steps was set.
    updates_under_rule: u32,
    steps_under_rule: u32,
    /// An operator has said what time it is, and no update has been believed since: what is to be corrected is not what
    /// servers say.
    is_by_hand: bool,
    /// Somebody else moved the clock by more than is believed; since then no update has been believed, and the clock has
    /// not been stepped.
    is_displaced: bool,
    /// The clock was stepped in the call under way, so that its update leaves nothing.
    has_stepped: bool,
    /// A step that nobody asked for and that is larger than what is believed, until the line of its update explains it.
    unexplained_s: Option<f64>,
    /// Of whom there is a sample in what is being done.
    measured: Option<String>,
    /// The updates that were not believed.
    ignored: u32,
    /// One too many was not believed.
    gives_up: bool,
    /// The last rate that was asked for, ppm.
    rate_ppm: f64,
}

impl Rules {
    pub(crate) fn new(config: &Config, observe: bool, once: Option<Once>) -> Self {
        Self {
            clock: config.clock.clone(),
            make_step: config.clock.make_step,
            first_step_s: config.initial_step.as_ref().map(|step| step.threshold_s),
            sets_at_once: false,
            leap_mode: config.leap.mode,
            observe,
            once,
            updates: 0,
            updates_counted: 0,
            measured: None,
            updates_under_rule: 0,
            steps_under_rule: 0,
            is_by_hand: false,
            is_displaced: false,
            has_stepped: false,
            unexplained_s: None,
            ignored: 0,
            gives_up: false,
            rate_ppm: 0.0,
        }
    }

    /// The first measurement is over, if there was one, and so is the step by the first answers.
    pub(crate) fn ready(&mut self) {
        // Which of the steps until now were those at the start cannot be seen: one that was counted under the rule may have been.
        let unused =
            u32::from(self.first_step_s.take().is_some()) + u32::from(std::mem::take(&mut self.sets_at_once));
        self.steps_under_rule = self.steps_under_rule.saturating_sub(unused);
    }

    /// What an operator's request changes, before it is carried out.
    pub(crate) fn ordered(&mut self, request: &Request) -> Cause {
        let is_by_hand = matches!(
            request,
            Request::DOffset { .. } | Request::SetTime(_) | Request::ManualDelete(_)
        );
        self.is_by_hand |= is_by_hand;
        if let Request::ModifyMakeStep { limit, threshold_s } = request {
            self.make_step = Some(MakeStep::both(*threshold_s, u32::try_from(*limit).ok()));
            self.updates_under_rule = 0;
            self.steps_under_rule = 0;
        }
        Cause {
            is_step_ordered: matches!(request, Request::MakeStep),
            is_by_hand,
            is_idle: false,
        }
    }

    /// Looks at an act upon the clock.
    pub(crate) fn check_act(&mut self, command: ClockCommand, cause: Cause) {
        assert!(!self.observe, "{command:?} though the clock must not be touched");
        match command {
            ClockCommand::SetFrequency { ppm } => {
                assert!(!cause.is_idle, "the clock is steered without a reason");
                let limit_ppm = self.clock.max_drift_ppm + self.clock.max_slew_rate_ppm;
                assert!(ppm.abs() <= limit_ppm * (1.0 + 1e-9), "{ppm} ppm of {limit_ppm}");
                self.rate_ppm = ppm;
            }
            ClockCommand::Step { by_s } => {
                assert!(!cause.is_idle, "the clock is stepped without a reason");
                self.check_step(by_s, cause);
                self.is_displaced = false;
                self.has_stepped = true;
            }
            ClockCommand::SetStatus {
                synchronised,
                estimated_error_s,
                max_error_s,
                ..
            } => {
                assert!(
                    estimated_error_s >= 0.0 && estimated_error_s.is_finite(),
                    "{estimated_error_s}"
                );
                assert!(max_error_s >= 0.0 && max_error_s.is_finite(), "{max_error_s}");
                assert!(!synchronised || max_error_s >= estimated_error_s);
            }
            ClockCommand::SetTai { offset_s } => assert!(offset_s.abs() <= TAI_OFFSET_MAX_S),
        }
    }

    fn check_step(&mut self, by_s: f64, cause: Cause) {
        assert!(by_s.is_finite());
        let is_leap = self.leap_mode == LeapMode::Step && by_s.abs() == 1.0;
        if cause.is_step_ordered || is_leap || self.once == Some(Once::Set) {
            return;
        }
        let Err(why) = self.check_rule(by_s) else {
            if self.exceeds(by_s) && !self.is_first(by_s) {
                self.unexplained_s = Some(by_s);
            }
            self.steps_under_rule += 1;
            return;
        };
        // What is stepped by hand is none of the steps at the start, but a step that was counted under the rule may have been.
        let is_accounted_for = if cause.is_by_hand {
            let is_allowed = self.has_counted_first() && self.check_rule(by_s).is_ok();
            self.steps_under_rule += 1;
            is_allowed
        } else {
            let first = self.first_step_s.take_if(|limit_s| by_s.abs() > *limit_s);
            first.is_some() || std::mem::take(&mut self.sets_at_once)
        };
        assert!(is_accounted_for, "stepped by {by_s}: {why}");
    }

    /// Whether it can be one of the steps at the start.
    fn is_first(&self, by_s: f64) -> bool {
        self.sets_at_once || self.first_step_s.is_some_and(|limit_s| by_s.abs() > limit_s)
    }

    /// Whether an offset is larger than what is believed now.
    fn exceeds(&self, offset_s: f64) -> bool {
        self.believed_s()
            .is_some_and(|limit_s| offset_s.abs() > limit_s * (1.0 + 1e-9))
    }

    /// Takes a step that was counted under the rule for one of those at the start, if there can have been one.
    fn has_counted_first(&mut self) -> bool {
        let is_open = self.first_step_s.take().is_some() || std::mem::take(&mut self.sets_at_once);
        let has_counted = is_open && self.steps_under_rule > 0;
        self.steps_under_rule -= u32::from(has_counted);
        has_counted
    }

    /// Says why the rule for steps does not allow one.
    fn check_rule(&self, by_s: f64) -> Result<(), String> {
        let rule = self.make_step.ok_or("there is no rule for it")?;
        if !rule.is_exceeded(by_s) {
            return Err(format!("it is below {rule:?}"));
        }
        if let Some(limit) = rule.limit {
            if self.updates_under_rule >= limit {
                return Err(format!("the first {limit} updates are over"));
            }
            if self.steps_under_rule >= limit {
                return Err(format!("{limit} steps have been made"));
            }
        }
        // What is new of it may be small.
        if self.is_displaced && self.exceeds(by_s) {
            return Err("the clock was moved by more than is believed".to_owned());
        }
        Ok(())
    }

    /// The largest offset that is believed now, seconds.
    fn believed_s(&self) -> Option<f64> {
        let rule = self
            .clock
            .max_change
            .filter(|rule| self.updates_counted >= rule.start)?;
        (!self.is_by_hand).then_some(rule.offset_s)
    }

    /// Looks at a line about a sample.
    pub(crate) fn measured(&mut self, line: &str) {
        self.measured = line.split_whitespace().nth(2).map(str::to_owned);
    }

    /// Looks at a line about an update of the clock, or about the loss of all sources.
    pub(crate) fn check_update(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| -> f64 {
            let word = words.get(at).unwrap_or_else(|| panic!("{line} is too short"));
            word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
        };
        for at in [4, 5, 6, 9, 10, 11, 12, 13] {
            assert!(number(at).is_finite(), "{line}");
        }
        assert!(
            number(4).abs() <= self.clock.max_drift_ppm.max(0.001) * ROUNDING,
            "{line}"
        );
        assert!(
            number(5) >= 0.0 && number(9) >= 0.0 && number(13) >= 0.0,
            "{line}"
        );
        let is_loss = words.get(7) == Some(&"?");
        if is_loss {
            return;
        }
        // What is new (there positive when the clock is ahead), and what is left to correct with it, unless that was stepped.
        let was_left_s = number(10);
        let news_s = number(6).abs();
        let left_s = if std::mem::take(&mut self.has_stepped) {
            0.0
        } else {
            (was_left_s - number(6)).abs()
        };
        if let Some(limit_s) = self.believed_s() {
            let change_s = if self.is_displaced {
                left_s
            } else {
                news_s.min(left_s)
            };
            assert!(
                change_s <= limit_s * ROUNDING,
                "{line} is believed, and above {limit_s}"
            );
            if let Some(by_s) = self.unexplained_s.take() {
                assert!(news_s <= limit_s * ROUNDING, "stepped by {by_s}: {line}");
            }
        }
        self.unexplained_s = None;
        self.is_displaced = false;
        self.is_by_hand = false;
        self.updates += 1;
        if self.measured.as_deref() == words.get(2).copied() {
            self.updates_counted += 1;
            self.updates_under_rule += 1;
        }
    }

    /// Somebody else has moved the clock.
    pub(crate) fn moved(&mut self, by_s: f64) {
        let limit_s = self.clock.max_change.map(|rule| rule.offset_s);
        self.is_displaced |= limit_s.is_some_and(|limit_s| by_s.abs() > limit_s);
    }

    /// All that came of one call has been done.
    pub(crate) fn check_explained(&mut self) {
        self.measured = None;
        // A step of its own makes nothing of what the next update leaves.
        self.has_stepped = false;
        let by_s = self.unexplained_s;
        assert!(by_s.is_none(), "stepped by {by_s:?}, and no update says why");
    }

    /// Looks at a line of the log: whether an offset was not believed, and how often that may be.
    pub(crate) fn check_refusal(&mut self, text: &str) {
        let rule = self.clock.max_change;
        let Some(rule) = rule.filter(|_| text.contains("exceeds the allowed maximum")) else {
            return;
        };
        let number = text.split_whitespace().nth(2).and_then(|word| word.parse().ok());
        let offset_s: f64 = number.expect("an offset");
        assert!(offset_s.abs() * ROUNDING + 0.001 >= rule.offset_s, "{text}");
        assert!(self.updates >= rule.start, "{text} after {}", self.updates);
        let is_last = rule.ignore == Some(self.ignored);
        assert_eq!(
            text.ends_with("(exiting)"),
            is_last,
            "{text} after {}",
            self.ignored
        );
        self.gives_up |= is_last;
        self.ignored += u32::from(!is_last);
    }

    /// The daemon ends: with an error only if it has said so, and the clock goes on at its own rate.
    pub(crate) fn check_exit(&self, status: u8) {
        if self.once.is_none() {
            assert_eq!(status != 0, self.gives_up, "it ends with {status}");
        }
        let limit_ppm = self.clock.max_drift_ppm;
        assert!(
            self.rate_ppm.abs() <= limit_ppm * (1.0 + 1e-9),
            "{} ppm of {limit_ppm} are left",
            self.rate_ppm
        );
    }

    /// Looks at what is to be remembered of the oscillator.
    pub(crate) fn check_drift(&self, frequency_ppm: f64, skew_ppm: f64) {
        assert!(
            frequency_ppm.abs() <= self.clock.max_drift_ppm * (1.0 + 1e-9),
            "{frequency_ppm}"
        );
        assert!(skew_ppm >= 0.0 && skew_ppm.is_finite(), "{skew_ppm}");
    }
}
