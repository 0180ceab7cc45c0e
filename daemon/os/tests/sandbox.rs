//! What a daemon in its sandbox can still do, and what not. Each part is a process of its own, since it is for good.

#![allow(clippy::unwrap_used, reason = "what a test cannot have is a failed test")]

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use os::privileges::gain_nothing;
use os::sandbox::{Otherwise, restrict_calls, restrict_files};
use os::{
    AddressFamily, Clock, DATAGRAM_LENGTH_MAX, Resolver, Token, UdpOptions, UdpSocket, Waiter, Watch, files,
};

const ROLE: &str = "SANDBOX_TEST_ROLE";

/// `SIGSYS` of Linux.
const SIGNAL_OF_A_FORBIDDEN_CALL: i32 = 31;

fn main() {
    match env::var(ROLE).as_deref() {
        Ok("works") => works(Path::new(&env::args().nth(1).unwrap())),
        Ok("killed") => {
            gain_nothing().unwrap();
            restrict_calls(Otherwise::Kill).unwrap();
            let _ = symlink("/", Path::new(&env::args().nth(1).unwrap()).join("link"));
        }
        _ => {
            let folder = tempfile::tempdir().unwrap();
            let status = part("works", folder.path());
            assert!(status.success(), "{status}");
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
    restrict_calls(Otherwise::Refuse).unwrap();

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
