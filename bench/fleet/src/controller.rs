//! The real controller, as a process.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Fault;
use crate::api::Api;

/// How long it may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A controller that runs until it is dropped or stopped.
pub(crate) struct Controller {
    program: PathBuf,
    data: PathBuf,
    api: String,
    link: String,
    process: Child,
}

impl Controller {
    /// Starts `program` on a fresh directory, on free ports of the loopback interface.
    pub(crate) fn start(program: &Path, data: &Path) -> Result<Self, Fault> {
        fs::create_dir_all(data)?;
        let (api, link) = (free_port()?, free_port()?);
        let process = spawn(program, data, &api, &link)?;
        let mut controller = Controller {
            program: program.to_owned(),
            data: data.to_owned(),
            api,
            link,
            process,
        };
        controller.wait_until_ready()?;
        Ok(controller)
    }

    /// Where agents dial in.
    pub(crate) fn link(&self) -> &str {
        &self.link
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A client with the administrator's token.
    pub(crate) fn client(&self) -> Result<Api, Fault> {
        let file: serde_json::Value = serde_json::from_slice(&fs::read(self.data.join("client.json"))?)?;
        let token_file = file["token_file"]
            .as_str()
            .ok_or("no token_file in client.json")?;
        let token = fs::read_to_string(token_file)?.trim().to_owned();
        Ok(Api::new(format!("http://{}", self.api), token))
    }

    /// Stops the process as an administrator would and starts it again on the same directory and ports; gives
    /// how long it took to stop and to be ready again.
    pub(crate) fn restart(&mut self) -> Result<(Duration, Duration), Fault> {
        let begun = Instant::now();
        self.stop()?;
        let stopped = begun.elapsed();
        let begun = Instant::now();
        self.process = spawn(&self.program, &self.data, &self.api, &self.link)?;
        self.wait_until_ready()?;
        Ok((stopped, begun.elapsed()))
    }

    /// Stops the process and waits for its end.
    pub(crate) fn stop(&mut self) -> Result<(), Fault> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let begun = Instant::now();
        while self.process.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err("the controller does not stop".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// How many bytes its files take.
    pub(crate) fn stored_bytes(&self) -> Result<u64, Fault> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.data)? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }

    fn wait_until_ready(&mut self) -> Result<(), Fault> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                let log = fs::read_to_string(log_file(&self.data)).unwrap_or_default();
                return Err(format!("the controller ended ({status}): {log}").into());
            }
            let up = self
                .client()
                .and_then(|api| api.read::<serde_json::Value>("/api/health"));
            if up.is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the controller does not answer".into())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(program: &Path, data: &Path, api: &str, link: &str) -> Result<Child, Fault> {
    let log = File::options().create(true).append(true).open(log_file(data))?;
    Ok(Command::new(program)
        .arg("controller")
        .env("TIMEBALL_DATA", data)
        .env("TIMEBALL_CONTROLLER_API_LISTEN", api)
        .env("TIMEBALL_CONTROLLER_LINK_LISTEN", link)
        .env("TIMEBALL_CONTROLLER_HEARTBEAT", "10s")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?)
}

fn log_file(data: &Path) -> PathBuf {
    data.with_extension("log")
}

fn free_port() -> Result<String, Fault> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
