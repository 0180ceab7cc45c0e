//! The clock daemon of one host: asks servers, steers the clock, answers clients.
//!
//! It takes chronyd's arguments and configuration, and under chronyd's name (a link is enough) its files and words.
//! What it does is decided by the [`engine`]; this program reads the arguments ([`args`]), sets everything up
//! ([`start`]), waits ([`run`]), and carries out what the engine says ([`carry_out`]) with the hands of [`os`]. As
//! `timeballd ctl` it is the other side of the command protocol ([`ctl`]).

mod args;
mod carry_out;
mod confinement;
mod control;
mod ctl;
mod files;
mod identity;
mod interfaces;
mod keys;
mod leap_files;
mod links;
mod log;
mod log_files;
mod metrics;
mod ready;
mod rtc;
mod run;
mod start;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use args::{ArgumentError, Invocation, usage};
use engine::io::Severity;
use identity::{FEATURES, Identity};
use log::{Log, threshold};

fn main() -> ExitCode {
    let mut arguments = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_default();
    let identity = Identity::of_program(&program);
    let mut arguments = arguments.peekable();
    if identity == Identity::TIMEBALLD && arguments.next_if(|first| first == "ctl").is_some() {
        return ExitCode::from(ctl::main(&identity, arguments));
    }
    let help = || usage(&program, &identity);
    match Invocation::parse(arguments).and_then(|invocation| identity.takes(invocation)) {
        Ok(Invocation::Run(arguments)) => ExitCode::from(start::start(&identity, &arguments)),
        Ok(Invocation::Help) => {
            print(&help());
            ExitCode::SUCCESS
        }
        Ok(Invocation::Version) => {
            let Identity {
                name,
                project,
                version,
                ..
            } = identity;
            print(&format!("{name} ({project}) version {version} ({FEATURES})\n"));
            ExitCode::SUCCESS
        }
        Err(error @ (ArgumentError::NoNumber(_) | ArgumentError::Dialect(_))) => {
            Log::to_stderr(threshold(0)).write(Severity::Fatal, &error.to_string());
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = io::stderr().write_all(format!("{program}: {error}\n").as_bytes());
            print(&help());
            ExitCode::FAILURE
        }
    }
}

/// Prints a text; whoever does not read it has seen enough.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
