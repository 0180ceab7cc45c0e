//! Situations an operator would recognise, and what becomes of each source in them.

use units::{Leap, ReferenceId, Stratum};

use super::*;

/// What the log calls a source.
pub(super) fn name(id: u32) -> String {
    format!("192.168.123.{id}")
}

/// A source that nothing is wrong with, 1 ms away.
pub(super) fn source(id: u32) -> Candidate {
    Candidate {
        id,
        options: Options::default(),
        origin: Origin::Unauthenticated,
        is_online: true,
        reach: 0xff,
        polls: 8,
        polls_unreachable: 0,
        polls_unreachable_max: 100_000,
        samples: 8,
        samples_needed: 3,
        has_new_sample: true,
        last_sample_age_s: 0.0,
        oldest_sample_age_s: 500.0,
        stratum: Stratum(2),
        leap: Leap::Normal,
        is_synchronised: true,
        reference_id: ReferenceId(0xc0a8_7b00 + id),
        our_reference_id: Some(ReferenceId(0xc0a8_7b80)),
        offset_s: 0.0,
        offset_error_s: 1e-5,
        frequency: 0.0,
        frequency_error: 1e-8,
        jitter_s: 5e-5,
        root_delay_s: 1e-3,
        root_dispersion_s: 5e-4,
        root_distance_s: 1e-3,
        vote_margin_s: 0.0,
        waiting_growth_s: 0.0,
    }
}

pub(super) fn with(id: u32, change: impl FnOnce(&mut Candidate)) -> Candidate {
    let mut candidate = source(id);
    change(&mut candidate);
    candidate
}

pub(super) fn far(id: u32, distance_s: f64) -> Candidate {
    with(id, |source| source.root_distance_s = distance_s)
}

pub(super) fn wrong(id: u32, offset_s: f64) -> Candidate {
    with(id, |source| source.offset_s = offset_s)
}

fn never_heard(id: u32) -> Candidate {
    with(id, |source| {
        (source.reach, source.samples, source.leap) = (0, 0, Leap::Unsynchronised);
        source.has_new_sample = false;
    })
}

pub(super) fn lost(id: u32, polls: u32) -> Candidate {
    with(id, |source| {
        (source.reach, source.polls_unreachable, source.has_new_sample) = (0, polls, false);
        (source.last_sample_age_s, source.oldest_sample_age_s) = (600.0, 3000.0);
    })
}

pub(super) fn stale(mut candidate: Candidate) -> Candidate {
    candidate.has_new_sample = false;
    candidate
}

fn opted(mut candidate: Candidate, options: &str) -> Candidate {
    candidate.options = Options {
        noselect: options.contains('N'),
        prefer: options.contains('P'),
        trust: options.contains('T'),
        require: options.contains('R'),
    };
    candidate
}

pub(super) fn statuses(selection: &Selection) -> String {
    selection
        .verdicts
        .iter()
        .map(|verdict| verdict.status.character())
        .collect()
}

pub(super) fn texts(selection: &Selection) -> Vec<&str> {
    selection
        .messages
        .iter()
        .map(|message| message.text.as_str())
        .collect()
}

/// The first run of a selector over these sources.
fn check(rules: &Rules, candidates: &[Candidate], expected: &str, messages: &[&str]) {
    let selection = Selector::new().select(candidates, rules, &name);
    assert_eq!(statuses(&selection), expected, "{candidates:#?}");
    assert_eq!(texts(&selection), messages, "{candidates:#?}");
    assert_eq!(selection.best.is_some(), expected.contains('*'));
    assert_eq!(selection.combined.is_some(), selection.best.is_some());
    assert!(selection.best.is_none() || selection.failure.is_none());
}

pub(super) const FIRST: &str = "Selected source 192.168.123.1";

