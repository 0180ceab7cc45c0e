//! What the long-running parts log, on stderr.

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::ending::Failure;
use crate::settings::Settings;

/// How to log.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// Form of the log on stderr: human or json
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "human",
        hide_possible_values = true
    )]
    log: Form,
    /// How much to log: error, warn, info, debug, trace
    #[arg(
        long,
        value_name = "LEVEL",
        long_help = "How much to log: error, warn, info (as without it), debug or trace; also by part, such \
                     as info,link=debug. Without it RUST_LOG counts."
    )]
    log_level: Option<String>,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Human,
    Json,
}

/// Starts logging, and says which settings files do not count.
///
/// # Errors
/// [`Failure::Refused`] when the level is none.
pub(crate) fn start(args: &LogArgs, settings: &Settings) -> Result<(), Failure> {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty());
    let (level, origin) = match (&args.log_level, &from_environment) {
        (Some(level), _) => (level.as_str(), "--log-level"),
        (None, Some(level)) => (level.as_str(), "RUST_LOG"),
        (None, None) => ("info", ""),
    };
    let filter = EnvFilter::builder().parse(level).map_err(|_| {
        Failure::new(format!(
            "{origin} {level}: write error, warn, info, debug or trace, or one per part such as info,link=debug"
        ))
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match args.log {
        Form::Human => {
            let ansi = io::IsTerminal::is_terminal(&io::stderr())
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            subscriber.with_ansi(ansi).with_target(false).init();
        }
        Form::Json => subscriber.json().flatten_event(true).init(),
    }
    for file in settings.passed_over() {
        tracing::warn!(file = %file.display(), "settings file passed over: this user may not read it");
    }
    Ok(())
}
