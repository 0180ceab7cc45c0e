//! A simulated host for tests, on which any call can fail or be the last one of the agent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Access, Claim, CommandOutput, Control, ControlAddress, FileKind, Host, SimulatedHost};

/// A call that can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    MakeDirectory,
    Replace(PathBuf),
    Append,
    Remove(PathBuf),
    Open,
    Send,
    Run,
    Other,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Happens,
    Fails(io::ErrorKind),
    /// The agent dies before it happens.
    LastBefore,
    /// The agent dies when a part of it has happened, where there are parts.
    LastInTheMiddle,
    /// The agent dies when it has happened.
    LastAfter,
}

type Hook = Box<dyn FnMut(&Call) -> Fate + Send>;

/// The host. Clones are the same agent's.
#[derive(Clone)]
pub(crate) struct HookedHost {
    inner: SimulatedHost,
    state: Arc<Mutex<State>>,
}

struct State {
    hook: Hook,
    dead: bool,
}

impl HookedHost {
    pub(crate) fn new(inner: SimulatedHost, hook: impl FnMut(&Call) -> Fate + Send + 'static) -> Self {
        HookedHost {
            inner,
            state: Arc::new(Mutex::new(State {
                hook: Box::new(hook),
                dead: false,
            })),
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.lock().unwrap().dead
    }

    fn call<R>(
        &self,
        call: &Call,
        half: impl FnOnce(),
        whole: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let fate = {
            let mut state = self.state.lock().unwrap();
            if state.dead {
                return Err(dead());
            }
            let fate = (state.hook)(call);
            state.dead = matches!(fate, Fate::LastBefore | Fate::LastInTheMiddle | Fate::LastAfter);
            fate
        };
        match fate {
            Fate::Happens => whole(),
            Fate::Fails(kind) => Err(kind.into()),
            Fate::LastBefore => Err(dead()),
            Fate::LastInTheMiddle => {
                half();
                Err(dead())
            }
            Fate::LastAfter => {
                drop(whole());
                Err(dead())
            }
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the agent is dead")
}

impl Host for HookedHost {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.call(&Call::Other, || {}, || self.inner.read(path))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.call(&Call::Other, || {}, || self.inner.list(directory))
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        self.call(&Call::Other, || {}, || self.inner.kind(path))
    }

    fn make_directory(&self, path: &Path, access: Access) -> io::Result<()> {
        self.call(
            &Call::MakeDirectory,
            || {},
            || self.inner.make_directory(path, access),
        )
    }

    fn replace(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()> {
        self.call(
            &Call::Replace(path.to_owned()),
            || {},
            || self.inner.replace(path, content, access),
        )
    }

    fn append(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()> {
        let half = &content[..content.len() / 2];
        self.call(
            &Call::Append,
            || self.inner.append(path, half, access).unwrap(),
            || self.inner.append(path, content, access),
        )
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(&Call::Remove(path.to_owned()), || {}, || self.inner.remove(path))
    }

    fn sweep(&self, directory: &Path) -> io::Result<()> {
        self.call(&Call::Other, || {}, || self.inner.sweep(directory))
    }

    fn claim(&self, directory: &Path) -> io::Result<Claim> {
        self.call(&Call::Other, || {}, || self.inner.claim(directory))
    }

    fn open_control(&self, address: &ControlAddress) -> io::Result<Box<dyn Control>> {
        let open = || {
            Ok(Box::new(HookedControl {
                inner: self.inner.open_control(address)?,
                host: self.clone(),
            }) as Box<dyn Control>)
        };
        self.call(&Call::Open, || {}, open)
    }

    fn run(&self, command: &[String], limit: Duration) -> io::Result<CommandOutput> {
        self.call(&Call::Run, || {}, || self.inner.run(command, limit))
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

    /// Time flies for a dead agent, so that it does not wait for anything.
    fn since_boot(&self) -> Duration {
        if self.is_dead() {
            self.inner.pause(Duration::from_secs(1000));
        }
        self.inner.since_boot()
    }

    fn pause(&self, time: Duration) {
        self.inner.pause(time);
    }

    fn is_instant(&self) -> bool {
        true
    }
}

struct HookedControl {
    inner: Box<dyn Control>,
    host: HookedHost,
}

impl Control for HookedControl {
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()> {
        let host = self.host.clone();
        host.call(&Call::Send, || {}, || self.inner.send(datagram, limit))
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        let host = self.host.clone();
        host.call(&Call::Other, || {}, || self.inner.receive(buffer, limit))
    }
}
