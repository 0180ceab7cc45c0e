//! `timeball agent`: this host's agent, and what is done for it on the host.

use std::fs;
use std::path::PathBuf;

use agent::{Apply, Container, Service, TimeService};
use clap::{Args, Subcommand};
use link::EnrolmentToken;
use model::{Label, Labels};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::paths;
use crate::print::Printer;
use crate::settings::{Found, Origin, Settings, duration, table};
use crate::start::controller::take;
use crate::start::log::{self, LogArgs};
use crate::start::signals::Stop;

/// Arguments of `timeball agent`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Without a token the host waits until an administrator accepts it.\n\nExample:\n  \
                             timeball agent --controller time.example.com:8443 \\\n    \
                             --enrolment-token-file /etc/timeball/enrolment.token --label group:web.eu"
)]
pub(crate) struct AgentArgs {
    /// The controller's link
    #[arg(long, value_name = "HOST:PORT")]
    controller: Option<String>,
    /// SHA256:… of the controller's authority
    #[arg(long, value_name = "PRINT")]
    controller_fingerprint: Option<String>,
    /// File with an enrolment token
    #[arg(long, value_name = "FILE")]
    enrolment_token_file: Option<PathBuf>,
    /// A label of this host; again for more
    #[arg(long = "label", value_name = "KEY:VALUE", value_delimiter = ',')]
    labels: Vec<Label>,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Option<AgentCommand>,
}

/// What is done for the agent on its host.
#[derive(Debug, Subcommand)]
enum AgentCommand {
    /// Make this host's time service read managed files; a backup is kept
    #[command(
        after_long_help = "Needed only where the configuration of chronyd, timeballd or a classic ntpd names no directory for \
                                 sources.\n\n\
                                 Example:\n  timeball agent adopt"
    )]
    Adopt,
    /// Print the fingerprint of this agent's key
    #[command(
        after_long_help = "Compare it with what `timeball client agent list --pending -o wide` shows.\n\n\
                                 Example:\n  timeball agent fingerprint"
    )]
    Fingerprint,
    /// Forget the controller this host belongs to, to join another
    #[command(
        after_long_help = "Start the agent again afterwards.\n\nExample:\n  timeball agent \
                                 forget-controller"
    )]
    ForgetController,
}

/// Runs the agent, or a command for it.
pub(crate) fn run(args: &AgentArgs, globals: &Globals, settings: &Settings) -> Ending {
    let failed = |error: agent::AgentError| Failure::new(error.to_string());
    let mut wanted = wanted(args, globals, settings)?;
    match &args.command {
        None => {
            log::start(&args.log, settings)?;
            wanted.controller = controller(args, settings)?;
            super::run(async {
                let mut stop = Stop::listen()?;
                agent::run(wanted, async move { stop.asked().await })
                    .await
                    .map_err(failed)?;
                Ok(Verdict::Done)
            })
        }
        Some(AgentCommand::Adopt) => {
            let report = agent::adopt(&wanted).map_err(failed)?;
            let mut page = String::new();
            for note in &report.notes {
                page.push_str(&format!("{note}\n"));
            }
            let directory = report.directory.display();
            page.push_str(&match (report.changed, &report.backup) {
                (false, _) => format!("nothing to do: managed files go into {directory}\n"),
                (true, None) => format!("managed files go into {directory}\n"),
                (true, Some(backup)) => format!(
                    "managed files go into {directory}; {} was before as in {}\n",
                    report.config.display(),
                    backup.display()
                ),
            });
            let adopted = Adopted {
                changed: report.changed,
                config: report.config.display().to_string(),
                directory: directory.to_string(),
                backup: report.backup.as_ref().map(|backup| backup.display().to_string()),
                notes: &report.notes,
            };
            show(globals, &adopted, &page)
        }
        Some(AgentCommand::Fingerprint) => {
            let fingerprint = agent::fingerprint(&wanted).map_err(failed)?.to_string();
            let page = format!("{fingerprint}\n");
            show(globals, &Fingerprint { fingerprint }, &page)
        }
        Some(AgentCommand::ForgetController) => {
            let forgotten = agent::forget_controller(&wanted).map_err(failed)?;
            let page = if forgotten {
                "forgotten; start the agent again to join a controller\n"
            } else {
                "there was no controller to forget\n"
            };
            show(globals, &Forgotten { forgotten }, page)
        }
    }
}

