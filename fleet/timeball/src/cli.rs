//! The command line: what can be typed, and which file runs it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::client::{self, ClientCommand};
use crate::completions::{self, CompletionsArgs};
use crate::config::{self, ConfigCommand};
use crate::ending::{Ending, Verdict};
use crate::man::{self, ManArgs};
use crate::print::Format;
use crate::print::screen::Screen;
use crate::settings::Settings;
use crate::start::agent::AgentArgs;
use crate::start::controller::ControllerArgs;
use crate::start::observer::ObserveArgs;
use crate::start::up::UpArgs;
use crate::token::TokenCommand;
use crate::wait::{self, WaitArgs};
use crate::{start, token};

/// The right time for a fleet of machines, and the proof of it.
#[derive(Debug, Parser)]
#[command(
    name = "timeball",
    version,
    max_term_width = 79,
    disable_help_subcommand = true,
    after_long_help = "Exit codes: 0 all done, 1 some host failed or did not answer, or the one that was \
                       named was skipped, 2 wrong use, no connection or a refusal.\n\nExample, on one machine:\n  timeball up\n  \
                       timeball client node ntp get"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Print the API's answer unchanged: -o json
    #[arg(short, long, global = true, conflicts_with = "format")]
    pub(crate) json: bool,
    /// How to print answers
    #[arg(
        short = 'o',
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        help = "How to print: table, wide, json or yaml"
    )]
    pub(crate) format: Option<Format>,
    /// Address of the controller
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// File with the API token; - is standard input
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of who vouches for the controller
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "ca_fingerprint")]
    pub(crate) ca: Option<PathBuf>,
    /// SHA256:… of the controller's authority
    #[arg(long, global = true, value_name = "PRINT")]
    pub(crate) ca_fingerprint: Option<String>,
    /// Data directory of the controller or agent
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Settings file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl Globals {
    /// The format that was asked for.
    pub(crate) fn format(&self) -> Format {
        if self.json {
            Format::Json
        } else {
            self.format.unwrap_or_default()
        }
    }
}

/// What the program can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run controller, web page and this machine's agent in one go
    Up(UpArgs),
    /// Ask and change the fleet through its controller
    #[command(subcommand)]
    Client(ClientCommand),
    /// Make and check API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Run the controller
    Controller(ControllerArgs),
    /// Run this host's agent, or prepare the host for it
    Agent(AgentArgs),
    /// Look at configurations of time daemons
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Wait until this host's clock is right
    Wait(WaitArgs),
    /// Print the version
    #[command(after_long_help = "Example:\n  timeball version")]
    Version,
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
    /// Become the program that observes this machine's clock for `up`
    #[command(hide = true)]
    Observe(ObserveArgs),
}

/// Runs what was typed.
pub(crate) fn run() -> Ending {
    let cli = Cli::parse();
    let globals = &cli.globals;
    let settings = || Settings::load(globals.config.as_deref());
    match &cli.command {
        Command::Client(command) => client::run(command, globals, &settings()?),
        Command::Token(command) => token::run(command, globals, &settings()?),
        Command::Up(args) => start::up::run(args, globals, &settings()?),
        Command::Controller(args) => start::controller::run(args, globals, &settings()?),
        Command::Agent(args) => start::agent::run(args, globals, &settings()?),
        Command::Config(command) => config::run(command, globals),
        Command::Wait(args) => wait::run(args, globals),
        Command::Version => version(globals),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Observe(args) => start::observer::observe(args),
    }
}

fn version(globals: &Globals) -> Ending {
    let version = env!("CARGO_PKG_VERSION");
    let line = match globals.format() {
        Format::Table | Format::Wide => format!("timeball {version}\n"),
        Format::Json => format!("{{\"version\":\"{version}\"}}\n"),
        Format::Yaml => format!("version: {version}\n"),
    };
    Screen::of_stdout().write(&line)?;
    Ok(Verdict::Done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn each(command: &clap::Command, path: &str, check: &mut dyn FnMut(&clap::Command, &str)) {
        check(command, path);
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            each(below, &format!("{path} {}", below.get_name()), check);
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn short_help_keeps_within_80_columns_and_long_help_has_an_example() {
        let mut root = Cli::command();
        root.build();
        each(&root, "timeball", &mut |command, path| {
            let short = command.clone().render_help().to_string();
            for line in short.lines() {
                assert!(line.chars().count() < 80, "{path}: {line}");
            }
            if command.get_subcommands().next().is_none() {
                let long = command.clone().render_long_help().to_string();
                assert!(long.contains("Example"), "{path} shows no example");
                assert!(
                    long.contains(&format!("\n  {path}")),
                    "{path}: the example is another command's"
                );
            }
        });
    }
}