#[test]
fn good_sources_are_followed_together() {
    let rules = Rules::default();
    check(&rules, &[], "", &[]);
    check(&rules, &[source(1)], "*", &[FIRST]);
    check(&rules, &[source(1), source(2), source(3)], "*++", &[FIRST]);
    check(&rules, &[far(2, 2e-3), source(1)], "+*", &[FIRST]);
    check(&rules, &[source(1), far(2, 5e-3)], "*D", &[FIRST]);
    check(
        &Rules {
            combine_limit: 0.0,
            ..rules
        },
        &[source(1), source(2)],
        "*D",
        &[FIRST],
    );
    // a stratum counts as distance
    check(
        &rules,
        &[with(2, |s| s.stratum = Stratum(3)), far(1, 1.9e-3)],
        "+*",
        &[FIRST],
    );
    let no_weight = Rules {
        stratum_weight_s: 0.0,
        ..rules
    };
    check(
        &no_weight,
        &[with(1, |s| s.stratum = Stratum(3)), far(2, 1.9e-3)],
        "*+",
        &[FIRST],
    );
}

#[test]
fn sources_with_a_fault_of_their_own_do_not_vote() {
    let rules = Rules {
        stratum_min: Stratum(2),
        stratum_max: Stratum(5),
        ..Rules::default()
    };
    let faulty = [
        (opted(source(2), "N"), 'N'),
        (with(2, |s| s.is_synchronised = false), 's'),
        (never_heard(2), 'M'),
        (with(2, |s| s.samples = 1), 'M'),
        (with(2, |s| (s.samples, s.samples_needed) = (0, 0)), 'M'),
        (with(2, |s| s.stratum = Stratum(1)), 'r'),
        (with(2, |s| s.stratum = Stratum(6)), 'r'),
        (far(2, 3.1), 'd'),
        (with(2, |s| s.jitter_s = 1.1), '~'),
        (with(2, |s| s.offset_s = f64::NAN), 'M'),
        (with(2, |s| s.offset_error_s = f64::INFINITY), 'M'),
        (with(2, |s| s.root_delay_s = f64::NAN), 'M'),
        (with(2, |s| s.root_dispersion_s = -1.0), 'M'),
        (far(2, f64::NAN), 'd'),
        (far(2, f64::INFINITY), 'd'),
        (far(2, -1.0), 'd'),
        (with(2, |s| s.jitter_s = f64::NAN), '~'),
    ];
    for (candidate, character) in faulty {
        check(
            &rules,
            &[candidate, source(1)],
            &format!("{character}*"),
            &[FIRST],
        );
    }
}

#[test]
fn who_is_false_is_said_again_beside_the_selected_source() {
    let mut selector = Selector::new();
    let rules = Rules {
        sources_min: 3,
        ..Rules::default()
    };
    let told = "Detected falseticker 192.168.123.1";
    let mut lines = Vec::new();
    for count in [2, 3, 3, 3] {
        let mut candidates = vec![wrong(1, 1.0), source(2), source(3), source(4)];
        candidates.truncate(count + 1);
        let selection = selector.select(&candidates, &rules, &name);
        lines.push(selection.messages.iter().any(|message| message.text == told));
    }
    assert_eq!(lines, [true, false, true, false]);
}

#[test]
fn equal_sources_do_not_take_turns_while_they_wait_for_samples() {
    let mut selector = Selector::new();
    let rules = Rules::default();
    let waiting = |id, age_s: f64| {
        with(id, |source| {
            (source.last_sample_age_s, source.waiting_growth_s) = (age_s, 1e-6 * age_s);
            source.root_distance_s = 1e-4 + source.waiting_growth_s;
            source.has_new_sample = age_s == 0.0;
        })
    };
    let mut selected = Vec::new();
    for round in 0..20 {
        let (a, b) = if round % 2 == 0 {
            (0.0, 512.0)
        } else {
            (512.0, 0.0)
        };
        selected.push(
            selector
                .select(&[waiting(1, a), waiting(2, b)], &rules, &name)
                .best,
        );
    }
    assert!(selected.iter().all(|best| *best == selected[0]), "{selected:?}");
}

