//! `timeball token`: make and check API tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::permission::{Permission, Roles};
use model::route::Endpoint;
use model::token::{TokenRequest, TokenResponse};
use serde::{Deserialize, Serialize};
use ureq::http::StatusCode;

use crate::cli::Globals;
use crate::client::Client;
use crate::client::access::{Access, Token, token};
use crate::client::http::{Api, Call};
use crate::ending::{Ending, Failure, Verdict};
use crate::print::Printer;
use crate::print::table::facts;
use crate::settings::{Settings, duration};

/// Commands of `timeball token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is shown this once
    #[command(
        after_long_help = "The controller makes it, so that it can be listed and revoked.\n\n\
                                 Example:\n  timeball token generate -r read -u grafana --lifetime 90d"
    )]
    Generate(GenerateArgs),
    /// Show what a token says, and whether the controller takes it
    #[command(
        after_long_help = "Exit code 1 when the controller refuses it.\n\nExample:\n  \
                                 timeball token validate --token-file grafana.token"
    )]
    Validate(ValidateArgs),
}

/// Arguments of `generate`.
#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// Roles, with commas between or one by one
    #[arg(short, long, required = true, value_delimiter = ',', value_name = "ROLE")]
    roles: Vec<String>,
    /// Who will use it: a person, a script, a pipeline
    #[arg(short = 'u', long, value_name = "NAME")]
    subject: String,
    /// Permissions that replace those of the roles
    #[arg(short, long, value_delimiter = ',', value_name = "PERMISSION")]
    permissions: Vec<Permission>,
    /// How long it is valid, such as 12h or 90d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lifetime: Option<Duration>,
}

/// Arguments of `validate`.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// File with the token; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "token_file")]
    token: Option<PathBuf>,
}

/// Refuses a token itself, without repeating it: everybody on the machine can see command lines.
fn check_is_no_secret(file: &Path) -> Result<(), Failure> {
    let text = file.to_string_lossy();
    if text.starts_with("eyJ") && text.matches('.').count() == 2 {
        return Err(Failure::new(
            "--token: a token on the command line can be seen by everybody on this machine, and this one was; \
             revoke it, and give the next on standard input with -t -, or name a file",
        ));
    }
    Ok(())
}

/// Runs a command.
pub(crate) fn run(command: &TokenCommand, globals: &Globals, settings: &Settings) -> Ending {
    match command {
        TokenCommand::Generate(args) => generate(args, globals, settings),
        TokenCommand::Validate(args) => validate(args, globals, settings),
    }
}

fn generate(args: &GenerateArgs, globals: &Globals, settings: &Settings) -> Ending {
    let request = TokenRequest {
        subject: args.subject.clone(),
        roles: args.roles.clone(),
        permissions: args.permissions.iter().map(ToString::to_string).collect(),
        lifetime_s: args.lifetime.map(|lifetime| lifetime.as_secs()),
    };
    let client = Client::new(globals, settings)?;
    let answer = client.call(&Call::new(Endpoint::PostToken, &[]).body(&request))?;
    client.printer.show(&answer.body, |response: &TokenResponse| {
        let facts = facts(&[
            ("Token", response.token.clone()),
            ("Subject", response.subject.clone()),
            ("Roles", response.roles.join(", ")),
            ("Permissions", response.permissions.join(", ")),
            ("Expires", response.expires_at.clone()),
            ("ID", response.jti.clone()),
        ]);
        format!("\n{facts}")
    })?;
    Ok(Verdict::Done)
}

/// What a token says of itself. Nothing of it is to be believed before the controller has checked it.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    aud: Audience,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    jti: String,
    iat: Option<i64>,
    exp: Option<i64>,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Audience::Several(Vec::new())
    }
}

/// What `validate` shows.
#[derive(Serialize, Deserialize)]
struct Validation {
    valid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    subject: String,
    roles: Vec<String>,
    permissions: Vec<String>,
    effective_permissions: Vec<String>,
    issuer: String,
    audience: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    jti: String,
}

