//! The daemon in its container: the image that `deploy/container/build` makes, under podman, with one capability, a root file
//! system that is read-only and the 20 MiB of a small pod.
//!
//! Containers share the clock of their host, so that every daemon here observes (`-x`) or has no capability. podman wants
//! root: an ordinary user's tests run it with sudo. [`inside`] gives a test a network of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::any::type_name;
use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says in the environment that the test is root in its network already, and where the image is.
const INSIDE: &str = "TIMEBALLD_TEST_IMAGE";

/// For how many seconds the daemon is kept busy.
const SECONDS: &str = "TIMEBALLD_TEST_BUSY_SECONDS";

/// The name of the image.
const IMAGE: &str = "localhost/timeballd:test";

/// Where the servers answer; nothing listens on loopback addresses of a new network.
const SERVER_PORT: u16 = 10_123;

/// Where the daemon in the container answers, if nothing else is said.
const SERVED_PORT: u16 = 10_124;

/// Where a server beyond a cable answers.
const SERVER_ADDRESS: &str = "192.0.2.1";

/// The port that languages mean which name none.
const NTP_PORT: u16 = 123;

/// What is put before the script that makes the image: it has no network, and is nobody but who it was.
fn without_network() -> Vec<String> {
    // Whoever is in a network with nothing but a loopback interface says so.
    let check = "test \"$(grep -c : /proc/net/dev)\" -eq 1 || exit 99; exec \"$@\"";
    let me = fs::metadata("/proc/self").unwrap();
    let mut words: Vec<String> = as_root().into_iter().map(str::to_owned).collect();
    if !words.is_empty() {
        words.push("--preserve-env".to_owned());
    }
    words.extend(["unshare", "--net", "setpriv", "--init-groups"].map(str::to_owned));
    words.extend([format!("--reuid={}", me.uid()), format!("--regid={}", me.gid())]);
    // Which programs are found is not for sudo to say.
    let path = env::var("PATH").unwrap();
    words.extend(["env".to_owned(), format!("PATH={path}")]);
    words.extend(["sh", "-c", check, "sh"].map(str::to_owned));
    words
}

/// What is put before a command that only root can run.
fn as_root() -> Vec<&'static str> {
    match fs::metadata("/proc/self").unwrap().uid() {
        0 => Vec::new(),
        _ => vec!["sudo", "-n"],
    }
}

/// Runs a command and returns what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The image, built by the script that people use; the directory holds what podman keeps too, and is root's to remove.
fn image() -> &'static Path {
    static IMAGE_FOLDER: OnceLock<PathBuf> = OnceLock::new();
    IMAGE_FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let storage = folder.join("storage.conf");
        let path = folder.display();
        fs::write(
            &storage,
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{path}/graph\"\nrunroot = \"{path}/run\"\n"),
        )
        .unwrap();
        let storage = format!("CONTAINERS_STORAGE_CONF={}", storage.display());
        let tool = [as_root(), vec!["env", &storage, "buildah"]].concat().join(" ");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/container/build");
        let profile = env::var("TIMEBALL_IMAGE_PROFILE").unwrap_or_else(|_| "dev".to_owned());
        let before = without_network();
        run(Command::new(before.first().unwrap())
            .args(before.get(1..).unwrap())
            .arg(script)
            .args([
                "--tool",
                &tool,
                "--tag",
                "test",
                "--profile",
                &profile,
                "timeballd",
            ]));
        folder
    })
}

