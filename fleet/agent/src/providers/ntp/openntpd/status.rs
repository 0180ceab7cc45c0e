//! What OpenNTPD says, in the fleet's words.

use model::ntp::{NtpStatus, SourceStatus, SyncState};

use super::ntpctl::{Peer, Told};

/// Why there is no error bound.
const NO_BOUND: &str = "OpenNTPD does not tell how far its sources are from their own references, so that the greatest \
                        error of this clock is not known";

/// The names of all sources, as the daemon calls them; `configured` completes those that are cut.
pub(super) fn names(told: &Told, configured: &[String]) -> Vec<String> {
    let mut names: Vec<String> = told.peers.iter().map(|peer| name(peer, configured)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn name(peer: &Peer, configured: &[String]) -> String {
    let whole = configured
        .iter()
        .find(|name| peer.is_cut && !peer.name.is_empty() && name.starts_with(&peer.name));
    let told = match whole {
        Some(whole) => whole,
        None if peer.name.is_empty() => peer.address.as_ref().unwrap_or(&peer.name),
        None => &peer.name,
    };
    super::super::address_in_one_form(told)
}

pub(super) fn status(told: &Told, configured: &[String]) -> NtpStatus {
    let followed = told.peers.iter().find(|peer| peer.is_followed);
    let valid = told.peers.iter().any(|peer| peer.measured.is_some());
    let state = match told.stratum {
        Some(_) if valid => SyncState::Synchronized,
        Some(_) => SyncState::FreeRunning,
        None => SyncState::Unsynchronized,
    };
    let measured = followed.and_then(|peer| peer.measured);
    let mut status = NtpStatus {
        state,
        service: "openntpd".to_owned(),
        stratum: told.stratum.filter(|stratum| *stratum > 0),
        leap: Some(
            match state {
                SyncState::Unsynchronized => "unsynchronised",
                _ => "normal",
            }
            .to_owned(),
        ),
        current_source: followed.map(|peer| name(peer, configured)),
        sources: told.peers.iter().map(|peer| source(peer, configured)).collect(),
        notes: vec![NO_BOUND.to_owned()],
        ..NtpStatus::default()
    };
    if state != SyncState::Unsynchronized {
        status.offset_s = measured.map(|[offset_s, _, _]| offset_s);
    }
    status
}

fn source(peer: &Peer, configured: &[String]) -> SourceStatus {
    let [offset_s, delay_s, jitter_s] = peer.measured.unwrap_or_default();
    SourceStatus {
        name: name(peer, configured),
        address: peer.address.clone(),
        mode: "server".to_owned(),
        state: match peer.measured {
            Some(_) if peer.is_followed => "selected",
            Some(_) => "combined",
            None => "unusable",
        }
        .to_owned(),
        stratum: peer.stratum,
        poll: log2(peer.poll_s),
        // It does not tell which of the last requests were answered, but whether enough were.
        reach: u8::from(peer.measured.is_some()),
        last_sample_s: peer.measured.map(|_| peer.poll_s.saturating_sub(peer.next_s)),
        offset_s,
        error_s: delay_s / 2.0 + jitter_s,
    }
}

/// The power of two that is not above a number of seconds.
pub(super) fn log2(seconds: u32) -> i8 {
    i8::try_from(seconds.max(1).ilog2()).unwrap_or(i8::MAX)
}
