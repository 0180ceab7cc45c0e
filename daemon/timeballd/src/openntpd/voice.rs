//! How OpenNTPD's daemon speaks: the lines of its log, in its words and in its order, for what happens here.
//!
//! The texts are those of OpenNTPD 6.2p3. Numbers are what they say they are here: `next query 2s` is when the source is
//! asked next.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::io::{ClockCommand, Event, NoTime, Severity};
use os::local_date;

use super::drift::Drift;
use super::{NEGLIGIBLE_S, is_valid, shown};
use crate::log::Log;

/// How dates are written.
const DATE: &std::ffi::CStr = c"%a %b %e %H:%M:%S %Z %Y";

/// A correction of the frequency of less than this is only for debugging, ppm.
const NEGLIGIBLE_PPM: f64 = 0.05;

/// A round trip that is below zero by less than this is rounded, and not wrong, seconds.
const ROUNDING_S: f64 = 1e-6;

/// What has been said of a source.
#[derive(Debug, Default)]
struct Peer {
    is_valid: bool,
    /// The last error of its path, until it answers.
    error: String,
    /// It was told that it could not be sent to, and it has not answered since.
    is_not_sent: bool,
}

/// The voice, and what it has said so far.
#[derive(Debug)]
pub(crate) struct Voice {
    peers: BTreeMap<IpAddr, Peer>,
    drift: Drift,
    /// Whether the clock is only observed.
    observes: bool,
    is_synchronised: bool,
    /// The first rate of the clock has been set.
    is_started: bool,
    /// The step that was asked for last was refused.
    is_step_refused: bool,
    /// The correction of the frequency that was told last, ppm.
    frequency_ppm: f64,
}

impl Voice {
    /// Begins to speak; `known` is what the drift file remembers. It has to begin as long as files can be read: dates are
    /// written as the time zone wants them.
    pub(crate) fn new(observes: bool, drift: Drift, known: Option<(f64, f64)>) -> Self {
        let _ = local_date(0, DATE);
        Self {
            peers: BTreeMap::new(),
            drift,
            observes,
            is_synchronised: false,
            is_started: false,
            is_step_refused: false,
            frequency_ppm: known.map_or(0.0, |(gain_ppm, _)| -gain_ppm),
        }
    }

    /// Tells what happened.
    pub(crate) fn tell(&mut self, event: Event, log: &mut Log) {
        match event {
            Event::Began => log.say(Severity::Info, "ntp engine ready"),
            Event::Answered {
                source,
                offset_s,
                delay_s,
                reach,
                next_s,
            } => self.answered(source, offset_s, delay_s, reach, next_s, log),
            Event::NoTime { source, why, next_s } => {
                let why = match why {
                    NoTime::Alarm => "alarm".to_owned(),
                    NoTime::Kiss => "KoD".to_owned(),
                    NoTime::Stratum(stratum) => format!("stratum {stratum}"),
                };
                let source = shown(source);
                let line = format!("reply from {source}: not synced ({why}), next query {next_s:.0}s");
                log.say(Severity::Info, &line);
            }
            Event::Unanswered {
                source,
                reach,
                next_s,
            } => {
                let line = format!(
                    "no reply from {} received in time, next query {next_s:.0}s",
                    shown(source)
                );
                log.say(Severity::Debug, &line);
                self.judge(source, reach, log);
            }
            Event::NotSent { source, next_s } => {
                // Without a network that would be all there is to read.
                let peer = self.peers.entry(source).or_default();
                if !std::mem::replace(&mut peer.is_not_sent, true) {
                    let source = shown(source);
                    let line = format!("failed to send query to {source}, next query {next_s:.0}s");
                    log.say(Severity::Debug, &line);
                }
            }
            Event::Undelivered { source, reason } => {
                let peer = self.peers.entry(source).or_default();
                if peer.error != reason {
                    let line = format!("recvmsg {}: {reason}", shown(source));
                    log.say(Severity::Warning, &line);
                    peer.error = reason;
                }
            }
            Event::Gone { source } => {
                self.peers.remove(&source);
            }
            Event::Stepped { by_s } => {
                if !std::mem::take(&mut self.is_step_refused) {
                    let date = local_date(log.now().to_parts().0, DATE);
                    let line = format!("set local clock to {date} (offset {by_s:.6}s)");
                    log.say(Severity::Info, &line);
                }
            }
            Event::NotSet => {
                let line = "no reply received in time, skipping initial time setting";
                log.say(Severity::Warning, line);
            }
            Event::Followed { offset_s } => self.followed(offset_s, log),
            Event::Lost => self.synchronised(false, log),
            Event::Said { severity, text } => log.say(severity, &text),
        }
    }