/// Runs a test once more, as root and in a network of its own with nothing but a loopback interface. `test` has to be a
/// closure written in the test itself: the test is found by its name, which is in the type of the closure.
#[track_caller]
fn inside<F: FnOnce(&Path)>(test: F) {
    if let Some(folder) = env::var_os(INSIDE) {
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        return test(Path::new(&folder));
    }
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let folder = image();
    let seconds = env::var(SECONDS).unwrap_or_default();
    let words = [as_root(), vec!["unshare", "--net", "env"]].concat();
    let output = Command::new(words.first().unwrap())
        .args(words.get(1..).unwrap())
        .arg(format!("{INSIDE}={}", folder.display()))
        .arg(format!("{SECONDS}={seconds}"))
        .arg(format!(
            "CONTAINERS_STORAGE_CONF={}",
            folder.join("storage.conf").display()
        ))
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--ignored"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    println!("{}", told(&output));
    // A name that is none would run no test, and succeed.
    assert!(
        output.status.success() && told(&output).contains("test result: ok. 1 passed"),
        "{name}"
    );
}

/// podman with what this machine's containers need: an ordinary runtime, and limits that may be set.
fn podman() -> Command {
    let mut command = Command::new("podman");
    command.args(["--runtime", "runc"]);
    command
}

/// A container that runs, in the network of the test.
struct Container {
    name: String,
    _folder: TempDir,
    begun: Instant,
}

impl Container {
    /// Starts the daemon under its own name; `options` are podman's and `arguments` those of the daemon.
    fn start(name: &str, configuration: &str, options: &[&str], arguments: &[&str]) -> Self {
        let own_name = ["--entrypoint", "/timeballd"];
        Self::start_image(name, configuration, &[options, &own_name].concat(), arguments)
    }

    /// Starts what the image starts by itself, `/ntpd`.
    fn start_image(name: &str, configuration: &str, options: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("timeballd.conf"), configuration).unwrap();
        let begun = Instant::now();
        run(podman()
            .args([
                "run",
                "--detach",
                "--name",
                name,
                "--network",
                "host",
                "--read-only",
            ])
            .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"])
            .args([
                "--security-opt",
                "no-new-privileges",
                "--memory",
                "20m",
                "--memory-swap",
                "20m",
            ])
            .args(["--log-driver", "k8s-file", "--cap-drop", "all"])
            .args(options)
            .arg("--volume")
            .arg(format!("{}:/etc/timeball:ro", folder.path().display()))
            .args(["--env", "NTP_CONF_FILE=/etc/timeball/timeballd.conf"])
            .arg(IMAGE)
            .args(arguments));
        Self {
            name: name.to_owned(),
            _folder: folder,
            begun,
        }
    }

    /// Runs a command in the container: its exit status, and what it prints.
    fn exec(&self, words: &[&str]) -> (i32, String) {
        let output = podman().args(["exec", &self.name]).args(words).output().unwrap();
        (output.status.code().unwrap(), told(&output))
    }

    /// Waits until a command in the container succeeds.
    #[track_caller]
    fn until(&self, words: &[&str]) {
        self.until_is(&words.join(" "), || self.exec(words).0 == 0);
    }

    /// Waits until something is so.
    #[track_caller]
    fn until_is(&self, what: &str, is_so: impl Fn() -> bool) {
        while !is_so() {
            assert!(self.begun.elapsed() < PATIENCE, "{what}: {}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        told(&podman().args(["logs", &self.name]).output().unwrap())
    }

    /// What podman knows of it.
    fn inspect(&self, field: &str) -> String {
        let format = format!("{{{{.State.{field}}}}}");
        let said = run(podman().args(["inspect", "--format", &format, &self.name]));
        said.trim().to_owned()
    }

    /// The processor time that the daemon has taken since its start, seconds.
    fn cpu_s(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.inspect("Pid"))).unwrap();
        let nanos: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
        nanos / 1e9
    }

    /// A line of the status of the daemon's process that is a number of KiB.
    fn kib(&self, name: &str) -> u64 {
        self.status(name).trim_end_matches(" kB").parse().unwrap()
    }

    /// A line of the status of the daemon's process.
    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.inspect("Pid"))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = podman()
            .args(["rm", "--force", "--time", "0", &self.name])
            .output();
    }
}

