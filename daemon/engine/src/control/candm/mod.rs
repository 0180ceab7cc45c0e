//! The engine as `chronyc` sees it: chrony's command protocol, version 6.
//!
//! [`answer`] is the whole story: is the peer allowed to ask, is it a request, may it be carried out for this
//! peer, carry it out, answer. What the daemon does not have is answered with the status that chronyd has for it
//! when it is not configured.
//!
//! - [`permission`]: who may ask for what;
//! - [`reports`]: from reports to replies; here signs are turned to chrony's;
//! - [`sources`], [`new_source`]: commands about sources;
//! - [`clock`]: commands about the clock;
//! - [`access`]: commands about who may ask.

mod access;
mod clock;
mod new_source;
mod permission;
mod reports;
mod sources;
#[cfg(test)]
mod tests;

use conf::config::Verdict;
use wire::candm::{Command, Header, RefusalReason, Reply, ReplyType, Request, RequestError, Status};

use crate::Engine;
use crate::control::access::Whom;
use crate::control::operate::Setting;
use crate::io::{ControlPeer, Now, Output};
use crate::server::client_log::Service;
use crate::server::rate_limit::Ruling;
use crate::sources::Sources;

/// The shortest and the longest datagram that counts as a request, bytes.
const REQUEST_LENGTHS: std::ops::RangeInclusive<usize> = 28..=wire::candm::REQUEST_LENGTH_MAX;

/// What carrying out a request came to.
type Outcome = Result<Reply, Status>;

/// What a peer gets back.
pub(super) struct Answer {
    /// The datagram.
    pub(super) bytes: Vec<u8>,
    /// The daemon ends after it was sent.
    pub(super) is_last: bool,
}

/// Looks at a datagram and carries out what it asks for. Returns the answer, if the peer is to have one: never
/// one that is longer than the question.
pub(super) fn answer(engine: &mut Engine, now: Now, peer: &ControlPeer, bytes: &[u8]) -> Option<Answer> {
    let stranger = permission::stranger(peer);
    if stranger.is_some_and(|address| !engine.control.access.is_allowed(address)) || !is_request(bytes) {
        return None;
    }
    if !is_answered(engine, now, peer) {
        return None;
    }
    let mut is_last = false;
    let reply = match Request::decode(bytes) {
        Ok((header, request)) => {
            let is_shutdown = request == Request::Shutdown;
            let is_write = request == Request::WriteRtc;
            let outcome = carry_out(engine, now, peer, request, bytes.len());
            if is_write && outcome.is_ok() && engine.answers_when_rtc_file_written(*peer, header) {
                return None;
            }
            is_last = is_shutdown && outcome.is_ok();
            outcome.map_or_else(|status| status.encode(&header), |reply| reply.encode(&header))
        }
        Err(RequestError::NotARequest) => return None,
        Err(RequestError::Refused { header, reason }) => {
            refusal(engine, peer, &header, reason).encode(&header)
        }
    };
    (reply.len() <= bytes.len()).then_some(Answer {
        bytes: reply,
        is_last,
    })
}

/// Counts a request, and says whether its sender asked seldom enough.
fn is_answered(engine: &mut Engine, now: Now, peer: &ControlPeer) -> bool {
    let ControlPeer::Udp { from, .. } = peer else {
        engine.server.statistics.command_hits += 1;
        return true;
    };
    let limit = permission::stranger(peer).and(engine.control.rate_limit);
    let random = if limit.is_some() {
        (engine.entropy)().to_be_bytes()[0]
    } else {
        0
    };
    let from = from.ip().to_canonical();
    engine
        .server
        .note_request(from, Service::Command, now.mono, limit.as_ref(), random)
        == Ruling::Answer
}

/// Whether a datagram is one to count: of a sane length, a request, of whatever version.
fn is_request(bytes: &[u8]) -> bool {
    REQUEST_LENGTHS.contains(&bytes.len()) && matches!(bytes, [_, 1, 0, 0, ..])
}

/// The status that answers what cannot be read. What only the body has wrong is nobody's business who may not
/// send that command.
fn refusal(engine: &Engine, peer: &ControlPeer, header: &Header, reason: RefusalReason) -> Status {
    let is_of_the_body = matches!(
        reason,
        RefusalReason::InvalidName | RefusalReason::InvalidField(_)
    );
    let command = Command::from_code(header.command).filter(|_| is_of_the_body);
    match command {
        Some(command) if !permission::may(peer, command, &engine.control.open) => Status::Unauthorised,
        // What is not configured has no wrong actions either.
        Some(Command::SmoothTime) if engine.config.server.smoothing.is_none() => Status::NotEnabled,
        _ => reason.status(),
    }
}

fn carry_out(engine: &mut Engine, now: Now, peer: &ControlPeer, request: Request, length: usize) -> Outcome {
    let command = request.command();
    let reply_type = command.reply_type(length).ok_or(Status::BadPacketLength)?;
    if permission::may(peer, command, &engine.control.open) {
        perform(engine, now, request, reply_type)
    } else {
        Err(Status::Unauthorised)
    }
}

