//! A few connections that only read, so that reads wait neither for a commit nor for one long read.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::lock::StoreLock;
use super::read::Unread;
use super::{fault, open};
use crate::BusError;

/// How many reads run at once; more wait for their turn.
const READERS_MAX: usize = 4;

/// The connections, opened as they are first needed.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    path: PathBuf,
    /// Given back after the connections are closed: fields are dropped in this order.
    _lock: Arc<StoreLock>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, lock: Arc<StoreLock>) -> Self {
        Readers {
            idle: Mutex::default(),
            turns: Arc::new(Semaphore::new(READERS_MAX)),
            path,
            _lock: lock,
        }
    }

    /// Runs `read` on a thread that may block.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, Unread> + Send + 'static,
    ) -> Result<T, BusError> {
        let stopped = |_| BusError::Unavailable("the store is closing".to_owned());
        let turn = self
            .turns
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| stopped(()))?;
        let readers = self.clone();
        let result = tokio::task::spawn_blocking(move || {
            let result = readers.read(read);
            drop(readers);
            drop(turn);
            result
        });
        result.await.map_err(|_| stopped(()))?
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Unread>) -> Result<T, BusError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::connect_reader(&self.path)?,
        };
        let result = read(&connection).map_err(|unread| match unread {
            Unread::Sqlite(error) => fault::of_sqlite(&self.path, &error),
            Unread::Sum(what) => fault::damaged(&self.path, &what),
        });
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        result
    }
}
