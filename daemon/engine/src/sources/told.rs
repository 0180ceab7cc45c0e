//! What is told of the sources, where somebody has words of his own for it.

use std::net::IpAddr;

use units::{Leap, Stratum};
use wire::ntp::Header;

use crate::io::{Event, NoTime};
use crate::source::answer::Judgement;
use crate::source::{Source, SourceId};
use crate::sources::{Sources, Tools};
use crate::timer::Timer;

impl Sources {
    /// A source that something is to be told of, and its address; none where nobody wants to know.
    fn spoken_of(&self, id: SourceId, tools: &Tools<'_>) -> Option<(&Source, IpAddr)> {
        let source = self.by_id.get(&id).filter(|_| tools.out.tells())?;
        Some((source, source.address?))
    }

    /// Tells that the request under way was not answered, unless that was told. Its socket is open until then.
    pub(super) fn tell_unanswered(&self, id: SourceId, tools: &mut Tools<'_>) {
        let Some((source, address)) = self
            .spoken_of(id, tools)
            .filter(|(source, _)| source.socket.is_some())
        else {
            return;
        };
        tools.out.happened(Event::Unanswered {
            source: address,
            reach: source.reach << 1,
            next_s: next_s(id, tools),
        });
    }

    /// Tells what a valid answer says.
    pub(super) fn tell_answer(
        &self,
        id: SourceId,
        header: &Header,
        judgement: &Judgement,
        tools: &mut Tools<'_>,
    ) {
        let Some((source, address)) = self.spoken_of(id, tools).filter(|_| !judgement.ahead) else {
            return;
        };
        let next_s = next_s(id, tools);
        tools.out.happened(match judgement.measurement {
            Some(measurement) => Event::Answered {
                source: address,
                offset_s: measurement.offset_s,
                delay_s: measurement.delay_s,
                reach: source.reach,
                next_s,
            },
            None => Event::NoTime {
                source: address,
                why: match (header.leap, header.stratum) {
                    (Leap::Unsynchronised, _) => NoTime::Alarm,
                    (_, Stratum::ZERO) => NoTime::Kiss,
                    (_, Stratum(stratum)) => NoTime::Stratum(stratum),
                },
                next_s,
            },
        });
    }

    /// Tells that a request could not be sent.
    pub(super) fn tell_not_sent(&self, id: SourceId, tools: &mut Tools<'_>) {
        if let Some((_, source)) = self.spoken_of(id, tools) {
            let next_s = next_s(id, tools);
            tools.out.happened(Event::NotSent { source, next_s });
        }
    }

    /// Tells that a request did not arrive, for which the system has these words.
    pub(super) fn tell_undelivered(&self, id: SourceId, reason: &str, tools: &mut Tools<'_>) {
        if let Some((_, source)) = self.spoken_of(id, tools) {
            let reason = reason.to_owned();
            tools.out.happened(Event::Undelivered { source, reason });
        }
    }
}

/// When a source is asked next, seconds from now.
fn next_s(id: SourceId, tools: &Tools<'_>) -> f64 {
    let due = tools.timers.get(Timer::Poll(id));
    due.map_or(0.0, |due| due.seconds_since(tools.now.mono).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Input;
    use crate::stage::{Server, Stage, answering, config, line, silence, well};

    /// What is told of a source that is asked in a burst, with the whole second of each event.
    fn told(answers: Server, until_s: f64) -> (Stage, Vec<(i64, Event)>) {
        let source = line(conf::config::SourceKind::Server, "192.0.2.1", |source| {
            source.iburst = true;
        });
        let mut stage = Stage::with(config(vec![source]), answers, |options| options.tells = true);
        stage.run_until(until_s);
        let events = stage.events.iter();
        let events = events
            .map(|(at_s, event)| (units::rounding::down_i64(*at_s), event.clone()))
            .collect();
        (stage, events)
    }

    fn address() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn answers_are_told_with_what_they_say_and_when_the_next_is_asked_for() {
        let (_, events) = told(well(), 5.0);
        let (mut reaches, mut seconds) = (Vec::new(), Vec::new());
        for (second, event) in &events {
            match event {
                Event::Answered {
                    source,
                    offset_s,
                    delay_s,
                    reach,
                    next_s,
                } => {
                    assert_eq!(*source, address());
                    assert!(
                        offset_s.abs() < 1e-5 && (delay_s - 0.002).abs() < 1e-4,
                        "{event:?}"
                    );
                    assert!((1.9..2.1).contains(next_s), "{event:?}");
                    reaches.push(*reach);
                    seconds.push(*second);
                }
                Event::Began | Event::Followed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(events[0].1, Event::Began);
        assert_eq!((reaches, seconds), (vec![1, 3, 7], vec![0, 2, 4]));
    }

    #[test]
    fn silence_is_told_once_for_each_request() {
        let (stage, events) = told(silence(), 100.0);
        let silences = events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Unanswered { reach: 0, .. }));
        // The last one may still be answered.
        let asked = stage.requests.iter().filter(|request| request.at_s < 95.0);
        assert_eq!(silences.count(), asked.count());
    }

    #[test]
    fn an_answer_without_time_says_why() {
        let mut count = 0;
        let (_, events) = told(
            answering(move |_, mut answer| {
                count += 1;
                match count {
                    1 => answer.leap = Leap::Unsynchronised,
                    2 => answer.stratum = Stratum::ZERO,
                    _ => answer.stratum = Stratum(16),
                }
                vec![answer]
            }),
            5.0,
        );
        let whys: Vec<NoTime> = events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::NoTime { why, .. } => Some(*why),
                _ => None,
            })
            .collect();
        assert_eq!(whys, [NoTime::Alarm, NoTime::Kiss, NoTime::Stratum(16)]);
    }

    #[test]
    fn what_the_network_says_is_told() {
        let (mut stage, _) = told(silence(), 1.0);
        let (&socket, _) = stage.sockets.first_key_value().unwrap();
        stage.tell(Input::Undelivered {
            socket,
            reason: "Connection refused",
        });
        let reason = "Connection refused".to_owned();
        let source = address();
        let told = stage.events.last().map(|(_, event)| event.clone());
        assert_eq!(told, Some(Event::Undelivered { source, reason }));
        stage.run_until(3.0);
        let (&socket, _) = stage.sockets.first_key_value().unwrap();
        stage.tell(Input::SendFailed { socket });
        let told = stage.events.last().map(|(_, event)| event.clone());
        assert!(
            matches!(told, Some(Event::NotSent { next_s, .. }) if (1.9..2.1).contains(&next_s)),
            "{told:?}"
        );
    }

    #[test]
    fn where_nobody_wants_to_know_nothing_is_told() {
        let mut stage = Stage::new(config(vec![crate::stage::server("192.0.2.1")]), well());
        stage.run_until(5000.0);
        assert_eq!(stage.events, []);
    }
}
