//! What ntpd says, in the fleet's words.

use std::str::FromStr;

use model::ntp::{NtpStatus, SourceStatus, SyncState};
use wire::mode6::{PeerStatus, Selection, Variables};

use super::Ntpd;
use super::ask::{Association, System};
use crate::providers::ntp::DRIFT_S_PER_S;
use crate::providers::ntp::managed::{DaemonError, Report};

/// The stratum of a clock that follows nothing.
const UNSYNCHRONISED: u8 = 16;

/// The bits of a status word that say that the configuration names the source, and that it stands for a pool.
const CONFIGURED: u16 = 0x8000;
const POOL: u16 = 0x0800;

/// The mode of an association in which the daemon asks as a client; 1 and 2 are those of peers.
const CLIENT: u8 = 3;

impl Ntpd {
    pub(super) fn status(&self) -> Result<Report, DaemonError> {
        let system = self.system()?;
        let associations = self.associations()?;
        Ok(Report {
            status: status(&system, &associations),
            names: names(&associations),
        })
    }
}

/// The daemon's version as it tells it.
pub(super) fn version(system: &System) -> String {
    let version = Variables::new(&system.variables).get("version");
    version.unwrap_or("ntpd of an unknown version").to_owned()
}

/// The names of the sources that the configuration names, as it names them.
pub(super) fn names(associations: &[Association]) -> Vec<String> {
    let configured = associations
        .iter()
        .filter(|association| association.status & CONFIGURED != 0);
    let mut names: Vec<String> = configured.filter_map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The name of a source; its address where it has none.
fn name(association: &Association) -> Option<String> {
    let variables = Variables::new(&association.variables);
    let host = variables.get("srchost").filter(|host| !host.is_empty());
    let name = host.or_else(|| variables.get("srcadr"))?;
    Some(super::super::address_in_one_form(name))
}

/// A number among the variables. Milliseconds stay what they are.
fn number<T: FromStr>(variables: &Variables<'_>, name: &str) -> Option<T> {
    variables.get(name)?.parse().ok()
}

/// A length of time that travels in milliseconds.
fn seconds(variables: &Variables<'_>, name: &str) -> Option<f64> {
    number::<f64>(variables, name).map(|ms| ms / 1000.0)
}

/// The whole seconds of an NTP timestamp, `0xSECONDS.FRACTION`; that of an event which never was has none.
fn timestamp(variables: &Variables<'_>, name: &str) -> Option<u32> {
    let (whole, _) = variables.get(name)?.strip_prefix("0x")?.split_once('.')?;
    u32::from_str_radix(whole, 16).ok().filter(|whole| *whole != 0)
}

/// The whole seconds between two timestamps; none when the second is the earlier one: an answer may have come after the
/// daemon looked at its clock.
fn elapsed(then: u32, now: u32) -> u32 {
    let elapsed = now.wrapping_sub(then);
    if elapsed > u32::MAX / 2 { 0 } else { elapsed }
}

fn status(system: &System, associations: &[Association]) -> NtpStatus {
    let variables = Variables::new(&system.variables);
    let peer: u16 = number(&variables, "peer").unwrap_or(0);
    let stratum: u8 = number(&variables, "stratum").unwrap_or(UNSYNCHRONISED);
    let leap = system.status >> 14;
    let state = if leap == 3 || stratum >= UNSYNCHRONISED {
        SyncState::Unsynchronized
    } else if peer == 0 {
        SyncState::FreeRunning
    } else {
        SyncState::Synchronized
    };
    let followed = associations.iter().find(|association| association.id == peer);
    let now = timestamp(&variables, "clock");
    let told = version(system);
    let mut status = NtpStatus {
        state,
        service: "ntpd".to_owned(),
        service_version: Some(told.strip_prefix("ntpd ").unwrap_or(&told).to_owned()),
        leap: Some(["normal", "insert", "delete", "unsynchronised"][usize::from(leap)].to_owned()),
        // ntpd tells what it adds to the clock's frequency.
        frequency_ppm: number::<f64>(&variables, "frequency").map(|ppm| 0.0 - ppm),
        current_source: followed.and_then(name),
        sources: shown(associations)
            .map(|association| source(association, now))
            .collect(),
        ..NtpStatus::default()
    };
    if state != SyncState::Unsynchronized {
        status.stratum = Some(stratum).filter(|stratum| *stratum > 0);
        status.offset_s = seconds(&variables, "offset");
        status.root_delay_s = seconds(&variables, "rootdelay");
        // What it tells is of the moment at which it set its clock last.
        let since = match (now, timestamp(&variables, "reftime")) {
            (Some(now), Some(then)) => f64::from(elapsed(then, now)),
            _ => 0.0,
        };
        let dispersion = seconds(&variables, "rootdisp");
        status.root_dispersion_s = dispersion.map(|dispersion| dispersion + since * DRIFT_S_PER_S);
        status.error_bound_s = match (status.offset_s, status.root_delay_s, status.root_dispersion_s) {
            (Some(offset), Some(delay), Some(dispersion)) => Some(offset.abs() + delay / 2.0 + dispersion),
            _ => None,
        };
    }
    status
}

/// The sources that are worth showing: of pools what they gave, unless they gave nothing.
fn shown(associations: &[Association]) -> impl Iterator<Item = &Association> {
    let given = associations
        .iter()
        .any(|association| association.status & CONFIGURED == 0);
    associations
        .iter()
        .filter(move |association| association.status & POOL == 0 || !given)
}

fn source(association: &Association, now: Option<u32>) -> SourceStatus {
    let variables = Variables::new(&association.variables);
    let address = variables.get("srcadr").filter(|address| *address != "0.0.0.0");
    let is_clock = address.is_some_and(|address| address.starts_with("127.127."));
    let mode: u8 = number(&variables, "hmode").unwrap_or(CLIENT);
    let stratum: u8 = number(&variables, "stratum").unwrap_or(0);
    let since = match (now, timestamp(&variables, "rec")) {
        (Some(now), Some(received)) => Some(elapsed(received, now)),
        _ => None,
    };
    let delay = seconds(&variables, "delay").unwrap_or(0.0);
    SourceStatus {
        name: name(association).unwrap_or_default(),
        address: address.filter(|_| !is_clock).map(str::to_owned),
        mode: match mode {
            _ if is_clock => "refclock",
            1 | 2 => "peer",
            _ => "server",
        }
        .to_owned(),
        state: match PeerStatus::selection_of(association.status) {
            Selection::SystemPeer | Selection::PpsPeer => "selected",
            Selection::Candidate => "combined",
            Selection::Backup | Selection::Excess | Selection::Outlier => "not_combined",
            Selection::Falseticker => "falseticker",
            Selection::Reject => "unusable",
        }
        .to_owned(),
        stratum: if stratum >= UNSYNCHRONISED { 0 } else { stratum },
        poll: number(&variables, "hpoll").unwrap_or(0),
        reach: reach(&variables),
        last_sample_s: since,
        offset_s: seconds(&variables, "offset").unwrap_or(0.0),
        error_s: delay / 2.0 + seconds(&variables, "dispersion").unwrap_or(0.0),
    }
}

/// The reach register, which NTPsec tells in hexadecimal.
fn reach(variables: &Variables<'_>) -> u8 {
    let text = variables.get("reach").unwrap_or_default();
    let value = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    value.map_or(0, |value| u8::try_from(value & 0xff).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What NTPsec 1.2.2 tells of itself, with the rest left out.
    const SYSTEM: &[u8] =
        b"version=\"ntpd ntpsec-1.2.2\", leap=0, stratum=4, peer=7, offset=-2.000000, rootdelay=3.000, \
        rootdisp=10.5, frequency=-22.5, clock=0xec8f1964.00000000, reftime=0xec8f1900.80000000";

    fn system(status: u16, variables: &[u8]) -> System {
        System {
            status,
            variables: variables.to_vec(),
        }
    }

    fn association(id: u16, status: u16, variables: &str) -> Association {
        Association {
            id,
            status,
            variables: variables.as_bytes().to_vec(),
        }
    }

    fn followed() -> Association {
        association(
            7,
            0x961a,
            "srcadr=192.0.2.11, srchost=\"ntp1.lab\", hmode=3, stratum=3, hpoll=6, reach=0xff, delay=4.0, offset=-2.0, \
             dispersion=1.0, rec=0xec8f1965.00000000",
        )
    }

    #[test]
    fn what_is_told_is_told_on_and_the_bound_grows_between_updates() {
        let status = status(&system(0x0615, SYSTEM), &[followed()]);
        assert_eq!(status.state, SyncState::Synchronized);
        assert_eq!(status.service_version.as_deref(), Some("ntpsec-1.2.2"));
        assert_eq!(status.current_source.as_deref(), Some("ntp1.lab"));
        assert_eq!((status.stratum, status.frequency_ppm), (Some(4), Some(22.5)));
        let bound = 0.002 + 0.0015 + 0.0105 + 100.0 * 15e-6;
        assert!(
            (status.error_bound_s.unwrap() - bound).abs() < 1e-12,
            "{status:?}"
        );
        let source = &status.sources[0];
        assert_eq!(
            (source.state.as_str(), source.mode.as_str()),
            ("selected", "server")
        );
        assert_eq!(
            (source.reach, source.poll, source.last_sample_s),
            (255, 6, Some(0))
        );
        assert!((source.offset_s + 0.002).abs() < 1e-12 && (source.error_s - 0.003).abs() < 1e-12);
    }

    #[test]
    fn clocks_that_follow_nobody_are_told_from_those_that_never_did() {
        let told = |status_word, variables: &str| status(&system(status_word, variables.as_bytes()), &[]);
        let text = String::from_utf8(SYSTEM.to_vec()).unwrap();
        let left = told(0x0615, &text.replace("peer=7", "peer=0"));
        assert_eq!((left.state, left.current_source), (SyncState::FreeRunning, None));
        assert!(left.error_bound_s.is_some());
        for (word, variables) in [
            (0xc016, text.clone()),
            (0x0615, text.replace("stratum=4", "stratum=16")),
            (0x0615, String::new()),
        ] {
            let never = told(word, &variables);
            assert_eq!(
                (never.state, never.stratum, never.error_bound_s),
                (SyncState::Unsynchronized, None, None)
            );
        }
        // What is no number is left out, and no bound is made of what is left.
        let strange = told(0x0615, &text.replace("rootdisp=10.5", "rootdisp=x"));
        assert_eq!((strange.root_dispersion_s, strange.error_bound_s), (None, None));
    }
}
