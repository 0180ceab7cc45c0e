//! Packets that tell the time to whoever listens, unasked (`broadcast`, RFC 5905 mode 5).

use std::net::SocketAddr;

use units::rounding::nearest_i64;
use units::{Mode, NtpTimestamp, PollInterval};
use wire::ntp::{Header, Version};

use crate::engine::Engine;
use crate::io::{Now, Output};
use crate::ports::Holder;
use crate::timer::Timer;

/// An interval is up to this share longer, at random, so that hosts that were started together do not stay so.
const SPREAD: f64 = 0.02;

impl Engine {
    /// Opens the sockets for broadcasts and plans the first of each, which comes after its interval.
    pub(crate) fn plan_broadcasts(&mut self, now: Now) {
        let broadcasts = self.config.server.broadcasts.clone();
        for (index, broadcast) in (0..).zip(broadcasts) {
            let is_open = self
                .ports
                .hold(broadcast.address.is_ipv6(), Holder::Broadcasting, &mut self.out)
                .is_some();
            if is_open {
                self.plan_broadcast(now, index, broadcast.interval_s);
            }
        }
    }

    /// Sends one broadcast, by its place in the configuration, and plans the next.
    pub(crate) fn broadcast(&mut self, now: Now, index: u32) {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(broadcast) = self.config.server.broadcasts.get(place).copied() else {
            return;
        };
        self.plan_broadcast(now, index, broadcast.interval_s);
        let Some(socket) = self
            .ports
            .hold(broadcast.address.is_ipv6(), Holder::Broadcasting, &mut self.out)
        else {
            return;
        };
        let state = self.server_state(now.mono);
        let header = Header {
            leap: state.leap,
            version: Version::V4,
            mode: Mode::Broadcast,
            stratum: state.stratum,
            poll: poll(broadcast.interval_s),
            precision: state.precision,
            root_delay: state.root_delay,
            root_dispersion: state.root_dispersion,
            reference_id: state.reference_id,
            reference_time: state.reference_time,
            origin_time: NtpTimestamp::ZERO,
            receive_time: NtpTimestamp::ZERO,
            transmit_time: now.wall.plus_seconds(self.served_after_s(now.mono)).to_ntp(),
        };
        self.out.push(Output::Datagram {
            socket,
            to: SocketAddr::new(broadcast.address, broadcast.port),
            from: None,
            bytes: header.encode().to_vec(),
        });
    }

    fn plan_broadcast(&mut self, now: Now, index: u32, interval_s: u32) {
        let [random, ..] = (self.entropy)().to_le_bytes();
        let share = f64::from(random) / f64::from(u8::MAX);
        let wait_s = f64::from(interval_s) * (1.0 + SPREAD * share);
        self.timers
            .set(Timer::Broadcast(index), now.mono.plus_seconds(wait_s));
    }
}

/// The power of two that is nearest to an interval.
fn poll(interval_s: u32) -> PollInterval {
    let log2 = f64::from(interval_s).log2();
    PollInterval(i8::try_from(nearest_i64(log2)).unwrap_or(i8::MAX))
}

#[cfg(test)]
mod tests {
    use conf::config::{Broadcast, Config, Local};

    use super::*;
    use crate::stage::{Stage, silence};

    fn play(port: u16, local: Option<Local>, until_s: f64) -> Stage {
        let broadcast = |interval_s, address: &str, port| Broadcast {
            interval_s,
            address: address.parse().unwrap(),
            port,
        };
        let mut config = Config {
            local,
            ..Config::default()
        };
        config.server.port = port;
        config.server.broadcasts = vec![
            broadcast(64, "192.0.2.255", 123),
            broadcast(100, "ff02::101", 12123),
        ];
        let mut stage = Stage::new(config, silence());
        stage.run_until(until_s);
        stage
    }

    #[test]
    fn they_are_sent_after_each_interval_from_the_ntp_port() {
        let local = Local {
            stratum: 1,
            ..Local::default()
        };
        let stage = play(123, Some(local), 1000.0);
        let to = |address: &str| {
            let to: SocketAddr = address.parse().unwrap();
            let sent = stage.requests.iter();
            sent.filter(|request| request.to == to)
                .cloned()
                .collect::<Vec<_>>()
        };
        let (ipv4, ipv6) = (to("192.0.2.255:123"), to("[ff02::101]:12123"));
        assert_eq!((ipv4.len(), ipv6.len()), (15, 9));
        assert!(
            ipv4.windows(2)
                .all(|pair| { (64.0..64.0 * 1.021).contains(&(pair[1].at_s - pair[0].at_s)) })
        );
        let header = &ipv4[0].header;
        assert_eq!(
            (header.mode, header.version, header.stratum.0, header.poll),
            (Mode::Broadcast, Version::V4, 1, PollInterval(6))
        );
        assert_eq!(ipv6[0].header.poll, PollInterval(7));
        assert!(header.origin_time.is_zero() && header.receive_time.is_zero());
        assert!(!header.transmit_time.is_zero());
        assert!(stage.engine.ports.is_server(ipv4[0].socket));
        assert_ne!(ipv4[0].socket, ipv6[0].socket);
    }

    #[test]
    fn a_clock_that_is_not_synchronised_says_so() {
        let stage = play(123, None, 70.0);
        let header = &stage.requests[0].header;
        assert_eq!((header.leap, header.stratum.0), (units::Leap::Unsynchronised, 0));
    }

    #[test]
    fn without_the_ntp_port_there_are_none() {
        assert!(play(0, None, 500.0).requests.is_empty());
    }

    #[test]
    fn intervals_are_told_as_powers_of_two() {
        // As chronyd 4.9 tells them.
        for (interval_s, log2) in [(1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (16, 4), (64, 6)] {
            assert_eq!(poll(interval_s), PollInterval(log2), "{interval_s}");
        }
    }
}
