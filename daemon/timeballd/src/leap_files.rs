//! Leap seconds from a file: the list that standards bodies publish, or the system's time zones.

use std::path::Path;
use std::time::Duration;

use conf::config::Leap;
use conf::leap_seconds::LeapSeconds;
use engine::discipline::leap::LeapTable;
use engine::io::Now;
use os::files::read_regular;
use os::reason;
use units::Mono;

use crate::log::Log;

/// Where the system has its time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// How often the files are read again, seconds, as ntpd does. A time zone is to be updated 12 hours before a leap second
/// at the latest (chrony.conf(5), `leapsectz`).
const READ_AGAIN_S: f64 = 3600.0;

/// A list that holds for no more than so many days is warned about, as ntpd does …
const WARN_DAYS: i64 = 28;
/// … once in so many seconds.
const WARN_AGAIN_S: f64 = 24.0 * 3600.0;

const DAY_S: i64 = 86_400;

/// The largest file that is read, bytes: a list has 10,000, a time zone a third of that.
const LENGTH_MAX: u64 = 1 << 20;

/// The files that the configuration names, and what they said.
#[derive(Debug)]
pub(crate) struct LeapFiles {
    config: Leap,
    table: Option<LeapTable>,
    /// What was wrong the last time, one line each.
    warnings: Vec<String>,
    /// When it is warned again that the list holds no longer; `None` before the first time.
    warn_next: Option<Mono>,
    /// When they are read again, and how long the host had slept when that was decided, nanoseconds; `None` when there
    /// are none.
    next: Option<(Mono, i64)>,
}

impl LeapFiles {
    /// Reads them for the first time.
    pub(crate) fn read(config: &Leap, now: Now, log: &mut Log) -> Self {
        let mut files = Self {
            config: config.clone(),
            table: None,
            warnings: Vec::new(),
            warn_next: None,
            next: None,
        };
        if config.list_file.is_some() || config.time_zone.is_some() {
            files.next = Some((now.mono.plus_seconds(READ_AGAIN_S), now.slept_ns));
            files.take_in(log);
            files.warn_of_end(now, log);
        }
        files
    }

    /// The leap seconds, where there are any.
    pub(crate) fn table(&self) -> Option<&LeapTable> {
        self.table.as_ref()
    }

    /// When they are to be read again.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.next.map(|(next, _)| next)
    }

    /// Reads them again when it is time to. Returns the leap seconds when they are others; files that cannot be used
    /// any more change nothing.
    pub(crate) fn read_again(&mut self, now: Now, log: &mut Log) -> Option<&LeapTable> {
        let (next, slept_ns) = self.next?;
        let slept = Duration::from_nanos(u64::try_from(now.slept_ns - slept_ns).unwrap_or(0));
        if now.mono + slept < next {
            return None;
        }
        self.next = Some((now.mono.plus_seconds(READ_AGAIN_S), now.slept_ns));
        let is_new = self.take_in(log);
        if is_new {
            self.warn_next = None;
        }
        self.warn_of_end(now, log);
        self.table.as_ref().filter(|_| is_new)
    }

    /// Warns of a list that has expired or does so soon, once a day. Nobody knows of a leap second after its end.
    fn warn_of_end(&mut self, now: Now, log: &mut Log) {
        let (Some(path), Some(table)) = (&self.config.list_file, &self.table) else {
            return;
        };
        let left_s = table.expires.saturating_sub(now.wall.to_parts().0);
        let days = left_s.div_euclid(DAY_S);
        if days >= WARN_DAYS || self.warn_next.is_some_and(|next| now.mono < next) {
            return;
        }
        self.warn_next = Some(now.mono.plus_seconds(WARN_AGAIN_S));
        let count = |days: i64| match days {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        };
        let state = match days {
            ..=-1 => format!("expired {} ago", count(-days)),
            0 => "will expire in less than one day".to_owned(),
            _ => format!("will expire in {}", count(days)),
        };
        log.warn(&format!(
            "leapsecond file ('{path}'): {state} (put a new one in its place)"
        ));
    }

    /// Takes the list, or the time zone where there is no list or it cannot be used. Says in the log which one it is
    /// and what is wrong, when that is new. Returns whether there are other leap seconds.
    fn take_in(&mut self, log: &mut Log) -> bool {
        let mut warnings = Vec::new();
        let of_list = self.config.list_file.as_deref().and_then(|path| {
            let found =
                list(path).map_err(|why| format!("Leap second list {path} failed check, ignoring : {why}"));
            let found = found.map_err(|warning| warnings.push(warning)).ok()?;
            Some((found, format!("Using leap second list {path}")))
        });
        let of_zone = || {
            let zone = self.config.time_zone.as_deref()?;
            let found = time_zone(zone)
                .map_err(|why| format!("Timezone {zone} failed leap second check, ignoring : {why}"));
            let found = found.map_err(|warning| warnings.push(warning)).ok()?;
            Some((found, format!("Using {zone} timezone to obtain leap second data")))
        };
        let found = of_list.or_else(of_zone);
        if warnings != self.warnings {
            for warning in &warnings {
                log.warn(warning);
            }
            self.warnings = warnings;
        }
        let Some((leaps, said)) = found else { return false };
        let found = Some(table(&leaps));
        if found == self.table {
            return false;
        }
        log.info(&said);
        self.table = found;
        true
    }
}

