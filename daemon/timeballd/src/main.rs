//! The clock daemon of one host: asks servers, steers the clock, answers clients.
//!
//! It takes chronyd's arguments and configuration, and under chronyd's name (a link is enough) its files and words;
//! likewise under the names of the two daemons called ntpd ([`identity`]).
//! What it does is decided by the [`engine`]; this program reads the arguments ([`args`]) and the configuration
//! ([`configuration`]), sets everything up ([`start`]), waits ([`run`]), and carries out what the engine says ([`carry_out`]) with the hands of [`os`]. As
//! `timeballd ctl` it is the other side of the command protocol ([`ctl`]).

mod args;
mod carry_out;
mod configuration;
mod confinement;
mod conflict;
mod constraint;
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
mod manual;
mod metrics;
mod openntpd;
mod passed;
mod ready;
mod reload;
mod rtc;
mod run;
mod start;
mod statistics_files;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use args::{ArgumentError, Invocation, usage};
use engine::io::Severity;
use files::ConfigurationFiles;
use identity::{CommandLine, FEATURES, Identity};
use log::{Log, threshold};

fn main() -> ExitCode {
    let mut arguments = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_default();
    let arguments = arguments.collect::<Vec<_>>();
    if Path::new(&program)
        .file_name()
        .is_some_and(|name| name == "ntpctl")
    {
        return ExitCode::from(openntpd::ntpctl::main(&program, &arguments));
    }
    let named = Identity::named_config_file();
    let identity = Identity::of_program(&program, &arguments, named.as_deref(), &ConfigurationFiles);
    if identity == Identity::TIMEBALLD
        && let Some((first, rest)) = arguments.split_first()
        && first == "ctl"
    {
        return ExitCode::from(ctl::main(&identity, rest.iter().cloned()));
    }
    if identity == Identity::TIMEBALLD
        && let Some((first, rest)) = arguments.split_first()
        && first == "man"
    {
        return ExitCode::from(manual::main(rest));
    }
    let help = || usage(&program, &identity);
    match Invocation::parse(arguments, &identity) {
        Ok(Invocation::Run(arguments)) => ExitCode::from(start::start(&identity, &arguments)),
        Ok(Invocation::Help) => {
            print(&help());
            ExitCode::SUCCESS
        }
        Ok(Invocation::Version) => {
            print(&version(&identity));
            ExitCode::SUCCESS
        }
        Err(error @ (ArgumentError::NoNumber(_) | ArgumentError::Dialect(_)))
            if identity.command_line == CommandLine::Chrony =>
        {
            Log::to_stderr(threshold(0)).write(Severity::Fatal, &error.to_string());
            ExitCode::FAILURE
        }
        Err(error) => {
            let says_usage_only = matches!(error, ArgumentError::Unexpected(_));
            if identity.command_line != CommandLine::OpenNtpd || !says_usage_only {
                complain(&format!("{program}: {error}\n"));
            }
            match identity.command_line {
                CommandLine::Chrony => print(&help()),
                CommandLine::Ntpd | CommandLine::OpenNtpd => complain(&help()),
            }
            ExitCode::FAILURE
        }
    }
}

/// What `--version` says.
fn version(identity: &Identity) -> String {
    let Identity {
        name,
        project,
        version,
        ..
    } = identity;
    match identity.command_line {
        CommandLine::Chrony => format!("{name} ({project}) version {version} ({FEATURES})\n"),
        CommandLine::Ntpd | CommandLine::OpenNtpd => format!("{name} {project}-{version}\n"),
    }
}

/// Says what is wrong on stderr.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a text; whoever does not read it has seen enough.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
