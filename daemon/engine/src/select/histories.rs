//! What the selection remembers: one run after another over the same sources.

use units::Stratum;

use super::situations::{FIRST, far, lost, name, source, stale, statuses, texts, with, wrong};
use super::*;

#[test]
fn the_first_selection_waits_for_one_that_is_nearly_ready_but_not_for_long() {
    let rules = Rules::default();
    let young = |id: u32, samples| with(id, |s| (s.samples, s.polls, s.reach) = (samples, 3, 7));
    let nearly = || stale(young(2, 2));
    let mut selector = Selector::new();
    assert_eq!(
        statuses(&selector.select(&[young(1, 3), nearly()], &rules, &name)),
        "wM"
    );
    assert_eq!(
        statuses(&selector.select(&[stale(young(1, 3)), nearly()], &rules, &name)),
        "wM"
    );
    let mut patient = selector.clone();
    // its sample comes: the better one of the two is selected, whoever was first
    let selection = patient.select(&[stale(young(1, 3)), young(2, 3)], &rules, &name);
    assert_eq!(statuses(&selection), "*+");
    // its sample does not come, but the next one of the source that waits
    assert_eq!(
        statuses(&selector.select(&[young(1, 4), nearly()], &rules, &name)),
        "*M"
    );
    // nobody waits who has somebody to follow
    assert_eq!(
        statuses(&selector.select(&[young(1, 5), nearly()], &rules, &name)),
        "*M"
    );
    // nor for one that misses more than one sample, or its last poll
    assert_eq!(
        statuses(&Selector::new().select(&[young(1, 3), young(2, 1)], &rules, &name)),
        "*M"
    );
    let silent = with(2, |s| (s.samples, s.reach) = (2, 6));
    assert_eq!(
        statuses(&Selector::new().select(&[young(1, 3), silent], &rules, &name)),
        "*M"
    );
}

#[test]
fn another_source_has_to_be_better_for_long() {
    let rules = Rules {
        stratum_weight_s: 0.0,
        ..Rules::default()
    };
    let mut selector = Selector::new();
    assert_eq!(
        statuses(&selector.select(&[source(1), far(2, 2e-3)], &rules, &name)),
        "*+"
    );
    // 2 becomes better: distances of 2 ms and 1.1 ms with the bonus
    let mut runs = 0;
    let selection = loop {
        let selection = selector.select(&[far(1, 2e-3), far(2, 1e-3)], &rules, &name);
        runs += 1;
        if !selection.messages.is_empty() {
            break selection;
        }
        assert_eq!(statuses(&selection), "*+");
        assert!(selection.verdicts[1].score > 1.7 && selection.verdicts[1].score < SCORE_TO_RESELECT);
    };
    assert_eq!((statuses(&selection).as_str(), runs), ("+*", 4));
    assert_eq!(texts(&selection), ["Selected source 192.168.123.2"]);
    assert!((selection.verdicts[0].score - 1.0).abs() < f64::EPSILON);
    // without new samples nothing changes
    for _ in 0..50 {
        let selection = selector.select(&[stale(far(1, 1e-6)), source(2)], &rules, &name);
        assert_eq!(
            (statuses(&selection).as_str(), selection.messages.len()),
            ("+*", 0)
        );
    }
}

#[test]
fn after_reselect_the_best_needs_a_new_sample() {
    let rules = Rules::default();
    let mut selector = Selector::new();
    selector.select(&[source(1), source(2)], &rules, &name);
    selector.reselect();
    let selection = selector.select(&[stale(source(1)), source(2)], &rules, &name);
    assert_eq!(
        (statuses(&selection).as_str(), selection.messages.len()),
        ("UU", 0)
    );
    assert_eq!(
        (selection.best, selection.combined, selection.failure),
        (None, None, None)
    );
    let selection = selector.select(&[source(1), stale(source(2))], &rules, &name);
    assert_eq!(
        (statuses(&selection).as_str(), texts(&selection)),
        ("*+", vec![FIRST])
    );
}

