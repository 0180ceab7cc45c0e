//! The machine's real-time clock: opened while the process still may, asked for the time at the start, and what the
//! engine wants of it afterwards.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use conf::config::{Config, Rtc as Settings};
use conf::rtc::{RtcError, keeps_utc, parse};
use engine::io::{Input, RtcCommand, Severity};
use engine::rtc::time_of;
use os::files::read_text;
use os::{Clock, ClockError, Ready, Rtc, Token, Watch, Zone, reason};
use units::UnixTime;

use crate::log::Log;
use crate::run::{Daemon, now};

/// How the loop calls it.
pub(crate) const RTC: Token = Token(u32::MAX - 5);

/// The device, unless the configuration names another.
const DEVICE: &str = "/dev/rtc";

/// The file of hwclock(8), unless the configuration names another.
const HWCLOCK_FILE: &str = "/etc/adjtime";

/// The most that is read of hwclock's file or of the daemon's own, bytes.
const FILE_LENGTH_MAX: u64 = 4096;

/// Opens the real-time clock. Without it the daemon goes on, and says so.
pub(crate) fn open(settings: &Settings, log: &mut Log) -> Option<Rtc> {
    let device = settings.device.as_deref().unwrap_or(DEVICE);
    match Rtc::open(Path::new(device), zone(settings, log)) {
        Ok(rtc) => Some(rtc),
        Err(error) => {
            let reason = reason(&error);
            log.write(
                Severity::Error,
                &format!("Could not open RTC device {device} : {reason}"),
            );
            log.write(Severity::Error, "RTC driver could not be initialised");
            None
        }
    }
}

/// What the clock's fields are told in: what hwclock thinks, or else what is configured.
fn zone(settings: &Settings, log: &mut Log) -> Zone {
    let path = settings.hwclock_file.as_deref().unwrap_or(HWCLOCK_FILE);
    let is_utc = match read_text(Path::new(path), FILE_LENGTH_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        text => {
            let is_utc = text.ok().and_then(|text| keeps_utc(&text));
            if is_utc.is_none() {
                log.warn(&format!("Could not read RTC LOCAL/UTC setting from {path}"));
            }
            is_utc
        }
    };
    if is_utc.unwrap_or(settings.on_utc) {
        Zone::Utc
    } else {
        Zone::Local
    }
}

/// Reads what was known about the clock when the daemon last ended.
pub(crate) fn read_file(path: &str, log: &mut Log) -> Option<RtcError> {
    let text = match read_text(Path::new(path), FILE_LENGTH_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => text.ok(),
    };
    let known = text.and_then(|text| parse(&text).ok());
    if known.is_none() {
        log.warn(&format!("Could not read coefficients from {path}"));
    }
    known.flatten()
}

/// Sets the system clock at the start (`-s`): from the real-time clock, or, when that is even earlier or there is none,
/// to when the drift file was last written, if the system clock is before that. Returns whether it was the former.
///
/// # Errors
/// The system clock cannot be set.
pub(crate) fn set_system_clock(
    clock: &Clock,
    rtc: Option<&Rtc>,
    known: Option<&RtcError>,
    config: &Config,
    log: &mut Log,
) -> Result<bool, ClockError> {
    let drift = config.clock.drift_file.as_ref();
    let written = drift
        .and_then(|drift| fs::metadata(&drift.path).ok())
        .map(|file| UnixTime::from_parts(file.mtime(), file.mtime_nsec()));
    if let Some(time) = rtc.and_then(|rtc| read(rtc, known, log)) {
        if written.is_none_or(|written| time >= written) {
            clock.step(time.seconds_since(clock.now().wall))?;
            log.info("System time set from RTC");
            return Ok(true);
        }
        log.warn("RTC time before last driftfile modification (ignored)");
    }
    let behind_s = written.map_or(0.0, |written| written.seconds_since(clock.now().wall));
    if behind_s > 0.0 {
        clock.step(behind_s)?;
        log.info("System time restored from driftfile");
    }
    Ok(false)
}

/// The time by the real-time clock.
fn read(rtc: &Rtc, known: Option<&RtcError>, log: &mut Log) -> Option<UnixTime> {
    rtc.read()
        .inspect_err(|error| log.warn(&format!("Could not read RTC : {}", reason(error))))
        .ok()
        .map(|second| time_of(second, known))
}

