//! `timeball up`: controller, web page and this machine's agent in one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::AgentError;
use clap::Args;
use controller::Running;
use controller::settings::Listen;
use link::key::Fingerprint;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::paths;
use crate::print::screen::Screen;
use crate::settings::{Settings, table};
use crate::start::agent::local;
use crate::start::claim::claim;
use crate::start::controller::{address, not_started, wanted};
use crate::start::log::{self, LogArgs};
use crate::start::observer::{self, Clock};
use crate::start::signals::Stop;

/// Arguments of `timeball up`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "It needs no set-up and no root. As somebody else than root it reads the time \
                             service of this machine and cannot change it. Where none runs, it starts timeballd -x, \
                             which observes the clock and never sets it. A second `up` on the same data \
                             goes on where the first stopped.\n\nExample:\n  timeball up --data /tmp/trial"
)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    log: LogArgs,
}

/// How long this machine's agent may take to join before the operator is told that it has not.
const JOIN_WAIT: Duration = Duration::from_secs(5);

/// How long an orderly stop may take in all.
const STOP_WAIT: Duration = Duration::from_millis(4_500);

/// Runs both until told to stop.
pub(crate) fn run(args: &UpArgs, globals: &Globals, settings: &Settings) -> Ending {
    log::start(&args.log, settings)?;
    let data = paths::data(globals.data.as_ref(), settings, table::CONTROLLER_DATA);
    let mut wanted = wanted(data.clone(), settings)?;
    let asked: SocketAddr = address(settings, table::API_LISTEN, None, ([127, 0, 0, 1], 8080).into())?;
    wanted.api = Listen::From(asked);
    let agent = local(globals, settings)?;
    let labels = settings.labels()?;
    super::run(async {
        let _claim = claim(&data)?;
        let mut stop = Stop::listen()?;
        let running = controller::start(wanted)
            .await
            .map_err(|error| not_started(&error))?;
        let mut agent = agent;
        agent.labels = model::Labels::from_iter(labels);
        agent.state = data.join("agent");
        let (stopping, stopped) = watch::channel(false);
        let clock = observer::begin(&mut agent, &data, stopped.clone()).await;
        let mut agent = start_agent(agent, &running, stopped).await?;
        let joined = tokio::select! {
            joined = agent.joined(&running) => Some(joined),
            () = stop.asked() => None,
        };
        if let Some(joined) = joined {
            Screen::of_stdout().write(&welcome(
                &running,
                asked,
                &data,
                globals.data.is_some(),
                &clock,
                joined.err().as_deref(),
            ))?;
            stop.asked().await;
        }
        tracing::info!("stopping");
        let _ = stopping.send(true);
        let all = async { tokio::join!(agent.ended(), running.stop(), clock.ended()) };
        if timeout(STOP_WAIT, all).await.is_err() {
            tracing::warn!("not everything ended in time; what was under way is put right at the next start");
        }
        Ok(Verdict::Done)
    })
}

/// This machine's agent, while it runs.
struct OwnAgent {
    /// Of its key; none when its state cannot be used, and then it does not run.
    fingerprint: Option<Fingerprint>,
    task: JoinHandle<Result<(), AgentError>>,
}

impl OwnAgent {
    /// Waits for a moment until this machine is in the fleet, so that whoever types at once what is printed meets it
    /// there.
    ///
    /// # Errors
    /// Why it is not, as far as that is known.
    async fn joined(&mut self, running: &Running) -> Result<(), String> {
        let hosts = running.controller().hosts();
        let mut changes = hosts.changes();
        let fingerprint = self.fingerprint;
        let joined = changes.wait_for(|_| fingerprint.is_some_and(|own| hosts.is_connected(&own)));
        tokio::select! {
            Ok(_) = joined => Ok(()),
            ended = &mut self.task => Err(match ended {
                Ok(Ok(())) => "its agent has stopped".to_owned(),
                Ok(Err(error)) => format!("its agent does not run: {error}"),
                Err(error) => format!("its agent broke: {error}"),
            }),
            () = sleep(JOIN_WAIT) => Err(format!(
                "not after {} s; its agent goes on trying, and the log says what keeps it",
                JOIN_WAIT.as_secs()
            )),
        }
    }

    /// Waits until it has ended.
    async fn ended(self) {
        // What it ended with has been told then.
        if !self.task.is_finished() {
            let _ = self.task.await;
        }
    }
}

/// Starts this machine's agent. When it cannot run the controller still can, and says why.
async fn start_agent(
    mut settings: agent::Settings,
    running: &Running,
    mut stopped: watch::Receiver<bool>,
) -> Result<OwnAgent, Failure> {
    let token = running
        .local_enrolment_token()
        .await
        .map_err(|error| Failure::new(format!("this machine cannot be enrolled: {error}")))?;
    settings.controller = running.link.to_string();
    settings.token = token.parse().ok();
    let fingerprint = agent::fingerprint(&settings).ok();
    let task = tokio::spawn(async move {
        let shutdown = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let ended = agent::run(settings, shutdown).await;
        if let Err(error) = &ended {
            tracing::error!("this machine's agent does not run: {error}");
        }
        ended
    });
    Ok(OwnAgent { fingerprint, task })
}
/// What the operator reads first.
fn welcome(
    running: &Running,
    asked: SocketAddr,
    data: &Path,
    data_named: bool,
    clock: &Clock,
    not_joined: Option<&str>,
) -> String {
    let mut program = program();
    if data_named {
        program.push_str(&format!(" --data {}", data.display()));
    }
    let taken = if running.api.port() == asked.port() {
        String::new()
    } else {
        format!("   (port {} is taken)", asked.port())
    };
    let change = if paths::is_root() {
        format!("{program} client node ntp create --target _all --servers pool.ntp.org+pool")
    } else {
        format!("{program} client job list")
    };
    format!(
        "\n  timeball {version} is up; Ctrl-C stops it.\n\n  \
         Web page     {url}{taken}\n  \
         Admin token  {token}\n  \
         Data         {data}\n{clock}{host}\n  \
         Try:\n    \
         {program} client node ntp get\n    \
         {program} client agent list\n    \
         {change}\n\n",
        version = env!("CARGO_PKG_VERSION"),
        url = running.url,
        token = running.admin_token.display(),
        data = data.display(),
        clock = clock
            .told()
            .map(|told| format!("  Clock        {told}\n"))
            .unwrap_or_default(),
        host = not_joined
            .map(|why| format!("  Host         this machine has not joined yet: {why}\n"))
            .unwrap_or_default(),
    )
}

/// How this program is called: by its bare name where that finds it, else as it was called this time.
fn program() -> String {
    let name = "timeball";
    let this = std::env::current_exe().ok();
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|file| file.is_file())
            .and_then(|file| file.canonicalize().ok())
    });
    if found.is_some() && found == this.as_deref().and_then(|this| this.canonicalize().ok()) {
        return name.to_owned();
    }
    std::env::args_os()
        .next()
        .map(PathBuf::from)
        .or(this)
        .map_or_else(|| name.to_owned(), |path| path.display().to_string())
}
