//! What hosts answered, as pages for people.

use model::ntp::{
    DriftKind, NtpCollectionResponse, NtpMutationResponse, NtpMutationResult, NtpStatus, NtpStatusEntry,
    RowStatus, SyncState,
};
use uuid::Uuid;

use crate::print::Printer;
use crate::print::screen::Tone;
use crate::print::table::{Cell, Table};
use crate::text;

/// The page of `get`.
pub(crate) fn status_page(response: &NtpCollectionResponse, printer: Printer) -> String {
    let mut head = vec!["HOSTNAME", "STATUS", "SYNCHRONIZED", "STRATUM", "OFFSET"];
    if printer.wide() {
        head.extend(["STATE", "BOUND", "LEAP", "SOURCE", "SOURCES", "SERVERS"]);
        head.extend(["MANAGED", "DRIFT", "SERVICE", "MACHINE-ID"]);
    } else {
        head.extend(["SOURCE", "SERVERS"]);
    }
    let mut table = Table::new(&head);
    for row in &response.results {
        let mut cells = vec![
            Cell::from(row.hostname.as_str()),
            status_cell(row.status, None),
            Cell::from(row.synchronized.map(yes_or_no)),
            Cell::from(row.stratum.map(|stratum| stratum.to_string())),
            Cell::from(row.offset.as_deref()),
        ];
        if printer.wide() {
            cells.extend(wide_cells(row));
        } else {
            cells.push(Cell::from(row.current_source.as_deref()));
            cells.push(Cell::from(row.servers.join(", ")));
        }
        table.row(cells);
    }
    let rows: Vec<Row<'_>> = response.results.iter().map(Row::from).collect();
    page(response.job_id, &table, &rows, printer)
}

/// The page of `create`, `update` and `delete`.
pub(crate) fn change_page(response: &NtpMutationResponse, printer: Printer) -> String {
    let mut head = vec!["HOSTNAME", "STATUS"];
    if printer.wide() {
        head.extend(["CHANGED", "FILE", "SHA-256", "MACHINE-ID"]);
    }
    let mut table = Table::new(&head);
    for row in &response.results {
        let mut cells = vec![
            Cell::from(row.hostname.as_str()),
            status_cell(row.status, row.changed),
        ];
        if printer.wide() {
            cells.push(Cell::from(row.changed.map(yes_or_no)));
            cells.push(Cell::from(row.path.as_deref()));
            cells.push(Cell::from(row.sha256.as_deref()));
            cells.push(Cell::from(row.machine_id.as_deref()));
        }
        table.row(cells);
    }
    let rows: Vec<Row<'_>> = response.results.iter().map(Row::from).collect();
    page(response.job_id, &table, &rows, printer)
}

/// What a row says below the table.
struct Row<'a> {
    hostname: &'a str,
    status: RowStatus,
    changed: bool,
    error: Option<String>,
    /// What is wrong with its clock or its configuration, whatever was done.
    warnings: Vec<String>,
    notes: &'a [String],
}