/// Every command there is, and who does it.
fn perform(engine: &mut Engine, now: Now, request: Request, reply_type: ReplyType) -> Outcome {
    match request {
        Request::NSources => return Ok(Reply::NSources(reports::sources(engine))),
        Request::SourceData(index) => return reports::source_data(engine, index, now),
        Request::SourceStats(index) => return reports::source_stats(engine, index, now),
        Request::SelectData(index) => return reports::select_data(engine, index),
        Request::NtpData(address) => return reports::ntp_data(engine, address, reply_type),
        Request::NtpSourceName(address) => return reports::source_name(engine, address),
        Request::AuthData(address) => return reports::auth_data(engine, address),
        Request::Activity => return Ok(reports::activity(engine)),
        Request::Tracking => return Ok(reports::tracking(engine, now)),
        Request::ServerStats => return Ok(reports::server_stats(engine, reply_type)),
        Request::ClientAccesses(query) => return reports::clients(engine, now, query),
        Request::ManualList => return Ok(reports::manual_list(engine)),

        Request::Online(which) => sources::set_online(engine, now, which)?,
        Request::Offline(which) => sources::set_offline(engine, now, which)?,
        Request::OnOffline => engine.ask(now, Sources::on_or_offline),
        Request::Burst {
            sources: which,
            good_samples,
            total_samples,
        } => {
            sources::burst(engine, now, which, good_samples, total_samples)?;
        }
        Request::AddSource(source) => sources::add(engine, now, &source)?,
        Request::DelSource(address) => sources::delete(engine, now, address)?,
        Request::Refresh => engine.ask(now, Sources::refresh),
        Request::ReloadSources => engine.ask(now, Sources::reload),
        Request::ResetSources => engine.reset_sources(now.mono),
        Request::Reselect => engine.reselect(now.mono),
        Request::ReselectDistance { distance_s } => sources::set_reselect_distance(engine, distance_s),
        Request::ModifyMinPoll { address, poll_log2_s } => {
            sources::modify(engine, address, Setting::MinPoll(poll_log2_s))?;
        }
        Request::ModifyMaxPoll { address, poll_log2_s } => {
            sources::modify(engine, address, Setting::MaxPoll(poll_log2_s))?;
        }
        Request::ModifyMaxDelay { address, delay_s } => {
            sources::modify(engine, address, Setting::MaxDelay(delay_s))?;
        }
        Request::ModifyMaxDelayRatio { address, ratio } => {
            sources::modify(engine, address, Setting::MaxDelayRatio(ratio))?;
        }
        Request::ModifyMaxDelayDevRatio { address, ratio } => {
            sources::modify(engine, address, Setting::MaxDelayDevRatio(ratio))?;
        }
        Request::ModifyMinStratum { address, stratum } => {
            sources::modify(engine, address, Setting::MinStratum(stratum))?;
        }
        Request::ModifyPollTarget { address, samples } => {
            sources::modify(engine, address, Setting::PollTarget(samples))?;
        }
        Request::ModifyOffset {
            address,
            reference_id,
            offset_s,
        } => {
            sources::modify_any(engine, address, reference_id, Setting::Offset(offset_s))?;
        }
        Request::ModifySelectOptions(change) => sources::set_options(engine, &change)?,

        Request::MakeStep => clock::make_step(engine, now)?,
        Request::ModifyMakeStep { limit, threshold_s } => clock::set_make_step(engine, limit, threshold_s),
        Request::ModifyMaxUpdateSkew { skew_ppm } => clock::set_max_update_skew(engine, skew_ppm),
        Request::DFreq { frequency_ppm } => clock::add_frequency(engine, now, frequency_ppm),
        Request::DOffset { offset_s } => clock::add_offset(engine, now, offset_s),
        Request::Local(local) => clock::set_local(engine, &local)?,
        Request::LegacyLocal(local) => clock::set_legacy_local(engine, &local)?,
        Request::Manual(mode) => clock::set_manual(engine, mode),
        Request::ManualDelete(index) => clock::delete_manual(engine, now, index)?,
        Request::SetTime(time) => return clock::set_time(engine, now, time),
        Request::Smoothing => return reports::smoothing(engine, now),
        Request::SmoothTime(action) => clock::smooth(engine, now, action)?,
        Request::RtcReport => return reports::rtc(engine, now),
        Request::WriteRtc => clock::write_rtc(engine, now)?,
        Request::TrimRtc => clock::trim_rtc(engine, now)?,

        Request::Allow(subnet) => access::set(engine, Whom::NtpClients, Verdict::Allow, false, subnet)?,
        Request::AllowAll(subnet) => access::set(engine, Whom::NtpClients, Verdict::Allow, true, subnet)?,
        Request::Deny(subnet) => access::set(engine, Whom::NtpClients, Verdict::Deny, false, subnet)?,
        Request::DenyAll(subnet) => access::set(engine, Whom::NtpClients, Verdict::Deny, true, subnet)?,
        Request::CmdAllow(subnet) => access::set(engine, Whom::Commanders, Verdict::Allow, false, subnet)?,
        Request::CmdAllowAll(subnet) => access::set(engine, Whom::Commanders, Verdict::Allow, true, subnet)?,
        Request::CmdDeny(subnet) => access::set(engine, Whom::Commanders, Verdict::Deny, false, subnet)?,
        Request::CmdDenyAll(subnet) => access::set(engine, Whom::Commanders, Verdict::Deny, true, subnet)?,
        Request::AccessCheck(address) => return access::check(engine, Whom::NtpClients, address),
        Request::CmdAccessCheck(address) => return access::check(engine, Whom::Commanders, address),

        Request::Dump => sources::dump(engine, now),
        Request::Rekey => engine.out.push(Output::ReadKeys),
        Request::CycleLogs => engine.out.push(Output::CycleLogs),
        Request::Shutdown => engine.out.info("Received shutdown command"),
    }
    Ok(Reply::Done)
}
