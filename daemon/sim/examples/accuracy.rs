//! Prints the accuracy table and compares it with the thresholds: `accuracy [--seeds N] [FAMILY …]`.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a table that cannot be made is a failed run"
)]

use std::process::ExitCode;

use sim::families::{FAMILIES, Family, Score};
use sim::thresholds::{Threshold, thresholds};

fn main() -> ExitCode {
    let (seeds, families) = arguments();
    let limits = thresholds();
    println!(
        "| family | RMS us | ± | chrony | max us | freq ppb | chrony | <1 ms s | steps | pkt/h | chrony | peak us | late us |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut complaints = Vec::new();
    for family in families {
        let score = family.score(seeds);
        let limit = limits[family.name];
        println!("{}", row(&family, &score, &limit));
        complaints.extend(limit.complaints(family.name, &score));
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn arguments() -> (u64, Vec<Family>) {
    let mut seeds = 20;
    let mut families = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--seeds" {
            seeds = arguments
                .next()
                .and_then(|text| text.parse().ok())
                .expect("--seeds is followed by a number");
        } else {
            families
                .push(Family::named(&argument).unwrap_or_else(|| panic!("there is no family {argument}")));
        }
    }
    if families.is_empty() {
        families.extend(FAMILIES);
    }
    (seeds, families)
}

fn row(family: &Family, score: &Score, limit: &Threshold) -> String {
    let (settled_s, reached) = score.settled;
    let settled = match reached {
        0 => "never".to_owned(),
        all if all == score.seeds => format!("{settled_s:.0}"),
        some => format!("{settled_s:.0} ({some}/{})", score.seeds),
    };
    let (peak, late) = match score.after_event {
        Some((peak_s, late_s)) => (micros(peak_s), micros(late_s)),
        None => (String::new(), String::new()),
    };
    let frequency_ppb = score.frequency_rms * 1e9;
    let peer = &limit.chrony;
    format!(
        "| {} | {} | {} | ×{:.2} | {} | {frequency_ppb:.1} | ×{:.2} | {settled} | {:.1} | {:.1} | ×{:.2} | {peak} | {late} |",
        family.name,
        micros(score.rms_s),
        micros(score.rms_error_s),
        score.rms_s * 1e6 / peer.rms_us,
        micros(score.max_s),
        frequency_ppb / peer.frequency_ppb,
        score.steps,
        score.requests_per_hour,
        score.requests_per_hour / peer.requests_per_hour,
    )
}

/// Microseconds with three digits.
fn micros(seconds: f64) -> String {
    let value = seconds * 1e6;
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$}")
}
