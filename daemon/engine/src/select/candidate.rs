//! One source as the selection sees it.

use units::{Leap, ReferenceId, Stratum};

/// What an operator asked of a source, or what [`AuthMode`] made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// Only watched, never followed.
    pub noselect: bool,
    /// Followed rather than sources without this option.
    pub prefer: bool,
    /// Only sources with this option can outvote it.
    pub trust: bool,
    /// The clock is touched only while a source with this option is selectable.
    pub require: bool,
}

/// What vouches for the time of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// An NTP source without authentication.
    #[default]
    Unauthenticated,
    /// An NTP source with a key or with NTS.
    Authenticated,
    /// A clock of this host: nobody can come between.
    ReferenceClock,
}

/// How authentication changes the options of sources (`authselectmode`). Sources with `noselect` do not count
/// and are not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AuthMode {
    /// NTP sources without authentication are never selected.
    Require,
    /// They are never selected once there is an authenticated one.
    Prefer,
    /// Where there are both, authenticated ones and reference clocks become `require` and `trust`.
    #[default]
    Mix,
    /// It changes nothing.
    Ignore,
}

impl AuthMode {
    /// Returns the effective options of all sources, in their order, from the configured ones.
    #[must_use]
    pub fn effective_options(self, sources: impl Iterator<Item = (Options, Origin)> + Clone) -> Vec<Options> {
        let has = |wanted: Origin| {
            sources
                .clone()
                .any(|(options, origin)| !options.noselect && origin == wanted)
        };
        let has_authenticated = has(Origin::Authenticated);
        let is_mixed = has_authenticated && has(Origin::Unauthenticated);
        sources
            .map(|(mut options, origin)| {
                let is_open = origin == Origin::Unauthenticated;
                if options.noselect {
                    return options;
                }
                match self {
                    Self::Require => options.noselect = is_open,
                    Self::Prefer => options.noselect = is_open && has_authenticated,
                    Self::Mix if is_mixed && !is_open => {
                        options.require = true;
                        options.trust = true;
                    }
                    Self::Mix | Self::Ignore => {}
                }
                options
            })
            .collect()
    }
}

/// One source at the moment of the selection. Everything that grows with age has been grown to that moment.
///
/// Numbers may be anything a broken source or a division by zero makes of them: one that is not finite, or
/// negative where it cannot be, keeps the source from being selected and does no other harm.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Tells it from the others as long as it exists, whatever its place in the list.
    pub id: u32,
    /// The options it was configured with, or that were changed since.
    pub options: Options,
    /// What vouches for it.
    pub origin: Origin,
    /// Whether it is being asked.
    pub is_online: bool,
    /// The reachability register: a 1 for each of the last 8 requests that was answered, newest in bit 0.
    pub reach: u8,
    /// How many requests the register has seen, 0…8; stays at 8.
    pub polls: u8,
    /// Requests without an answer since the register became empty, the one that emptied it included; 0 while it
    /// is not empty.
    pub polls_unreachable: u32,
    /// With more [`polls_unreachable`](Self::polls_unreachable) than these it is given up (`maxunreach`).
    pub polls_unreachable_max: u32,
    /// How many samples its estimate is made of.
    pub samples: usize,
    /// How many it takes to be selectable, at least 1.
    pub samples_needed: usize,
    /// Whether a sample came since the last run of the selection.
    pub has_new_sample: bool,
    /// The age of its newest sample, seconds.
    pub last_sample_age_s: f64,
    /// The age of its oldest sample, seconds.
    pub oldest_sample_age_s: f64,
    /// Its stratum, raised to the `minstratum` of the source.
    pub stratum: Stratum,
    /// What it announces.
    pub leap: Leap,
    /// Whether it tells time: false only while it has no samples and its last answer says that it is not synchronised.
    pub is_synchronised: bool,
    /// What it is called as a reference; decides among orphans.
    pub reference_id: ReferenceId,
    /// What we are called by those who ask us where it does (our address on the way to it); `None` if unknown.
    pub our_reference_id: Option<ReferenceId>,
    /// True time − system clock, seconds: positive when the local clock is behind.
    pub offset_s: f64,
    /// The standard deviation of [`offset_s`](Self::offset_s), seconds.
    pub offset_error_s: f64,
    /// Change of (true time − oscillator) per second: positive when the oscillator is slow.
    pub frequency: f64,
    /// The standard deviation of [`frequency`](Self::frequency).
    pub frequency_error: f64,
    /// The standard deviation of its samples, seconds.
    pub jitter_s: f64,
    /// The round trip to the primary reference, seconds.
    pub root_delay_s: f64,
    /// What the clocks on the way may have drifted, seconds.
    pub root_dispersion_s: f64,
    /// The most it can be wrong by, seconds: half the root delay and the dispersion, the error of the estimate
    /// and what the clock may have drifted since the newest sample included.
    pub root_distance_s: f64,
    /// How much wider its interval is in the vote, seconds: by how far its newest sample is from what is believed of it, and what
    /// its newest samples allow its frequency to be wrong by since then. Those of a burst say little of a minute later.
    pub vote_margin_s: f64,
    /// The part of [`root_distance_s`](Self::root_distance_s) by which it has grown since the newest sample, as long as
    /// no other was due, seconds.
    pub waiting_growth_s: f64,
}

