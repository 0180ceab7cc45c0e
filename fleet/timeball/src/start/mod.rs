//! The long-running parts: controller, agent, and both together.

pub(crate) mod agent;
pub(crate) mod controller;
pub(crate) mod observer;
pub(crate) mod up;

mod claim;
mod log;
mod signals;

use std::future::Future;

use tokio::runtime::Builder;

use crate::ending::{Ending, Failure};

/// Runs a part until it ends. What blocks then is left behind: the process ends with it.
fn run(part: impl Future<Output = Ending>) -> Ending {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let ending = runtime.block_on(part);
    runtime.shutdown_background();
    ending
}
