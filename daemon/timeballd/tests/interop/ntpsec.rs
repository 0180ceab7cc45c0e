//! ntpd of NTPsec, and timeballd under the name `ntpd`: each test has one body for both.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use crate::programs::{attempt_ntpsec_tool, libraries, ntpsec_program, ntpsec_tool, start_chronyd};
use crate::world::{Host, World, inside};

/// Which ntpd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Ntpsec,
    Timeballd,
}

/// Starts ntpd on our host with these lines of configuration. It never corrects the clock.
fn start(world: &World, program: Program, config: &str) {
    let file = world.write("ntp.conf", &format!("disable ntp\n{config}\n"));
    let path = match program {
        Program::Ntpsec => ntpsec_program(),
        Program::Timeballd => {
            let link = world.path("ntpd");
            symlink(env!("CARGO_BIN_EXE_timeballd"), &link).unwrap();
            link.to_str().unwrap().to_owned()
        }
    };
    let pid_file = world.path("pid").to_str().unwrap().to_owned();
    // Who becomes another user cannot write into the directory of the test.
    let arguments = ["-n", "-g", "-u", "root:root", "-p", &pid_file, "-c", &file];
    // NTPsec's changes of users fail where there is only one; it need not change then.
    let arguments = match program {
        Program::Ntpsec => [&arguments[..2], &arguments[4..]].concat(),
        Program::Timeballd => arguments.to_vec(),
    };
    let libraries = libraries();
    world.start_with(
        Host::Ours,
        "ntpd",
        &path,
        &arguments,
        &[("LD_LIBRARY_PATH", &libraries)],
    );
    world.wait_until("ntpd has said which process it is", || {
        fs::read_to_string(&pid_file).map_err(|error| error.to_string())
    });
}

fn ntpq(world: &World, arguments: &[&str]) -> String {
    ntpsec_tool(world, Host::Ours, "ntpq", arguments)
}

/// The names of variables in what `ntpq -c rv` prints, in their order.
fn names(text: &str) -> Vec<String> {
    // Text in quotes may have anything in it.
    let outside = text.split('"').step_by(2).collect::<String>();
    let parts = outside.split('=').collect::<Vec<_>>();
    let before = parts.iter().take(parts.len() - 1);
    before
        .filter_map(|part| part.trim_end().rsplit([',', '\n', ' ']).next())
        .map(str::to_owned)
        .collect()
}

/// Looks whether these names are among the others, in this order.
#[track_caller]
fn check_order(expected: &str, text: &str) {
    let found = names(text);
    let mut rest = found.iter();
    for name in expected.split_whitespace() {
        assert!(
            rest.any(|found| found == name),
            "{name} is not where it belongs in:\n{text}"
        );
    }
}

/// Every word that can be read as a number.
fn numbers(line: &str) -> usize {
    line.split_whitespace()
        .filter(|word| word.parse::<f64>().is_ok())
        .count()
}

const CONFIG: &str = "
server 192.0.2.11 iburst minpoll 1 maxpoll 1
server 192.0.2.99 minpoll 1 maxpoll 1
server 192.0.2.98 noselect
restrict default kod limited nomodify noquery
restrict 127.0.0.1
restrict ::1
restrict 10.0.0.0 mask 255.0.0.0 nomodify
keys @DIR@/ntp.keys
trustedkey 1
controlkey 1
setvar site = \"a b\" default
setvar rack = r7
driftfile @DIR@/drift
statsdir @DIR@/
statistics loopstats peerstats rawstats protostats
filegen peerstats file peers type none enable
filegen rawstats type none nolink
filegen protostats type day nolink
";

