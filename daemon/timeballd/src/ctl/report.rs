//! Reports about the daemon as a whole.
//!
//! In JSON an offset is positive when the local clock is behind, whatever sign the protocol has for it.

use units::UnixTime;
use wire::candm::{
    Address, AskError, ClientAccess, ClientAccessQuery, ReferenceId, Reply, Request, Rtc, Tracking,
};
use wire::json::Json;
use wire::object;

use super::Report;
use super::client::Client;
use super::command::ClientChoice;
use super::format::{date, heading, interval, line, name};

/// The largest number of clients that are asked for in one request.
const CLIENTS_PER_REQUEST: u32 = 8;

/// `tracking`: what the clock follows, and how well.
pub(crate) fn tracking(client: &mut Client, names: bool) -> Result<Report, AskError> {
    let tracking = ask_tracking(client)?;
    let source = called(client, tracking.address, tracking.reference_id, names);
    let correction_s = tracking.current_correction_s;
    let frequency_ppm = tracking.frequency_ppm;
    let text = [
        line(
            "Reference ID",
            format_args!("{} ({source})", tracking.reference_id),
        ),
        line("Stratum", tracking.stratum),
        line("Ref time (UTC)", date(tracking.reference_time)),
        line(
            "System time",
            format_args!(
                "{:.9} seconds {} of NTP time",
                correction_s.abs(),
                if correction_s > 0.0 { "slow" } else { "fast" }
            ),
        ),
        line(
            "Last offset",
            format_args!("{:+.9} seconds", tracking.last_offset_s),
        ),
        line("RMS offset", format_args!("{:.9} seconds", tracking.rms_offset_s)),
        line(
            "Frequency",
            format_args!(
                "{:.3} ppm {}",
                frequency_ppm.abs(),
                if frequency_ppm > 0.0 { "fast" } else { "slow" }
            ),
        ),
        line(
            "Residual freq",
            format_args!("{:+.3} ppm", tracking.residual_frequency_ppm),
        ),
        line("Skew", format_args!("{:.3} ppm", tracking.skew_ppm)),
        line("Root delay", format_args!("{:.9} seconds", tracking.root_delay_s)),
        line(
            "Root dispersion",
            format_args!("{:.9} seconds", tracking.root_dispersion_s),
        ),
        line(
            "Update interval",
            format_args!("{:.1} seconds", tracking.last_update_interval_s),
        ),
        line("Leap status", tracking.leap.text()),
    ]
    .concat();
    Ok(Report {
        text,
        json: tracking.to_json(source),
    })
}

/// Asks for the state of the clock.
pub(crate) fn ask_tracking(client: &mut Client) -> Result<Tracking, AskError> {
    match client.ask(&Request::Tracking)? {
        Reply::Tracking(tracking) => Ok(tracking),
        _ => Err(AskError::Unexpected),
    }
}

/// How a source is called: by its address, by its configured name, or by its reference id when it has neither.
pub(crate) fn called(client: &mut Client, address: Address, id: ReferenceId, names: bool) -> String {
    if address == Address::Unspecified {
        return id.text();
    }
    if !names {
        return address.to_string();
    }
    match client.ask(&Request::NtpSourceName(address)) {
        Ok(Reply::NtpSourceName(name)) => name.as_str().to_owned(),
        _ => "?".to_owned(),
    }
}

/// `activity`: how many sources do what.
pub(crate) fn activity(client: &mut Client) -> Result<Report, AskError> {
    let Reply::Activity(activity) = client.ask(&Request::Activity)? else {
        return Err(AskError::Unexpected);
    };
    let text = format!(
        "200 OK\n{} sources online\n{} sources offline\n{} sources doing burst (return to online)\n\
         {} sources doing burst (return to offline)\n{} sources with unknown address\n",
        activity.online, activity.offline, activity.burst_online, activity.burst_offline, activity.unresolved
    );
    let json = object! {
        "online": activity.online,
        "offline": activity.offline,
        "burst_online": activity.burst_online,
        "burst_offline": activity.burst_offline,
        "unresolved": activity.unresolved,
    };
    Ok(Report { text, json })
}

