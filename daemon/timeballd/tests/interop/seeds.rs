//! The files that people have: tiers of ntpd whose servers proxy the time of others to the pods of a network, and
//! OpenNTPD's shortest file. With the blanks filled in they start, and everybody is reached.
//!
//! Time passes 64 times as fast as on the machine (`hurried.c`), so that eight polls of a minute each take seconds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::programs::ntpsec_tool;
use crate::world::{Host, World, inside};

/// Beside the two hosts there is a third, `upstream`, with the official servers and the clock of the cloud. Ours is the boundary
/// server, and has the pods on `eth0`; theirs is a pod.
const SET_UP: &str = "
theirs='nsenter --net=/run/netns/theirs'
upstream='nsenter --net=/run/netns/upstream'
ip netns add upstream
ip link add eth1 type veth peer name eth0 netns upstream
$theirs ip link add eth1 type veth peer name eth1 netns upstream
ip address add 10.20.0.1/16 dev eth0
ip address add 10.20.0.2/16 dev eth0
$theirs ip address add 10.20.0.11/16 dev eth0
ip address add 198.51.100.1/24 dev eth1
$theirs ip address add 203.0.113.1/24 dev eth1
$upstream ip address add 198.51.100.12/24 dev eth0
$upstream ip address add 198.51.100.13/24 dev eth0
$upstream ip address add 203.0.113.12/24 dev eth1
$upstream ip address add 169.254.169.123/32 dev lo
ip link set eth1 up
$theirs ip link set eth1 up
for device in lo eth0 eth1; do
    $upstream ip link set $device up
done
ip route add 169.254.169.123 dev eth1
$theirs ip route add 169.254.169.123 dev eth1
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/ntp
mount --bind \"$0\" /etc/hosts
mount --bind \"$1\" /etc/resolv.conf
";

/// What stands for the zone of the pods. Two availability zones have a server, the others have none.
const HOSTS: &str = "
198.51.100.12 us-west-2b.stratum-2.invalid
198.51.100.13 us-west-2c.stratum-2.invalid
198.51.100.12 pool.ntp.org
198.51.100.13 pool.ntp.org
10.20.0.1 ntp.az-a.pod
10.20.0.2 ntp.az-b.pod
";

/// What a daemon is started in: runtime files of its own, and time that is hurried.
const OWN: &str = "mount -t tmpfs tmpfs /run; exec env LD_PRELOAD=\"$LIBRARY\" \"$@\"";

/// A machine with the third host and the names.
struct Machine<'a> {
    world: &'a World,
    environment: [(&'static str, String); 3],
}

impl<'a> Machine<'a> {
    fn new(world: &'a World) -> Self {
        let hosts = world.write("hosts", HOSTS);
        // Without one the C library asks this machine.
        let resolver = world.write(
            "resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        );
        world.run(Host::Ours, "sh", &["-euxc", SET_UP, &hosts, &resolver]);
        let library = world.path("hurried.so").to_str().unwrap().to_owned();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/hurried.c");
        let arguments = [
            "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", &library,
        ];
        let arguments = [&arguments[..], &[source.to_str().unwrap(), "-lpthread"]].concat();
        world.run(Host::Ours, "cc", &arguments);
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let since = uptime.split('.').next().unwrap().to_owned();
        let machine = Self {
            world,
            environment: [
                ("LIBRARY", library),
                ("HURRY", "64".to_owned()),
                ("HURRY_SINCE", since),
            ],
        };
        // The clock of the cloud is no better than that of the boundary servers.
        for (name, address, stratum) in [
            ("official-b", "198.51.100.12", 2),
            ("official-c", "198.51.100.13", 2),
            ("cloud", "169.254.169.123", 3),
        ] {
            let text = format!(
                "local stratum {stratum}\nallow\nbindaddress {address}\ncmdport 0\nbindcmdaddress /\npidfile /run/pid\n"
            );
            let file = world.write(&format!("{name}.conf"), &text);
            let program = env!("CARGO_BIN_EXE_timeballd");
            let command = [program, "-d", "-x", "-u", "root", "-f", &file];
            let command = [
                &["--net=/run/netns/upstream", "--", "unshare"],
                &own(&command)[..],
            ]
            .concat();
            machine.start(Host::Ours, name, "nsenter", &command);
        }
        machine
    }

    fn start(&self, host: Host, name: &str, program: &str, arguments: &[&str]) {
        let environment = self
            .environment
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.world
            .start_with(host, name, program, arguments, &environment);
    }

    /// Starts timeballd under the name `ntpd`.
    fn start_ntpd(&self, host: Host, name: &str, arguments: &[&str]) {
        let program = self.ntpd();
        let command = [&[program.as_str()], arguments].concat();
        self.start(host, name, "unshare", &own(&command));
    }

    fn ntpd(&self) -> String {
        let program = self.world.path("ntpd");
        if !program.exists() {
            symlink(env!("CARGO_BIN_EXE_timeballd"), &program).unwrap();
        }
        program.to_str().unwrap().to_owned()
    }
}

/// The arguments of `unshare` with which a command runs in what is its own.
fn own<'a>(command: &[&'a str]) -> Vec<&'a str> {
    [&["--mount", "sh", "-euc", OWN, "sh"], command].concat()
}

