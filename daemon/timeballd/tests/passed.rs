//! The daemon with sockets that a service manager passes. The test is the manager: it opens them, keeps them open, and gives
//! them to a shell that becomes the daemon, so that only a daemon that uses them can answer. No daemon here can touch the
//! clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer is waited for that is not to come.
const SILENCE: Duration = Duration::from_millis(300);

/// Says in the environment that the test has a network of its own already.
const INSIDE: &str = "TIMEBALLD_TEST_INSIDE";

/// Becomes the daemon, with the standard three as descriptors 3, 4 and 5, and stderr in the file $0.
const SHELL: &str = r#"exec 3<&0 4<&1 5<&2 0</dev/null 1>/dev/null 2>"$0"; "#;

/// What is passed, as sd_listen_fds(3) has it.
const THREE: &str = "export LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=a:b:c; ";

struct Daemon {
    folder: TempDir,
    child: Child,
}

impl Daemon {
    fn start(passed: [OwnedFd; 3], variables: &str, configuration: &str) -> Self {
        Self::start_with(&["-n", "-d"], passed, variables, configuration)
    }

    fn start_with(flags: &[&str], passed: [OwnedFd; 3], variables: &str, configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // It may become somebody else, who reads the configuration again.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let conf = folder.path().join("conf");
        fs::write(&conf, configuration).unwrap();
        let program = env!("CARGO_BIN_EXE_timeballd");
        let limits = ["bounding-set", "inh-caps"].map(|set| format!("--{set}=-sys_time,-net_bind_service"));
        let words: &[&str] = if is_root() {
            &[
                "setpriv",
                &limits[0],
                &limits[1],
                program,
                "-u",
                somebody(),
                "-F",
                "1",
            ]
        } else {
            &[program]
        };
        let [zero, one, two] = passed;
        let child = Command::new("sh")
            .args(["-c", &format!("{SHELL}{variables}exec \"$@\"")])
            .arg(folder.path().join("log"))
            .args(words)
            .args(flags)
            .args(["-x", "-f"])
            .arg(conf)
            .stdin(Stdio::from(zero))
            .stdout(Stdio::from(one))
            .stderr(Stdio::from(two))
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    #[track_caller]
    fn until_logged(&self, line: &str) {
        self.until_logged_times(1, line);
    }

    #[track_caller]
    fn until_logged_times(&self, times: usize, line: &str) {
        let begun = Instant::now();
        while self.log().matches(line).count() < times {
            assert!(begun.elapsed() < PATIENCE, "{line}:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Has it read another configuration.
    #[track_caller]
    fn reload(&self, times: usize, configuration: &str) {
        fs::write(self.folder.path().join("conf"), configuration).unwrap();
        self.signal("-HUP");
        self.until_logged_times(times, " read again");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Somebody for root to become. Root where there is nobody else, which is so in a user namespace with one user.
fn somebody() -> &'static str {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    if map.split_whitespace().last() == Some("1") {
        "root"
    } else {
        "nobody"
    }
}

/// A socket of the manager, and its address.
fn bound() -> (UdpSocket, SocketAddr) {
    bound_at("127.0.0.1:0")
}

fn bound_at(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A copy to be passed.
fn copy(socket: &UdpSocket) -> OwnedFd {
    socket.try_clone().unwrap().into()
}

/// Nothing of use.
fn nothing() -> OwnedFd {
    fs::File::open("/dev/null").unwrap().into()
}

/// Sends a request of a client; returns the client.
fn ask(server: SocketAddr) -> UdpSocket {
    ask_from("127.0.0.1:0", server)
}

fn ask_from(address: &str, server: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.connect(server).unwrap();
    let mut request = [0; 48];
    request[0] = 0b00_100_011;
    request[40] = 0xe8;
    client.send(&request).unwrap();
    client
}

/// Whether the answer comes.
fn hears(client: &UdpSocket, patience: Duration) -> bool {
    client.set_read_timeout(Some(patience)).unwrap();
    let mut answer = [0; 128];
    // Version 4, mode 4, and the time at which the client says it asked.
    client.recv(&mut answer).is_ok_and(|length| {
        length == 48 && answer[0] & 0b111_111 == 0b100_100 && answer[24] == 0xe8 && answer[1] == 3
    })
}

fn configuration(ntp: SocketAddr, command: SocketAddr) -> String {
    format!(
        "local stratum 3\npidfile /\nbindcmdaddress /\nbindcmdaddress 127.0.0.1\nbindaddress 127.0.0.1\nport {}\ncmdport {}\n",
        ntp.port(),
        command.port()
    )
}

#[test]
fn passed_sockets_are_used_and_outlive_the_daemon() {
    let ((ntp, ntp_at), (command, command_at)) = (bound(), bound());
    let (other, other_at) = bound();
    let quiet = configuration(ntp_at, command_at);
    let allowing = format!("{quiet}allow\n");
    let passed = || [copy(&command), copy(&other), copy(&ntp)];
    let daemon = Daemon::start(passed(), THREE, &allowing);
    assert!(hears(&ask(ntp_at), PATIENCE), "{}", daemon.log());
    for line in [
        format!("Using passed socket 3 on {command_at} as command socket"),
        format!("Using passed socket 5 on {ntp_at} as NTP socket"),
        format!("Passed socket 4 on {other_at} is not used : the daemon has use for {ntp_at}, [::]:"),
    ] {
        assert!(daemon.log().contains(&line), "{line}\n{}", daemon.log());
    }
    let tracking = Command::new("chronyc")
        .args([
            "-n",
            "-h",
            "127.0.0.1",
            "-p",
            &command_at.port().to_string(),
            "tracking",
        ])
        .output()
        .unwrap();
    let tracking = String::from_utf8(tracking.stdout).unwrap();
    assert!(tracking.contains("Stratum         : 3"), "{tracking}");

    // Nobody may ask any more, and then everybody again: the socket that was closed is there again.
    daemon.reload(1, &quiet);
    let waiting = ask(ntp_at);
    assert!(!hears(&waiting, SILENCE));
    daemon.reload(2, &allowing);
    assert!(hears(&ask(ntp_at), PATIENCE), "{}", daemon.log());
    assert!(!daemon.log().contains("Could not open NTP socket on 127.0.0.1"));

    // What comes between two daemons is answered by the second.
    drop(daemon);
    let waiting = ask(ntp_at);
    let daemon = Daemon::start(passed(), THREE, &allowing);
    assert!(hears(&waiting, PATIENCE), "{}", daemon.log());
}

#[test]
fn a_daemon_in_the_background_has_those_of_the_process_that_was_started() {
    let ((ntp, ntp_at), (command, command_at)) = (bound(), bound());
    // It ends by itself, whatever becomes of the test.
    let mut daemon = Daemon::start_with(
        &["-4", "-t", "3"],
        [copy(&ntp), copy(&command), nothing()],
        THREE,
        &(configuration(ntp_at, command_at) + "allow\n"),
    );
    assert!(daemon.child.wait().unwrap().success(), "{}", daemon.log());
    assert!(hears(&ask(ntp_at), PATIENCE));
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let ((ntp, ntp_at), (command, command_at)) = (bound(), bound());
    let allowing = configuration(ntp_at, command_at) + "allow\n";
    let failed = format!("Could not open NTP socket on {ntp_at} : Address already in use");
    for (variables, said) in [
        (
            "export LISTEN_PID=1 LISTEN_FDS=2; ",
            "Passed sockets are not used : they are for process 1 (LISTEN_PID)",
        ),
        (
            "export LISTEN_PID=$$ LISTEN_FDS=65; ",
            "LISTEN_FDS is to be a number from 0 to 64, not \"65\"",
        ),
        ("export LISTEN_PID=$$ LISTEN_FDS=-1; ", "not \"-1\""),
        ("export LISTEN_PID=$$ LISTEN_FDS=two; ", "not \"two\""),
        ("export LISTEN_PID=$$ LISTEN_FDS=4; ", "descriptor 6 is not open"),
        ("export LISTEN_FDS=2; ", ""),
    ] {
        let daemon = Daemon::start([copy(&ntp), copy(&command), nothing()], variables, &allowing);
        daemon.until_logged(&failed);
        assert!(daemon.log().contains(said), "{said}:\n{}", daemon.log());
        assert!(!daemon.log().contains("Using passed"), "{}", daemon.log());
    }
}

#[test]
fn what_would_answer_elsewhere_is_not_used_and_that_is_said() {
    let (ntp, ntp_at) = bound();
    let (connected, connected_at) = bound();
    connected.connect(ntp_at).unwrap();
    let everywhere = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    let everywhere_at = everywhere.local_addr().unwrap();
    // Clients are to be answered at the loopback address only, and commands at both.
    let stream = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream_at = stream.local_addr().unwrap();
    let passed = [
        copy(&everywhere),
        stream.try_clone().unwrap().into(),
        copy(&connected),
    ];
    let daemon = Daemon::start(
        passed,
        THREE,
        &(configuration(everywhere_at, connected_at) + "allow\n"),
    );
    daemon.until_logged(&format!(
        "Passed socket 3 on {everywhere_at} is not used : the daemon has use for 127.0.0.1:{}, ",
        everywhere_at.port()
    ));
    daemon.until_logged(&format!(
        "Passed socket 4 on {stream_at} is not used : it is no UDP socket (ListenDatagram= in the socket unit)"
    ));
    daemon.until_logged(&format!(
        "Passed socket 5 on {connected_at} is not used : it is connected to one peer"
    ));
    daemon.until_logged(&format!("Could not open command socket on {connected_at}"));
    drop(ntp);
}

#[test]
fn a_socket_for_both_families_is_not_one_for_ipv6() {
    // The standard library leaves it to the system, whose default is both.
    let both = UdpSocket::bind("[::]:0").unwrap();
    let both_at = both.local_addr().unwrap();
    let (command, command_at) = bound();
    let daemon = Daemon::start(
        [copy(&both), copy(&command), nothing()],
        THREE,
        &configuration(both_at, command_at),
    );
    daemon.until_logged(&format!(
        "Passed socket 3 on {both_at} is not used : it receives over IPv4 too (BindIPv6Only=ipv6-only in the socket unit)"
    ));
    daemon.until_logged(&format!("Using passed socket 4 on {command_at}"));
    daemon.until_logged("Passed socket 5 is not used : it is no UDP socket");
}

#[test]
fn low_ports_that_were_passed_need_no_right_to_bind_to_them() {
    if std::env::var_os(INSIDE).is_none() {
        let name = "low_ports_that_were_passed_need_no_right_to_bind_to_them";
        let output = Command::new("unshare")
            .args((!is_root()).then_some("--map-root-user"))
            .args(["--net", "sh", "-euc", "ip link set lo up; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("test result: ok. 1 passed"),
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let [(ntp4, at4), (ntp6, at6), (command, command_at)] =
        ["127.0.0.1:123", "[::1]:123", "127.0.0.1:323"].map(bound_at);
    let allowing = configuration(at4, command_at) + "bindaddress ::1\nallow\n";
    let daemon = Daemon::start([copy(&ntp4), copy(&ntp6), copy(&command)], THREE, &allowing);
    assert!(hears(&ask(at4), PATIENCE), "{}", daemon.log());
    assert!(hears(&ask_from("[::1]:0", at6), PATIENCE), "{}", daemon.log());
    drop(daemon);

    // Without them it does not get far.
    drop((ntp4, ntp6));
    let daemon = Daemon::start([nothing(), nothing(), nothing()], "", &allowing);
    daemon.until_logged(match somebody() {
        "root" => "Could not open NTP socket on 127.0.0.1:123 : Permission denied",
        _ => "Could not drop root privileges : Operation not permitted",
    });
}
