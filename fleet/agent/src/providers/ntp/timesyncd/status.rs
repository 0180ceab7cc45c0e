//! What systemd-timesyncd says, in the fleet's words.

use std::time::Duration;

use model::ntp::{NtpStatus, SourceStatus, SyncState};

use super::Timesyncd;
use super::bus::{Message, Properties};
use super::seen::Seen;
use crate::providers::ntp::DRIFT_S_PER_S;

/// How many polls may go by without an answer before that means something.
const POLLS_EXPLAINED: u32 = 3;

/// The leap indicator of a clock that is not synchronised.
const LEAP_UNKNOWN: u32 = 3;

impl Timesyncd {
    pub(super) fn status(&self, properties: &Properties) -> NtpStatus {
        let message = &properties.message;
        let seen = self.look(properties);
        let age = seen
            .not_before
            .map(|moment| self.common.host.since_boot().saturating_sub(moment));
        let state = state(properties, &seen, age);
        let is_answered = message.count > 0 && seen.from.as_ref() == Some(&seen.asked);
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
            sources: source(properties, is_answered).into_iter().collect(),
            notes: notes(properties),
            ..NtpStatus::default()
        };
        if state == SyncState::Unsynchronized {
            return status;
        }
        let [offset_s, delay_s] = measured(message);
        let root_delay_s = seconds(message.root_delay_us) + delay_s;
        status.current_source = is_answered.then(|| properties.server.clone());
        status.stratum = u8::try_from(message.stratum)
            .ok()
            .map(|stratum| stratum.saturating_add(1));
        status.offset_s = Some(offset_s);
        status.root_delay_s = Some(root_delay_s);
        // How far the clock may have gone wrong since the answer is known only where it is known when that came.
        if let Some(age) = age {
            let root_dispersion_s = seconds(message.root_dispersion_us)
                + seconds(message.jitter_us)
                + age.as_secs_f64() * DRIFT_S_PER_S;
            status.root_dispersion_s = Some(root_dispersion_s);
            status.error_bound_s = Some(offset_s.abs() + root_delay_s / 2.0 + root_dispersion_s);
        }
        if !is_answered {
            status.notes.push(format!(
                "no answer of {} is known: what is told of the clock is from an answer before, which may be another \
                 server's",
                properties.server
            ));
        }
        if state == SyncState::FreeRunning && !seen.is_fresh {
            status.notes.push(format!(
                "systemd-timesyncd does not tell when its last answer came, and the agent has not seen one come yet; a \
                 server that answers does so every {} s",
                properties.poll_us / 1_000_000
            ));
        }
        status
    }
}

