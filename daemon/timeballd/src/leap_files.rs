//! Leap seconds from a file: the list that standards bodies publish, or the system's time zones.

use std::fs;
use std::path::Path;

use conf::config::Leap;
use conf::leap_seconds::LeapSeconds;
use engine::discipline::leap::LeapTable;
use os::reason;

/// Where the system has its time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// Reads the table that the configuration names, the list before the time zone.
///
/// # Errors
/// What is wrong, as a line for the log; `Ok(None)` when none is named.
pub(crate) fn read(config: &Leap) -> Result<Option<LeapTable>, String> {
    if let Some(path) = &config.list_file {
        let text = fs::read_to_string(path).map_err(|error| reason(&error));
        return text
            .and_then(|text| LeapSeconds::from_list(&text).map_err(|error| error.to_string()))
            .map(|leaps| Some(table(&leaps)))
            .map_err(|why| format!("Could not read leap seconds from {path} : {why}"));
    }
    let Some(zone) = &config.time_zone else {
        return Ok(None);
    };
    let bytes = fs::read(Path::new(ZONES).join(zone)).map_err(|error| reason(&error));
    bytes
        .and_then(|bytes| LeapSeconds::from_time_zone(&bytes).map_err(|error| error.to_string()))
        .map(|leaps| Some(table(&leaps)))
        .map_err(|why| format!("Timezone {zone} failed leap second check, ignoring : {why}"))
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

    #[test]
    fn a_list_and_its_end_reach_the_engine() {
        let text = "#@\t3960057600\n2272060800\t10\t# 1 Jan 1972\n2287785600 11\n";
        let table = table(&LeapSeconds::from_list(text).unwrap());
        assert_eq!(table.entries, [(63_072_000, 10), (78_796_800, 11)]);
        assert_eq!(table.expires, 1_751_068_800);
    }

    #[test]
    fn without_a_name_there_is_no_table_and_a_wrong_one_is_said() {
        assert_eq!(read(&Leap::default()), Ok(None));
        let zone = Leap {
            time_zone: Some("no/such".to_owned()),
            ..Leap::default()
        };
        assert!(read(&zone).is_err());
        let list = Leap {
            list_file: Some("/no/such".to_owned()),
            ..Leap::default()
        };
        assert!(read(&list).is_err());
    }
}
