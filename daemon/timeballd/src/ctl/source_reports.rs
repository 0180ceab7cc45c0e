//! Reports with a row, or a paragraph, for each source.
//!
//! In JSON an offset is positive when the local clock is behind, whatever sign the protocol has for it.

use units::PollInterval;
use wire::candm::{
    Address, AskError, AuthMode, NtpData, Reply, Request, SelectOptions, SourceData, SourceMode, SourceState,
};
use wire::json::Json;
use wire::object;

use super::Report;
use super::client::Client;
use super::format::{amount, date, frequency, heading, interval, line, name, offset, signed_frequency};
use super::report::called;

/// The largest number of sources that are asked for: a daemon that claims more is not believed.
const SOURCES_MAX: u32 = 10_000;

/// What the columns of `sources` mean.
pub(crate) const SOURCES_LEGEND: &str = "\
M            ^ server, = peer, # reference clock
S            * followed, + combined with it, - not combined, x wrong (falseticker),
             ~ too variable, ? not selectable
Poll         interval of the requests, as a power of 2 in seconds
Reach        the last eight requests in octal digits, 377 if all were answered
LastRx       how long ago the last good answer came
Last sample  offset as of now [as it was measured] +/- by how much it can be wrong;
             the local clock is ahead where it is positive

";

/// What the columns of `sourcestats` mean.
pub(crate) const SOURCE_STATS_LEGEND: &str = "\
NP           samples that are held
NR           runs of samples on one side of the estimate
Span         from the oldest sample to the newest
Frequency    by how much the clock and the source differ in frequency, ppm
Freq Skew    by how much that can be wrong, ppm
Offset       estimated offset of the source
Std Dev      standard deviation of the samples

";

/// What the columns of `selectdata` mean.
pub(crate) const SELECT_DATA_LEGEND: &str = "\
S            * followed, + combined, x falseticker, ~ too variable, d too distant,
             D distant, L outlier, M samples missing, N noselect, O orphan,
             P another is preferred, r stratum out of range, s not synchronised,
             S stale, T another is trusted, U waiting for an update,
             w waiting for samples, W waiting for other sources
Auth         whether its answers are authenticated
COpts EOpts  options as configured and as they hold: N noselect, P prefer,
             T trust, R require
Last         how long ago the last sample was
Score        compared with the one that is followed; another takes over at 10
Interval     where true time is, as offsets, if the source is right
Leap         N none, + second inserted, - second deleted, ? not synchronised

";

/// `sources`: how each takes part, and its last measurement.
pub(crate) fn sources(client: &mut Client, names: bool, all: bool) -> Result<Report, AskError> {
    let mut text = heading("MS Name/IP address         Stratum Poll Reach LastRx Last sample               ");
    let mut rows = Vec::new();
    for (_, source) in listed(client, all)? {
        let called = called_source(client, &source, names);
        text += &format!(
            "{}{} {}  {:2}  {:2}   {:3o}  {}  {}[{}] +/- {}\n",
            source.mode.character(),
            source.state.character(),
            name(&called, 27),
            source.stratum,
            source.poll_log2_s,
            source.reachability,
            interval(source.since_sample_s),
            offset(source.adjusted_offset_s),
            offset(source.measured_offset_s),
            amount(source.offset_error_s),
        );
        rows.push(object! {
            "source": called,
            "mode": match source.mode {
                SourceMode::Client => "server",
                SourceMode::Peer => "peer",
                SourceMode::ReferenceClock => "refclock",
            },
            "state": match source.state {
                SourceState::Selected => "selected",
                SourceState::Unselectable => "unselectable",
                SourceState::Falseticker => "falseticker",
                SourceState::Jittery => "jittery",
                SourceState::Combined => "combined",
                SourceState::NotCombined => "not combined",
            },
            "stratum": source.stratum,
            "poll_log2_s": source.poll_log2_s,
            "reachability": source.reachability,
            "last_sample_ago_s": source.since_sample_s,
            "offset_s": source.since_sample_s.map(|_| -source.adjusted_offset_s),
            "measured_offset_s": source.since_sample_s.map(|_| -source.measured_offset_s),
            "offset_error_s": source.since_sample_s.map(|_| source.offset_error_s),
        });
    }
    Ok(Report {
        text,
        json: Json::List(rows),
    })
}

