//! One machine of the laboratory, as a test sees it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::holder::{Holder, PATH, Powers};
use super::process::{Output, Process};
use super::spec::{Chronyd, HostSpec, Keeper, System};

/// A command that takes longer than this is stopped and exits with 137.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// What every machine of one laboratory shares.
#[derive(Debug)]
pub(super) struct Bench {
    /// Everything the laboratory writes outside of its machines.
    pub(super) dir: PathBuf,
    pub(super) powers: Powers,
    pub(super) processes: Mutex<Vec<Process>>,
    serial: AtomicUsize,
}

impl Bench {
    pub(super) fn new(dir: PathBuf, powers: Powers) -> Self {
        Self {
            dir,
            powers,
            processes: Mutex::default(),
            serial: AtomicUsize::new(1),
        }
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    fn serial(&self) -> usize {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

/// One machine: its own network, mounts, processes and name.
#[derive(Debug)]
pub struct Host {
    spec: HostSpec,
    address: Ipv4Addr,
    pub(super) holder: Holder,
    bench: Arc<Bench>,
}

impl Host {
    /// Creates the namespaces and private files of a machine, all but its cable.
    pub(super) fn build(
        bench: &Arc<Bench>,
        hub: Option<&Self>,
        spec: HostSpec,
        address: Ipv4Addr,
        common: &[(String, String)],
    ) -> Result<Self, String> {
        let dir = bench.dir.join("machines").join(&spec.name);
        let files = dir.join("files");
        let disk = dir.join("disk");
        fs::create_dir_all(&disk).map_err(|e| format!("{}: {e}", disk.display()))?;
        let own = [
            ("/etc/hostname".to_owned(), format!("{}\n", spec.name)),
            ("/etc/machine-id".to_owned(), format!("{}\n", machine_id())),
        ];
        for (path, text) in common
            .iter()
            .chain(&own)
            .chain(&spec.own_files())
            .chain(&spec.files)
        {
            let path = files.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap())
                .and_then(|()| fs::write(&path, text))
                .map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let powers = bench.powers;
        let log = bench.log(&format!("{}.chronyd", spec.name));
        let systemctl = bench.dir.join("systemctl");
        let address_text = if hub.is_some() {
            address.to_string()
        } else {
            String::new()
        };
        let program = spec.keeper.program();
        let settings: [(&str, &OsStr); 15] = [
            ("LAB_NAME", spec.name.as_ref()),
            ("LAB_DISK", disk.as_ref()),
            ("LAB_FILES", files.as_ref()),
            ("LAB_ADDRESS", address_text.as_ref()),
            (
                "LAB_LAYERS",
                if powers.one_user { "copy" } else { "overlay" }.as_ref(),
            ),
            (
                "LAB_USER",
                if powers.one_user { "root" } else { "_chrony" }.as_ref(),
            ),
            ("LAB_CONF", spec.keeper.conf(spec.system).as_ref()),
            ("LAB_UNIT", spec.keeper.unit(spec.system).as_ref()),
            ("LAB_PROGRAM", program.as_ref()),
            ("LAB_RUN", spec.keeper.run_dir().as_ref()),
            ("LAB_SOCKET", spec.keeper.socket().as_ref()),
            ("LAB_PID", spec.keeper.pid_file().as_ref()),
            ("LAB_LOG", log.as_ref()),
            (
                "LAB_CHRONYD",
                match spec.chronyd {
                    Chronyd::Running => "running",
                    Chronyd::Stopped => "stopped",
                    Chronyd::Absent => "absent",
                }
                .as_ref(),
            ),
            ("LAB_SYSTEMCTL", systemctl.as_ref()),
        ];
        let setup = bench.log(&format!("{}.setup", spec.name));
        let script = bench.dir.join("host.sh");
        let holder = Holder::start(powers, hub.map(|hub| &hub.holder), &script, settings, &setup)
            .map_err(|e| format!("{}: {e}", spec.name))?;
        Ok(Self {
            spec,
            address,
            holder,
            bench: Arc::clone(bench),
        })
    }

    /// Tells the machine that its cable is there; returns once its chronyd answers.
    pub(super) fn boot(&mut self) -> Result<(), String> {
        let log = self.bench.log(&format!("{}.setup", self.name()));
        self.holder
            .plugged_in(&log)
            .map_err(|e| format!("{}: {e}", self.name()))
    }

    /// Its name, also its host name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its address on the laboratory's network.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The system it pretends to be.
    pub fn system(&self) -> System {
        self.spec.system
    }

    /// The daemon that keeps its clock.
    pub fn keeper(&self) -> Keeper {
        self.spec.keeper
    }

    /// Its first process, as seen from the test: the key to its namespaces under `/proc`.
    pub fn anchor(&self) -> u32 {
        self.holder.pid()
    }

    /// Runs a command as the machine's root and waits for its end, at most a minute.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, &[], "")
    }

    /// As [`Host::run`], with environment variables and standard input.
    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)], input: &str) -> Output {
        let mut command = self.enter(env);
        command
            .args(["timeout", "--signal=KILL", &RUN_LIMIT.as_secs().to_string()])
            .args(args);
        if input.is_empty() {
            command.stdin(Stdio::null());
        } else {
            let path = self.bench.dir.join(format!("input-{}", self.bench.serial()));
            fs::File::create(&path)
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            command.stdin(fs::File::open(&path).unwrap());
            fs::remove_file(&path).unwrap();
        }
        Output::collect(format!("{}: {}", self.name(), args.join(" ")), &mut command)
    }

    /// Runs a shell script.
    pub fn sh(&self, script: &str) -> Output {
        self.run(&["sh", "-c", script])
    }

    /// Starts a command that stays. Its output is a file of the laboratory's logs.
    pub fn spawn(&self, args: &[&str]) -> Process {
        self.spawn_with(args, &[])
    }

    /// As [`Host::spawn`], with environment variables.
    pub fn spawn_with(&self, args: &[&str], env: &[(&str, &str)]) -> Process {
        let program = Path::new(args[0]).file_name().unwrap().to_string_lossy();
        let name = format!("{}.{program}-{}", self.name(), self.bench.serial());
        let pidfile = self.bench.dir.join(format!("{name}.pid"));
        let title = format!("{}: {program} {}", self.name(), args[1..].join(" "));
        let process = Process::start(title, self.enter(env), args, self.bench.log(&name), &pidfile);
        self.bench.processes.lock().unwrap().push(process.clone());
        process
    }

    /// Writes a file, creating its directories.
    pub fn write(&self, path: &str, text: &str) {
        let directory = Path::new(path).parent().unwrap().to_str().unwrap();
        let script = "mkdir -p \"$0\" && cat >\"$1\"";
        self.run_with(&["sh", "-c", script, directory, path], &[], text)
            .ok();
    }

    /// Reads a file that must be there.
    pub fn read(&self, path: &str) -> String {
        self.run(&["cat", path]).ok()
    }

    /// Whether a file or directory is there.
    pub fn exists(&self, path: &str) -> bool {
        self.run(&["test", "-e", path]).success()
    }

    /// The names in a directory, sorted; none if it is not there.
    pub fn list(&self, directory: &str) -> Vec<String> {
        self.run(&["ls", "-A", directory])
            .stdout
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Sends a signal (`TERM`, `KILL`, `HUP`, …) to a process of this machine.
    pub fn kill(&self, pid: u32, signal: &str) {
        self.sh(&format!("kill -{signal} {pid}")).ok();
    }

    /// A command inside of the machine with a small, fixed environment.
    fn enter(&self, env: &[(&str, &str)]) -> Command {
        let mut command = self.holder.command();
        command.env_clear();
        command
            .env("PATH", PATH)
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8");
        for name in ["RUST_BACKTRACE", "RUST_LOG", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(env.iter().copied());
        command
    }
}

/// 32 hexadecimal digits that no other machine has.
fn machine_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/uuid")
        .unwrap()
        .trim()
        .replace('-', "")
}
