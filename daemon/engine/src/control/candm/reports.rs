//! From reports to replies.
//!
//! The protocol says how far the local clock is ahead where reports say how far it is behind, so offsets change
//! their sign here. The exceptions, which are behind in the protocol too, are the correction of `tracking` and
//! the offset of `ntpdata`.

use std::net::IpAddr;

use units::rounding::{nearest_i64, up_u32};
use units::{Leap, NtpTimestamp, ReferenceId, UnixTime};
use wire::candm::{
    Activity, Address, AuthData, AuthMode, ClientAccess, ClientAccessQuery, ClientAccesses, InterleavedStats,
    ManualSample, NtpData, NtsStats, Reply, ReplyType, Rtc, SelectData, SelectOptions, SelectState,
    ServerStats, Smoothing, SourceData, SourceMode, SourceName, SourceState, SourceStats, Status, Timespec,
    TimestampCounts, TimestampStats, Tracking,
};

use super::Outcome;
use crate::Engine;
use crate::control::report::{AuthenticationMode, Following, Mode, PacketReport, Place};
use crate::io::{Now, StampSource};
use crate::select;
use crate::server::client_log::{ClientLog, ClientReport};
use crate::source::SourceId;

/// What is reported of a source without samples: standard deviation, seconds, and skew, ppm.
const DEVIATION_UNKNOWN_S: f64 = 4.0;
const SKEW_UNKNOWN_PPM: f64 = 2000.0;

pub(super) fn tracking(engine: &Engine, now: Now) -> Reply {
    let tracking = engine.tracking(now.mono);
    Reply::Tracking(Tracking {
        reference_id: reference_id(tracking.reference_id),
        address: tracking.address.map_or(Address::Unspecified, Address::from),
        stratum: u16::from(tracking.stratum.to_byte()),
        leap: leap(tracking.leap),
        reference_time: match tracking.following {
            Following::Nothing => Timespec::default(),
            Following::Itself | Following::Source => timespec(tracking.reference_time),
        },
        current_correction_s: tracking.offset_s,
        last_offset_s: -tracking.last_offset_s,
        rms_offset_s: tracking.rms_offset_s,
        frequency_ppm: tracking.frequency_ppm,
        residual_frequency_ppm: tracking.residual_frequency_ppm,
        skew_ppm: tracking.skew_ppm,
        root_delay_s: tracking.root_delay_s,
        root_dispersion_s: tracking.root_dispersion_s,
        last_update_interval_s: tracking.update_interval_s,
    })
}

pub(super) fn sources(engine: &Engine) -> u32 {
    u32::try_from(engine.source_ids().count()).unwrap_or(u32::MAX)
}

pub(super) fn source_data(engine: &Engine, index: u32, now: Now) -> Outcome {
    let id = engine.source_at(index).ok_or(Status::NoSuchSource)?;
    let source = engine.source_report(id, now.mono).ok_or(Status::NoSuchSource)?;
    let newest = source.newest;
    Ok(Reply::SourceData(SourceData {
        address: match source.place {
            Place::ReferenceClock(id) => Address::from(IpAddr::V4(id.ipv4())),
            place => address(place),
        },
        poll_log2_s: i16::from(source.poll.0),
        stratum: u16::from(source.stratum.to_byte()),
        state: state(source.status),
        mode: match source.mode {
            Mode::Client => SourceMode::Client,
            Mode::Peer => SourceMode::Peer,
            Mode::ReferenceClock => SourceMode::ReferenceClock,
        },
        flags: 0,
        reachability: u16::from(source.reach),
        since_sample_s: newest.map(|newest| newest.age_s),
        measured_offset_s: newest.map_or(0.0, |newest| -newest.measured_offset_s),
        adjusted_offset_s: newest.map_or(0.0, |newest| -newest.offset_s),
        offset_error_s: newest.map_or(0.0, |newest| newest.error_s),
    }))
}