/// `sourcestats`: what is known of each from many measurements.
pub(crate) fn source_stats(client: &mut Client, names: bool, all: bool) -> Result<Report, AskError> {
    let mut text = heading("Name/IP Address            NP  NR  Span  Frequency  Freq Skew  Offset  Std Dev");
    let mut rows = Vec::new();
    for index in 0..count(client)? {
        let Reply::SourceStats(stats) = client.ask(&Request::SourceStats(index))? else {
            return Err(AskError::Unexpected);
        };
        if !all && matches!(stats.address, Address::Id(_)) {
            continue;
        }
        let called = called(client, stats.address, stats.reference_id, names);
        text += &format!(
            "{} {:3} {:3}  {} {} {}  {}  {}\n",
            name(&called, 25),
            stats.samples,
            stats.runs,
            interval(Some(stats.span_s)),
            signed_frequency(stats.residual_frequency_ppm),
            frequency(stats.skew_ppm),
            offset(stats.offset_s),
            amount(stats.standard_deviation_s),
        );
        rows.push(object! {
            "source": called,
            "samples": stats.samples,
            "runs": stats.runs,
            "span_s": stats.span_s,
            "residual_frequency_ppm": stats.residual_frequency_ppm,
            "skew_ppm": stats.skew_ppm,
            "offset_s": -stats.offset_s,
            "offset_error_s": stats.offset_error_s,
            "standard_deviation_s": stats.standard_deviation_s,
        });
    }
    Ok(Report {
        text,
        json: Json::List(rows),
    })
}

/// `selectdata`: why each is selected or not.
pub(crate) fn select_data(client: &mut Client, names: bool, all: bool) -> Result<Report, AskError> {
    let mut text = heading("S Name/IP Address        Auth COpts EOpts Last Score     Interval  Leap");
    let mut rows = Vec::new();
    for index in 0..count(client)? {
        let Reply::SelectData(select) = client.ask(&Request::SelectData(index))? else {
            return Err(AskError::Unexpected);
        };
        if !all && matches!(select.address, Address::Id(_)) {
            continue;
        }
        let called = called(client, select.address, select.reference_id, names);
        text += &format!(
            "{} {} {} {} {} {} {:5.1} {} {}  {}\n",
            select.state.character(),
            name(&called, 25),
            if select.authenticated { 'Y' } else { 'N' },
            options(select.configured_options),
            options(select.effective_options),
            interval(select.last_sample_ago_s),
            select.score,
            offset(select.offset_low_s),
            offset(select.offset_high_s),
            select.leap.character(),
        );
        rows.push(object! {
            "source": called,
            "state": select.state.character(),
            "authenticated": select.authenticated,
            "configured_options": options(select.configured_options),
            "effective_options": options(select.effective_options),
            "last_sample_ago_s": select.last_sample_ago_s,
            "score": select.score,
            "offset_low_s": -select.offset_high_s,
            "offset_high_s": -select.offset_low_s,
            "leap": select.leap.text(),
        });
    }
    Ok(Report {
        text,
        json: Json::List(rows),
    })
}

