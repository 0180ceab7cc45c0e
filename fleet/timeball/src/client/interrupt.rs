//! Ctrl-C ends a client command with exit code 130, as shells have it.

use std::process;
use std::thread;

/// Sees to it that Ctrl-C ends the program, also where it runs as the first process of a container and the
/// kernel would not. Without a handler the kernel's way stays, which is as good anywhere else.
pub(crate) fn ends_the_program() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            process::exit(130);
        }
    });
}