pub(super) fn source_stats(engine: &Engine, index: u32, now: Now) -> Outcome {
    let id = engine.source_at(index).ok_or(Status::NoSuchSource)?;
    let (place, statistics) = engine
        .source_place(id)
        .zip(engine.statistics(id, now.mono))
        .ok_or(Status::NoSuchSource)?;
    let estimate = statistics.estimate;
    Ok(Reply::SourceStats(SourceStats {
        reference_id: source_reference_id(place),
        address: address(place),
        samples: statistics.samples,
        runs: statistics.runs,
        span_s: u32::try_from(nearest_i64(statistics.span_s)).unwrap_or(0),
        standard_deviation_s: estimate.map_or(DEVIATION_UNKNOWN_S, |estimate| estimate.deviation_s),
        residual_frequency_ppm: estimate.map_or(0.0, |estimate| estimate.frequency_ppm),
        skew_ppm: estimate.map_or(SKEW_UNKNOWN_PPM, |estimate| estimate.skew_ppm),
        offset_s: estimate.map_or(0.0, |estimate| -estimate.offset_s),
        offset_error_s: estimate.map_or(0.0, |estimate| estimate.offset_error_s),
    }))
}

pub(super) fn select_data(engine: &Engine, index: u32) -> Outcome {
    let id = engine.source_at(index).ok_or(Status::NoSuchSource)?;
    let (place, selection) = engine
        .source_place(id)
        .zip(engine.selection(id))
        .ok_or(Status::NoSuchSource)?;
    Ok(Reply::SelectData(SelectData {
        reference_id: source_reference_id(place),
        address: address(place),
        state: select_state(selection.status),
        authenticated: selection.authenticated,
        leap: leap(selection.leap),
        configured_options: options(selection.configured),
        effective_options: options(selection.effective),
        last_sample_ago_s: Some(u32::try_from(nearest_i64(selection.age_s)).unwrap_or(0)),
        score: selection.score,
        offset_low_s: -selection.high_s,
        offset_high_s: -selection.low_s,
    }))
}

pub(super) fn activity(engine: &Engine) -> Reply {
    let activity = engine.activity();
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    Reply::Activity(Activity {
        online: number(activity.online),
        offline: number(activity.offline),
        burst_online: number(activity.burst_online),
        burst_offline: number(activity.burst_offline),
        unresolved: number(activity.unresolved),
    })
}

pub(super) fn ntp_data(engine: &Engine, address: Address, reply_type: ReplyType) -> Outcome {
    let report = find(engine, address)
        .and_then(|id| engine.packet_report(id))
        .ok_or(Status::NoSuchSource)?;
    let mut data = counts(&report, reply_type);
    let Some(answer) = &report.answer else {
        return Ok(Reply::NtpData(Box::new(data)));
    };
    let (header, measurement) = (&answer.header, &answer.measurement);
    data.local_address = answer.local.map_or(Address::Unspecified, Address::from);
    data.leap = leap(header.leap);
    data.version = header.version.number();
    data.mode = header.mode.bits();
    data.stratum = header.stratum.to_byte();
    data.poll_log2_s = header.poll.0;
    data.precision_log2_s = header.precision;
    data.root_delay_s = header.root_delay.as_seconds();
    data.root_dispersion_s = header.root_dispersion.as_seconds();
    data.reference_id = reference_id(header.reference_id);
    data.reference_time = told_time(header.reference_time, engine.options.era_start);
    data.offset_s = measurement.offset_s;
    data.peer_delay_s = measurement.delay_s;
    data.peer_dispersion_s = measurement.dispersion_s;
    data.response_time_s = measurement.response_s;
    data.jitter_asymmetry = report.asymmetry;
    let authenticated = if report.authenticated {
        FLAG_AUTHENTICATED
    } else {
        0
    };
    data.flags = authenticated | answer.tests.bits() | if answer.interleaved { FLAG_INTERLEAVED } else { 0 };
    data.tx_timestamp_source = stamp_letter(answer.sent_by);
    data.rx_timestamp_source = stamp_letter(answer.received_by);
    Ok(Reply::NtpData(Box::new(data)))
}