impl<'a> From<&'a NtpStatusEntry> for Row<'a> {
    fn from(row: &'a NtpStatusEntry) -> Self {
        let detail = row.detail.as_ref();
        let conflict = detail.and_then(|detail| detail.conflict.clone());
        let drift = detail.and_then(|detail| detail.drift.as_ref());
        let drift = drift.map(|drift| format!("drift: {}", drift.detail));
        Row {
            hostname: &row.hostname,
            status: row.status,
            changed: false,
            error: row.error.clone(),
            warnings: conflict.into_iter().chain(drift).collect(),
            notes: detail.map(|detail| detail.notes.as_slice()).unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a NtpMutationResult> for Row<'a> {
    fn from(row: &'a NtpMutationResult) -> Self {
        let after = match row.rolled_back {
            Some(false) => " (the former configuration could NOT be put back)",
            // The host's own words say that it is in force again.
            Some(true) | None => "",
        };
        Row {
            hostname: &row.hostname,
            status: row.status,
            changed: row.changed == Some(true),
            error: row.error.as_ref().map(|error| format!("{error}{after}")),
            warnings: row.warnings.clone(),
            notes: &row.notes,
        }
    }
}

/// Blank line, job, blank line, table, blank line, summary, and details when there is something to say.
fn page(job_id: Uuid, table: &Table, rows: &[Row<'_>], printer: Printer) -> String {
    let mut page = format!("\n  Job ID: {job_id}\n\n");
    if !table.is_empty() {
        page.push_str(&table.render(printer.screen()));
        page.push('\n');
    }
    page.push_str(&summary(rows));
    page.push_str(&details(rows, printer));
    page
}

/// `  3 hosts: 1 ok, 1 changed, 1 failed`; what did not occur is left out.
fn summary(rows: &[Row<'_>]) -> String {
    let hosts = if rows.len() == 1 { "host" } else { "hosts" };
    let count = |wanted: fn(&Row<'_>) -> bool| rows.iter().filter(|row| wanted(row)).count();
    let counts = [
        (count(|row| row.status == RowStatus::Ok && !row.changed), "ok"),
        (count(|row| row.status == RowStatus::Ok && row.changed), "changed"),
        (count(|row| row.status == RowStatus::Skipped), "skipped"),
        (count(|row| row.status == RowStatus::Failed), "failed"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if counts.is_empty() {
        return "  0 hosts\n".to_owned();
    }
    format!("  {} {hosts}: {}\n", rows.len(), counts.join(", "))
}

/// The errors of hosts and what is wrong with their clocks and configurations, each after its host's name; with every
/// column asked for also what else they note.
fn details(rows: &[Row<'_>], printer: Printer) -> String {
    let mut lines: Vec<(String, Tone, String)> = Vec::new();
    for row in rows {
        let host = text::line(row.hostname);
        if let Some(error) = &row.error {
            let tone = if row.status == RowStatus::Skipped {
                Tone::Warn
            } else {
                Tone::Bad
            };
            lines.push((host.clone(), tone, text::line(error)));
        }
        for warning in &row.warnings {
            lines.push((host.clone(), Tone::Warn, text::line(warning)));
        }
        if printer.wide() {
            lines.extend(
                row.notes
                    .iter()
                    .map(|note| (host.clone(), Tone::Plain, text::line(note))),
            );
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let columns = lines
        .iter()
        .map(|(host, _, _)| text::columns(host))
        .max()
        .unwrap_or(0);
    let mut page = "\n  Details:\n".to_owned();
    for (host, tone, line) in lines {
        let missing = columns.saturating_sub(text::columns(&host));
        let line = tone.paint(&line, printer.screen().colour);
        page.push_str(&format!("  {host}{}  {line}\n", " ".repeat(missing)));
    }
    page
}

fn status_cell(status: RowStatus, changed: Option<bool>) -> Cell {
    match (status, changed) {
        (RowStatus::Skipped, _) => Cell::toned("skip", Tone::Warn),
        (RowStatus::Failed, _) => Cell::toned("err", Tone::Bad),
        (RowStatus::Ok, Some(true)) => Cell::toned("changed", Tone::Changed),
        (RowStatus::Ok, _) => Cell::toned("ok", Tone::Good),
    }
}

/// The columns from STATE on.
fn wide_cells(row: &NtpStatusEntry) -> Vec<Cell> {
    let detail = row.detail.as_ref();
    vec![
        Cell::from(detail.map(|detail| state(detail.state))),
        Cell::from(
            detail
                .and_then(|detail| detail.error_bound_s)
                .map(|bound| format!("{bound:.9}s")),
        ),
        Cell::from(detail.and_then(|detail| detail.leap.as_deref())),
        Cell::from(row.current_source.as_deref()),
        Cell::from(detail.map(sources)),
        Cell::from(row.servers.join(", ")),
        Cell::from(detail.map(|detail| yes_or_no(detail.managed))),
        Cell::from(
            detail
                .and_then(|detail| detail.drift.as_ref())
                .map(|drift| match drift.kind {
                    DriftKind::Edited => "edited",
                    DriftKind::Missing => "missing",
                    DriftKind::NotLoaded => "not loaded",
                    DriftKind::Unknown => "differs",
                }),
        ),
        Cell::from(detail.map(NtpStatus::service_text).as_deref()),
        Cell::from(row.machine_id.as_deref()),
    ]
}

/// How many sources are usable, and how many there are.
fn sources(detail: &NtpStatus) -> String {
    let usable = detail
        .sources
        .iter()
        .filter(|source| source.state != "unusable")
        .count();
    format!("{usable}/{}", detail.sources.len())
}

/// The state of a clock in one word or two.
pub(crate) fn state(state: SyncState) -> &'static str {
    match state {
        SyncState::Synchronized => "synchronized",
        SyncState::FreeRunning => "free-running",
        SyncState::Unsynchronized => "unsynchronized",
        SyncState::Unknown => "unknown",
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
