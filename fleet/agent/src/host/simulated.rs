//! A machine that exists in memory only, with a chronyd that reads its files and answers the real protocol.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conf::chrony::{Via, scan};
use wire::candm::{
    Address, Header, Leap, ReferenceId, Reply, Request, RequestError, SourceData, SourceMode, SourceName,
    SourceState, Status, Timespec, Tracking,
};

use super::{Access, Claim, CommandOutput, Control, ControlAddress, FileKind, Host};

/// A machine in memory: Debian 12 with chrony as its packages set it up. It is cheap enough for thousands in
/// one process. Clones are the same machine.
#[derive(Clone, Debug)]
pub struct SimulatedHost {
    machine: Arc<Mutex<Machine>>,
}

/// What a simulated machine consists of.
#[derive(Debug)]
struct Machine {
    files: BTreeMap<PathBuf, Vec<u8>>,
    directories: BTreeSet<PathBuf>,
    chrony: SimulatedChrony,
    now: Duration,
    root: bool,
    claimed: bool,
}

/// A chronyd in memory: it has the sources its files name, and is synchronised to the first of them.
#[derive(Clone, Debug, Default)]
pub struct SimulatedChrony {
    /// Whether it runs.
    pub running: bool,
    /// The sockets at which it answers, chronyd's own at first. With that of another daemon it stands for that one,
    /// too.
    pub sockets: BTreeSet<PathBuf>,
    /// Names of its sources, in order, each with whether it comes from a `sourcedir`.
    pub sources: Vec<(String, bool)>,
    /// Names it does not take, as a real one does not take a line it cannot read.
    pub refused: BTreeSet<String>,
    /// What it answers to the next requests to reload; success when there is nothing more.
    pub reload_answers: VecDeque<Status>,
    /// How many bytes of each answer arrive; all when absent.
    pub answer_bytes: Option<usize>,
    /// How long it takes for each answer.
    pub answer_time: Duration,
    /// How often it has reloaded its sources.
    pub reloads: u32,
    /// How often it was restarted.
    pub restarts: u32,
    /// How many of the next restarts fail and leave it stopped.
    pub failing_restarts: u32,
}

/// chronyd's configuration on the simulated machine, and its socket.
const CONFIG: &str = "/etc/chrony/chrony.conf";
const SOCKET: &str = "/run/chrony/chronyd.sock";

impl SimulatedHost {
    /// Makes a machine with this id (32 hex digits) and name; chronyd runs with Debian's configuration.
    pub fn new(machine_id: &str, hostname: &str) -> Self {
        let mut machine = Machine {
            files: BTreeMap::new(),
            directories: BTreeSet::from([PathBuf::from("/")]),
            chrony: SimulatedChrony {
                running: true,
                sockets: BTreeSet::from([PathBuf::from(SOCKET)]),
                ..SimulatedChrony::default()
            },
            now: Duration::from_secs(3600),
            root: true,
            claimed: false,
        };
        for (path, content) in [
            ("/etc/machine-id", format!("{machine_id}\n")),
            ("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n".to_owned()),
            ("/proc/sys/kernel/hostname", format!("{hostname}\n")),
            (
                CONFIG,
                "confdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n\
                 sourcedir /etc/chrony/sources.d\n"
                    .to_owned(),
            ),
        ] {
            machine.write(Path::new(path), content.into_bytes());
        }
        for directory in [
            "/etc/chrony/sources.d",
            "/etc/chrony/conf.d",
            "/run/systemd/system",
        ] {
            machine.make_directory(Path::new(directory));
        }
        machine.load(true);
        SimulatedHost {
            machine: Arc::new(Mutex::new(machine)),
        }
    }

    /// Looks at chronyd and changes it.
    pub fn with_chrony<R>(&self, look: impl FnOnce(&mut SimulatedChrony) -> R) -> R {
        look(&mut self.lock().chrony)
    }

    /// Restarts chronyd, as an administrator or a reboot would.
    pub fn restart_chrony(&self) {
        let mut machine = self.lock();
        machine.chrony.running = true;
        machine.load(true);
    }

    /// Puts a file in place, as an administrator would.
    pub fn write(&self, path: impl AsRef<Path>, content: &str) {
        self.lock().write(path.as_ref(), content.as_bytes().to_vec());
    }

