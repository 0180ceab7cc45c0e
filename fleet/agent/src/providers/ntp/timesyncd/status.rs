//! What systemd-timesyncd says, in the fleet's words.

use std::sync::PoisonError;
use std::time::Duration;

use model::ntp::{NtpStatus, SourceStatus, SyncState};

use super::bus::{Message, Properties};
use super::{Counted, Timesyncd};
use crate::providers::ntp::DRIFT_S_PER_S;

/// How many polls may go by without an answer before that means something.
const POLLS_EXPLAINED: u32 = 3;

/// The leap indicator of a clock that is not synchronised.
const LEAP_UNKNOWN: u32 = 3;

impl Timesyncd {
    pub(super) fn status(&self, properties: &Properties) -> NtpStatus {
        let message = &properties.message;
        let (state, age) = self.state(properties);
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
            let root_dispersion_s = seconds(message.root_dispersion_us)
                + seconds(message.jitter_us)
                + age.as_secs_f64() * DRIFT_S_PER_S;
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

    /// A clock is free-running when its server has not answered for the time of three polls. Beside the state stands how
    /// long ago the last answer came, at most.
    fn state(&self, properties: &Properties) -> (SyncState, Duration) {
        let message = &properties.message;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if message.count == 0 || message.leap == LEAP_UNKNOWN || properties.server.is_empty() {
            *counted = None;
            return (SyncState::Unsynchronized, Duration::ZERO);
        }
        let now = self.common.host.since_boot();
        let poll = Duration::from_micros(properties.poll_us);
        let not_before = match *counted {
            Some(before) if before.answers == message.count => before.not_before,
            Some(before) if before.answers < message.count => before.looked,
            // Looked at for the first time since one of the two was started: a server that answers does so every poll.
            _ => now.saturating_sub(poll),
        };
        *counted = Some(Counted {
            answers: message.count,
            not_before,
            looked: now,
        });
        let age = now.saturating_sub(not_before);
        match age > poll * POLLS_EXPLAINED {
            true => (SyncState::FreeRunning, age),
            false => (SyncState::Synchronized, age),
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::host::{Host, SimulatedHost};
    use crate::providers::ntp::keepers::Processes;
    use crate::settings::TimeService;

    fn following(count: u64) -> Properties {
        let message = format!(
            "[0, 4, 4, 3, -25, 2000, 5000, [0, 0, 0, 0], 1000000, 1011000, 1011000, 1002000, false, {count}, 0]"
        );
        Properties {
            server: "a".to_owned(),
            poll_us: 64_000_000,
            message: serde_json::from_str(&message).unwrap(),
            ..Properties::default()
        }
    }

    #[track_caller]
    fn assert_near(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?} {expected}");
    }

    #[test]
    fn the_bound_grows_until_the_next_answer_and_a_silent_server_leaves_the_clock_alone() {
        let host = SimulatedHost::new("", "h");
        host.pause(Duration::from_secs(1000));
        let processes = Arc::new(Processes::new(Arc::new(host.clone())));
        let timesyncd = Timesyncd::new(&processes, TimeService::default(), Path::new("/state"));
        let status = |count| timesyncd.status(&following(count));
        // Offset 10 ms, half of 2 ms + 2 ms of delay, 5 ms of dispersion.
        let least = 0.010 + 0.002 + 0.005;
        let first = status(7);
        assert_eq!((first.state, first.stratum), (SyncState::Synchronized, Some(4)));
        assert_near(first.offset_s, 0.010);
        assert_near(first.error_bound_s, least + 64.0 * 15e-6);
        host.pause(Duration::from_secs(10));
        assert_near(status(7).error_bound_s, least + 74.0 * 15e-6);
        // It came at some time between this look and the one before.
        host.pause(Duration::from_secs(10));
        assert_near(status(8).error_bound_s, least + 10.0 * 15e-6);
        host.pause(Duration::from_secs(182));
        assert_eq!(status(8).state, SyncState::Synchronized);
        host.pause(Duration::from_secs(1));
        let silent = status(8);
        assert_eq!(silent.state, SyncState::FreeRunning);
        assert_near(silent.error_bound_s, least + 193.0 * 15e-6);
        // It was started again, and has not been answered yet.
        let begun = status(0);
        assert_eq!(
            (begun.state, begun.error_bound_s),
            (SyncState::Unsynchronized, None)
        );
        assert_eq!(status(1).state, SyncState::Synchronized);
    }
}
