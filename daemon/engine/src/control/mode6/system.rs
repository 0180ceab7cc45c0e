//! The variables of the daemon as a whole.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use conf::config::SystemVariable;
use units::{Leap, Mono, ReferenceId, UnixTime};
use wire::mode6::{SystemSource, SystemStatus, Value, Variable};

use super::number;
use crate::Engine;
use crate::control::report::Following;
use crate::io::Now;
use crate::select::Status;
use crate::source::{Source, SourceId};

impl Engine {
    /// The status of the daemon, with what happened last.
    pub(super) fn system_status(&self, now: Mono) -> SystemStatus {
        let tracking = self.tracking(now);
        let is_clock = self
            .followed()
            .is_some_and(|(_, source)| source.ref_clock.is_some());
        let source = match tracking.following {
            Following::Source if is_clock => SystemSource::UhfRadio,
            Following::Source => SystemSource::Ntp,
            Following::Itself => SystemSource::Local,
            Following::Nothing => SystemSource::Unspecified,
        };
        SystemStatus {
            leap: tracking.leap,
            source,
            event: self.mode6.events.system,
        }
    }

    /// The source that is followed.
    fn followed(&self) -> Option<(SourceId, &Source)> {
        let is_best = |id: &SourceId| {
            self.verdicts
                .get(id)
                .is_some_and(|verdict| verdict.status == Status::Best)
        };
        self.sources
            .iter()
            .find(|(id, _)| is_best(id))
            .map(|(id, source)| (*id, source))
    }

    /// The variables of the daemon, in ntpd's order; counts, of which some take time, only where something is `asked` for
    /// by name.
    pub(super) fn system_variables(&self, now: Now, asked: &[&str]) -> Vec<Variable> {
        let tracking = self.tracking(now.mono);
        let followed = self.followed();
        let is_synchronised = tracking.leap != Leap::Unsynchronised;
        let stratum = if is_synchronised { tracking.stratum.0 } else { 16 };
        let jitter_s = followed
            .and_then(|(_, source)| source.estimator.jitter_s())
            .unwrap_or(0.0);
        let (poll, wander) = self.loop_state();
        let poll_min = self
            .sources
            .values()
            .map(|source| source.polling.limits().0)
            .min();
        let root_dispersion_s = tracking.root_dispersion_s + tracking.offset_s.abs();
        let milliseconds = |length_s: f64| Value::Fixed3(length_s * 1e3);
        let fine = |length_s: f64| Value::Fixed6(length_s * 1e3);
        let exponent = |exponent: i8| Value::Unsigned(u64::try_from(exponent).unwrap_or(0));

        let mut variables = vec![
            Variable::new("leap", Value::Unsigned(tracking.leap.bits().into())),
            Variable::new("stratum", Value::Unsigned(stratum.into())),
            Variable::new("precision", Value::Signed(self.precision.into())),
            Variable::new("rootdelay", milliseconds(tracking.root_delay_s)),
            Variable::new("rootdisp", milliseconds(root_dispersion_s)),
            Variable::new(
                "rootdist",
                milliseconds(tracking.root_delay_s / 2.0 + root_dispersion_s),
            ),
            Variable::new(
                "refid",
                if self.is_unheard_since_step() {
                    Value::Word("STEP".to_owned())
                } else {
                    reference_of_system(stratum, tracking.reference_id)
                },
            ),
            Variable::new("reftime", Value::Timestamp(tracking.reference_time.to_ntp())),
            Variable::new("tc", exponent(poll)),
            Variable::new(
                "peer",
                Value::Unsigned(followed.map_or(0, |(id, _)| number(id)).into()),
            ),
            Variable::new("offset", fine(tracking.offset_s)),
            Variable::new("frequency", Value::Fixed6(-tracking.frequency_ppm)),
            Variable::new("sys_jitter", fine(jitter_s)),
            Variable::new("clk_jitter", fine(tracking.rms_offset_s)),
            Variable::new("clock", Value::Timestamp(now.wall.to_ntp())),
            Variable::new("processor", Value::Text(self.mode6.about.processor.clone())),
            Variable::new("system", Value::Text(self.mode6.about.system.clone())),
            Variable::new("version", Value::Text(self.mode6.about.version.clone())),
            Variable::new("clk_wander", Value::Fixed6(wander.abs() * 1e6)),
        ];
        if let Some(tai_offset_s) = self.tai_offset_s {
            variables.push(Variable::new("tai", Value::Signed(tai_offset_s.into())));
        }
        if let Some(table) = self.leaps.table() {
            let day = |second: i64| Value::Word(minute_of(UnixTime::from_seconds(second)));
            let last = table.entries.last().map(|(from, _)| *from);
            variables.extend(last.map(|last| Variable::new("leapsec", day(last))));
            variables.push(Variable::new("expire", day(table.expires)));
        }
        variables.push(Variable::new("mintc", exponent(poll_min.unwrap_or(6))));
        let is_own = |name: &str| variables.iter().any(|own| own.name == name);
        let (usual, others): (Vec<_>, Vec<_>) = self
            .config
            .variables
            .iter()
            .filter(|added| !is_own(&added.name))
            .partition(|added| added.is_default);
        let text = |added: &SystemVariable| Value::Text(added.value.clone());
        variables.extend(usual.iter().map(|added| Variable::new(&added.name, text(added))));

        if asked.is_empty() {
            return variables;
        }
        variables.extend(
            others
                .iter()
                .map(|added| Variable::unlisted(&added.name, text(added))),
        );
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let peer = followed
            .and_then(|(_, source)| source.remote())
            .unwrap_or(nowhere);
        let peer_mode = if followed.is_some_and(|(_, source)| source.is_peer()) {
            1
        } else {
            3
        };
        variables.extend([
            Variable::unlisted("peeradr", Value::Endpoint(peer)),
            Variable::unlisted("peermode", Value::Unsigned(peer_mode)),
            Variable::unlisted("authdelay", Value::Fixed3(0.0)),
        ]);
        variables.extend(self.mode6.kernel.variables());
        variables.extend(self.counters(now.mono));
        variables.extend(self.mru_counters(now.mono));
        let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
        let names = names.join(",");
        variables.push(Variable::unlisted("sys_var_list", Value::Text(names)));
        variables
    }

