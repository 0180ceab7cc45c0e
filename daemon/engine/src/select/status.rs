//! How far a source came in the selection, in the characters operators know.

/// Where a source stands after a selection. The order is the way a source goes: a later one is nearer to being
/// followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Status {
    /// `N`: has the option `noselect`.
    NoSelect,
    /// `s`: says that it is not synchronised.
    Unsynchronised,
    /// `M`: has not enough samples; also before the first selection.
    #[default]
    MissingSamples,
    /// `r`: its stratum is outside of `minstratum`…`maxstratum`.
    StratumOutOfRange,
    /// `d`: its root distance exceeds `maxdistance`.
    TooDistant,
    /// `~`: its jitter exceeds `maxjitter`.
    Jittery,
    /// `w`: waits for others to have enough samples.
    WaitingForSamples,
    /// `S`: has only samples older than those of reachable sources, or was unreachable for too long.
    Stale,
    /// `O`: seems to serve its own time.
    Orphan,
    /// `T`: does not fully agree with the trusted sources.
    Untrusted,
    /// `x`: does not agree with the majority.
    Falseticker,
    /// `W`: waits for others to be selectable (`minsources`, `require`).
    WaitingForSources,
    /// `P`: another source is preferred.
    NotPreferred,
    /// `U`: waits for a new sample of the best source.
    WaitingForUpdate,
    /// `D`: is, or recently was, too far away to be combined.
    Distant,
    /// `L`: offset or frequency differ too much from the best source's to be combined.
    Outlier,
    /// `+`: combined with the best.
    Combined,
    /// `*`: the best; the reference.
    Best,
}

impl Status {
    /// Returns the character that reports show.
    #[must_use]
    pub const fn character(self) -> char {
        match self {
            Self::NoSelect => 'N',
            Self::Unsynchronised => 's',
            Self::MissingSamples => 'M',
            Self::StratumOutOfRange => 'r',
            Self::TooDistant => 'd',
            Self::Jittery => '~',
            Self::WaitingForSamples => 'w',
            Self::Stale => 'S',
            Self::Orphan => 'O',
            Self::Untrusted => 'T',
            Self::Falseticker => 'x',
            Self::WaitingForSources => 'W',
            Self::NotPreferred => 'P',
            Self::WaitingForUpdate => 'U',
            Self::Distant => 'D',
            Self::Outlier => 'L',
            Self::Combined => '+',
            Self::Best => '*',
        }
    }

    /// Whether it could be followed as far as it alone is concerned.
    #[must_use]
    pub const fn is_selectable(self) -> bool {
        match self {
            Self::NoSelect
            | Self::Unsynchronised
            | Self::MissingSamples
            | Self::StratumOutOfRange
            | Self::TooDistant
            | Self::Jittery
            | Self::WaitingForSamples
            | Self::Stale
            | Self::Orphan
            | Self::Untrusted
            | Self::Falseticker => false,
            Self::WaitingForSources
            | Self::NotPreferred
            | Self::WaitingForUpdate
            | Self::Distant
            | Self::Outlier
            | Self::Combined
            | Self::Best => true,
        }
    }

    /// Whether the clock follows it.
    #[must_use]
    pub const fn is_used(self) -> bool {
        matches!(self, Self::Combined | Self::Best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_follows_only_what_is_selectable() {
        assert!(Status::Best.is_used() && Status::Best.is_selectable());
        assert!(Status::Combined.is_used() && Status::Combined.is_selectable());
        assert!(!Status::Outlier.is_used() && Status::Outlier.is_selectable());
        assert!(!Status::Falseticker.is_selectable() && Status::WaitingForSources.is_selectable());
        assert_eq!(Status::default().character(), 'M');
    }
}
