//! Waiting until the clock is right.
//!
//! The daemon may not run yet, and may come and go meanwhile: it is looked for anew as often as need be.

use std::thread::sleep;
use std::time::{Duration, Instant};

use wire::candm::{AskError, Tracking};
use wire::json::Json;

use super::client::Client;
use super::command::{ErrorCondition, SyncCondition};
use super::report::{ask_tracking, called};
use super::{CtlError, Options, Report, complain, print};

/// How often `wait` asks.
const INTERVAL: Duration = Duration::from_millis(250);

/// `waitsync`: prints every try, until the correction and the skew are small enough.
pub(crate) fn wait_sync(options: &Options, condition: &SyncCondition) -> Result<Report, CtlError> {
    let mut client = None;
    let mut tried = 0;
    loop {
        tried += 1;
        let mut json = Json::Null;
        match ask(options, &mut client) {
            Ok(tracking) => {
                let correction_s = tracking.current_correction_s.abs();
                let (id, skew_ppm) = (tracking.reference_id, tracking.skew_ppm);
                if !options.json {
                    print(&format!(
                        "try: {tried}, refid: {id}, correction: {correction_s:.9}, skew: {skew_ppm:.3}\n"
                    ));
                }
                json = tracking.to_json(id.to_string());
                let below = |value: f64, limit: f64| limit == 0.0 || value <= limit;
                if tracking.is_synchronised()
                    && below(correction_s, condition.max_correction_s)
                    && below(skew_ppm, condition.max_skew_ppm)
                {
                    return Ok(Report {
                        text: String::new(),
                        json,
                    });
                }
            }
            Err(error) => complain(&error.to_string()),
        }
        if condition.tries != 0 && tried >= condition.tries {
            return Err(CtlError::NotYet(Box::new(Report {
                text: String::new(),
                json,
            })));
        }
        sleep(condition.interval);
    }
}

/// `wait`: until the clock is synchronised and the bound of its error is small enough.
pub(crate) fn wait(options: &Options, condition: &ErrorCondition) -> Result<Report, CtlError> {
    let end = Instant::now() + condition.timeout;
    let mut client = None;
    loop {
        let answer = ask(options, &mut client);
        let left = end.saturating_duration_since(Instant::now());
        match answer {
            Ok(tracking) => {
                let bound_s = tracking.error_bound_s();
                let reached =
                    tracking.is_synchronised() && condition.max_error_s.is_none_or(|max_s| bound_s <= max_s);
                if reached || left.is_zero() {
                    let source = client.as_mut().map_or_else(String::new, |client| {
                        called(client, tracking.address, tracking.reference_id, options.names)
                    });
                    let report = Report {
                        text: tracking.sentence(&source) + "\n",
                        json: tracking.to_json(source),
                    };
                    return if reached {
                        Ok(report)
                    } else {
                        Err(CtlError::NotYet(Box::new(report)))
                    };
                }
            }
            Err(error) if left.is_zero() => return Err(error.into()),
            Err(_) => {}
        }
        sleep(INTERVAL.min(left));
    }
}

/// Asks for the state of the clock, over the conversation that there is or a new one.
fn ask(options: &Options, client: &mut Option<Client>) -> Result<Tracking, AskError> {
    let open = match client {
        Some(open) => open,
        None => client.insert(Client::connect(&options.hosts, options.port)?),
    };
    let answer = ask_tracking(open);
    if matches!(answer, Err(AskError::NoAnswer(_))) {
        *client = None;
    }
    answer
}