/// `authdata`: how NTP sources are authenticated.
pub(crate) fn auth_data(client: &mut Client, names: bool, all: bool) -> Result<Report, AskError> {
    let mut text = heading("Name/IP address             Mode KeyID Type KLen Last Atmp  NAK Cook CLen");
    let mut rows = Vec::new();
    for (_, source) in listed(client, all)? {
        if source.mode == SourceMode::ReferenceClock {
            continue;
        }
        let Reply::AuthData(auth) = client.ask(&Request::AuthData(source.address))? else {
            return Err(AskError::Unexpected);
        };
        let called = called_source(client, &source, names);
        let mode = match auth.mode {
            AuthMode::None => "-",
            AuthMode::SymmetricKey => "SK",
            AuthMode::Nts => "NTS",
        };
        text += &format!(
            "{} {mode:>4} {:5} {:4} {:4} {} {:4} {:4} {:4} {:4}\n",
            name(&called, 27),
            auth.key_id,
            auth.key_type,
            auth.key_length_bits,
            interval(auth.last_nke_ago_s),
            auth.nke_attempts,
            u8::from(auth.nak),
            auth.cookies,
            auth.cookie_length_bytes,
        );
        rows.push(object! {
            "source": called,
            "mode": mode,
            "key_id": auth.key_id,
            "key_type": auth.key_type,
            "key_length_bits": auth.key_length_bits,
            "last_nts_ke_ago_s": auth.last_nke_ago_s,
            "nts_ke_attempts": auth.nke_attempts,
            "nak": auth.nak,
            "cookies": auth.cookies,
            "cookie_length_bytes": auth.cookie_length_bytes,
        });
    }
    Ok(Report {
        text,
        json: Json::List(rows),
    })
}

/// `ntpdata`: the last valid packet of one source, or of each.
pub(crate) fn ntp_data(client: &mut Client, address: Option<Address>) -> Result<Report, AskError> {
    let (addresses, before): (Vec<Address>, &str) = match address {
        Some(address) => (vec![address], ""),
        None => {
            let sources = listed(client, false)?;
            let of_ntp = sources
                .iter()
                .filter(|(_, source)| source.mode != SourceMode::ReferenceClock);
            (of_ntp.map(|(_, source)| source.address).collect(), "\n")
        }
    };
    let mut text = String::new();
    let mut rows = Vec::new();
    for address in addresses {
        let Reply::NtpData(data) = client.ask(&Request::NtpData(address))? else {
            return Err(AskError::Unexpected);
        };
        text += before;
        text += &ntp_data_text(&data);
        rows.push(ntp_data_json(&data));
    }
    Ok(Report {
        text,
        json: Json::List(rows),
    })
}

fn ntp_data_text(data: &NtpData) -> String {
    let seconds = |log2: i8| PollInterval(log2).as_seconds();
    let yes = |flag: bool| if flag { "Yes" } else { "No" };
    let id = if data.stratum <= 1 {
        data.reference_id.text()
    } else {
        String::new()
    };
    let tests = format!("{:010b}", data.tests());
    let (first, rest) = tests.split_at(3);
    let (second, third) = rest.split_at(3);
    let mut text = [
        line("Remote address", with_id(data.remote_address)),
        line("Remote port", data.remote_port),
        line("Local address", with_id(data.local_address)),
        line("Leap status", data.leap.text()),
        line("Version", data.version),
        line("Mode", mode(data.mode)),
        line("Stratum", data.stratum),
        line(
            "Poll interval",
            format_args!("{} ({:.0} seconds)", data.poll_log2_s, seconds(data.poll_log2_s)),
        ),
        line(
            "Precision",
            format_args!(
                "{} ({:.9} seconds)",
                data.precision_log2_s,
                seconds(data.precision_log2_s)
            ),
        ),
        line("Root delay", format_args!("{:.6} seconds", data.root_delay_s)),
        line(
            "Root dispersion",
            format_args!("{:.6} seconds", data.root_dispersion_s),
        ),
        line("Reference ID", format_args!("{} ({id})", data.reference_id)),
        line("Reference time", date(data.reference_time)),
        line("Offset", format_args!("{:+.9} seconds", data.offset_s)),
        line("Peer delay", format_args!("{:.9} seconds", data.peer_delay_s)),
        line(
            "Peer dispersion",
            format_args!("{:.9} seconds", data.peer_dispersion_s),
        ),
        line(
            "Response time",
            format_args!("{:.9} seconds", data.response_time_s),
        ),
        line("Jitter asymmetry", format_args!("{:+.2}", data.jitter_asymmetry)),
        line("NTP tests", format_args!("{first} {second} {third}")),
        line("Interleaved", yes(data.is_interleaved())),
        line("Authenticated", yes(data.is_authenticated())),
        line("TX timestamping", stamped_by(data.tx_timestamp_source)),
        line("RX timestamping", stamped_by(data.rx_timestamp_source)),
        line("Total TX", data.sent),
        line("Total RX", data.received),
        line("Total valid RX", data.valid),
        line("Total good RX", data.good),
    ]
    .concat();
    if let Some(counts) = data.timestamps {
        text += &line("Total kernel TX", counts.kernel_tx);
        text += &line("Total kernel RX", counts.kernel_rx);
        text += &line("Total HW TX", counts.hardware_tx);
        text += &line("Total HW RX", counts.hardware_rx);
    }
    text
}

