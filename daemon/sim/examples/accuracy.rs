//! Prints the accuracy table: `accuracy [--seeds N] [FAMILY …]`.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a table that cannot be made is a failed run"
)]

use sim::families::{FAMILIES, Family};

fn main() {
    let mut seeds = 20;
    let mut families = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--seeds" {
            seeds = arguments
                .next()
                .and_then(|text| text.parse().ok())
                .expect("a number of seeds");
        } else {
            families.push(Family::named(&argument).unwrap_or_else(|| panic!("no family {argument}")));
        }
    }
    if families.is_empty() {
        families.extend(FAMILIES);
    }
    println!(
        "| family | RMS us | +- | max us | RMS freq ppb | <1 ms s | steps | pkt/h | peak us | late RMS us |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for family in families {
        let score = family.score(seeds);
        let (settled_s, reached) = score.settled;
        let settled = if reached == score.seeds {
            format!("{settled_s:.0}")
        } else {
            format!("{settled_s:.0} ({reached}/{})", score.seeds)
        };
        let after = score.after_event.map_or(String::from("| |"), |(peak_s, late_s)| {
            format!("| {:.3} | {:.3} |", peak_s * 1e6, late_s * 1e6)
        });
        println!(
            "| {} | {:.2} | {:.2} | {:.1} | {:.1} | {settled} | {:.1} | {:.1} {after}",
            family.name,
            score.rms_s * 1e6,
            score.rms_error_s * 1e6,
            score.max_s * 1e6,
            score.frequency_rms * 1e9,
            score.steps,
            score.requests_per_hour,
        );
    }
}