#[test]
fn a_majority_outvotes_falsetickers() {
    let rules = Rules::default();
    let good = || [source(4), source(5), source(3)];
    let four = "Selected source 192.168.123.3";
    let told = |id: u32| format!("Detected falseticker 192.168.123.{id}");
    let [a, b, c] = good();
    check(&rules, &[wrong(1, 1.0), a, b, c], "x++*", &[&told(1), four]);
    let [a, b, c] = good();
    check(
        &rules,
        &[wrong(1, 1.0), wrong(2, 2.0), a, b, c],
        "xx++*",
        &[&told(1), &told(2), four],
    );
    let majority_lost = "Can't synchronise: no majority (only 2 of 5 sources agree)";
    let [a, b, _] = good();
    check(
        &rules,
        &[wrong(1, 1.0), wrong(2, 2.0), wrong(3, 3.0), a, b],
        "xxxxx",
        &[majority_lost],
    );
    let nobody = "Can't synchronise: no majority (no agreement among 2 sources)";
    check(&rules, &[wrong(1, 1.0), source(2)], "xx", &[nobody]);
    // Two groups of two share the middle one: only that is sure to be among the majority.
    let wide = |id: u32, offset_s| with(id, |s| (s.offset_s, s.root_distance_s) = (offset_s, 0.6));
    check(
        &rules,
        &[wide(1, 1.0), wide(2, 2.0), opted(wide(3, 0.0), "P")],
        "*xx",
        &[&told(2), &told(3), FIRST],
    );
}

#[test]
fn trusted_sources_bound_the_others() {
    let rules = Rules::default();
    let told = |id: u32| format!("Detected falseticker 192.168.123.{id}");
    let one = opted(wrong(1, 1.0), "T");
    check(
        &rules,
        &[one, source(2), source(3)],
        "*xx",
        &[&told(2), &told(3), FIRST],
    );
    let trusted = || opted(source(1), "T");
    check(&rules, &[trusted(), wrong(2, 5e-4)], "*T", &[FIRST]);
    check(
        &rules,
        &[opted(far(1, 2e-3), "T"), far(2, 1e-3)],
        "+*",
        &["Selected source 192.168.123.2"],
    );
    let nobody = "Can't synchronise: no majority (no agreement among 2 trusted sources)";
    check(
        &rules,
        &[trusted(), opted(wrong(2, 1.0), "T"), source(3)],
        "xxx",
        &[nobody],
    );
}

#[test]
fn the_clock_waits_for_the_sources_asked_for() {
    let three = Rules {
        sources_min: 3,
        ..Rules::default()
    };
    let few = "Can't synchronise: not enough selectable sources";
    check(&three, &[source(1), source(2)], "WW", &[few]);
    check(&three, &[with(1, |s| s.polls = 5), source(2)], "WW", &[]);
    check(
        &three,
        &[with(1, |s| s.polls = 5), source(2), source(3)],
        "*++",
        &[FIRST],
    );
    let rules = Rules::default();
    let none = "Can't synchronise: no required source in selectable sources";
    check(&rules, &[opted(source(1), "NR"), source(2)], "NW", &[none]);
    check(&rules, &[opted(never_heard(1), "R"), source(2)], "MW", &[none]);
    check(&rules, &[opted(source(1), "R"), source(2)], "*+", &[FIRST]);
    let false_one = opted(wrong(1, 1.0), "R");
    let told = "Detected falseticker 192.168.123.1";
    check(&rules, &[false_one, source(2), source(3)], "xWW", &[told, none]);
}

#[test]
fn preferred_sources_win_among_truechimers_only() {
    let rules = Rules::default();
    check(
        &rules,
        &[opted(far(1, 0.5), "P"), source(2), source(3)],
        "*PP",
        &[FIRST],
    );
    check(
        &rules,
        &[opted(source(1), "P"), source(2), opted(far(3, 2e-3), "P")],
        "*P+",
        &[FIRST],
    );
    let told = "Detected falseticker 192.168.123.3";
    check(
        &rules,
        &[source(1), source(2), opted(wrong(3, 1.0), "P")],
        "*+x",
        &[told, FIRST],
    );
}