fn validate(args: &ValidateArgs, globals: &Globals, settings: &Settings) -> Ending {
    if let Some(file) = &args.token {
        check_is_no_secret(file)?;
    }
    let mut globals = globals.clone();
    globals.token_file = args.token.clone().or(globals.token_file);
    let given = token(&globals, settings)?.ok_or_else(|| {
        Failure::new("no token; give one with --token-file FILE, -t - on standard input, or TIMEBALL_TOKEN")
    })?;
    let claims = claims(&given)?;
    let access = Access::find_with(&globals, settings, Some(given))?;
    let refused = refusal(&Api::new(access)?)?;
    let validation = validation(claims, refused, settings)?;
    let body = serde_json::to_vec(&validation).map_err(|error| Failure::new(error.to_string()))?;
    Printer::new(globals.format()).show(&body, page)?;
    Ok(if validation.valid {
        Verdict::Done
    } else {
        Verdict::SomeFailed
    })
}

/// Reads what a token says without checking its signature, for which the controller alone has the key.
fn claims(token: &Token) -> Result<Claims, Failure> {
    let wrong = || Failure::new("this is no API token; a token has three parts with dots between them");
    let mut parts = token.secret().split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| wrong())?;
    serde_json::from_slice(&json).map_err(|_| wrong())
}

/// Why the controller refuses the token of `api`, if it does. Who may not see the controller's state holds a
/// token that is valid none the less.
fn refusal(api: &Api) -> Result<Option<String>, Failure> {
    let mut call = Call::new(Endpoint::GetHealthStatus, &[]);
    for status in [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        call = call.taking(status);
    }
    let answer = api.call(&call)?;
    if answer.status != StatusCode::UNAUTHORIZED {
        return Ok(None);
    }
    let reason: Option<model::error::ErrorResponse> = serde_json::from_slice(&answer.body).ok();
    Ok(Some(reason.map_or_else(
        || answer.status.to_string(),
        |reason| reason.error,
    )))
}

fn validation(claims: Claims, refused: Option<String>, settings: &Settings) -> Result<Validation, Failure> {
    let roles = Roles::new(settings.roles()?);
    let effective: Vec<String> = if claims.permissions.is_empty() {
        let held: std::collections::BTreeSet<Permission> = claims
            .roles
            .iter()
            .filter_map(|role| roles.permissions(role))
            .flatten()
            .collect();
        held.iter().map(ToString::to_string).collect()
    } else {
        claims.permissions.clone()
    };
    let time = |seconds: Option<i64>| {
        let time = Timestamp::from_second(seconds?).ok()?;
        Some(time.to_string())
    };
    Ok(Validation {
        valid: refused.is_none(),
        reason: refused,
        subject: claims.sub,
        roles: claims.roles,
        permissions: claims.permissions,
        effective_permissions: effective,
        issuer: claims.iss,
        audience: match claims.aud {
            Audience::One(one) => vec![one],
            Audience::Several(several) => several,
        },
        issued_at: time(claims.iat),
        expires_at: time(claims.exp),
        jti: claims.jti,
    })
}

fn page(validation: &Validation) -> String {
    let facts = facts(&[
        ("Valid", if validation.valid { "yes" } else { "no" }.to_owned()),
        ("Reason", validation.reason.clone().unwrap_or_default()),
        ("Subject", validation.subject.clone()),
        ("Roles", validation.roles.join(", ")),
        ("Permissions", validation.permissions.join(", ")),
        ("Effective", validation.effective_permissions.join(", ")),
        ("Issuer", validation.issuer.clone()),
        ("Audience", validation.audience.join(", ")),
        ("Issued", validation.issued_at.clone().unwrap_or_default()),
        ("Expires", validation.expires_at.clone().unwrap_or_default()),
        ("ID", validation.jti.clone()),
    ]);
    format!("\n{facts}")
}
