//! NTPsec's `ntpq` asks timeballd, and so do others who may not. What it shows is looked at beside ntpd, in `ntpsec`.

use crate::programs::ntpsec_tool;
use crate::world::{Host, World, inside};

const CONFIG: &str = "
server 192.0.2.11 iburst minpoll 1 maxpoll 1
server 192.0.2.99 minpoll 1 maxpoll 1
server 192.0.2.98 noselect
restrict default kod limited nomodify noquery
restrict 127.0.0.1
restrict ::1
restrict 192.0.2.12 nomrulist
";

/// What ntpq prints on our host.
fn ntpq(world: &World, arguments: &[&str]) -> String {
    ntpsec_tool(world, Host::Ours, "ntpq", arguments)
}

#[test]
fn who_may_not_ask_is_told_nothing() {
    inside(|world| {
        let file = world.write("ntp.conf", CONFIG);
        let program = env!("CARGO_BIN_EXE_timeballd");
        let arguments = ["-d", "-x", "-u", "root", "-f", &file];
        world.start(Host::Ours, "timeballd", program, &arguments);
        world.wait_until("it answers on this host", || {
            let table = ntpq(world, &["-pn"]);
            if table.contains("192.0.2.99") {
                Ok(())
            } else {
                Err(table)
            }
        });
        let asked = |source: &str| {
            let script = r#"
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.bind((sys.argv[1], 0))
    asking.settimeout(0.5)
    lengths = []
    for request in ["160112340000000000000000", "160c12340000000000000000", "1700032a0000000000000000"]:
        asking.sendto(bytes.fromhex(request), ("192.0.2.1", 123))
        try:
            lengths.append(len(asking.recv(2000)))
        except TimeoutError:
            lengths.append(0)
    print(*lengths)
"#;
            world
                .run(Host::Theirs, "python3", &["-c", script, source])
                .trim()
                .to_owned()
        };
        assert_eq!(asked("192.0.2.11"), "0 0 0");
        // Three associations, and a nonce; mode 7 does not exist.
        assert_eq!(asked("192.0.2.12"), "24 52 0");
    });
}
