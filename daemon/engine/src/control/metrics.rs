//! The daemon's numbers as Prometheus reads them.
//!
//! Names and signs of `chrony_…` are those of chrony_exporter, so that dashboards and alerts made for it go on
//! working, slips included (`sourcestats_stddev`, `auhtenticated_…`; but not `nts-ke_…`, which is no name that
//! Prometheus takes): offsets of sources are positive when the local clock is ahead. `timeball_…` are ours: an
//! offset is positive when the local clock is behind.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use units::Mono;

use super::report::{Following, Mode, Place, Tracking};
use crate::Engine;
use crate::select::Status;
use crate::source::SourceId;

/// Writes all numbers as a page in Prometheus' text format, version 0.0.4.
pub fn text(engine: &Engine, now: Mono) -> String {
    let mut page = Page(String::new());
    let tracking = engine.tracking(now);
    page.ours(engine, &tracking, now);
    page.tracking(engine, &tracking);
    page.sources(engine, now);
    page.server(engine);
    page.0
}

/// A page under way.
struct Page(String);

/// What a metric is, as Prometheus calls it.
#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

impl Page {
    fn ours(&mut self, engine: &Engine, tracking: &Tracking, now: Mono) {
        self.gauge(
            "timeball_clock_error_bound_seconds",
            "The most that the system clock can be off: |offset| + root delay / 2 + root dispersion; +Inf when it \
             follows no source.",
            engine.error_bound_s(now).unwrap_or(f64::INFINITY),
        );
        self.gauge(
            "timeball_clock_offset_seconds",
            "True time - system clock as far as is known; positive: the clock is behind.",
            tracking.offset_s,
        );
        let synchronised = f64::from(u8::from(tracking.following == Following::Source));
        self.gauge(
            "timeball_clock_synchronized",
            "Whether the clock follows a source.",
            synchronised,
        );
        self.gauge(
            "timeball_clock_free_running_seconds",
            "How long the clock has gone on alone, because no source can be followed.",
            free_running_s(engine, tracking, now),
        );
        let verdicts = engine.verdicts.values();
        let usable = verdicts.filter(|verdict| verdict.status.is_selectable()).count();
        self.gauge(
            "timeball_sources_usable",
            "Sources that could be followed.",
            number(usable),
        );
        let counts = &engine.server.statistics;
        let name = "timeball_server_requests_total";
        self.head(
            name,
            "NTP requests from those who may ask, by what became of them.",
            Kind::Counter,
        );
        for (result, count) in [
            ("answered", counts.ntp_hits.saturating_sub(counts.ntp_drops)),
            ("limited", counts.ntp_drops),
        ] {
            let _ = writeln!(self.0, "{name}{{result=\"{result}\"}} {count}");
        }
    }