/// A server in the network of the test, at all its addresses.
struct Server {
    child: Child,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[], SERVER_PORT)
    }

    /// Starts one on a host of its own at the other end of a cable, where it has [`SERVER_ADDRESS`] and the port of NTP: at
    /// the own addresses of a daemon that answers at that port there is itself.
    fn start_beyond() -> Self {
        let set_up = format!(
            "until ip link show dev eth0; do sleep 0.1; done >/dev/null 2>&1; ip link set lo up; \
             ip address add {SERVER_ADDRESS}/24 dev eth0; ip link set eth0 up; exec \"$@\""
        );
        let server = Self::start_with(&["unshare", "--net", "sh", "-euc", &set_up, "sh"], NTP_PORT);
        let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let id = server.child.id().to_string();
        let begun = Instant::now();
        while network(&id) == network("self") {
            assert!(begun.elapsed() < PATIENCE, "it has no network of its own");
            sleep(Duration::from_millis(10));
        }
        let cable = [
            "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &id,
        ];
        run(Command::new("ip").args(cable));
        run(Command::new("ip").args(["address", "add", "192.0.2.2/24", "dev", "eth0"]));
        run(Command::new("ip").args(["link", "set", "eth0", "up"]));
        server
    }

    /// Starts one that answers at a port; `before` becomes the daemon.
    fn start_with(before: &[&str], port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let words = [before, &[env!("CARGO_BIN_EXE_timeballd")]].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .args([
                "-d",
                "-x",
                "-U",
                "local stratum 2",
                "allow",
                "cmdport 0",
                "pidfile /",
            ])
            .arg(format!("port {port}"))
            .arg(format!(
                "bindcmdaddress {}",
                folder.path().join("socket").display()
            ))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            _folder: folder,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that is in the image: the program, its names, and whom it believes over HTTPS.
const FILES: [&str; 5] = [
    "chronyd",
    "etc/ssl/certs/ca-certificates.crt",
    "ntpd",
    "openntpd",
    "timeballd",
];

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn the_image_is_made_without_a_network_and_has_nothing_but_the_program() {
    inside(|folder| {
        let layers = run(podman().args(["image", "inspect", "--format", "{{len .RootFS.Layers}}", IMAGE]));
        assert_eq!(layers.trim(), "1");
        let container = run(podman().args(["create", IMAGE]));
        let archive = folder.join("image.tar");
        run(podman()
            .arg("export")
            .arg("--output")
            .arg(&archive)
            .arg(container.trim()));
        run(podman().args(["rm", container.trim()]));
        let list = run(Command::new("tar").arg("-tf").arg(&archive));
        let mut files: Vec<&str> = list.lines().filter(|name| !name.ends_with('/')).collect();
        files.sort_unstable();
        assert_eq!(files, FILES);
    });
}

/// The most that a node of the seed gives it, and what it asks for.
const CPU_LIMIT: &str = "0.02";
const CPU_REQUEST: f64 = 0.01;
const MEMORY_REQUEST_KIB: u64 = 10 * 1024;

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn the_seeds_limits_are_enough_and_its_requests_are_honest() {
    inside(|_| {
        let _server = Server::start();
        let mut configuration = "cmdport 0\n".to_owned();
        for number in 1..=4 {
            // Sixteen times as often as by itself, so that it has something to do in a short time.
            configuration +=
                &format!("server 127.0.1.{number} port {SERVER_PORT} iburst minpoll 2 maxpoll 2\n");
        }
        let container = Container::start(
            "timeballd-limited",
            &configuration,
            &["--cap-add", "sys_time", "--cpus", CPU_LIMIT],
            &["-d", "-x"],
        );
        // Each question is a program in the same container, with its share of the same 2 ms in 100.
        container.until(&["/timeballd", "ctl", "ready"]);
        let ready_s = container.begun.elapsed().as_secs_f64();
        let quota = cgroup_of(&container, "cpu");
        let quota = fs::read_to_string(quota.join("cpu.cfs_quota_us"))
            .or_else(|_| fs::read_to_string(quota.join("cpu.max")))
            .unwrap();
        assert_eq!(quota.split_whitespace().next(), Some("2000"), "{quota}");
        let (begun, before_s) = (Instant::now(), container.cpu_s());
        sleep(Duration::from_secs(10));
        let share = (container.cpu_s() - before_s) / begun.elapsed().as_secs_f64();
        let peak = container.kib("VmHWM:");
        println!("ready after {ready_s:.1} s, then {share:.5} of a processor, {peak} KiB at most");
        assert!(share > 0.0 && share < CPU_REQUEST, "{share}");
        assert!(peak < MEMORY_REQUEST_KIB, "{peak} KiB");
        assert_eq!(container.exec(&["/timeballd", "ctl", "alive"]).0, 0);
        assert_eq!(container.inspect("OOMKilled"), "false");
    });
}

/// The most that it has resident with four sources, when it has answered clients.
const RESIDENT_KIB: u64 = 5 * 1024;

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn with_four_sources_it_is_small_and_soon_tells_others_the_time() {
    inside(|_| {
        let _server = Server::start();
        let mut configuration = format!("cmdport 0\nport {SERVED_PORT}\nallow\n");
        for number in 1..=4 {
            configuration += &format!("server 127.0.1.{number} port {SERVER_PORT} iburst\n");
        }
        let container = Container::start(
            "timeballd-four",
            &configuration,
            &["--cap-add", "sys_time"],
            &["-d", "-x"],
        );
        let from = Ipv4Addr::new(127, 0, 2, 1);
        container.until_is("it tells the time", || {
            ask(from, Ipv4Addr::LOCALHOST, SERVED_PORT).is_some_and(|reply| is_synchronised(&reply))
        });
        let served_s = container.begun.elapsed().as_secs_f64();
        // Until all four have answered their first requests.
        container.until_is("all four are measured", || {
            let (_, sources) = container.exec(&["/timeballd", "ctl", "sources"]);
            sources.lines().filter(|line| line.contains(" 17 ")).count() == 4
        });
        let (resident, peak) = (container.kib("VmRSS:"), container.kib("VmHWM:"));
        println!("served {served_s:.1} s after `podman run`, {resident} KiB resident, {peak} KiB at most");
        assert!(resident <= RESIDENT_KIB, "{resident} KiB");
    });
}

/// The directory in which the kernel tells of one kind of a container's limits.
fn cgroup_of(container: &Container, kind: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", container.inspect("Pid"))).unwrap();
    let line = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (kinds, path) = rest.split_once(':')?;
        let place = if kinds.is_empty() { "" } else { kinds };
        (kinds.is_empty() || kinds.split(',').any(|one| one == kind)).then_some((place, path))
    });
    let (place, path) = line.unwrap_or_else(|| panic!("{kind}: {text}"));
    let root = Path::new("/sys/fs/cgroup");
    root.join(place).join(path.trim_start_matches('/'))
}

