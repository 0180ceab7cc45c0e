//! `timeball config`: configurations of time daemons, without a daemon and without a fleet.

mod check;
mod convert;
mod explain;
mod files;
mod lint;

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
                                 start with every line, 1 it would not, or without a line, 2 the file cannot be read.\n\n\
                                 Example:\n  timeball config check /etc/chrony/chrony.conf"
    )]
    Check(files::FileArgs),
    /// Say what each line of a configuration file becomes
    #[command(
        after_long_help = "Reads the file with all that it includes, and says of each line whether it is \
                                 used, adapted, ignored or refused, as which lines of chrony.conf, and why. Exit \
                                 codes: 0 timeballd would start with every line, 1 it would not, or without a line, 2 \
                                 the file cannot be read.\n\n\
                                 Example:\n  timeball config explain /etc/ntpd.conf"
    )]
    Explain(files::FileArgs),
    /// Write a configuration file in another language
    #[command(
        after_long_help = "Writes what timeballd makes of the file and all that it includes, without comments, and \
                                 on stderr what the other language cannot say: - a line of chrony.conf, or one of the \
                                 file that timeballd leaves out, that is lost, + one that is added because the other language always means it. Exit codes: \
                                 0 it is written, 1 it is not because something would be lost that protects the \
                                 clock or its clients (--lossy writes it all the same), 2 the file cannot be read \
                                 or timeballd would not start with it.\n\n\
                                 Example:\n  timeball config convert --to chrony /etc/ntp.conf"
    )]
    Convert(convert::ConvertArgs),
    /// Say what is unwise in a configuration file
    #[command(
        after_long_help = "Looks for what works and is a mistake all the same: too few sources to tell which is \
                                 wrong, all of one operator, with and without smeared leap seconds, this host as its \
                                 own source, options in the place of names, everybody as a client or with ntpq, loops \
                                 of hosts that tell their own time. Whether timeballd \
                                 would start is for config check. Exit codes: 0 nothing was found, 1 something was, \
                                 2 the file cannot be read.\n\n\
                                 Example:\n  timeball config lint --json /etc/chrony/chrony.conf"
    )]
    Lint(files::FileArgs),
}

/// Runs a command.
pub(crate) fn run(command: &ConfigCommand, globals: &Globals) -> Ending {
    match command {
        ConfigCommand::Check(args) => check::run(args, globals),
        ConfigCommand::Explain(args) => explain::run(args, globals),
        ConfigCommand::Convert(args) => convert::run(args, globals),
        ConfigCommand::Lint(args) => lint::run(args, globals),
    }
}