    fn tracking(&mut self, engine: &Engine, tracking: &Tracking) {
        self.gauge("chrony_up", "Whether the daemon answers.", 1.0);
        let address = tracking
            .address
            .map(|address| address.to_string())
            .unwrap_or_default();
        let name = match tracking.address {
            Some(address) => engine
                .source_in(Place::Address(address))
                .and_then(|id| engine.source_name(id)),
            None => Some(tracking.reference_id.ascii()),
        };
        let labels = [
            ("tracking_address", address),
            ("tracking_name", name.unwrap_or_default()),
            ("tracking_refid", tracking.reference_id.to_string()),
        ];
        self.head("chrony_tracking_info", "What the clock follows.", Kind::Gauge);
        self.line("chrony_tracking_info", &labels, 1.0);
        let (seconds, nanos) = tracking.reference_time.to_parts();
        let reference_s = match tracking.following {
            // As chronyd has it: never.
            Following::Nothing => 0.0,
            Following::Itself | Following::Source => {
                units::rounding::f64_from_i64(seconds) + units::rounding::f64_from_i64(nanos) / 1e9
            }
        };
        let is_remote = f64::from(u8::from(tracking.following != Following::Itself));
        for (name, help, value) in [
            (
                "last_offset_seconds",
                "Offset of the last update; positive: the clock was ahead.",
                -tracking.last_offset_s,
            ),
            (
                "system_time_seconds",
                "What is left to correct; positive: the clock is behind.",
                tracking.offset_s,
            ),
            (
                "reference_timestamp_seconds",
                "Unix time of the last update.",
                reference_s,
            ),
            (
                "remote_reference",
                "Whether the clock follows something else than itself.",
                is_remote,
            ),
            (
                "rms_offset_seconds",
                "Running root mean square of the offsets of updates.",
                tracking.rms_offset_s,
            ),
            (
                "frequency_ppms",
                "Error of the oscillator that is made up for; positive: it gains.",
                tracking.frequency_ppm,
            ),
            (
                "residual_frequency_ppms",
                "How much more the oscillator gains by the reference.",
                tracking.residual_frequency_ppm,
            ),
            ("skew_ppms", "Error bound of the frequency.", tracking.skew_ppm),
            (
                "root_delay_seconds",
                "Delay to the primary reference and back.",
                tracking.root_delay_s,
            ),
            (
                "root_dispersion_seconds",
                "Dispersion to the primary reference.",
                tracking.root_dispersion_s,
            ),
            (
                "update_interval_seconds",
                "Time between the last two updates.",
                tracking.update_interval_s,
            ),
            (
                "stratum",
                "Stratum of the clock; 0 when it follows nothing.",
                f64::from(tracking.stratum.to_byte()),
            ),
        ] {
            self.gauge(&format!("chrony_tracking_{name}"), help, value);
        }
    }

    fn sources(&mut self, engine: &Engine, now: Mono) {
        let mut rows: Vec<Row> = engine
            .source_ids()
            .filter_map(|id| Row::of(engine, id, now))
            .collect();
        tell_apart(&mut rows);
        for (name, help, value) in SOURCE_METRICS {
            self.head(name, help, Kind::Gauge);
            for row in &rows {
                if let Some(value) = value(row) {
                    self.line(name, &row.labels(), value);
                }
            }
        }
        let name = "chrony_sources_state_info";
        self.head(name, "What the selection made of the source.", Kind::Gauge);
        for row in &rows {
            let [address, source] = row.labels();
            let labels = [
                address,
                source,
                ("source_state", row.state.to_owned()),
                ("source_mode", row.mode.to_owned()),
            ];
            self.line(name, &labels, 1.0);
        }
    }

    fn server(&mut self, engine: &Engine) {
        let counts = &engine.server.statistics;
        let log_drops = engine
            .server
            .log()
            .map_or(0, crate::server::client_log::ClientLog::overwritten);
        for (name, help, value) in [
            (
                "ntp_packets_received_total",
                "NTP requests from those who may ask.",
                counts.ntp_hits,
            ),
            (
                "ntp_packets_dropped_total",
                "NTP requests that the rate limit left without an answer.",
                counts.ntp_drops,
            ),
            (
                "command_packets_received_total",
                "Command requests.",
                counts.command_hits,
            ),
            (
                "command_packets_dropped_total",
                "Command requests that the rate limit left without a reply.",
                counts.command_drops,
            ),
            (
                "client_log_records_dropped_total",
                "Records of clients that made room for others.",
                log_drops,
            ),
            (
                "nts_ke_connections_accepted_total",
                "NTS key exchanges begun.",
                counts.nts_ke_hits,
            ),
            (
                "nts_ke_connections_dropped_total",
                "NTS key exchanges that the rate limit ended.",
                counts.nts_ke_drops,
            ),
            (
                "auhtenticated_ntp_packets_total",
                "NTP requests that were authenticated.",
                counts.authenticated,
            ),
            (
                "interleaved_ntp_packets_total",
                "NTP requests in the interleaved mode.",
                counts.interleaved,
            ),
        ] {
            let name = format!("chrony_serverstats_{name}");
            self.head(&name, help, Kind::Counter);
            // Counters are printed exactly, however large.
            let _ = writeln!(self.0, "{name} {value}");
        }
        let (held, span_s) = engine
            .server
            .interleave()
            .map_or((0, 0), |held| (held.held(), held.span_s()));
        self.gauge(
            "chrony_serverstats_ntp_timestamps_held",
            "Pairs of timestamps held for the interleaved mode.",
            number(held),
        );
        self.gauge(
            "chrony_serverstats_ntp_timestamp_span",
            "Time that these pairs cover, seconds.",
            f64::from(span_s),
        );
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help, Kind::Gauge);
        self.line(name, &[], value);
    }

    fn head(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, String)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = match value {
            f64::INFINITY => writeln!(self.0, " +Inf"),
            // No zero is negative.
            value => writeln!(self.0, " {}", value + 0.0),
        };
    }
}

