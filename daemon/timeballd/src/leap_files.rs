//! Leap seconds from a file: the list that standards bodies publish, or the system's time zones.

use std::fs;
use std::path::Path;

use conf::config::Leap;
use conf::leap_seconds::LeapSeconds;
use engine::discipline::leap::LeapTable;
use os::reason;

use crate::log::Log;

/// Where the system has its time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// Reads the table that the configuration names: the list, or the time zone where there is no list or it cannot be
/// used. Says in the log which one it is.
pub(crate) fn read(config: &Leap, log: &mut Log) -> Option<LeapTable> {
    let of_list = config.list_file.as_deref().and_then(|path| match list(path) {
        Ok(leaps) => {
            log.info(&format!("Using leap second list {path}"));
            Some(leaps)
        }
        Err(why) => {
            log.warn(&format!("Leap second list {path} failed check, ignoring : {why}"));
            None
        }
    });
    let of_zone = || {
        let zone = config.time_zone.as_deref()?;
        match time_zone(zone) {
            Ok(leaps) => {
                log.info(&format!("Using {zone} timezone to obtain leap second data"));
                Some(leaps)
            }
            Err(why) => {
                log.warn(&format!(
                    "Timezone {zone} failed leap second check, ignoring : {why}"
                ));
                None
            }
        }
    };
    of_list.or_else(of_zone).as_ref().map(table)
}

fn list(path: &str) -> Result<LeapSeconds, String> {
    let text = fs::read_to_string(path).map_err(|error| reason(&error))?;
    LeapSeconds::from_list(&text).map_err(|error| error.to_string())
}

fn time_zone(zone: &str) -> Result<LeapSeconds, String> {
    let bytes = fs::read(Path::new(ZONES).join(zone)).map_err(|error| reason(&error))?;
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
    use super::*;
    use crate::log::threshold;

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
            let table = read(&leap, &mut log);
            let said = fs::read_to_string(&path).unwrap();
            (table.is_some(), said)
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
}
