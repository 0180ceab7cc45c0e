//! `timeball client token`: API tokens that were given out.

use clap::{Args, Subcommand};
use model::host::MessageResponse;
use model::route::Endpoint;
use model::token::{ListTokensResponse, TokenInfo};

use crate::client::Client;
use crate::client::http::Call;
use crate::ending::{Ending, Verdict};
use crate::print::Printer;
use crate::print::screen::Tone;
use crate::print::table::{Cell, Table, facts};
use crate::print::time::to_second;

/// Commands of `timeball client token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List the tokens, never their secret
    #[command(after_long_help = "Example:\n  timeball client token list")]
    List,
    /// Revoke a token: it is refused from now on
    #[command(after_long_help = "Example:\n  timeball client token revoke \\\n    \
                                 --id 550e8400-e29b-41d4-a716-446655440000")]
    Revoke(RevokeArgs),
}

/// Arguments of `revoke`.
#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The token's id, as listed
    #[arg(long, value_name = "ID")]
    id: String,
}

/// Runs a command.
pub(crate) fn run(command: &TokenCommand, client: &Client) -> Ending {
    let printer = client.printer;
    match command {
        TokenCommand::List => {
            let answer = client.call(&Call::new(Endpoint::GetTokens, &[]))?;
            printer.show(&answer.body, |response: &ListTokensResponse| {
                tokens_page(response, printer)
            })?;
        }
        TokenCommand::Revoke(RevokeArgs { id }) => {
            let answer = client.call(&Call::new(Endpoint::DeleteToken, &[id]))?;
            printer.show(&answer.body, |response: &MessageResponse| {
                format!(
                    "\n{}",
                    facts(&[
                        ("ID", id.clone()),
                        ("Status", "Revoked".to_owned()),
                        ("Message", response.message.clone()),
                    ])
                )
            })?;
        }
    }
    Ok(Verdict::Done)
}

fn tokens_page(response: &ListTokensResponse, printer: Printer) -> String {
    if response.tokens.is_empty() {
        return "\n  No tokens found.\n".to_owned();
    }
    let mut head = vec!["ID", "SUBJECT", "ROLES", "STATUS", "EXPIRES"];
    if printer.wide() {
        head.extend(["PERMISSIONS", "ISSUED", "REVOKED"]);
    }
    let mut table = Table::new(&head);
    for token in &response.tokens {
        let mut cells = vec![
            Cell::from(token.jti.as_str()),
            Cell::from(token.subject.as_str()),
            Cell::from(token.roles.join(", ")),
            status_cell(token),
            Cell::from(token.expires_at.as_deref().map(to_second)),
        ];
        if printer.wide() {
            cells.push(Cell::from(token.permissions.join(", ")));
            cells.push(Cell::from(token.issued_at.as_deref().map(to_second)));
            cells.push(Cell::from(token.revoked_at.as_deref().map(to_second)));
        }
        table.row(cells);
    }
    format!(
        "\n  Tokens ({})\n\n{}",
        response.total,
        table.render(printer.screen())
    )
}

/// Expired tokens are not listed.
fn status_cell(token: &TokenInfo) -> Cell {
    if token.revoked_at.is_some() {
        Cell::toned("revoked", Tone::Bad)
    } else {
        Cell::toned("valid", Tone::Good)
    }
}