/// Everything that `ntpq` shows, and everything that ntpd writes down meanwhile.
fn what_operators_see(world: &World, program: Program) {
    start_chronyd(world, "local stratum 3\nallow\nport 123");
    world.write("ntp.keys", "1 AES-128 0123456789abcdef0123456789abcdef\n");
    start(world, program, CONFIG);
    let table = world.wait_until("a server is followed", || {
        let table = ntpq(world, &["-pn"]);
        if table.contains("*192.0.2.11") {
            Ok(table)
        } else {
            Err(table)
        }
    });
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "     remote           refid      st t when poll reach   delay   offset   jitter",
            "===============================================================================",
        ]
    );
    let rows: BTreeMap<&str, Vec<&str>> = lines[2..]
        .iter()
        .map(|line| (&line[..1], line[1..].split_whitespace().collect::<Vec<_>>()))
        .map(|(sign, columns)| (columns[0], [&[sign], &columns[1..]].concat()))
        .collect();
    assert!(rows.values().all(|columns| columns.len() == 10), "{table}");
    let followed = &rows["192.0.2.11"];
    assert_eq!(followed[..4], ["*", "127.127.1.1", "3", "u"], "{table}");
    assert_eq!(followed[5], "2", "{table}");
    let reach = u8::from_str_radix(followed[6], 8).unwrap();
    assert!(
        reach > 0 && reach.wrapping_add(1).is_power_of_two() || reach == u8::MAX,
        "{table}"
    );
    assert!(
        followed[7..].iter().all(|column| column.parse::<f64>().is_ok()),
        "{table}"
    );
    for silent in ["192.0.2.99", "192.0.2.98"] {
        let columns = &rows[silent];
        assert_eq!(columns[..5], [" ", ".INIT.", "16", "u", "-"], "{table}");
        assert_eq!(columns[6..9], ["0", "0.0000", "0.0000"], "{table}");
        // NTPsec's begins with the precision of the clock.
        assert!(columns[9].parse::<f64>().unwrap() < 0.001, "{table}");
    }
    // With a host too.
    for host in ["127.0.0.1", "::1"] {
        assert!(ntpq(world, &["-pn", host]).contains("*192.0.2.11"), "{host}");
    }

    let system = ntpq(world, &["-c", "rv"]);
    check_order(
        "associd status leap stratum precision rootdelay rootdisp refid reftime tc peer offset frequency sys_jitter \
         clk_jitter clock processor system version clk_wander mintc site",
        &system,
    );
    assert!(
        system.contains("stratum=4,") && system.contains("refid=192.0.2.11"),
        "{system}"
    );
    assert!(
        system.contains("site=\"a b\"") && !system.contains("rack"),
        "{system}"
    );
    assert_eq!(ntpq(world, &["-c", "rv 0 rack"]).trim(), "rack=\"r7\"");

    let associations = ntpq(world, &["-c", "as"]);
    let lines: Vec<&str> = associations.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines[0], "ind assid status  conf reach auth condition  last_event cnt",
        "{associations}"
    );
    let row = lines.iter().find(|line| line.contains("sys.peer")).unwrap();
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        (columns.len(), &columns[3..7]),
        (9, &["yes", "yes", "none", "sys.peer"][..]),
        "{associations}"
    );
    assert_eq!(&columns[7..], ["sys_peer", "1"], "{associations}");
    let number = columns[1];
    for (_, row) in lines
        .iter()
        .enumerate()
        .skip(2)
        .filter(|(_, line)| line.contains("reject"))
    {
        assert!(row.ends_with("mobilize  1"), "{associations}");
    }

    let mut peer = ntpq(world, &["-c", &format!("rv {number}")]);
    if matches!(program, Program::Ntpsec) {
        // Its lists begin with what was in its memory before, now and then a quotation mark.
        peer = peer.replace('"', "");
    }
    check_order(
        "associd status srcadr srcport dstadr dstport leap hmode stratum ppoll hpoll precision rootdelay rootdisp refid \
         reftime rec xmt reach unreach delay offset jitter dispersion keyid filtdelay filtoffset pmode filtdisp flash \
         headway ntscookies",
        &peer,
    );
    for said in [
        "srcadr=192.0.2.11",
        "srcport=123",
        "hmode=3",
        "pmode=4",
        "stratum=3",
        "flash=00 ok",
    ] {
        assert!(peer.contains(said), "{said}: {peer}");
    }
    assert!(ntpq(world, &["-c", &format!("rv {number} offset")]).starts_with("offset="));

    for command in ["apeers", "opeers", "lpeers", &format!("pstats {number}")] {
        let text = ntpq(world, &["-n", "-c", command]);
        assert!(text.contains("192.0.2.11"), "{command}: {text}");
        for wrong in ["***", "???", "Unknown variable"] {
            assert!(!text.contains(wrong), "{command}: {text}");
        }
    }
    for (command, label) in [
        ("monstats", "enabled:"),
        ("sysinfo", "associd="),
        ("sysstats", "uptime:"),
        ("iostats", "time since reset:"),
        ("kerninfo", "pll offset:"),
        ("timerstats", "time since reset:"),
    ] {
        let text = ntpq(world, &["-c", command]);
        assert!(text.contains(label), "{command}: {text}");
        for wrong in ["***", "???", "Unknown variable"] {
            assert!(!text.contains(wrong), "{command}: {text}");
        }
        let valued = text.lines().filter(|line| {
            line.split_once(": ")
                .is_some_and(|(_, value)| !value.trim().is_empty())
        });
        assert!(valued.count() >= 3, "{command}: {text}");
    }
    what_the_kernel_says(world);
    // A client that asks for the time is among those who did, also if it does not like the answer: without a clock to
    // correct NTPsec never says that it is synchronised.
    let _answer = attempt_ntpsec_tool(world, Host::Theirs, "ntpdig", &["192.0.2.1"]);
    let clients = ntpq(world, &["-n", "-c", "mrulist"]);
    let heading = " lstint avgint rstr r m v  count    score   drop rport remote address";
    let mut lines = clients.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "{clients}");
    let row = lines.find(|line| line.contains("192.0.2.11"));
    let columns = row.map(|row| row.split_whitespace().collect::<Vec<_>>());
    let columns = columns.unwrap_or_default();
    assert_eq!(columns.len(), 11, "{clients}");
    // One packet, or few of them, with 1/20 for each.
    let (count, score): (f64, f64) = (columns[6].parse().unwrap(), columns[7].parse().unwrap());
    assert!(score > 0.0 && score <= 0.05 * count + 0.001, "{clients}");

    what_the_key_opens(world);
    what_is_written_down(world, number);
}

/// Prints what the kernel says of its clock: frequency, error bound, estimated error, time constant, precision, tolerance and
/// status.
const KERNEL: &str = r#"
import ctypes, struct
room = ctypes.create_string_buffer(208)
assert ctypes.CDLL(None).adjtimex(room) >= 0
_, _, frequency, bound, error, status, constant, precision, tolerance = struct.unpack_from("I4xqqqqi4xqqq", room.raw)
print(frequency / 65536, bound / 1e6, error / 1e6, constant, precision / 1e6, tolerance / 65536, status)
"#;

/// What `kerninfo` shows is what the kernel says.
fn what_the_kernel_says(world: &World) {
    let asked = || -> Vec<f64> {
        let text = world.run(Host::Ours, "python3", &["-c", KERNEL]);
        text.split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    };
    let names = ["kfreq", "kmaxerr", "kesterr", "ktimeconst", "kprecis", "kfreqtol"];
    // Somebody may set the clock of the machine meanwhile.
    world.wait_until("kerninfo shows what the kernel says", || {
        let before = asked();
        let text = ntpq(world, &["-c", &format!("rv 0 {},kstflags", names.join(","))]);
        let after = asked();
        let said = text.split_whitespace().collect::<String>();
        let value = |name: &str| -> Option<f64> {
            let (_, rest) = said.split_once(&format!("{name}="))?;
            rest.split(',').next()?.parse().ok()
        };
        let is_between = |(place, name): (usize, &&str)| {
            let (low, high) = (before[place], after[place]);
            // NTPsec rounds to six digits.
            let blur = 1e-5 * high.abs();
            value(name).is_some_and(|value| value >= low - blur && value <= high + blur)
        };
        let status = |state: &[f64]| state[names.len()] % 128.0 >= 64.0;
        let is_right = names.iter().enumerate().all(is_between)
            && text.contains("unsync") == status(&before)
            && status(&before) == status(&after);
        if is_right {
            Ok(())
        } else {
            Err(format!("{before:?}\n{text}\n{after:?}"))
        }
    });
}

