//! timeballd with ntpd's configuration: as a client, and as a server that tells its clients apart.

use crate::programs::{chronyc_at, start_chronyd};
use crate::world::{Host, World, inside};

/// Strangers are ignored, as by those who begin with `restrict default ignore`; some hosts may more.
const CONFIG: &str = "
server 192.0.2.11 iburst minpoll 1 maxpoll 1
restrict default ignore
restrict default -6 ignore
restrict 127.0.0.1
restrict 192.0.2.12 nomodify notrap nopeer noquery
restrict 192.0.2.13 noserve
restrict 192.0.2.14 notrust
restrict 192.0.2.15 version
restrict 192.0.2.16 mask 255.255.255.254 kod limited
restrict 192.0.2.17 ntpport ignore
restrict 2001:db8::/32
interface listen eth0
keys @DIR@/ntp.keys
trustedkey 7
driftfile @DIR@/drift
";

/// Asks from an address and port in a version of the protocol, so many times; says how often it was answered, and with
/// which strata.
const ASK: &str = r#"
import socket, sys
source, port, version, times, server = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
family = socket.AF_INET6 if ":" in source else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as asking:
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    asking.bind((source, port))
    asking.settimeout(0.5)
    strata = []
    for _ in range(times):
        asking.sendto(bytes([version << 3 | 3]) + bytes(39) + b"timeball", (server, 123))
        try:
            answer = asking.recv(500)
            strata.append(str(answer[1]) if answer[24:32] == b"timeball" else "?")
        except TimeoutError:
            strata.append("-")
print(" ".join(strata))
"#;

fn ask(world: &World, source: &str, port: u16, version: u8, times: usize) -> String {
    let server = if source.contains(':') {
        "2001:db8::1"
    } else {
        "192.0.2.1"
    };
    let [port, version, times] = [port.to_string(), version.to_string(), times.to_string()];
    let arguments = ["-c", ASK, source, &port, &version, &times, server];
    world.run(Host::Theirs, "python3", &arguments).trim().to_owned()
}

#[test]
fn serves_by_its_rules_and_follows_a_source_that_they_ignore() {
    inside(|world| {
        start_chronyd(world, "local stratum 3\nallow\nport 123");
        world.write("ntp.keys", "7 SHA1 0123456789abcdef0123456789abcdef01234567\n");
        let file = world.write("ntp.conf", CONFIG);
        let program = env!("CARGO_BIN_EXE_timeballd");
        let arguments = ["-d", "-x", "-u", "root", "-f", &file];
        world.start(Host::Ours, "timeballd", program, &arguments);
        world.wait_until("timeballd follows its source", || {
            let (text, _) = chronyc_at(world, "/run/timeballd/timeballd.sock", &["-c", "-n", "tracking"]);
            if text.contains(",192.0.2.11,4,") {
                Ok(())
            } else {
                Err(text)
            }
        });
        let log = world.log("timeballd");
        for said in [
            "ntp.conf:4:18: warning: \"-6\" belongs before \"default\"",
            "accepted without effect: notrap (line 6), nopeer (line 6)",
            "Answers of 192.0.2.11 are taken although others there are ignored : it is a source",
            "Loaded 1 symmetric keys",
        ] {
            assert!(log.contains(said), "{said}");
        }
        for (source, port, version, expected) in [
            ("192.0.2.11", 0, 4, "-"),
            ("192.0.2.12", 0, 4, "4"),
            ("192.0.2.12", 0, 3, "4"),
            ("192.0.2.13", 0, 4, "-"),
            ("192.0.2.14", 0, 4, "-"),
            ("192.0.2.15", 0, 4, "4"),
            ("192.0.2.15", 0, 3, "-"),
            ("192.0.2.17", 0, 4, "4"),
            ("192.0.2.17", 123, 4, "-"),
            ("192.0.2.18", 0, 4, "-"),
            ("2001:db8::11", 0, 4, "4"),
        ] {
            let answer = ask(world, source, port, version, 1);
            assert_eq!(answer, expected, "{source} from port {port} in version {version}");
        }
        // 20 at once and no more; then now and then an answer, or a kiss, which has stratum 0.
        let answers = ask(world, "192.0.2.16", 0, 4, 24);
        let (burst, later) = answers.split_at("4 ".len() * 20);
        assert_eq!(burst, "4 ".repeat(20), "{answers}");
        assert!(later.contains('-') || later.contains('0'), "{answers}");
    });
}
