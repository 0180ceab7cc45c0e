//! `timeball client job`: what was asked and what became of it.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use model::Target;
use model::job::{CreateJobResponse, JobDetail, ListJobsResponse, RetryJobRequest};
use model::route::{Endpoint, LIMIT_MAX};
use uuid::Uuid;

use crate::client::http::Call;
use crate::client::job_page;
use crate::client::{Client, id};
use crate::ending::{Ending, Verdict};
use crate::print::Printer;
use crate::print::table::{Cell, Table, facts};
use crate::print::time::to_second;

/// Commands of `timeball client job`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List jobs, newest first
    #[command(after_long_help = "Example:\n  timeball client job list --status failed --limit 20")]
    List(ListArgs),
    /// Show a job with the answers of its hosts
    #[command(after_long_help = "Example:\n  timeball client job get \\\n    \
                                 --job-id 550e8400-e29b-41d4-a716-446655440000")]
    Get(JobArgs),
    /// Submit a job's operation again, to its own target or another
    #[command(after_long_help = "Example:\n  timeball client job retry \\\n    \
                                 --job-id 550e8400-e29b-41d4-a716-446655440000 --target-hostname web-01")]
    Retry(RetryArgs),
    /// Forget a job and its answers; what hosts did stays done
    #[command(after_long_help = "Example:\n  timeball client job delete \\\n    \
                                 --job-id 550e8400-e29b-41d4-a716-446655440000")]
    Delete(JobArgs),
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only jobs in this state, such as failed
    #[arg(
        long,
        value_enum,
        value_name = "STATE",
        hide_possible_values = true,
        help = "Only jobs in this state, such as failed or partial_failure"
    )]
    status: Option<StatusFilter>,
    /// How many at most
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    limit: u64,
    /// How many of the newest to skip
    #[arg(long, default_value_t = 0)]
    offset: u64,
}

/// States of jobs.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum StatusFilter {
    Submitted,
    Processing,
    Completed,
    Failed,
    PartialFailure,
    Skipped,
}

/// The job that a command is about.
#[derive(Args, Debug)]
pub(crate) struct JobArgs {
    /// The job's id
    #[arg(long, value_name = "ID", value_parser = id)]
    job_id: Uuid,
}

/// Arguments of `retry`.
#[derive(Args, Debug)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Another target than the job's own
    #[arg(long, value_name = "TARGET")]
    target_hostname: Option<Target>,
}

/// Runs a command.
pub(crate) fn run(command: &JobCommand, client: &Client) -> Ending {
    match command {
        JobCommand::List(args) => list(args, client),
        JobCommand::Get(args) => get(args, client),
        JobCommand::Retry(args) => retry(args, client),
        JobCommand::Delete(args) => delete(args, client),
    }
}

fn list(args: &ListArgs, client: &Client) -> Ending {
    let status = args.status.as_ref().and_then(ValueEnum::to_possible_value);
    let call = Call::new(Endpoint::GetJobs, &[])
        .query(
            "status",
            status.as_ref().map(clap::builder::PossibleValue::get_name),
        )
        .query("limit", Some(args.limit))
        .query("offset", Some(args.offset));
    let answer = client.call(&call)?;
    let printer = client.printer;
    printer.show(&answer.body, |response: &ListJobsResponse| {
        jobs_page(response, printer)
    })?;
    Ok(Verdict::Done)
}

fn jobs_page(response: &ListJobsResponse, printer: Printer) -> String {
    let counts: Vec<String> = response
        .status_counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let counts = crate::text::line(&counts.join(", "));
    if response.items.is_empty() {
        return "\n  No jobs found.\n".to_owned();
    }
    let jobs = if response.total_items == 1 { "job" } else { "jobs" };
    let mut page = format!(
        "\n  {} {jobs}, {} shown; by state: {counts}\n\n",
        response.total_items,
        response.items.len()
    );
    let mut head = vec!["JOB ID", "STATUS", "CREATED", "TARGET", "OPERATION"];
    if printer.wide() {
        head.extend(["CHANGED", "USER", "HOSTNAME", "RETRY OF", "ERROR"]);
    }
    let mut table = Table::new(&head);
    for job in &response.items {
        let mut cells = vec![
            Cell::from(job.id.to_string()),
            job_page::status_cell(&job.status),
            Cell::from(to_second(&job.created)),
            Cell::from(job.target.as_deref().or(job.hostname.as_deref())),
            Cell::from(job.operation.kind.as_str()),
        ];
        if printer.wide() {
            cells.push(Cell::from(
                job.changed.map(|changed| if changed { "yes" } else { "no" }),
            ));
            cells.push(Cell::from(job.user.as_deref()));
            cells.push(Cell::from(job.hostname.as_deref()));
            cells.push(Cell::from(job.retry_of.map(|id| id.to_string())));
            cells.push(Cell::from(job.error.as_deref()));
        }
        table.row(cells);
    }
    page.push_str(&table.render(printer.screen()));
    page
}

fn get(args: &JobArgs, client: &Client) -> Ending {
    let answer = client.call(&Call::new(Endpoint::GetJob, &[&args.job_id.to_string()]))?;
    let printer = client.printer;
    printer.show(&answer.body, |job: &JobDetail| job_page::page(job, printer))?;
    Ok(Verdict::Done)
}

fn retry(args: &RetryArgs, client: &Client) -> Ending {
    let request = RetryJobRequest {
        target_hostname: args.target_hostname.as_ref().map(Target::to_string),
    };
    let call = Call::new(Endpoint::RetryJob, &[&args.job.job_id.to_string()]).body(&request);
    let answer = client.call(&call)?;
    client
        .printer
        .show(&answer.body, |response: &CreateJobResponse| {
            let facts = facts(&[
                ("Job ID", response.job_id.to_string()),
                ("Status", response.status.clone()),
                (
                    "Revision",
                    response
                        .revision
                        .map(|revision| revision.to_string())
                        .unwrap_or_default(),
                ),
            ]);
            format!("\n{facts}")
        })?;
    Ok(Verdict::Done)
}

/// The API answers without a body; what is printed in its place has the fields that OSAPI's client prints.
fn delete(args: &JobArgs, client: &Client) -> Ending {
    client.call(&Call::new(Endpoint::DeleteJob, &[&args.job_id.to_string()]))?;
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let body = format!(
        "{{\"status\":\"deleted\",\"job_id\":\"{}\",\"timestamp\":\"{now}\"}}",
        args.job_id
    );
    client.printer.show(body.as_bytes(), |_: &serde_json::Value| {
        format!(
            "\n{}",
            facts(&[
                ("Job ID", args.job_id.to_string()),
                ("Status", "Deleted".to_owned())
            ])
        )
    })?;
    Ok(Verdict::Done)
}
