//! `timeball client agent`: hosts and their agents.

use std::time::Duration;

use clap::{Args, Subcommand};
use link::key::Fingerprint;
use model::host::{
    AgentInfo, EnrolmentTokenRequest, EnrolmentTokenResponse, HostState, ListAgentsResponse,
    ListPendingAgentsResponse, MessageResponse,
};
use model::route::Endpoint;

use crate::client::Client;
use crate::client::host_page;
use crate::client::http::Call;
use crate::ending::{Ending, Verdict};
use crate::print::Printer;
use crate::print::screen::Tone;
use crate::print::table::{Cell, Table, facts};
use crate::print::time::{ago, to_second};
use crate::settings::duration;

/// Commands of `timeball client agent`.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// List the accepted hosts, or those that wait
    #[command(after_long_help = "Example:\n  timeball client agent list --pending")]
    List(ListArgs),
    /// Show a host
    #[command(after_long_help = "Example:\n  timeball client agent get --hostname web-01")]
    Get(HostArgs),
    /// Take a host out of service: it gets no new jobs
    #[command(after_long_help = "Example:\n  timeball client agent drain --hostname web-01")]
    Drain(HostArgs),
    /// Put a drained host back into service
    #[command(after_long_help = "Example:\n  timeball client agent undrain --hostname web-01")]
    Undrain(HostArgs),
    /// Accept a host that waits
    #[command(
        after_long_help = "Compare the fingerprint with what `timeball agent fingerprint` prints on the \
                                 host.\n\nExample:\n  timeball client agent accept --hostname web-01 \\\n    \
                                 --fingerprint SHA256:…"
    )]
    Accept(AcceptArgs),
    /// Reject a host that waits
    #[command(after_long_help = "Example:\n  timeball client agent reject --hostname web-01")]
    Reject(HostArgs),
    /// Forget a host; its agent would have to be accepted anew
    #[command(after_long_help = "Example:\n  timeball client agent remove --hostname web-01")]
    Remove(HostArgs),
    /// Tokens with which hosts join without an administrator's word
    #[command(subcommand)]
    Token(TokenCommand),
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Hosts that wait to be accepted
    #[arg(long)]
    pending: bool,
}

/// The host that a command is about.
#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    /// Host name or machine id
    #[arg(long, value_name = "HOST")]
    hostname: String,
}

/// Arguments of `accept`.
#[derive(Args, Debug)]
pub(crate) struct AcceptArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Only if the host's key has this fingerprint
    #[arg(long, value_name = "PRINT")]
    fingerprint: Option<Fingerprint>,
}

/// Commands of `timeball client agent token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is shown this once
    #[command(after_long_help = "Example:\n  timeball client agent token create --lifetime 1h --uses 20")]
    Create(CreateTokenArgs),
}

/// Arguments of `token create`.
#[derive(Args, Debug)]
pub(crate) struct CreateTokenArgs {
    /// How long it can be used, such as 10m, 1h or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lifetime: Option<Duration>,
    /// How many hosts it can enrol
    #[arg(long, value_name = "HOSTS")]
    uses: Option<u32>,
}

/// Runs a command.
pub(crate) fn run(command: &AgentCommand, client: &Client) -> Ending {
    let change = |endpoint, host: &HostArgs, done| {
        let call = Call::new(endpoint, &[&host.hostname]);
        changed(client, &call, host, done)
    };
    match command {
        AgentCommand::List(ListArgs { pending: false }) => list(client),
        AgentCommand::List(ListArgs { pending: true }) => list_pending(client),
        AgentCommand::Get(host) => get(client, host),
        AgentCommand::Drain(host) => change(Endpoint::DrainAgent, host, "Cordoned"),
        AgentCommand::Undrain(host) => change(Endpoint::UndrainAgent, host, "Ready"),
        AgentCommand::Accept(args) => {
            let call = Call::new(Endpoint::AcceptAgent, &[&args.host.hostname]);
            let call = call.query("fingerprint", args.fingerprint);
            changed(client, &call, &args.host, "Accepted")
        }
        AgentCommand::Reject(host) => change(Endpoint::RejectAgent, host, "Rejected"),
        AgentCommand::Remove(host) => change(Endpoint::DeleteAgent, host, "Removed"),
        AgentCommand::Token(TokenCommand::Create(args)) => create_token(client, args),
    }
}

fn list(client: &Client) -> Ending {
    let answer = client.call(&Call::new(Endpoint::GetAgents, &[]))?;
    let printer = client.printer;
    printer.show(&answer.body, |response: &ListAgentsResponse| {
        agents_page(response, printer)
    })?;
    Ok(Verdict::Done)
}

