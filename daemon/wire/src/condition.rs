//! The daemon's condition: what chrony's command protocol has no words for.
//!
//! Who asks sends [`REQUEST`] to the command socket in the file system; no request of the command protocol begins so. The
//! answer is lines of text, a word and the rest; words that are not known are for later versions. Over UDP nobody is
//! answered.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::json::Json;
use crate::object;

/// The request.
pub const REQUEST: &[u8] = b"timeballd condition\n";

/// The first line of the answer.
const HEADING: &str = "timeballd condition 1";

/// The longest text in an answer, in characters.
const TEXT_LENGTH_MAX: usize = 400;

/// The room for weights in an answer, bytes, …
const WEIGHTS_LENGTH_MAX: usize = 640;

/// … the longest name of a source in one, bytes, which is that of DNS, …
const NAME_LENGTH_MAX: usize = 253;

/// … and what each takes beside its name.
const WEIGHT_LENGTH: usize = "weight 255 \n".len();

/// How it is told that there is no number yet.
const NONE: &str = "none";

/// The longest answer, bytes.
pub const ANSWER_LENGTH_MAX: usize = 4096;

/// Says who steers the clock, and how reading the configuration again went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// Whether the daemon steers the clock.
    pub steers: bool,
    /// Who else does, in the place of the daemon.
    pub conflict: Option<String>,
    /// Whether such a conflict makes the daemon unready (`timeball.conflict fail`).
    pub conflict_fails: bool,
    /// How often the configuration was read again and taken.
    pub reloads: u32,
    /// Why the newest configuration is not in force.
    pub configuration_error: Option<String>,
    /// What constraints say, where any are configured.
    pub constraints: Option<Constraints>,
    /// The weights of sources in OpenNTPD's language, by their names, where that is not 1; as many as
    /// there is room for.
    pub weights: BTreeMap<String, u8>,
}

/// Says what HTTPS servers bound the time of others to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Constraints {
    /// Their time − system clock, whole seconds: their dates tell no more. `None` if none has answered yet.
    pub offset_s: Option<i64>,
    /// How many answers of sources were refused since they were asked last.
    pub refused: u32,
}

impl Condition {
    /// Returns the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{HEADING}\n");
        let mut line = |word: &str, rest: &str| {
            let rest = plain(rest);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{word} {rest}");
        };
        line("steers", yes(self.steers));
        if let Some(conflict) = &self.conflict {
            line("conflict", conflict);
        }
        line("conflict-fails", yes(self.conflict_fails));
        line("reloads", &self.reloads.to_string());
        if let Some(error) = &self.configuration_error {
            line("configuration-error", error);
        }
        if let Some(constraints) = &self.constraints {
            let offset_s = constraints.offset_s.map(|offset_s| offset_s.to_string());
            line("constraint-offset", offset_s.as_deref().unwrap_or(NONE));
            line("constraint-refused", &constraints.refused.to_string());
        }
        let mut room = WEIGHTS_LENGTH_MAX;
        for (name, weight) in &self.weights {
            if takes_room(&mut room, name) {
                line("weight", &format!("{weight} {name}"));
            }
        }
        text.into_bytes()
    }

    /// Reads an answer; `None` if it is something else.
    pub fn decode(answer: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(answer.get(..answer.len().min(ANSWER_LENGTH_MAX))?).ok()?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADING) {
            return None;
        }
        let mut condition = Self::default();
        let mut room = WEIGHTS_LENGTH_MAX;
        for line in lines {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "steers" => condition.steers = rest == "yes",
                "conflict" => condition.conflict = Some(plain(rest)),
                "conflict-fails" => condition.conflict_fails = rest == "yes",
                "reloads" => condition.reloads = rest.parse().ok()?,
                "configuration-error" => condition.configuration_error = Some(plain(rest)),
                "constraint-offset" => {
                    let offset_s = match rest {
                        NONE => None,
                        seconds => Some(seconds.parse().ok()?),
                    };
                    condition.constraints.get_or_insert_default().offset_s = offset_s;
                }
                "constraint-refused" => {
                    condition.constraints.get_or_insert_default().refused = rest.parse().ok()?;
                }
                "weight" => {
                    let (weight, name) = rest.split_once(' ')?;
                    let (weight, name) = (weight.parse().ok()?, plain(name));
                    if takes_room(&mut room, &name) {
                        condition.weights.insert(name, weight);
                    }
                }
                _ => {}
            }
        }
        Some(condition)
    }

    /// Tells it in lines for people.
    pub fn text(&self) -> String {
        let clock = match (&self.conflict, self.steers) {
            (Some(conflict), _) => format!("not steered : {conflict}"),
            (None, true) => "steered".to_owned(),
            (None, false) => "not steered : observing only".to_owned(),
        };
        let configuration = match (&self.configuration_error, self.reloads) {
            (Some(error), _) => format!("the newest is not in force : {error}"),
            (None, 0) => "that of the start".to_owned(),
            (None, times) => format!("read again, {times} times since the start"),
        };
        let constraints = self.constraints.map(|constraints| {
            let said = match constraints.offset_s {
                Some(offset_s) => format!("{offset_s} s from the clock"),
                None => "none has answered".to_owned(),
            };
            format!(
                "Constraints   : {said}, {} replies refused\n",
                constraints.refused
            )
        });
        let constraints = constraints.unwrap_or_default();
        format!("Clock         : {clock}\nConfiguration : {configuration}\n{constraints}")
    }

    /// Tells it to programs.
    pub fn to_json(&self) -> Json {
        let text = |text: &Option<String>| text.clone().map_or(Json::Null, Json::Text);
        let constraints = |constraints: Constraints| {
            object! {
                "offset_s": constraints.offset_s.map_or(Json::Null, Json::Integer),
                "refused": u64::from(constraints.refused),
            }
        };
        object! {
            "steers": self.steers,
            "conflict": text(&self.conflict),
            "reloads": u64::from(self.reloads),
            "configuration_error": text(&self.configuration_error),
            "constraints": self.constraints.map_or(Json::Null, constraints),
        }
    }
}

