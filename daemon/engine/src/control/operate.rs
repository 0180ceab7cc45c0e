//! What an operator can do to sources, in the words of no protocol, beside what the
//! [`Sources`](crate::sources::Sources) do themselves.

use conf::config::Topic;
use units::Mono;

use crate::Engine;
use crate::source::{Source, SourceId};

/// The polling intervals that are taken, log2 s; others are ignored.
const POLLS: std::ops::RangeInclusive<i32> = -7..=24;

/// The longest delay that can be allowed, seconds, and the largest ratio.
const DELAY_MAX_S: f64 = 1e3;
const RATIO_MAX: f64 = 1e6;

/// The largest correction of a source, seconds.
const OFFSET_MAX_S: f64 = 1e9;

/// A setting of one source, and its new value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// The shortest polling interval, log2 s.
    MinPoll(i32),
    /// The longest polling interval, log2 s.
    MaxPoll(i32),
    /// The longest delay, seconds.
    MaxDelay(f64),
    /// The largest ratio of the delay to the least one.
    MaxDelayRatio(f64),
    /// The largest ratio of the increase of the delay to the deviation.
    MaxDelayDevRatio(f64),
    /// The least stratum.
    MinStratum(i32),
    /// The number of samples that polling aims for.
    PollTarget(i32),
    /// What is added to its offsets, seconds.
    Offset(f64),
    /// How it takes part in the selection; `None` is left as it is.
    Select {
        /// Never followed.
        noselect: Option<bool>,
        /// Preferred.
        prefer: Option<bool>,
        /// Outvoted only by its like.
        trust: Option<bool>,
        /// One such must be selectable.
        require: Option<bool>,
    },
}

impl Engine {
    /// Changes a setting of one source; values out of range are ignored or brought into it, as chronyd does. It
    /// counts from the next sample on.
    pub fn modify(&mut self, id: SourceId, setting: Setting) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        for line in source.modify(setting) {
            self.out
                .info_about(Topic::Source, format!("Source {} {line}", source.place()));
        }
    }

    /// Drops all measurements of all sources: nothing is known of the time any more.
    pub fn reset_sources(&mut self, now: Mono) {
        let prior = self.prior();
        self.sources.forget(prior);
        for source in self.sources.values_mut() {
            source.forget_reach();
        }
        self.discipline.forget_phase(&mut self.timers, &mut self.out);
        self.discipline.lose_reference();
        self.out.info("Reset all sources");
        self.consider(now, None);
    }

    /// Selects anew, as if no source had been followed.
    pub fn reselect(&mut self, now: Mono) {
        self.selector.reselect();
        self.consider(now, None);
    }
}

impl Source {
    /// Changes a setting; returns what the log says after the source's name.
    fn modify(&mut self, setting: Setting) -> Vec<String> {
        let config = &mut self.config;
        match setting {
            Setting::MinPoll(poll) => {
                let Some(poll) = in_range(poll) else {
                    return Vec::new();
                };
                let mut lines = vec![format!("new minpoll {poll}")];
                config.min_poll = poll;
                if config.max_poll < poll {
                    config.max_poll = poll;
                    lines.push(format!("new maxpoll {poll}"));
                }
                self.polling.set_limits(config.min_poll, config.max_poll);
                lines
            }
            Setting::MaxPoll(poll) => {
                let Some(poll) = in_range(poll) else {
                    return Vec::new();
                };
                let mut lines = vec![format!("new maxpoll {poll}")];
                config.max_poll = poll;
                if config.min_poll > poll {
                    config.min_poll = poll;
                    lines.push(format!("new minpoll {poll}"));
                }
                self.polling.set_limits(config.min_poll, config.max_poll);
                lines
            }
            Setting::MaxDelay(delay_s) => {
                config.max_delay_s = delay_s.clamp(0.0, DELAY_MAX_S);
                vec![format!("new maxdelay {:.6}", config.max_delay_s)]
            }
            Setting::MaxDelayRatio(ratio) => {
                config.max_delay_ratio = ratio.clamp(0.0, RATIO_MAX);
                vec![format!("new maxdelayratio {:.6}", config.max_delay_ratio)]
            }
            Setting::MaxDelayDevRatio(ratio) => {
                config.max_delay_dev_ratio = ratio.clamp(0.0, RATIO_MAX);
                vec![format!("new maxdelaydevratio {:.6}", config.max_delay_dev_ratio)]
            }
            Setting::MinStratum(stratum) => {
                config.min_stratum = u8::try_from(stratum.clamp(0, 15)).unwrap_or(0);
                vec![format!("new minstratum {}", config.min_stratum)]
            }
            Setting::PollTarget(samples) => {
                config.poll_target = u32::try_from(samples.max(1)).unwrap_or(1);
                self.polling.set_target(config.poll_target);
                vec![format!("new polltarget {}", config.poll_target)]
            }
            Setting::Offset(offset_s) => {
                config.offset_s = offset_s.clamp(-OFFSET_MAX_S, OFFSET_MAX_S);
                vec![format!("new offset {:.6}", config.offset_s)]
            }
            Setting::Select {
                noselect,
                prefer,
                trust,
                require,
            } => {
                let options = &mut config.select;
                for (option, value) in [
                    (&mut options.noselect, noselect),
                    (&mut options.prefer, prefer),
                    (&mut options.trust, trust),
                    (&mut options.require, require),
                ] {
                    *option = value.unwrap_or(*option);
                }
                vec!["selection options modified".to_owned()]
            }
        }
    }
}

fn in_range(poll: i32) -> Option<i8> {
    i8::try_from(poll).ok().filter(|_| POLLS.contains(&poll))
}