/// The time in a packet as chronyd tells it: cut to nanoseconds, not rounded; where there is none, that of the epoch.
fn told_time(timestamp: NtpTimestamp, era_start: i64) -> Timespec {
    if timestamp.is_zero() {
        return Timespec::default();
    }
    let second = NtpTimestamp::from_parts(timestamp.seconds(), 0);
    let nanoseconds = (u64::from(timestamp.fraction()) * 1_000_000_000) >> 32;
    Timespec::new(
        UnixTime::from_ntp_in_window(second, era_start).seconds(),
        u32::try_from(nanoseconds).unwrap_or_default(),
    )
}

/// Bits of the flags word of NTP_DATA.
const FLAG_INTERLEAVED: u16 = 0x4000;
const FLAG_AUTHENTICATED: u16 = 0x8000;

/// What is known of a source that has not answered yet.
fn counts(report: &PacketReport, reply_type: ReplyType) -> NtpData {
    let counts = report.counts;
    NtpData {
        remote_address: address(report.place),
        local_address: Address::Unspecified,
        remote_port: report.port,
        leap: leap(Leap::Normal),
        version: 0,
        mode: 0,
        stratum: 0,
        poll_log2_s: 0,
        precision_log2_s: 0,
        root_delay_s: 0.0,
        root_dispersion_s: 0.0,
        reference_id: wire::candm::ReferenceId::UNSYNCHRONISED,
        reference_time: Timespec::default(),
        offset_s: 0.0,
        peer_delay_s: 0.0,
        peer_dispersion_s: 0.0,
        response_time_s: 0.0,
        jitter_asymmetry: 0.0,
        flags: 0,
        tx_timestamp_source: 0,
        rx_timestamp_source: 0,
        sent: counts.sent,
        received: counts.received,
        valid: counts.valid,
        good: counts.good,
        timestamps: (reply_type != ReplyType::NtpData1).then_some(TimestampCounts {
            kernel_tx: counts.sent_by_kernel,
            kernel_rx: counts.received_by_kernel,
            hardware_tx: counts.sent_by_hardware,
            hardware_rx: counts.received_by_hardware,
        }),
    }
}

pub(super) fn source_name(engine: &Engine, address: Address) -> Outcome {
    let name = find(engine, address)
        .and_then(|id| engine.source_name(id))
        .ok_or(Status::NoSuchSource)?;
    SourceName::new(name)
        .map(Reply::NtpSourceName)
        .map_err(|_| Status::NoSuchSource)
}

pub(super) fn auth_data(engine: &Engine, address: Address) -> Outcome {
    let report = find(engine, address)
        .and_then(|id| engine.authentication(id))
        .ok_or(Status::NoSuchSource)?;
    let (mode, key_id) = match report.mode {
        AuthenticationMode::None => (AuthMode::None, 0),
        AuthenticationMode::Key(id) => (AuthMode::SymmetricKey, id),
    };
    Ok(Reply::AuthData(AuthData {
        mode,
        key_type: report.algorithm,
        key_id,
        key_length_bits: report.key_bits,
        nke_attempts: 0,
        last_nke_ago_s: None,
        cookies: 0,
        cookie_length_bytes: 0,
        nak: false,
    }))
}

/// The counters of the server, in the layout that the client understands.
pub(super) fn server_stats(engine: &Engine, reply_type: ReplyType) -> Reply {
    let counts = &engine.server.statistics;
    let (held, span_s) = engine
        .server
        .interleave()
        .map_or((0, 0), |held| (held.held(), held.span_s()));
    let has_nts = reply_type != ReplyType::ServerStats1;
    let has_interleaved = has_nts && reply_type != ReplyType::ServerStats2;
    Reply::ServerStats(ServerStats {
        ntp_hits: counts.ntp_hits,
        cmd_hits: counts.command_hits,
        ntp_drops: counts.ntp_drops,
        cmd_drops: counts.command_drops,
        log_drops: engine.server.log().map_or(0, ClientLog::overwritten),
        nts: has_nts.then_some(NtsStats {
            nke_hits: counts.nts_ke_hits,
            nke_drops: counts.nts_ke_drops,
            ntp_auth_hits: counts.authenticated,
        }),
        interleaved: has_interleaved.then_some(InterleavedStats {
            ntp_hits: counts.interleaved,
            ntp_timestamps: u64::try_from(held).unwrap_or(u64::MAX),
            ntp_span_s: u64::from(span_s),
        }),
        timestamps: (reply_type == ReplyType::ServerStats).then_some(TimestampStats {
            daemon_rx: counts.received_by.daemon,
            daemon_tx: counts.transmitted_by.daemon,
            kernel_rx: counts.received_by.kernel,
            kernel_tx: counts.transmitted_by.kernel,
            hardware_rx: counts.received_by.hardware,
            hardware_tx: counts.transmitted_by.hardware,
        }),
    })
}

