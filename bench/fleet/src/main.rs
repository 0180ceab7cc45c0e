//! Benchmark of the fleet plane. `bench/README.md` says how to run it and how to read what it prints.
//!
//! [`measure`] starts a real controller ([`controller`]) and, in a process of their own, thousands of
//! simulated agents ([`agents`]) that speak the real protocol, and asks the controller's API ([`api`]) the way
//! a client would. [`peer`] lets Ansible and timeball do the same work on the same chronyds in turn.
//! [`report`] writes both into `bench/RESULTS.md`.

mod agents;
mod api;
mod controller;
mod figures;
mod hosts;
mod measure;
mod peer;
mod report;
mod usage;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Nothing here goes on after a fault; whoever runs it reads the text.
type Fault = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure a controller with simulated agents.
    Measure(measure::Arguments),
    /// Be many agents; `measure` starts this.
    Agents(agents::Arguments),
    /// Measure the same work done by Ansible and by timeball.
    Peer(peer::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Measure(arguments) => measure::run(&arguments),
        Command::Agents(arguments) => agents::run(&arguments),
        Command::Peer(arguments) => peer::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("fleet-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}