/// One of the files, as it is tried out where the language is read too.
fn seed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../conf/tests")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// What `ntpq -pn` says of each source: the character before its address, stratum and `reach`.
fn sources(table: &str) -> BTreeMap<String, (char, String, String)> {
    let rows = table.lines().skip_while(|line| !line.starts_with("====")).skip(1);
    rows.map(|row| {
        let (sign, row) = row.split_at(1);
        let columns: Vec<&str> = row.split_whitespace().collect();
        let told = (
            sign.chars().next().unwrap(),
            columns[2].to_owned(),
            columns[6].to_owned(),
        );
        (columns[0].to_owned(), told)
    })
    .collect()
}

/// Waits until a daemon has a stratum and has heard each of these sources, which have these strata, eight times in a row.
fn wait_for_reach(
    world: &World,
    host: Host,
    asked: &str,
    stratum: &str,
    expected: &[(&str, &str)],
) -> String {
    let what = format!("{asked} on {host:?} is at stratum {stratum} and reaches everybody");
    world.wait_until(&what, || {
        let table = ntpsec_tool(world, host, "ntpq", &["-pn", asked]);
        let system = ntpsec_tool(world, host, "ntpq", &["-c", "rv 0 stratum", asked]);
        let rows = sources(&table);
        let is_reached = |(address, stratum): &(&str, &str)| {
            rows.get(*address)
                .is_some_and(|(_, found, reach)| (found.as_str(), reach.as_str()) == (*stratum, "377"))
        };
        let is_followed = rows.values().any(|(sign, _, _)| *sign == '*');
        let is_done = expected.iter().all(is_reached) && is_followed;
        if is_done && system.trim() == format!("stratum={stratum}") {
            Ok(table)
        } else {
            Err(format!("{system}{table}"))
        }
    })
}

/// What `ntpq` says of a daemon that is followed, and of the source that it follows.
fn look_closely(world: &World, host: Host, asked: &str) {
    let system = ntpsec_tool(world, host, "ntpq", &["-c", "rv", asked]);
    for said in ["leap_none, sync_ntp,", "version=\"ntpd "] {
        assert!(system.contains(said), "{said}: {system}");
    }
    let associations = ntpsec_tool(world, host, "ntpq", &["-c", "as", asked]);
    let followed = associations.lines().find(|line| line.contains("sys.peer"));
    let number = followed.and_then(|line| line.split_whitespace().nth(1)).unwrap();
    let source = ntpsec_tool(world, host, "ntpq", &["-c", &format!("rv {number}"), asked]);
    for said in ["reach=377", "flash=00 ok", "hmode=3", "pmode=4"] {
        assert!(source.contains(said), "{said}: {source}");
    }
}