/// Capabilities as the kernel prints them: only that to set the clock.
const ONLY_SYS_TIME: &str = "0000000002000000";

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn one_capability_is_enough_and_a_name_of_the_network_is_found() {
    inside(|_| {
        let _server = Server::start();
        let container = Container::start(
            "timeballd-one",
            &format!("server ntp.test port {SERVER_PORT} iburst\ncmdport 0\n"),
            &["--cap-add", "sys_time", "--add-host", "ntp.test:127.0.0.1"],
            &["-d", "-x"],
        );
        container.until(&["/timeballd", "ctl", "ready"]);
        println!(
            "synchronised {:.1} s after the start",
            container.begun.elapsed().as_secs_f64()
        );
        let (_, said) = container.exec(&["/timeballd", "ctl", "ready", "--max-error", "1s"]);
        assert!(said.starts_with("ready : synchronised to 127.0.0.1, "), "{said}");
        assert_eq!(container.exec(&["/timeballd", "ctl", "alive"]).0, 0);
        assert_eq!(container.status("CapEff:"), ONLY_SYS_TIME);
        assert_eq!(container.status("NoNewPrivs:"), "1");
        println!("resident {}", container.status("VmHWM:"));
        let log = container.log();
        assert!(log.contains("Selected source 127.0.0.1 (ntp.test)"), "{log}");
        assert!(!log.contains("Could not"), "{log}");

        // It is process 1 there, for which no signal has an effect unless it says so.
        run(podman().args(["stop", "--time", "30", &container.name]));
        assert_eq!(container.inspect("ExitCode"), "0", "{}", container.log());
        assert!(
            container.log().ends_with("timeballd exiting\n"),
            "{}",
            container.log()
        );
    });
}

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn no_capability_is_enough_to_observe_and_none_to_steer() {
    inside(|_| {
        let _server = Server::start();
        let source = format!("server 127.0.0.1 port {SERVER_PORT} iburst\ncmdport 0\n");
        // Nothing can be written anywhere: there is no socket to ask then, and the daemon says so.
        let container = Container::start(
            "timeballd-none",
            &source,
            &["--read-only-tmpfs=false", "--user", "65532:65532"],
            &["-d", "-x"],
        );
        while !container.log().contains("Selected source 127.0.0.1") {
            assert!(container.begun.elapsed() < PATIENCE, "{}", container.log());
            sleep(Duration::from_millis(100));
        }
        assert!(container.status("CapEff:").chars().all(|digit| digit == '0'));
        let log = container.log();
        assert!(
            log.contains("Could not open command socket on /run/timeballd/timeballd.sock"),
            "{log}"
        );
        drop(container);

        let container = Container::start("timeballd-refused", &source, &[], &["-d"]);
        run(podman().args(["wait", &container.name]));
        assert_eq!(container.inspect("ExitCode"), "1");
        let log = container.log();
        assert!(
            log.contains("CAP_SYS_TIME is missing (be root; in a container `--cap-add SYS_TIME`"),
            "{log}"
        );
    });
}

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn the_name_ntpd_takes_the_seeds_arguments_and_file() {
    inside(|_| {
        let of_image = &["-v", "-d", "-s"][..];
        // The first without a final newline; none with the capability.
        for (text, arguments) in [
            ("servers pool.ntp.org", of_image),
            (
                "servers pool.ntp.org",
                &["-d", "-f", "/etc/timeball/timeballd.conf"],
            ),
            (CHRONY_CONF, of_image),
            (NTP_CONF, of_image),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(folder.path().join("timeballd.conf"), text).unwrap();
            let output = podman()
                .args([
                    "run",
                    "--rm",
                    "--name",
                    "timeballd-seed",
                    "--network",
                    "none",
                    "--read-only",
                ])
                .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"])
                .args([
                    "--cap-drop",
                    "all",
                    "--env",
                    "NTP_CONF_FILE=/etc/timeball/timeballd.conf",
                ])
                .arg("--volume")
                .arg(format!("{}:/etc/timeball:ro", folder.path().display()))
                .arg(IMAGE)
                .args(arguments)
                .output()
                .unwrap();
            let said = told(&output);
            // The arguments and the file are understood; without the capability it goes no further.
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("CAP_SYS_TIME is missing"), "{said}");
        }
    });
}

