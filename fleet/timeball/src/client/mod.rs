//! `timeball client`: everything that is asked of a controller.

pub(crate) mod access;
pub(crate) mod http;

mod agent;
mod audit;
mod health;
mod host_page;
mod interrupt;
mod job;
mod job_page;
mod node;
mod stream;
mod tls;
mod token;

use clap::Subcommand;
use uuid::Uuid;

use crate::cli::Globals;
use crate::client::access::Access;
use crate::client::http::{Answer, Api, Call};
use crate::client::stream::ProgressLine;
use crate::ending::{Ending, Failure};
use crate::print::Printer;
use crate::settings::Settings;

/// What can be asked of a controller.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Time synchronisation of hosts
    Node(node::NodeArgs),
    /// Hosts and their agents
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Jobs: what was asked and what became of it
    #[command(subcommand)]
    Job(job::JobCommand),
    /// The audit trail: who asked for what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The controller's own state
    #[command(subcommand)]
    Health(health::HealthCommand),
    /// API tokens that were given out
    #[command(subcommand)]
    Token(token::TokenCommand),
}

/// Reads the id of a job or an entry.
fn id(text: &str) -> Result<Uuid, &'static str> {
    text.parse()
        .map_err(|_| "an id as the list shows it is needed, such as 550e8400-e29b-41d4-a716-446655440000")
}

/// A controller and a place to show its answers.
pub(crate) struct Client {
    api: Api,
    pub(crate) printer: Printer,
}

/// Runs a client command.
pub(crate) fn run(command: &ClientCommand, globals: &Globals, settings: &Settings) -> Ending {
    // Arguments are checked before a controller is looked for.
    if let ClientCommand::Node(args) = command {
        node::check(args);
    }
    interrupt::ends_the_program();
    let client = Client::new(globals, settings)?;
    match command {
        ClientCommand::Node(args) => node::run(args, &client),
        ClientCommand::Agent(command) => agent::run(command, &client),
        ClientCommand::Job(command) => job::run(command, &client),
        ClientCommand::Audit(command) => audit::run(command, &client),
        ClientCommand::Health(command) => health::run(command, &client),
        ClientCommand::Token(command) => token::run(command, &client),
    }
}

impl Client {
    /// Finds the controller.
    pub(crate) fn new(globals: &Globals, settings: &Settings) -> Result<Self, Failure> {
        Ok(Client {
            api: Api::new(Access::find(globals, settings)?)?,
            printer: Printer::new(globals.format()),
        })
    }

    /// Sends a request. A refusal of the API is shown to programs as it came.
    pub(crate) fn call(&self, call: &Call) -> Result<Answer, Failure> {
        self.printer.show_refusal(self.api.call(call))
    }

    /// Sends a request that many hosts answer, and shows on a terminal how many have.
    fn call_hosts(&self, call: &Call) -> Result<Answer, Failure> {
        self.printer.show_refusal(match ProgressLine::for_terminal() {
            Some(mut progress) => self.api.call_with_progress(call, &mut progress),
            None => self.api.call(call),
        })
    }
}
