//! The image with controller, agent and command line, which `deploy/container/build` makes, under podman as
//! `deploy/container/README.md` says it: a controller without any capability, and an agent that manages the chronyd of
//! the host below its container.
//!
//! podman wants root: an ordinary user's tests run it with sudo. [`inside`] gives a test networks and mounts of its own,
//! and in them a chronyd that observes (`-x`), whose files are where every host has them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::any::type_name;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says in the environment that the test is root in its own network already, and where the image is.
const INSIDE: &str = "TIMEBALL_TEST_IMAGE";

/// The name of the image.
const IMAGE: &str = "localhost/timeball:test";

/// A host's chronyd, which can set no clock.
const CHRONYD: [&str; 9] = [
    "setpriv",
    "--bounding-set=-sys_time",
    "--inh-caps=-sys_time",
    "chronyd",
    "-x",
    "-d",
    "-u",
    "root",
    "-f/etc/chrony/chrony.conf",
];

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

/// The image, built by the script that people use. The directory holds what podman keeps too; one run leaves it to the next.
fn image() -> &'static Path {
    static IMAGE_FOLDER: OnceLock<PathBuf> = OnceLock::new();
    IMAGE_FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
        fs::create_dir_all(&folder).unwrap();
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
        let arguments = [
            "--tool",
            &tool,
            "--tag",
            "test",
            "--profile",
            &profile,
            "timeball",
        ];
        // Nothing is fetched: `./test` has the crates already.
        run(Command::new(script)
            .args(arguments)
            .env("CARGO_NET_OFFLINE", "true"));
        // The image of the run before has no name any more.
        let (program, words) = tool.split_once(' ').unwrap();
        run(Command::new(program)
            .args(words.split(' '))
            .args(["rmi", "--prune"]));
        folder
    })
}

/// Runs a test once more, as root and with networks and mounts of its own: only a loopback interface, and directories for
/// chrony's files. `test` has to be a closure written in the test itself: the test is found by its name, which is in the
/// type of the closure.
#[track_caller]
fn inside<F: FnOnce()>(test: F) {
    if env::var_os(INSIDE).is_some() {
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        for place in ["/etc/chrony", "/run/chrony"] {
            fs::create_dir_all(place).unwrap();
            // chronyd wants its own directory closed to others.
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=0750", "tmpfs", place]));
        }
        return test();
    }
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let folder = image();
    let words = [as_root(), vec!["unshare", "--net", "--mount", "env"]].concat();
    let output = Command::new(words.first().unwrap())
        .args(words.get(1..).unwrap())
        .arg(format!("{INSIDE}={}", folder.display()))
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
    name: &'static str,
}

impl Container {
    /// Starts the image; `options` are podman's and `arguments` those of the program.
    fn start(name: &'static str, options: &[&str], arguments: &[&str]) -> Self {
        run(podman()
            .args([
                "run",
                "--detach",
                "--replace",
                "--name",
                name,
                "--network",
                "host",
            ])
            .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"])
            .args(["--security-opt", "no-new-privileges", "--log-driver", "k8s-file"])
            .args(["--read-only", "--cap-drop", "all"])
            .args(options)
            .arg(IMAGE)
            .args(arguments));
        Container { name }
    }

    /// Runs the program in the container: its exit status, and what it prints.
    fn exec(&self, arguments: &[&str]) -> (i32, String) {
        let output = podman()
            .args(["exec", self.name, "/timeball"])
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code().unwrap(), told(&output))
    }

    /// As [`Container::exec`] with `--json`; what is printed.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let (_, said) = self.exec(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
    }

    /// Stops it, as podman does: its exit status.
    fn stop(&self) -> String {
        run(podman().args(["stop", "--time", "30", self.name]));
        self.inspect("ExitCode")
    }

    fn log(&self) -> String {
        told(&podman().args(["logs", self.name]).output().unwrap())
    }

    /// What podman knows of it.
    fn inspect(&self, field: &str) -> String {
        let format = format!("{{{{.State.{field}}}}}");
        let said = run(podman().args(["inspect", "--format", &format, self.name]));
        said.trim().to_owned()
    }

    /// A line of the status of its process.
    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.inspect("Pid"))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- {}\n{}", self.name, self.log());
        }
        let _ = podman()
            .args(["rm", "--force", "--volumes", "--time", "0", self.name])
            .output();
    }
}

/// The host's own time service.
struct Chronyd(Child);

impl Chronyd {
    fn start() -> Self {
        let conf = "server 192.0.2.1\nsourcedir /etc/chrony/sources.d\nport 0\ncmdport 0\ndriftfile /run/chrony/drift\n";
        fs::create_dir_all("/etc/chrony/sources.d").unwrap();
        fs::write("/etc/chrony/chrony.conf", conf).unwrap();
        let child = Command::new(CHRONYD[0])
            .args(&CHRONYD[1..])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Chronyd(child)
    }

    /// The names of its sources, as its own tool tells them.
    fn sources(&self) -> Vec<String> {
        let table = run(Command::new("chronyc").args(["-c", "-N", "sources"]));
        let rows = table.lines().filter_map(|line| line.split(',').nth(2));
        let mut names: Vec<String> = rows.map(str::to_owned).collect();
        names.sort();
        names
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn eventually<T>(what: &str, look: impl Fn() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(now) => assert!(begun.elapsed() < PATIENCE, "not in time: {what}; now it is {now}"),
        }
        sleep(Duration::from_millis(100));
    }
}