/// A clock is synchronised while the last answer is known to be one of the server that is asked, and not older than three
/// polls; and free-running when it is not.
fn state(properties: &Properties, seen: &Seen, age: Option<Duration>) -> SyncState {
    let message = &properties.message;
    if message.count == 0 || message.leap == LEAP_UNKNOWN || properties.server.is_empty() {
        return SyncState::Unsynchronized;
    }
    let longest = Duration::from_micros(properties.poll_us) * POLLS_EXPLAINED;
    let is_followed = seen.from.as_ref() == Some(&seen.asked);
    match age {
        Some(age) if is_followed && age <= longest => SyncState::Synchronized,
        _ => SyncState::FreeRunning,
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

/// The one server that it asks at this time. Of one that is not known to have answered nothing is known.
fn source(properties: &Properties, answered: bool) -> Option<SourceStatus> {
    let message = &properties.message;
    if properties.server.is_empty() {
        return None;
    }
    let [offset_s, delay_s] = if answered { measured(message) } else { [0.0; 2] };
    let poll_s = Duration::from_micros(properties.poll_us).as_secs();
    Some(SourceStatus {
        name: properties.server.clone(),
        address: properties.address.map(|address| address.to_string()),
        mode: "server".to_owned(),
        state: if answered { "selected" } else { "unusable" }.to_owned(),
        stratum: match answered {
            true => u8::try_from(message.stratum).unwrap_or(u8::MAX),
            false => 0,
        },
        poll: i8::try_from(poll_s.max(1).ilog2()).unwrap_or(i8::MAX),
        // It does not tell which of the last requests were answered.
        reach: u8::from(answered),
        last_sample_s: None,
        offset_s,
        error_s: match answered {
            true => delay_s / 2.0 + seconds(message.jitter_us),
            false => 0.0,
        },
    })
}

/// Servers that no file names.
fn notes(properties: &Properties) -> Vec<String> {
    let mut notes = Vec::new();
    if !properties.runtime_servers.is_empty() {
        notes.push(format!(
            "a program gave systemd-timesyncd these servers while it runs, and it asks them before all others until it is \
             restarted: {}",
            properties.runtime_servers.join(", ")
        ));
    }
    if !properties.link_servers.is_empty() {
        notes.push(format!(
            "the network gave these servers, too: {}",
            properties.link_servers.join(", ")
        ));
    }
    let given = [
        &properties.system_servers,
        &properties.link_servers,
        &properties.runtime_servers,
    ];
    if given.iter().all(|servers| servers.is_empty()) {
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

    const BOUND_LEAST_S: f64 = 0.010 + 0.002 + 0.005;

    /// A machine that has run for 4600 s, whose timesyncd was started then.
    fn host(started_s: u64) -> SimulatedHost {
        let host = SimulatedHost::new("", "h");
        host.pause(Duration::from_secs(1000));
        host.write("/proc/sys/kernel/random/boot_id", "one\n");
        host.write("/proc/9/comm", "systemd-timesyn\n");
        let zeros = "0 ".repeat(18);
        host.write(
            "/proc/9/stat",
            &format!("9 (systemd) timesyn) S {zeros}{} 0 0\n", started_s * 100),
        );
        host.write("/state/other", "");
        host
    }

    fn provider(host: &SimulatedHost) -> Timesyncd {
        let processes = Arc::new(Processes::new(Arc::new(host.clone())));
        Timesyncd::new(&processes, TimeService::default(), Path::new("/state"))
    }

    #[test]
    fn the_bound_grows_until_the_next_answer_and_a_silent_server_leaves_the_clock_alone() {
        let host = host(4540);
        let timesyncd = provider(&host);
        let status = |count| timesyncd.status(&following(count));
        // Offset 10 ms, half of 2 ms + 2 ms of delay, 5 ms of dispersion; no answer is older than the daemon.
        let first = status(7);
        assert_eq!((first.state, first.stratum), (SyncState::Synchronized, Some(4)));
        assert_near(first.offset_s, 0.010);
        assert_near(first.error_bound_s, BOUND_LEAST_S + 60.0 * 15e-6);
        host.pause(Duration::from_secs(10));
        assert_near(status(7).error_bound_s, BOUND_LEAST_S + 70.0 * 15e-6);
        // It came at some time between this look and the one before.
        host.pause(Duration::from_secs(10));
        assert_near(status(8).error_bound_s, BOUND_LEAST_S + 10.0 * 15e-6);
        host.pause(Duration::from_secs(182));
        assert_eq!(status(8).state, SyncState::Synchronized);
        host.pause(Duration::from_secs(1));
        let silent = status(8);
        assert_eq!(silent.state, SyncState::FreeRunning);
        assert_near(silent.error_bound_s, BOUND_LEAST_S + 193.0 * 15e-6);
        // It was started again, and has not been answered yet.
        let begun = status(0);
        assert_eq!(
            (begun.state, begun.error_bound_s),
            (SyncState::Unsynchronized, None)
        );
        assert_eq!(status(1).state, SyncState::Synchronized);
    }

    #[test]
    fn an_agent_that_knows_nothing_of_the_last_answer_claims_nothing() {
        // Timesyncd has run for a long time: its last answer may be as old.
        let host = host(600);
        let timesyncd = provider(&host);
        let first = timesyncd.status(&following(7));
        assert_eq!(first.state, SyncState::FreeRunning);
        assert_near(first.error_bound_s, BOUND_LEAST_S + 4000.0 * 15e-6);
        assert!(
            first
                .notes
                .iter()
                .any(|note| note.contains("has not seen one come yet")),
            "{:?}",
            first.notes
        );
        host.pause(Duration::from_secs(20));
        let next = timesyncd.status(&following(8));
        assert_eq!(next.state, SyncState::Synchronized);
        assert_near(next.error_bound_s, BOUND_LEAST_S + 20.0 * 15e-6);
        // The next agent knows what this one saw, and nothing better.
        host.pause(Duration::from_secs(100));
        let seen = provider(&host).status(&following(8));
        assert_eq!(seen.state, SyncState::Synchronized);
        assert_near(seen.error_bound_s, BOUND_LEAST_S + 120.0 * 15e-6);
        host.pause(Duration::from_secs(100));
        assert_eq!(
            provider(&host).status(&following(8)).state,
            SyncState::FreeRunning
        );
        // After a reboot it is another machine's past; without a process not even a bound is known.
        host.write("/proc/sys/kernel/random/boot_id", "two\n");
        host.delete("/proc/9/comm");
        let blind = provider(&host).status(&following(8));
        assert_eq!((blind.state, blind.error_bound_s), (SyncState::FreeRunning, None));
    }

    #[test]
    fn a_server_that_has_not_answered_is_not_followed() {
        let host = host(4590);
        let timesyncd = provider(&host);
        assert_eq!(
            timesyncd.status(&following(7)).current_source.as_deref(),
            Some("a")
        );
        host.pause(Duration::from_secs(90));
        let turned = |count| Properties {
            server: "b".to_owned(),
            ..following(count)
        };
        let status = timesyncd.status(&turned(7));
        assert_eq!(
            (status.state, status.current_source.as_deref()),
            (SyncState::FreeRunning, None)
        );
        let source = &status.sources[0];
        assert_eq!(
            (
                source.name.as_str(),
                source.state.as_str(),
                source.stratum,
                source.reach
            ),
            ("b", "unusable", 0, 0)
        );
        assert_near(status.error_bound_s, BOUND_LEAST_S + 100.0 * 15e-6);
        assert!(
            status.notes[0].contains("built with") && status.notes[1].contains("no answer of b is known")
        );
        host.pause(Duration::from_secs(10));
        let status = timesyncd.status(&turned(8));
        assert_eq!(
            (status.state, status.current_source.as_deref()),
            (SyncState::Synchronized, Some("b"))
        );
        // Nobody looked for so long that it may have answered, and been given up.
        host.pause(Duration::from_secs(70));
        assert_eq!(timesyncd.status(&following(9)).state, SyncState::FreeRunning);
    }

    #[test]
    fn servers_given_at_run_time_are_told() {
        let timesyncd = provider(&host(4590));
        let status = timesyncd.status(&Properties {
            runtime_servers: vec!["192.0.2.16".to_owned()],
            ..following(1)
        });
        assert!(
            status.notes.len() == 1 && status.notes[0].ends_with("restarted: 192.0.2.16"),
            "{:?}",
            status.notes
        );
    }
}