#[test]
fn the_tiers_of_ntpd_reach_everybody() {
    inside(|world| {
        let machine = Machine::new(world);
        let ntpd = machine.ntpd();
        // As printed: each of the mistakes is told, with what is to be done, and nothing is started.
        for name in ["server", "client"] {
            let file = world.write(&format!("{name}.conf"), &seed(&format!("ntp/{name}.conf")));
            let script = "\"$@\"; echo \"ends with $?\"";
            let (said, _) = world.attempt(
                Host::Ours,
                "sh",
                &["-c", script, "sh", &ntpd, "-n", "-u", "root:root", "-c", &file],
                &[],
            );
            assert!(said.contains("ends with 1\n"), "{said}");
            let golden = seed(&format!("ntp/{name}.said"));
            let mistakes: Vec<&str> = golden
                .lines()
                .filter_map(|line| line.strip_prefix("error: /etc/ntp.conf"))
                .collect();
            assert!(!mistakes.is_empty(), "{golden}");
            for mistake in mistakes {
                let (place, text) = mistake.split_once(' ').unwrap();
                let line = format!("{file}{place} error: {text}");
                assert!(said.contains(&line), "{line} is not in:\n{said}");
            }
        }
        // With the blanks filled in.
        for (host, name) in [(Host::Ours, "server"), (Host::Theirs, "client")] {
            let file = world.write(
                &format!("{name}-filled.conf"),
                &seed(&format!("ntp/{name}-filled.conf")),
            );
            machine.start_ntpd(host, name, &["-n", "-g", "-u", "root:root", "-c", &file]);
        }
        let official = [("198.51.100.12", "2"), ("198.51.100.13", "2")];
        let cloud = ("169.254.169.123", "3");
        // Of this host only what IPv6 has may ask, by the file.
        let table = wait_for_reach(world, Host::Ours, "::1", "3", &[official[0], official[1], cloud]);
        assert_eq!(sources(&table).len(), 3, "{table}");
        look_closely(world, Host::Ours, "::1");
        let boundary = [("10.20.0.1", "3"), ("10.20.0.2", "3")];
        let table = wait_for_reach(
            world,
            Host::Theirs,
            "127.0.0.1",
            "4",
            &[boundary[0], boundary[1], cloud],
        );
        // Those without a server are waited for, and are in nobody's way.
        let others = sources(&table).into_values().filter(|(_, _, reach)| reach == "0");
        assert_eq!(others.count(), 5, "{table}");
    });
}

/// Asks for the time once; prints the stratum.
const ASK: &str = r#"
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(1)
    asking.sendto(bytes([4 << 3 | 3]) + bytes(39) + b"timeball", ("192.0.2.1", 123))
    print(asking.recv(500)[1])
"#;

#[test]
fn one_line_is_a_client_and_two_are_a_server_too() {
    inside(|world| {
        let machine = Machine::new(world);
        let passwd = world.write("passwd", "root:x:0:0::/:/bin/false\n");
        world.run(Host::Ours, "mount", &["--bind", &passwd, "/etc/passwd"]);
        let ntpctl = world.path("ntpctl");
        symlink(env!("CARGO_BIN_EXE_timeballd"), &ntpctl).unwrap();
        let ntpctl = ntpctl.to_str().unwrap();
        let ntpd = machine.ntpd();
        let library = format!("LD_PRELOAD={}", machine.environment[0].1);
        // The one line has no end, as it stands in the file of the seed.
        for (name, text) in [
            ("client", "servers pool.ntp.org"),
            ("server", "servers pool.ntp.org\nlisten on *"),
        ] {
            let file = world.write(&format!("{name}.conf"), text);
            let command = [&library, &ntpd, "-d", "-s", "-f", &file];
            machine.start(Host::Ours, name, "env", &command);
            world.wait_until("both servers are valid", || {
                let (said, _) = world.attempt(Host::Ours, ntpctl, &["-s", "status"], &[]);
                if said == "2/2 peers valid, clock synced, stratum 3\n" {
                    Ok(())
                } else {
                    Err(said)
                }
            });
            let (answer, is_answered) = world.attempt(Host::Theirs, "python3", &["-c", ASK], &[]);
            let answer = is_answered.then(|| answer.trim().to_owned());
            assert_eq!(answer.as_deref(), (name == "server").then_some("3"));
            assert!(world.stop(name), "{}", world.log(name));
        }
    });
}
