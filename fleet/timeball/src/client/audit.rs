//! `timeball client audit`: who asked for what.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use model::audit::{AuditEntry, AuditEntryResponse, ListAuditResponse};
use model::route::{Endpoint, LIMIT_MAX};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::client::http::Call;
use crate::client::job_page::json;
use crate::client::{Client, id};
use crate::ending::{Ending, Failure, Verdict};
use crate::print::table::{Cell, Table, facts};
use crate::print::time::to_second;
use crate::print::{Printer, decode};

/// Commands of `timeball client audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List entries, newest first
    #[command(after_long_help = "Example:\n  timeball client audit list --limit 50")]
    List(ListArgs),
    /// Show an entry with the body of its request
    #[command(after_long_help = "Example:\n  timeball client audit get \\\n    \
                                 --audit-id 0198c2d4-7c7e-7000-8000-000000000001")]
    Get(GetArgs),
    /// Write every entry to a file, one JSON object per line
    #[command(after_long_help = "Example:\n  timeball client audit export --output audit.jsonl")]
    Export(ExportArgs),
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// How many at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    limit: u64,
    /// How many of the newest to skip
    #[arg(long, default_value_t = 0)]
    offset: u64,
}

/// Arguments of `get`.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// The entry's id
    #[arg(long, value_name = "ID", value_parser = id)]
    audit_id: Uuid,
}

/// Arguments of `export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The file; - is standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Where to: a file is all there is
    #[arg(long = "type", value_enum, default_value_t = Destination::File, hide = true)]
    destination: Destination,
}

/// Where entries can be exported to.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Destination {
    File,
}

/// Runs a command.
pub(crate) fn run(command: &AuditCommand, client: &Client) -> Ending {
    match command {
        AuditCommand::List(args) => list(args, client),
        AuditCommand::Get(args) => get(args, client),
        AuditCommand::Export(args) => export(args, client),
    }
}

fn list(args: &ListArgs, client: &Client) -> Ending {
    let call = Call::new(Endpoint::GetAudit, &[])
        .query("limit", Some(args.limit))
        .query("offset", Some(args.offset));
    let answer = client.call(&call)?;
    let printer = client.printer;
    printer.show(&answer.body, |response: &ListAuditResponse| {
        entries_page(response, printer)
    })?;
    Ok(Verdict::Done)
}

fn entries_page(response: &ListAuditResponse, printer: Printer) -> String {
    if response.items.is_empty() {
        return "\n  No audit entries found.\n".to_owned();
    }
    let mut head = vec![
        "ID",
        "TIMESTAMP",
        "USER",
        "METHOD",
        "PATH",
        "STATUS",
        "DURATION",
        "TRACE ID",
    ];
    if printer.wide() {
        head.extend(["ROLES", "SOURCE IP", "OPERATION", "JOB ID"]);
    }
    let mut table = Table::new(&head);
    for entry in &response.items {
        let mut cells = vec![
            Cell::from(entry.id.to_string()),
            Cell::from(to_second(&entry.timestamp)),
            Cell::from(entry.user.as_str()),
            Cell::from(entry.method.as_str()),
            Cell::from(entry.path.as_str()),
            Cell::from(entry.response_code.to_string()),
            Cell::from(format!("{}ms", entry.duration_ms)),
            Cell::from(entry.trace_id.as_deref()),
        ];
        if printer.wide() {
            cells.push(Cell::from(entry.roles.join(", ")));
            cells.push(Cell::from(entry.source_ip.as_str()));
            cells.push(Cell::from(entry.operation_id.as_deref()));
            cells.push(Cell::from(entry.job_id.map(|id| id.to_string())));
        }
        table.row(cells);
    }
    let entries = if response.total_items == 1 {
        "entry"
    } else {
        "entries"
    };
    let table = table.render(printer.screen());
    format!(
        "\n  {} {entries}, {} shown\n\n{table}",
        response.total_items,
        response.items.len()
    )
}

fn get(args: &GetArgs, client: &Client) -> Ending {
    let answer = client.call(&Call::new(Endpoint::GetAuditEntry, &[&args.audit_id.to_string()]))?;
    client
        .printer
        .show(&answer.body, |response: &AuditEntryResponse| {
            entry_page(&response.entry)
        })?;
    Ok(Verdict::Done)
}

fn entry_page(entry: &AuditEntry) -> String {
    let facts = facts(&[
        ("ID", entry.id.to_string()),
        ("Timestamp", entry.timestamp.clone()),
        ("User", entry.user.clone()),
        ("Roles", entry.roles.join(", ")),
        ("Method", entry.method.clone()),
        ("Path", entry.path.clone()),
        ("Operation", entry.operation_id.clone().unwrap_or_default()),
        ("Source IP", entry.source_ip.clone()),
        ("Status", entry.response_code.to_string()),
        ("Duration", format!("{}ms", entry.duration_ms)),
        (
            "Job ID",
            entry.job_id.map(|id| id.to_string()).unwrap_or_default(),
        ),
        ("Trace ID", entry.trace_id.clone().unwrap_or_default()),
    ]);
    let body = entry
        .body
        .as_ref()
        .map(|body| format!("\n  Body:\n{}", json(body)))
        .unwrap_or_default();
    format!("\n{facts}{body}")
}

/// The entries as they came, with fields that this program does not know.
#[derive(Deserialize)]
struct RawEntries {
    items: Vec<Box<RawValue>>,
}

fn export(args: &ExportArgs, client: &Client) -> Ending {
    let Destination::File = args.destination;
    let answer = client.call(&Call::new(Endpoint::GetAuditExport, &[]))?;
    let entries: RawEntries = decode(&answer.body)?;
    if args.output == Path::new("-") {
        write_lines(&mut io::stdout().lock(), &entries)?;
        return Ok(Verdict::Done);
    }
    let failed = |error: io::Error| Failure::new(format!("--output {}: {error}", args.output.display()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&args.output)
        .map_err(failed)?;
    write_lines(&mut file, &entries)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    let word = if entries.items.len() == 1 {
        "entry"
    } else {
        "entries"
    };
    // Not on stdout, which is for what the API says.
    let _ = writeln!(
        io::stderr(),
        "{} {word} written to {}",
        entries.items.len(),
        args.output.display()
    );
    Ok(Verdict::Done)
}

fn write_lines(out: &mut dyn Write, entries: &RawEntries) -> io::Result<()> {
    let mut lines = String::new();
    for entry in &entries.items {
        // JSON that came on several lines goes on one.
        lines.extend(entry.get().chars().filter(|c| !matches!(c, '\n' | '\r')));
        lines.push('\n');
    }
    out.write_all(lines.as_bytes())?;
    out.flush()
}