fn ntp_data_json(data: &NtpData) -> Json {
    object! {
        "remote_address": data.remote_address.to_string(),
        "remote_port": data.remote_port,
        "local_address": data.local_address.ip().map(|address| address.to_string()),
        "leap": data.leap.text(),
        "version": data.version,
        "mode": mode(data.mode),
        "stratum": data.stratum,
        "poll_log2_s": data.poll_log2_s,
        "precision_log2_s": data.precision_log2_s,
        "root_delay_s": data.root_delay_s,
        "root_dispersion_s": data.root_dispersion_s,
        "reference_id": data.reference_id.to_string(),
        "reference_time": data.reference_time.to_json(),
        "offset_s": data.offset_s,
        "peer_delay_s": data.peer_delay_s,
        "peer_dispersion_s": data.peer_dispersion_s,
        "response_time_s": data.response_time_s,
        "jitter_asymmetry": data.jitter_asymmetry,
        "tests": format!("{:010b}", data.tests()),
        "interleaved": data.is_interleaved(),
        "authenticated": data.is_authenticated(),
        "tx_timestamping": stamped_by(data.tx_timestamp_source),
        "rx_timestamping": stamped_by(data.rx_timestamp_source),
        "sent": data.sent,
        "received": data.received,
        "valid": data.valid,
        "good": data.good,
    }
}

/// How many sources the daemon has.
fn count(client: &mut Client) -> Result<u32, AskError> {
    match client.ask(&Request::NSources)? {
        Reply::NSources(count) => Ok(count.min(SOURCES_MAX)),
        _ => Err(AskError::Unexpected),
    }
}

/// All sources with their indices, or those that have an address.
fn listed(client: &mut Client, all: bool) -> Result<Vec<(u32, SourceData)>, AskError> {
    let mut sources = Vec::new();
    for index in 0..count(client)? {
        let Reply::SourceData(source) = client.ask(&Request::SourceData(index))? else {
            return Err(AskError::Unexpected);
        };
        if all || !matches!(source.address, Address::Id(_)) {
            sources.push((index, source));
        }
    }
    Ok(sources)
}

/// How a source is called.
fn called_source(client: &mut Client, source: &SourceData, names: bool) -> String {
    match source.reference_id() {
        Some(id) => id.text(),
        None => called(
            client,
            source.address,
            wire::candm::ReferenceId::UNSYNCHRONISED,
            names,
        ),
    }
}

/// Selection options, a character each.
fn options(options: SelectOptions) -> String {
    let flags = [
        (SelectOptions::NOSELECT, 'N'),
        (SelectOptions::PREFER, 'P'),
        (SelectOptions::TRUST, 'T'),
        (SelectOptions::REQUIRE, 'R'),
    ];
    let set = flags.map(|(option, character)| if options.contains(option) { character } else { '-' });
    format!("{}-", String::from_iter(set))
}

/// An address, and the reference id that stands for it.
fn with_id(address: Address) -> String {
    let id = address
        .ip()
        .map_or(0, |address| engine::source::reference_id(address).0);
    format!("{address} ({id:08X})")
}

/// An NTP mode in words.
fn mode(mode: u8) -> &'static str {
    match mode {
        1 => "Symmetric active",
        2 => "Symmetric passive",
        4 => "Server",
        _ => "Invalid",
    }
}

/// Who took a timestamp, in words.
fn stamped_by(source: u8) -> &'static str {
    match source {
        b'D' => "Daemon",
        b'K' => "Kernel",
        b'H' => "Hardware",
        _ => "Invalid",
    }
}
