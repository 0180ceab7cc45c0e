//! Status: what the daemon says, in the fleet's words.

use std::sync::PoisonError;
use std::time::Duration;

use conf::chrony::ChronyConf;
use model::ntp::{NtpStatus, SourceStatus, SyncState};
use wire::candm::{Leap, ReferenceId, Reply, Request, SourceMode, SourceState, Tracking};

use super::ChronyProvider;
use super::daemon::{AskFailure, Daemon, NamedSource};
use crate::providers::ntp::keepers::Keeper;
use crate::providers::ntp::managed::Report;

/// How many polls it may take until a source is usable, before that means something.
const POLLS_EXPLAINED: u32 = 3;

impl ChronyProvider {
    pub(super) fn status_of(&self, conf: &ChronyConf) -> Result<Report, AskFailure> {
        let mut daemon = self.reporting_daemon(conf)?;
        let tracking = self.tracking(&mut daemon)?;
        let (sources, cut) = daemon.sources(self)?;
        let state = self.state(&tracking, &sources);
        let mut status = NtpStatus {
            state,
            service: self.service.name.to_owned(),
            service_version: self.version(conf),
            leap: Some(leap(tracking.leap).to_owned()),
            frequency_ppm: Some(tracking.frequency_ppm),
            current_source: current_source(&tracking, &sources),
            sources: shown(&sources).into_iter().map(source_status).collect(),
            ..NtpStatus::default()
        };
        if state != SyncState::Unsynchronized {
            status.stratum = u8::try_from(tracking.stratum).ok().filter(|stratum| *stratum > 0);
            // The daemon's sign is ours: positive while the system clock is behind.
            status.offset_s = Some(tracking.current_correction_s);
            status.error_bound_s = Some(tracking.error_bound_s());
            status.root_delay_s = Some(tracking.root_delay_s);
            status.root_dispersion_s = Some(tracking.root_dispersion_s);
            status.skew_ppm = Some(tracking.skew_ppm);
        }
        if self.observer.is_some() {
            status.notes.push(observed(&self.common.processes.keepers()));
        }
        let daemon_name = self.service.daemon;
        if tracking.reference_id == ReferenceId::LOCAL {
            let stratum = tracking.stratum;
            status.notes.push(format!(
                "{daemon_name} serves its own clock as stratum {stratum} (local)"
            ));
        }
        if cut {
            status
                .notes
                .push(format!("{daemon_name} has more sources than are shown"));
        }
        let names = sources.into_iter().filter_map(|source| source.name).collect();
        Ok(Report { status, names })
    }

    fn tracking(&self, daemon: &mut Daemon) -> Result<Tracking, AskFailure> {
        match daemon.ask(self, &Request::Tracking)? {
            Reply::Tracking(tracking) => Ok(tracking),
            _ => Err(self.unexpected()),
        }
    }

    /// A clock with a reference is free-running when none of its sources has answered the last eight polls, or
    /// when none has been usable for the time of three polls: sources that are new get so long, and so do those
    /// that disagree.
    fn state(&self, tracking: &Tracking, sources: &[NamedSource]) -> SyncState {
        let mut since = self.unusable_since.lock().unwrap_or_else(PoisonError::into_inner);
        if !tracking.is_synchronised() || tracking.leap == Leap::NotSynchronised {
            *since = None;
            return SyncState::Unsynchronized;
        }
        if sources.iter().any(is_usable) {
            *since = None;
            return SyncState::Synchronized;
        }
        let now = self.common.host.since_boot();
        let unusable = now.saturating_sub(*since.get_or_insert(now));
        let reached = sources.iter().any(|source| source.data.reachability != 0);
        let sampled = sources.iter().any(|source| source.data.since_sample_s.is_some());
        let explained = sources
            .iter()
            .map(|source| poll_time(source.data.poll_log2_s) * POLLS_EXPLAINED)
            .min();
        match explained {
            Some(explained) if (reached || !sampled) && unusable < explained => SyncState::Synchronized,
            Some(_) | None => SyncState::FreeRunning,
        }
    }
}

/// What is said of a clock that is only observed here.
fn observed(keepers: &[Keeper]) -> String {
    let who = match keepers {
        [] => "nothing here sets this clock".to_owned(),
        [one] => format!("{one} sets this clock"),
        several => {
            let names: Vec<String> = several.iter().map(Keeper::to_string).collect();
            format!("{} set this clock", names.join(" and "))
        }
    };
    format!("timeballd only observes (-x): {who}")
}

