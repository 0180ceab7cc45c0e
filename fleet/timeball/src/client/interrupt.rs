//! Ctrl-C ends a client command with exit code 130, as shells have it.

use std::process;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Sees to it that Ctrl-C ends the program, also where it runs as the first process of a container and the
/// kernel would not. Without a handler the kernel's way stays, which is as good anywhere else.
pub(crate) fn ends_the_program() {
    let Ok(runtime) = Builder::new_current_thread().enable_io().build() else {
        return;
    };
    // The handler is in place when this returns; the thread only waits.
    let interrupt = {
        let _context = runtime.enter();
        signal(SignalKind::interrupt())
    };
    let Ok(mut interrupt) = interrupt else { return };
    thread::spawn(move || {
        if runtime.block_on(interrupt.recv()).is_some() {
            process::exit(130);
        }
    });
}
