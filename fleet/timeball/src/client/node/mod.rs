//! `timeball client node`: what hosts are asked to do.

mod ntp;
mod rows;

pub(crate) use rows::state;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Subcommand};
use model::Target;

use crate::cli::Cli;
use crate::client::Client;
use crate::ending::Ending;

/// Arguments of `timeball client node`.
#[derive(Args, Debug)]
pub(crate) struct NodeArgs {
    /// Which hosts: _all, _any, a host name, a machine id or a label such as group:web
    #[arg(
        short = 'T',
        long,
        global = true,
        value_name = "TARGET",
        help = "Hosts: _all, _any, a name or a label like group:web",
        long_help = "Which hosts: _all, _any (exactly one), a host name, a machine id, or a label such as \
                     group:web, which also selects group:web.eu. Reads default to _all; writes need it."
    )]
    target: Option<Target>,
    #[command(subcommand)]
    command: NodeCommand,
}

/// What hosts can be asked to do.
#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// State and servers of time synchronisation
    #[command(subcommand)]
    Ntp(ntp::NtpCommand),
}

/// Ends the program with a usage error when a write does not say which hosts it is for.
pub(crate) fn check(args: &NodeArgs) {
    let NodeCommand::Ntp(command) = &args.command;
    if args.target.is_none() && command.writes() {
        let mut root = Cli::command();
        root.build();
        // The usage that is shown is that of the verb.
        let path = ["client", "node", "ntp", command.verb()];
        let verb = path.iter().try_fold(&mut root, |command, name| {
            command.find_subcommand_mut(name).ok_or(())
        });
        let remedy = "say which hosts with --target, for example --target web-01 or --target _all";
        match verb {
            Ok(verb) => verb.error(ErrorKind::MissingRequiredArgument, remedy).exit(),
            Err(()) => Cli::command()
                .error(ErrorKind::MissingRequiredArgument, remedy)
                .exit(),
        }
    }
}

/// Runs a command of `timeball client node`.
pub(crate) fn run(args: &NodeArgs, client: &Client) -> Ending {
    let target = args.target.clone().unwrap_or(Target::All);
    match &args.command {
        NodeCommand::Ntp(command) => ntp::run(command, &target, client),
    }
}
