//! What a daemon tells of itself beside chrony's command protocol: what decodes is encoded to what decodes to the same, and
//! nothing that a terminal would obey is in it.

use wire::condition::{ANSWER_LENGTH_MAX, Condition, Constraints};

use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "condition",
    check,
    seeds,
    words: || {
        words_of(&[
            "timeballd condition 1\n",
            "steers yes\n",
            "conflict ",
            "conflict-fails yes\n",
            "reloads 4294967295\n",
            "configuration-error ",
            "constraint-offset none\n",
            "constraint-offset -9223372036854775808\n",
            "constraint-refused ",
        ])
    },
};

fn check(bytes: &[u8]) {
    let Some(condition) = Condition::decode(bytes) else {
        return;
    };
    let answer = condition.encode();
    assert!(answer.len() <= ANSWER_LENGTH_MAX);
    let text = condition.text();
    let lines = text.lines().all(|line| !line.contains(char::is_control));
    assert!(lines, "{text:?}");
    assert!(!condition.to_json().to_string().contains(char::is_control));
    assert_eq!(Condition::decode(&answer), Some(condition));
}

fn seeds() -> Vec<Vec<u8>> {
    let usual = Condition {
        steers: true,
        reloads: 2,
        ..Condition::default()
    };
    let troubled = Condition {
        conflict: Some("UDP port 123 is taken".to_owned()),
        conflict_fails: true,
        configuration_error: Some("ntpd.conf:1: syntax error".to_owned()),
        constraints: Some(Constraints {
            offset_s: Some(-3600),
            refused: 7,
        }),
        weights: [("ntp.example".to_owned(), 3)].into(),
        ..Condition::default()
    };
    let waiting = Condition {
        constraints: Some(Constraints::default()),
        ..usual.clone()
    };
    let mut seeds: Vec<Vec<u8>> = [usual, troubled, waiting].iter().map(Condition::encode).collect();
    seeds.extend(words_of(&[
        "timeballd condition 1\nmood good\nconflict \u{1b}[2J\r\nreloads 1",
        "timeballd condition 2\n",
    ]));
    seeds
}
