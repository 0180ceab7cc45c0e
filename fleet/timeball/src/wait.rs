//! `timeball wait`: holds up whoever needs the right time until this host's clock has it, as `timeballd ctl wait`
//! does, whether chronyd or timeballd keeps the clock.
//!
//! The daemon may not run yet, and may come and go meanwhile: it is looked for anew as often as need be.

use std::io::{self, ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use agent::host::{self, Control, ControlAddress, Host as _, RealHost};
use clap::Args;
use serde::de::IgnoredAny;
use units::{parse_duration, parse_seconds};
use wire::candm::{Address, AskError, PATIENCE, Reply, Request, Silence, Tracking, patience_within};

use crate::cli::Globals;
use crate::ending::{Ending, Verdict};
use crate::print::Printer;
use crate::text;

/// How often the clock is asked for.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long an answer is waited for even when the time is up a moment after the question.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

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
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_seconds)]
    max_error: f64,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
    /// Sockets or addresses to ask, separated by commas
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = host,
        default_value = "/run/timeballd/timeballd.sock,/run/chrony/chronyd.sock,127.0.0.1,::1",
        hide_default_value = true
    )]
    host: Vec<String>,
    /// UDP port of the daemon
    #[arg(
        short,
        long,
        value_name = "PORT",
        default_value_t = 323,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    port: u16,
    /// Call the source by its configured name
    #[arg(short = 'N', long)]
    names: bool,
}