fn agents_page(response: &ListAgentsResponse, printer: Printer) -> String {
    if response.agents.is_empty() {
        return "\n  No active agents found.\n".to_owned();
    }
    let mut head = vec![
        "MACHINE ID",
        "HOSTNAME",
        "STATUS",
        "CONDITIONS",
        "LABELS",
        "AGE",
        "LOAD (1m)",
        "OS",
    ];
    if printer.wide() {
        head.extend(["STATE", "CLOCK", "LAST SEEN", "VERSION", "FINGERPRINT"]);
    }
    let mut table = Table::new(&head);
    for agent in &response.agents {
        let mut cells = vec![
            Cell::from(agent.machine_id.as_deref()),
            Cell::from(agent.hostname.as_str()),
            status_cell(agent),
            Cell::from(
                agent
                    .conditions
                    .iter()
                    .map(|c| c.kind.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            Cell::from(labels(agent)),
            Cell::from(ago(agent.registered_at.as_deref())),
            Cell::from(agent.load_average.as_ref().map(|load| format!("{:.2}", load.one))),
            Cell::from(
                agent
                    .os_info
                    .as_ref()
                    .map(|os| format!("{} {}", os.distribution, os.version)),
            ),
        ];
        if printer.wide() {
            cells.push(Cell::from(agent.state.map(state)));
            cells.push(Cell::from(host_page::clock(agent)));
            cells.push(Cell::from(ago(agent.last_seen.as_deref())));
            cells.push(Cell::from(agent.agent_version.as_deref()));
            cells.push(Cell::from(agent.fingerprint.as_deref()));
        }
        table.row(cells);
    }
    format!(
        "\n  Active Agents ({})\n\n{}",
        response.total,
        table.render(printer.screen())
    )
}

fn status_cell(agent: &AgentInfo) -> Cell {
    let tone = if agent.status == "Ready" {
        Tone::Good
    } else {
        Tone::Bad
    };
    Cell::toned(&agent.status, tone)
}

/// The labels of a host in the form that targets have.
pub(crate) fn labels(agent: &AgentInfo) -> String {
    let labels: Vec<String> = agent
        .labels
        .iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    labels.join(", ")
}

/// A host's state in a word.
pub(crate) fn state(state: HostState) -> &'static str {
    match state {
        HostState::Pending => "Pending",
        HostState::Ready => "Ready",
        HostState::Cordoned => "Cordoned",
        HostState::Rejected => "Rejected",
        HostState::Unknown => "Unknown",
    }
}

fn list_pending(client: &Client) -> Ending {
    let answer = client.call(&Call::new(Endpoint::GetPendingAgents, &[]))?;
    let printer = client.printer;
    printer.show(&answer.body, |response: &ListPendingAgentsResponse| {
        if response.agents.is_empty() {
            return "\n  No pending agents found.\n".to_owned();
        }
        let mut table = Table::new(&["MACHINE ID", "HOSTNAME", "FINGERPRINT", "REQUESTED"]);
        for agent in &response.agents {
            table.row(vec![
                Cell::from(agent.machine_id.as_str()),
                Cell::from(agent.hostname.as_str()),
                Cell::from(fingerprint(&agent.fingerprint, printer.wide())),
                Cell::from(to_second(&agent.requested_at)),
            ]);
        }
        format!(
            "\n  Pending Agents ({})\n\n{}",
            response.total,
            table.render(printer.screen())
        )
    })?;
    Ok(Verdict::Done)
}

/// A fingerprint's first twenty characters, or all of it.
fn fingerprint(text: &str, whole: bool) -> String {
    const SHOWN_CHARS: usize = 20;
    if whole || text.chars().count() <= SHOWN_CHARS {
        text.to_owned()
    } else {
        text.chars().take(SHOWN_CHARS).chain("...".chars()).collect()
    }
}

fn get(client: &Client, host: &HostArgs) -> Ending {
    let answer = client.call(&Call::new(Endpoint::GetAgent, &[&host.hostname]))?;
    let printer = client.printer;
    printer.show(&answer.body, |agent: &AgentInfo| host_page::page(agent, printer))?;
    Ok(Verdict::Done)
}

fn changed(client: &Client, call: &Call, host: &HostArgs, done: &str) -> Ending {
    let answer = client.call(call)?;
    client.printer.show(&answer.body, |response: &MessageResponse| {
        let facts = facts(&[
            ("Hostname", host.hostname.clone()),
            ("Status", done.to_owned()),
            ("Message", response.message.clone()),
        ]);
        format!("\n{facts}")
    })?;
    Ok(Verdict::Done)
}

fn create_token(client: &Client, args: &CreateTokenArgs) -> Ending {
    let request = EnrolmentTokenRequest {
        lifetime_s: args.lifetime.map(|lifetime| lifetime.as_secs()),
        uses: args.uses,
    };
    let answer = client.call(&Call::new(Endpoint::PostEnrolmentToken, &[]).body(&request))?;
    client
        .printer
        .show(&answer.body, |response: &EnrolmentTokenResponse| {
            let facts = facts(&[
                ("Token", response.token.clone()),
                ("Uses", response.uses.to_string()),
                ("Expires", response.expires_at.clone()),
            ]);
            format!(
                "\n{facts}\n  Put the token into a file on the host, then:\n  \
             timeball agent --controller HOST:PORT --enrolment-token-file FILE\n"
            )
        })?;
    Ok(Verdict::Done)
}
