//! The signals that end the daemon, and the one that has it read its configuration again.
//!
//! A handler only sets a flag; whoever waits is interrupted and looks at it. A signal that arrives between the look
//! and the wait would be waited over, so the handler also has the alarm clock ring a second later, and again until
//! the flag was taken.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::errno::check;

/// Set when the daemon was asked to end, until that was taken.
static END: AtomicBool = AtomicBool::new(false);

/// Set when the daemon was hung up (`HUP`), until that was taken.
static HANGUP: AtomicBool = AtomicBool::new(false);

/// How long after a signal the alarm rings, seconds: the shortest there is.
const ALARM_S: libc::c_uint = 1;

/// Takes `TERM`, `INT` and `QUIT` as requests to end from now on, notes `HUP`, and ignores `PIPE`.
///
/// # Errors
/// What the system says.
pub fn install() -> io::Result<()> {
    for signal in [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGHUP,
        libc::SIGALRM,
    ] {
        handle(signal, note as extern "C" fn(libc::c_int) as libc::sighandler_t)?;
    }
    handle(libc::SIGPIPE, libc::SIG_IGN)
}

/// Whether the daemon has been asked to end; asking takes the request.
#[must_use]
pub fn take_end() -> bool {
    END.swap(false, Ordering::Relaxed)
}

/// Whether the daemon has been hung up; asking takes it.
#[must_use]
pub fn take_hangup() -> bool {
    HANGUP.swap(false, Ordering::Relaxed)
}

/// Whether there is a request that was not taken yet.
pub(crate) fn pending() -> bool {
    END.load(Ordering::Relaxed) || HANGUP.load(Ordering::Relaxed)
}

/// Has this thread take no signals, so that they interrupt the one that waits.
pub(crate) fn leave_to_others() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to room for a set, which the call fills in.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the pointer is to the set that was filled in above; the old one is not asked for. It cannot fail with
    // this operation.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut()) };
}

/// Sets what happens on a signal. Interrupted calls are not begun again: to be interrupted is the point.
fn handle(signal: libc::c_int, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: `sigaction` is made of integers and a pointer, for which all zeros is a value: no flags, no signal
    // blocked meanwhile.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handler;
    // SAFETY: the pointer is to an action that lives through the call, with a handler that only does what is
    // allowed in one; the old action is not asked for.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    Ok(())
}

/// The handler.
extern "C" fn note(signal: libc::c_int) {
    match signal {
        libc::SIGALRM => {}
        libc::SIGHUP => HANGUP.store(true, Ordering::Relaxed),
        _ => END.store(true, Ordering::Relaxed),
    }
    if pending() {
        // SAFETY: takes no pointers, and is one of the functions that a handler may call.
        unsafe { libc::alarm(ALARM_S) };
    }
}
