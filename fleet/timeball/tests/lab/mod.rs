//! The fleet laboratory: many machines on one, for tests of the real programs.
//!
//! Each machine has its own network, mounts, processes and host name, its own `/etc`, `/var`
//! and `/run`, and a real chronyd, or timeballd where asked for, started with `-x`. None of them may set the clock, whatever
//! it is told. A hub joins them by a bridge and holds three real time servers; a test puts the
//! controller there. No packet and no file leaves the laboratory.
//!
//! ```no_run
//! let lab = Lab::new(Spec::fleet("web", 22));
//! let web = lab.host("web-01");
//! eventually(SYNC, "web-01 follows an upstream", || web.synchronised());
//! web.write("/etc/chrony/sources.d/site.sources", "server ntp2.lab iburst\n");
//! web.chronyc(&["reload", "sources"]);
//! ```
//!
//! [`Lab`] builds and ends it, [`Spec`] says what is in it, [`Host`] is one machine
//! (host.rs: commands and files; chrony.rs: its chronyd; faults.rs: what goes wrong),
//! [`Upstream`] one time server, [`Process`] one command that stays. Names that every machine
//! resolves: `ntp1.lab` to `ntp3.lab`, `pool.lab` (all three), `controller.lab` (the hub),
//! `<host>.lab`. Every other name fails at once.

// Each test uses a part of the laboratory, and `pub` marks what is for tests.
#![allow(dead_code, unreachable_pub, unused_imports)]
// A laboratory that cannot do what it was asked is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chrony;
mod faults;
mod holder;
mod host;
mod process;
mod spec;
mod upstream;
mod wait;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{self as own, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

pub use chrony::{Source, Tracking};
pub use host::Host;
pub use process::{Output, Process};
pub use spec::{Chronyd, DEFAULT_SOURCES, HostSpec, Keeper, Spec, System};
pub use upstream::{UPSTREAMS, Upstream};
pub use wait::{eventually, within};

use holder::Powers;
use host::Bench;

/// Where the controller listens: the hub.
pub const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 213, 255, 254);

/// Long enough for chronyd to choose a source on a busy machine (on an idle one it takes 2 s).
pub const SYNC: Duration = Duration::from_secs(60);

/// The name of a laboratory's directory: this, the test's process id, and a dash.
const DIRECTORY: &str = "timeball-lab-";

/// Lines of each command's log that a failed test shows.
const TAIL: usize = 60;

/// Lines of each chronyd's log that a failed test shows.
const DAEMON_TAIL: usize = 3;

/// A running laboratory; everything in it ends when it is dropped, or when the test dies.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    hub: Host,
    bench: Arc<Bench>,
    dir: TempDir,
}

impl Lab {
    /// Builds all machines; returns once each has its address and its chronyd answers.
    pub fn new(spec: Spec) -> Self {
        Self::build(spec).unwrap_or_else(|reason| panic!("no laboratory: {reason}"))
    }

    /// The machine of this name.
    #[track_caller]
    pub fn host(&self, name: &str) -> &Host {
        self.hosts
            .iter()
            .find(|host| host.name() == name)
            .unwrap_or_else(|| panic!("no host {name}"))
    }

    /// All machines but the hub, in the order of the spec.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The machine in the middle: the controller's, at [`CONTROLLER`].
    pub fn hub(&self) -> &Host {
        &self.hub
    }

    /// Runs a command in the hub.
    pub fn hub_run(&self, args: &[&str]) -> Output {
        self.hub.run(args)
    }

    /// Starts a command that stays, in the hub.
    pub fn hub_spawn(&self, args: &[&str]) -> Process {
        self.hub.spawn(args)
    }

