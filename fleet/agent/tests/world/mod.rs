//! A host of its own for a test, with a real time service and nothing of the machine's, and a time server beside it.
//!
//! [`inside`] runs the test once more, as the first process of new user, network, process and mount namespaces. There it
//! is root over its own networks and mounts and over nothing else: the kernel refuses to let it set the clock, whatever
//! the programs of the test try. The namespaces, and all processes in them, end with the test.

use std::any::type_name;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use agent::{Container, Service, Settings, TimeService};
use model::ntp::NtpStatus;
use model::{Operation, Outcome, Servers};

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says in the environment that the test is in its own world already, and what it is to do there if that is one operation
/// only.
const INSIDE: &str = "TIMEBALL_AGENT_INSIDE";
const ONE_OPERATION: &str = "TIMEBALL_AGENT_OPERATION";

/// The mounts and the networks: 192.0.2.1 is the host, 192.0.2.11 to .15 are the time server.
const SET_UP: &str = "
for directory in /run /var/lib /usr/local/sbin; do mount -t tmpfs -o mode=0755 tmpfs $directory; done
mkdir -p /run/lab/etc /run/netns /run/dbus /run/systemd/system /var/lib/openntpd/run /var/lib/openntpd/db /var/lib/ntpsec
mkdir -p /var/lib/systemd/timesync
mount -t tmpfs -o mode=0755 tmpfs /run/lab/etc
cp -a /etc/ld.so.cache /etc/ld.so.conf* /etc/alternatives /run/lab/etc/ 2>/dev/null || true
mount --move /run/lab/etc /etc
ip netns add theirs
ip link add eth0 type veth peer name eth0 netns theirs
theirs='nsenter --net=/run/netns/theirs'
ip address add 192.0.2.1/24 dev eth0
for last in 11 12 13 14 15; do $theirs ip address add 192.0.2.$last/24 dev eth0; done
for host in '' \"$theirs\"; do
    $host ip link set lo up
    $host ip link set eth0 up
done
$theirs chronyd -x -u root -f /etc/server.conf -l /run/lab/server.log
";

/// The time services there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Ntpsec,
    /// Our own daemon under ntpd's name; it reads the files that its configuration names, as the classic ntpd does.
    TimeballdAsNtpd,
    Openntpd,
    Timesyncd,
}

impl Daemon {
    pub(crate) fn service(self) -> Service {
        match self {
            Daemon::Ntpsec | Daemon::TimeballdAsNtpd => Service::Ntpd,
            Daemon::Openntpd => Service::Openntpd,
            Daemon::Timesyncd => Service::Timesyncd,
        }
    }

    /// Its name in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Daemon::Ntpsec | Daemon::TimeballdAsNtpd => "ntpd",
            Daemon::Openntpd => "openntpd",
            Daemon::Timesyncd => "timesyncd",
        }
    }

    pub(crate) fn config(self) -> &'static str {
        match self {
            Daemon::Ntpsec => "/etc/ntpsec/ntp.conf",
            Daemon::TimeballdAsNtpd => "/etc/ntp.conf",
            Daemon::Openntpd => "/etc/openntpd/ntpd.conf",
            Daemon::Timesyncd => "/etc/systemd/timesyncd.conf",
        }
    }

    /// The file into which the agent puts servers.
    pub(crate) fn managed(self) -> &'static str {
        match self {
            Daemon::Ntpsec => "/etc/ntpsec/ntp.d/timeball.conf",
            Daemon::TimeballdAsNtpd => "/etc/ntp.d/timeball.conf",
            Daemon::Openntpd => "/etc/openntpd/ntpd.conf",
            Daemon::Timesyncd => "/etc/systemd/timesyncd.conf.d/timeball.conf",
        }
    }

    /// The program of the two that share its name, where it is root's as on every host.
    pub(crate) fn program(self) -> String {
        format!("/run/lab/{}/ntpd", self.name())
    }

    /// What starts it, as a shell command that does not end before it does.
    fn start(self) -> String {
        let peer = |path: &str| needed(&peers().join(path));
        match self {
            Daemon::Ntpsec => format!(
                "LD_LIBRARY_PATH={} {} -n -c {} -p /run/ntpd.pid",
                libraries(),
                self.program(),
                self.config()
            ),
            // Its process has ntpd's name, and its arguments are its own.
            Daemon::TimeballdAsNtpd => {
                "bash -c \"exec -a timeballd /usr/local/sbin/ntpd --dialect ntpd -x -d -u root -f /etc/ntp.conf\"".to_owned()
            }
            Daemon::Openntpd => format!(
                "LD_PRELOAD=/run/lab/preload.so {} -d -v -f {}",
                self.program(),
                self.config()
            ),
            Daemon::Timesyncd => {
                // systemd keeps a library for itself beside the others.
                let all = libraries();
                let own = all.split(':').map(|folder| format!("{folder}/systemd:"));
                format!(
                    "LD_LIBRARY_PATH={}{} {}",
                    own.collect::<String>(),
                    libraries(),
                    peer("timesyncd/lib/systemd/systemd-timesyncd")
                )
            }
        }
    }

    /// The host's own configuration, with one server that is no managed one.
    fn files(self) -> Vec<(&'static str, String)> {
        let own = match self {
            Daemon::Ntpsec | Daemon::TimeballdAsNtpd => {
                "tos minsane 1 minclock 1\n# The site's own.\nserver own.lab iburst\nrestrict default ignore\n\
                 restrict 127.0.0.1\nrestrict 192.0.2.0 mask 255.255.255.0\n"
            }
            Daemon::Openntpd => "# The site's own.\nserver own.lab\n",
            Daemon::Timesyncd => "[Time]\n# The site's own.\nNTP=own.lab\n",
        };
        vec![(self.config(), own.to_owned())]
    }

    /// Where the host's own server stands.
    pub(crate) fn own_place(self) -> String {
        let line = match self {
            Daemon::Openntpd => 2,
            Daemon::Ntpsec | Daemon::TimeballdAsNtpd | Daemon::Timesyncd => 3,
        };
        format!("{}:{line}", self.config())
    }
}

