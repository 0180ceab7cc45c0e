//! Status: what chronyd and the host's files say, in the fleet's words.

use std::sync::PoisonError;
use std::time::Duration;

use model::ntp::{Drift, DriftKind, NtpStatus, SourceStatus, SyncState};
use model::{Outcome, Server};
use wire::candm::{Leap, ReferenceId, Reply, ReplyError, Request, SourceMode, SourceState, Tracking};

use super::ChronyProvider;
use super::daemon::{Daemon, DaemonError, NamedSource};
use super::lines;
use super::survey::{Maker, Survey};

/// Most servers of the host's own files that are reported.
const OTHERS_MAX: usize = 64;

/// How many polls a new source may leave unanswered before that means something.
const POLLS_EXPLAINED: u32 = 3;

impl ChronyProvider {
    pub(super) fn read_status(&self) -> Outcome {
        let survey = self.survey();
        match self.status_of(&survey) {
            Ok(status) => Outcome::Status(Box::new(status)),
            Err(error) => Outcome::Failed(error.into()),
        }
    }

    fn status_of(&self, survey: &Survey) -> Result<NtpStatus, DaemonError> {
        let mut daemon = self.reporting_daemon(&survey.conf)?;
        let tracking = self.tracking(&mut daemon)?;
        let (sources, cut) = daemon.sources(self)?;
        let state = self.state(&tracking, &sources);
        let mut status = NtpStatus {
            state,
            service: "chrony".to_owned(),
            leap: Some(leap(tracking.leap).to_owned()),
            frequency_ppm: Some(tracking.frequency_ppm),
            current_source: current_source(&tracking, &sources),
            sources: shown(&sources).into_iter().map(source_status).collect(),
            notes: survey.notes(),
            ..NtpStatus::default()
        };
        if state != SyncState::Unsynchronized {
            status.stratum = u8::try_from(tracking.stratum).ok().filter(|stratum| *stratum > 0);
            // chronyd's sign is ours: positive while the system clock is behind.
            status.offset_s = Some(tracking.current_correction_s);
            status.error_bound_s = Some(tracking.error_bound_s());
            status.root_delay_s = Some(tracking.root_delay_s);
            status.root_dispersion_s = Some(tracking.root_dispersion_s);
            status.skew_ppm = Some(tracking.skew_ppm);
        }
        if tracking.reference_id == ReferenceId::LOCAL {
            let stratum = tracking.stratum;
            status.notes.push(format!(
                "chronyd serves its own clock as stratum {stratum} (local)"
            ));
        }
        if cut {
            status
                .notes
                .push("chronyd has more sources than are shown".to_owned());
        }
        add_configuration(&mut status, survey, &sources);
        Ok(status)
    }

    fn tracking(&self, daemon: &mut Daemon) -> Result<Tracking, DaemonError> {
        match daemon.ask(self, &Request::Tracking)? {
            Reply::Tracking(tracking) => Ok(tracking),
            _ => Err(DaemonError::Refused(ReplyError::InvalidField("answer"))),
        }
    }

    /// A clock with a reference is free-running when no source has answered the last eight polls. Sources that
    /// are new have not been polled so often: they get the time of three polls.
    fn state(&self, tracking: &Tracking, sources: &[NamedSource]) -> SyncState {
        let mut since = self
            .unreached_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let reached = sources.iter().any(|source| source.data.reachability != 0);
        if reached || !tracking.is_synchronised() || tracking.leap == Leap::NotSynchronised {
            *since = None;
            return if reached && tracking.is_synchronised() && tracking.leap != Leap::NotSynchronised {
                SyncState::Synchronized
            } else {
                SyncState::Unsynchronized
            };
        }
        let now = self.host.since_boot();
        let unreached = now.saturating_sub(*since.get_or_insert(now));
        let silent = sources.iter().any(|source| source.data.since_sample_s.is_some());
        let explained = sources
            .iter()
            .map(|source| poll_time(source.data.poll_log2_s) * POLLS_EXPLAINED)
            .min();
        match explained {
            Some(explained) if !silent && unreached < explained => SyncState::Synchronized,
            Some(_) | None => SyncState::FreeRunning,
        }
    }
}

fn poll_time(poll_log2_s: i16) -> Duration {
    Duration::from_secs_f64(f64::from(poll_log2_s.clamp(-7, 24)).exp2())
}

fn leap(leap: Leap) -> &'static str {
    match leap {
        Leap::Normal => "normal",
        Leap::InsertSecond => "insert",
        Leap::DeleteSecond => "delete",
        Leap::NotSynchronised => "unsynchronised",
    }
}

fn current_source(tracking: &Tracking, sources: &[NamedSource]) -> Option<String> {
    if !tracking.is_synchronised() {
        return None;
    }
    let followed = sources.iter().find(|source| match tracking.address.ip() {
        Some(address) => source.data.address.ip() == Some(address),
        None => source.data.reference_id() == Some(tracking.reference_id),
    });
    let name = followed.and_then(|source| source.name.clone());
    let address = tracking.address.ip().map(|address| address.to_string());
    let id = tracking.reference_id;
    let id = if id.text().is_empty() {
        id.to_string()
    } else {
        id.text()
    };
    Some(name.or(address).unwrap_or(id))
}

