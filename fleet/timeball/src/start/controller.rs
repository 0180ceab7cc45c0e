//! `timeball controller`: the controller by itself.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use controller::settings::{ApiTls, Listen};

use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::paths;
use crate::settings::{Found, Origin, Settings, duration, table, truth};
use crate::start::claim::claim;
use crate::start::log::{self, LogArgs};
use crate::start::signals::Stop;

/// Arguments of `timeball controller`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "It runs until it is told to stop. Settings are in timeball.yaml and the \
                             environment; docs/settings.md lists them.\n\nExample:\n  timeball controller \
                             --api-listen 0.0.0.0:8080 --link-listen 0.0.0.0:8443"
)]
pub(crate) struct ControllerArgs {
    /// Where the API and the web page listen
    #[arg(long, value_name = "ADDR:PORT")]
    api_listen: Option<String>,
    /// Where agents dial in
    #[arg(long, value_name = "ADDR:PORT")]
    link_listen: Option<String>,
    /// Host and port that agents are told to dial
    #[arg(long, value_name = "HOST:PORT")]
    link_advertise: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the controller.
pub(crate) fn run(args: &ControllerArgs, globals: &Globals, settings: &Settings) -> Ending {
    log::start(&args.log, settings)?;
    let data = paths::data(globals.data.as_ref(), settings, table::CONTROLLER_DATA);
    let mut wanted = wanted(data, settings)?;
    wanted.api = Listen::Exactly(address(
        settings,
        table::API_LISTEN,
        args.api_listen
            .as_ref()
            .map(|text| Found::new(text, Origin::Flag("--api-listen"))),
        ([127, 0, 0, 1], 8080).into(),
    )?);
    wanted.link = Listen::Exactly(address(
        settings,
        table::LINK_LISTEN,
        args.link_listen
            .as_ref()
            .map(|text| Found::new(text, Origin::Flag("--link-listen"))),
        ([0, 0, 0, 0], 8443).into(),
    )?);
    wanted.link_advertised = args.link_advertise.clone().or(wanted.link_advertised);
    super::run(async {
        let _claim = claim(&wanted.data)?;
        let mut stop = Stop::listen()?;
        let running = controller::start(wanted)
            .await
            .map_err(|error| not_started(&error))?;
        tracing::info!(
            url = running.url, ca_fingerprint = %running.controller().authority(),
            token_file = %running.admin_token.display(), "clients can call"
        );
        stop.asked().await;
        running.stop().await;
        tracing::info!("controller stopped");
        Ok(Verdict::Done)
    })
}

/// Why a controller was not started.
pub(crate) fn not_started(error: &controller::StartError) -> Failure {
    Failure::new(format!("the controller cannot start: {error}"))
}

/// A controller's settings but for where it listens, which is as [`controller::Settings::local`] has it.
pub(crate) fn wanted(data: PathBuf, settings: &Settings) -> Result<controller::Settings, Failure> {
    let mut wanted = controller::Settings::local(data);
    wanted.tls = tls(settings)?;
    wanted.roles = settings.roles()?;
    wanted.link_advertised = settings
        .find(table::LINK_ADVERTISE)
        .map(|found| found.text().to_owned());
    take(
        &mut wanted.job_timeout,
        settings.find(table::API_JOB_TIMEOUT),
        seconds_or_more,
    )?;
    take(
        &mut wanted.heartbeat,
        settings.find(table::HEARTBEAT),
        seconds_or_more,
    )?;
    take(&mut wanted.auto_accept, settings.find(table::AUTO_ACCEPT), truth)?;
    take(
        &mut wanted.metrics_open,
        settings.find(table::API_METRICS_OPEN),
        truth,
    )?;
    Ok(wanted)
}

/// Puts a setting's value in place of the default, if there is one.
pub(crate) fn take<T, E: fmt::Display>(
    place: &mut T,
    found: Option<Found>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<(), Failure> {
    if let Some(found) = found {
        *place = found.read(read)?;
    }
    Ok(())
}

/// Reads a duration of a second at least.
fn seconds_or_more(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < Duration::from_secs(1) {
        return Err("a second is the least".to_owned());
    }
    Ok(duration)
}

fn tls(settings: &Settings) -> Result<ApiTls, Failure> {
    let files = (
        settings.find(table::API_CERTIFICATE),
        settings.find(table::API_KEY),
    );
    match (files, settings.find(table::API_TLS)) {
        ((Some(certificate), Some(key)), None) => Ok(ApiTls::Files {
            certificate: certificate.path(),
            key: key.path(),
        }),
        ((Some(alone), None) | (None, Some(alone)), None) => Err(alone.refuse(
            "certificate and key are needed together; set controller.api.certificate and controller.api.key",
        )),
        ((None, None), None) => Ok(ApiTls::Auto),
        ((None, None), Some(found)) => found.read(|text| match text {
            "auto" => Ok(ApiTls::Auto),
            "own" => Ok(ApiTls::OwnAuthority),
            "off" => Ok(ApiTls::None),
            _ => Err("write auto, own or off"),
        }),
        (_, Some(found)) => Err(found
            .refuse("with controller.api.certificate and controller.api.key it says too much; leave it out")),
    }
}

/// An address to listen on: from the flag, the settings, or the default.
pub(crate) fn address(
    settings: &Settings,
    key: &'static str,
    flag: Option<Found>,
    default: SocketAddr,
) -> Result<SocketAddr, Failure> {
    let mut address = default;
    take(&mut address, flag.or_else(|| settings.find(key)), |text| {
        text.parse()
            .map_err(|_| "write an address and a port, such as 0.0.0.0:8080 or [::]:8080")
    })?;
    Ok(address)
}
