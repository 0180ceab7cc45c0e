//! What a daemon in its sandbox can still do, and what not. Each part is a process of its own, since it is for good.

#![allow(clippy::unwrap_used, reason = "what a test cannot have is a failed test")]

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use os::privileges::gain_nothing;
use os::sandbox::{Otherwise, restrict_calls, restrict_files, restrict_tcp};
use os::{
    AddressFamily, Clock, ClockError, DATAGRAM_LENGTH_MAX, FREQUENCY_MAX_PPM, Resolver, SharedMemory, Token,
    UdpOptions, UdpSocket, Waiter, Watch, files,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const ROLE: &str = "SANDBOX_TEST_ROLE";

/// `SIGSYS` of Linux.
const SIGNAL_OF_A_FORBIDDEN_CALL: i32 = 31;

fn main() {
    match env::var(ROLE).as_deref() {
        Ok("works") => works(Path::new(&env::args().nth(1).unwrap())),
        Ok("ends") => ends(Path::new(&env::args().nth(1).unwrap())),
        Ok("killed") => {
            gain_nothing().unwrap();
            restrict_calls(Otherwise::Kill).unwrap();
            let _ = symlink("/", Path::new(&env::args().nth(1).unwrap()).join("link"));
        }
        Ok("old runtime") => {
            let may_steer = Clock::new().may_steer().is_ok();
            refuse(&[libc::SYS_clock_adjtime]);
            assert!(Clock::new().trace().unwrap().rate_ppm.abs() <= FREQUENCY_MAX_PPM);
            assert_eq!(Clock::new().may_steer().is_ok(), may_steer);
        }
        Ok("no clock") => {
            refuse(&[libc::SYS_clock_adjtime, libc::SYS_adjtimex]);
            assert!(matches!(Clock::new().trace(), Err(ClockError::Blocked)));
            assert!(matches!(Clock::new().can_steer(), Err(ClockError::Blocked)));
            assert!(matches!(Clock::new().may_steer(), Err(ClockError::Blocked)));
        }
        _ => {
            let folder = tempfile::tempdir().unwrap();
            for role in ["works", "ends", "old runtime", "no clock"] {
                let status = part(role, folder.path());
                assert!(status.success(), "{role}: {status}");
            }
            let status = part("killed", folder.path());
            assert_eq!(status.signal(), Some(SIGNAL_OF_A_FORBIDDEN_CALL), "{status}");
        }
    }
}

/// Runs this program in another role.
fn part(role: &str, folder: &Path) -> ExitStatus {
    Command::new(env::current_exe().unwrap())
        .arg(folder)
        .env(ROLE, role)
        .status()
        .unwrap()
}

/// Has system calls fail as the seccomp profile of a container runtime does.
fn refuse(calls: &[i64]) {
    let rules = calls.iter().map(|&call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let architecture = env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture).unwrap();
    gain_nothing().unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// Does what a daemon does rarely or at its end, where anything that it may not do kills it.
fn ends(folder: &Path) {
    let unit = 0x2000_0000 + i32::try_from(std::process::id()).unwrap();
    let segment = SharedMemory::attach(unit, 0o600).unwrap();
    // SAFETY: takes three numbers, and returns one.
    let id = unsafe { libc::shmget(0x4e54_5030 + unit, 0, 0) };
    // SAFETY: the segment goes away with its last user; nothing is read or written through the null pointer.
    let removed = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    assert_eq!(removed, 0);
    gain_nothing().unwrap();
    restrict_calls(Otherwise::Kill).unwrap();
    let [file, link] = ["loopstats.20260102", "loopstats"].map(|name| folder.join(name));
    fs::write(&file, "").unwrap();
    fs::hard_link(&file, &link).unwrap();
    drop(segment);
}

/// Does all that a daemon does, and some of what it should not be able to.
fn works(folder: &Path) {
    let own = folder.join("own");
    fs::create_dir(&own).unwrap();
    fs::write(folder.join("outside"), "as it was").unwrap();
    gain_nothing().unwrap();
    assert!(
        restrict_files(&[own.as_path(), Path::new("/no/such")]).unwrap(),
        "the kernel has no Landlock"
    );
    let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [allowed, other] = listeners
        .each_ref()
        .map(|listener| listener.local_addr().unwrap());
    let restricts_tcp = restrict_tcp(&[allowed.port()]).unwrap();
    restrict_calls(Otherwise::Refuse).unwrap();

    TcpStream::connect(allowed).unwrap();
    assert!(listeners[0].accept().is_ok());
    let elsewhere = [
        TcpStream::connect(other).err(),
        TcpListener::bind("127.0.0.1:0").err(),
    ];
    let kinds = elsewhere.map(|error| error.map(|error| error.kind()));
    if restricts_tcp {
        assert_eq!(kinds, [Some(ErrorKind::PermissionDenied); 2]);
    } else {
        println!("the kernel's Landlock knows no TCP: nothing of it is restricted");
        assert_eq!(kinds, [None; 2]);
    }

    files::replace(&own.join("drift"), b"1.0", 0o644).unwrap();
    assert_eq!(fs::read(folder.join("outside")).unwrap(), b"as it was");
    assert_eq!(
        fs::write(folder.join("outside"), "changed").unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    assert!(Command::new("/bin/true").status().is_err());

    let server = UdpSocket::open(&UdpOptions {
        stamp_received: true,
        ..UdpOptions::default()
    })
    .unwrap();
    let mut waiter = Waiter::new().unwrap();
    waiter.watch(Token(1), &server, Watch::ReadableOrStamped);
    let to = SocketAddr::new(
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        server.local_address().unwrap().port(),
    );
    server.send(b"to myself", to, None).unwrap();
    let mut ready = Vec::new();
    waiter
        .wait(Some(Clock::new().now().mono.plus_seconds(10.0)), &mut ready)
        .unwrap();
    assert!(server.receive(&mut [0; DATAGRAM_LENGTH_MAX]).unwrap().is_some());

    let mut resolver = Resolver::new(AddressFamily::Any);
    resolver.ask(1, "localhost".to_owned());
    resolver.start().unwrap();
    let (_, _, answer) = resolver.finish().unwrap();
    assert!(answer.unwrap().iter().all(|address| address.ip().is_loopback()));
}