/// Whether there is room for the weight of this source, which is taken then.
fn takes_room(room: &mut usize, name: &str) -> bool {
    let rest = room
        .checked_sub(WEIGHT_LENGTH + name.len())
        .filter(|_| name.len() <= NAME_LENGTH_MAX);
    *room = rest.unwrap_or(*room);
    rest.is_some()
}

/// A text that is one line, of which a terminal obeys nothing.
fn plain(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(TEXT_LENGTH_MAX)
        .collect()
}

const fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_trouble() -> Condition {
        Condition {
            steers: false,
            conflict: Some("UDP port 123 is taken".to_owned()),
            conflict_fails: true,
            reloads: 3,
            configuration_error: Some("line 1:\nnonsense".to_owned()),
            constraints: Some(Constraints {
                offset_s: Some(-3600),
                refused: 2,
            }),
            weights: [("ntp.example", 3), ("192.0.2.1", 10)]
                .map(|(name, weight)| (name.to_owned(), weight))
                .into(),
        }
    }

    #[test]
    fn what_is_told_is_understood() {
        let condition = in_trouble();
        let understood = Condition::decode(&condition.encode()).unwrap();
        let said = Some("line 1: nonsense".to_owned());
        assert_eq!(
            understood,
            Condition {
                configuration_error: said,
                ..condition
            }
        );
        let usual = Condition {
            steers: true,
            ..Condition::default()
        };
        assert_eq!(Condition::decode(&usual.encode()), Some(usual));
        let waiting = Condition {
            constraints: Some(Constraints::default()),
            ..Condition::default()
        };
        assert_eq!(Condition::decode(&waiting.encode()), Some(waiting));
    }

    #[test]
    fn no_text_is_too_long_and_no_answer_of_others_is_taken() {
        let condition = Condition {
            conflict: Some("ä".repeat(10_000)),
            configuration_error: Some("x".repeat(10_000)),
            ..Condition::default()
        };
        let answer = condition.encode();
        assert!(answer.len() < ANSWER_LENGTH_MAX);
        assert_eq!(
            Condition::decode(&answer).unwrap().conflict.unwrap().len(),
            2 * TEXT_LENGTH_MAX
        );
        let names = (0..100_u8).map(|number| (format!("{number:03}.example"), number));
        let heavy = Condition {
            weights: names.collect(),
            ..condition
        };
        let answer = heavy.encode();
        assert!(answer.len() < ANSWER_LENGTH_MAX);
        let understood = Condition::decode(&answer).unwrap().weights;
        let first: BTreeMap<String, u8> = heavy.weights.into_iter().take(understood.len()).collect();
        assert!(understood.len() > 20 && understood == first, "{understood:?}");
        // No name is as long, and none is cut.
        let long = format!(
            "timeballd condition 1\nweight 3 {}\n",
            "a".repeat(TEXT_LENGTH_MAX)
        );
        assert!(Condition::decode(long.as_bytes()).unwrap().weights.is_empty());
        for other in [
            &b""[..],
            b"\xff",
            b"timeballd condition 2\n",
            b"timeballd condition 1\nreloads x\n",
            b"timeballd condition 1\nconstraint-offset near\n",
            b"timeballd condition 1\nconstraint-refused -1\n",
            b"timeballd condition 1\nweight ntp.example\n",
        ] {
            assert_eq!(Condition::decode(other), None);
        }
        let newer = b"timeballd condition 1\nsteers yes\nmood good\nreloads 0";
        assert!(Condition::decode(newer).unwrap().steers);
    }

    #[test]
    fn it_is_told_to_people_and_to_programs() {
        assert_eq!(
            in_trouble().text(),
            "Clock         : not steered : UDP port 123 is taken\n\
             Configuration : the newest is not in force : line 1:\nnonsense\n\
             Constraints   : -3600 s from the clock, 2 replies refused\n"
        );
        assert_eq!(
            in_trouble().to_json().to_string(),
            "{\"steers\":false,\"conflict\":\"UDP port 123 is taken\",\"reloads\":3,\
             \"configuration_error\":\"line 1:\\u000anonsense\",\
             \"constraints\":{\"offset_s\":-3600,\"refused\":2}}"
        );
    }

    #[test]
    fn no_request_of_the_command_protocol_begins_so() {
        assert!(crate::candm::Request::decode(REQUEST).is_err());
    }
}
