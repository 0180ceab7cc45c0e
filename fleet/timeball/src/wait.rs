//! `timeball wait`: holds up whoever needs the right time until this host's clock has it, as `timeballd ctl wait`
//! does, whether chronyd or timeballd keeps the clock.
//!
//! The daemon may not run yet, and may come and go meanwhile: it is looked for anew as often as need be.

use std::io::{self, Write as _};
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::host::{self, Control, ControlAddress, Host as _, RealHost};
use clap::Args;
use serde::de::IgnoredAny;
use units::{parse_duration, parse_seconds};
use wire::candm::{Address, AskError, PATIENCE, Reply, Request, Tracking};

use crate::cli::Globals;
use crate::ending::{Ending, Verdict};
use crate::print::Printer;
use crate::text;

/// How often the clock is asked for.
const INTERVAL: Duration = Duration::from_millis(250);

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
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    max_error: Option<f64>,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
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
                    let sentence = tracking.sentence(&text::line(&source));
                    let document = tracking.to_json(source).to_string();
                    Printer::new(globals.format())
                        .show(document.as_bytes(), |_: &IgnoredAny| sentence + "\n")?;
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
            if matches!(error, AskError::NoAnswer(_)) {
                *daemon = None;
            }
            Err(error)
        }
    }
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
            if !matches!(daemon.ask(&Request::NSources), Err(AskError::NoAnswer(_))) {
                return Ok(daemon);
            }
        }
        Err(AskError::NoAnswer(io::ErrorKind::NotFound.into()))
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, AskError> {
        host::ask(&RealHost, &mut *self.0, request, PATIENCE)
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