/// Interfaces and rules, for whoever has the key.
fn what_the_key_opens(world: &World) {
    let keys = world.path("ntp.keys");
    let keys = keys.to_str().unwrap();
    let ask = |command: &str| ntpq(world, &["-n", "-k", keys, "-a", "1", "-c", command]);
    let interfaces = ask("ifstats");
    assert!(
        interfaces.contains("interface name") && !interfaces.contains("***"),
        "{interfaces}"
    );
    let lines: Vec<&str> = interfaces.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.trim() == "192.0.2.1:123")
        .unwrap();
    // Number, name, drop, flags, received, sent, failed, sources, uptime.
    let columns: Vec<&str> = lines[at - 1].split_whitespace().collect();
    assert_eq!(
        (columns.len(), columns[1], columns[2]),
        (9, "eth0", "."),
        "{interfaces}"
    );
    // NTPsec counts those too that have not answered.
    assert!(columns[7].parse::<u32>().unwrap() >= 1, "{interfaces}");
    let loopback = lines
        .iter()
        .position(|line| line.trim() == "127.0.0.1:123")
        .unwrap();
    let columns: Vec<&str> = lines[loopback - 1].split_whitespace().collect();
    assert_eq!((columns[1], columns[3]), ("lo", "5"), "{interfaces}");
    assert!(columns[4].parse::<u32>().unwrap() > 5, "{interfaces}");
    let rules = ask("reslist");
    let lines: Vec<&str> = rules.lines().map(str::trim).collect();
    let flags_of = |network: &str| {
        let at = lines
            .iter()
            .position(|line| line.split_whitespace().nth(1) == Some(network));
        at.map(|at| lines[at + 1])
            .unwrap_or_else(|| panic!("{network} is not in:\n{rules}"))
    };
    assert_eq!(flags_of("10.0.0.0/8"), "nomodify", "{rules}");
    assert_eq!(flags_of("0.0.0.0/0"), "noquery nomodify limited kod", "{rules}");
    assert_eq!(flags_of("::/0"), "noquery nomodify limited kod", "{rules}");
    let wrong = world.write("wrong.keys", "1 AES-128 fedcba9876543210fedcba9876543210\n");
    let (refused, _) = attempt_ntpsec_tool(
        world,
        Host::Ours,
        "ntpq",
        &["-n", "-k", &wrong, "-a", "1", "-c", "ifstats"],
    );
    assert!(!refused.contains("192.0.2.1:123"), "{refused}");
}

/// The files of statistics.
fn what_is_written_down(world: &World, association: &str) {
    let files = || -> BTreeMap<String, String> {
        let entries = fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap());
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let names = names.filter(|name| name.contains("stats") || name.contains("peers"));
        names
            .map(|name| (name.clone(), fs::read_to_string(world.path(&name)).unwrap()))
            .collect()
    };
    let files = world.wait_until("the clock is followed in loopstats", || {
        let files = files();
        match files.get("loopstats") {
            Some(text) if text.lines().count() > 1 => Ok(files),
            _ => Err(format!("{files:?}")),
        }
    });
    // What is of a day is in a file with its date, and has another name if that is not switched off.
    let shape = |name: &str| match name.split_once('.') {
        Some((base, day)) if day.len() == 8 && day.parse::<u32>().is_ok() => format!("{base}.YYYYMMDD"),
        _ => name.to_owned(),
    };
    let shapes = files.keys().map(|name| shape(name)).collect::<Vec<_>>();
    assert_eq!(
        shapes,
        [
            "loopstats",
            "loopstats.YYYYMMDD",
            "peers",
            "protostats.YYYYMMDD",
            "rawstats"
        ]
    );
    let columns = |name: &str| -> Vec<Vec<String>> {
        let (_, text) = files.iter().find(|(found, _)| found.starts_with(name)).unwrap();
        let split = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        text.lines().map(split).collect()
    };
    let decimals = |row: &[String]| -> Vec<usize> {
        row.iter()
            .map(|word| word.split_once('.').map_or(0, |(_, rest)| rest.len()))
            .collect()
    };
    for row in columns("loopstats") {
        assert_eq!(decimals(&row), [0, 3, 9, 6, 9, 6, 0], "{row:?}");
        assert_eq!(numbers(&row.join(" ")), 7, "{row:?}");
    }
    for row in columns("peers") {
        assert_eq!(
            (row.len(), row[2].as_str(), row[3].len()),
            (8, "192.0.2.11", 4),
            "{row:?}"
        );
        assert_eq!(decimals(&row[4..]), [9, 9, 9, 9], "{row:?}");
    }
    for row in columns("rawstats") {
        assert_eq!((row.len(), row[2].as_str()), (20, "192.0.2.11"), "{row:?}");
        assert!(row[3].starts_with("192.0.2."), "{row:?}");
        assert_eq!(decimals(&row[4..8]), [9, 9, 9, 9], "{row:?}");
        // Leap, version, mode, stratum, and later the root delay and dispersion, and what is followed.
        assert_eq!(row[8..12], ["0", "4", "4", "3"], "{row:?}");
        assert_eq!(decimals(&row[14..16]), [6, 6], "{row:?}");
        assert_eq!(row[16], "127.127.1.1", "{row:?}");
        let seconds: Vec<f64> = row[4..8].iter().map(|word| word.parse().unwrap()).collect();
        assert!(seconds.is_sorted(), "{row:?}");
    }
    let events = columns("protostats");
    let mut said = events
        .iter()
        .map(|row| (row[2].as_str(), row[4].as_str(), row[5..].join(" ")));
    let mobilized = format!("mobilize assoc {association}");
    for (address, code, text) in [
        ("192.0.2.11", "81", mobilized.as_str()),
        ("192.0.2.11", "84", "reachable"),
        ("192.0.2.11", "8a", "sys_peer"),
    ] {
        let is_this = |row: (&str, &str, String)| row == (address, code, text.to_owned());
        assert!(said.any(is_this), "{address} {code} {text}: {events:?}");
    }
    let of_system = |code: &str, text: &str| {
        let is_this = |row: &&Vec<String>| row[2] == "0.0.0.0" && row[4] == code && row[5] == text;
        assert!(
            events.iter().any(|row| is_this(&row)),
            "{code} {text}: {events:?}"
        );
    };
    of_system("01", "freq_not_set");
    of_system("06", "restart");
}

