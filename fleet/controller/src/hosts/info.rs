//! One host as the API shows it.

use super::{
    AgentInfo, Condition, Duration, Host, HostReport, HostState, LoadAverage, Memory, OsInfo, Spelling,
    SyncState, Timestamp, is_machine_id,
};

impl Host {
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.record.state, HostState::Ready | HostState::Cordoned)
    }

    /// Whether this is the host's name. What has the form of a machine id is nobody's name.
    pub(super) fn has_name(&self, name: &str, spelling: Spelling) -> bool {
        let own = &self.record.facts.hostname;
        match spelling {
            Spelling::Exact => own == name,
            Spelling::AnyCase => own.eq_ignore_ascii_case(name) && !is_machine_id(name),
        }
    }

    pub(super) fn is_heard(&self, silent_after: Duration) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| live.heard.elapsed() <= silent_after)
    }

    /// When the host was last heard of, by the controller's clock.
    pub(super) fn last_seen(&self) -> Option<Timestamp> {
        match &self.live {
            Some(live) => Timestamp::now().checked_sub(live.heard.elapsed()).ok(),
            None => self.record.last_seen,
        }
    }

    /// Says whether the host lives but has reported nothing for so long that its last report says nothing about
    /// now: it has connected anew, or takes long to ask its time service.
    fn is_out_of_date(&self, silent_after: Duration) -> bool {
        let reported = self.report.as_ref();
        self.is_heard(silent_after) && reported.is_some_and(|reported| reported.at.elapsed() > silent_after)
    }

    pub(super) fn info(&self, silent_after: Duration) -> AgentInfo {
        let (record, facts) = (&self.record, &self.record.facts);
        let heard = self.is_heard(silent_after);
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let out_of_date = self.is_out_of_date(silent_after);
        let reported = self.report.as_ref();
        let report = reported
            .filter(|_| !out_of_date)
            .map(|reported| &*reported.report);
        let ntp_error = if out_of_date {
            Some(format!(
                "the agent is connected, but has reported nothing for more than {} s; it waits for the time service, \
                 or connects again and again: see its log",
                silent_after.as_secs()
            ))
        } else {
            report.and_then(|report| report.ntp_error.clone())
        };
        let conditions = report.map(|report| self.conditions(report)).unwrap_or_default();
        AgentInfo {
            hostname: facts.hostname.clone(),
            status: if heard { "Ready" } else { "NotReady" }.to_owned(),
            machine_id: Some(facts.machine_id.clone()),
            fingerprint: Some(record.public_key.fingerprint().to_string()),
            labels: facts
                .labels
                .iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            registered_at: record.registered_at.map(|at| at.to_string()),
            started_at: self.live.as_ref().map(|live| live.started_at.to_string()),
            last_seen: self.last_seen().map(|at| at.to_string()),
            os_info: text(&facts.os_id).map(|distribution| OsInfo {
                distribution,
                version: facts.os_version.clone(),
            }),
            uptime: self
                .live
                .as_ref()
                .filter(|_| facts.uptime_s > 0)
                .map(|live| uptime_text(facts.uptime_s + live.since.elapsed().as_secs())),
            load_average: report.map(|report| LoadAverage {
                one: report.load[0],
                five: report.load[1],
                fifteen: report.load[2],
            }),
            memory: report.map(|report| Memory {
                total: report.memory_bytes[0],
                free: report.memory_bytes[1],
                used: report.memory_bytes[2],
            }),
            architecture: text(&facts.architecture),
            kernel_version: text(&facts.kernel_version),
            cpu_count: (facts.cpu_count > 0).then_some(facts.cpu_count),
            fqdn: text(&facts.fqdn),
            service_mgr: text(&facts.service_mgr),
            package_mgr: text(&facts.package_mgr),
            interfaces: facts.interfaces.clone(),
            time_services: facts.time_services.clone(),
            state: Some(record.state),
            conditions: conditions
                .into_iter()
                .map(|(kind, reason)| Condition {
                    kind: kind.to_owned(),
                    status: true,
                    reason: Some(reason),
                    last_transition_time: self
                        .conditions
                        .get(kind)
                        .copied()
                        .unwrap_or_else(Timestamp::now)
                        .to_string(),
                })
                .collect(),
            timeline: Vec::new(),
            agent_version: text(&facts.agent_version),
            ntp: report.and_then(|report| report.ntp.clone()),
            reported_at: reported
                .and_then(|reported| Timestamp::now().checked_sub(reported.at.elapsed()).ok())
                .map(|at| at.to_string()),
            ntp_error,
        }
    }

    /// What is wrong with the host, by a report of it.
    fn conditions(&self, report: &HostReport) -> Vec<(&'static str, String)> {
        let mut conditions = Vec::new();
        if let Some(ntp) = &report.ntp {
            match ntp.state {
                SyncState::Synchronized => {}
                SyncState::FreeRunning => {
                    conditions.push(("ClockFreeRunning", "no source answers any more".to_owned()));
                }
                SyncState::Unsynchronized => {
                    conditions.push(("ClockNotSynchronized", "the clock follows no source".to_owned()));
                }
                SyncState::Unknown => {
                    let reason = "the agent is newer, and this controller does not know the state it tells";
                    conditions.push(("ClockNotSynchronized", reason.to_owned()));
                }
            }
            if let Some(drift) = &ntp.drift {
                conditions.push(("ConfigDrift", drift.detail.clone()));
            }
        }
        // What a status says is newer than the facts.
        let conflict = match &report.ntp {
            Some(ntp) => ntp.conflict.clone(),
            None => self.record.facts.conflicting_services().map(|services| {
                let services = services.join(", ");
                format!("several time services set the clock: {services}; end all but one")
            }),
        };
        conditions.extend(conflict.map(|conflict| ("TimeServiceConflict", conflict)));
        let cpus = f64::from(self.record.facts.cpu_count.max(1));
        if report.load[0] > 2.0 * cpus {
            conditions.push((
                "HighLoad",
                format!("load {:.2} on {cpus:.0} processors", report.load[0]),
            ));
        }
        let [total, free, _] = report.memory_bytes;
        if total > 0 && free < total / 10 {
            conditions.push(("MemoryPressure", format!("{free} of {total} bytes are free")));
        }
        conditions
    }

    /// Remembers since when each condition holds.
    pub(super) fn note_conditions(&mut self) {
        let now = Timestamp::now();
        let reported = self.report.as_ref();
        let conditions = reported.map(|reported| self.conditions(&reported.report));
        let holding: Vec<&'static str> = conditions.into_iter().flatten().map(|(kind, _)| kind).collect();
        self.conditions.retain(|kind, _| holding.contains(kind));
        for kind in holding {
            self.conditions.entry(kind).or_insert(now);
        }
    }
}

fn uptime_text(uptime_s: u64) -> String {
    let (days, hours, minutes) = (uptime_s / 86_400, uptime_s / 3_600 % 24, uptime_s / 60 % 60);
    let counted = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "{}, {}, {}",
        counted(days, "day"),
        counted(hours, "hour"),
        counted(minutes, "minute")
    )
}

#[cfg(test)]
mod tests {
    use super::uptime_text;

    #[test]
    fn an_uptime_is_told_in_days_hours_and_minutes() {
        assert_eq!(uptime_text(93_784), "1 day, 2 hours, 3 minutes");
    }
}