/// One source.
struct Row {
    address: String,
    name: String,
    state: &'static str,
    mode: &'static str,
    poll_s: f64,
    stratum: f64,
    reach: u8,
    newest: Option<super::report::Newest>,
    statistics: super::report::Statistics,
}

/// The name of a metric about a source, what it is, and its value, if there is one.
type SourceMetric = (&'static str, &'static str, fn(&Row) -> Option<f64>);

const SOURCE_METRICS: [SourceMetric; 14] = [
    (
        "chrony_sources_last_sample_age_seconds",
        "Age of the newest sample.",
        |row| row.newest.map(|newest| f64::from(newest.age_s)),
    ),
    (
        "chrony_sources_last_sample_offset_seconds",
        "Offset of the newest sample; positive: the clock is ahead.",
        |row| row.newest.map(|newest| -newest.offset_s),
    ),
    (
        "chrony_sources_last_sample_error_margin_seconds",
        "The most that it can be wrong by.",
        |row| row.newest.map(|newest| newest.error_s),
    ),
    (
        "chrony_sources_polling_interval_seconds",
        "Time between requests.",
        |row| Some(row.poll_s),
    ),
    ("chrony_sources_stratum", "Stratum of the source.", |row| {
        Some(row.stratum)
    }),
    (
        "chrony_sources_reachability_ratio",
        "Share of the last eight polls that were answered.",
        |row| Some(f64::from(row.reach.count_ones()) / 8.0),
    ),
    (
        "chrony_sources_reachability_success",
        "Whether the last poll was answered.",
        |row| Some(f64::from(row.reach & 1)),
    ),
    ("chrony_sourcestats_samples", "Samples held.", |row| {
        Some(f64::from(row.statistics.samples))
    }),
    (
        "chrony_sourcestats_runs",
        "Runs of samples on one side of the estimate.",
        |row| Some(f64::from(row.statistics.runs)),
    ),
    (
        "chrony_sourcestats_span_seconds",
        "Time from the oldest to the newest sample.",
        |row| Some(row.statistics.span_s),
    ),
    (
        "chrony_sourcestats_stddev",
        "Standard deviation of a sample, seconds.",
        |row| row.statistics.estimate.map(|estimate| estimate.deviation_s),
    ),
    (
        "chrony_sourcestats_frequency_ppms",
        "How much the clock gains against the source.",
        |row| row.statistics.estimate.map(|estimate| estimate.frequency_ppm),
    ),
    (
        "chrony_sourcestats_frequency_skew_ppms",
        "Error bound of that.",
        |row| row.statistics.estimate.map(|estimate| estimate.skew_ppm),
    ),
    (
        "chrony_sourcestats_offset",
        "Estimated offset, seconds; positive: the clock is ahead.",
        |row| row.statistics.estimate.map(|estimate| -estimate.offset_s),
    ),
];

impl Row {
    fn of(engine: &Engine, id: SourceId, now: Mono) -> Option<Self> {
        let source = engine.source_report(id, now)?;
        Some(Self {
            address: source.place.to_string(),
            name: source.name,
            state: state(source.status),
            mode: match source.mode {
                Mode::Client => "client",
                Mode::Peer => "peer",
                Mode::ReferenceClock => "reference clock",
            },
            poll_s: source.poll.as_seconds(),
            stratum: f64::from(source.stratum.to_byte()),
            reach: source.reach,
            newest: source.newest,
            statistics: engine.statistics(id, now)?,
        })
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        [
            ("source_address", self.address.clone()),
            ("source_name", self.name.clone()),
        ]
    }
}