/// A part of the table of clients.
pub(super) fn clients(engine: &mut Engine, now: Now, query: ClientAccessQuery) -> Outcome {
    let log = engine.server.log_mut().ok_or(Status::Inactive)?;
    let first = usize::try_from(query.first_index).unwrap_or(usize::MAX);
    let wanted = usize::try_from(query.clients)
        .unwrap_or(usize::MAX)
        .min(ClientAccesses::CLIENTS_MAX);
    let page = log.page(first, wanted, query.hits_min, query.reset, now.mono);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Reply::ClientAccesses(ClientAccesses {
        indices: number(page.places),
        next_index: number(page.next),
        clients: page.clients.iter().map(client).collect(),
    }))
}

fn client(client: &ClientReport) -> ClientAccess {
    ClientAccess {
        address: client.address.into(),
        ntp_hits: client.ntp.hits,
        nke_hits: client.nts_ke.hits,
        cmd_hits: client.command.hits,
        ntp_drops: client.ntp.drops,
        nke_drops: client.nts_ke.drops,
        cmd_drops: client.command.drops,
        ntp_interval_log2_s: client.ntp.interval,
        nke_interval_log2_s: client.nts_ke.interval,
        cmd_interval_log2_s: client.command.interval,
        ntp_timeout_interval_log2_s: client.ntp_limited_interval,
        last_ntp_hit_ago_s: client.ntp.last_ago_s,
        last_nke_hit_ago_s: client.nts_ke.last_ago_s,
        last_cmd_hit_ago_s: client.command.last_ago_s,
    }
}

/// The typed times, against where the clock is heading now and against the line through all of them.
pub(super) fn manual_list(engine: &Engine) -> Reply {
    let manual = &engine.control.manual;
    let line = manual.line();
    let samples = manual.samples().map(|sample| ManualSample {
        when: timespec(sample.time),
        slewed_offset_s: engine
            .discipline
            .target_phase_s(sample.at)
            .map_or(0.0, |target_s| target_s - sample.phase_s),
        original_offset_s: -sample.offset_s,
        residual_s: line.map_or(0.0, |line| line.phase_at(sample.at) - sample.phase_s),
    });
    Reply::ManualList(samples.collect())
}

/// How served time is kept smooth.
pub(super) fn smoothing(engine: &Engine, now: Now) -> Result<Reply, Status> {
    let (smoothing, state) = engine
        .discipline
        .smoothed(now.mono, &engine.timeline)
        .ok_or(Status::NotEnabled)?;
    Ok(Reply::Smoothing(Smoothing {
        active: smoothing.is_active(),
        leap_only: smoothing.is_leap_only(),
        offset_s: state.offset_s,
        frequency_ppm: state.frequency * 1e6,
        wander_ppm_per_s: state.wander * 1e6,
        last_update_ago_s: smoothing.updated_ago_s(engine.timeline.oscillator(now.mono)),
        remaining_s: state.remaining_s,
    }))
}

/// How far the real-time clock is off.
pub(super) fn rtc(engine: &Engine, now: Now) -> Result<Reply, Status> {
    let report = engine.rtc_report(now.mono).ok_or(Status::NoRtc)?;
    Ok(Reply::Rtc(Rtc {
        reference_time: timespec(UnixTime::from_seconds(report.error.reference)),
        samples: u16::try_from(report.samples).unwrap_or(u16::MAX),
        runs: u16::try_from(report.runs).unwrap_or(u16::MAX),
        span_s: up_u32(report.span_s),
        fast_s: report.error.fast_s,
        gain_ppm: report.error.gain_ppm,
    }))
}

