//! What a supervisor asks: is the daemon alive, is it ready, and in what condition is it.

use std::time::{Duration, Instant};

use wire::candm::{AskError, Tracking};
use wire::condition::Condition;
use wire::json::Json;
use wire::object;

use super::client::Client;
use super::report::{ask_tracking, called};
use super::{CtlError, Options, Report};

/// How long each address may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// `alive`: whether the daemon answers within a second. Nothing else counts, so that no outage elsewhere ends it.
pub(crate) fn alive(options: &Options) -> Result<Report, CtlError> {
    let begun = Instant::now();
    match connect(options) {
        Ok(_) => {
            let took_s = begun.elapsed().as_secs_f64();
            Ok(Report {
                text: format!("alive : it answered within {took_s:.3} seconds\n"),
                json: object! { "alive": true, "answer_s": took_s },
            })
        }
        Err(error) => refused(options, "alive", error),
    }
}

/// `ready`: whether the clock follows a source, nobody else is in the way, and its error is bounded well enough.
pub(crate) fn ready(options: &Options, max_error_s: f64) -> Result<Report, CtlError> {
    let found = connect(options).and_then(|mut client| {
        let tracking = ask_tracking(&mut client).map_err(|error| client.located(error))?;
        let condition = client.condition();
        let source = called(
            &mut client,
            tracking.address,
            tracking.reference_id,
            options.names,
        );
        Ok((tracking, condition, source))
    });
    match found {
        Ok((tracking, condition, source)) => {
            let unready = why_not_ready(&tracking, condition.as_ref(), max_error_s);
            let text = match &unready {
                None => format!("ready : {}\n", tracking.sentence(&source)),
                Some(why) => format!("not ready : {why}\n"),
            };
            let json = object! {
                "ready": unready.is_none(),
                "reason": unready.clone().map_or(Json::Null, Json::Text),
                "condition": condition.map_or(Json::Null, |condition| condition.to_json()),
                "tracking": tracking.to_json(source),
            };
            let report = Report { text, json };
            match unready {
                None => Ok(report),
                Some(_) => Err(CtlError::NotYet(Box::new(report))),
            }
        }
        Err(error) => refused(options, "ready", error),
    }
}

/// `status`: the clock in a sentence, who steers it, and how reading the configuration went.
pub(crate) fn status(client: &mut Client, names: bool) -> Result<Report, AskError> {
    let tracking = ask_tracking(client)?;
    let condition = client.condition();
    let source = called(client, tracking.address, tracking.reference_id, names);
    let lines = condition.as_ref().map_or_else(String::new, Condition::text);
    Ok(Report {
        text: format!("Time          : {}\n{lines}", tracking.sentence(&source)),
        json: object! {
            "condition": condition.map_or(Json::Null, |condition| condition.to_json()),
            "tracking": tracking.to_json(source),
        },
    })
}

fn connect(options: &Options) -> Result<Client, CtlError> {
    let all = PATIENCE.saturating_mul(u32::try_from(options.hosts.len()).unwrap_or(u32::MAX));
    Client::connect(&options.hosts, options.port, all).map_err(CtlError::Silent)
}

/// That the daemon does not answer: for programs it is an answer too.
fn refused(options: &Options, word: &'static str, error: CtlError) -> Result<Report, CtlError> {
    if options.json {
        error.tell();
        return Err(CtlError::NotYet(Box::new(Report {
            text: String::new(),
            json: Json::Object(vec![
                (word, Json::Bool(false)),
                ("reason", Json::Text(error.to_string())),
            ]),
        })));
    }
    Err(error)
}

/// Why the daemon is not ready.
fn why_not_ready(tracking: &Tracking, condition: Option<&Condition>, max_error_s: f64) -> Option<String> {
    if let Some(condition) = condition
        && let Some(conflict) = condition.conflict.as_ref().filter(|_| condition.conflict_fails)
    {
        return Some(format!("the clock is not steered : {conflict}"));
    }
    if !tracking.is_synchronised() {
        return Some(tracking.sentence(""));
    }
    let bound_s = tracking.error_bound_s();
    (bound_s > max_error_s)
        .then(|| format!("wrong by at most {bound_s:.9} seconds, which is more than {max_error_s:.9}"))
}

#[cfg(test)]
mod tests {
    use wire::candm::{Address, Leap, ReferenceId, Timespec};

    use super::*;

    #[test]
    fn readiness_is_about_the_clock_and_its_keeper() {
        let tracking = Tracking {
            reference_id: ReferenceId(0xc000_0201),
            address: Address::V4([192, 0, 2, 1].into()),
            stratum: 3,
            leap: Leap::Normal,
            reference_time: Timespec::new(1_770_000_000, 5),
            current_correction_s: 1e-3,
            last_offset_s: 0.0,
            rms_offset_s: 0.0,
            frequency_ppm: 0.0,
            residual_frequency_ppm: 0.0,
            skew_ppm: 0.25,
            root_delay_s: 4e-3,
            root_dispersion_s: 1e-3,
            last_update_interval_s: 64.0,
        };
        assert_eq!(why_not_ready(&tracking, None, 1.0), None);
        assert_eq!(why_not_ready(&tracking, None, 0.004), None);
        assert_eq!(
            why_not_ready(&tracking, None, 0.003).as_deref(),
            Some("wrong by at most 0.004000000 seconds, which is more than 0.003000000")
        );
        let condition = Condition {
            conflict: Some("chronyd runs".to_owned()),
            configuration_error: Some("line 1".to_owned()),
            ..Condition::default()
        };
        assert_eq!(why_not_ready(&tracking, Some(&condition), 1.0), None);
        let condition = Condition {
            conflict_fails: true,
            ..condition
        };
        assert_eq!(
            why_not_ready(&tracking, Some(&condition), 1.0).as_deref(),
            Some("the clock is not steered : chronyd runs")
        );
        let lost = Tracking {
            reference_id: ReferenceId::UNSYNCHRONISED,
            reference_time: Timespec::new(0, 0),
            address: Address::Unspecified,
            ..tracking
        };
        assert_eq!(
            why_not_ready(&lost, None, 1.0).as_deref(),
            Some("not synchronised")
        );
    }
}
