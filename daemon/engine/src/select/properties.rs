//! What holds for any sources, however broken.

use proptest::prelude::*;
use units::{Leap, Stratum};

use super::situations::{name, source, statuses};
use super::*;

/// Numbers as broken sources have them.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -2.0..2.0_f64,
        2 => Just(0.0),
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0]),
    ]
}

prop_compose! {
    fn options()(bits in 0..16_u8) -> Options {
        Options {
            noselect: bits & 1 != 0,
            prefer: bits & 2 != 0,
            trust: bits & 4 != 0,
            require: bits & 8 != 0,
        }
    }
}

/// A source of which a few things are anything.
fn broken() -> impl Strategy<Value = Candidate> {
    let plausible = (-1e-3..1e-3_f64, 1e-4..1e-2_f64, 0..4_u8);
    let breaks = prop::collection::vec((0..20_u8, number(), any::<u8>()), 0..3);
    (plausible, options(), breaks).prop_map(|((offset_s, root_distance_s, leap), options, breaks)| {
        let mut candidate = Candidate {
            offset_s,
            root_distance_s,
            leap: Leap::from_bits(leap),
            ..source(0)
        };
        for (field, value, byte) in breaks {
            let flag = byte & 1 != 0;
            match field {
                0 => candidate.last_sample_age_s = value,
                1 => candidate.oldest_sample_age_s = value,
                2 => candidate.offset_s = value,
                3 => candidate.offset_error_s = value,
                4 => candidate.frequency = value,
                5 => candidate.frequency_error = value,
                6 => candidate.jitter_s = value,
                7 => candidate.root_delay_s = value,
                8 => candidate.root_dispersion_s = value,
                9 => candidate.root_distance_s = value,
                10 => candidate.options = options,
                11 => {
                    candidate.origin = if flag {
                        Origin::Authenticated
                    } else {
                        Origin::ReferenceClock
                    }
                }
                12 => candidate.is_online = flag,
                13 => candidate.reach = byte & 0xf0,
                14 => candidate.polls = byte & 7,
                15 => candidate.polls_unreachable_max = 0,
                16 => candidate.samples = usize::from(byte & 3),
                17 => candidate.has_new_sample = flag,
                18 => candidate.stratum = Stratum(byte),
                _ => candidate.is_synchronised = flag,
            }
        }
        candidate
    })
}

/// Gives each its own id.
fn numbered(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for (candidate, id) in candidates.iter_mut().zip(1..) {
        candidate.id = id;
        candidate.reference_id = units::ReferenceId(id);
    }
    candidates
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        0..4_usize,
        prop::sample::select(vec![None, Some(Stratum(5))]),
        number(),
        number(),
    )
        .prop_map(
            |(sources_min, orphan_stratum, combine_limit, reselect_distance_s)| Rules {
                sources_min,
                orphan_stratum,
                combine_limit,
                reselect_distance_s,
                ..Rules::default()
            },
        )
}

proptest! {
    #[test]
    fn nothing_broken_panics_or_wins(
        runs in prop::collection::vec(prop::collection::vec(broken(), 0..9), 1..6),
        rules in rules(),
    ) {
        let mut selector = Selector::new();
        for candidates in runs {
            let candidates = numbered(candidates);
            let selection = selector.select(&candidates, &rules, &name);
            prop_assert_eq!(selection.verdicts.len(), candidates.len());
            let best = selection.verdicts.iter().position(|verdict| verdict.status == Status::Best);
            prop_assert_eq!(best, selection.best);
            prop_assert_eq!(selection.combined.is_some(), best.is_some());
            prop_assert_eq!(selector.selected(), best.map(|best| candidates[best].id));
            let used = selection.verdicts.iter().filter(|verdict| verdict.status.is_used()).count();
            prop_assert_eq!(selection.combined.map_or(0, |combined| combined.sources), used);
            for (candidate, verdict) in candidates.iter().zip(&selection.verdicts) {
                prop_assert!((1.0..=SCORE_TO_RESELECT).contains(&verdict.score));
                if verdict.status.is_selectable() {
                    prop_assert!(candidate.offset_s.is_finite() && candidate.root_distance_s <= 3.0);
                }
            }
            if let Some(combined) = selection.combined {
                prop_assert!(combined.offset_s.is_finite() && combined.offset_error_s >= 0.0);
                prop_assert!(combined.frequency.is_finite() && combined.frequency_error >= 0.0);
            }
        }
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter(
        candidates in prop::collection::vec(broken(), 1..9),
        rules in rules(),
        seed in any::<prop::sample::Index>(),
    ) {
        let candidates = numbered(candidates);
        let mut turned = candidates.clone();
        turned.rotate_left(seed.index(candidates.len()));
        if seed.index(2) == 0 {
            turned.reverse();
        }
        let (mut one, mut other) = (Selector::new(), Selector::new());
        let by_id = |candidates: &[Candidate], selection: &Selection| -> Vec<_> {
            candidates.iter().map(|candidate| candidate.id).zip(statuses(selection).chars()).collect()
        };
        for _ in 0..3 {
            let (first, second) = (one.select(&candidates, &rules, &name), other.select(&turned, &rules, &name));
            let mut expected = by_id(&candidates, &first);
            let mut seen = by_id(&turned, &second);
            prop_assert_eq!(first.combined, second.combined);
            expected.sort_unstable();
            seen.sort_unstable();
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn who_contradicts_a_true_majority_is_not_followed(
        honest in prop::collection::vec((1e-4..0.5_f64, -1.0..1.0_f64), 2..8),
        liars in prop::collection::vec((-2.0..2.0_f64, 1e-4..0.5_f64), 0..7),
        prefer in any::<u16>(),
    ) {
        // The truth is 0; an honest source is wrong by at most its distance.
        let truths: Vec<_> = honest.iter().map(|&(distance_s, part)| (distance_s * part, distance_s)).collect();
        let lies: Vec<_> = liars.into_iter().take(truths.len() - 1).collect();
        let candidates: Vec<_> = truths
            .iter()
            .chain(&lies)
            .enumerate()
            .map(|(place, &(offset_s, root_distance_s))| {
                let options = Options { prefer: prefer >> place & 1 != 0, ..Options::default() };
                Candidate { offset_s, root_distance_s, options, ..source(0) }
            })
            .collect();
        let candidates = numbered(candidates);
        let selection = Selector::new().select(&candidates, &Rules::default(), &name);
        prop_assert!(selection.best.is_some(), "{}", statuses(&selection));
        for (candidate, verdict) in candidates.iter().zip(&selection.verdicts) {
            let overlaps = |&(offset_s, distance_s): &(f64, f64)| {
                (offset_s - candidate.offset_s).abs() <= distance_s + candidate.root_distance_s + 1e-9
            };
            prop_assert!(!verdict.status.is_used() || truths.iter().any(overlaps), "{}", statuses(&selection));
        }
    }
}

#[test]
fn a_thousand_sources_are_no_trouble() {
    let candidates = numbered(vec![source(0); 1000]);
    let mut selector = Selector::new();
    for _ in 0..3 {
        let selection = selector.select(&candidates, &Rules::default(), &name);
        assert_eq!(selection.combined.map(|combined| combined.sources), Some(1000));
        assert_eq!(selection.best, Some(0));
    }
}

#[test]
fn two_sources_with_one_id_do_no_harm() {
    let selection = Selector::new().select(&[source(1), source(1)], &Rules::default(), &name);
    assert_eq!(selection.verdicts.len(), 2);
    assert!(selection.best.is_some());
}