    /// The time server `ntp<number>.lab`, from 1.
    pub fn upstream(&self, number: u8) -> Upstream<'_> {
        Upstream::new(&self.hub, number)
    }

    /// A directory that the test and all machines see under the same path.
    pub fn shared(&self) -> &Path {
        self.dir.path()
    }

    /// The last lines of everything that was logged, the commands' logs last; a test that
    /// panics shows them.
    pub fn logs(&self) -> String {
        let entries = fs::read_dir(self.dir.path().join("logs"))
            .into_iter()
            .flatten()
            .flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        let lines_of = |path: &Path| {
            let name = path.file_stem().unwrap().to_string_lossy();
            if name.ends_with("chronyd") || name.contains(".ntp") {
                DAEMON_TAIL
            } else {
                TAIL
            }
        };
        paths.sort_by_key(|path| (lines_of(path), path.clone()));
        let mut text = String::new();
        for path in paths {
            let log = fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let hidden = lines.len().saturating_sub(lines_of(&path));
            if !lines.is_empty() {
                let _ = writeln!(
                    text,
                    "--- {} ({hidden} earlier lines)",
                    path.file_name().unwrap().display()
                );
            }
            lines[hidden..].iter().for_each(|line| text.extend([line, "\n"]));
        }
        text
    }

    fn build(spec: Spec) -> Result<Self, String> {
        let powers = Powers::find();
        sweep(&std::env::temp_dir());
        let dir = tempfile::Builder::new()
            .prefix(&format!("{DIRECTORY}{}-", own::id()))
            .tempdir();
        let dir = dir.map_err(|e| e.to_string())?;
        furnish(dir.path()).map_err(|e| format!("{}: {e}", dir.path().display()))?;
        let bench = Arc::new(Bench::new(dir.path().to_owned(), powers));
        let common = common_files(&spec.hosts);

        let hub_spec = HostSpec::new("hub").no_sources().chronyd(Chronyd::Stopped);
        let mut hub = Host::build(&bench, None, hub_spec, CONTROLLER, &common)?;
        let mut bridge = "link add lab0 type bridge\nlink set lab0 up\n".to_owned();
        for address in (1..=UPSTREAMS).map(Upstream::address_of).chain([CONTROLLER]) {
            let _ = writeln!(bridge, "addr add {address}/16 dev lab0");
        }
        ip_batch(&hub, &bridge)?;
        hub.boot()?;
        (1..=UPSTREAMS).for_each(|number| Upstream::new(&hub, number).start());

        let specs = (0..).map(address).zip(spec.hosts);
        let mut hosts = at_once(specs, |(address, spec)| {
            Host::build(&bench, Some(&hub), spec, address, &common)
        })?;
        let cables = hosts
            .iter()
            .enumerate()
            .fold(String::new(), |mut text, (n, host)| {
                let _ = writeln!(
                    text,
                    "link add host{n} type veth peer name eth0 netns {}",
                    host.anchor()
                );
                let _ = writeln!(text, "link set host{n} master lab0 up");
                text
            });
        ip_batch(&hub, &cables)?;
        at_once(hosts.iter_mut(), Host::boot)?;
        Ok(Self {
            hosts,
            hub,
            bench,
            dir,
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
        // The commands first: a machine does not end before all its processes are reaped.
        let processes = self
            .bench
            .processes
            .lock()
            .map(|list| list.clone())
            .unwrap_or_default();
        processes.iter().for_each(Process::destroy);
        self.hosts
            .iter_mut()
            .chain([&mut self.hub])
            .for_each(|host| host.holder.release());
    }
}

/// Removes the directories of laboratories whose test is dead. There is nothing else to
/// remove: their processes, mounts and networks ended with the test.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(DIRECTORY)?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Puts the scripts that the machines run into the laboratory's directory.
fn furnish(dir: &Path) -> std::io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    fs::create_dir(dir.join("logs"))?;
    fs::write(dir.join("host.sh"), include_str!("host.sh"))?;
    fs::write(dir.join("systemctl"), include_str!("systemctl.sh"))?;
    fs::set_permissions(dir.join("systemctl"), fs::Permissions::from_mode(0o755))
}

/// The files that are the same on every machine.
fn common_files(specs: &[HostSpec]) -> Vec<(String, String)> {
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for number in 1..=UPSTREAMS {
        let _ = writeln!(hosts, "{} ntp{number}.lab pool.lab", Upstream::address_of(number));
    }
    let _ = writeln!(hosts, "{CONTROLLER} controller.lab hub.lab hub");
    for (address, host) in (0..).map(address).zip(specs) {
        let _ = writeln!(hosts, "{address} {0}.lab {0}", host.name);
    }
    let nsswitch = "passwd: files\ngroup: files\nshadow: files\nhosts: files\n";
    [
        ("/etc/hosts", hosts.as_str()),
        ("/etc/nsswitch.conf", nsswitch),
        ("/etc/host.conf", "multi on\n"),
        ("/etc/resolv.conf", ""),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .to_vec()
}

/// The address of the `n`-th machine, from 10.213.0.1.
fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, 0, n.checked_add(1).expect("no more than 255 machines"))
}

fn ip_batch(hub: &Host, lines: &str) -> Result<(), String> {
    let mut ip = hub.holder.ip();
    ip.args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = ip.spawn().map_err(|e| format!("ip: {e}"))?;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .map_err(|e| format!("ip: {e}"))?;
    let output = child.wait_with_output().map_err(|e| format!("ip: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Does the same for all items in parallel; the first failure is the result.
fn at_once<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        results.into_iter().collect()
    })
}
