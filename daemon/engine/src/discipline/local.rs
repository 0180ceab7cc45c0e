//! The local clock as a reference of its own, for when there is nothing better.

use conf::config::Local;
use units::Mono;

/// Decides when the local clock is served as if it were right (`local`).
#[derive(Debug, Clone)]
pub struct LocalReference {
    rule: Option<Local>,
    started: Mono,
    /// The root distance of `activate` has been reached.
    activated: bool,
}

impl LocalReference {
    /// Begins; `None` serves it never.
    pub fn new(rule: Option<Local>, now: Mono) -> Self {
        Self {
            rule,
            started: now,
            activated: rule.is_some_and(|rule| rule.activate_s <= 0.0),
        }
    }

    /// The rule in force.
    pub fn rule(&self) -> Option<&Local> {
        self.rule.as_ref()
    }

    /// Replaces the rule (`chronyc local`).
    pub fn set_rule(&mut self, rule: Option<Local>) {
        self.rule = rule;
        if rule.is_some_and(|rule| rule.activate_s <= 0.0) {
            self.activated = true;
        }
    }

    /// An update of the clock reached this root distance, seconds.
    pub fn updated(&mut self, root_distance_s: f64) {
        if self.rule.is_some_and(|rule| root_distance_s < rule.activate_s) {
            self.activated = true;
        }
    }

    /// Whether it is served now. `distance_s` is the root distance while synchronised, `updated` the time of the
    /// last update. While synchronised the distance has to be too large and the last update long ago; otherwise only
    /// time has to pass.
    pub fn active(&self, now: Mono, distance_s: Option<f64>, updated: Option<Mono>) -> Option<&Local> {
        let rule = self.rule.as_ref().filter(|_| self.activated)?;
        let waited_s = now.seconds_since(updated.unwrap_or(self.started));
        let active = match distance_s {
            Some(distance_s) => distance_s > rule.distance_s && waited_s >= rule.wait_synced_s,
            None => waited_s >= rule.wait_unsynced_s,
        };
        active.then_some(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Mono {
        Mono::ZERO.plus_seconds(seconds)
    }

    #[test]
    fn it_is_served_at_once_by_default_and_when_the_distance_is_too_large() {
        let local = LocalReference::new(Some(Local::default()), at(0.0));
        assert!(local.active(at(0.0), None, None).is_some());
        assert!(local.active(at(1.0), Some(0.01), Some(at(1.0))).is_none());
        assert!(local.active(at(9.0), Some(1.5), Some(at(1.0))).is_some());
    }

    #[test]
    fn it_waits_to_be_activated() {
        let rule = Local {
            activate_s: 0.5,
            ..Local::default()
        };
        let mut local = LocalReference::new(Some(rule), at(0.0));
        assert!(local.active(at(5.0), None, None).is_none());
        local.updated(0.7);
        assert!(local.active(at(5.0), None, None).is_none());
        local.updated(0.2);
        assert!(local.active(at(5.0), None, None).is_some());
    }

    #[test]
    fn it_waits_after_the_start_and_after_an_update() {
        let rule = Local {
            wait_synced_s: 100.0,
            wait_unsynced_s: 300.0,
            ..Local::default()
        };
        let local = LocalReference::new(Some(rule), at(0.0));
        assert!(local.active(at(299.0), None, None).is_none());
        assert!(local.active(at(300.0), None, None).is_some());
        let far = Some(5.0);
        assert!(local.active(at(399.0), far, Some(at(300.0))).is_none());
        assert!(local.active(at(400.0), far, Some(at(300.0))).is_some());
        assert!(local.active(at(400.0), Some(0.5), Some(at(300.0))).is_none());
    }

    #[test]
    fn without_a_distance_only_the_time_since_the_last_update_counts() {
        let rule = Local {
            distance_s: 0.0,
            wait_synced_s: 150.0,
            ..Local::default()
        };
        let local = LocalReference::new(Some(rule), at(0.0));
        assert!(local.active(at(0.0), None, None).is_some());
        assert!(local.active(at(164.0), Some(1e-3), Some(at(100.0))).is_none());
        assert!(local.active(at(250.0), Some(1e-3), Some(at(100.0))).is_some());
    }

    #[test]
    fn a_clock_whose_sources_contradict_each_other_waits_as_after_the_start() {
        let rule = Local {
            wait_unsynced_s: 300.0,
            ..Local::default()
        };
        let local = LocalReference::new(Some(rule), at(0.0));
        assert!(local.active(at(1299.0), None, Some(at(1000.0))).is_none());
        assert!(local.active(at(1300.0), None, Some(at(1000.0))).is_some());
    }
}
