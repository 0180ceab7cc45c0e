//! `timeball wait`: holds up whoever needs the right time until this host's clock has it, as `timeballd ctl wait`
//! does, whether chronyd or timeballd keeps the clock.
//!
//! The daemon may not run yet, and may come and go meanwhile: it is looked for anew as often as need be.

use std::io::{self, ErrorKind, Write as _};
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::host::{Control, ControlAddress, Host as _, RealHost};
use clap::Args;
use serde::de::IgnoredAny;
use serde_json::json;
use uuid::Uuid;
use wire::candm::{Address, REPLY_LENGTH_MAX, ReferenceId, Reply, ReplyError, Request, Tracking};

use crate::cli::Globals;
use crate::ending::{Ending, Verdict};
use crate::print::Printer;
use crate::text;

/// How often the clock is asked for.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long the first answer is waited for; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How often a request is sent.
const ATTEMPTS: u32 = 3;

/// Arguments of `timeball wait`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Asks timeballd or chronyd on this host. The error of the clock is at most its offset, half \
                             the root delay and the root dispersion together. Times have a unit: ns, us, ms, s, m \
                             or h; seconds without one. Exit codes: 0 the clock is right, 1 it was not in time, or \
                             no daemon answers, 2 wrong use.\n\nExample:\n  timeball wait --max-error 10ms \
                             --timeout 60s && start-database"
)]
pub(crate) struct WaitArgs {
    /// Greatest error the clock may have, such as 10ms
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    max_error: Option<f64>,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    timeout: Duration,
    /// Sockets or addresses to ask, separated by commas
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "/run/timeballd/timeballd.sock,/run/chrony/chronyd.sock,127.0.0.1,::1",
        hide_default_value = true
    )]
    host: Vec<String>,
    /// UDP port of the daemon
    #[arg(short, long, value_name = "PORT", default_value_t = 323)]
    port: u16,
    /// Call the source by its configured name
    #[arg(short = 'N', long)]
    names: bool,
}

/// Why there is no answer; the words are those of chronyc.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("506 Cannot talk to daemon")]
    NoAnswer,
    #[error("{0}")]
    Refused(ReplyError),
    #[error("508 Bad reply from daemon")]
    Unexpected,
}

/// Waits until the clock is synchronised and its error is small enough.
pub(crate) fn run(args: &WaitArgs, globals: &Globals) -> Ending {
    let end = Instant::now() + args.timeout;
    let mut daemon = None;
    loop {
        let answer = ask(args, &mut daemon);
        let left = end.saturating_duration_since(Instant::now());
        match answer {
            Ok(tracking) => {
                let bound_s = tracking.error_bound_s();
                let reached =
                    tracking.is_synchronised() && args.max_error.is_none_or(|max_s| bound_s <= max_s);
                if reached || left.is_zero() {
                    let source = source(&tracking, daemon.as_mut().filter(|_| args.names));
                    Printer::new(globals.format())
                        .show(document(&tracking, &source).as_bytes(), |_: &IgnoredAny| {
                            told(&tracking, &source)
                        })?;
                    return Ok(if reached {
                        Verdict::Done
                    } else {
                        Verdict::SomeFailed
                    });
                }
            }
            Err(error) if left.is_zero() => {
                // Nobody is left to tell when stderr is closed.
                let _ = writeln!(io::stderr(), "{error}");
                return Ok(Verdict::SomeFailed);
            }
            Err(_) => {}
        }
        sleep(INTERVAL.min(left));
    }
}

/// Asks for the state of the clock, over the conversation that there is or a new one.
fn ask(args: &WaitArgs, daemon: &mut Option<Daemon>) -> Result<Tracking, AskError> {
    let open = match daemon {
        Some(open) => open,
        None => daemon.insert(Daemon::find(&args.host, args.port)?),
    };
    match open.ask(&Request::Tracking) {
        Ok(Reply::Tracking(tracking)) => Ok(tracking),
        Ok(_) => Err(AskError::Unexpected),
        Err(error) => {
            if matches!(error, AskError::NoAnswer) {
                *daemon = None;
            }
            Err(error)
        }
    }
}

/// How the clock is, in a sentence.
fn told(tracking: &Tracking, source: &str) -> String {
    let bound_s = tracking.error_bound_s();
    match tracking.reference_id {
        _ if tracking.is_synchronised() => {
            let source = text::line(source);
            format!("synchronised to {source}, wrong by at most {bound_s:.9} seconds\n")
        }
        ReferenceId::LOCAL => "not synchronised: serves its own time\n".to_owned(),
        _ => "not synchronised\n".to_owned(),
    }
}

