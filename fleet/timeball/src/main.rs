//! timeball: the fleet program. It plays controller, agent or both, and is the client of a controller.
//!
//! [`cli`] is what can be typed; each command's arguments stand in the file that runs it. A client command
//! finds its controller ([`client::access`]), sends one request ([`client::http`]), and shows what comes back
//! ([`mod@print`]); [`start`] brings up the long-running parts; [`settings`] is the file and the environment.

mod cli;
mod client;
mod completions;
mod config;
mod ending;
mod man;
mod paths;
mod print;
mod replace;
mod settings;
mod start;
mod text;
mod token;
mod wait;

use std::process::ExitCode;

fn main() -> ExitCode {
    ending::exit_code(&cli::run())
}