    /// Remembers by how much the oscillator gains, ppm, and tells what the clock is corrected by for it.
    pub(crate) fn remember(&mut self, gain_ppm: f64, log: &mut Log) {
        let is_written = self.drift.write(gain_ppm, log);
        let ppm = -gain_ppm;
        let by_ppm = ppm - std::mem::replace(&mut self.frequency_ppm, ppm);
        let unwritten = if is_written { "" } else { " (no drift file)" };
        let severity = if by_ppm.abs() >= NEGLIGIBLE_PPM {
            Severity::Info
        } else {
            Severity::Debug
        };
        let line = format!("adjusting clock frequency by {by_ppm:.6} to {ppm:.6}ppm{unwritten}");
        log.say(severity, &line);
    }

    /// The clock has taken this rate, ppm. It is told of the first.
    pub(crate) fn rate_set(&mut self, ppm: f64, log: &mut Log) {
        if !std::mem::replace(&mut self.is_started, true) {
            log.say(
                Severity::Debug,
                &format!("adjtimex adjusted frequency by {ppm:.6}ppm"),
            );
        }
    }

    /// The clock could not be acted upon, says the system with these words.
    pub(crate) fn refused(&mut self, command: &ClockCommand, reason: &str, log: &mut Log) {
        let what = match command {
            ClockCommand::Step { .. } => {
                self.is_step_refused = true;
                "settimeofday:"
            }
            ClockCommand::SetFrequency { .. } => "adjtimex failed:",
            ClockCommand::SetStatus { .. } | ClockCommand::SetTai { .. } => "ntp_adjtime (3) failed:",
        };
        log.say(Severity::Error, &format!("{what} {reason}"));
    }

    /// The clock is steered from now on, or only observed; `instead_of` is what is not done for that.
    pub(crate) fn steers(&mut self, is_steered: bool, instead_of: Option<&ClockCommand>) {
        self.observes = !is_steered;
        self.is_step_refused |= matches!(instead_of, Some(ClockCommand::Step { .. }));
    }

    /// The daemon ends.
    pub(crate) fn ended(log: &mut Log) {
        log.say(Severity::Info, "ntp engine exiting");
        log.say(Severity::Info, "Terminating");
    }

    fn answered(
        &mut self,
        source: IpAddr,
        offset_s: f64,
        delay_s: f64,
        reach: u8,
        next_s: f64,
        log: &mut Log,
    ) {
        self.judge(source, reach, log);
        if let Some(peer) = self.peers.get_mut(&source) {
            peer.error.clear();
            peer.is_not_sent = false;
        }
        let source = shown(source);
        if delay_s < -ROUNDING_S {
            let line = format!("reply from {source}: negative delay {delay_s:.6}s, next query {next_s:.0}s");
            log.say(Severity::Info, &line);
            return;
        }
        let delay_s = delay_s.max(0.0);
        let line =
            format!("reply from {source}: offset {offset_s:.6} delay {delay_s:.6}, next query {next_s:.0}s");
        log.say(Severity::Debug, &line);
    }

    /// Says whether a source has become valid, or is so no more.
    fn judge(&mut self, source: IpAddr, reach: u8, log: &mut Log) {
        let peer = self.peers.entry(source).or_default();
        let is_now = is_valid(reach);
        if std::mem::replace(&mut peer.is_valid, is_now) != is_now {
            let word = if is_now { "valid" } else { "invalid" };
            log.say(Severity::Info, &format!("peer {} now {word}", shown(source)));
        }
    }

    /// The clock follows: it is synchronised if a valid source says that there is little to correct.
    fn followed(&mut self, offset_s: f64, log: &mut Log) {
        let is_small = offset_s.abs() < NEGLIGIBLE_S;
        if !self.observes && !is_small {
            log.say(
                Severity::Info,
                &format!("adjusting local clock by {offset_s:.6}s"),
            );
        }
        let has_valid = self.peers.values().any(|peer| peer.is_valid);
        self.synchronised(is_small && has_valid, log);
    }

