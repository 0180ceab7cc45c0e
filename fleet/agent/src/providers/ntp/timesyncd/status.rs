//! What systemd-timesyncd says, in the fleet's words.

use std::sync::PoisonError;
use std::time::Duration;

use model::ntp::{NtpStatus, SourceStatus, SyncState};

use super::Timesyncd;
use super::bus::{Message, Properties};

/// How many polls may go by without an answer before that means something.
const POLLS_EXPLAINED: u32 = 3;

/// The leap indicator of a clock that is not synchronised.
const LEAP_UNKNOWN: u32 = 3;

impl Timesyncd {
    pub(super) fn status(&self, properties: &Properties) -> NtpStatus {
        let message = &properties.message;
        let state = self.state(properties);
        let mut status = NtpStatus {
            state,
            service: self.common.identity.name.to_owned(),
            leap: Some(
                match message.leap {
                    _ if state == SyncState::Unsynchronized => "unsynchronised",
                    0 => "normal",
                    1 => "insert",
                    _ => "delete",
                }
                .to_owned(),
            ),
            // It tells what the kernel adds to the clock's frequency.
            #[expect(clippy::cast_precision_loss, reason = "a frequency of 500 ppm has 25 bits")]
            frequency_ppm: Some(0.0 - properties.frequency as f64 / 65_536.0),
            sources: source(properties).into_iter().collect(),
            notes: notes(properties),
            ..NtpStatus::default()
        };
        if state != SyncState::Unsynchronized {
            let [offset_s, delay_s] = measured(message);
            let root_delay_s = seconds(message.root_delay_us) + delay_s;
            let root_dispersion_s = seconds(message.root_dispersion_us) + seconds(message.jitter_us);
            status.current_source = Some(properties.server.clone());
            status.stratum = u8::try_from(message.stratum)
                .ok()
                .map(|stratum| stratum.saturating_add(1));
            status.offset_s = Some(offset_s);
            status.root_delay_s = Some(root_delay_s);
            status.root_dispersion_s = Some(root_dispersion_s);
            status.error_bound_s = Some(offset_s.abs() + root_delay_s / 2.0 + root_dispersion_s);
        }
        status
    }

    /// A clock is free-running when its server has not answered for the time of three polls.
    fn state(&self, properties: &Properties) -> SyncState {
        let message = &properties.message;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if message.count == 0 || message.leap == LEAP_UNKNOWN || properties.server.is_empty() {
            *counted = None;
            return SyncState::Unsynchronized;
        }
        let now = self.common.host.since_boot();
        let since = match *counted {
            Some((count, since)) if count == message.count => since,
            _ => now,
        };
        *counted = Some((message.count, since));
        let explained = Duration::from_micros(properties.poll_us) * POLLS_EXPLAINED;
        match now.saturating_sub(since) > explained {
            true => SyncState::FreeRunning,
            false => SyncState::Synchronized,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a lifetime have fewer than 53 bits"
)]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Offset of the last answer, positive when the local clock is behind, and its round trip, in seconds.
fn measured(message: &Message) -> [f64; 2] {
    let between = |from: u64, to: u64| {
        let size = seconds(to.abs_diff(from));
        if to < from { -size } else { size }
    };
    let there = between(message.origin_us, message.receive_us);
    let back = between(message.destination_us, message.transmit_us);
    // Under way out and back less under way in the server.
    let delay =
        between(message.origin_us, message.destination_us) - between(message.receive_us, message.transmit_us);
    [f64::midpoint(there, back), delay.max(0.0)]
}

/// The one server that it asks at this time.
fn source(properties: &Properties) -> Option<SourceStatus> {
    let message = &properties.message;
    if properties.server.is_empty() {
        return None;
    }
    let answered = message.count > 0;
    let [offset_s, delay_s] = if answered { measured(message) } else { [0.0; 2] };
    let poll_s = Duration::from_micros(properties.poll_us).as_secs();
    Some(SourceStatus {
        name: properties.server.clone(),
        address: properties.address.map(|address| address.to_string()),
        mode: "server".to_owned(),
        state: if answered { "selected" } else { "unusable" }.to_owned(),
        stratum: u8::try_from(message.stratum).unwrap_or(u8::MAX),
        poll: i8::try_from(poll_s.max(1).ilog2()).unwrap_or(i8::MAX),
        // It does not tell which of the last requests were answered.
        reach: u8::from(answered),
        last_sample_s: None,
        offset_s,
        error_s: delay_s / 2.0 + seconds(message.jitter_us),
    })
}

/// Servers that no file names.
fn notes(properties: &Properties) -> Vec<String> {
    let mut notes = Vec::new();
    if !properties.link_servers.is_empty() {
        notes.push(format!(
            "the network gave these servers, too: {}",
            properties.link_servers.join(", ")
        ));
    }
    if properties.system_servers.is_empty() && properties.link_servers.is_empty() {
        notes.push(format!(
            "no server is configured; systemd-timesyncd takes those that it was built with: {}",
            properties.fallback_servers.join(", ")
        ));
    }
    notes
}