impl Daemon {
    /// Acts upon the clock, and tells the engine what cannot be done.
    pub(crate) fn act_on_rtc(&mut self, command: RtcCommand) {
        let hands = &mut self.hands;
        let Some(rtc) = &hands.rtc else { return };
        let (done, what, answer) = match command {
            RtcCommand::Interrupt(true) => (
                rtc.interrupt(true),
                "enable RTC interrupt",
                Some(Input::RtcFailed),
            ),
            RtcCommand::Interrupt(false) => (rtc.interrupt(false), "disable RTC interrupt", None),
            RtcCommand::Set { second } => (rtc.set(second), "set RTC time", Some(Input::RtcNotSet)),
        };
        if matches!(command, RtcCommand::Interrupt(_)) {
            hands.waiter.forget(RTC);
        }
        match done {
            Ok(()) if command == RtcCommand::Interrupt(true) => hands.waiter.watch(RTC, rtc, Watch::Readable),
            Ok(()) => {}
            Err(error) => {
                let text = format!("Could not {what} : {}", reason(&error));
                hands.log.write(Severity::Error, &text);
                if let Some(answer) = answer {
                    self.tell(answer);
                }
            }
        }
    }

    /// Lets the engine know of a second of the clock, if the event is that.
    pub(crate) fn is_for_rtc(&mut self, event: Ready) -> bool {
        if event.token != RTC {
            return false;
        }
        // Before anything else: it is the time of the interrupt.
        let now = now(&self.hands.clock);
        let Some(rtc) = &self.hands.rtc else { return true };
        match rtc.take_interrupt().and_then(|()| rtc.read()) {
            Ok(second) => self.engine.handle_input(now, Input::RtcTicked { second }),
            Err(error) => {
                let text = format!("Could not read RTC : {}", reason(&error));
                self.hands.log.write(Severity::Error, &text);
                self.hands.waiter.forget(RTC);
                self.tell(Input::RtcFailed);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::threshold;

    fn log() -> (tempfile::TempDir, Log) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log::to_file(path.to_str().unwrap(), threshold(0)).unwrap();
        (folder, log)
    }

    /// What was logged, without the times.
    fn said(folder: &tempfile::TempDir) -> Vec<String> {
        let text = fs::read_to_string(folder.path().join("log")).unwrap();
        text.lines()
            .map(|line| line.split_once("Z ").unwrap().1.to_owned())
            .collect()
    }

    #[test]
    fn a_clock_that_is_not_there_is_said_in_chronyds_words() {
        let (folder, mut log) = log();
        let settings = Settings {
            device: Some("/nowhere/rtc".to_owned()),
            hwclock_file: Some("/nowhere/adjtime".to_owned()),
            ..Settings::default()
        };
        assert!(open(&settings, &mut log).is_none());
        assert_eq!(
            said(&folder),
            [
                "Could not open RTC device /nowhere/rtc : No such file or directory",
                "RTC driver could not be initialised"
            ]
        );
    }

    #[test]
    fn hwclocks_file_counts_before_the_directive() {
        let (folder, mut log) = log();
        let path = folder.path().join("adjtime");
        let with = |on_utc| Settings {
            hwclock_file: Some(path.to_str().unwrap().to_owned()),
            on_utc,
            ..Settings::default()
        };
        assert_eq!(zone(&with(true), &mut log), Zone::Utc);
        assert_eq!(zone(&with(false), &mut log), Zone::Local);
        fs::write(&path, "0.0 0 0.0\n0\nLOCAL\n").unwrap();
        assert_eq!(zone(&with(true), &mut log), Zone::Local);
        fs::write(&path, "0.0 0 0.0\n0\nUTC\n").unwrap();
        assert_eq!(zone(&with(false), &mut log), Zone::Utc);
        assert!(said(&folder).is_empty());
        fs::write(&path, "").unwrap();
        assert_eq!(zone(&with(true), &mut log), Zone::Utc);
        let line = format!("Could not read RTC LOCAL/UTC setting from {}", path.display());
        assert_eq!(said(&folder), [line]);
    }

    #[test]
    fn only_a_file_that_says_something_else_is_complained_about() {
        let (folder, mut log) = log();
        let path = folder.path().join("rtc");
        let path = path.to_str().unwrap();
        assert_eq!(read_file(path, &mut log), None);
        fs::write(path, "1 1262313964 -9.002701 99.988\n").unwrap();
        let known = read_file(path, &mut log).unwrap();
        assert_eq!((known.reference, known.gain_ppm), (1_262_313_964, 99.988));
        fs::write(path, "0 0 0 0\n").unwrap();
        assert_eq!(read_file(path, &mut log), None);
        assert!(said(&folder).is_empty());
        fs::write(path, "garbage\n").unwrap();
        assert_eq!(read_file(path, &mut log), None);
        assert_eq!(read_file(folder.path().to_str().unwrap(), &mut log), None);
        let lines = said(&folder);
        assert_eq!(lines[0], format!("Could not read coefficients from {path}"));
        assert_eq!(lines.len(), 2);
    }
}