fn list(path: &str) -> Result<LeapSeconds, String> {
    let bytes = read_regular(Path::new(path), LENGTH_MAX).map_err(|error| reason(&error))?;
    LeapSeconds::from_list(&String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string())
}

fn time_zone(zone: &str) -> Result<LeapSeconds, String> {
    let bytes = read_regular(&Path::new(ZONES).join(zone), LENGTH_MAX).map_err(|error| reason(&error))?;
    LeapSeconds::from_time_zone(&bytes).map_err(|error| error.to_string())
}

/// What the engine has to know of a file's leap seconds; time zones do not say until when they hold.
fn table(leaps: &LeapSeconds) -> LeapTable {
    LeapTable {
        entries: leaps
            .steps()
            .iter()
            .map(|step| (step.from_unix_s, step.tai_offset_s))
            .collect(),
        expires: leaps.expires_unix_s().unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use units::UnixTime;

    use super::*;
    use crate::log::threshold;

    /// So many hours after the start, of which the host has slept so many.
    fn hours(since_start: i64, slept: i64) -> Now {
        const HOUR_NS: i64 = 3_600_000_000_000;
        Now {
            mono: Mono::from_nanos((since_start - slept) * HOUR_NS),
            wall: UnixTime::from_seconds(1_700_000_000),
            slept_ns: slept * HOUR_NS,
        }
    }

    #[test]
    fn a_list_and_its_end_reach_the_engine() {
        let text = "#@\t3960057600\n2272060800\t10\t# 1 Jan 1972\n2287785600 11\n";
        let table = table(&LeapSeconds::from_list(text).unwrap());
        assert_eq!(table.entries, [(63_072_000, 10), (78_796_800, 11)]);
        assert_eq!(table.expires, 1_751_068_800);
    }

    #[test]
    fn the_list_comes_before_the_time_zone_and_what_is_used_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let good = folder.path().join("leap-seconds.list");
        fs::write(&good, "#@\t9960057600\n2272060800\t10\n2287785600 11\n").unwrap();
        let with = |list: Option<&str>, zone: Option<&str>| {
            let leap = Leap {
                list_file: list.map(str::to_owned),
                time_zone: zone.map(str::to_owned),
                ..Leap::default()
            };
            let _ = fs::remove_file(&path);
            let mut log = Log::to_file(&path.display().to_string(), threshold(0)).unwrap();
            let files = LeapFiles::read(&leap, hours(0, 0), &mut log);
            let said = fs::read_to_string(&path).unwrap();
            (files.table().is_some(), said)
        };
        assert_eq!(with(None, None), (false, String::new()));
        let good = good.display().to_string();
        let (found, said) = with(Some(&good), Some("no/such"));
        assert!(
            found && said.contains("Using leap second list ") && said.lines().count() == 1,
            "{said}"
        );
        let (found, said) = with(Some("/no/such"), Some("no/such"));
        assert!(!found, "{said}");
        assert!(
            said.contains("Leap second list /no/such failed check, ignoring : No such file"),
            "{said}"
        );
        assert!(
            said.contains("Timezone no/such failed leap second check, ignoring : No such file"),
            "{said}"
        );
    }

    #[test]
    fn files_are_read_again_and_what_is_new_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let (list, path) = (folder.path().join("list"), folder.path().join("log"));
        let mut log = Log::to_file(&path.display().to_string(), threshold(0)).unwrap();
        let config = Leap {
            list_file: Some(list.display().to_string()),
            ..Leap::default()
        };
        let said = || {
            let said = fs::read_to_string(&path).unwrap();
            fs::write(&path, "").unwrap();
            said
        };
        fs::write(&list, "#@\t9960057600\n2272060800\t10\n").unwrap();
        let mut files = LeapFiles::read(&config, hours(0, 0), &mut log);
        assert_eq!(files.table().unwrap().entries.len(), 1);
        assert!(said().contains("Using leap second list"));
        let mut again = |now| files.read_again(now, &mut log).map(|table| table.entries.len());

        fs::write(&list, "#@\t9960057600\n2272060800\t10\n2287785600 11\n").unwrap();
        assert_eq!(again(hours(0, 0)), None, "it is not time yet");
        assert_eq!(again(hours(1, 1)), Some(2), "hours that the host slept count");
        assert!(said().contains("Using leap second list"));
        assert_eq!(again(hours(13, 5)), None, "nothing is new");
        assert_eq!(said(), "");

        fs::remove_file(&list).unwrap();
        assert_eq!(again(hours(20, 5)), None);
        assert!(said().contains("failed check, ignoring : No such file"));
        assert_eq!(again(hours(27, 5)), None);
        assert_eq!(said(), "");
        assert_eq!(
            files.table().unwrap().entries.len(),
            2,
            "what is known stays known"
        );
    }

    #[test]
    fn a_list_that_ends_is_warned_about_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let (list, path) = (folder.path().join("list"), folder.path().join("log"));
        let mut log = Log::to_file(&path.display().to_string(), threshold(1)).unwrap();
        let config = Leap {
            list_file: Some(list.display().to_string()),
            ..Leap::default()
        };
        // It holds for 28 days and an hour from the start.
        let write = |days: i64| {
            let end = 1_700_000_000 + 2_208_988_800 + days * DAY_S + 3600;
            fs::write(&list, format!("#@\t{end}\n2272060800\t10\n")).unwrap();
        };
        let said = || {
            let said = fs::read_to_string(&path).unwrap();
            fs::write(&path, "").unwrap();
            let said = said
                .lines()
                .map(|line| line.split_once("'): ").unwrap().1.to_owned());
            said.collect::<Vec<_>>()
        };
        let at = |hours_on: i64| Now {
            wall: UnixTime::from_seconds(1_700_000_000 + hours_on * 3600),
            ..hours(hours_on, 0)
        };
        write(28);
        let mut files = LeapFiles::read(&config, at(0), &mut log);
        let mut again = |hours_on| {
            files.read_again(at(hours_on), &mut log);
            said()
        };
        let remedy = "(put a new one in its place)";
        assert_eq!(again(1), [""; 0]);
        assert_eq!(again(2), [format!("will expire in 27 days {remedy}")]);
        assert_eq!(again(3), [""; 0], "once a day");
        assert_eq!(again(26), [format!("will expire in 26 days {remedy}")]);
        assert_eq!(
            again(27 * 24 + 2),
            [format!("will expire in less than one day {remedy}")]
        );
        assert_eq!(again(28 * 24 + 2), [format!("expired 1 day ago {remedy}")]);
        assert_eq!(again(30 * 24 + 2), [format!("expired 3 days ago {remedy}")]);
        // A new one in its place.
        write(300);
        assert_eq!(again(30 * 24 + 3), [""; 0]);
    }

    #[test]
    fn without_files_there_is_nothing_to_wait_for() {
        let mut log = Log::to_stderr(threshold(0));
        let files = LeapFiles::read(&Leap::default(), hours(0, 0), &mut log);
        assert_eq!(files.deadline(), None);
    }
}
