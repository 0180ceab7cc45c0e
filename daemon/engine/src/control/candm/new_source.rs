//! From the request to add a source to a source's configuration.

use std::net::IpAddr;

use conf::config::{Family, SelectOptions, SourceConfig, SourceKind, SourceName};
use wire::candm::{AddSource, NewSourceKind, SourceFlags, Status};

/// The polling intervals there are, log2 s, and the defaults that a value out of range stands for.
const POLLS: std::ops::RangeInclusive<i32> = -7..=24;
const MIN_POLL_DEFAULT: i8 = 6;
const MAX_POLL_DEFAULT: i8 = 10;

/// What clients before chrony 4.8, who do not know `maxunreach`, mean by its 0, polls.
const MAX_UNREACH_DEFAULT: u32 = 100_000;

/// Reads a source to add, with values brought into the ranges of a configuration.
///
/// NTS is not built in: a source that asks for it is refused, rather than asked without. The same goes for a port
/// or a version that cannot be.
pub(super) fn read(source: &AddSource) -> Result<SourceConfig, Status> {
    let has = |flag| source.flags.contains(flag);
    let name = source.name.as_str();
    let address: Option<IpAddr> = name.parse().ok();
    let (v4, v6) = (has(SourceFlags::IPV4), has(SourceFlags::IPV6));
    match address {
        Some(IpAddr::V4(_)) if v6 && !v4 => return Err(Status::InvalidAddressFamily),
        Some(IpAddr::V6(_)) if v4 && !v6 => return Err(Status::InvalidAddressFamily),
        _ => {}
    }
    if has(SourceFlags::NTS) {
        return Err(Status::NotEnabled);
    }
    let kind = match source.kind {
        NewSourceKind::Server => SourceKind::Server,
        NewSourceKind::Peer => SourceKind::Peer,
        NewSourceKind::Pool => SourceKind::Pool,
    };
    let is_client = kind != SourceKind::Peer;
    let min_poll = poll(source.min_poll_log2_s, MIN_POLL_DEFAULT);
    let name = address.map_or_else(|| SourceName::Name(name.to_owned()), SourceName::Address);
    Ok(SourceConfig {
        port: u16::try_from(source.port).map_err(|_| Status::Invalid)?,
        family: match (v4, v6) {
            (true, false) => Some(Family::V4),
            (false, true) => Some(Family::V6),
            _ => None,
        },
        min_poll,
        max_poll: poll(source.max_poll_log2_s, MAX_POLL_DEFAULT).max(min_poll),
        iburst: is_client && has(SourceFlags::IBURST),
        burst: is_client && has(SourceFlags::BURST),
        offline: !has(SourceFlags::ONLINE),
        auto_offline: has(SourceFlags::AUTO_OFFLINE),
        max_sources: u8::try_from(source.max_sources.clamp(1, 16)).unwrap_or(1),
        select: SelectOptions {
            prefer: has(SourceFlags::PREFER),
            noselect: has(SourceFlags::NOSELECT),
            trust: has(SourceFlags::TRUST),
            require: has(SourceFlags::REQUIRE),
        },
        key_id: Some(source.key_id).filter(|id| *id != 0),
        version: match source.version {
            0 => None,
            version @ 1..=4 => u8::try_from(version).ok(),
            _ => return Err(Status::Invalid),
        },
        interleaved: has(SourceFlags::XLEAVE),
        copy: is_client && has(SourceFlags::COPY),
        presend_poll: i8::try_from(source.presend_min_poll_log2_s.clamp(-7, 100)).unwrap_or(100),
        filter_length: u32::try_from(source.filter_length).unwrap_or(0),
        poll_target: source.poll_target.max(1),
        min_samples: u32::try_from(source.min_samples).ok(),
        max_samples: u32::try_from(source.max_samples).ok(),
        max_unreach: u32::try_from(source.max_unreach)
            .ok()
            .filter(|polls| *polls > 0)
            .unwrap_or(MAX_UNREACH_DEFAULT),
        max_delay_s: source.max_delay_s.clamp(0.0, 1e3),
        max_delay_ratio: source.max_delay_ratio.clamp(0.0, 1e6),
        max_delay_dev_ratio: source.max_delay_dev_ratio.clamp(0.0, 1e6),
        max_delay_quantile: match source.max_delay_quantile {
            quantile if quantile > 0.0 => quantile.clamp(0.05, 0.95),
            _ => 0.0,
        },
        min_delay_s: Some(source.min_delay_s)
            .filter(|delay_s| *delay_s > 0.0)
            .map(|delay_s| delay_s.min(1e3)),
        asymmetry: Some(source.asymmetry).filter(|asymmetry| (-0.5..=0.5).contains(asymmetry)),
        offset_s: source.offset_s.clamp(-1e9, 1e9),
        min_stratum: u8::try_from(source.min_stratum.min(15)).unwrap_or(15),
        ext_monotonic_root: has(SourceFlags::EXTENSION_MONO_ROOT),
        ext_network_correction: has(SourceFlags::EXTENSION_NET_CORRECTION),
        ..SourceConfig::new(kind, name)
    })
}

