//! A daemon that has been taken over can do little: which system calls there are, where files can be written, and to which
//! ports it connects.
//!
//! All are for good and for this thread and those it starts later. They need no privileges, but that the process
//! can gain none, which [`privileges`](crate::privileges) sees to.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// The newest rules that are known here; an older kernel enforces those it knows.
const NEWEST_ABI: ABI = ABI::V5;

/// What happens on a system call that the daemon has no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It fails (`EPERM`).
    Refuse,
    /// The process is killed.
    Kill,
}

/// Why the sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The rules on files and ports.
    #[error("files and connections cannot be restricted: {0}")]
    Rules(#[from] RulesetError),
    /// The rules on system calls.
    #[error("system calls cannot be restricted: {0}")]
    Calls(#[from] seccompiler::Error),
    /// The rules on system calls.
    #[error("system calls cannot be restricted: {0}")]
    Filter(#[from] seccompiler::BackendError),
}

/// Has files be written below these directories only, and none be executed; everything can be read as before.
///
/// Directories that are not there are left out. Returns whether the kernel knows such rules.
///
/// # Errors
/// What the system says.
pub fn restrict_files<P: AsRef<Path>>(writable: &[P]) -> Result<bool, SandboxError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST_ABI))?
        .create()?
        .add_rules(path_beneath_rules(["/"], reading))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(
            writable,
            AccessFs::from_write(NEWEST_ABI) | reading,
        ))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Has TCP connections be made to these ports only, and none be accepted at a port that is not bound already. It says nothing
/// of UDP.
///
/// Returns whether the kernel knows such rules: Linux 6.7 or newer (Landlock's ABI 4).
///
/// # Errors
/// What the system says.
pub fn restrict_tcp(ports: &[u16]) -> Result<bool, SandboxError> {
    let ports = ports.iter();
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(NEWEST_ABI))?
        .create()?
        .add_rules(ports.map(|&port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp))))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Leaves the daemon the system calls that it makes, or that the C library makes for it.
///
/// # Errors
/// What the system says; an architecture without a list is one.
pub fn restrict_calls(otherwise: Otherwise) -> Result<(), SandboxError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS
        .iter()
        .chain(OLD_CALLS)
        .map(|&call| (call, Vec::new()))
        .collect();
    rules.insert(libc::SYS_socket, one_of(0, &FAMILIES)?);
    rules.insert(
        libc::SYS_prctl,
        one_of(0, &[libc::PR_SET_NAME, libc::PR_SET_VMA])?,
    );
    let otherwise = match otherwise {
        Otherwise::Refuse => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        Otherwise::Kill => SeccompAction::KillProcess,
    };
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, otherwise, SeccompAction::Allow, architecture)?;
    apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}

/// Lets a call pass when an argument is one of these.
fn one_of(argument: u8, values: &[libc::c_int]) -> Result<Vec<SeccompRule>, SandboxError> {
    let rule = |&value: &libc::c_int| {
        let value = u64::from(value.unsigned_abs());
        let is = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
        SeccompRule::new(vec![is])
    };
    Ok(values
        .iter()
        .map(rule)
        .collect::<Result<_, seccompiler::BackendError>>()?)
}

/// The families of sockets: those of the daemon, and that by which name services ask for the host's addresses.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The system calls that stay: the daemon's own, those of name services, and those of memory and threads.
const CALLS: &[i64] = &[
    // the clock, and waiting
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_clock_settime,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    // sockets
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    // files
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_flock,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_umask,
    // memory
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    // what reference clocks write into is let go at the end
    libc::SYS_shmdt,
    // threads and signals
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_tgkill,
    libc::SYS_setitimer,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // who one is, and what the host is like
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_prlimit64,
];

/// The older forms of some of them, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[i64] = &[
    libc::SYS_poll,
    libc::SYS_time,
    libc::SYS_alarm,
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_chmod,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_unlink,
    libc::SYS_pipe,
    libc::SYS_dup2,
];

/// The older forms of some of them, which this architecture does not have.
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[i64] = &[];
