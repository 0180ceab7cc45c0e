//! systemd-timesyncd, asked over D-Bus (org.freedesktop.timesync1(5)).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Timesyncd;
use crate::providers::ntp::managed::{Backend, DaemonError, told};

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks for all properties, and never starts the daemon for that.
const COMMAND: [&str; 10] = [
    "busctl",
    "--json=short",
    "--auto-start=no",
    "call",
    "org.freedesktop.timesync1",
    "/org/freedesktop/timesync1",
    "org.freedesktop.DBus.Properties",
    "GetAll",
    "s",
    "org.freedesktop.timesync1.Manager",
];

/// What the daemon says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Properties {
    /// The servers that its files name.
    pub(super) system_servers: Vec<String>,
    /// Those that a program gave it while it runs; it asks them before all others, until it is restarted.
    pub(super) runtime_servers: Vec<String>,
    /// Those that the network gave.
    pub(super) link_servers: Vec<String>,
    /// Those that it takes when there are no others.
    pub(super) fallback_servers: Vec<String>,
    /// The one that it asks; empty while there is none.
    pub(super) server: String,
    pub(super) address: Option<IpAddr>,
    pub(super) poll_us: u64,
    /// What the kernel adds to the clock's frequency, in units of 2⁻¹⁶ ppm.
    pub(super) frequency: i64,
    /// The last answer.
    pub(super) message: Message,
}

/// The last answer of the server; before the first all is nought. Lengths of time are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Message {
    pub(super) leap: u32,
    _version: u32,
    _mode: u32,
    pub(super) stratum: u32,
    _precision: i32,
    pub(super) root_delay_us: u64,
    pub(super) root_dispersion_us: u64,
    _reference: Vec<u8>,
    pub(super) origin_us: u64,
    pub(super) receive_us: u64,
    pub(super) transmit_us: u64,
    pub(super) destination_us: u64,
    /// Whether it was left aside as an outlier.
    _ignored: bool,
    /// The answers until now.
    pub(super) count: u64,
    pub(super) jitter_us: u64,
}

impl Timesyncd {
    /// Asks the daemon.
    pub(super) fn properties(&self) -> Result<Properties, DaemonError> {
        // It needs no configuration file: one that is not there says nothing of it.
        let is_installed = self.is_there() || self.common.host.kind(&self.config()).is_ok();
        let missing = (!is_installed).then(|| format!("there is no unit {}", self.common.unit()));
        let unreachable = |error: &io::Error| {
            self.common
                .no_answer(missing.as_deref(), "D-Bus, through busctl", error)
        };
        let output = self.common.host.run(&COMMAND.map(str::to_owned), TIMEOUT);
        let output = output.map_err(|error| unreachable(&error))?;
        if !output.success {
            let reason = told(&output);
            return Err(unreachable(&io::Error::other(reason)));
        }
        read(&output.text).map_err(|error| {
            DaemonError::Refused(format!(
                "busctl tells nothing of systemd-timesyncd that can be read: {error}"
            ))
        })
    }
}

/// Reads what `busctl` prints.
pub(super) fn read(text: &str) -> Result<Properties, serde_json::Error> {
    #[derive(Deserialize)]
    struct Answer {
        data: (Map<String, Value>,),
    }
    let line = text.lines().next().unwrap_or_default();
    let Answer { data: (all,) } = serde_json::from_str(line)?;
    let (_family, address): (u32, Vec<u8>) = property(&all, "ServerAddress")?;
    let octets = |address: &[u8]| -> Option<IpAddr> {
        let of_4 = <[u8; 4]>::try_from(address).map(IpAddr::from);
        of_4.or_else(|_| <[u8; 16]>::try_from(address).map(IpAddr::from))
            .ok()
    };
    Ok(Properties {
        system_servers: property(&all, "SystemNTPServers")?,
        runtime_servers: property(&all, "RuntimeNTPServers")?,
        link_servers: property(&all, "LinkNTPServers")?,
        fallback_servers: property(&all, "FallbackNTPServers")?,
        server: property(&all, "ServerName")?,
        address: octets(&address),
        poll_us: property(&all, "PollIntervalUSec")?,
        frequency: property(&all, "Frequency")?,
        message: property(&all, "NTPMessage")?,
    })
}

/// The value of a property; one that an older daemon does not have is what it is in the beginning.
fn property<T: DeserializeOwned + Default>(all: &Map<String, Value>, name: &str) -> serde_json::Result<T> {
    match all.get(name).and_then(|property| property.get("data")) {
        Some(value) => serde_json::from_value(value.clone()),
        None => Ok(T::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd 252 printed it.
    const FOLLOWING: &str = r#"{"type":"a{sv}","data":[{"LinkNTPServers":{"type":"as","data":[]},"SystemNTPServers":{"type":"as","data":["127.0.0.1"]},"RuntimeNTPServers":{"type":"as","data":[]},"FallbackNTPServers":{"type":"as","data":["0.debian.pool.ntp.org"]},"ServerName":{"type":"s","data":"127.0.0.1"},"ServerAddress":{"type":"(iay)","data":[2,[127,0,0,1]]},"RootDistanceMaxUSec":{"type":"t","data":5000000},"PollIntervalMinUSec":{"type":"t","data":32000000},"PollIntervalMaxUSec":{"type":"t","data":2048000000},"PollIntervalUSec":{"type":"t","data":64000000},"NTPMessage":{"type":"(uuuuittayttttbtt)","data":[0,4,4,3,-25,0,0,[127,127,1,1],1795313165415741,1795313165415784,1795313165416085,1795313165416098,false,1,0]},"Frequency":{"type":"x","data":0}}]}"#;

    #[test]
    fn what_busctl_prints_is_read() {
        let properties = read(FOLLOWING).unwrap();
        assert_eq!(properties.system_servers, ["127.0.0.1"]);
        assert_eq!(properties.runtime_servers, [""; 0]);
        let given = FOLLOWING.replace(
            r#""RuntimeNTPServers":{"type":"as","data":[]}"#,
            r#""RuntimeNTPServers":{"type":"as","data":["192.0.2.16"]}"#,
        );
        assert_eq!(read(&given).unwrap().runtime_servers, ["192.0.2.16"]);
        assert_eq!(properties.address, Some("127.0.0.1".parse().unwrap()));
        assert_eq!((properties.message.stratum, properties.message.count), (3, 1));
        assert_eq!(properties.message.receive_us - properties.message.origin_us, 43);
        // Before the first answer, with times that cannot be, and an address that is none.
        let begun = FOLLOWING
            .replace(
                "[0,4,4,3,-25,0,0,[127,127,1,1],1795313165415741,1795313165415784,1795313165416085,1795313165416098,false,1,0]",
                "[0,0,0,0,0,0,0,[0,0,0,0],0,18444535084909551616,18444535084909551616,0,false,0,0]",
            )
            .replace("[2,[127,0,0,1]]", "[0,[]]");
        let properties = read(&begun).unwrap();
        assert_eq!((properties.message.count, properties.address), (0, None));
        for text in ["", "{}", "{\"data\":[]}", &FOLLOWING[1..], "Call failed"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
