//! One job with the answers of its hosts, as a page for people.

use std::fmt::Write as _;

use model::job::{JobDetail, TimelineEvent};

use crate::print::Printer;
use crate::print::screen::Tone;
use crate::print::table::{Cell, Table, facts};
use crate::print::time::to_second;
use crate::text;

/// The page of `timeball client job get`.
pub(crate) fn page(job: &JobDetail, printer: Printer) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut page = format!(
        "\n{}",
        facts(&[
            ("Job ID", job.id.to_string()),
            ("Status", job.status.clone()),
            ("Operation", job.operation.kind.clone()),
            ("Target", text(&job.target)),
            ("Hostname", text(&job.hostname)),
            ("User", text(&job.user)),
            ("Created", to_second(&job.created)),
            ("Updated", to_second(&text(&job.updated_at))),
            (
                "Changed",
                job.changed.map(|changed| changed.to_string()).unwrap_or_default()
            ),
            ("Error", text(&job.error)),
            (
                "Retry of",
                job.retry_of.map(|id| id.to_string()).unwrap_or_default()
            ),
            ("Agents", rollup(job)),
        ])
    );
    if let Some(data) = &job.operation.data {
        let _ = write!(page, "\n  Request:\n{}", json(data));
    }
    if !job.responses.is_empty() {
        let mut table = Table::new(&["HOSTNAME", "STATUS", "CHANGED", "ERROR"]);
        for (host, response) in &job.responses {
            table.row(vec![
                Cell::from(host.as_str()),
                status_cell(&response.status),
                Cell::from(response.changed.map(|changed| if changed { "yes" } else { "no" })),
                Cell::from(response.error.as_deref()),
            ]);
        }
        let _ = write!(page, "\n  Agent Responses:\n{}", table.render(printer.screen()));
    }
    if !job.agent_states.is_empty() {
        let mut table = Table::new(&["HOSTNAME", "STATUS", "DURATION", "ERROR"]);
        for (host, state) in &job.agent_states {
            table.row(vec![
                Cell::from(host.as_str()),
                status_cell(&state.status),
                Cell::from(state.duration.as_deref()),
                Cell::from(state.error.as_deref()),
            ]);
        }
        let _ = write!(page, "\n  Agent States:\n{}", table.render(printer.screen()));
    }
    page.push_str(&timeline(&job.timeline, printer));
    if let Some(result) = &job.result {
        let _ = write!(page, "\n  Result:\n{}", json(result));
    }
    page
}

/// How many hosts are in which state, when there are several: `3 hosts: 2 completed, 1 failed`.
fn rollup(job: &JobDetail) -> String {
    if job.agent_states.len() < 2 {
        return String::new();
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for state in job.agent_states.values() {
        match counts.iter_mut().find(|(status, _)| *status == state.status) {
            Some((_, count)) => *count += 1,
            None => counts.push((&state.status, 1)),
        }
    }
    counts.sort_unstable();
    let counts: Vec<String> = counts
        .iter()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    format!("{} hosts: {}", job.agent_states.len(), counts.join(", "))
}

/// What happened when, as a titled table; nothing when nothing happened.
pub(crate) fn timeline(events: &[TimelineEvent], printer: Printer) -> String {
    if events.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["TIMESTAMP", "EVENT", "HOSTNAME", "MESSAGE", "ERROR"]);
    for event in events {
        table.row(vec![
            Cell::from(to_second(&event.timestamp)),
            Cell::from(event.event.as_str()),
            Cell::from(event.hostname.as_str()),
            Cell::from(event.message.as_str()),
            Cell::from(event.error.as_str()),
        ]);
    }
    format!("\n  Timeline:\n{}", table.render(printer.screen()))
}

/// The state of a job, or of a job on a host.
pub(crate) fn status_cell(status: &str) -> Cell {
    let tone = match status {
        "completed" => Tone::Good,
        "failed" | "partial_failure" => Tone::Bad,
        "skipped" => Tone::Warn,
        _ => Tone::Plain,
    };
    Cell::toned(status, tone)
}

/// JSON on indented lines.
pub(crate) fn json(value: &serde_json::Value) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    text::lines(&pretty)
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect()
}