/// Why the state of the clock is not known.
#[derive(Debug, thiserror::Error)]
enum WaitError {
    /// Nobody answers, at none of these places.
    #[error("506 Cannot talk to daemon")]
    Silent(Vec<Silence>),
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// Waits until the clock is synchronised and its error is small enough.
pub(crate) fn run(args: &WaitArgs, globals: &Globals) -> Ending {
    let end = Instant::now() + args.timeout;
    let left = || end.saturating_duration_since(Instant::now());
    let mut daemon = None;
    loop {
        match ask(args, &mut daemon, left().max(LEAST_PATIENCE)) {
            Ok(tracking) => {
                let bound_s = tracking.error_bound_s();
                let reached = tracking.is_synchronised() && bound_s <= args.max_error;
                if reached || left().is_zero() {
                    let source = source(&tracking, daemon.as_mut().filter(|_| args.names));
                    let sentence = tracking.sentence_against(&text::line(&source), args.max_error);
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
            Err(error) if left().is_zero() => {
                complain(&error);
                return Ok(Verdict::SomeFailed);
            }
            Err(_) => {}
        }
        sleep(INTERVAL.min(left()));
    }
}

/// Says on stderr why there is no answer, in chronyc's words, and then at which places and what to do.
fn complain(error: &WaitError) {
    let mut said = format!("{error}\n");
    if let WaitError::Silent(silences) = error {
        said.extend(
            silences
                .iter()
                .map(|silence| text::line(&silence.to_string()) + "\n"),
        );
    }
    // Nobody is left to tell when stderr is closed.
    let _ = io::stderr().write_all(said.as_bytes());
}

/// Asks for the state of the clock, over the conversation that there is or a new one, and waits no longer than so long.
fn ask(args: &WaitArgs, daemon: &mut Option<Daemon>, patience: Duration) -> Result<Tracking, WaitError> {
    let begun = Instant::now();
    let open = match daemon {
        Some(open) => open,
        None => daemon.insert(Daemon::find(&args.host, args.port, patience).map_err(WaitError::Silent)?),
    };
    let left = patience.saturating_sub(begun.elapsed());
    match open.ask(&Request::Tracking, left) {
        Ok(Reply::Tracking(tracking)) => Ok(tracking),
        Ok(_) => Err(AskError::Unexpected.into()),
        Err(AskError::NoAnswer(error)) => {
            let place = std::mem::take(&mut open.place);
            *daemon = None;
            Err(WaitError::Silent(vec![Silence::at(place, error)]))
        }
        Err(error) => Err(error.into()),
    }
}

/// How the followed source is called: by its address, by its configured name if there is somebody to ask for it, or
/// by its reference id when it has neither.
fn source(tracking: &Tracking, daemon: Option<&mut Daemon>) -> String {
    if tracking.address == Address::Unspecified {
        return tracking.reference_id.text();
    }
    let name = Request::NtpSourceName(tracking.address);
    match daemon.map(|daemon| daemon.ask(&name, LEAST_PATIENCE)) {
        None => tracking.address.to_string(),
        Some(Ok(Reply::NtpSourceName(name))) => name.as_str().to_owned(),
        Some(_) => "?".to_owned(),
    }
}

/// A daemon that answers.
struct Daemon {
    control: Box<dyn Control>,
    place: String,
}

impl Daemon {
    /// Finds the first that answers, whatever it says. What is left of the time is shared among those that were not
    /// asked yet, so that one that is silent does not take it all.
    fn find(hosts: &[String], port: u16, patience: Duration) -> Result<Self, Vec<Silence>> {
        let begun = Instant::now();
        let mut silences = Vec::new();
        for (host, not_asked) in hosts.iter().zip((1..=hosts.len()).rev()) {
            let share =
                patience.saturating_sub(begun.elapsed()) / u32::try_from(not_asked).unwrap_or(u32::MAX);
            match Self::open(host, port, share) {
                Ok(daemon) => return Ok(daemon),
                Err(silence) => silences.push(silence),
            }
        }
        Err(silences)
    }

    /// Opens a conversation with the daemon at an address or a path, if it answers.
    fn open(host: &str, port: u16, patience: Duration) -> Result<Self, Silence> {
        let begun = Instant::now();
        let address = address(host, port, patience)?;
        let place = match &address {
            ControlAddress::Socket(_) => host.to_owned(),
            ControlAddress::Udp(_) => format!("{host} port {port}"),
        };
        let control = match RealHost.open_control(&address) {
            Ok(control) => control,
            Err(error) => return Err(Silence::at(place, error)),
        };
        let mut daemon = Daemon { control, place };
        let left = patience.saturating_sub(begun.elapsed());
        match daemon.ask(&Request::NSources, left) {
            Err(AskError::NoAnswer(error)) => Err(Silence::at(daemon.place, error)),
            _ => Ok(daemon),
        }
    }

    /// Asks, and waits no longer than so long.
    fn ask(&mut self, request: &Request, patience: Duration) -> Result<Reply, AskError> {
        let patience = patience_within(&PATIENCE, patience);
        host::ask(&RealHost, &mut *self.control, request, patience)
    }
}

/// Where a daemon is: a path begins with a slash, everything else is an address or a name.
fn address(host: &str, port: u16, patience: Duration) -> Result<ControlAddress, Silence> {
    if host.starts_with('/') {
        return Ok(ControlAddress::Socket(PathBuf::from(host)));
    }
    let address = match host.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, port)),
        Err(_) => look_up(host.to_owned(), port, patience),
    };
    address
        .map(ControlAddress::Udp)
        .map_err(|error| Silence::of_name(host, error))
}

/// Looks a name up. The name service takes its time, so that it is asked in a thread, which ends when it answers.
fn look_up(host: String, port: u16, patience: Duration) -> io::Result<SocketAddr> {
    let (answer, answered) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // Nobody waits any more when the time is up.
        let _ = answer.send(found.and_then(|mut found| found.next().ok_or(ErrorKind::NotFound.into())));
    })?;
    answered
        .recv_timeout(patience)
        .unwrap_or_else(|_| Err(io::Error::other("the name service does not answer in time")))
}

/// Reads a place where a daemon can be asked.
fn host(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an address, a name or a socket's path is missing".to_owned()),
        place => Ok(place.to_owned()),
    }
}
