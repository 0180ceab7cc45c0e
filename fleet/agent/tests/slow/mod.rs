//! A simulated host whose time service keeps everybody waiting until it is told to go on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use agent::host::{Access, Claim, CommandOutput, Control, ControlAddress, FileKind, Host, SimulatedHost};

/// After this the test has failed, and its threads shall end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The host. Clones are the same one.
#[derive(Clone)]
pub(crate) struct SlowHost {
    inner: SimulatedHost,
    door: Arc<(Mutex<Door>, Condvar)>,
}

#[derive(Default)]
struct Door {
    is_open: bool,
    waiting: usize,
}

impl SlowHost {
    pub(crate) fn new(inner: SimulatedHost) -> Self {
        SlowHost {
            inner,
            door: Arc::default(),
        }
    }

    /// How many threads wait for the time service.
    pub(crate) fn waiting(&self) -> usize {
        self.door.0.lock().unwrap().waiting
    }

    /// Lets the time service answer from now on.
    pub(crate) fn open(&self) {
        self.door.0.lock().unwrap().is_open = true;
        self.door.1.notify_all();
    }
}

impl Host for SlowHost {
    fn open_control(&self, address: &ControlAddress) -> io::Result<Box<dyn Control>> {
        let mut door = self.door.0.lock().unwrap();
        door.waiting += 1;
        door = self
            .door
            .1
            .wait_timeout_while(door, PATIENCE, |door| !door.is_open)
            .unwrap()
            .0;
        door.waiting -= 1;
        drop(door);
        self.inner.open_control(address)
    }

    fn is_instant(&self) -> bool {
        false
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.inner.list(directory)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        self.inner.kind(path)
    }

    fn make_directory(&self, path: &Path, access: Access) -> io::Result<()> {
        self.inner.make_directory(path, access)
    }

    fn replace(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()> {
        self.inner.replace(path, content, access)
    }

    fn append(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()> {
        self.inner.append(path, content, access)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sweep(&self, directory: &Path) -> io::Result<()> {
        self.inner.sweep(directory)
    }

    fn claim(&self, directory: &Path) -> io::Result<Claim> {
        self.inner.claim(directory)
    }

    fn run(&self, command: &[String], limit: Duration) -> io::Result<CommandOutput> {
        self.inner.run(command, limit)
    }

    fn is_root(&self) -> bool {
        self.inner.is_root()
    }

    fn program_of(&self, process: u32) -> io::Result<PathBuf> {
        self.inner.program_of(process)
    }

    fn is_same_for(&self, process: u32, path: &Path) -> io::Result<bool> {
        self.inner.is_same_for(process, path)
    }

    fn belongs_to_root(&self, path: &Path) -> io::Result<()> {
        self.inner.belongs_to_root(path)
    }

    fn since_boot(&self) -> Duration {
        self.inner.since_boot()
    }

    fn pause(&self, time: Duration) {
        self.inner.pause(time);
    }
}