/// A polling interval; what is out of range stands for the default.
fn poll(log2_s: i32, default: i8) -> i8 {
    i8::try_from(log2_s)
        .ok()
        .filter(|_| POLLS.contains(&log2_s))
        .unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, flags: SourceFlags) -> AddSource {
        let name = wire::candm::SourceName::new(name).expect("a name");
        AddSource {
            flags,
            ..AddSource::new(NewSourceKind::Server, name)
        }
    }

    #[test]
    fn without_options_it_is_the_default_source() {
        let config = read(&request("192.0.2.1", SourceFlags::ONLINE)).expect("a source");
        let address = SourceName::Address("192.0.2.1".parse().expect("an address"));
        assert_eq!(config, SourceConfig::new(SourceKind::Server, address));
        let config = read(&request("ntp.example.net", SourceFlags::ONLINE)).expect("a source");
        assert_eq!(config.name, SourceName::Name("ntp.example.net".to_owned()));
    }

    #[test]
    fn a_literal_of_the_other_family_is_refused() {
        let online = SourceFlags::ONLINE;
        let (v4, v6) = (online.with(SourceFlags::IPV4), online.with(SourceFlags::IPV6));
        assert_eq!(read(&request("192.0.2.1", v6)), Err(Status::InvalidAddressFamily));
        assert_eq!(
            read(&request("2001:db8::1", v4)),
            Err(Status::InvalidAddressFamily)
        );
        assert!(read(&request("192.0.2.1", v4)).is_ok() && read(&request("192.0.2.1", v4.with(v6))).is_ok());
        assert_eq!(
            read(&request("name", v6)).expect("a source").family,
            Some(Family::V6)
        );
    }

    #[test]
    fn nts_is_not_silently_left_out() {
        let nts = SourceFlags::ONLINE.with(SourceFlags::NTS);
        assert_eq!(read(&request("192.0.2.1", nts)), Err(Status::NotEnabled));
    }

    #[test]
    fn values_out_of_range_are_brought_into_it() {
        let mut source = request("192.0.2.1", SourceFlags::default());
        source.min_poll_log2_s = 12;
        source.max_unreach = 0;
        source.max_sources = 99;
        source.max_delay_s = -1.0;
        let config = read(&source).expect("a source");
        assert_eq!((config.min_poll, config.max_poll, config.offline), (12, 12, true));
        assert_eq!((config.max_unreach, config.max_sources), (100_000, 16));
        assert!(config.max_delay_s == 0.0 && config.asymmetry.is_none() && config.min_delay_s.is_none());
        source.port = 70_000;
        assert_eq!(read(&source), Err(Status::Invalid));
    }
}