/// How the clock is, as JSON. Offsets are positive when the clock is behind.
fn document(tracking: &Tracking, source: &str) -> String {
    let synchronised = tracking.is_synchronised();
    let number = |value: f64| match value.is_finite() {
        true => value.to_string(),
        false => "null".to_owned(),
    };
    let time = Some(tracking.reference_time).filter(|time| !time.is_zero());
    let time = time.and_then(|time| jiff::Timestamp::from_second(time.seconds()).ok());
    let bound = match synchronised {
        true => number(tracking.error_bound_s()),
        false => "null".to_owned(),
    };
    let fields = [
        ("synchronised", synchronised.to_string()),
        ("error_bound_s", bound),
        ("offset_s", number(tracking.current_correction_s)),
        ("source", json!(source).to_string()),
        (
            "reference_id",
            json!(tracking.reference_id.to_string()).to_string(),
        ),
        ("stratum", tracking.stratum.to_string()),
        (
            "reference_time",
            json!(time.map(|time| time.to_string())).to_string(),
        ),
        ("last_offset_s", number(-tracking.last_offset_s)),
        ("rms_offset_s", number(tracking.rms_offset_s)),
        ("frequency_ppm", number(tracking.frequency_ppm)),
        ("residual_frequency_ppm", number(tracking.residual_frequency_ppm)),
        ("skew_ppm", number(tracking.skew_ppm)),
        ("root_delay_s", number(tracking.root_delay_s)),
        ("root_dispersion_s", number(tracking.root_dispersion_s)),
        ("update_interval_s", number(tracking.last_update_interval_s)),
        ("leap", json!(tracking.leap.text()).to_string()),
    ];
    let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", fields.join(","))
}

/// How the followed source is called: by its address, by its configured name if there is somebody to ask for it, or
/// by its reference id when it has neither.
fn source(tracking: &Tracking, daemon: Option<&mut Daemon>) -> String {
    if tracking.address == Address::Unspecified {
        return tracking.reference_id.text();
    }
    match daemon.map(|daemon| daemon.ask(&Request::NtpSourceName(tracking.address))) {
        None => tracking.address.to_string(),
        Some(Ok(Reply::NtpSourceName(name))) => name.as_str().to_owned(),
        Some(_) => "?".to_owned(),
    }
}

/// A daemon that answers.
struct Daemon(Box<dyn Control>);

impl Daemon {
    /// Finds the first that answers, whatever it says.
    fn find(hosts: &[String], port: u16) -> Result<Self, AskError> {
        for host in hosts {
            let Some(address) = address(host, port) else {
                continue;
            };
            let Ok(control) = RealHost.open_control(&address) else {
                continue;
            };
            let mut daemon = Daemon(control);
            if !matches!(daemon.ask(&Request::NSources), Err(AskError::NoAnswer)) {
                return Ok(daemon);
            }
        }
        Err(AskError::NoAnswer)
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, AskError> {
        let mut wait = FIRST_WAIT;
        for _ in 0..ATTEMPTS {
            // Nobody can foresee the number.
            let (sequence, _, _, _) = Uuid::new_v4().as_fields();
            match self.exchange(request, sequence, wait) {
                Ok(reply) => return reply.map_err(AskError::Refused),
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(_) => return Err(AskError::NoAnswer),
            }
            wait *= 2;
        }
        Err(AskError::NoAnswer)
    }

    /// Sends a request once, and takes the answer to it that comes in time.
    fn exchange(
        &mut self,
        request: &Request,
        sequence: u32,
        wait: Duration,
    ) -> io::Result<Result<Reply, ReplyError>> {
        self.0.send(&request.encode(sequence))?;
        let end = Instant::now() + wait;
        let mut buffer = [0; REPLY_LENGTH_MAX];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let length = self.0.receive(&mut buffer, left)?;
            let datagram = buffer.get(..length).unwrap_or_default();
            match Reply::decode(datagram, request.command(), sequence) {
                Err(error) if error.is_not_for_us() => {}
                answer => return Ok(answer),
            }
        }
    }
}

/// Where a daemon is: a path begins with a slash, everything else is an address or a name.
fn address(host: &str, port: u16) -> Option<ControlAddress> {
    if host.starts_with('/') {
        return Some(ControlAddress::Socket(PathBuf::from(host)));
    }
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    Some(ControlAddress::Udp(address))
}

/// Reads a time with its unit, seconds when it has none.
fn seconds(text: &str) -> Result<f64, String> {
    const UNITS: [(&str, f64); 6] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let unit = UNITS
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (number, scale) = unit.unwrap_or((text, &1.0));
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value * scale),
        _ => Err(format!("{text} is no time, such as 10ms or 2m")),
    }
}

/// Reads a time that can be waited for.
fn time(text: &str) -> Result<Duration, String> {
    let too_long = || format!("{text} is too long");
    let time = Duration::try_from_secs_f64(seconds(text)?).map_err(|_| too_long())?;
    Instant::now()
        .checked_add(time)
        .map(|_| time)
        .ok_or_else(too_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, value) in [("3", 3.0), ("1.5s", 1.5), ("250us", 0.000_25), ("1h", 3600.0)] {
            assert_eq!(seconds(text), Ok(value));
        }
        for text in ["", "ms", "-1s", "1d", "nan", "inf"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        for text in ["1e300", "1e19"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
