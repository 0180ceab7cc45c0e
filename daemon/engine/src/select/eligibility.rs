//! Which sources may vote: what can be said of a source before it is compared with others' time.

use units::Stratum;

use super::candidate::{Candidate, Options};
use super::rules::Rules;
use super::status::Status;

/// Says why a source may not vote, whatever the others do; `None` if nothing is wrong with it.
fn own_fault(candidate: &Candidate, options: Options, rules: &Rules) -> Option<Status> {
    let is_within = |value: f64, max: f64| value >= 0.0 && value <= max && value.is_finite();
    if options.noselect {
        Some(Status::NoSelect)
    } else if !candidate.is_synchronised {
        Some(Status::Unsynchronised)
    } else if candidate.samples < candidate.samples_needed.max(1) || !candidate.has_usable_numbers() {
        Some(Status::MissingSamples)
    } else if candidate.stratum < rules.stratum_min || candidate.stratum > rules.stratum_max {
        Some(Status::StratumOutOfRange)
    } else if !is_within(candidate.root_distance_s, rules.distance_max_s) {
        Some(Status::TooDistant)
    } else if !is_within(candidate.jitter_s, rules.jitter_max_s) {
        Some(Status::Jittery)
    } else {
        None
    }
}

/// Sorts out who may not vote; the others have `None`.
pub(super) fn examine(candidates: &[Candidate], options: &[Options], rules: &Rules) -> Vec<Option<Status>> {
    let mut statuses: Vec<_> = candidates
        .iter()
        .zip(options)
        .map(|(candidate, &options)| own_fault(candidate, options, rules))
        .collect();
    retire_stale(candidates, &mut statuses);
    if let Some(stratum) = rules.orphan_stratum {
        set_orphans_aside(candidates, &mut statuses, stratum);
    }
    statuses
}

/// An unreachable source may stay as long as it has samples from the time that reachable ones can tell about,
/// and has not been unreachable for too many polls. When none is reachable none may stay.
fn retire_stale(candidates: &[Candidate], statuses: &mut [Option<Status>]) {
    let memory_s = candidates
        .iter()
        .zip(&*statuses)
        .filter(|(candidate, status)| status.is_none() && candidate.is_reachable())
        .map(|(candidate, _)| candidate.oldest_sample_age_s)
        .fold(f64::NEG_INFINITY, f64::max);
    for (candidate, status) in candidates.iter().zip(statuses) {
        let is_recent = candidate.last_sample_age_s <= memory_s
            && candidate.polls_unreachable <= candidate.polls_unreachable_max;
        if status.is_none() && !candidate.is_reachable() && !is_recent {
            *status = Some(Status::Stale);
        }
    }
}

/// Sources that seem to serve their own time are ignored, unless there is nothing else. Then the one of exactly
/// this stratum with the smallest reference id leads: all the others follow it, and it follows nobody. Whoever is
/// above this stratum follows a leader already, perhaps us.
fn set_orphans_aside(candidates: &[Candidate], statuses: &mut [Option<Status>], stratum: Stratum) {
    let voters = candidates
        .iter()
        .zip(&*statuses)
        .filter(|(_, status)| status.is_none());
    let is_orphaned = voters.clone().all(|(candidate, _)| candidate.stratum >= stratum);
    let leader = voters
        .map(|(candidate, _)| candidate)
        .filter(|candidate| is_orphaned && candidate.stratum == stratum)
        .min_by_key(|candidate| (candidate.reference_id, candidate.id))
        .filter(|leader| {
            leader
                .our_reference_id
                .is_some_and(|ours| leader.reference_id < ours)
        })
        .map(|leader| leader.id);
    for (candidate, status) in candidates.iter().zip(statuses) {
        if status.is_none() && candidate.stratum >= stratum && leader != Some(candidate.id) {
            *status = Some(Status::Orphan);
        }
    }
}

/// Whether a source will likely have enough samples with its next poll.
pub(super) fn is_nearly_ready(candidate: &Candidate, status: Option<Status>) -> bool {
    status == Some(Status::MissingSamples)
        && candidate.is_online
        && candidate.samples > 0
        && candidate.samples + 1 == candidate.samples_needed
        && candidate.reach & 1 != 0
        && candidate.has_usable_numbers()
}