/// Whether the daemon could follow the source, and the source answers.
fn is_usable(source: &NamedSource) -> bool {
    let selectable = match source.data.state {
        SourceState::Selected | SourceState::Combined | SourceState::NotCombined => true,
        SourceState::Unselectable | SourceState::Falseticker | SourceState::Jittery => false,
    };
    selectable && source.data.reachability != 0
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
        // The daemon's offsets of sources are positive when the local clock is ahead; ours when it is behind.
        offset_s: 0.0 - data.adjusted_offset_s,
        error_s: data.offset_error_s,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;
    use std::sync::Arc;

    use wire::candm::{Address, SourceData, Timespec};

    use super::*;
    use crate::host::{Host, SimulatedHost};
    use crate::providers::ntp::chrony::service::CHRONY_OF_DEBIAN;
    use crate::providers::ntp::keepers::Processes;
    use crate::settings::TimeService;

    fn tracking(reference: u32, leap: Leap) -> Tracking {
        Tracking {
            reference_id: ReferenceId(reference),
            address: Address::Unspecified,
            stratum: 3,
            leap,
            reference_time: Timespec::default(),
            current_correction_s: 0.0,
            last_offset_s: 0.0,
            rms_offset_s: 0.0,
            frequency_ppm: 0.0,
            residual_frequency_ppm: 0.0,
            skew_ppm: 0.0,
            root_delay_s: 0.0,
            root_dispersion_s: 0.0,
            last_update_interval_s: 0.0,
        }
    }

    fn source(name: &str, address: Address, state: SourceState, reach: u16, sampled: bool) -> NamedSource {
        NamedSource {
            name: Some(name.to_owned()),
            data: SourceData {
                address,
                poll_log2_s: 6,
                stratum: 2,
                state,
                mode: SourceMode::Client,
                flags: 0,
                reachability: reach,
                since_sample_s: sampled.then_some(5),
                measured_offset_s: 0.0,
                adjusted_offset_s: 0.0,
                offset_error_s: 0.0,
            },
        }
    }

    fn with(state: SourceState, reach: u16, sampled: bool) -> Vec<NamedSource> {
        vec![source(
            "a",
            Address::V4(Ipv4Addr::LOCALHOST),
            state,
            reach,
            sampled,
        )]
    }

    #[test]
    fn states_follow_from_reference_and_sources() {
        let host = SimulatedHost::new("", "h");
        let state = Path::new("/var/lib/timeball/agent");
        let processes = Arc::new(Processes::new(Arc::new(host.clone())));
        let provider = ChronyProvider::new(&processes, &CHRONY_OF_DEBIAN, TimeService::default(), state);
        let followed = |leap| tracking(0x7f00_0001, leap);
        let state = |tracking: &Tracking, sources: &[NamedSource]| provider.state(tracking, sources);
        let normal = followed(Leap::Normal);
        let good = with(SourceState::Selected, 255, true);
        assert_eq!(state(&normal, &good), SyncState::Synchronized);
        assert_eq!(
            state(&followed(Leap::InsertSecond), &good),
            SyncState::Synchronized
        );
        assert_eq!(
            state(&followed(Leap::DeleteSecond), &good),
            SyncState::Synchronized
        );
        assert_eq!(
            state(&followed(Leap::NotSynchronised), &good),
            SyncState::Unsynchronized
        );
        assert_eq!(
            state(&tracking(0, Leap::Normal), &good),
            SyncState::Unsynchronized
        );
        let local = tracking(ReferenceId::LOCAL.0, Leap::Normal);
        assert_eq!(state(&local, &good), SyncState::Unsynchronized);

        let silent = with(SourceState::Selected, 0, true);
        assert_eq!(
            state(&normal, &silent),
            SyncState::FreeRunning,
            "eight polls went unanswered"
        );
        assert_eq!(state(&normal, &[]), SyncState::FreeRunning);

        // New sources, and those that disagree, get the time of three polls.
        for waiting in [
            with(SourceState::Unselectable, 0, false),
            with(SourceState::Unselectable, 1, true),
            with(SourceState::Falseticker, 255, true),
        ] {
            state(&normal, &good);
            assert_eq!(state(&normal, &waiting), SyncState::Synchronized);
            host.pause(Duration::from_secs(191));
            assert_eq!(state(&normal, &waiting), SyncState::Synchronized);
            host.pause(Duration::from_secs(2));
            assert_eq!(state(&normal, &waiting), SyncState::FreeRunning);
            assert_eq!(state(&normal, &good), SyncState::Synchronized);
        }
    }

    #[test]
    fn empty_places_of_a_pool_are_shown_once_and_only_without_members() {
        let empty = |name, id| source(name, Address::Id(id), SourceState::Unselectable, 0, false);
        let member = source(
            "p",
            Address::V4(Ipv4Addr::LOCALHOST),
            SourceState::Selected,
            255,
            true,
        );
        let names = |sources: &[NamedSource]| {
            shown(sources)
                .iter()
                .map(|source| source.data.address.to_string())
                .collect::<Vec<_>>()
        };
        let sources = [empty("p", 1), member, empty("p", 2), empty("q", 3), empty("q", 4)];
        assert_eq!(names(&sources), ["127.0.0.1", "ID#0000000003"]);
    }
}