/// What `adopt` did, for programs.
#[derive(Serialize)]
struct Adopted<'a> {
    changed: bool,
    config: String,
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<String>,
    notes: &'a [String],
}

/// The fingerprint of the agent's key, for programs.
#[derive(Serialize)]
struct Fingerprint {
    fingerprint: String,
}

/// Whether there was a controller to forget, for programs.
#[derive(Serialize)]
struct Forgotten {
    forgotten: bool,
}

/// Shows what was done on this host: as a page for people, or as an object for programs.
fn show(globals: &Globals, done: &impl Serialize, page: &str) -> Ending {
    let body = serde_json::to_vec(done).map_err(|error| Failure::new(error.to_string()))?;
    Printer::new(globals.format()).show(&body, |_: &IgnoredAny| page.to_owned())?;
    Ok(Verdict::Done)
}

/// The address to dial.
fn controller(args: &AgentArgs, settings: &Settings) -> Result<String, Failure> {
    let found = args
        .controller
        .as_ref()
        .map(|text| Found::new(text, Origin::Flag("--controller")))
        .or_else(|| settings.find(table::AGENT_CONTROLLER))
        .ok_or_else(|| {
            Failure::new(
                "no controller to dial; name one with --controller HOST:PORT, TIMEBALL_AGENT_CONTROLLER or \
                 agent.controller in timeball.yaml",
            )
        })?;
    found.read(|text| {
        let port = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && !host.contains('/'));
        match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
            Some(_) => Ok(text.to_owned()),
            None => Err("write HOST:PORT, such as time.example.com:8443"),
        }
    })
}

/// The agent's settings but for the controller's address.
fn wanted(args: &AgentArgs, globals: &Globals, settings: &Settings) -> Result<agent::Settings, Failure> {
    let mut wanted = local(globals, settings)?;
    let flag = |value: Option<String>, name| value.map(|value| Found::new(value, Origin::Flag(name)));
    let authority = flag(args.controller_fingerprint.clone(), "--controller-fingerprint")
        .or_else(|| settings.find(table::AGENT_CONTROLLER_FINGERPRINT));
    wanted.authority = authority.map(|found| found.read(str::parse)).transpose()?;
    let file = args
        .enrolment_token_file
        .as_ref()
        .map(|file| file.display().to_string());
    wanted.token = token(flag(file, "--enrolment-token-file").as_ref(), settings)?;
    let mut labels = settings.labels()?;
    labels.extend(args.labels.iter().cloned());
    wanted.labels = Labels::from_iter(labels);
    Ok(wanted)
}

/// Settings that hold for any agent of this host, whichever controller it dials.
pub(crate) fn local(globals: &Globals, settings: &Settings) -> Result<agent::Settings, Failure> {
    let mut wanted = agent::Settings::new(String::new());
    wanted.state = paths::data(globals.data.as_ref(), settings, table::AGENT_DATA).join("agent");
    wanted.hostname = settings
        .find(table::AGENT_HOSTNAME)
        .map(|found| found.text().to_owned());
    take(
        &mut wanted.container,
        settings.find(table::AGENT_CONTAINER),
        |text| match text {
            "auto" => Ok(Container::Auto),
            "host" => Ok(Container::Host),
            "container" => Ok(Container::Container),
            _ => Err("write auto, host or container"),
        },
    )?;
    take(
        &mut wanted.service,
        settings.find(table::AGENT_SERVICE),
        |text| match text {
            "auto" => Ok(Service::Auto),
            "chrony" => Ok(Service::Chrony),
            "timeballd" => Ok(Service::Timeballd),
            "ntpd" => Ok(Service::Ntpd),
            "openntpd" => Ok(Service::Openntpd),
            "timesyncd" => Ok(Service::Timesyncd),
            _ => Err("write auto, chrony, timeballd, ntpd, openntpd or timesyncd"),
        },
    )?;
    read_service(&mut wanted.chrony, &CHRONY, settings)?;
    read_service(&mut wanted.timeballd, &TIMEBALLD, settings)?;
    read_other(&mut wanted.ntpd, &NTPD, settings)?;
    read_other(&mut wanted.openntpd, &OPENNTPD, settings)?;
    read_other(&mut wanted.timesyncd, &TIMESYNCD, settings)?;
    Ok(wanted)
}

