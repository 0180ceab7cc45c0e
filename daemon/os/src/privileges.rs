//! Giving up what is not needed: another user, few capabilities.

use std::io;

use crate::errno::check;

/// The version of the capability calls with two words of capabilities (`_LINUX_CAPABILITY_VERSION_3`).
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// A user to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// Something that only root may do unless it is left to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Bind to ports below 1024 (`CAP_NET_BIND_SERVICE`).
    BindService = 10,
    /// Set the clock (`CAP_SYS_TIME`).
    SetClock = 25,
}

/// Finds a user by name.
#[cfg(not(target_feature = "crt-static"))]
#[must_use]
pub fn find_user(name: &str) -> Option<User> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: the pointer is to a text with its end marked. The result is the C library's, and stays as it is until
    // the next call of this kind; there is one thread that makes them.
    let entry = unsafe { libc::getpwnam(name.as_ptr()) };
    // SAFETY: null, or a pointer to a whole entry, see above.
    unsafe { entry.as_ref() }.map(|entry| User {
        uid: entry.pw_uid,
        gid: entry.pw_gid,
    })
}

/// Finds a user by name in `/etc/passwd`, where a program that is one file looks for it, or by number, which is also that of
/// the group.
#[cfg(target_feature = "crt-static")]
#[must_use]
pub fn find_user(name: &str) -> Option<User> {
    let number = || {
        name.parse().ok().map(|number| User {
            uid: number,
            gid: number,
        })
    };
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_in(&text, name).or_else(number)
}

/// The user of this name in the text of `/etc/passwd`.
#[cfg(any(target_feature = "crt-static", test))]
fn user_in(text: &str, name: &str) -> Option<User> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_named = fields.next() == Some(name);
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        is_named.then_some(User { uid, gid })
    })
}

/// Finds the number of a group by name.
#[cfg(not(target_feature = "crt-static"))]
#[must_use]
pub fn find_group(name: &str) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: the pointer is to a text with its end marked. The result is the C library's, and stays as it is until
    // the next call of this kind; there is one thread that makes them.
    let entry = unsafe { libc::getgrnam(name.as_ptr()) };
    // SAFETY: null, or a pointer to a whole entry, see above.
    unsafe { entry.as_ref() }.map(|entry| entry.gr_gid)
}

/// Finds the number of a group by name in `/etc/group`, or takes it as a number.
#[cfg(target_feature = "crt-static")]
#[must_use]
pub fn find_group(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    group_in(&text, name).or_else(|| name.parse().ok())
}

/// The number of the group of this name in the text of `/etc/group`.
#[cfg(any(target_feature = "crt-static", test))]
fn group_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_named = fields.next() == Some(name);
        let gid = fields.nth(1)?.parse().ok()?;
        is_named.then_some(gid)
    })
}

/// The number of the user that this process is.
#[must_use]
pub fn user() -> u32 {
    // SAFETY: takes no pointers and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process is root's.
#[must_use]
pub fn is_root() -> bool {
    user() == 0
}

/// Becomes another user, for good, and keeps only these capabilities.
///
/// Threads that were started before keep theirs.
///
/// # Errors
/// What the system says; the process is then neither the one nor the other, and should end.
pub fn become_user(user: User, keep: &[Capability]) -> io::Result<()> {
    // SAFETY: takes no pointers, with this operation.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) })?;
    // SAFETY: no groups are given, so that the pointer is not followed.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::setgid(user.gid) })?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::setuid(user.uid) })?;
    keep_capabilities(keep)?;
    gain_nothing()
}

/// Sees to it that this process and what it starts can never have more privileges than now.
///
/// # Errors
/// What the system says.
pub fn gain_nothing() -> io::Result<()> {
    // SAFETY: takes no pointers, with this operation.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    Ok(())
}

/// Locks the memory of the process, what it has and what it will get. Where the amount is limited
/// (`RLIMIT_MEMLOCK`) the limit is lifted first, or nothing is locked: the process would end at the first allocation
/// beyond it.
///
/// # Errors
/// What the system says.
pub fn lock_memory() -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a limit that lives through the call and that nothing else uses.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    if limit.rlim_cur != libc::RLIM_INFINITY {
        let none = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: the pointer is to a limit that lives through the call and is only read.
        check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) })?;
    }
    // SAFETY: takes no pointers.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })?;
    Ok(())
}

/// Has the process run before all ordinary ones, with this priority (1 to 99).
///
/// # Errors
/// What the system says.
pub fn run_in_real_time(priority: i32) -> io::Result<()> {
    let parameter = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the pointer is to a parameter that lives through the call and is only read.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) })?;
    Ok(())
}

/// Keeps these capabilities and no others.
fn keep_capabilities(keep: &[Capability]) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Words {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let low = keep
        .iter()
        .fold(0, |bits, &capability| bits | 1 << (capability as u32));
    let words = [
        Words {
            effective: low,
            permitted: low,
            inheritable: 0,
        },
        Words::default(),
    ];
    // SAFETY: the pointers are to structures of the layout that the kernel documents for this version: a header, and
    // two sets of three words; they live through the call. The C library has no function of its own for it.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name() {
        assert_eq!(find_user("root"), Some(User { uid: 0, gid: 0 }));
        assert_eq!(find_user("no such user"), None);
        assert_eq!(find_user("ro\0ot"), None);
        assert_eq!(find_group("root"), Some(0));
        assert_eq!(find_group("no such group"), None);
    }

    #[test]
    fn a_static_program_reads_the_file_of_users() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken:x\n_timeball:x:991:990::/:/bin/false\n";
        assert_eq!(user_in(text, "_timeball"), Some(User { uid: 991, gid: 990 }));
        assert_eq!(user_in(text, "broken"), None);
        assert_eq!(user_in(text, ""), None);
        let text = "root:x:0:\nbroken\nntpsec:x:118:root\n";
        assert_eq!(group_in(text, "ntpsec"), Some(118));
        assert_eq!(group_in(text, "broken"), None);
    }
}
