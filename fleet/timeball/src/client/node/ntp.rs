//! `timeball client node ntp`: state and servers of time synchronisation.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::ntp::{NtpCollectionResponse, NtpMutationResponse, RowStatus};
use model::route::{Endpoint, TIMEOUT_S_MAX};
use model::{Server, Servers, Target};
use serde::Deserialize;

use crate::client::Client;
use crate::client::http::Call;
use crate::client::node::rows;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::decode;

/// Commands of `timeball client node ntp`.
#[derive(Debug, Subcommand)]
pub(crate) enum NtpCommand {
    /// Show how hosts are synchronised and with what
    #[command(after_long_help = "Example:\n  timeball client node ntp get --target group:web -o wide")]
    Get(GetArgs),
    /// Put servers under management on hosts that have none managed yet
    #[command(
        after_long_help = "Example:\n  timeball client node ntp create --target web-01 \\\n    \
                                 --servers ntp1.example.com,ntp2.example.com \\\n    \
                                 --servers time.example.com+nts+minpoll=4"
    )]
    Create(WriteArgs),
    /// Replace the managed servers of hosts
    #[command(
        after_long_help = "Example:\n  timeball client node ntp update --target _all \\\n    \
                                 --servers ntp1.example.com --servers pool.ntp.org+pool"
    )]
    Update(WriteArgs),
    /// Remove the managed servers of hosts
    #[command(after_long_help = "Example:\n  timeball client node ntp delete --target web-01")]
    Delete(DeleteArgs),
}

/// Arguments of `get`.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    wait: WaitArgs,
    /// Ask again and again, every 5 seconds or as said
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "5",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    watch: Option<u64>,
}

/// Arguments of `create` and `update`.
#[derive(Args, Debug)]
pub(crate) struct WriteArgs {
    /// A server, or several with commas between; again for more
    #[arg(
        long,
        value_name = "SERVER",
        value_delimiter = ',',
        required_unless_present = "servers_file",
        long_help = "A server by name or address, or several with commas between; can be given again for more. \
                     Options follow after plus signs: time.example.com+nts+minpoll=4, pool.ntp.org+pool. \
                     They are pool, noiburst, nts, prefer, trust, require, noselect, xleave, minpoll=N, \
                     maxpoll=N, maxsources=N, port=N, version=N and key=N."
    )]
    servers: Vec<Server>,
    /// YAML or JSON list of servers; - is standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "servers",
        long_help = "YAML or JSON list of servers, each a name or a map with name and options, such as \
                     {name: time.example.com, nts: true, minpoll: 4}; - is standard input."
    )]
    servers_file: Option<PathBuf>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Arguments of `delete`.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    wait: WaitArgs,
}

/// How long to wait for hosts.
#[derive(Args, Debug)]
struct WaitArgs {
    /// How long to wait for the hosts, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_S_MAX)
    )]
    timeout: Option<u64>,
}

impl NtpCommand {
    /// Says whether the command can change hosts.
    pub(crate) fn writes(&self) -> bool {
        match self {
            NtpCommand::Get(_) => false,
            NtpCommand::Create(_) | NtpCommand::Update(_) | NtpCommand::Delete(_) => true,
        }
    }

    /// The command's word.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            NtpCommand::Get(_) => "get",
            NtpCommand::Create(_) => "create",
            NtpCommand::Update(_) => "update",
            NtpCommand::Delete(_) => "delete",
        }
    }
}

/// Runs a command.
pub(crate) fn run(command: &NtpCommand, target: &Target, client: &Client) -> Ending {
    match command {
        NtpCommand::Get(GetArgs { wait, watch: None }) => get(target, wait, client),
        NtpCommand::Get(GetArgs {
            wait,
            watch: Some(seconds),
        }) => watch(target, wait, *seconds, client),
        NtpCommand::Create(args) => write(
            target,
            &request(Endpoint::PostNodeNtp, target, &args.wait).body(&servers(args)?),
            client,
        ),
        NtpCommand::Update(args) => write(
            target,
            &request(Endpoint::PutNodeNtp, target, &args.wait).body(&servers(args)?),
            client,
        ),
        NtpCommand::Delete(args) => write(
            target,
            &request(Endpoint::DeleteNodeNtp, target, &args.wait),
            client,
        ),
    }
}