/// The source that a client means by this address.
pub(super) fn find(engine: &Engine, address: Address) -> Option<SourceId> {
    let place = match (address, address.ip()) {
        (Address::Id(number), _) => Place::Unresolved(number),
        (_, Some(address)) => Place::Address(address),
        (_, None) => return None,
    };
    engine.source_in(place)
}

/// A place as clients see it.
pub(super) fn address(place: Place) -> Address {
    match place {
        Place::Address(address) => address.into(),
        Place::ReferenceClock(_) => Address::Unspecified,
        Place::Unresolved(number) => Address::Id(number),
    }
}

/// A time as clients see it.
pub(super) fn timespec(time: UnixTime) -> Timespec {
    Timespec::new(time.seconds(), time.nanos())
}

fn source_reference_id(place: Place) -> wire::candm::ReferenceId {
    match place {
        Place::Address(address) => reference_id(crate::source::reference_id(address)),
        Place::ReferenceClock(id) => reference_id(id),
        Place::Unresolved(_) => wire::candm::ReferenceId::UNSYNCHRONISED,
    }
}

const fn reference_id(id: ReferenceId) -> wire::candm::ReferenceId {
    wire::candm::ReferenceId(id.0)
}

const fn leap(leap: Leap) -> wire::candm::Leap {
    match leap {
        Leap::Normal => wire::candm::Leap::Normal,
        Leap::Insert => wire::candm::Leap::InsertSecond,
        Leap::Delete => wire::candm::Leap::DeleteSecond,
        Leap::Unsynchronised => wire::candm::Leap::NotSynchronised,
    }
}

const fn stamp_letter(source: StampSource) -> u8 {
    match source {
        StampSource::Daemon => b'D',
        StampSource::Kernel => b'K',
        StampSource::Hardware => b'H',
    }
}

fn options(options: select::Options) -> SelectOptions {
    [
        (options.noselect, SelectOptions::NOSELECT),
        (options.prefer, SelectOptions::PREFER),
        (options.trust, SelectOptions::TRUST),
        (options.require, SelectOptions::REQUIRE),
    ]
    .into_iter()
    .filter(|(is_set, _)| *is_set)
    .fold(SelectOptions::default(), |all, (_, option)| all.with(option))
}

/// The six states of `chronyc sources`.
const fn state(status: select::Status) -> SourceState {
    use select::Status as S;
    match status {
        S::Best => SourceState::Selected,
        S::Combined => SourceState::Combined,
        S::Falseticker => SourceState::Falseticker,
        S::Jittery => SourceState::Jittery,
        S::WaitingForSources | S::NotPreferred | S::WaitingForUpdate | S::Distant | S::Outlier => {
            SourceState::NotCombined
        }
        S::NoSelect
        | S::Unsynchronised
        | S::MissingSamples
        | S::StratumOutOfRange
        | S::TooDistant
        | S::WaitingForSamples
        | S::Stale
        | S::Orphan
        | S::Untrusted => SourceState::Unselectable,
    }
}

const fn select_state(status: select::Status) -> SelectState {
    use select::Status as S;
    match status {
        S::NoSelect => SelectState::NoSelect,
        S::Unsynchronised => SelectState::Unsynchronised,
        S::MissingSamples => SelectState::MissingSamples,
        S::StratumOutOfRange => SelectState::BadStratum,
        S::TooDistant => SelectState::DistanceTooLarge,
        S::Jittery => SelectState::Jittery,
        S::WaitingForSamples => SelectState::WaitsForSamples,
        S::Stale => SelectState::StaleSamples,
        S::Orphan => SelectState::Orphan,
        S::Untrusted => SelectState::Untrusted,
        S::Falseticker => SelectState::Falseticker,
        S::WaitingForSources => SelectState::WaitsForSources,
        S::NotPreferred => SelectState::NotPreferred,
        S::WaitingForUpdate => SelectState::WaitsForUpdate,
        S::Distant => SelectState::Distant,
        S::Outlier => SelectState::Outlier,
        S::Combined => SelectState::Combined,
        S::Best => SelectState::Selected,
    }
}