/// `serverstats`: what the server has counted; a counter that an older daemon does not have is left out.
pub(crate) fn server_stats(client: &mut Client) -> Result<Report, AskError> {
    let Reply::ServerStats(stats) = client.ask(&Request::ServerStats)? else {
        return Err(AskError::Unexpected);
    };
    let (nts, interleaved, stamps) = (stats.nts, stats.interleaved, stats.timestamps);
    let counters: [(&str, &'static str, Option<u64>); 17] = [
        ("NTP packets received", "ntp_received", Some(stats.ntp_hits)),
        ("NTP packets dropped", "ntp_dropped", Some(stats.ntp_drops)),
        (
            "Command packets received",
            "command_received",
            Some(stats.cmd_hits),
        ),
        (
            "Command packets dropped",
            "command_dropped",
            Some(stats.cmd_drops),
        ),
        (
            "Client log records dropped",
            "client_records_dropped",
            Some(stats.log_drops),
        ),
        (
            "NTS-KE connections accepted",
            "nts_ke_accepted",
            nts.map(|nts| nts.nke_hits),
        ),
        (
            "NTS-KE connections dropped",
            "nts_ke_dropped",
            nts.map(|nts| nts.nke_drops),
        ),
        (
            "Authenticated NTP packets",
            "ntp_authenticated",
            nts.map(|nts| nts.ntp_auth_hits),
        ),
        (
            "Interleaved NTP packets",
            "ntp_interleaved",
            interleaved.map(|stats| stats.ntp_hits),
        ),
        (
            "NTP timestamps held",
            "ntp_timestamps_held",
            interleaved.map(|stats| stats.ntp_timestamps),
        ),
        (
            "NTP timestamp span",
            "ntp_timestamp_span_s",
            interleaved.map(|stats| stats.ntp_span_s),
        ),
        (
            "NTP daemon RX timestamps",
            "rx_daemon",
            stamps.map(|stamps| stamps.daemon_rx),
        ),
        (
            "NTP daemon TX timestamps",
            "tx_daemon",
            stamps.map(|stamps| stamps.daemon_tx),
        ),
        (
            "NTP kernel RX timestamps",
            "rx_kernel",
            stamps.map(|stamps| stamps.kernel_rx),
        ),
        (
            "NTP kernel TX timestamps",
            "tx_kernel",
            stamps.map(|stamps| stamps.kernel_tx),
        ),
        (
            "NTP hardware RX timestamps",
            "rx_hardware",
            stamps.map(|stamps| stamps.hardware_rx),
        ),
        (
            "NTP hardware TX timestamps",
            "tx_hardware",
            stamps.map(|stamps| stamps.hardware_tx),
        ),
    ];
    let known = counters
        .iter()
        .filter_map(|(label, _, count)| Some(format!("{label:<27}: {}\n", (*count)?)));
    let text = known.collect();
    let json = Json::Object(
        counters
            .iter()
            .map(|&(_, field, count)| (field, count.into()))
            .collect(),
    );
    Ok(Report { text, json })
}

/// `clients`: who has asked the server, and how often.
pub(crate) fn clients(client: &mut Client, choice: ClientChoice) -> Result<Report, AskError> {
    let mut found: Vec<ClientAccess> = Vec::new();
    let mut first_index = 0;
    loop {
        let query = ClientAccessQuery {
            first_index,
            clients: CLIENTS_PER_REQUEST,
            hits_min: choice.packets_min,
            reset: choice.reset,
        };
        let Reply::ClientAccesses(mut part) = client.ask(&Request::ClientAccesses(query))? else {
            return Err(AskError::Unexpected);
        };
        found.append(&mut part.clients);
        // A daemon that does not go on would be asked for ever.
        if part.next_index >= part.indices || part.next_index <= first_index {
            break;
        }
        first_index = part.next_index;
    }
    found.retain(|access| access.address != Address::Unspecified);
    let log2 = |interval: Option<i8>| interval.map_or_else(|| " -".to_owned(), |log2| format!("{log2:2}"));
    let further = if choice.key_exchanges { "NTS-KE" } else { "   Cmd" };
    let mut text = heading(&format!(
        "Hostname                      NTP   Drop Int IntL Last  {further}   Drop Int  Last"
    ));
    for access in &found {
        let (hits, drops, log2_s, ago_s) = if choice.key_exchanges {
            (
                access.nke_hits,
                access.nke_drops,
                access.nke_interval_log2_s,
                access.last_nke_hit_ago_s,
            )
        } else {
            (
                access.cmd_hits,
                access.cmd_drops,
                access.cmd_interval_log2_s,
                access.last_cmd_hit_ago_s,
            )
        };
        text += &format!(
            "{}  {:6}  {:5}  {}  {}  {}  {:6}  {:5}  {}  {}\n",
            name(&access.address.to_string(), 25),
            access.ntp_hits,
            access.ntp_drops,
            log2(access.ntp_interval_log2_s),
            log2(access.ntp_timeout_interval_log2_s),
            interval(access.last_ntp_hit_ago_s),
            hits,
            drops,
            log2(log2_s),
            interval(ago_s),
        );
    }
    let json = found.iter().map(|access| {
        object! {
            "address": access.address.to_string(),
            "ntp_received": access.ntp_hits,
            "ntp_dropped": access.ntp_drops,
            "ntp_interval_log2_s": access.ntp_interval_log2_s,
            "last_ntp_ago_s": access.last_ntp_hit_ago_s,
            "nts_ke_accepted": access.nke_hits,
            "nts_ke_dropped": access.nke_drops,
            "command_received": access.cmd_hits,
            "command_dropped": access.cmd_drops,
            "last_command_ago_s": access.last_cmd_hit_ago_s,
        }
    });
    Ok(Report {
        text,
        json: Json::List(json.collect()),
    })
}

/// `smoothing`: by how much served time differs from the clock.
pub(crate) fn smoothing(client: &mut Client) -> Result<Report, AskError> {
    let Reply::Smoothing(smoothing) = client.ask(&Request::Smoothing)? else {
        return Err(AskError::Unexpected);
    };
    let labelled = |label: &str, value: String| format!("{label:<15}: {value}\n");
    let active = if smoothing.active { "Yes" } else { "No" };
    // The blank is there in any case, as chronyc has it.
    let only = if smoothing.leap_only {
        "(leap second only)"
    } else {
        ""
    };
    let text = [
        labelled("Active", format!("{active} {only}")),
        labelled("Offset", format!("{:+.9} seconds", smoothing.offset_s)),
        labelled("Frequency", format!("{:+.6} ppm", smoothing.frequency_ppm)),
        labelled(
            "Wander",
            format!("{:+.6} ppm per second", smoothing.wander_ppm_per_s),
        ),
        labelled(
            "Last update",
            format!("{:.1} seconds ago", smoothing.last_update_ago_s),
        ),
        labelled("Remaining time", format!("{:.1} seconds", smoothing.remaining_s)),
    ]
    .concat();
    let json = object! {
        "active": smoothing.active,
        "leap_only": smoothing.leap_only,
        "offset_s": smoothing.offset_s,
        "frequency_ppm": smoothing.frequency_ppm,
        "wander_ppm_per_s": smoothing.wander_ppm_per_s,
        "last_update_ago_s": smoothing.last_update_ago_s,
        "remaining_s": smoothing.remaining_s,
    };
    Ok(Report { text, json })
}

/// `rtcdata`: how far the real-time clock is off.
pub(crate) fn rtc_data(client: &mut Client) -> Result<Report, AskError> {
    match client.ask(&Request::RtcReport)? {
        Reply::Rtc(rtc) => Ok(of_rtc(&rtc)),
        _ => Err(AskError::Unexpected),
    }
}

fn of_rtc(rtc: &Rtc) -> Report {
    let labelled = |label: &str, value: String| format!("{label:<19}: {value}\n");
    let text = [
        labelled("RTC ref time (UTC)", date(rtc.reference_time)),
        labelled("Number of samples", rtc.samples.to_string()),
        labelled("Number of runs", rtc.runs.to_string()),
        labelled("Sample span period", interval(Some(rtc.span_s))),
        labelled("RTC is fast by", format!("{:12.6} seconds", rtc.fast_s)),
        labelled("RTC gains time at", format!("{:9.3} ppm", rtc.gain_ppm)),
    ]
    .concat();
    let json = object! {
        "reference_time": rtc.reference_time.to_json(),
        "samples": rtc.samples,
        "runs": rtc.runs,
        "span_s": rtc.span_s,
        "fast_s": rtc.fast_s,
        "gain_ppm": rtc.gain_ppm,
    };
    Report { text, json }
}

/// `manual list`: the times that were typed.
pub(crate) fn manual_list(client: &mut Client) -> Result<Report, AskError> {
    let Reply::ManualList(samples) = client.ask(&Request::ManualList)? else {
        return Err(AskError::Unexpected);
    };
    let mut text = format!("210 n_samples = {}\n", samples.len());
    text += &heading("#    Date     Time(UTC)    Slewed   Original   Residual");
    for (index, sample) in samples.iter().enumerate() {
        let when = UnixTime::from_seconds(sample.when.seconds()).date_time();
        text += &format!(
            "{index:2} {when} {:10.2} {:10.2} {:10.2}\n",
            sample.slewed_offset_s, sample.original_offset_s, sample.residual_s
        );
    }
    let json = samples.iter().map(|sample| {
        object! {
            "when": sample.when.to_json(),
            "slewed_offset_s": -sample.slewed_offset_s,
            "original_offset_s": -sample.original_offset_s,
            "residual_s": -sample.residual_s,
        }
    });
    Ok(Report {
        text,
        json: Json::List(json.collect()),
    })
}

/// `sourcename`: the name under which a source is configured.
pub(crate) fn source_name(client: &mut Client, address: Address) -> Result<Report, AskError> {
    match client.ask(&Request::NtpSourceName(address))? {
        Reply::NtpSourceName(name) => Ok(Report {
            text: format!("{}\n", name.as_str()),
            json: object! { "name": name.as_str() },
        }),
        _ => Err(AskError::Unexpected),
    }
}

/// Has the daemon do something.
pub(crate) fn done(client: &mut Client, request: &Request) -> Result<Report, AskError> {
    let text = match client.ask(request)? {
        Reply::Done => "200 OK",
        Reply::AccessAllowed => "208 Access allowed",
        Reply::AccessDenied => "209 Access denied",
        _ => return Err(AskError::Unexpected),
    };
    Ok(Report {
        text: format!("{text}\n"),
        json: object! { "answer": text },
    })
}

#[cfg(test)]
mod tests {
    use wire::candm::Timespec;

    use super::*;

    #[test]
    fn the_real_time_clock_is_shown_as_chronyc_shows_it() {
        let rtc = Rtc {
            reference_time: Timespec::new(1_432_970_756, 0),
            samples: 10,
            runs: 5,
            span_s: 549,
            fast_s: -1.632_736,
            gain_ppm: -107.623,
        };
        // What chronyc 4.3 prints of an answer with these numbers.
        let expected = "RTC ref time (UTC) : Sat May 30 07:25:56 2015\nNumber of samples  : 10\nNumber of runs     : 5\n\
                        Sample span period :  549\nRTC is fast by     :    -1.632736 seconds\n\
                        RTC gains time at  :  -107.623 ppm\n";
        assert_eq!(of_rtc(&rtc).text, expected);
    }
}