fn request(endpoint: Endpoint, target: &Target, wait: &WaitArgs) -> Call {
    Call::new(endpoint, &[&target.to_string()])
        .query("timeout_s", wait.timeout)
        .hosts_wait(wait.timeout.map(Duration::from_secs))
}

fn get(target: &Target, wait: &WaitArgs, client: &Client) -> Ending {
    let answer = client.call_hosts(&request(Endpoint::GetNodeNtp, target, wait))?;
    let printer = client.printer;
    printer.show(&answer.body, |response: &NtpCollectionResponse| {
        rows::status_page(response, printer)
    })?;
    verdict(target, &answer.body)
}

/// Asks until it is interrupted. What goes wrong after the first answer is shown and asked again, so that a
/// controller's restart does not end it.
fn watch(target: &Target, wait: &WaitArgs, seconds: u64, client: &Client) -> Ending {
    let screen = client.printer.screen();
    let mut answered = false;
    loop {
        if screen.is_terminal() {
            let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
            screen.write(&format!(
                "\u{1b}[H\u{1b}[2J  {target} every {seconds} s, last asked {now}\n"
            ))?;
        }
        match get(target, wait, client) {
            Ok(_) => answered = true,
            Err(Failure::Refused(text) | Failure::RefusedByApi { text, .. }) if answered => {
                if client.printer.is_for_programs() {
                    // Nobody is left to tell when stderr is closed.
                    let _ = writeln!(io::stderr(), "timeball: {text}");
                } else {
                    screen.write(&format!("\n  {text}\n"))?;
                }
            }
            Err(failure) => return Err(failure),
        }
        thread::sleep(Duration::from_secs(seconds));
    }
}

fn write(target: &Target, call: &Call, client: &Client) -> Ending {
    let answer = client.call_hosts(call)?;
    let printer = client.printer;
    printer.show(&answer.body, |response: &NtpMutationResponse| {
        rows::change_page(response, printer)
    })?;
    verdict(target, &answer.body)
}

/// The one field of an answer that decides the exit code, so that JSON with rows that this program does not
/// understand can still be passed on.
#[derive(Deserialize)]
struct Verdicts {
    results: Vec<RowVerdict>,
}

#[derive(Deserialize)]
struct RowVerdict {
    status: RowStatus,
}

/// Says whether all is done. Among many hosts one may be skipped, because it is drained or cannot do such a thing at
/// all; where one host was asked for and is skipped, nothing was done.
fn verdict(target: &Target, body: &[u8]) -> Ending {
    let Verdicts { results } = decode(body)?;
    let one = match target {
        Target::Host(_) | Target::Any => true,
        Target::All | Target::Label(_) => false,
    };
    let undone = results.iter().any(|row| match row.status {
        RowStatus::Failed => true,
        RowStatus::Skipped => one,
        RowStatus::Ok => false,
    });
    Ok(if undone {
        Verdict::SomeFailed
    } else {
        Verdict::Done
    })
}

/// The servers that were asked for.
fn servers(args: &WriteArgs) -> Result<Servers, Failure> {
    match &args.servers_file {
        Some(file) => servers_of_file(file),
        None => Servers::new(args.servers.clone())
            .map_err(|invalid| Failure::new(format!("--servers: {invalid}"))),
    }
}

/// Reads a list of servers, bare or below `servers`. JSON is YAML.
fn servers_of_file(file: &Path) -> Result<Servers, Failure> {
    const BYTES_MAX: u64 = 1 << 20;
    let refuse =
        |why: &dyn std::fmt::Display| Failure::new(format!("--servers-file {}: {why}", file.display()));
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().take(BYTES_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| refuse(&error))?;
    let value: serde_json::Value = serde_saphyr::from_str(&text)
        .map_err(|error| refuse(&crate::text::line(&error.without_snippet().to_string())))?;
    let body = match value {
        list @ serde_json::Value::Array(_) => serde_json::json!({ "servers": list }),
        other => other,
    };
    if !body.is_object() {
        return Err(refuse(
            &"no list of servers in it; write one name per line, each after \"- \"",
        ));
    }
    Servers::from_json(&body).map_err(|invalid| refuse(&invalid))
}