#[test]
fn authenticated_sources_are_trusted_where_others_are_mixed_in() {
    let signed = |id: u32, offset_s| with(id, |s| (s.origin, s.offset_s) = (Origin::Authenticated, offset_s));
    let sources = || [signed(1, 1.0), source(2), source(3)];
    let told = [
        "Detected falseticker 192.168.123.2",
        "Detected falseticker 192.168.123.3",
        FIRST,
    ];
    let mode = |auth_mode| Rules {
        auth_mode,
        ..Rules::default()
    };
    check(&mode(AuthMode::Mix), &sources(), "*xx", &told);
    check(&mode(AuthMode::Require), &sources(), "*NN", &[FIRST]);
    check(&mode(AuthMode::Prefer), &sources(), "*NN", &[FIRST]);
    let ignored = [
        "Detected falseticker 192.168.123.1",
        "Selected source 192.168.123.2",
    ];
    check(&mode(AuthMode::Ignore), &sources(), "x*+", &ignored);
}

#[test]
fn orphans_follow_the_one_with_the_smallest_id() {
    let rules = Rules {
        orphan_stratum: Some(Stratum(5)),
        ..Rules::default()
    };
    let orphan = |id: u32, stratum| with(id, |s| s.stratum = Stratum(stratum));
    check(
        &rules,
        &[orphan(2, 5), orphan(1, 5), orphan(3, 6)],
        "O*O",
        &[FIRST],
    );
    check(&rules, &[orphan(2, 5), source(1)], "O*", &[FIRST]);
    check(&rules, &[orphan(2, 6), orphan(3, 6)], "OO", &[]);
    // we are the smallest
    let after_us = with(200, |s| s.stratum = Stratum(5));
    check(&rules, &[after_us], "O", &[]);
    check(
        &rules,
        &[with(1, |s| (s.stratum, s.our_reference_id) = (Stratum(5), None))],
        "O",
        &[],
    );
}

#[test]
fn unreachable_sources_stay_while_their_samples_are_recent() {
    let rules = Rules::default();
    let late = with(2, |s| s.oldest_sample_age_s = 700.0);
    check(&rules, &[lost(1, 3), late.clone()], "*+", &[FIRST]);
    check(
        &rules,
        &[lost(1, 3), source(2)],
        "S*",
        &["Selected source 192.168.123.2"],
    );
    let given_up = with(1, |s| {
        (s.reach, s.last_sample_age_s) = (0, 600.0);
        (s.polls_unreachable, s.polls_unreachable_max) = (11, 10);
    });
    check(
        &rules,
        &[given_up, late],
        "S*",
        &["Selected source 192.168.123.2"],
    );
    let nothing = "Can't synchronise: no selectable sources (2 unreachable sources)";
    check(
        &rules,
        &[lost(1, 3), never_heard(2), opted(never_heard(3), "N")],
        "SMN",
        &[nothing],
    );
    check(
        &rules,
        &[with(1, |s| (s.reach, s.polls, s.samples) = (0, 7, 0))],
        "M",
        &[],
    );
    let offline = |id: u32| {
        with(id, |s| {
            (s.reach, s.polls, s.samples, s.is_online) = (0, 0, 0, false);
        })
    };
    check(&rules, &[offline(1), offline(2)], "MM", &[]);
    check(&rules, &[opted(source(1), "N")], "N", &[]);
}