/// Gives each row an address of its own: two reference clocks may have one reference ID, and Prometheus takes no page on which
/// a series stands twice. The second has `#2` behind it, and so on.
fn tell_apart(rows: &mut [Row]) {
    let mut taken: BTreeSet<String> = rows.iter().map(|row| row.address.clone()).collect();
    let mut seen = BTreeSet::new();
    for row in rows {
        if !seen.insert(row.address.clone()) {
            let numbered = (2_u32..).map(|number| format!("{}#{number}", row.address));
            row.address = numbered
                .into_iter()
                .find(|address| !taken.contains(address))
                .unwrap_or_default();
            taken.insert(row.address.clone());
        }
    }
}

/// How long ago the clock was last corrected, if nobody is there who could correct it now, seconds.
fn free_running_s(engine: &Engine, tracking: &Tracking, now: Mono) -> f64 {
    let is_followed = engine.verdicts.values().any(|verdict| verdict.status.is_used());
    match engine.discipline.updated_at() {
        Some(updated) if tracking.following == Following::Source && !is_followed => {
            now.seconds_since(updated).max(0.0)
        }
        _ => 0.0,
    }
}

/// The words of chrony_exporter for the six states of `chronyc sources`.
const fn state(status: Status) -> &'static str {
    match status {
        Status::Best => "sync",
        Status::Combined => "candidate",
        Status::Falseticker => "falseticker",
        Status::Jittery => "jittery",
        Status::WaitingForSources
        | Status::NotPreferred
        | Status::WaitingForUpdate
        | Status::Distant
        | Status::Outlier => "outlier",
        Status::NoSelect
        | Status::Unsynchronised
        | Status::MissingSamples
        | Status::StratumOutOfRange
        | Status::TooDistant
        | Status::WaitingForSamples
        | Status::Stale
        | Status::Orphan
        | Status::Untrusted => "unreach",
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use conf::config::{Config, RefClock, RefClockDriver, SourceConfig, SourceKind, SourceName};
    use units::{Leap, ReferenceId, Stratum, UnixTime};

    use super::*;
    use crate::Options;
    use crate::discipline::{Reference, Update};
    use crate::io::Now;

    fn ref_clock(name: &str) -> RefClock {
        let mut id = [0; 4];
        id[..name.len()].copy_from_slice(name.as_bytes());
        let driver = RefClockDriver::SharedMemory {
            unit: 0,
            permissions: 0o600,
        };
        RefClock::new(driver, id)
    }

    fn engine() -> (Engine, Now) {
        let source = |name: &str| {
            let name = name
                .parse()
                .map_or_else(|_| SourceName::Name(name.to_owned()), SourceName::Address);
            SourceConfig::new(SourceKind::Server, name)
        };
        let sources = vec![source("192.0.2.1"), source("ntp.example.net")];
        let options = Options {
            observe: false,
            drift: None,
            precision_s: 1e-7,
            era_start: 0,
            leap_table: None,
            once: None,
            rtc: None,
            tells: false,
            set_at_once: false,
            about: crate::control::mode6::About::default(),
        };
        let now = Now {
            mono: Mono::ZERO,
            wall: UnixTime::from_seconds(1_795_168_800),
            slept_ns: 0,
        };
        let config = Config {
            sources,
            ref_clocks: ["GPS", "GPS", "PPS", "GPS"].map(ref_clock).to_vec(),
            ..Config::default()
        };
        (Engine::new(config, options, now, Box::new(|| 1)), now)
    }

    fn value(page: &str, name: &str) -> Option<f64> {
        let line = page
            .lines()
            .find(|line| line.split([' ', '{']).next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    #[test]
    fn every_number_is_introduced_once() {
        let (engine, now) = engine();
        let page = text(&engine, now.mono);
        let (mut introduced, mut typed) = (BTreeSet::new(), BTreeSet::new());
        for line in page.lines() {
            let word = |index| line.split([' ', '{']).nth(index).unwrap();
            match word(0) {
                "#" if word(1) == "HELP" => assert!(introduced.insert(word(2)), "{line}"),
                "#" => assert!(
                    typed.insert(word(2)) && ["gauge", "counter"].contains(&word(3)),
                    "{line}"
                ),
                name => {
                    assert!(introduced.contains(name) && typed.contains(name), "{line}");
                    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
                }
            }
        }
        assert!(page.ends_with('\n') && introduced.len() > 40);
    }

    #[test]
    fn no_series_stands_twice() {
        let (engine, now) = engine();
        let page = text(&engine, now.mono);
        let mut seen = BTreeSet::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').unwrap();
            assert!(seen.insert(series), "{line}");
        }
        for address in ["GPS", "GPS#2", "GPS#3", "PPS"] {
            let start = format!("chrony_sources_stratum{{source_address=\"{address}\",");
            assert_eq!(page.matches(&start).count(), 1, "{address}: {page}");
        }
    }

    #[test]
    fn an_unsynchronised_clock_has_no_bound() {
        let (engine, now) = engine();
        let page = text(&engine, now.mono);
        assert!(page.contains("\ntimeball_clock_error_bound_seconds +Inf\n"));
        assert_eq!(value(&page, "timeball_clock_synchronized"), Some(0.0));
        assert_eq!(value(&page, "chrony_tracking_stratum"), Some(0.0));
        assert_eq!(
            value(&page, "chrony_tracking_reference_timestamp_seconds"),
            Some(0.0)
        );
        assert!(
            page.contains(r#"chrony_sources_stratum{source_address="192.0.2.1",source_name="192.0.2.1"} 0"#)
        );
        assert!(
            page.contains(
                r#"chrony_sources_state_info{source_address="ID#0000000001",source_name="ntp.example.net",source_state="unreach",source_mode="client"} 1"#
            )
        );
    }

    /// A source says that the clock is half a second behind.
    fn follow(engine: &mut Engine, now: Now) {
        let update = Update {
            offset_s: 0.5,
            offset_error_s: 1e-5,
            frequency: 20e-6,
            frequency_error: 1e-6,
            doubt: 0.0,
            interval_s: 64.0,
            counts: true,
            reference: Reference {
                id: ReferenceId(0xc000_0201),
                address: "192.0.2.1".parse().ok(),
                stratum: Stratum(3),
                leap: Leap::Normal,
                time: now.wall,
                root_delay_s: 0.020,
                root_dispersion_s: 0.003,
            },
        };
        let parts = (&mut engine.timeline, &mut engine.timers, &mut engine.out);
        engine
            .discipline
            .update(now.mono, &update, parts.0, parts.1, parts.2);
    }

    #[test]
    fn a_synchronised_clock_has_the_bound_that_everybody_has() {
        let (mut engine, now) = engine();
        follow(&mut engine, now);
        let page = text(&engine, now.mono);
        let near = |name: &str, wanted: f64| {
            let value = value(&page, name);
            assert!(
                value.is_some_and(|value| (value - wanted).abs() < 1e-9),
                "{name}: {value:?}"
            );
        };
        near("timeball_clock_error_bound_seconds", 0.513);
        near("timeball_clock_offset_seconds", 0.5);
        near("timeball_clock_free_running_seconds", 0.0);
        near("chrony_tracking_system_time_seconds", 0.5);
        near("chrony_tracking_last_offset_seconds", -0.5);
        near("chrony_tracking_root_dispersion_seconds", 0.003);
        near("chrony_tracking_frequency_ppms", -20.0);
        near("chrony_tracking_reference_timestamp_seconds", 1_795_168_800.0);
        assert!(page.contains(
            r#"chrony_tracking_info{tracking_address="192.0.2.1",tracking_name="192.0.2.1",tracking_refid="C0000201"} 1"#
        ));
    }

    #[test]
    fn without_sources_the_clock_runs_freely_and_the_bound_grows() {
        let (mut engine, now) = engine();
        follow(&mut engine, now);
        let later = text(&engine, now.mono.plus_seconds(1000.0));
        let free_s = value(&later, "timeball_clock_free_running_seconds").unwrap();
        assert!((free_s - 1000.0).abs() < 1e-9);
        let bound = |page: &str| value(page, "timeball_clock_error_bound_seconds").unwrap();
        assert!(bound(&later) > bound(&text(&engine, now.mono)) + 1e-3);
    }

    #[test]
    fn labels_cannot_break_out() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
