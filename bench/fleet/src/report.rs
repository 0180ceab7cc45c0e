//! The results as text for `bench/RESULTS.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::Fault;
use crate::figures::{Series, short};
use crate::measure::{Broadcast, Fleet};
use crate::peer::Peer;
use crate::usage::{self, Memory};

/// Writes `text` as today's section of this name, in place of an earlier one of today.
pub(crate) fn put(file: &Path, name: &str, text: &str) -> Result<(), Fault> {
    let title = format!("## {name}, {}", Timestamp::now().strftime("%Y-%m-%d"));
    let before = fs::read_to_string(file).unwrap_or_default();
    fs::write(file, with_section(&before, &title, text))?;
    Ok(())
}

fn with_section(before: &str, title: &str, text: &str) -> String {
    let mut sections: Vec<String> = Vec::new();
    for line in before.lines() {
        if line.starts_with("## ") || sections.is_empty() {
            sections.push(String::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push_str(line);
            section.push('\n');
        }
    }
    let new = format!("{title}\n\n{}\n", text.trim_end());
    let old = sections
        .iter()
        .position(|section| section.lines().next() == Some(title));
    match old {
        Some(at) => sections[at] = new,
        None => sections.push(new),
    }
    let trimmed: Vec<&str> = sections.iter().map(|section| section.trim_end()).collect();
    format!("{}\n", trimmed.join("\n\n"))
}

/// The controller with simulated agents.
pub(crate) fn fleet(fleets: &[Fleet]) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    line(&format!("Machine: {}.", usage::machine()));
    let sizes: Vec<String> = fleets.iter().map(|fleet| fleet.agents.to_string()).collect();
    if let Some(first) = fleets.first() {
        line(&format!(
            "Command: `bench/fleet/run --agents {} --runs {} --idle {}`. Medians with (smallest–largest).\n",
            sizes.join(","),
            first.runs,
            first.idle_s
        ));
    }
    line(&format!("| agents | {} |", sizes.join(" | ")));
    line(&format!("|---|{}", "---|".repeat(sizes.len())));
    let mut row = |name: &str, cell: &dyn Fn(&Fleet) -> String| {
        let cells: Vec<String> = fleets.iter().map(cell).collect();
        line(&format!("| {name} | {} |", cells.join(" | ")));
    };
    row("all enrolled after, s", &|fleet| short(fleet.enrolled_in_s));
    for (verb, of) in [
        ("get", (|fleet| &fleet.get) as fn(&Fleet) -> &Broadcast),
        ("update", |fleet| &fleet.update),
    ] {
        row(&format!("{verb} `_all`, s"), &|fleet| of(fleet).wall.spread());
        row(&format!("{verb} `_all`, row of the median host, s"), &|fleet| {
            of(fleet).row_p50.spread()
        });
        row(&format!("{verb} `_all`, row of 99 % of hosts, s"), &|fleet| {
            of(fleet).row_p99.spread()
        });
        row(&format!("{verb} `_all`, controller CPU, s"), &|fleet| {
            of(fleet).cpu.spread()
        });
        row(&format!("{verb} `_all`, rows ok / not ok / missing"), &|fleet| {
            let of = of(fleet);
            format!("{} / {} / {}", of.ok, of.not_ok, of.missing)
        });
    }
    let kinds = fleets.first().map_or(0, |fleet| fleet.single.len());
    for kind in 0..kinds {
        let name = fleets
            .first()
            .and_then(|fleet| fleet.single.get(kind))
            .map_or("", |(name, _)| name);
        row(&format!("{name}: p50 / p99, ms"), &|fleet| {
            fleet
                .single
                .get(kind)
                .map_or_else(String::new, |(_, series)| tail(series))
        });
    }
    row(
        "the disk alone, one durable write of 4 KiB: p50 / p99, ms",
        &|fleet| tail(&fleet.disk),
    );
    row("controller without agents, RSS / PSS, MiB", &|fleet| {
        mebibytes(fleet.memory_empty)
    });
    row("controller after idling, RSS / PSS, MiB", &|fleet| {
        mebibytes(fleet.memory_idle)
    });
    row("memory per idle agent, KiB of PSS", &|fleet| {
        per_agent(fleet, fleet.memory_idle)
    });
    row("the same after all broadcasts", &|fleet| {
        per_agent(fleet, fleet.memory_after_broadcasts)
    });
    row("controller CPU while idling, % of a core", &|fleet| {
        short(fleet.idle_cpu_percent)
    });
    row("restart: controller stopped / ready after, s", &|fleet| {
        fleet.restart.as_ref().map_or_else(String::new, |restart| {
            format!("{} / {}", short(restart.stop_s), short(restart.ready_s))
        })
    });
    row("restart: 50 % / 99 % / all agents back after, s", &|fleet| {
        fleet.restart.as_ref().map_or_else(String::new, |restart| {
            let [half, most, all] = [restart.half_back_s, restart.most_back_s, restart.all_back_s].map(short);
            format!("{half} / {most} / {all}")
        })
    });
    row("restart: controller CPU until then, s", &|fleet| {
        fleet
            .restart
            .as_ref()
            .map_or_else(String::new, |restart| short(restart.controller_cpu_s))
    });
    row("store on disk at the end, MiB", &|fleet| {
        fleet.stored_bytes.div_ceil(1024 * 1024).to_string()
    });
    row("others on this machine, % of it, idling / broadcasts", &|fleet| {
        format!(
            "{} / {}",
            short(fleet.others_idle_percent),
            short(fleet.others_broadcast_percent)
        )
    });
    row("load average before; after", &|fleet| {
        format!("{}; {}", fleet.load_before, fleet.load_after)
    });
    row("the agents' own count", &|fleet| fleet.agents_said.clone());
    text
}

fn tail(series: &Series) -> String {
    format!("{} / {}", short(series.median()), short(series.percentile(99)))
}

fn mebibytes(memory: Memory) -> String {
    let mib = |kib: u64| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
    format!("{} / {}", mib(memory.rss_kib), mib(memory.pss_kib))
}

fn per_agent(fleet: &Fleet, memory: Memory) -> String {
    let bytes = memory
        .pss_kib
        .saturating_sub(fleet.memory_empty.pss_kib)
        .saturating_mul(1024);
    let tenths = bytes.saturating_mul(10) / 1024 / u64::try_from(fleet.agents.max(1)).unwrap_or(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// timeball beside Ansible.
pub(crate) fn peer(peer: &Peer) -> String {
    let mut text = format!("Machine: {}.\n", usage::machine());
    let rounds = peer.kinds.first().map_or(0, |kind| kind.wall.len());
    let _ = writeln!(
        text,
        "{} hosts, {rounds} rounds, all kinds in turn. {}; {}. Load average before {}, after {}.\n",
        peer.hosts, peer.ansible, peer.chrony, peer.load_before, peer.load_after
    );
    text.push_str("| run | wall, s | CPU of everything, s | wall ÷ that of the timeball run before it |\n|---|---|---|---|\n");
    for kind in &peer.kinds {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            kind.name,
            kind.wall.spread(),
            kind.cpu.spread(),
            kind.ratio.spread()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_of_the_same_day_is_replaced_and_others_stay() {
        let one = with_section("# Results\n\nIntro.\n", "## A, today", "first\n");
        assert_eq!(one, "# Results\n\nIntro.\n\n## A, today\n\nfirst\n");
        let two = with_section(&one, "## B, today", "b");
        let again = with_section(&two, "## A, today", "second");
        assert_eq!(
            again,
            "# Results\n\nIntro.\n\n## A, today\n\nsecond\n\n## B, today\n\nb\n"
        );
    }
}