/// Runs a test in a world of its own. `test` has to be a closure written in the test itself: the test is found by its
/// name, which is in the type of the closure.
#[track_caller]
pub(crate) fn inside<F: FnOnce(&World)>(daemon: Daemon, test: F) {
    if let Ok(operation) = std::env::var(ONE_OPERATION) {
        // The agent that is killed in the middle.
        let operation: Operation = serde_json::from_str(&operation).unwrap();
        let result = agent::perform(&World { daemon }.settings(daemon.service()), &operation);
        panic!("the agent outlived its end: {result:?}");
    }
    if std::env::var_os(INSIDE).is_some() {
        let world = World::set_up(daemon);
        test(&world);
        return;
    }
    let name = test_name::<F>();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, name)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("this test needs `unshare` of util-linux: {error}"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    // A name that is none would run no test, and succeed.
    assert!(
        output.status.success() && said[0].contains("test result: ok. 1 passed"),
        "{name} in its own world:\n{}\n{}",
        said[0],
        said[1]
    );
}

fn test_name<F>() -> &'static str {
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    name
}

/// The world of a test.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
}

impl World {
    fn set_up(daemon: Daemon) -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        assert_eq!(
            map.split_whitespace().last(),
            Some("1"),
            "in a user namespace with one user nobody can set the clock; here are more: {map}"
        );
        let world = World { daemon };
        // The first process has no end of its own to give to those without parents.
        let script = format!("{SET_UP}\n");
        let (before, after) = script.split_once("ip netns add").unwrap();
        world.sh(before);
        world.furnish();
        world.sh(&format!("ip netns add{after}"));
        world.install(daemon);
        world.systemctl("start");
        world
    }

    /// The files of a host, the time services' left out.
    fn furnish(&self) {
        let users = ["root", "ntpd", "openntpd", "systemd-timesync"];
        let home = "/var/lib/openntpd";
        let lines = users.map(|name| format!("{name}:x:0:0::{home}:/bin/false\n"));
        self.write("/etc/passwd", &lines.concat());
        self.write("/etc/group", "root:x:0:\nsystemd-timesync:x:0:\n");
        self.write(
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n",
        );
        self.write("/etc/services", "ntp 123/tcp\nntp 123/udp\n");
        self.write("/etc/host.conf", "multi on\n");
        self.write(
            "/etc/hosts",
            "127.0.0.1 localhost\n192.0.2.11 ntp1.lab\n192.0.2.12 ntp2.lab\n192.0.2.13 own.lab\n192.0.2.14 pool.lab\n\
             192.0.2.15 pool.lab\n",
        );
        self.write("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
        self.write("/etc/machine-id", &format!("{}\n", "5".repeat(32)));
        self.write(
            "/etc/server.conf",
            "local stratum 3\nallow\ncmdport 0\nbindcmdaddress /\npidfile /run/lab/server.pid\n",
        );
        self.write(
            "/etc/bus.conf",
            "<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>\
             <auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
        );
    }

    /// Installs a time service, which does not run yet.
    pub(crate) fn install(&self, daemon: Daemon) {
        for (path, text) in daemon.files() {
            self.write(path, &text);
        }
        match daemon {
            Daemon::Ntpsec => {
                let ntpd = needed(&peers().join("ntpsec/usr/sbin/ntpd"));
                self.sh(&format!("install -D {ntpd} {}", daemon.program()));
            }
            Daemon::TimeballdAsNtpd => {
                let test = std::env::current_exe().unwrap();
                let program = needed(&test.ancestors().nth(2).unwrap().join("timeballd"));
                self.sh(&format!("ln -s {program} /usr/local/sbin/ntpd"));
            }
            Daemon::Openntpd => {
                let source = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../../daemon/timeballd/tests/interop/preload.c");
                let openntpd = needed(&peers().join("openntpd/usr/sbin/ntpd"));
                let ntpctl = needed(&peers().join("openntpd/usr/sbin/ntpctl"));
                self.sh(&format!(
                    "cc -O1 -shared -fPIC -o /run/lab/preload.so {}\ninstall -D {openntpd} {}\n\
                     ln -s {ntpctl} /usr/local/sbin/ntpctl",
                    needed(&source),
                    daemon.program()
                ));
            }
            Daemon::Timesyncd => {
                needed(Path::new("/usr/bin/dbus-daemon"));
                self.sh("dbus-daemon --config-file=/etc/bus.conf --fork --nopidfile 2>/run/lab/bus.log");
            }
        }
        // As systemctl starts, stops and restarts it, all of its group. Nobody waits for those that have ended. Each restart
        // is counted.
        let script = format!(
            "name={name}\n\
             lives() {{ cut -d ' ' -f 3,5 /proc/[0-9]*/stat 2>/dev/null | grep -q \"^[^Z] $1\\$\"; }}\n\
             stop() {{\n\
                 pid=$(cat /run/lab/$name.pid 2>/dev/null) || return 0\n\
                 rm /run/lab/$name.pid\n\
                 kill -- -$pid 2>/dev/null\n\
                 while lives $pid; do sleep 0.02; done\n\
                 return 0\n\
             }}\n\
             start() {{\n\
                 setsid sh -c 'echo $$ >/run/lab/{name}.pid; exec env {start}' >>/run/lab/{name}.log 2>&1 </dev/null &\n\
                 while ! [ -s /run/lab/$name.pid ]; do sleep 0.02; done\n\
             }}\n\
             [ \"$1\" != restart ] || echo restart >>/run/lab/$name.restarts\n\
             [ ! -e /run/lab/killer ] || {{ rm /run/lab/killer; kill -9 $PPID; exit 1; }}\n\
             [ ! -e /run/lab/refusal ] || {{ echo \"Job for $name.service failed.\" >&2; exit 1; }}\n\
             case $1 in\n\
             stop) stop ;;\n\
             start) start ;;\n\
             restart) stop; start ;;\n\
             esac\n",
            name = daemon.name(),
            start = daemon.start(),
        );
        self.write(&script_of(daemon), &script);
    }

    /// Starts, stops or restarts the daemon, as systemd would.
    #[track_caller]
    pub(crate) fn systemctl(&self, verb: &str) {
        self.systemctl_of(self.daemon, verb);
    }

    #[track_caller]
    pub(crate) fn systemctl_of(&self, daemon: Daemon, verb: &str) {
        self.sh(&format!("sh {} {verb}", script_of(daemon)));
    }

    /// How often the agent had the daemon restarted.
    pub(crate) fn restarts(&self) -> usize {
        let path = format!("/run/lab/{}.restarts", self.daemon.name());
        fs::read_to_string(path).unwrap_or_default().lines().count()
    }

    /// The agent's settings.
    pub(crate) fn settings(&self, service: Service) -> Settings {
        let mut settings = Settings::new("controller.invalid:1");
        settings.state = PathBuf::from("/var/lib/timeball/agent");
        settings.container = Container::Host;
        settings.service = service;
        let restart = |daemon: Daemon, service: &mut TimeService| {
            let command = ["sh", &script_of(daemon), "restart"];
            service.restart_command = Some(command.map(str::to_owned).to_vec());
        };
        let ntpd = match self.daemon {
            Daemon::TimeballdAsNtpd => Daemon::TimeballdAsNtpd,
            _ => Daemon::Ntpsec,
        };
        restart(ntpd, &mut settings.ntpd);
        restart(Daemon::Openntpd, &mut settings.openntpd);
        restart(Daemon::Timesyncd, &mut settings.timesyncd);
        settings
    }

    /// Performs an operation as the agent of this host, which finds out by itself what runs.
    #[track_caller]
    pub(crate) fn perform(&self, operation: &Operation) -> Outcome {
        agent::perform(&self.settings(Service::Auto), operation)
            .unwrap()
            .outcome
    }

    #[track_caller]
    pub(crate) fn get(&self) -> NtpStatus {
        match self.perform(&Operation::NtpGet) {
            Outcome::Status(status) => *status,
            other => panic!("{other:?}\n{}", self.log()),
        }
    }

    /// Starts an agent that performs an operation and is killed when it has the daemon restarted.
    #[track_caller]
    pub(crate) fn killed_in(&self, operation: &Operation) {
        self.write("/run/lab/killer", "");
        let name = std::env::var(INSIDE).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(ONE_OPERATION, serde_json::to_string(operation).unwrap())
            .output()
            .unwrap();
        assert!(
            output.status.code().is_none() && !Path::new("/run/lab/killer").exists(),
            "{output:?}"
        );
    }

    /// The names of the sources that the daemon has, as its own tool tells them, sorted.
    #[track_caller]
    pub(crate) fn sources_of_daemon(&self) -> Vec<String> {
        self.eventually("the sources have names", || {
            let names = self.sources_as_told();
            // NTPsec has no name for a source that it is looking up, and no address.
            let is_looked_up = names.iter().any(|name| name == "0.0.0.0");
            if is_looked_up {
                Err(names.join(" "))
            } else {
                Ok(names)
            }
        })
    }

    /// The same as they are told at this moment.
    #[track_caller]
    fn sources_as_told(&self) -> Vec<String> {
        let mut names: Vec<String> = match self.daemon {
            Daemon::Ntpsec | Daemon::TimeballdAsNtpd => {
                // The first of the columns is the source's name as it is configured, or its address.
                let table = self.ntpq(&["-w", "-p"]);
                let rows = table.lines().skip(2);
                rows.filter_map(|row| row.get(1..)?.split_whitespace().next().map(str::to_owned))
                    .collect()
            }
            Daemon::Openntpd => {
                let table = self.sh("ntpctl -s peers");
                let mut lines = table.lines().skip(2);
                let mut names = Vec::new();
                while let (Some(name), Some(_)) = (lines.next(), lines.next()) {
                    names.push(name.split_whitespace().last().unwrap_or_default().to_owned());
                }
                names
            }
            Daemon::Timesyncd => {
                let text = self.sh("timedatectl show-timesync --property=SystemNTPServers --value");
                text.split_whitespace().map(str::to_owned).collect()
            }
        };
        names.sort();
        names.dedup();
        names
    }

    /// What NTPsec's ntpq prints.
    #[track_caller]
    pub(crate) fn ntpq(&self, arguments: &[&str]) -> String {
        let program = needed(&peers().join("ntpsec/usr/bin/ntpq"));
        let modules = needed(&peers().join("ntpsec/usr/lib/python3/dist-packages"));
        let output = Command::new("python3")
            .arg(program)
            .args(arguments)
            .arg("127.0.0.1")
            .env("PYTHONPATH", modules)
            .env("LD_LIBRARY_PATH", libraries())
            .output()
            .unwrap();
        succeeded(&output)
    }

    /// Runs a script; returns what it prints.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = Command::new("sh")
            .args(["-euc", script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        succeeded(&output)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What the daemon logged.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for log in [self.daemon.name(), "bus", "server"] {
            let content = fs::read_to_string(format!("/run/lab/{log}.log")).unwrap_or_default();
            let _ = writeln!(text, "--- {log}\n{content}");
        }
        text
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn eventually<T>(&self, what: &str, look: impl Fn() -> Result<T, String>) -> T {
        let begun = Instant::now();
        loop {
            match look() {
                Ok(found) => return found,
                Err(now) => assert!(
                    begun.elapsed() < PATIENCE,
                    "not in time: {what}; now it is {now}\n{}",
                    self.log()
                ),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn script_of(daemon: Daemon) -> String {
    format!("/run/lab/{}.systemctl", daemon.name())
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}\n{text}\n{error}");
    text
}

pub(crate) fn list(servers: &[&str]) -> Servers {
    Servers::new(servers.iter().map(|server| server.parse().unwrap()).collect()).unwrap()
}

/// A file that must be there.
fn needed(path: &Path) -> String {
    assert!(
        path.exists(),
        "{} is not there; ./test fetches what the tests need, and `cargo build -p timeballd` builds timeballd",
        path.display()
    );
    path.display().to_string()
}

/// Where libraries are that the machine may not have.
fn libraries() -> String {
    let folder = peers().join("libraries");
    let folders = ["usr/lib", "lib"].map(|lib| folder.join(lib));
    let folders = folders.iter().filter_map(|lib| fs::read_dir(lib).ok()).flatten();
    let folders = folders.map(|entry| entry.unwrap().path().display().to_string());
    let folders = folders.filter(|path| path.ends_with("-linux-gnu"));
    folders.collect::<Vec<_>>().join(":")
}

/// Where Debian's packages are unpacked that cannot be installed side by side.
fn peers() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    std::env::var_os("TIMEBALL_PEERS").map_or_else(own, PathBuf::from)
}