/// A controller that has no right beyond an ordinary user's, and a token that lets agents in.
fn controller(folder: &TempDir) -> Container {
    let controller = Container::start(
        "timeball-controller",
        &[
            "--volume",
            "/var/lib/timeball",
            "--env",
            "TIMEBALL_CONTROLLER_LINK_ADVERTISE=controller.test:8443",
        ],
        &["controller"],
    );
    eventually("the controller is ready", || {
        match controller.exec(&["client", "health", "ready"]) {
            (0, _) => Ok(()),
            (status, said) => Err(format!("{status}: {said}{}", controller.log())),
        }
    });
    let token = controller.json(&["client", "agent", "token", "create", "--uses", "10"]);
    fs::write(folder.path().join("token"), token["token"].as_str().unwrap()).unwrap();
    controller
}

/// An agent, and what podman is told of it beside.
fn agent(folder: &TempDir, name: &'static str, options: &[&str]) -> Container {
    let machine_id = folder.path().join(format!("{name}.id"));
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    fs::write(&machine_id, id.replace('-', "")).unwrap();
    let token = format!("{}:/token:ro", folder.path().join("token").display());
    let machine_id = format!("{}:/etc/machine-id:ro", machine_id.display());
    let hostname = format!("TIMEBALL_AGENT_HOSTNAME={name}");
    let common = [
        ["--volume", "/var/lib/timeball"],
        ["--volume", &token],
        ["--volume", &machine_id],
        ["--env", &hostname],
        ["--env", "TIMEBALL_AGENT_CONTROLLER=controller.test:8443"],
        ["--env", "TIMEBALL_AGENT_ENROLMENT_TOKEN_FILE=/token"],
        // Found by the name, as the network's name service would tell it.
        ["--add-host", "controller.test:127.0.0.1"],
    ];
    Container::start(name, &[common.as_flattened(), options].concat(), &["agent"])
}

fn is_ready(controller: &Container, name: &str) {
    eventually("the agent is ready", || {
        let list = controller.json(&["client", "agent", "list"]);
        let agents = list["agents"].as_array().cloned().unwrap_or_default();
        let is_it = |agent: &Value| agent["hostname"] == name && agent["status"] == "Ready";
        match agents.iter().any(is_it) {
            true => Ok(()),
            false => Err(format!("{list}")),
        }
    });
}

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn a_controller_and_an_agent_in_containers_manage_the_chronyd_of_the_host() {
    inside(|| {
        let folder = tempfile::tempdir().unwrap();
        let chronyd = Chronyd::start();
        let controller = controller(&folder);
        assert!(controller.status("CapEff:").chars().all(|digit| digit == '0'));
        let os_release = folder.path().join("os-release");
        fs::write(&os_release, "ID=debian\nVERSION_ID=\"12\"\n").unwrap();
        let os_release = format!("{}:/etc/os-release:ro", os_release.display());
        let agent = agent(
            &folder,
            "host-01",
            &[
                "--pid",
                "host",
                "--cap-add",
                "chown,dac_override,fowner",
                "--env",
                "TIMEBALL_AGENT_CONTAINER=host",
                "--volume",
                &os_release,
                "--volume",
                "/etc/chrony:/etc/chrony",
                "--volume",
                "/run/chrony:/run/chrony",
            ],
        );
        is_ready(&controller, "host-01");

        // --- the host's processes and its time service
        let host = controller.json(&["client", "agent", "get", "--hostname", "host-01"]);
        let services = host["time_services"].as_array().cloned().unwrap_or_default();
        let chronyd_runs = services
            .iter()
            .any(|service| service["name"] == "chronyd" && service["sets_clock"] == false);
        assert!(chronyd_runs, "{host}");
        let ntp = |verb: &str, more: &[&str]| {
            let words = [&["client", "node", "ntp", verb, "--target", "host-01"][..], more].concat();
            controller.json(&words)["results"][0].clone()
        };
        assert_eq!(ntp("get", &[])["servers"][0], "192.0.2.1");

        // --- a change reaches the real chronyd, and is what its own tool says
        let servers = ["--servers", "192.0.2.7,192.0.2.8"];
        let row = ntp("create", &servers);
        assert_eq!(row["changed"], true, "{row}");
        assert_eq!(chronyd.sources(), ["192.0.2.1", "192.0.2.7", "192.0.2.8"]);
        let file = fs::read_to_string("/etc/chrony/sources.d/timeball.sources").unwrap();
        assert!(file.contains("server 192.0.2.7 "), "{file}");
        assert_eq!(ntp("create", &servers)["changed"], false);

        // --- both end when they are told to, and go on where they stopped
        assert_eq!(agent.stop(), "0", "{}", agent.log());
        assert_eq!(controller.stop(), "0", "{}", controller.log());
        for container in [&controller, &agent] {
            run(podman().args(["start", container.name]));
        }
        eventually("the controller is ready again", || {
            match controller.exec(&["client", "health", "ready"]) {
                (0, _) => Ok(()),
                (status, said) => Err(format!("{status}: {said}{}", controller.log())),
            }
        });
        is_ready(&controller, "host-01");
        let row = ntp("delete", &[]);
        assert_eq!(row["changed"], true, "{row}");
        assert_eq!(chronyd.sources(), ["192.0.2.1"]);
    });
}

#[test]
#[ignore = "makes containers, as root: `./test` does it"]
fn an_agent_that_is_shown_nothing_of_its_host_leaves_the_clock_to_it() {
    inside(|| {
        let folder = tempfile::tempdir().unwrap();
        let controller = controller(&folder);
        let agent = agent(&folder, "pod-01", &[]);
        is_ready(&controller, "pod-01");
        assert!(agent.status("CapEff:").chars().all(|digit| digit == '0'));
        let rows = controller.json(&["client", "node", "ntp", "get", "--target", "pod-01"]);
        let row = &rows["results"][0];
        assert_eq!(row["status"], "skipped", "{row}");
        let error = row["error"].as_str().unwrap();
        assert!(error.starts_with("this host is a container"), "{error}");
    });
}