/// The settings of one time service.
struct Keys {
    config: &'static str,
    socket: &'static str,
    udp: &'static str,
    apply: &'static str,
    restart: &'static str,
    reload_timeout: &'static str,
}

const CHRONY: Keys = Keys {
    config: table::CHRONY_CONFIG,
    socket: table::CHRONY_SOCKET,
    udp: table::CHRONY_UDP,
    apply: table::CHRONY_APPLY,
    restart: table::CHRONY_RESTART,
    reload_timeout: table::CHRONY_RELOAD_TIMEOUT,
};

const TIMEBALLD: Keys = Keys {
    config: table::TIMEBALLD_CONFIG,
    socket: table::TIMEBALLD_SOCKET,
    udp: table::TIMEBALLD_UDP,
    apply: table::TIMEBALLD_APPLY,
    restart: table::TIMEBALLD_RESTART,
    reload_timeout: table::TIMEBALLD_RELOAD_TIMEOUT,
};

/// The settings of a time service that has no more of them.
struct OtherKeys {
    config: &'static str,
    restart: &'static str,
    reload_timeout: &'static str,
}

const NTPD: OtherKeys = OtherKeys {
    config: table::NTPD_CONFIG,
    restart: table::NTPD_RESTART,
    reload_timeout: table::NTPD_RELOAD_TIMEOUT,
};

const OPENNTPD: OtherKeys = OtherKeys {
    config: table::OPENNTPD_CONFIG,
    restart: table::OPENNTPD_RESTART,
    reload_timeout: table::OPENNTPD_RELOAD_TIMEOUT,
};

const TIMESYNCD: OtherKeys = OtherKeys {
    config: table::TIMESYNCD_CONFIG,
    restart: table::TIMESYNCD_RESTART,
    reload_timeout: table::TIMESYNCD_RELOAD_TIMEOUT,
};

/// Takes over what is said about a time service that has no socket and one place for managed servers.
fn read_other(service: &mut TimeService, keys: &OtherKeys, settings: &Settings) -> Result<(), Failure> {
    service.config = settings.find(keys.config).map(|found| found.path());
    service.restart_command = settings.list(keys.restart);
    take(
        &mut service.reload_timeout,
        settings.find(keys.reload_timeout),
        duration,
    )
}

/// Takes over what is said about a time service.
fn read_service(service: &mut TimeService, keys: &Keys, settings: &Settings) -> Result<(), Failure> {
    service.config = settings.find(keys.config).map(|found| found.path());
    service.socket = settings.find(keys.socket).map(|found| found.path());
    service.udp = settings
        .find(keys.udp)
        .map(|found| {
            found.read(|text| {
                text.parse()
                    .map_err(|_| "write an address and a port, such as 127.0.0.1:323")
            })
        })
        .transpose()?;
    service.restart_command = settings.list(keys.restart);
    take(
        &mut service.reload_timeout,
        settings.find(keys.reload_timeout),
        duration,
    )?;
    take(&mut service.apply, settings.find(keys.apply), |text| match text {
        "auto" => Ok(Apply::Auto),
        "sourcedir" => Ok(Apply::Sourcedir),
        "confdir" => Ok(Apply::Confdir),
        _ => Err("write auto, sourcedir or confdir"),
    })
}

/// The enrolment token, from the flag's file, the environment or the settings.
fn token(flag: Option<&Found>, settings: &Settings) -> Result<Option<EnrolmentToken>, Failure> {
    let from_file = |file: &Found| {
        let text = fs::read_to_string(file.path())
            .map_err(|error| file.refuse(&format!("{error}; name a file with an enrolment token")))?;
        text.parse()
            .map(Some)
            .map_err(|error: link::TokenError| file.refuse(&error.to_string()))
    };
    if let Some(file) = flag {
        return from_file(file);
    }
    match (
        settings.find(table::AGENT_TOKEN),
        settings.find(table::AGENT_TOKEN_FILE),
    ) {
        (Some(itself), _) => itself
            .text()
            .parse()
            .map(Some)
            .map_err(|error: link::TokenError| Failure::new(format!("{}: {error}", itself.origin()))),
        // A host that is in already needs no token, and a spent one is best deleted.
        (None, Some(file)) if !file.path().exists() => {
            tracing::warn!(file = %file.path().display(), "there is no enrolment token; a new host waits to be accepted");
            Ok(None)
        }
        (None, Some(file)) => from_file(&file),
        (None, None) => Ok(None),
    }
}
