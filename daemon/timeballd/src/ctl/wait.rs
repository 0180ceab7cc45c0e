//! Waiting until the clock is right.
//!
//! The daemon may not run yet, and may come and go meanwhile: it is looked for anew as often as need be.

use std::thread::sleep;
use std::time::{Duration, Instant};

use wire::candm::Tracking;
use wire::json::Json;

use super::client::Client;
use super::command::{ErrorCondition, SyncCondition};
use super::report::{ask_tracking, called};
use super::{CtlError, Options, Report, complain, print};

/// How often `wait` asks.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long `wait` waits for an answer even when its time is up a moment after the question.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// `waitsync`: prints every try, until the correction and the skew are small enough.
pub(crate) fn wait_sync(options: &Options, condition: &SyncCondition) -> Result<Report, CtlError> {
    let mut client = None;
    let mut tried = 0;
    loop {
        tried += 1;
        let is_last = condition.tries != 0 && tried >= condition.tries;
        let mut json = Json::Null;
        match ask(options, &mut client, Duration::MAX) {
            Ok(tracking) => {
                let correction_s = tracking.current_correction_s.abs();
                let (id, skew_ppm) = (tracking.reference_id, tracking.skew_ppm);
                if !options.json {
                    print(&format!(
                        "try: {tried}, refid: {id}, correction: {correction_s:.9}, skew: {skew_ppm:.3}\n"
                    ));
                }
                if let Some(client) = client.as_mut().filter(|_| options.json) {
                    json = tracking.to_json(called(client, tracking.address, id, options.names));
                }
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
            Err(error) if is_last => error.tell(),
            Err(error) => complain(&error.to_string()),
        }
        if is_last {
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
    let left = || end.saturating_duration_since(Instant::now());
    let mut client = None;
    loop {
        match ask(options, &mut client, left().max(LEAST_PATIENCE)) {
            Ok(tracking) => {
                let bound_s = tracking.error_bound_s();
                let reached = tracking.is_synchronised() && bound_s <= condition.max_error_s;
                if reached || left().is_zero() {
                    let source = client.as_mut().map_or_else(String::new, |client| {
                        client.set_patience(LEAST_PATIENCE);
                        called(client, tracking.address, tracking.reference_id, options.names)
                    });
                    let report = Report {
                        text: tracking.sentence_against(&source, condition.max_error_s) + "\n",
                        json: tracking.to_json(source),
                    };
                    return if reached {
                        Ok(report)
                    } else {
                        Err(CtlError::NotYet(Box::new(report)))
                    };
                }
            }
            Err(error) if left().is_zero() => return Err(error),
            Err(_) => {}
        }
        sleep(INTERVAL.min(left()));
    }
}

/// Asks for the state of the clock, over the conversation that there is or a new one, and waits no longer than so long.
fn ask(options: &Options, client: &mut Option<Client>, patience: Duration) -> Result<Tracking, CtlError> {
    let begun = Instant::now();
    let open = match client {
        Some(open) => open,
        None => {
            client.insert(Client::connect(&options.hosts, options.port, patience).map_err(CtlError::Silent)?)
        }
    };
    open.set_patience(patience.saturating_sub(begun.elapsed()));
    let answer = ask_tracking(open).map_err(|error| open.located(error));
    if matches!(answer, Err(CtlError::Silent(_))) {
        *client = None;
    }
    answer
}
