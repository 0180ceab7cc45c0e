//! The system's log.

use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// How much a line matters, as the system's log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// `LOG_CRIT`
    Critical,
    /// `LOG_ERR`
    Error,
    /// `LOG_WARNING`
    Warning,
    /// `LOG_INFO`
    Info,
    /// `LOG_DEBUG`
    Debug,
}

/// The name under which lines are written; the C library keeps a pointer to it for ever.
static NAME: OnceLock<CString> = OnceLock::new();

/// Opens the system's log as a daemon of this name; only the first call counts.
pub fn open(name: &str) {
    let name = NAME.get_or_init(|| CString::new(name).unwrap_or_default());
    // SAFETY: the text lives as long as the program and has its end marked.
    unsafe { libc::openlog(name.as_ptr(), libc::LOG_PID, libc::LOG_DAEMON) };
}

/// Writes a line.
pub fn write(priority: Priority, line: &str) {
    const FORMAT: &CStr = c"%s";
    let priority = match priority {
        Priority::Critical => libc::LOG_CRIT,
        Priority::Error => libc::LOG_ERR,
        Priority::Warning => libc::LOG_WARNING,
        Priority::Info => libc::LOG_INFO,
        Priority::Debug => libc::LOG_DEBUG,
    };
    let Ok(line) = CString::new(line.replace('\0', " ")) else {
        return;
    };
    // SAFETY: the format takes one text, and one with its end marked is given; both live through the call.
    unsafe { libc::syslog(priority, FORMAT.as_ptr(), line.as_ptr()) };
}