#[test]
fn operators_see_of_ntpsec_what_is_expected() {
    inside(|world| what_operators_see(world, Program::Ntpsec));
}

#[test]
fn operators_see_of_timeballd_what_they_see_of_ntpsec() {
    inside(|world| what_operators_see(world, Program::Timeballd));
}

/// A name server that knows the servers of a pool once there is a certain file, and says nothing before. It knows no other
/// name.
const NAME_SERVER: &str = r#"
import os, socket, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.bind(("127.0.0.1", 53))
while True:
    question, client = asked.recvfrom(512)
    if not os.path.exists(sys.argv[1]):
        continue
    end = question.index(0, 12) + 1
    is_pool = question[12:end] == b"\4pool\7example\0" and question[end:end + 2] == b"\0\1"
    answers = [b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([192, 0, 2, last]) for last in (11, 12, 13) if is_pool]
    header = question[:2] + b"\x81\x80\0\1" + len(answers).to_bytes(2, "big") + bytes(4)
    asked.sendto(header + question[12:end + 4] + b"".join(answers), client)
"#;

const POOL: &str = "
pool pool.example iburst minpoll 1 maxpoll 1
server named.example
restrict default kod limited nomodify noquery
restrict 127.0.0.1
statsdir @DIR@/
statistics protostats
filegen protostats type none nolink
";

