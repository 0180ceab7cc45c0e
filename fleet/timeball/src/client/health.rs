//! `timeball client health`: the controller's own state.

use std::fmt::Write as _;

use clap::Subcommand;
use model::health::{HealthResponse, ReadyResponse, StatusResponse};
use model::route::Endpoint;
use ureq::http::StatusCode;

use crate::client::Client;
use crate::client::http::Call;
use crate::ending::{Ending, Verdict};
use crate::print::Printer;
use crate::print::screen::Tone;
use crate::print::table::{Cell, Table, facts};

/// Commands of `timeball client health`.
#[derive(Debug, Subcommand)]
pub(crate) enum HealthCommand {
    /// Say whether the controller answers
    #[command(after_long_help = "Example:\n  timeball client health liveness")]
    Liveness,
    /// Say whether the controller can do its work; exit code 1 if not
    #[command(after_long_help = "Example:\n  timeball client health ready")]
    Ready,
    /// Show the controller's parts and what it holds
    #[command(after_long_help = "Exit code 1 when a part is not well.\n\nExample:\n  \
                                 timeball client health status")]
    Status,
}

/// Runs a command. An answer of "not well" (503) is an answer.
pub(crate) fn run(command: &HealthCommand, client: &Client) -> Ending {
    let printer = client.printer;
    let status = match command {
        HealthCommand::Liveness => {
            let answer = client.call(&Call::new(Endpoint::GetHealth, &[]))?;
            printer.show(&answer.body, |response: &HealthResponse| {
                format!("\n{}", facts(&[("Status", response.status.clone())]))
            })?;
            answer.status
        }
        HealthCommand::Ready => {
            let call = Call::new(Endpoint::GetHealthReady, &[]).taking(StatusCode::SERVICE_UNAVAILABLE);
            let answer = client.call(&call)?;
            printer.show(&answer.body, |response: &ReadyResponse| {
                let error = response.error.clone().unwrap_or_default();
                format!(
                    "\n{}",
                    facts(&[("Status", response.status.clone()), ("Error", error)])
                )
            })?;
            answer.status
        }
        HealthCommand::Status => {
            let call = Call::new(Endpoint::GetHealthStatus, &[]).taking(StatusCode::SERVICE_UNAVAILABLE);
            let answer = client.call(&call)?;
            printer.show(&answer.body, |response: &StatusResponse| {
                status_page(response, printer)
            })?;
            answer.status
        }
    };
    Ok(if status.is_success() {
        Verdict::Done
    } else {
        Verdict::SomeFailed
    })
}

fn status_page(response: &StatusResponse, printer: Printer) -> String {
    let (jobs, agents) = (&response.jobs, &response.agents);
    let mut page = format!(
        "\n{}",
        facts(&[
            ("Status", response.status.clone()),
            ("Version", response.version.clone()),
            ("Uptime", response.uptime.clone()),
            ("Agents", format!("{} of {} ready", agents.ready, agents.total)),
            (
                "Jobs",
                format!(
                    "{} total, {} unprocessed, {} processing, {} completed, {} failed",
                    jobs.total, jobs.unprocessed, jobs.processing, jobs.completed, jobs.failed
                ),
            ),
        ])
    );
    let mut components = Table::new(&["COMPONENT", "STATUS", "ADDRESS", "ERROR"]);
    for (name, component) in &response.components {
        let tone = if component.status == "ok" {
            Tone::Good
        } else {
            Tone::Bad
        };
        components.row(vec![
            Cell::from(name.as_str()),
            Cell::toned(&component.status, tone),
            Cell::from(component.address.as_deref()),
            Cell::from(component.error.as_deref()),
        ]);
    }
    let mut stores = Table::new(&["STORE", "KIND", "ENTRIES", "BYTES"]);
    for bucket in &response.kv_buckets {
        stores.row(store(&bucket.name, "bucket", bucket.keys, bucket.bytes));
    }
    for stream in &response.streams {
        stores.row(store(&stream.name, "log", stream.messages, stream.bytes));
    }
    for table in [components, stores].iter().filter(|table| !table.is_empty()) {
        let _ = write!(page, "\n{}", table.render(printer.screen()));
    }
    page
}

fn store(name: &str, kind: &str, entries: u64, bytes: u64) -> Vec<Cell> {
    vec![
        Cell::from(name),
        Cell::from(kind),
        Cell::from(entries.to_string()),
        Cell::from(bytes.to_string()),
    ]
}
