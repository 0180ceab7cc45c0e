//! `timeball completions`: what a shell needs to complete commands.

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::ending::{Ending, Verdict};
use crate::print::screen::Screen;

/// Arguments of `timeball completions`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example, for bash:\n  timeball completions bash \
                             >/usr/share/bash-completion/completions/timeball")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: KnownShell,
}

/// The shells that are known.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions.
pub(crate) fn run(args: &CompletionsArgs) -> Ending {
    let shell = match args.shell {
        KnownShell::Bash => Shell::Bash,
        KnownShell::Zsh => Shell::Zsh,
        KnownShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "timeball", &mut script);
    Screen::of_stdout().write(&String::from_utf8_lossy(&script))?;
    Ok(Verdict::Done)
}
