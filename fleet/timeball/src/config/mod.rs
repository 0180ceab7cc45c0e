//! `timeball config`: configurations of time daemons, without a daemon and without a fleet.

mod check;

use clap::Subcommand;

use crate::cli::Globals;
use crate::ending::Ending;

/// Commands of `timeball config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what timeballd would make of a configuration file
    #[command(
        after_long_help = "Reads the file with all that it includes, and says every line that \
                                 timeballd would not start with or take otherwise. Exit codes: 0 it would \
                                 start, 1 it would not, 2 the file cannot be read.\n\n\
                                 Example:\n  timeball config check /etc/chrony/chrony.conf"
    )]
    Check(check::CheckArgs),
}

/// Runs a command.
pub(crate) fn run(command: &ConfigCommand, globals: &Globals) -> Ending {
    match command {
        ConfigCommand::Check(args) => check::run(args, globals),
    }
}