#[test]
fn a_source_that_was_far_away_comes_back_slowly() {
    let rules = Rules::default();
    let mut selector = Selector::new();
    selector.select(&[source(1), far(2, 9e-3)], &rules, &name);
    let seen: String = (0..6)
        .map(|_| {
            statuses(&selector.select(&[source(1), far(2, 2e-3)], &rules, &name))
                .chars()
                .last()
                .unwrap()
        })
        .collect();
    assert_eq!(seen, "DDD+++");
}

#[test]
fn each_thing_is_told_once_until_it_is_over() {
    let rules = Rules {
        jitter_max_s: 1.0,
        ..Rules::default()
    };
    let jittery = || with(2, |s| s.jitter_s = 2.0);
    let told = "Jitter of 192.168.123.2 exceeds maxjitter of 1.000 seconds";
    let mut selector = Selector::new();
    let mut log = Vec::new();
    let mut run = |candidates: &[Candidate]| {
        let selection = selector.select(candidates, &rules, &name);
        log.extend(selection.messages.into_iter().map(|message| message.text));
        log.len()
    };
    assert_eq!(run(&[source(1), jittery()]), 1);
    assert_eq!(run(&[source(1), jittery()]), 1);
    assert_eq!(run(&[source(1), jittery()]), 1);
    assert_eq!(run(&[source(1), stale(jittery())]), 1);
    assert_eq!(run(&[source(1), jittery()]), 2);
    assert_eq!(run(&[source(1), jittery()]), 2);
    assert_eq!(run(&[source(1), source(2), source(3)]), 2);
    assert_eq!(run(&[source(1), source(2), wrong(3, 1.0)]), 3);
    assert_eq!(run(&[source(1), source(2), wrong(3, 1.0)]), 3);
    assert_eq!(run(&[source(1), source(2), source(3)]), 3);
    assert_eq!(run(&[source(1), source(2), wrong(3, 1.0)]), 4);
    assert_eq!(run(&[lost(1, 1), lost(2, 1)]), 5);
    assert_eq!(run(&[lost(1, 2), lost(2, 2)]), 5);
    assert_eq!(run(&[source(1), wrong(2, 1.0)]), 6);
    assert_eq!(run(&[source(1)]), 7);
    assert_eq!(run(&[]), 8);
    let falseticker = "Detected falseticker 192.168.123.3";
    let expected = [
        FIRST,
        told,
        falseticker,
        falseticker,
        "Can't synchronise: no selectable sources (2 unreachable sources)",
        "Can't synchronise: no majority (no agreement among 2 sources)",
        FIRST,
        "Can't synchronise: no selectable sources (0 unreachable sources)",
    ];
    assert_eq!(log, expected);
}

#[test]
fn limits_are_told_in_chronys_words() {
    let rules = Rules {
        stratum_min: Stratum(3),
        stratum_max: Stratum(5),
        ..Rules::default()
    };
    let cases = [
        (
            far(1, 4.0),
            "d",
            "Root distance of 192.168.123.1 exceeds maxdistance of 3.000 seconds",
        ),
        (source(1), "r", "Stratum of 192.168.123.1 below minstratum of 3"),
        (
            with(1, |s| s.stratum = Stratum(6)),
            "r",
            "Stratum of 192.168.123.1 above maxstratum of 5",
        ),
    ];
    for (mut candidate, status, text) in cases {
        if status == "d" {
            candidate.stratum = Stratum(3);
        }
        let mut selector = Selector::new();
        let runs: Vec<_> = (0..10)
            .map(|_| selector.select(std::slice::from_ref(&candidate), &rules, &name))
            .collect();
        assert!(runs.iter().all(|run| statuses(run) == status));
        let told: Vec<_> = runs.iter().flat_map(texts).collect();
        assert_eq!(told, [text]);
        assert_eq!(texts(&runs[3]), [text]);
    }
}