impl Candidate {
    /// Whether any of the last 8 requests was answered.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        self.reach != 0
    }

    /// Whether its offset, and what is passed on of its root, can be calculated with.
    pub(super) fn has_usable_numbers(&self) -> bool {
        let magnitudes = [self.offset_error_s, self.root_delay_s, self.root_dispersion_s];
        self.offset_s.is_finite() && magnitudes.into_iter().all(is_magnitude)
    }

    /// Whether its frequency can be calculated with.
    pub(super) fn has_usable_frequency(&self) -> bool {
        self.frequency.is_finite() && is_magnitude(self.frequency_error)
    }
}

/// Whether a length is one: finite and not negative.
fn is_magnitude(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Options = Options {
        noselect: false,
        prefer: false,
        trust: false,
        require: false,
    };
    const NEVER: Options = Options {
        noselect: true,
        ..PLAIN
    };
    const VOUCHED: Options = Options {
        trust: true,
        require: true,
        ..PLAIN
    };

    fn check(mode: AuthMode, sources: &[(Options, Origin)], expected: &[Options]) {
        assert_eq!(
            mode.effective_options(sources.iter().copied()),
            expected,
            "{mode:?} {sources:?}"
        );
    }

    #[test]
    fn authentication_changes_options_as_the_mode_says() {
        use Origin::{Authenticated, ReferenceClock, Unauthenticated};
        let mixed = [
            (PLAIN, Authenticated),
            (PLAIN, Unauthenticated),
            (PLAIN, ReferenceClock),
        ];
        check(AuthMode::Require, &mixed, &[PLAIN, NEVER, PLAIN]);
        check(AuthMode::Prefer, &mixed, &[PLAIN, NEVER, PLAIN]);
        check(AuthMode::Mix, &mixed, &[VOUCHED, PLAIN, VOUCHED]);
        check(AuthMode::Ignore, &mixed, &[PLAIN, PLAIN, PLAIN]);

        let open = [(PLAIN, Unauthenticated), (PLAIN, ReferenceClock)];
        check(AuthMode::Require, &open, &[NEVER, PLAIN]);
        check(AuthMode::Prefer, &open, &[PLAIN, PLAIN]);
        check(AuthMode::Mix, &open, &[PLAIN, PLAIN]);
    }

    #[test]
    fn a_source_that_is_only_watched_does_not_count() {
        use Origin::{Authenticated, Unauthenticated};
        let watched = [(NEVER, Authenticated), (PLAIN, Unauthenticated)];
        for mode in [AuthMode::Prefer, AuthMode::Mix, AuthMode::Ignore] {
            check(mode, &watched, &[NEVER, PLAIN]);
        }
        check(
            AuthMode::Mix,
            &[(PLAIN, Authenticated), (NEVER, Unauthenticated)],
            &[PLAIN, NEVER],
        );
        check(AuthMode::Prefer, &[], &[]);
    }
}
