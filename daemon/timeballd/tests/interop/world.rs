//! Two hosts with a cable between them.
//!
//! [`inside`] runs the test once more, as the first process of new user, network, process and mount namespaces.
//! There it is root over its own networks and mounts and over nothing else: the kernel refuses to let it set the
//! clock, whatever the programs of the test try. The namespaces, and all processes in them, end with the test.

use std::any::type_name;
use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(90);

/// Says in the environment that the test is in its own world already.
const INSIDE: &str = "TIMEBALL_INTEROP_INSIDE";

/// Both hosts and the cable. The other host is the network namespace `theirs`; files are shared.
const SET_UP: &str = "
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip netns add theirs
ip link add eth0 type veth peer name eth0 netns theirs
theirs='nsenter --net=/run/netns/theirs'
for last in 1 2 3 4 5 6 7 8; do
    ip address add 192.0.2.$last/24 dev eth0
    $theirs ip address add 192.0.2.1$last/24 dev eth0
done
ip address add 2001:db8::1/64 dev eth0 nodad
$theirs ip address add 2001:db8::11/64 dev eth0 nodad
for host in '' \"$theirs\"; do
    $host ip link set lo up
    $host ip link set eth0 up
done
";

/// One of the two hosts. The addresses of the first end in 1 to 8, those of the second in 11 to 18.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// Where timeballd runs: 192.0.2.1 to 192.0.2.8, and 2001:db8::1.
    Ours,
    /// Where the other runs: 192.0.2.11 to 192.0.2.18, and 2001:db8::11.
    Theirs,
}

/// Runs a test in a world of its own. `test` has to be a closure written in the test itself: the test is found by its
/// name, which is in the type of the closure.
#[track_caller]
pub(crate) fn inside<F: FnOnce(&World)>(test: F) {
    if std::env::var_os(INSIDE).is_some() {
        let world = World::set_up();
        test(&world);
        return;
    }
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork"])
        .arg("--kill-child")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .env("PATH", path())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("unshare cannot be run: {error}"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    // A name that is none would run no test, and succeed.
    assert!(
        output.status.success() && said[0].contains("test result: ok. 1 passed"),
        "{name} in its own world:\n{}\n{}",
        said[0],
        said[1]
    );
}

/// The world of a test.
pub(crate) struct World {
    folder: tempfile::TempDir,
    programs: RefCell<Vec<(String, Child)>>,
}

impl World {
    fn set_up() -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        assert_eq!(
            map.split_whitespace().last(),
            Some("1"),
            "in a user namespace with one user nobody can set the clock; here are more: {map}"
        );
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let world = Self {
            folder,
            programs: RefCell::default(),
        };
        world.run(Host::Ours, "sh", &["-euxc", SET_UP]);
        world
    }

    /// A file of the world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner can read; in its text `@DIR@` becomes the directory. Returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text.replace("@DIR@", self.folder.path().to_str().unwrap())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts a program, which runs until the end of the world; `name` is that of its log.
    pub(crate) fn start(&self, host: Host, name: &str, program: &str, arguments: &[&str]) {
        self.start_with(host, name, program, arguments, &[]);
    }

    /// Likewise, with more in its environment.
    pub(crate) fn start_with(
        &self,
        host: Host,
        name: &str,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) {
        let log = File::create(self.log_path(name)).unwrap();
        let child = command(host, program, arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
        self.programs.borrow_mut().push((name.to_owned(), child));
    }

    /// Runs a program to its end; returns what it printed. It has to succeed.
    #[track_caller]
    pub(crate) fn run(&self, host: Host, program: &str, arguments: &[&str]) -> String {
        let (text, succeeded) = self.attempt(host, program, arguments, &[]);
        assert!(succeeded, "{program} {arguments:?} failed:\n{text}");
        text
    }

    /// Runs a program to its end; returns what it printed, and whether it succeeded.
    pub(crate) fn attempt(
        &self,
        host: Host,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (String, bool) {
        let output = command(host, program, arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (text, output.status.success())
    }

    /// Asks a program to end and waits for that; says whether it has succeeded.
    #[track_caller]
    pub(crate) fn stop(&self, name: &str) -> bool {
        let mut programs = self.programs.borrow_mut();
        let place = programs.iter().position(|(started, _)| started == name).unwrap();
        let (_, mut program) = programs.remove(place);
        let pid = program.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let begun = Instant::now();
        loop {
            if let Some(status) = program.try_wait().unwrap() {
                return status.success();
            }
            assert!(begun.elapsed() < PATIENCE, "{name} does not end");
            sleep(Duration::from_millis(10));
        }
    }

    /// The number of a program's process.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        let programs = self.programs.borrow();
        let (_, program) = programs.iter().find(|(started, _)| started == name).unwrap();
        program.id()
    }

    /// What a program has printed until now.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    /// Waits until something holds, which is told as it is now by `look`. All programs have to run meanwhile.
    #[track_caller]
    pub(crate) fn wait_until<T>(&self, what: &str, look: impl Fn() -> Result<T, String>) -> T {
        let begun = Instant::now();
        loop {
            let now = match look() {
                Ok(found) => return found,
                Err(now) => now,
            };
            assert!(begun.elapsed() < PATIENCE, "{what}: not yet; now it is\n{now}");
            for (name, program) in self.programs.borrow_mut().iter_mut() {
                let status = program.try_wait().unwrap();
                assert_eq!(status, None, "{what}: but {name} has ended");
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }
}

/// When a test fails, the logs tell why.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (name, _) in self.programs.borrow().iter() {
                println!("---- log of {name}\n{}", self.log(name));
            }
        }
    }
}

fn command(host: Host, program: &str, arguments: &[&str]) -> Command {
    let mut command = match host {
        Host::Ours => Command::new(program),
        Host::Theirs => {
            let mut command = Command::new("nsenter");
            command.args(["--net=/run/netns/theirs", "--", program]);
            command
        }
    };
    command.args(arguments);
    command
}

/// Where programs are, those of the system too: an ordinary user's `PATH` may lack them.
fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// A file or directory that a program needs.
pub(crate) fn needed(path: &Path) -> String {
    assert!(
        path.exists(),
        "{} is missing: ./test unpacks it, and TIMEBALL_PEERS names another directory for it",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}
