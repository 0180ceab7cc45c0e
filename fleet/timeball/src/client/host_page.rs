//! One host with everything that is known of it, as a page for people.

use std::fmt::Write as _;

use model::host::{AgentInfo, Memory};
use model::ntp::offset_text;

use crate::client::agent::{labels, state};
use crate::client::job_page::timeline;
use crate::print::Printer;
use crate::print::table::{Cell, Table, facts};
use crate::print::time::{ago, to_second};

/// The page of `timeball client agent get`.
pub(crate) fn page(agent: &AgentInfo, printer: Printer) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let since = |time: &Option<String>| match (time, ago(time.as_deref())) {
        (Some(time), age) => format!("{} ({age} ago)", to_second(time)),
        (None, _) => String::new(),
    };
    let interfaces: Vec<String> = agent
        .interfaces
        .iter()
        .map(|interface| {
            let addresses = [&interface.ipv4, &interface.ipv6].into_iter().flatten();
            format!(
                "{} {}",
                interface.name,
                addresses.cloned().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    let mut page = format!(
        "\n{}",
        facts(&[
            ("Hostname", agent.hostname.clone()),
            ("Machine ID", text(&agent.machine_id)),
            ("Fingerprint", text(&agent.fingerprint)),
            ("Status", agent.status.clone()),
            ("State", agent.state.map(state).unwrap_or_default().to_owned()),
            ("Labels", labels(agent)),
            (
                "OS",
                agent
                    .os_info
                    .as_ref()
                    .map(|os| format!("{} {}", os.distribution, os.version))
                    .unwrap_or_default()
            ),
            ("Uptime", text(&agent.uptime)),
            ("Accepted", since(&agent.registered_at)),
            ("Agent started", since(&agent.started_at)),
            ("Last seen", since(&agent.last_seen)),
            ("Agent version", text(&agent.agent_version)),
            ("Arch", text(&agent.architecture)),
            ("Kernel", text(&agent.kernel_version)),
            (
                "CPUs",
                agent.cpu_count.map(|count| count.to_string()).unwrap_or_default()
            ),
            ("FQDN", text(&agent.fqdn)),
            ("Load", load(agent)),
            ("Memory", agent.memory.as_ref().map(memory).unwrap_or_default()),
            ("Service mgr", text(&agent.service_mgr)),
            ("Package mgr", text(&agent.package_mgr)),
            ("Interfaces", interfaces.join(", ")),
            ("Clock", clock(agent)),
            (
                "Time service",
                agent
                    .ntp
                    .as_ref()
                    .map(model::ntp::NtpStatus::service_text)
                    .unwrap_or_default()
            ),
            ("Running", running(agent)),
            (
                "Servers",
                agent
                    .ntp
                    .as_ref()
                    .map(|ntp| ntp.servers.join(", "))
                    .unwrap_or_default()
            ),
        ])
    );
    if !agent.conditions.is_empty() {
        let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE"]);
        for condition in &agent.conditions {
            table.row(vec![
                Cell::from(condition.kind.as_str()),
                Cell::from(condition.status.to_string()),
                Cell::from(condition.reason.as_deref()),
                Cell::from(to_second(&condition.last_transition_time)),
            ]);
        }
        let _ = write!(page, "\n  Conditions:\n{}", table.render(printer.screen()));
    }
    page.push_str(&timeline(&agent.timeline, printer));
    page
}

/// The time services that run, and which of them set the clock.
fn running(agent: &AgentInfo) -> String {
    let services = agent.time_services.iter().map(|service| {
        let how = if service.sets_clock { "" } else { " (observes)" };
        format!("{}{how}", service.name)
    });
    services.collect::<Vec<_>>().join(", ")
}

/// State of the clock with offset and bound, or why it is not known.
pub(crate) fn clock(agent: &AgentInfo) -> String {
    let Some(ntp) = &agent.ntp else {
        return agent.ntp_error.clone().unwrap_or_default();
    };
    let mut clock = crate::client::node::state(ntp.state).to_owned();
    if let Some(offset_s) = ntp.offset_s {
        let _ = write!(clock, " {}", offset_text(offset_s));
    }
    if let Some(bound_s) = ntp.error_bound_s {
        let _ = write!(clock, " ±{bound_s:.9}s");
    }
    clock
}

fn load(agent: &AgentInfo) -> String {
    agent
        .load_average
        .as_ref()
        .map(|load| format!("{:.2} {:.2} {:.2}", load.one, load.five, load.fifteen))
        .unwrap_or_default()
}

fn memory(memory: &Memory) -> String {
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    format!("{} of {} in use", mebibytes(memory.used), mebibytes(memory.total))
}
