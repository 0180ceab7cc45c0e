//! From timers and datagrams to the sources, and from what happens there to the selection.

use std::net::{IpAddr, SocketAddr};

use units::{Mono, NtpShort, Stratum};
use wire::ntp::{Header, Packet};

use crate::engine::Engine;
use crate::io::{Now, SocketId, Stamp};
use crate::select::Status;
use crate::source::{Local, SourceId};
use crate::sources::asking::{Incoming, Taken};
use crate::sources::{Event, Sources, Tools};

impl Engine {
    /// Lets the sources do something, and follows up what happened there.
    pub fn ask<R>(&mut self, now: Now, act: impl FnOnce(&mut Sources, &mut Tools<'_>) -> R) -> R {
        let local = Local {
            precision_s: self.options.precision_s,
            frequency: self.discipline.frequency(),
            skew: self.discipline.skew(),
            remaining_s: self.discipline.remaining_s(now.mono, &self.timeline),
            era_start: self.options.era_start,
            announced: self.announced(now.mono),
            own_port: self.ports.answering_port(),
            constrained: self.constraints.constrained(now),
        };
        let prior = self.prior();
        let mut tools = Tools {
            now,
            timeline: &self.timeline,
            local,
            prior,
            keys: &self.keys,
            timers: &mut self.timers,
            ports: &mut self.ports,
            out: &mut self.out,
            entropy: &mut self.entropy,
        };
        let result = act(&mut self.sources, &mut tools);
        self.follow_up(now);
        result
    }

    /// A datagram for a source, if it is one; says whether it was.
    pub fn datagram(
        &mut self,
        now: Now,
        socket: SocketId,
        from: SocketAddr,
        to: Option<IpAddr>,
        received: Stamp,
        bytes: &[u8],
    ) -> bool {
        let Ok(packet) = Packet::decode(bytes) else {
            return false;
        };
        if self.server.ignores_host(from.ip(), from.port()) {
            self.packets.denied += 1;
            return true;
        }
        let incoming = Incoming {
            socket,
            from,
            to,
            received,
            packet,
        };
        let header = &incoming.packet.header;
        match self.ask(now, |sources, tools| sources.datagram(&incoming, tools)) {
            Taken::NotOurs => return false,
            Taken::Unexpected => self.packets.count_declined(header),
            Taken::Unauthenticated => self.packets.count_unauthenticated(header),
            Taken::Authentic => self.packets.count_processed(header),
        }
        if !self.is_hole_told {
            self.tell_hole(from);
        }
        true
    }

    /// Says once that answers of a source are taken that a rule would throw away.
    fn tell_hole(&mut self, from: SocketAddr) {
        let restrictions = self.server.restrictions.as_ref();
        if restrictions.is_some_and(|rules| rules.flags(from.ip(), from.port(), true).ignore) {
            self.is_hole_told = true;
            let address = from.ip();
            self.out.info(format!(
                "Answers of {address} are taken although others there are ignored : it is a source"
            ));
        }
    }

    /// The timestamp of something that was sent.
    pub fn transmitted(&mut self, now: Now, socket: SocketId, sent: Stamp, bytes: &[u8]) -> bool {
        let Ok(packet) = Packet::decode(bytes) else {
            return false;
        };
        self.ask(now, |sources, tools| {
            sources.transmitted(socket, &packet.header, sent, tools)
        })
    }

    /// What packets to peers tell of our clock.
    fn announced(&self, now: Mono) -> Header {
        let served = self.served(now);
        Header {
            leap: served.leap,
            stratum: Stratum(served.stratum.to_byte()),
            precision: self.precision,
            root_delay: NtpShort::from_seconds(served.root_delay_s),
            root_dispersion: NtpShort::from_seconds(served.root_dispersion_s),
            reference_id: served.reference_id,
            reference_time: served.reference_time.to_ntp(),
            ..Header::default()
        }
    }

    /// Selects anew after what happened to the sources.
    fn follow_up(&mut self, now: Now) {
        while let Some(event) = self.sources.next_event() {
            match event {
                Event::Sampled(id) => {
                    self.first_answered(now.mono);
                    self.consider(now.mono, Some(id));
                }
                Event::Changed(_) => self.consider(now.mono, None),
                Event::Finished(id) => {
                    if let Some(source) = self.sources.get_mut(&id) {
                        source.forget_reach();
                    }
                    self.consider(now.mono, None);
                }
                Event::Refused => self.refused_by_constraint(now),
                Event::Removed(id) | Event::Replaced(id) => {
                    // A source that has moved has rules that have to.
                    if let Some(name) = self.source_name(id) {
                        self.look_up_rules_of(&name);
                    }
                    self.verdicts.remove(&id);
                    self.selector.forget(id.0);
                    self.consider(now.mono, None);
                }
            }
            let bad: Vec<SourceId> = self
                .verdicts
                .iter()
                .filter(|(_, verdict)| {
                    matches!(
                        verdict.status,
                        Status::Falseticker
                            | Status::Unsynchronised
                            | Status::TooDistant
                            | Status::StratumOutOfRange
                    )
                })
                .map(|(id, _)| *id)
                .collect();
            for id in bad {
                self.sources.complain(id, now.mono, &mut self.out);
            }
        }
    }
}