/// A pool before its name has addresses, and after.
fn what_a_pool_is(world: &World, program: Program) {
    start_chronyd(world, "local stratum 3\nallow\nport 123");
    let resolver = world.write(
        "resolv.conf",
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    );
    world.run(Host::Ours, "mount", &["--bind", &resolver, "/etc/resolv.conf"]);
    let known = world.path("known");
    let known = known.to_str().unwrap();
    world.start(Host::Ours, "name-server", "python3", &["-c", NAME_SERVER, known]);
    start(world, program, POOL);
    // Sign, reference, stratum, kind and when; reach, delay and offset.
    let row = |table: &str, name: &str| -> Vec<String> {
        let mut rows = table
            .lines()
            .filter(|line| line.get(1..).is_some_and(|line| line.starts_with(name)));
        let (Some(line), None) = (rows.next(), rows.next()) else {
            panic!("not one {name}:\n{table}");
        };
        let columns: Vec<&str> = line[1..].split_whitespace().collect();
        [&[&line[..1]], &columns[1..5], &columns[6..9]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let of_pool = [" ", ".POOL.", "16", "p", "-", "0", "0.0000", "0.0000"];
    let of_name = [" ", ".DNS.", "16", "u", "-", "0", "0.0000", "0.0000"];
    let table = world.wait_until("it tells its sources", || {
        let table = ntpq(world, &["-pn"]);
        if table.contains("named.example") {
            Ok(table)
        } else {
            Err(table)
        }
    });
    assert_eq!(table.lines().count(), 4, "{table}");
    assert_eq!(row(&table, "pool.example "), of_pool, "{table}");
    assert_eq!(row(&table, "named.example "), of_name, "{table}");
    assert_eq!(row(&ntpq(world, &["-p"]), "pool.example "), of_pool);

    let associations = || -> Vec<Vec<String>> {
        let text = ntpq(world, &["-c", "as"]);
        let rows = text.lines().filter(|line| {
            line.trim_start()
                .starts_with(|first: char| first.is_ascii_digit())
        });
        let split = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect();
        rows.map(split).collect()
    };
    let before = associations();
    assert_eq!(before.len(), 2, "{before:?}");
    assert_eq!(
        before[0][1..],
        ["8811", "yes", "none", "none", "reject", "mobilize", "1"]
    );
    assert_eq!(
        before[1][1..],
        ["8011", "yes", "no", "none", "reject", "mobilize", "1"]
    );
    let pool = ntpq(world, &["-c", &format!("rv {}", before[0][0])]);
    for said in [
        "status=8811 conf, bcast, sel_reject, 1 event, mobilize",
        "srcadr=0.0.0.0",
        "srcport=0",
        "hmode=3",
        "stratum=16",
        "refid=POOL",
        "reach=000",
        "srchost=\"pool.example\"",
    ] {
        assert!(pool.contains(said), "{said}: {pool}");
    }

    fs::write(known, "").unwrap();
    let table = world.wait_until("a server of the pool is followed", || {
        let table = ntpq(world, &["-pn"]);
        if table.contains("\n*192.0.2.1") {
            Ok(table)
        } else {
            Err(table)
        }
    });
    // Both stay.
    assert_eq!(row(&table, "pool.example "), of_pool, "{table}");
    assert_eq!(row(&table, "named.example "), of_name, "{table}");
    let is_configured = |row: &Vec<String>| row[2] == "yes";
    let (configured, given): (Vec<_>, Vec<_>) = associations().into_iter().partition(is_configured);
    assert_eq!(configured, before);
    assert_eq!(given.len(), 3, "{given:?}");
    for given in &given {
        let server = ntpq(world, &["-c", &format!("rv {}", given[0])]);
        assert!(
            server.contains("srcadr=192.0.2.1") && !server.contains("srchost"),
            "{server}"
        );
    }
    let events = fs::read_to_string(world.path("protostats")).unwrap();
    for said in [
        format!(" pool.example 8811 81 mobilize assoc {}\n", before[0][0]),
        format!(" named.example 8011 81 mobilize assoc {}\n", before[1][0]),
        format!(" 0011 81 mobilize assoc {}\n", given[0][0]),
    ] {
        assert!(events.contains(&said), "{said}: {events}");
    }
}

#[test]
fn a_pool_of_ntpsec_is_a_line_of_its_own() {
    inside(|world| what_a_pool_is(world, Program::Ntpsec));
}

#[test]
fn a_pool_of_timeballd_is_the_same_line() {
    inside(|world| what_a_pool_is(world, Program::Timeballd));
}

/// Asks in every way from every address at once; says of each what came back: `A` an answer, `E` an error, `-` nothing; and of
/// what would change something, `W` that it was done, `N` that it may not be.
const MATRIX: &str = r#"
import hashlib, select, socket, sys, time
kinds = ["v4", "v3", "mac", "port", "read", "mru", "mode7", "peer", "broadcast", "write"]
key = b"a key for MD5___"
def time_request(version, mode=3):
    return bytes([version << 3 | mode]) + bytes(39) + b"timeball"
def control(operation, data=b"", step=4):
    return bytes([0x16, operation, 0, 1, 0, 0, 0, 0, 0, 0, 0, len(data)]) + data + bytes((-12 - len(data)) % step)
def proven(packet):
    return packet + (1).to_bytes(4, "big") + hashlib.md5(key + packet).digest()
def opened(source, port=0):
    asking = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    asking.bind((source, port))
    return asking
# What is not answered is asked again, and once more: a host that is busy loses packets.
def exchange(waiting):
    heard = {}
    for seconds in [0.5, 0.5, 1.5]:
        for asking, (_, request) in waiting.items():
            asking.sendto(request, ("2001:db8::1" if asking.family == socket.AF_INET6 else "192.0.2.1", 123))
        end = time.monotonic() + seconds
        while waiting and time.monotonic() < end:
            for asking in select.select(list(waiting), [], [], 0.1)[0]:
                answer = asking.recv(2000)
                # One nonce too many is no list of clients.
                if answer[0] & 7 != 6 or answer[1] & 31 == waiting[asking][1][1]:
                    heard[waiting.pop(asking)[0]] = answer
    return heard
sources = sys.argv[1:]
waiting = {opened(source): (source, control(12)) for source in sources}
asking_of = {source: asking for asking, (source, _) in waiting.items()}
nonces = {source: answer[12:].split(b"\r\n")[0] for source, answer in exchange(waiting).items()}
results, waiting = {}, {}
for source in sources:
    for kind in kinds:
        asking = opened(source, 123 if kind == "port" else 0)
        if kind == "mru":
            if source not in nonces:
                continue
            # A nonce is for one port.
            asking = asking_of[source]
            request = control(10, nonces[source] + b", frags=1")
        else:
            request = {
                "v4": time_request(4), "port": time_request(4), "v3": time_request(3), "mac": proven(time_request(4)),
                "read": control(2), "mode7": bytes.fromhex("1700032a") + bytes(4), "peer": time_request(4, 1),
                "broadcast": time_request(4, 5), "write": proven(control(8, b"logconfig +all", 8)),
            }[kind]
        waiting[asking] = ((source, kind), request)
for (source, kind), answer in exchange(waiting).items():
    is_error = answer[0] & 7 == 6 and answer[1] & 0x40
    is_done, is_prohibited = b"Succeeded" in answer, b"prohibited" in answer
    results[source, kind] = "E" if is_error else "W" if is_done else "N" if is_prohibited else "A"
for source in sources:
    print(source, "".join(results.get((source, kind), "-") for kind in kinds))
"#;

/// Several lines about a host and the subnet that it is in, and what comes of them.
const SEVERAL: [(&str, &str); 8] = [
    // The narrower rule counts for port 123 only, and for the other ports the wider one.
    ("restrict NET noserve\nrestrict HOST ntpport noquery", "---AAA-"),
    ("restrict NET ntpport noserve\nrestrict HOST noquery", "AAAA---"),
    ("restrict HOST noserve\nrestrict NET ntpport ignore", "----AA-"),
    // What no rule of its own says of the host cannot be taken from it.
    ("restrict NET noquery\nunrestrict HOST noquery", "AAAA---"),
    ("restrict NET noquery\nunrestrict HOST", "AAAA---"),
    // Nor from the rule about the other ports.
    (
        "restrict HOST noserve\nunrestrict HOST ntpport noserve",
        "----AA-",
    ),
    ("restrict HOST noserve\nunrestrict HOST ntpport", "----AA-"),
    ("restrict HOST ntpport ignore\nunrestrict HOST ignore", "AAA-AA-"),
];

impl Program {
    /// What comes back to each kind of packet, by what comes to the first seven. NTPsec does not answer peers that it does not
    /// know, and timeballd answers them as it does clients; NTPsec can be configured by control messages, and timeballd
    /// cannot.
    fn answers(self, of_first: &str, is_nomodify: bool) -> String {
        let is_answered = |place: usize| of_first.as_bytes()[place] == b'A';
        let peer = if self == Self::Timeballd && is_answered(0) {
            'A'
        } else {
            '-'
        };
        let write = match self {
            _ if !is_answered(4) => '-',
            Self::Timeballd => 'E',
            Self::Ntpsec if is_nomodify => 'N',
            Self::Ntpsec => 'W',
        };
        format!("{of_first}{peer}-{write}")
    }
}

/// Each flag, each kind of packet, each family.
fn who_may_do_what(world: &World, program: Program) {
    // Kinds: the time in version 4 and 3, with a key, from port 123; variables, the list of clients, and mode 7. What comes
    // to the others follows from that.
    const RULES: [(&str, &str); 9] = [
        ("", "AAAAAA-"),
        ("ignore", "-------"),
        ("noserve", "----AA-"),
        ("noquery", "AAAA---"),
        ("nomodify", "AAAAAA-"),
        ("nomrulist", "AAAAAE-"),
        ("notrust", "--A-AA-"),
        // The requests of `ntpq` are in version 2.
        ("version", "A-AA---"),
        ("ntpport ignore", "AAA-AA-"),
    ];
    let mut config =
        "keys @DIR@/ntp.keys\ntrustedkey 1\ncontrolkey 1\nunrestrict default noquery limited\nrestrict default nomodify\n\
         restrict 127.0.0.5 limited\nrestrict 127.0.0.6\n"
            .to_owned();
    let mut set_up = String::new();
    let mut expected = Vec::new();
    let of_kinds = (21..).zip(RULES.map(|(flags, answers)| (flags, Some(answers))));
    let of_counts = (31..).zip(COUNTING.map(|flags| (flags, None)));
    let of_one = of_kinds
        .chain(of_counts)
        .map(|(number, (flags, answers))| (number, format!("restrict HOST {flags}"), answers));
    let of_several = (44..)
        .step_by(4)
        .zip(SEVERAL)
        .map(|(number, (lines, answers))| (number, lines.to_owned(), Some(answers)));
    for (number, lines, answers) in of_one.chain(of_several) {
        for (source, length) in [
            (format!("192.0.2.{number}"), 24),
            (format!("2001:db8::{number}"), 64),
        ] {
            // The subnet of four addresses in which the host is.
            let net = format!("{source}/{}", if length == 64 { 126 } else { 30 });
            config.push_str(&lines.replace("HOST", &source).replace("NET", &net));
            config.push('\n');
            let nodad = if length == 64 { " nodad" } else { "" };
            set_up.push_str(&format!("ip address add {source}/{length} dev eth0{nodad}\n"));
            // What holds for everybody holds for the ports that no rule is about.
            let is_about_ports = |line: &str| line.starts_with("restrict") && !line.contains("ntpport");
            let is_nomodify = lines.contains("nomodify") || !lines.lines().any(is_about_ports);
            let answers = answers.map(|answers| program.answers(answers, is_nomodify));
            expected.extend(answers.map(|answers| format!("{source} {answers}")));
        }
    }
    let secret: String = b"a key for MD5___"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    world.write("ntp.keys", &format!("1 MD5 {secret}\n"));
    world.run(Host::Theirs, "sh", &["-ec", &set_up]);
    start(world, program, &config);
    world.wait_until("ntpd answers on this host", || {
        let table = ntpq(world, &["-c", "rv"]);
        if table.contains("stratum=") {
            Ok(())
        } else {
            Err(table)
        }
    });
    let sources = expected.iter().map(|row| row.split(' ').next().unwrap());
    let arguments = ["-c", MATRIX].into_iter().chain(sources).collect::<Vec<_>>();
    let found = world.run(Host::Theirs, "python3", &arguments);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    who_may_ask_how_often(world);
    // Control messages are limited where a rule says so, on this host too.
    let found = world.run(Host::Ours, "python3", &["-c", QUERIES, "127.0.0.5", "127.0.0.6"]);
    let [limited, unlimited] = found
        .lines()
        .map(|line| line.parse::<u32>().unwrap())
        .collect::<Vec<_>>()[..]
    else {
        panic!("{found}")
    };
    assert!((8..45).contains(&limited) && unlimited == 100, "{found}");
}

/// Asks 100 times for all associations from each address of this host; says how often it was answered.
const QUERIES: &str = r#"
import select, socket, sys
for source in sys.argv[1:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((source, 0))
        answers = 0
        for number in range(100):
            asking.sendto(bytes([0x16, 1]) + number.to_bytes(2, "big") + bytes(8), ("127.0.0.1", 123))
            while select.select([asking], [], [], 0.5 if number == 99 else 0.002)[0]:
                asking.recv(500)
                answers += 1
    print(answers)
"#;

/// What holds for everybody is something else than nothing, and a rule is about a name.
fn who_may_do_what_others_may_not(world: &World, program: Program) {
    let hosts = world.write("hosts", "127.0.0.1 localhost\n192.0.2.27 friend.example\n");
    world.run(Host::Ours, "mount", &["--bind", &hosts, "/etc/hosts"]);
    let secret: String = b"a key for MD5___"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    world.write("ntp.keys", &format!("1 MD5 {secret}\n"));
    let config = "
keys @DIR@/ntp.keys
trustedkey 1
controlkey 1
unrestrict default noquery limited
restrict default noserve nomodify
restrict 127.0.0.1
restrict ::1
restrict 192.0.2.22
restrict 192.0.2.23 noquery
unrestrict 192.0.2.24
unrestrict 192.0.2.25 noserve
restrict 192.0.2.26 ignore
restrict friend.example noquery
";
    let rows = [
        (21, "----AA-", true),
        (22, "AAAAAA-", false),
        (23, "AAAA---", false),
        // There was no rule to take anything from.
        (24, "----AA-", true),
        (25, "----AA-", true),
        (26, "-------", false),
        (27, "AAAA---", false),
    ];
    let addresses = rows.map(|(number, ..)| format!("192.0.2.{number}"));
    for address in &addresses {
        let arguments = ["address", "add", &format!("{address}/24"), "dev", "eth0"];
        world.run(Host::Theirs, "ip", &arguments);
    }
    start(world, program, config);
    world.wait_until("ntpd answers on this host", || {
        let table = ntpq(world, &["-c", "rv"]);
        if table.contains("stratum=") {
            Ok(())
        } else {
            Err(table)
        }
    });
    let expected = rows.map(|(number, of_first, is_nomodify)| {
        format!("192.0.2.{number} {}", program.answers(of_first, is_nomodify))
    });
    let arguments = ["-c", MATRIX].into_iter();
    let arguments = arguments.chain(addresses.iter().map(String::as_str));
    let found = world.run(Host::Theirs, "python3", &arguments.collect::<Vec<_>>());
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn ntpsec_lets_some_do_what_others_may_not() {
    inside(|world| who_may_do_what_others_may_not(world, Program::Ntpsec));
}

#[test]
fn timeballd_lets_the_same() {
    inside(|world| who_may_do_what_others_may_not(world, Program::Timeballd));
}

/// Asks for the time so many times without a pause, from each address; says of each how many of the first 20 requests were
/// answered, how many of all, and how many got a kiss instead.
const BURST: &str = r#"
import select, socket, sys, time
for source in sys.argv[2:]:
    server = "2001:db8::1" if ":" in source else "192.0.2.1"
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((source, 0))
        early = answers = kisses = 0
        def take(seconds):
            global early, answers, kisses
            while select.select([asking], [], [], seconds)[0]:
                answer = asking.recv(500)
                number = int.from_bytes(answer[24:32], "big")
                if answer[1] == 0 and answer[12:16] == b"RATE":
                    kisses += 1
                elif number:
                    answers += 1
                    early += number <= 20
        for number in range(1, 1 + int(sys.argv[1])):
            asking.sendto(bytes([4 << 3 | 3]) + bytes(39) + number.to_bytes(8, "big"), (server, 123))
            take(0.001)
        take(0.5)
    print(source, early, answers, kisses)
"#;

/// How many requests are made at once.
const BURST_LENGTH: u32 = 160;

/// The flags that count requests, or leave some out, each family.
fn who_may_ask_how_often(world: &World) {
    let sources = (31..35).flat_map(|number| [format!("192.0.2.{number}"), format!("2001:db8::{number}")]);
    let sources: Vec<String> = sources.collect();
    let count = BURST_LENGTH.to_string();
    let arguments = ["-c", BURST, &count];
    let arguments = arguments.into_iter().chain(sources.iter().map(String::as_str));
    let found = world.run(Host::Theirs, "python3", &arguments.collect::<Vec<_>>());
    let rows: Vec<(&str, [u32; 3])> = found
        .lines()
        .map(|row| {
            let (source, numbers) = row.split_once(' ').unwrap();
            let numbers: Vec<u32> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
            (source, numbers.try_into().unwrap())
        })
        .collect();
    assert_eq!(rows.len(), 2 * COUNTING.len(), "{found}");
    for (rows, flags) in rows.chunks(2).zip(COUNTING) {
        for (source, [early, answers, kisses]) in rows {
            let is_right = match flags {
                "" => (*early, *answers, *kisses) == (20, BURST_LENGTH, 0),
                // A second more is one more, and of those above the limit a few may be answered.
                "limited" => *early == 20 && *answers <= 45 && *kisses == 0,
                "limited kod" => *early == 20 && *answers <= 45 && *kisses > 0,
                // One of ten is left out: 144 are expected, and 3.8 is the standard deviation.
                _ => (115..BURST_LENGTH).contains(answers) && *kisses == 0,
            };
            assert!(is_right, "{flags:?} from {source}:\n{found}");
        }
    }
}

/// Rules about those who ask often, for addresses from 192.0.2.31 and 2001:db8::31 on.
const COUNTING: [&str; 4] = ["", "limited", "limited kod", "flake"];

#[test]
fn ntpsec_answers_by_its_rules() {
    inside(|world| who_may_do_what(world, Program::Ntpsec));
}

#[test]
fn timeballd_answers_by_the_same_rules() {
    inside(|world| who_may_do_what(world, Program::Timeballd));
}

/// Sends packets of one kind from an address; says how many answers came back that are no kiss code, and how many that are.
const PACKETS: &str = r#"
import hashlib, select, socket, sys
source, kind = sys.argv[1:]
def time_request(first):
    return bytes([first]) + bytes(39) + b"timeball"
def proven(packet, key, number=1):
    return packet + number.to_bytes(4, "big") + hashlib.md5(key + packet).digest()
def control(operation, data=b"", first=0x16):
    return bytes([first, operation, 0, 1, 0, 0, 0, 0, 0, 0, 0, len(data)]) + data + bytes(-len(data) % 4)
packets = {
    "version 4": time_request(0x23), "version 3": time_request(0x1b), "version 1": time_request(0x0b),
    "version 1, no mode": time_request(0x08), "version 0": time_request(0x03), "version 5": time_request(0x2b),
    "no mode": time_request(0x20), "mode 2": time_request(0x22), "answer": time_request(0x24),
    "broadcast": time_request(0x25), "mode 7": bytes.fromhex("1700032a00000000"),
    "code": proven(time_request(0x23), b"a key for MD5___"),
    "wrong code": proven(time_request(0x23), b"not this key____"),
    "unknown key": proven(time_request(0x23), b"a key for MD5___", 9),
    "crypto-NAK": time_request(0x23) + bytes(4),
    "short": time_request(0x23)[:40], "one octet": bytes([0x23]), "no packet": time_request(0x23) + b"tail5",
    "query": control(2), "unknown name": control(2, b"nonsense"), "unknown operation": control(30),
    "answered query": control(0x82), "short query": control(2)[:8], "query in version 5": control(2, first=0x2e),
}
packets = 60 * [packets["version 4"]] if kind == "burst" else 3 * [packets[kind]]
answers = kisses = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.bind((source, 0))
    def take(seconds):
        global answers, kisses
        while select.select([asking], [], [], seconds)[0]:
            answer = asking.recv(2000)
            is_kiss = answer[0] & 7 == 4 and answer[1] == 0 and answer[12:16] == b"RATE"
            kisses += is_kiss
            answers += not is_kiss
    for packet in packets:
        asking.sendto(packet, ("192.0.2.1", 123))
        take(0.001)
    take(0.3)
print(answers, kisses)
"#;

/// What `ntpq -c sysstats` shows, and what iostats says of the same.
const COUNTERS: [&str; 16] = [
    "ss_received",
    "ss_processed",
    "ss_thisver",
    "ss_oldver",
    "ss_ver1",
    "ss_ver1client",
    "ss_ver1zero",
    "ss_ver1symm",
    "ss_badformat",
    "ss_badauth",
    "ss_declined",
    "ss_restricted",
    "ss_limited",
    "ss_kodsent",
    "ss_numctlreq",
    "io_sent",
];

/// What becomes of packets, and where they are counted then.
fn what_is_counted(world: &World, program: Program) {
    let secret: String = b"a key for MD5___"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    world.write("ntp.keys", &format!("1 MD5 {secret}\n"));
    let config = "
keys @DIR@/ntp.keys
trustedkey 1
unrestrict default noquery limited
restrict 192.0.2.11 ignore
restrict 192.0.2.12 noserve
restrict 192.0.2.13 noquery
restrict 192.0.2.14 limited kod
restrict 192.0.2.15 version
restrict 192.0.2.16 notrust
";
    start(world, program, config);
    let read = || -> Vec<u64> {
        let text = ntpq(world, &["-c", &format!("rv 0 {}", COUNTERS.join(","))]);
        let text = text.split_whitespace().collect::<String>();
        let value = |name: &str| {
            let (_, rest) = text.split_once(&format!("{name}="))?;
            rest.split(',').next()?.parse().ok()
        };
        let values = COUNTERS.map(value);
        values
            .iter()
            .map(|value| value.unwrap_or_else(|| panic!("{text}")))
            .collect()
    };
    world.wait_until("ntpd answers on this host", || {
        let table = ntpq(world, &["-c", "rv"]);
        if table.contains("stratum=") {
            Ok(())
        } else {
            Err(table)
        }
    });
    let grown = |before: &[u64], after: &[u64]| -> Vec<u64> {
        before
            .iter()
            .zip(after)
            .map(|(before, after)| after - before)
            .collect()
    };
    let mut before = read();
    // What reading them costs.
    let after = read();
    let of_reading = grown(&before, &after);
    before = after;
    let mut send = |source: u8, kind: &str| {
        let source = format!("192.0.2.{source}");
        let came = world.run(Host::Theirs, "python3", &["-c", PACKETS, &source, kind]);
        let after = read();
        let by_us = grown(&before, &after);
        before.clone_from(&after);
        let by_it = grown(&of_reading, &by_us);
        let counted: Vec<(&str, u64)> = COUNTERS
            .into_iter()
            .zip(by_it)
            .filter(|(_, grown)| *grown > 0)
            .map(|(name, grown)| (name.split_once('_').unwrap().1, grown))
            .collect();
        (came.trim().to_owned(), counted)
    };
    let (answered, in_silence) = (&["processed", "sent"][..], &["processed"][..]);
    for (source, kind, counted) in [
        (18, "version 4", &[answered, &["thisver"]].concat()[..]),
        (18, "version 3", &[answered, &["oldver"]].concat()),
        (
            18,
            "version 1",
            &[answered, &["oldver", "ver1", "ver1client"]].concat(),
        ),
        (
            18,
            "version 1, no mode",
            &[answered, &["oldver", "ver1", "ver1zero"]].concat(),
        ),
        (18, "code", &[answered, &["thisver"]].concat()),
        (18, "version 0", &["badformat"]),
        (18, "version 5", &["badformat"]),
        (18, "no mode", &["badformat"]),
        (18, "mode 2", &["badformat"]),
        (18, "broadcast", &["badformat"]),
        (18, "mode 7", &["badformat"]),
        (18, "one octet", &["badformat"]),
        (18, "short", &["thisver", "badformat"]),
        (18, "no packet", &["thisver", "badformat"]),
        (18, "short query", &["badformat"]),
        (18, "query in version 5", &["badformat"]),
        (18, "answer", &["thisver", "declined"]),
        (18, "wrong code", &["thisver", "badauth"]),
        (18, "unknown key", &["thisver", "badauth"]),
        (18, "crypto-NAK", &["thisver", "badauth"]),
        (16, "version 4", &["thisver", "badauth"]),
        (11, "version 4", &["restricted"]),
        (11, "short", &["restricted"]),
        (11, "answer", &["restricted"]),
        (11, "query", &["restricted"]),
        (11, "version 0", &["badformat"]),
        (12, "version 4", &["restricted"]),
        (13, "query", &["restricted"]),
        (15, "version 3", &["restricted"]),
        // Each address may ask 8 times at once.
        (15, "version 4", &[answered, &["thisver"]].concat()),
        (16, "query", &[answered, &["numctlreq"]].concat()),
        (17, "unknown name", &[answered, &["numctlreq"]].concat()),
        (17, "unknown operation", &[answered, &["numctlreq"]].concat()),
        (18, "answered query", &[in_silence, &["numctlreq"]].concat()),
    ] {
        let answers = if counted.contains(&"sent") { "3 0" } else { "0 0" };
        let (came, found) = send(source, kind);
        let mut expected: Vec<(&str, u64)> = [&["received"], counted]
            .concat()
            .into_iter()
            .map(|name| (name, 3))
            .collect();
        let place = |name: &str| {
            COUNTERS
                .iter()
                .position(|counter| counter.ends_with(&format!("_{name}")))
        };
        expected.sort_by_key(|(name, _)| place(name));
        assert_eq!(
            (came.as_str(), found),
            (answers, expected),
            "{kind} from {source}"
        );
    }
    let (came, found) = send(14, "burst");
    let (answers, kisses) = came.split_once(' ').unwrap();
    let (answers, kisses): (u64, u64) = (answers.parse().unwrap(), kisses.parse().unwrap());
    assert!((20..30).contains(&answers) && kisses > 0, "{came}");
    let told = answers + kisses;
    assert_eq!(
        found,
        [
            ("received", 60),
            ("processed", told),
            ("thisver", told),
            ("limited", 60 - answers),
            ("kodsent", kisses),
            ("sent", told),
        ]
    );
}

#[test]
fn ntpsec_counts_what_becomes_of_packets() {
    inside(|world| what_is_counted(world, Program::Ntpsec));
}

#[test]
fn timeballd_counts_the_same() {
    inside(|world| what_is_counted(world, Program::Timeballd));
}