#[test]
fn sources_are_averaged_by_what_they_are_worth() {
    let rules = Rules::default();
    let combined = |candidates: &[Candidate]| {
        Selector::new()
            .select(candidates, &rules, &name)
            .combined
            .unwrap()
    };
    let two = combined(&[wrong(1, 1e-4), wrong(2, 3e-4)]);
    assert!((two.offset_s - 2e-4).abs() < 1e-12, "{two:?}");
    assert_eq!(two.sources, 2);
    let four = combined(&[source(1), source(2), source(3), source(4)]);
    assert!((four.offset_error_s - 0.5e-5).abs() < 1e-12, "{four:?}");
    assert!((four.frequency_error - 0.5e-8).abs() < 1e-15, "{four:?}");
    // sources that differ more than they should make the mean worse
    let apart = combined(&[wrong(1, -2.8e-4), wrong(2, 2.8e-4)]);
    assert!(
        apart.offset_error_s > 1.5 * combined(&[source(1), source(2)]).offset_error_s,
        "{apart:?}"
    );
    // a quiet source that is farther away counts less
    let near_and_far = combined(&[
        with(1, |s| s.offset_s = 1e-4),
        with(2, |s| s.root_distance_s = 2.5e-3),
    ]);
    assert!(near_and_far.offset_s > 0.8e-4, "{near_and_far:?}");
    // the root of the best
    let best = combined(&[
        far(1, 2e-3),
        with(2, |s| (s.root_delay_s, s.root_dispersion_s) = (7e-4, 3e-4)),
    ]);
    assert_eq!((best.root_delay_s, best.root_dispersion_s), (7e-4, 3e-4));
    // an error whose square is no number
    let vast = combined(&[with(1, |s| (s.offset_s, s.offset_error_s) = (0.25, 1e200))]);
    assert_eq!((vast.offset_s, vast.offset_error_s), (0.25, 1e200));
    // frequencies that are none
    let unknown = combined(&[with(1, |s| s.frequency = f64::NAN)]);
    assert_eq!((unknown.frequency, unknown.frequency_error), (0.0, f64::INFINITY));
}

#[test]
fn outliers_are_not_averaged() {
    let rules = Rules::default();
    // 0.6 ms off with 1 ms of distance: possible, but not likely
    check(&rules, &[source(1), source(2), wrong(3, 6e-4)], "*+L", &[FIRST]);
    check(
        &rules,
        &[source(1), with(2, |s| s.frequency = 1e-6)],
        "*L",
        &[FIRST],
    );
    check(
        &rules,
        &[source(1), with(2, |s| s.frequency = 1e-7)],
        "*+",
        &[FIRST],
    );
    check(
        &rules,
        &[
            source(1),
            with(2, |s| (s.frequency, s.frequency_error) = (1e-6, 1e-6)),
        ],
        "*+",
        &[FIRST],
    );
}

#[test]
fn most_sources_or_most_trusted_ones_announce_a_leap_second() {
    let rules = Rules::default();
    let leap = |candidates: &[Candidate]| {
        Selector::new()
            .select(candidates, &rules, &name)
            .combined
            .unwrap()
            .leap
    };
    let inserting = |id: u32| with(id, |s| s.leap = Leap::Insert);
    assert_eq!(leap(&[inserting(1)]), Leap::Insert);
    assert_eq!(leap(&[inserting(1), source(2)]), Leap::Normal);
    assert_eq!(leap(&[inserting(1), source(2), inserting(3)]), Leap::Insert);
    assert_eq!(leap(&[with(1, |s| s.leap = Leap::Delete)]), Leap::Delete);
    let trusted = opted(far(1, 2e-3), "T");
    assert_eq!(leap(&[trusted, inserting(2), inserting(3)]), Leap::Normal);
}

#[test]
fn reports_show_limits_with_chronys_sign() {
    let never_selected = opted(wrong(3, 0.1), "N");
    let selection = Selector::new().select(
        &[wrong(1, 0.1), never_heard(2), never_selected],
        &Rules::default(),
        &name,
    );
    let [first, second, third] = selection.verdicts.as_slice() else {
        panic!("{selection:?}")
    };
    assert!((first.low_s + 0.101).abs() < 1e-9 && (first.high_s + 0.099).abs() < 1e-9);
    let corrected = first.after(0.1);
    assert!((corrected.low_s + 0.001).abs() < 1e-9 && (corrected.high_s - 0.001).abs() < 1e-9);
    assert_eq!(
        (third.after(0.1).low_s, third.high_s, third.status),
        (0.0, 0.0, Status::NoSelect)
    );
    assert_eq!(
        (second.low_s, second.high_s, second.status),
        (0.0, 0.0, Status::MissingSamples)
    );
}