    /// The text of a file.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let machine = self.lock();
        let content = machine.files.get(path.as_ref())?;
        Some(String::from_utf8_lossy(content).into_owned())
    }

    /// Takes a file away, as an administrator would.
    pub fn delete(&self, path: impl AsRef<Path>) {
        self.lock().files.remove(path.as_ref());
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().files.keys().cloned().collect()
    }

    /// Says whether the agent runs as root, which it does at first.
    pub fn set_root(&self, root: bool) {
        self.lock().root = root;
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    fn write(&mut self, path: &Path, content: Vec<u8>) {
        if let Some(directory) = path.parent() {
            self.make_directory(directory);
        }
        self.files.insert(path.to_owned(), content);
    }

    fn make_directory(&mut self, path: &Path) {
        for directory in path.ancestors() {
            self.directories.insert(directory.to_owned());
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        if !self.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names: BTreeSet<String> = self
            .files
            .keys()
            .chain(&self.directories)
            .filter(|path| path.parent() == Some(directory))
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect();
        Ok(names.into_iter().collect())
    }

    /// Reads chronyd's files: all of them, or those of its source directories.
    fn load(&mut self, all: bool) {
        let (conf, _) = scan(CONFIG, self);
        let named = |from_directory: bool| {
            conf.sources
                .iter()
                .filter(move |found| (found.origin.via == Via::SourceDir) == from_directory)
                .map(move |found| (found.source.name().to_string(), from_directory))
        };
        let mut sources = Vec::new();
        if all {
            sources.extend(named(false));
        } else {
            sources.extend(
                self.chrony
                    .sources
                    .iter()
                    .filter(|(_, reloaded)| !reloaded)
                    .cloned(),
            );
        }
        sources.extend(named(true));
        sources.retain(|(name, _)| !self.chrony.refused.contains(name));
        self.chrony.sources = sources;
    }

    /// chronyd's answer to a request.
    fn answer(&mut self, header: &Header, request: &Request) -> Vec<u8> {
        let chrony = &mut self.chrony;
        let source = |index: u32| {
            let index = usize::try_from(index).ok()?;
            chrony.sources.get(index).map(|(name, _)| (index, name))
        };
        let reply = match request {
            Request::Tracking => Reply::Tracking(tracking(chrony)),
            Request::NSources => Reply::NSources(u32::try_from(chrony.sources.len()).unwrap_or(u32::MAX)),
            Request::SourceData(index) => match source(*index) {
                Some((index, _)) => Reply::SourceData(source_data(index)),
                None => return Status::NoSuchSource.encode(header),
            },
            Request::NtpSourceName(address) => {
                let index = (0..chrony.sources.len()).find(|index| address_of(*index) == *address);
                let name = index
                    .and_then(|index| chrony.sources.get(index))
                    .and_then(|(name, _)| SourceName::new(name.clone()).ok());
                match name {
                    Some(name) => Reply::NtpSourceName(name),
                    None => return Status::NoSuchSource.encode(header),
                }
            }
            Request::ReloadSources => {
                let status = chrony.reload_answers.pop_front().unwrap_or(Status::Success);
                if status == Status::Success {
                    chrony.reloads += 1;
                    self.load(false);
                }
                return status.encode(header);
            }
            _ => return Status::Invalid.encode(header),
        };
        reply.encode(header)
    }
}

fn address_of(index: usize) -> Address {
    let low = u32::try_from(index).unwrap_or(u32::MAX) & 0xff_ffff;
    Address::V4(Ipv4Addr::from_bits(0x0a00_0001 + low))
}

fn tracking(chrony: &SimulatedChrony) -> Tracking {
    let synchronised = !chrony.sources.is_empty();
    let when = |value: f64, otherwise: f64| if synchronised { value } else { otherwise };
    Tracking {
        reference_id: if synchronised {
            ReferenceId(0x0a00_0001)
        } else {
            ReferenceId::UNSYNCHRONISED
        },
        address: if synchronised {
            address_of(0)
        } else {
            Address::Unspecified
        },
        stratum: if synchronised { 3 } else { 0 },
        leap: if synchronised {
            Leap::Normal
        } else {
            Leap::NotSynchronised
        },
        reference_time: Timespec::default(),
        current_correction_s: when(1e-6, 0.0),
        last_offset_s: when(2e-6, 0.0),
        rms_offset_s: when(3e-6, 0.0),
        frequency_ppm: -12.5,
        residual_frequency_ppm: 0.0,
        skew_ppm: when(0.05, 0.0),
        root_delay_s: when(0.001, 1.0),
        root_dispersion_s: when(0.0005, 1.0),
        last_update_interval_s: 64.0,
    }
}

fn source_data(index: usize) -> SourceData {
    SourceData {
        address: address_of(index),
        poll_log2_s: 6,
        stratum: 2,
        state: if index == 0 {
            SourceState::Selected
        } else {
            SourceState::Combined
        },
        mode: SourceMode::Client,
        flags: 0,
        reachability: 255,
        since_sample_s: Some(11),
        measured_offset_s: 2e-6,
        adjusted_offset_s: 2e-6,
        offset_error_s: 0.001,
    }
}

/// The simulated chronyd reads the files of its own machine, which it holds already.
impl conf::include::Reader for Machine {
    fn read_file(&self, path: &str) -> Result<String, conf::include::ReadError> {
        let content = self.files.get(Path::new(path));
        content
            .map(|content| String::from_utf8_lossy(content).into_owned())
            .ok_or(conf::include::ReadError::NotFound)
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, conf::include::ReadError> {
        self.list(Path::new(path))
            .map_err(|_| conf::include::ReadError::NotFound)
    }
}

/// A connection to the simulated chronyd.
struct SimulatedControl {
    machine: Arc<Mutex<Machine>>,
    may_write: bool,
    answers: VecDeque<Vec<u8>>,
}

impl Control for SimulatedControl {
    fn send(&mut self, datagram: &[u8], _limit: Duration) -> io::Result<()> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        if !machine.chrony.running {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let answer = match Request::decode(datagram) {
            Ok((header, request)) if self.may_write || request.command().is_read_only() => {
                machine.answer(&header, &request)
            }
            Ok((header, _)) => Status::Unauthorised.encode(&header),
            Err(RequestError::Refused { header, reason }) => reason.status().encode(&header),
            Err(RequestError::NotARequest) => return Ok(()),
        };
        self.answers.push_back(answer);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let takes = machine.chrony.answer_time;
        machine.now += takes.min(limit);
        if takes > limit {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let answer = self.answers.pop_front().ok_or(io::ErrorKind::TimedOut)?;
        let sent = machine.chrony.answer_bytes.unwrap_or(usize::MAX);
        let length = answer.len().min(buffer.len()).min(sent);
        buffer
            .iter_mut()
            .zip(&answer)
            .for_each(|(byte, answered)| *byte = *answered);
        Ok(length)
    }
}

impl Host for SimulatedHost {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let machine = self.lock();
        let content = machine.files.get(path).cloned();
        content.ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.lock().list(directory)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        let machine = self.lock();
        if machine.files.contains_key(path) {
            Ok(FileKind::File)
        } else if machine.directories.contains(path) {
            Ok(FileKind::Directory)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn make_directory(&self, path: &Path, _access: Access) -> io::Result<()> {
        self.lock().make_directory(path);
        Ok(())
    }

    fn replace(&self, path: &Path, content: &[u8], _access: Access) -> io::Result<()> {
        let mut machine = self.lock();
        if !path
            .parent()
            .is_some_and(|directory| machine.directories.contains(directory))
        {
            return Err(io::ErrorKind::NotFound.into());
        }
        machine.files.insert(path.to_owned(), content.to_vec());
        Ok(())
    }

    fn append(&self, path: &Path, content: &[u8], _access: Access) -> io::Result<()> {
        let mut machine = self.lock();
        machine
            .files
            .entry(path.to_owned())
            .or_default()
            .extend_from_slice(content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.lock();
        machine
            .files
            .remove(path)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn sweep(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn claim(&self, _directory: &Path) -> io::Result<Claim> {
        struct Given(Arc<Mutex<Machine>>);
        impl Drop for Given {
            fn drop(&mut self) {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).claimed = false;
            }
        }
        let mut machine = self.lock();
        if std::mem::replace(&mut machine.claimed, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Given(Arc::clone(&self.machine))))
    }

    fn open_control(&self, address: &ControlAddress) -> io::Result<Box<dyn Control>> {
        let machine = self.lock();
        let may_write = matches!(address, ControlAddress::Socket(_));
        let listens = match address {
            ControlAddress::Socket(path) => machine.chrony.sockets.contains(path),
            ControlAddress::Udp(_) => true,
        };
        if !(machine.chrony.running && listens) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if may_write && !machine.root {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Box::new(SimulatedControl {
            machine: Arc::clone(&self.machine),
            may_write,
            answers: VecDeque::new(),
        }))
    }

    fn run(&self, command: &[String], _limit: Duration) -> io::Result<CommandOutput> {
        let mut machine = self.lock();
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let done = |success: bool, text: &str| CommandOutput {
            success,
            status: format!("exit status: {}", i32::from(!success)),
            text: text.to_owned(),
        };
        match words.as_slice() {
            ["systemctl", "restart", _] => {
                machine.chrony.restarts += 1;
                if machine.chrony.failing_restarts > 0 {
                    machine.chrony.failing_restarts -= 1;
                    machine.chrony.running = false;
                    return Ok(done(false, "Job for chrony.service failed."));
                }
                machine.chrony.running = true;
                machine.load(true);
                Ok(done(true, ""))
            }
            ["chronyd", ..] => Ok(done(true, "")),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_root(&self) -> bool {
        self.lock().root
    }

    /// Of a process whose `exe` was put in place, which is the path.
    fn program_of(&self, process: u32) -> io::Result<PathBuf> {
        let exe = self.read(Path::new(&format!("/proc/{process}/exe")))?;
        Ok(PathBuf::from(String::from_utf8_lossy(&exe).into_owned()))
    }

    fn is_same_for(&self, _process: u32, _path: &Path) -> io::Result<bool> {
        Ok(true)
    }

    fn belongs_to_root(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn since_boot(&self) -> Duration {
        self.lock().now
    }

    fn pause(&self, time: Duration) {
        self.lock().now += time;
    }

    fn is_instant(&self) -> bool {
        true
    }
}