    fn synchronised(&mut self, is_now: bool, log: &mut Log) {
        if std::mem::replace(&mut self.is_synchronised, is_now) != is_now {
            let word = if is_now { "synced" } else { "unsynced" };
            log.say(Severity::Info, &format!("clock is now {word}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::CommandLine;

    fn source() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    fn answered(reach: u8, delay_s: f64) -> Event {
        Event::Answered {
            source: source(),
            offset_s: -0.395_447,
            delay_s,
            reach,
            next_s: 2.04,
        }
    }

    /// What is said of these events.
    fn said(events: impl IntoIterator<Item = Event>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::to_file(path.to_str().unwrap(), Severity::Debug)
            .unwrap()
            .like(CommandLine::OpenNtpd);
        let (drift, known) = Drift::open(&folder.path().join("missing/drift"), &mut log);
        let mut voice = Voice::new(false, drift, known);
        for event in events {
            voice.tell(event, &mut log);
        }
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn a_source_becomes_valid_before_its_fourth_reply_is_told() {
        let polls = [0b111, 0b1111, 0b1_1111];
        let reply = "reply from 192.0.2.1: offset -0.395447 delay 0.139999, next query 2s";
        let lines = said(polls.map(|reach| answered(reach, 0.139_999)));
        assert_eq!(lines, [reply, "peer 192.0.2.1 now valid", reply, reply]);
    }

    #[test]
    fn silence_makes_it_invalid() {
        let silent = Event::Unanswered {
            source: source(),
            reach: 0b1_1110,
            next_s: 60.4,
        };
        let lines = said([answered(0b1111, 0.1), silent.clone(), silent]);
        let silence = "no reply from 192.0.2.1 received in time, next query 60s";
        assert_eq!(lines[2..], [silence, "peer 192.0.2.1 now invalid", silence]);
    }

    #[test]
    fn what_cannot_be_is_told_and_what_is_rounded_is_not() {
        let lines = said([answered(1, -0.247_795), answered(1, -1e-7)]);
        assert_eq!(
            lines,
            [
                "reply from 192.0.2.1: negative delay -0.247795s, next query 2s",
                "reply from 192.0.2.1: offset -0.395447 delay 0.000000, next query 2s",
            ]
        );
    }

    #[test]
    fn answers_without_time_say_why() {
        let whys = [NoTime::Alarm, NoTime::Kiss, NoTime::Stratum(16)];
        let lines = said(whys.map(|why| Event::NoTime {
            source: "2001:db8::1".parse().unwrap(),
            why,
            next_s: 64.0,
        }));
        let line = |why: &str| format!("reply from 2001:db8::1: not synced ({why}), next query 64s");
        assert_eq!(lines, ["alarm", "KoD", "stratum 16"].map(line));
    }

    #[test]
    fn an_error_of_the_path_is_told_once_until_there_is_an_answer() {
        let unsent = || Event::NotSent {
            source: source(),
            next_s: 2.0,
        };
        let lines = said([unsent(), unsent(), answered(1, 0.1), unsent()]);
        let told = "failed to send query to 192.0.2.1, next query 2s";
        assert_eq!(lines.len(), 3);
        assert_eq!([&*lines[0], &*lines[2]], [told, told]);

        let error = || Event::Undelivered {
            source: source(),
            reason: "Connection refused".to_owned(),
        };
        let lines = said([error(), error(), answered(1, 0.1), error()]);
        let told = "recvmsg 192.0.2.1: Connection refused";
        assert_eq!(lines.len(), 3);
        assert_eq!([&*lines[0], &*lines[2]], [told, told]);
    }

    #[test]
    fn a_step_that_is_not_made_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::to_file(path.to_str().unwrap(), Severity::Debug)
            .unwrap()
            .like(CommandLine::OpenNtpd);
        let (drift, known) = Drift::open(&folder.path().join("missing/drift"), &mut log);
        let mut voice = Voice::new(false, drift, known);
        let stepped = || Event::Stepped { by_s: 1.5 };
        let step = ClockCommand::Step { by_s: 1.5 };
        voice.refused(&step, "Operation not permitted", &mut log);
        voice.tell(stepped(), &mut log);
        voice.steers(false, Some(&step));
        voice.tell(stepped(), &mut log);
        voice.tell(Event::Followed { offset_s: 1.5 }, &mut log);
        voice.steers(true, None);
        voice.tell(stepped(), &mut log);
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0], "settimeofday: Operation not permitted");
        assert!(
            lines[1].starts_with("set local clock to ") && lines[1].ends_with(" (offset 1.500000s)"),
            "{text}"
        );
    }

    #[test]
    fn the_clock_is_synced_when_a_valid_source_says_so() {
        let followed = |offset_s| Event::Followed { offset_s };
        let lines = said([
            followed(0.001),
            answered(0b1111, 0.1),
            followed(0.02),
            followed(-0.064_548),
            followed(0.0),
            Event::Lost,
            Event::Lost,
        ]);
        assert_eq!(
            lines[2..],
            [
                "clock is now synced",
                "adjusting local clock by -0.064548s",
                "clock is now unsynced",
                "clock is now synced",
                "clock is now unsynced",
            ]
        );
    }
}
