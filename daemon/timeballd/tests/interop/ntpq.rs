//! NTPsec's `ntpq` asks timeballd, as it asks ntpd.

use crate::programs::{ntpdig, ntpsec_tool, start_chronyd};
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

/// The columns of a source's line in `ntpq -pn`, with the character before its address.
fn columns(table: &str, address: &str) -> Vec<String> {
    let line = table
        .lines()
        .find(|line| line.get(1..).is_some_and(|line| line.starts_with(address)))
        .unwrap_or_else(|| panic!("{address} is not in:\n{table}"));
    let mut columns = vec![line[..1].to_owned()];
    columns.extend(line[1..].split_whitespace().map(str::to_owned));
    columns
}

#[test]
fn ntpq_shows_timeballd_as_it_shows_ntpd() {
    inside(|world| {
        start_chronyd(world, "local stratum 3\nallow\nport 123");
        let file = world.write("ntp.conf", CONFIG);
        let program = env!("CARGO_BIN_EXE_timeballd");
        let arguments = ["-d", "-x", "-u", "root", "-f", &file];
        world.start(Host::Ours, "timeballd", program, &arguments);
        let table = world.wait_until("every poll of the last eight was answered", || {
            let table = ntpq(world, &["-pn"]);
            if table
                .lines()
                .any(|line| line.starts_with("*192.0.2.11 ") && line.contains(" 377 "))
            {
                Ok(table)
            } else {
                Err(table)
            }
        });
        assert!(
            table.starts_with(
                "     remote           refid      st t when poll reach   delay   offset   jitter\n"
            ),
            "{table}"
        );
        let followed = columns(&table, "192.0.2.11");
        assert_eq!(
            followed[..5],
            ["*", "192.0.2.11", "127.127.1.1", "3", "u"],
            "{table}"
        );
        assert_eq!(
            (followed[6].as_str(), followed[7].as_str()),
            ("2", "377"),
            "{table}"
        );
        let silent = columns(&table, "192.0.2.99");
        assert_eq!(silent[..4], [" ", "192.0.2.99", ".INIT.", "16"], "{table}");
        assert_eq!((silent[5].as_str(), silent[7].as_str()), ("-", "0"), "{table}");

        let system = ntpq(world, &["-c", "rv"]);
        for said in [
            "leap_none, sync_ntp,",
            "stratum=4",
            "refid=192.0.2.11",
            "version=\"timeballd ",
        ] {
            assert!(system.contains(said), "{said}: {system}");
        }
        let associations = ntpq(world, &["-c", "as"]);
        assert!(
            associations.contains("sys.peer") && associations.contains("yes"),
            "{associations}"
        );
        let number = associations
            .lines()
            .find(|line| line.contains("sys.peer"))
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap();
        let peer = ntpq(world, &["-c", &format!("rv {number}")]);
        for said in [
            "srcadr=192.0.2.11",
            "reach=377",
            "flash=00 ok",
            "hmode=3",
            "pmode=4",
        ] {
            assert!(peer.contains(said), "{said}: {peer}");
        }
        let value = ntpq(world, &["-c", &format!("rv {number} offset")]);
        assert!(value.starts_with("offset="), "{value}");
        for command in [
            "sysinfo",
            "sysstats",
            "monstats",
            "iostats",
            "timerstats",
            "kerninfo",
            "apeers",
            "opeers",
            "lpeers",
            &format!("pstats {number}"),
        ] {
            let text = ntpq(world, &["-n", "-c", command]);
            assert!(
                !text.contains("***") && !text.contains("Unknown variable"),
                "{command}: {text}"
            );
        }
        // A client that asks is in the list of those who did.
        let _answer = ntpdig(world, &["192.0.2.1"]);
        let clients = ntpq(world, &["-n", "-c", "mrulist"]);
        assert!(clients.contains("192.0.2.11"), "{clients}");
    });
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