/// The sources that are worth showing: of a pool's empty places none, unless the pool has nothing else.
fn shown(sources: &[NamedSource]) -> Vec<&NamedSource> {
    let empty = |source: &NamedSource| {
        source.data.address.ip().is_none() && source.data.mode != SourceMode::ReferenceClock
    };
    let mut shown: Vec<&NamedSource> = Vec::new();
    for source in sources {
        let has_other = |other: &NamedSource| other.name == source.name && !empty(other);
        let twin = |other: &&NamedSource| other.name == source.name;
        if empty(source) && (sources.iter().any(has_other) || shown.iter().any(twin)) {
            continue;
        }
        shown.push(source);
    }
    shown
}

fn source_status(source: &NamedSource) -> SourceStatus {
    let data = &source.data;
    let address = data
        .address
        .ip()
        .filter(|_| data.mode != SourceMode::ReferenceClock)
        .map(|address| address.to_string());
    SourceStatus {
        name: source
            .name
            .clone()
            .or_else(|| address.clone())
            .unwrap_or_else(|| data.address.to_string()),
        address,
        mode: match data.mode {
            SourceMode::Client => "server",
            SourceMode::Peer => "peer",
            SourceMode::ReferenceClock => "refclock",
        }
        .to_owned(),
        state: match data.state {
            SourceState::Selected => "selected",
            SourceState::Combined => "combined",
            SourceState::NotCombined => "not_combined",
            SourceState::Falseticker => "falseticker",
            SourceState::Jittery => "jittery",
            SourceState::Unselectable => "unusable",
        }
        .to_owned(),
        stratum: u8::try_from(data.stratum).unwrap_or(u8::MAX),
        poll: i8::try_from(data.poll_log2_s).unwrap_or(i8::MAX),
        reach: u8::try_from(data.reachability & 0xff).unwrap_or(u8::MAX),
        last_sample_s: data.since_sample_s,
        // chronyd's offsets of sources are positive when the local clock is ahead; ours when it is behind.
        offset_s: 0.0 - data.adjusted_offset_s,
        error_s: data.offset_error_s,
    }
}

fn add_configuration(status: &mut NtpStatus, survey: &Survey, sources: &[NamedSource]) {
    let others: Vec<_> = survey.others().take(OTHERS_MAX).collect();
    status.other_servers = others
        .iter()
        .map(|other| {
            let at = &other.origin.span;
            format!("{} ({}:{})", other.source, at.file, at.line)
        })
        .collect();
    status.managed = survey.is_managed();
    if !status.managed {
        status.servers = others
            .iter()
            .map(|other| other.source.name().to_string())
            .collect();
        status.servers.dedup();
        return;
    }
    status.managed_servers = managed_servers(survey);
    status.servers = status
        .managed_servers
        .iter()
        .map(|server| server.name().to_owned())
        .collect();
    status.drift = drift(survey, sources);
    for file in survey.managed.iter().filter(|file| file.maker == Maker::Osapi) {
        status.notes.push(format!(
            "managed by OSAPI's file {}; the next update takes it over",
            file.path.display()
        ));
    }
    if survey.record.is_none() && survey.own().is_some() {
        status.notes.push(
            "this agent has no record of the managed file, so that hand edits cannot be told; the next update \
             makes one"
                .to_owned(),
        );
    }
}

/// What the managed files say; when they are gone, what they said.
fn managed_servers(survey: &Survey) -> Vec<Server> {
    if survey.managed.is_empty() {
        return survey
            .record
            .as_ref()
            .map(|record| record.servers.clone())
            .unwrap_or_default();
    }
    let mut servers: Vec<Server> = Vec::new();
    for server in survey
        .managed
        .iter()
        .flat_map(|file| file.sources())
        .filter_map(|source| lines::server_of(&source))
    {
        if !servers.iter().any(|known| known.name() == server.name()) {
            servers.push(server);
        }
    }
    servers
}

fn drift(survey: &Survey, sources: &[NamedSource]) -> Option<Drift> {
    if let Some(record) = &survey.record {
        let path = record.path.display();
        match survey.managed.iter().find(|file| file.path == record.path) {
            None => {
                return Some(Drift {
                    kind: DriftKind::Missing,
                    detail: format!("{path} was removed by somebody else; update writes it again"),
                });
            }
            Some(file) if file.sha256() != record.sha256 => {
                return Some(Drift {
                    kind: DriftKind::Edited,
                    detail: format!("{path} was changed by somebody else; update overwrites it"),
                });
            }
            Some(_) => {}
        }
    }
    let missing: Vec<String> = survey
        .managed
        .iter()
        .flat_map(|file| file.sources())
        .map(|source| source.name().to_string())
        .filter(|name| !sources.iter().any(|source| source.name.as_ref() == Some(name)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some(Drift {
        kind: DriftKind::NotLoaded,
        detail: format!(
            "chronyd does not have {}; update makes it load them",
            missing.join(", ")
        ),
    })
}