/// A configuration as chronyd has it, …
const CHRONY_CONF: &str = "server 192.0.2.1 iburst\nmakestep 1 3\nrtcsync\ncmdport 0\n";

/// … as ntpd has it, whose clients are answered, …
const NTP_CONF: &str = "driftfile /var/lib/ntp/ntp.drift\nserver 192.0.2.1 iburst\n\
                        restrict default kod limited nomodify noquery\nrestrict 127.0.0.1\n";

/// … and as OpenNTPD has it.
const NTPD_CONF: &str = "server 192.0.2.1\n";

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn the_name_ntpd_runs_with_a_file_in_any_of_the_languages() {
    inside(|_| {
        let _server = Server::start_beyond();
        for (name, configuration, line, is_served) in [
            ("chrony", CHRONY_CONF, "Selected source 192.0.2.1", false),
            ("ntpd", NTP_CONF, "Selected source 192.0.2.1", true),
            ("openntpd", NTPD_CONF, "peer 192.0.2.1 now valid", false),
        ] {
            // What the image starts by itself, and only looks: the clock here is that of the machine.
            let container = Container::start_image(
                &format!("timeballd-{name}"),
                configuration,
                &["--cap-add", "net_bind_service"],
                &["-v", "-d", "-s", "-x"],
            );
            container.until(&["/timeballd", "ctl", "ready"]);
            container.until_is(line, || container.log().contains(line));
            let asked = || ask(Ipv4Addr::new(127, 0, 2, 1), Ipv4Addr::LOCALHOST, NTP_PORT);
            if is_served {
                container.until_is("it tells the time", || {
                    asked().is_some_and(|reply| is_synchronised(&reply))
                });
            } else {
                assert_eq!(asked(), None, "{name}");
            }
            assert_eq!(container.exec(&["/timeballd", "ctl", "alive"]).0, 0);
            let log = container.log();
            assert!(!log.contains("rror"), "{log}");
        }
    });
}

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn twenty_mebibytes_are_enough_for_200_sources_and_10_000_clients() {
    inside(|_| {
        let _server = Server::start();
        let mut configuration = format!("cmdport 0\nport {SERVED_PORT}\nallow\n");
        for number in 1..=200 {
            configuration +=
                &format!("server 127.0.1.{number} port {SERVER_PORT} iburst minpoll 0 maxpoll 0\n");
        }
        let container = Container::start(
            "timeballd-busy",
            &configuration,
            &["--cap-add", "sys_time"],
            &["-d", "-x"],
        );
        container.until(&["/timeballd", "ctl", "ready"]);
        let seconds = env::var(SECONDS)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(10);
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut answered = 0;
        let mut round = 0;
        while round == 0 || Instant::now() < end {
            for number in 0..10_000_u16 {
                let [high, low] = number.to_be_bytes();
                let from = Ipv4Addr::new(127, 2, high, low);
                answered += usize::from(ask(from, Ipv4Addr::LOCALHOST, SERVED_PORT).is_some());
            }
            round += 1;
            assert_eq!(container.inspect("Running"), "true", "{}", container.log());
        }
        assert_eq!(
            container.exec(&["/timeballd", "ctl", "ready"]).0,
            0,
            "{}",
            container.log()
        );
        let (_, statistics) = container.exec(&["/timeballd", "ctl", "serverstats"]);
        let peak = container.status("VmHWM:");
        println!(
            "{answered} of {} requests answered, {peak} at most\n{statistics}",
            round * 10_000
        );
        assert!(answered > 9_000, "{statistics}");
        assert_eq!(container.inspect("OOMKilled"), "false");
    });
}

/// Asks the daemon in the container for the time; its answer, if there is one.
fn ask(from: Ipv4Addr, at: Ipv4Addr, port: u16) -> Option<[u8; 48]> {
    let socket = UdpSocket::bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
    socket.connect((at, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut packet = [0; 48];
    packet[0] = 0x23;
    packet[47] = 1;
    socket.send(&packet).unwrap();
    matches!(socket.recv(&mut packet), Ok(48)).then_some(packet)
}

/// Whether an answer is the time: it has no alarm and a stratum.
fn is_synchronised(reply: &[u8; 48]) -> bool {
    reply[0] >> 6 != 3 && (1..16).contains(&reply[1])
}