    /// Whether the clock was stepped by what sources said, and none of them was heard since.
    fn is_unheard_since_step(&self) -> bool {
        let is_before = |source: &Source| self.is_from_before_step(source);
        let is_silent = |source: &Source| source.ref_clock.is_none() && source.heard_at.is_none();
        self.sources.values().any(is_before)
            && self
                .sources
                .values()
                .all(|source| is_before(source) || is_silent(source))
    }

    /// The interval at which the source that is followed is asked, log2 s, and how much the frequency changes by what it
    /// says.
    pub(super) fn loop_state(&self) -> (i8, f64) {
        let followed = self.followed().map(|(_, source)| source);
        let wander = followed.and_then(|source| source.estimator.wander());
        let poll = followed.map_or(6, |source| source.polling.used_interval().0);
        (poll, wander.unwrap_or(0.0))
    }

    /// What a line of the file `sysstats` counts, since the start and in its order: packets received, processed, of this
    /// version and of those before, denied, malformed, not authentic, declined, limited, kisses, packets of version 1.
    pub(super) fn system_counts(&self) -> [u64; 11] {
        let packets = &self.packets;
        let kisses = self.server.statistics.kisses;
        [
            packets.received,
            packets.processed,
            packets.this_version,
            packets.old_version,
            packets.denied,
            packets.malformed,
            packets.unauthenticated,
            packets.declined,
            packets.limited + kisses,
            kisses,
            packets.version_1.iter().sum(),
        ]
    }

    /// Counts, as `sysstats`, `monstats`, `iostats` and `timerstats` ask for them. Always 0 are those of what does not
    /// exist here: buffers between reading a packet and looking at it, and with them packets that found none free
    /// (`io_dropped`); addresses that are listened on only to throw away what comes (`io_ignored`); timers that end before
    /// the last one was looked at.
    fn counters(&self, now: Mono) -> Vec<Variable> {
        let uptime_s = now.saturating_since(self.mode6.started).as_secs();
        let sent: u64 = self
            .sources
            .values()
            .map(|source| u64::from(source.counts.sent))
            .sum();
        let packets = &self.packets;
        let [
            received,
            processed,
            this_version,
            old_version,
            denied,
            malformed,
            unauthenticated,
            declined,
            limited,
            kisses,
            version_1,
        ] = self.system_counts();
        let [of_clients, without_mode, of_peers] = packets.version_1;
        let system = [
            ("reset", uptime_s),
            ("received", received),
            ("thisver", this_version),
            ("oldver", old_version),
            ("ver1", version_1),
            ("ver1client", of_clients),
            ("ver1zero", without_mode),
            ("ver1symm", of_peers),
            ("badformat", malformed),
            ("badauth", unauthenticated),
            ("declined", declined),
            ("restricted", denied),
            ("limited", limited),
            ("kodsent", kisses),
            ("processed", processed),
        ];
        let mut variables = vec![
            Variable::unlisted("ss_uptime", Value::Unsigned(uptime_s)),
            Variable::unlisted("ss_numctlreq", Value::Unsigned(self.mode6.requests)),
        ];
        for (name, count) in system {
            // Counting never begins anew, so that both forms are the same.
            variables.push(Variable::unlisted(&format!("ss_{name}"), Value::Unsigned(count)));
            variables.push(Variable::unlisted(
                &format!("ss_{name}_r"),
                Value::Unsigned(count),
            ));
        }
        let rest = [
            ("iostats_reset", uptime_s),
            ("total_rbuf", 1),
            ("free_rbuf", 1),
            ("used_rbuf", 0),
            ("rbuf_lowater", 0),
            ("io_dropped", 0),
            ("io_ignored", 0),
            ("io_received", received),
            ("io_sent", sent + packets.answers),
            ("io_sendfailed", packets.send_failures),
            ("io_wakeups", received),
            ("io_goodwakeups", received),
            ("timerstats_reset", uptime_s),
            ("timer_overruns", 0),
            ("timer_xmts", sent),
        ];
        variables.extend(rest.map(|(name, count)| Variable::unlisted(name, Value::Unsigned(count))));
        variables
    }
}

/// An instant in ntpd's words for leap seconds: `2017-01-01T00:00Z`.
fn minute_of(at: UnixTime) -> String {
    let text = at.to_string();
    let (minute, _second) = text.rsplit_once(':').unwrap_or((&text, ""));
    format!("{minute}Z")
}

/// What the system follows: an address below another server, else letters.
fn reference_of_system(stratum: u8, id: ReferenceId) -> Value {
    match stratum {
        2..=15 => Value::Address(IpAddr::V4(id.ipv4())),
        1 => Value::Word(id.ascii()),
        _ => Value::Word("INIT".to_owned()),
    }
}
