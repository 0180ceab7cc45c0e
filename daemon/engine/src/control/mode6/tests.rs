//! What `ntpq` reads of an engine among servers.

use wire::mode6::{
    Answer, Assembly, AssemblyError, Fragment, Operation, PeerStatus, Request, Selection, Variables,
};

use conf::config::StatisticsKind;

use super::*;
use crate::stage::{self, Stage, at, server, silence, well};
use wire::ntp::auth::Key;

/// Everything may be asked.
const ALL: Rights = Rights {
    clients: true,
    datagrams_max: FRAGMENTS_MAX,
};

/// Who asks.
fn client() -> SocketAddr {
    "192.0.2.99:45678".parse().unwrap()
}

/// Asks, and puts the answer together.
fn ask(
    stage: &mut Stage,
    at_s: i64,
    operation: Operation,
    association: u16,
    data: &[u8],
) -> Result<Answer, AssemblyError> {
    let request = Request::new(operation, 1, association, data);
    let datagrams = answer(
        &mut stage.engine,
        at(at_s * 1_000_000_000),
        client(),
        ALL,
        &request.encode(),
    );
    let mut assembly = Assembly::new(request.header);
    let mut whole = None;
    for datagram in &datagrams {
        whole = assembly.push(&Fragment::decode(datagram).unwrap())?;
    }
    Ok(whole.expect("an answer comes whole"))
}

/// These sources in an ntp.conf, in which there are rules on who may ask.
fn config(sources: Vec<conf::config::SourceConfig>) -> conf::config::Config {
    let mut config = stage::config(sources);
    config.server.restrictions = Some(conf::config::Restrictions::default());
    config
}

/// The associations with their status words.
fn associations(stage: &mut Stage, at_s: i64) -> Vec<(u16, u16)> {
    let answer = ask(stage, at_s, Operation::READ_STATUS, 0, b"").unwrap();
    let word = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    answer
        .data
        .chunks(4)
        .map(|pair| (word(&pair[..2]), word(&pair[2..])))
        .collect()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.data.clone()).unwrap()
}

#[test]
fn a_source_that_was_never_heard_is_init() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), silence());
    stage.run_until(5.0);
    let listed = associations(&mut stage, 5);
    assert_eq!(listed.len(), 1);
    let (number, status) = listed[0];
    assert_eq!(status, 0x8011);
    let answer = ask(&mut stage, 5, Operation::READ_VARIABLES, number, b"").unwrap();
    assert_eq!(answer.status, 0x8011);
    let variables = Variables::new(&answer.data);
    for (name, value) in [
        ("srcadr", "192.0.2.1"),
        ("stratum", "16"),
        ("refid", "INIT"),
        ("reach", "0x0"),
        ("delay", "0.000000"),
        ("offset", "0.000000"),
        ("rec", "0x00000000.00000000"),
        ("flash", "0x1000"),
    ] {
        assert_eq!(variables.get(name), Some(value), "{name}");
    }
    assert!(variables.get("dispersion").unwrap().starts_with("159"));
    let system = ask(&mut stage, 5, Operation::READ_VARIABLES, 0, b"").unwrap();
    assert_eq!(system.status, 0xc016);
    assert!(text(&system).starts_with("leap=3, stratum=16, precision=-23, "));
    assert_eq!(Variables::new(&system.data).get("refid"), Some("INIT"));
}

#[test]
fn a_source_that_is_followed_is_the_system_peer() {
    let mut stage = Stage::new(
        config(vec![stage::line(
            conf::config::SourceKind::Server,
            "192.0.2.1",
            |config| {
                config.iburst = true;
            },
        )]),
        well(),
    );
    stage.run_until(60.0);
    let listed = associations(&mut stage, 60);
    let (number, status) = listed[0];
    assert_eq!(status, 0x961a);
    assert_eq!(PeerStatus::selection_of(status), Selection::SystemPeer);
    let answer = ask(&mut stage, 60, Operation::READ_VARIABLES, number, b"").unwrap();
    let said = text(&answer);
    let order: Vec<&str> = Variables::new(&answer.data).map(|(name, _)| name).collect();
    let place = |name: &str| order.iter().position(|found| *found == name).unwrap();
    assert!(place("reftime") < place("rec"), "{said}");
    let variables = Variables::new(&answer.data);
    for (name, value) in [
        ("stratum", "2"),
        ("refid", "192.0.2.1"),
        ("dstadr", "192.0.2.250"),
        ("hmode", "3"),
        ("pmode", "4"),
        ("flash", "0x0"),
        ("rootdelay", "10.010"),
    ] {
        assert_eq!(variables.get(name), Some(value), "{name}: {said}");
    }
    assert!(
        variables.get("delay").unwrap().starts_with("1.99")
            || variables.get("delay").unwrap().starts_with("2.0")
    );
    let system = ask(&mut stage, 60, Operation::READ_VARIABLES, 0, b"").unwrap();
    assert_eq!(system.status, 0x0615);
    let variables = Variables::new(&system.data);
    for (name, value) in [("leap", "0"), ("stratum", "3"), ("refid", "192.0.2.1")] {
        assert_eq!(variables.get(name), Some(value), "{name}");
    }
    assert_eq!(variables.get("peer"), Some(number.to_string().as_str()));
}

#[test]
fn names_that_are_not_resolved_are_shown_as_such() {
    let mut stage = Stage::new(config(vec![server("ntp.example")]), silence());
    stage.run_until(1.0);
    let (number, _) = associations(&mut stage, 1)[0];
    let answer = ask(
        &mut stage,
        1,
        Operation::READ_VARIABLES,
        number,
        b"srchost,srcadr,refid",
    )
    .unwrap();
    assert_eq!(
        text(&answer),
        "srcadr=0.0.0.0, srchost=\"ntp.example\", refid=DNS\r\n"
    );
}

#[test]
fn a_pool_is_one_association_beside_those_that_it_gives() {
    let pool = stage::line(conf::config::SourceKind::Pool, "pool.example", |line| {
        line.max_sources = 2;
    });
    let mut stage = Stage::new(with_statistics(config(vec![pool, server("192.0.2.9")])), well());
    stage.run_until(1.0);
    let listed = associations(&mut stage, 1);
    assert_eq!(listed.len(), 2);
    let (number, status) = listed[0];
    assert_eq!(status, 0x8811);
    let of_pool = b"srcadr,srcport,srchost,hmode,stratum,refid,reach,rec,config";
    let answer = ask(&mut stage, 1, Operation::READ_VARIABLES, number, of_pool).unwrap();
    let said = text(&answer).replace("\r\n", " ");
    assert_eq!(
        (answer.status, said.trim()),
        (
            0x8811,
            "srcadr=0.0.0.0, srcport=0, srchost=\"pool.example\", hmode=3, stratum=16, refid=POOL, \
             rec=0x00000000.00000000, reach=0x0, config=1"
        )
    );

    assert_eq!(
        stage.resolve(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        "pool.example"
    );
    stage.run_until(60.0);
    let now = associations(&mut stage, 60);
    assert_eq!(now[0], listed[0]);
    // What a pool gives is not in the configuration, and is called by nothing but its address.
    let given: Vec<u16> = now
        .iter()
        .filter(|(_, status)| status & 0x8000 == 0)
        .map(|(number, _)| *number)
        .collect();
    assert!(given.len() >= 2, "{now:04x?}");
    for number in given {
        let answer = ask(&mut stage, 60, Operation::READ_VARIABLES, number, b"config").unwrap();
        assert_eq!(text(&answer), "config=0\r\n");
        let answer = ask(&mut stage, 60, Operation::READ_VARIABLES, number, b"").unwrap();
        let variables = Variables::new(&answer.data);
        assert!(variables.get("srcadr").unwrap().starts_with("192.0.2."));
        assert_eq!(variables.get("srchost"), None);
    }
    let events = lines(&mut stage, StatisticsKind::Protocol);
    let place = |text: &str| events.iter().position(|line| line.ends_with(text));
    let of_pool = place(&format!("pool.example 8811 81 mobilize assoc {number}"));
    let of_given = place("192.0.2.1 0011 81 mobilize assoc 2");
    assert!(of_pool.is_some() && of_pool < of_given, "{events:#?}");
}

#[test]
fn a_reference_clock_has_variables_of_its_own() {
    let driver = conf::config::RefClockDriver::SharedMemory {
        unit: 2,
        permissions: 0o600,
    };
    let mut clock = conf::config::RefClock::new(driver, *b"GPS\0");
    (clock.poll, clock.offset_s) = (1, 0.25);
    let mut config = config(vec![server("192.0.2.1")]);
    config.ref_clocks = vec![clock];
    let mut stage = Stage::new(config, silence());
    let tell = |stage: &mut Stage, second: i64, offset_s: Option<f64>| {
        stage.run_until(units::rounding::f64_from_i64(second));
        stage.ref_clocks_asked.clear();
        let reading = offset_s.map(|offset_s| crate::io::RefClockReading {
            at: at(second * 1_000_000_000).wall,
            offset_s,
            leap: units::Leap::Normal,
        });
        stage.tell(crate::io::Input::RefClock {
            ref_clock: 0,
            reading,
        });
    };
    let numbers: Vec<u16> = associations(&mut stage, 0)
        .iter()
        .map(|(number, _)| *number)
        .collect();
    let of_clock = |stage: &mut Stage, at_s: i64, number: u16, data: &[u8]| {
        ask(stage, at_s, Operation::READ_CLOCK, number, data).map(|answer| {
            let said = text(&answer).replace("\r\n", " ");
            (answer.status, said.trim().to_owned())
        })
    };
    let number = numbers
        .iter()
        .copied()
        .find(|number| of_clock(&mut stage, 0, *number, b"").is_ok())
        .unwrap();
    for other in numbers.iter().filter(|other| **other != number).chain(&[0]) {
        let refused = of_clock(&mut stage, 0, *other, b"");
        assert_eq!(refused, Err(AssemblyError::Refused(4)), "{other}");
    }
    for second in 0..4 {
        tell(&mut stage, second, Some(0.125));
    }
    assert_eq!(
        of_clock(&mut stage, 3, number, b""),
        Ok((
            0,
            format!(
                "name=\"SHM\", timecode=\"{}.125000000\", poll=2, noreply=0, badformat=0, baddata=0, fudgetime1=250.000, \
                 stratum=0, refid=GPS, flags=0, device=\"SHM/Shared memory interface\"",
                at(3_000_000_000).wall.seconds()
            )
        ))
    );
    let variables = b"srcadr,srcport,srchost,refid,rec";
    let answer = ask(&mut stage, 3, Operation::READ_VARIABLES, number, variables).unwrap();
    let said = text(&answer).replace("\r\n", " ");
    let heard = at(3_000_000_000).wall.to_ntp().seconds();
    assert_eq!(
        said.trim(),
        format!(
            "srcadr=127.127.28.2, srcport=123, srchost=\"SHM(2)\", refid=GPS, rec={heard:#010x}.00000000"
        )
    );
    // One that makes no sense, and silence.
    for (second, offset_s) in (4..8).zip([Some(f64::NAN), None, None, None]) {
        tell(&mut stage, second, offset_s);
    }
    assert_eq!(
        of_clock(&mut stage, 8, number, b"noreply,baddata,poll"),
        Ok((0x21, "poll=4, noreply=2, baddata=1".to_owned()))
    );
}

#[test]
fn nothing_is_changed_and_errors_have_their_numbers() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), silence());
    stage.run_until(1.0);
    for (operation, association, data, code) in [
        (Operation::WRITE_VARIABLES, 0, &b"leap=1"[..], 3),
        (Operation::WRITE_CLOCK, 0, b"", 3),
        (Operation::READ_CLOCK, 0, b"", 4),
        (Operation::CONFIGURE, 0, b"logconfig =all", 1),
        (Operation::READ_ORDERED_LIST, 0, b"ifstats", 1),
        (Operation(9), 0, b"", 3),
        (Operation(31), 0, b"", 3),
        (Operation::READ_VARIABLES, 9999, b"", 4),
        (Operation::READ_STATUS, 9999, b"", 4),
        (Operation::READ_VARIABLES, 0, b"stratum,nosuch", 5),
        (Operation::READ_VARIABLES, 0, &[b'a'; 200], 6),
    ] {
        let refused = ask(&mut stage, 1, operation, association, data);
        assert_eq!(
            refused,
            Err(AssemblyError::Refused(code)),
            "{operation:?} {association}"
        );
    }
    assert_eq!(
        answer(
            &mut stage.engine,
            at(0),
            client(),
            ALL,
            &[0x17, 0, 3, 0x2a, 0, 0, 0, 0]
        ),
        Vec::<Vec<u8>>::new()
    );
}

#[test]
fn malformed_and_rare_requests_have_their_answers() {
    let line = stage::line(conf::config::SourceKind::Server, "192.0.2.1", |config| {
        config.iburst = true;
    });
    let mut stage = Stage::new(config(vec![line]), well());
    stage.run_until(60.0);
    // Observed with NTPsec 1.2.2, but for the status of the system.
    let header_only = |text: &str| (text.to_owned(), 0);
    for ((request, more), expected) in [
        (
            header_only("160012340000000000000000"),
            Some("168012340615000000000000"),
        ),
        (
            header_only("260012340000000000000000"),
            Some("268012340615000000000000"),
        ),
        (header_only("2e0112340000000000000000"), None),
        (
            header_only("160212340000000900000000"),
            Some("16c212340400000900000000"),
        ),
        (
            header_only("160012340000000900000000"),
            Some("16c012340400000900000000"),
        ),
        (
            header_only("160912340000000000000000"),
            Some("16c912340300000000000000"),
        ),
        (
            header_only("161f12340000000000000000"),
            Some("16df12340300000000000000"),
        ),
        (
            header_only("160412340000000000000000"),
            Some("16c412340400000000000000"),
        ),
        (header_only("160a1234000000000000000766726167733d3100"), None),
        // More data than there is, and more than there may be.
        (
            header_only("1602123400000000000001906c656170"),
            Some("16c212340200000000000000"),
        ),
        (
            ("1602123400000000000001d5".to_owned(), 472),
            Some("16c212340200000000000000"),
        ),
        (
            ("16021234000000000000ffff".to_owned(), 468),
            Some("16c212340200000000000000"),
        ),
        // A length that is none, and one that is too short.
        (
            header_only("16011234000000000000000000"),
            Some("16c112340200000000000000"),
        ),
        (header_only("1601123400000000000000"), None),
        // Answers, fragments, errors, and what does not begin at the beginning.
        (header_only("168212340000000000000000"), None),
        (header_only("162212340000000000000000"), None),
        (header_only("164212340000000000000000"), None),
        (header_only("160212340000000000040000"), None),
    ] {
        let digits = request.as_bytes().chunks(2);
        let mut bytes: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        bytes.resize(bytes.len() + more, b'a');
        let answers = answer(&mut stage.engine, at(60_000_000_000), client(), ALL, &bytes);
        let answers: Vec<String> = answers
            .iter()
            .map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(answers, expected, "{request}");
    }
}

#[test]
fn what_ntpq_asks_for_in_its_commands_is_there() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), well());
    stage.run_until(10.0);
    stage.tell(crate::io::Input::KernelClock(Some(
        crate::io::KernelClock::default(),
    )));
    for names in [
        "peeradr,peermode,leap,stratum,precision,rootdelay,rootdisp,rootdist,refid,reftime,sys_jitter,clk_jitter,\
         clk_wander,authdelay",
        "koffset,kfreq,kmaxerr,kesterr,kstflags,ktimeconst,kprecis,kfreqtol,kppsfreq,kppsstab,kppsjitter,kppscalibdur,\
         kppscalibs,kppsjitexc,kppsstbexc,kppscaliberrs",
        "ss_uptime,ss_numctlreq,ss_reset,ss_received_r,ss_processed",
        "iostats_reset,total_rbuf,free_rbuf,used_rbuf,rbuf_lowater,io_dropped,io_ignored,io_received,io_sent,\
         io_sendfailed,io_wakeups,io_goodwakeups",
        "timerstats_reset,timer_overruns,timer_xmts",
        "mru_enabled,mru_hashslots,mru_depth,mru_deepest,mru_maxdepth,mru_mindepth,mru_maxage,mru_minage,mru_mem,\
         mru_maxmem,mru_exists,mru_new,mru_recycleold,mru_recyclefull,mru_none,mru_oldest_age",
    ] {
        let answer = ask(&mut stage, 10, Operation::READ_VARIABLES, 0, names.as_bytes()).unwrap();
        assert_eq!(
            Variables::new(&answer.data).count(),
            names.split(',').count(),
            "{names}"
        );
    }
    let (number, _) = associations(&mut stage, 10)[0];
    let names = "srcadr,dstadr,timerec,timer,timereach,sent,received,badauth,bogusorg,oldpkt,seldisp,selbroken,\
                 candidate,ntscookies";
    let answer = ask(
        &mut stage,
        10,
        Operation::READ_VARIABLES,
        number,
        names.as_bytes(),
    )
    .unwrap();
    assert_eq!(Variables::new(&answer.data).count(), 14);
}

#[test]
fn the_kernel_is_asked_when_somebody_asks() {
    let mut config = config(vec![server("192.0.2.1")]);
    let everybody = conf::config::Subnet::prefix("0.0.0.0".parse().unwrap(), 0).unwrap();
    config
        .server
        .restrictions
        .get_or_insert_default()
        .entry(&everybody, false);
    let mut stage = Stage::new(config, silence());
    stage.run_until(1.0);
    let socket = *stage.sockets.keys().next().expect("a socket for clients");
    let told = |stage: &mut Stage, names: &[u8]| -> Result<String, AssemblyError> {
        let request = Request::new(Operation::READ_VARIABLES, 1, 0, names);
        stage.sent_to_clients.clear();
        stage.receive(socket, client(), &request.encode());
        let (_, bytes) = stage.sent_to_clients.pop().expect("an answer");
        let whole = Assembly::new(request.header).push(&Fragment::decode(&bytes).unwrap())?;
        Ok(text(&whole.expect("an answer comes whole")))
    };
    // Where it does not answer nothing is made up.
    assert_eq!(told(&mut stage, b"kfreq"), Err(AssemblyError::Refused(5)));
    stage.kernel_clock = Some(crate::io::KernelClock {
        offset_s: -2.5e-7,
        frequency_ppm: -12.5,
        max_error_s: 16.0,
        status: 0x2041,
        precision_s: 1e-6,
        ..crate::io::KernelClock::default()
    });
    assert_eq!(
        told(&mut stage, b"koffset,kfreq,kmaxerr,kstflags,kprecis").as_deref(),
        Ok("koffset=-0.00000025, kfreq=-12.5, kmaxerr=16,\r\n\
             kstflags=\"pll unsync nano\", kprecis=0.000001\r\n")
    );
    assert_eq!(stage.kernel_readings, 2);
    told(&mut stage, b"leap").unwrap();
    assert_eq!(stage.kernel_readings, 2);
}

#[test]
fn two_hundred_sources_take_two_datagrams() {
    let sources = (1..=200)
        .map(|host| server(&format!("198.51.100.{host}")))
        .collect();
    let mut stage = Stage::new(config(sources), silence());
    stage.run_until(1.0);
    let request = Request::new(Operation::READ_STATUS, 1, 0, b"").encode();
    let datagrams = answer(&mut stage.engine, at(1_000_000_000), client(), ALL, &request);
    assert_eq!(
        datagrams.iter().map(Vec::len).collect::<Vec<_>>(),
        [12 + 468, 12 + 332]
    );
    let mut numbers: Vec<u16> = associations(&mut stage, 1)
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.len() == 200 && !numbers.contains(&0));
}

/// Reads the whole list as ntpq does, `rows` rows at a time: addresses with counts, the one that was quiet longest
/// first.
fn mru(stage: &mut Stage, at_s: i64, rows: usize) -> Vec<(String, String)> {
    let nonce = |answer: &Answer| Variables::new(&answer.data).get("nonce").unwrap().to_owned();
    let mut last_nonce = nonce(&ask(stage, at_s, Operation::REQUEST_NONCE, 0, b"").unwrap());
    let mut known = String::new();
    let mut list = Vec::new();
    for _ in 0..100 {
        let query = format!("nonce={last_nonce}, limit={rows}{known}");
        let answer = ask(stage, at_s, Operation::READ_MRU, 0, query.as_bytes()).unwrap();
        last_nonce = nonce(&answer);
        let variables = Variables::new(&answer.data);
        let get = |name: &str, row: usize| variables.get(&format!("{name}.{row}")).map(str::to_owned);
        for row in 0..rows {
            let (Some(address), Some(last)) = (get("addr", row), get("last", row)) else {
                break;
            };
            known = format!(", addr.0={address}, last.0={last}");
            list.push((address, get("ct", row).unwrap()));
        }
        if variables.get("now").is_some() {
            return list;
        }
    }
    panic!("the list has no end: {list:?}");
}

#[test]
fn who_asked_is_told_to_those_who_have_a_nonce() {
    let mut config = stage::config(vec![]);
    config.server.access = vec![conf::config::AccessRule {
        verdict: conf::config::Verdict::Allow,
        all: false,
        subnet: conf::config::Subnet::Everyone,
    }];
    let mut stage = Stage::new(config, silence());
    stage.run_until(1.0);
    assert_eq!(mru(&mut stage, 1, 5), []);
    let socket = *stage.sockets.keys().next().expect("a socket for clients");
    let request = wire::ntp::Header {
        mode: units::Mode::Client,
        ..wire::ntp::Header::default()
    };
    for round in 0..12 {
        stage.run_until(2.0 + f64::from(round));
        let host = round % 7 + 1;
        stage.receive(
            socket,
            format!("198.51.100.{host}:{}", 1000 + host).parse().unwrap(),
            &request.encode(),
        );
    }
    let whole = mru(&mut stage, 14, 256);
    let expected: Vec<(String, String)> = [(6, 1), (7, 1), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2)]
        .map(|(host, count)| (format!("198.51.100.{host}:{}", 1000 + host), count.to_string()))
        .to_vec();
    assert_eq!(whole, expected);
    assert_eq!(mru(&mut stage, 14, 2), expected);

    // Without a nonce of his own nobody is told anything.
    let nonce = stage
        .engine
        .nonce(at(14_000_000_000).mono, "192.0.2.98:45678".parse().unwrap());
    let request = Request::new(Operation::READ_MRU, 1, 0, b"frags=32").encode();
    assert!(answer(&mut stage.engine, at(14_000_000_000), client(), ALL, &request).is_empty());
    let foreign = format!("nonce={nonce}, frags=32");
    let request = Request::new(Operation::READ_MRU, 1, 0, foreign.as_bytes()).encode();
    assert!(answer(&mut stage.engine, at(14_000_000_000), client(), ALL, &request).is_empty());
    let old = stage.engine.nonce(at(14_000_000_000).mono, client());
    let query = format!("nonce={old}, frags=32");
    let request = Request::new(Operation::READ_MRU, 1, 0, query.as_bytes()).encode();
    assert!(!answer(&mut stage.engine, at(30_000_000_000), client(), ALL, &request).is_empty());
    assert!(answer(&mut stage.engine, at(30_000_000_001), client(), ALL, &request).is_empty());
    // What cannot be continued is begun anew by the client; what has no limit is refused.
    let query = format!("nonce={old}, frags=32, addr.0=198.51.100.1:1001, last.0=0x00000001.00000000");
    let refused = ask(&mut stage, 14, Operation::READ_MRU, 0, query.as_bytes());
    assert_eq!(refused, Err(AssemblyError::Refused(5)));
    let refused = ask(
        &mut stage,
        14,
        Operation::READ_MRU,
        0,
        format!("nonce={old}").as_bytes(),
    );
    assert_eq!(refused, Err(AssemblyError::Refused(6)));
    // Rows may be chosen by what their senders may not do and by what was dropped; here that is nothing.
    let mut chosen = |by: &str| {
        let query = format!("nonce={old}, frags=32, {by}");
        let answer = ask(&mut stage, 14, Operation::READ_MRU, 0, query.as_bytes())?;
        Ok(Variables::new(&answer.data).get("addr.0").is_some())
    };
    assert_eq!(chosen("resall=0x0, mindrop=0"), Ok(true));
    // Nor is there a score where no rules are.
    for by in ["resall=0x20", "resany=0x21", "mindrop=1", "minscore=0"] {
        assert_eq!(chosen(by), Ok(false), "{by}");
    }
    assert_eq!(chosen("laddr=127.0.0.1"), Err(AssemblyError::Refused(6)));
}

#[test]
fn a_server_without_the_time_is_heard_and_not_measured() {
    let unsynchronised = stage::answering(|_, answer| {
        vec![wire::ntp::Header {
            leap: units::Leap::Unsynchronised,
            stratum: units::Stratum(0),
            reference_id: units::ReferenceId::default(),
            ..answer
        }]
    });
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), unsynchronised);
    stage.run_until(100.0);
    let (number, _) = associations(&mut stage, 100)[0];
    let query = b"stratum,refid,rec,timerec,timereach";
    let answer = ask(&mut stage, 100, Operation::READ_VARIABLES, number, query).unwrap();
    let variables = Variables::new(&answer.data);
    for (name, value) in [
        ("stratum", "16"),
        ("refid", "INIT"),
        ("rec", "0x00000000.00000000"),
        ("timereach", "0"),
    ] {
        assert_eq!(variables.get(name), Some(value), "{name}");
    }
    assert_ne!(variables.get("timerec"), Some("0"));
}

/// The lengths of what comes back to each of several requests for all associations from this address.
fn asked_from(stage: &mut Stage, from: &str, times: usize) -> Vec<usize> {
    let socket = *stage.sockets.keys().next().expect("a socket for clients");
    let request = Request::new(Operation::READ_STATUS, 1, 0, b"").encode();
    stage.sent_to_clients.clear();
    for _ in 0..times {
        stage.receive(socket, from.parse().unwrap(), &request);
    }
    let sent = std::mem::take(&mut stage.sent_to_clients);
    sent.iter()
        .map(|(to, bytes)| {
            assert_eq!(to.to_string(), from);
            bytes.len()
        })
        .collect()
}

#[test]
fn rules_say_who_may_ask() {
    let mut config = config(vec![server("192.0.2.1")]);
    let mut restrictions = conf::config::Restrictions::default();
    for (network, length, flag) in [
        ("0.0.0.0", 0, "noquery"),
        ("127.0.0.0", 8, ""),
        ("10.0.0.0", 8, ""),
        ("10.1.0.0", 16, "ignore"),
    ] {
        let subnet = conf::config::Subnet::prefix(network.parse().unwrap(), length).unwrap();
        let flags = restrictions.entry(&subnet, false);
        flags.noquery = flag == "noquery";
        flags.ignore = flag == "ignore";
    }
    config.server.restrictions = Some(restrictions);
    let mut stage = Stage::new(config, silence());
    stage.run_until(1.0);
    assert_eq!(asked_from(&mut stage, "192.0.2.9:1000", 1), []);
    assert_eq!(asked_from(&mut stage, "10.1.0.9:1000", 1), []);
    assert_eq!(asked_from(&mut stage, "10.0.0.9:0", 1), []);
    assert_eq!(asked_from(&mut stage, "127.0.0.1:1000", 100), [16; 100]);
    // From elsewhere one request a second is answered, and eight at once.
    let answered = asked_from(&mut stage, "10.0.0.9:1000", 100).len();
    assert!((8..30).contains(&answered), "{answered}");
}

/// What was written to a file of statistics, without the time, whose form is checked.
fn lines(stage: &mut Stage, kind: StatisticsKind) -> Vec<String> {
    let written = std::mem::take(&mut stage.statistics);
    let (these, others) = written.into_iter().partition(|(of, _)| *of == kind);
    stage.statistics = others;
    let these: Vec<(StatisticsKind, String)> = these;
    these
        .into_iter()
        .map(|(_, line)| {
            let mut words = line.splitn(3, ' ');
            let (day, second) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(day.len(), 5, "{line}");
            assert!(
                second.parse::<f64>().unwrap() < 86_400.0 && second.rsplit('.').next().unwrap().len() == 3,
                "{line}"
            );
            words.next().unwrap().to_owned()
        })
        .collect()
}

fn with_statistics(mut config: conf::config::Config) -> conf::config::Config {
    let files = &mut config.statistics.files;
    files.extend(StatisticsKind::ALL.map(|kind| (kind, conf::config::StatisticsFile::new(kind))));
    config
}

#[test]
fn events_are_counted_and_written_down() {
    let line = stage::line(conf::config::SourceKind::Server, "192.0.2.1", |config| {
        config.iburst = true;
    });
    let mut stage = Stage::new(with_statistics(config(vec![line])), well());
    stage.run_until(60.0);
    let number = associations(&mut stage, 60)[0].0;
    assert_eq!(
        lines(&mut stage, StatisticsKind::Protocol),
        [
            "0.0.0.0 c011 01 freq_not_set".to_owned(),
            "0.0.0.0 c016 06 restart".to_owned(),
            format!("192.0.2.1 8011 81 mobilize assoc {number}"),
            "192.0.2.1 9014 84 reachable".to_owned(),
            "0.0.0.0 0615 05 clock_sync".to_owned(),
            "192.0.2.1 961a 8a sys_peer".to_owned(),
        ]
    );
    let loops = lines(&mut stage, StatisticsKind::Loop);
    assert!(!loops.is_empty());
    let shape = |line: &str| {
        let decimals = |word: &str| word.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        line.split(' ').map(decimals).collect::<Vec<_>>()
    };
    for line in &loops {
        assert_eq!(shape(line), [9, 6, 9, 6, 0], "{line}");
    }
    let peers = lines(&mut stage, StatisticsKind::Peer);
    let raw = lines(&mut stage, StatisticsKind::Raw);
    assert_eq!(peers.len(), raw.len());
    let status = |line: &String| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(
        (status(&peers[0]).as_str(), status(peers.last().unwrap()).as_str()),
        ("9014", "961a")
    );
    let columns: Vec<&str> = raw[0].split(' ').collect();
    assert_eq!(
        (columns.len(), columns[0], columns[1]),
        (18, "192.0.2.1", "192.0.2.250")
    );
    // Leap, version, mode, stratum.
    assert_eq!(columns[6..10], ["0", "4", "4", "2"]);
    let seconds: Vec<f64> = columns[2..6].iter().map(|word| word.parse().unwrap()).collect();
    assert!(seconds.is_sorted(), "{raw:?}");
}

#[test]
fn an_hour_of_counts_is_one_line() {
    let mut stage = Stage::new(with_statistics(config(vec![server("192.0.2.1")])), well());
    stage.run_until(3700.0);
    let found = lines(&mut stage, StatisticsKind::System);
    assert_eq!(found.len(), 1);
    let counts: Vec<u64> = found[0].split(' ').map(|word| word.parse().unwrap()).collect();
    assert_eq!((counts.len(), counts[0]), (12, 3600));
    // Everything is an answer of a source in version 4, and taken.
    assert!(counts[1] > 0, "{counts:?}");
    assert_eq!(
        counts[1..],
        [counts[1], counts[1], counts[1], 0, 0, 0, 0, 0, 0, 0, 0]
    );
    stage.run_until(7300.0);
    let next: Vec<u64> = lines(&mut stage, StatisticsKind::System)[0]
        .split(' ')
        .map(|word| word.parse().unwrap())
        .collect();
    // Not since the start.
    assert!(next[1] < counts[1] * 2 && next[1] > 0, "{counts:?} {next:?}");
}

#[test]
fn what_becomes_of_packets_is_counted() {
    let mut config = config(vec![stage::line(
        conf::config::SourceKind::Server,
        "192.0.2.1",
        |config| config.key_id = Some(7),
    )]);
    let mut restrictions = conf::config::Restrictions::default();
    for (network, length) in [("0.0.0.0", 0), ("10.0.0.0", 8)] {
        let subnet = conf::config::Subnet::prefix(network.parse().unwrap(), length).unwrap();
        restrictions.entry(&subnet, false).ignore = length == 8;
    }
    config.server.restrictions = Some(restrictions);
    let mut stage = Stage::new(with_statistics(config), well());
    let key = Key::new(7, wire::ntp::auth::Algorithm::Aes128Cmac, b"the key of seven").unwrap();
    stage.tell(crate::io::Input::Keys(vec![key]));
    stage.run_until(600.0);
    // Who answers does not prove who they are.
    let number = associations(&mut stage, 600)[0].0;
    let names = b"received,badauth,bogusorg";
    let answer = ask(&mut stage, 600, Operation::READ_VARIABLES, number, names).unwrap();
    let received = stage.source().counts.received;
    assert!(received > 0);
    assert_eq!(
        text(&answer),
        format!("received={received}, badauth={received}, bogusorg=0\r\n")
    );
    let socket = *stage.sockets.keys().next().expect("a socket for clients");
    let mut packet = wire::ntp::Header {
        mode: units::Mode::Client,
        ..wire::ntp::Header::default()
    }
    .encode();
    for from in ["10.0.0.1:1000", "10.0.0.1:123", "192.0.2.99:1000"] {
        stage.receive(socket, from.parse().unwrap(), &packet);
    }
    packet[0] = 3 << 3 | 3;
    stage.receive(socket, client(), &packet);
    stage.receive(socket, client(), &packet[..44]);
    stage.tell(crate::io::Input::SendFailed { socket });
    let names = "ss_received,ss_thisver,ss_oldver,ss_badformat,ss_badauth,ss_restricted,ss_processed,io_sent,io_sendfailed";
    let answer = ask(&mut stage, 600, Operation::READ_VARIABLES, 0, names.as_bytes()).unwrap();
    let said = text(&answer).replace("\r\n", " ");
    let found: Vec<u64> = said
        .split(", ")
        .map(|pair| pair.trim().rsplit('=').next().unwrap().parse().unwrap())
        .collect();
    let [of_source, sent] = [received, stage.source().counts.sent].map(u64::from);
    assert_eq!(
        found,
        [of_source + 5, of_source + 1, 2, 1, of_source, 2, 2, sent + 2, 1],
        "{said}"
    );
    stage.run_until(3700.0);
    let line = &lines(&mut stage, StatisticsKind::System)[0];
    let columns: Vec<&str> = line.split(' ').collect();
    // Whoever answers here answers our answers too, of which one is in version 3: that was not asked for.
    let unauthenticated = stage.source().counts.received.to_string();
    assert_eq!(columns[4..9], ["3", "2", "1", &unauthenticated, "2"], "{line}");
}

#[test]
fn added_variables_are_told_as_they_were_said() {
    let mut config = config(vec![server("192.0.2.1")]);
    let variable = |name: &str, is_default| conf::config::SystemVariable {
        name: name.to_owned(),
        value: "a b".to_owned(),
        is_default,
    };
    config.variables = vec![
        variable("site", true),
        variable("rack", false),
        variable("leap", true),
    ];
    let mut stage = Stage::new(config, silence());
    stage.run_until(1.0);
    let usual = text(&ask(&mut stage, 1, Operation::READ_VARIABLES, 0, b"").unwrap());
    assert!(
        usual.contains("site=\"a b\"") && !usual.contains("rack") && usual.starts_with("leap=3,"),
        "{usual}"
    );
    let asked = text(&ask(&mut stage, 1, Operation::READ_VARIABLES, 0, b"rack,leap").unwrap());
    assert_eq!(asked, "leap=3, rack=\"a b\"\r\n");
}

/// The text of a list that is asked for with a proof made with this key, and how many datagrams it has.
fn ordered(stage: &mut Stage, list: &[u8], proof: Option<&Key>) -> Result<(String, usize), AssemblyError> {
    let request = Request::new(Operation::READ_ORDERED_LIST, 1, 0, list);
    let mut bytes = request.encode();
    if let Some(key) = proof {
        // As `ntpq` of NTPsec 1.2.2 does it.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        ordered::sign(&mut bytes, key);
    }
    let datagrams = answer(&mut stage.engine, at(5_000_000_000), client(), ALL, &bytes);
    let mut assembly = Assembly::new(request.header);
    let mut whole = None;
    for datagram in &datagrams {
        if let Some(key) = proof.filter(|_| datagram.len() > 12) {
            let (signed, code) = datagram.split_at(datagram.len() - 20);
            let mut again = signed.to_vec();
            ordered::sign(&mut again, key);
            assert_eq!(
                again[signed.len()..],
                *code,
                "an answer is signed as the question"
            );
        }
        whole = assembly.push(&Fragment::decode(datagram).unwrap())?;
    }
    Ok((text(&whole.expect("an answer comes whole")), datagrams.len()))
}

#[test]
fn whoever_has_the_key_is_told_of_addresses_and_rules() {
    let mut config = config(vec![server("192.0.2.1")]);
    config.control_key = Some(7);
    let mut restrictions = conf::config::Restrictions::default();
    for (network, length) in [
        ("0.0.0.0", 0),
        ("10.0.0.0", 8),
        ("2001:db8::", 32),
        ("10.1.0.0", 16),
    ] {
        let subnet = conf::config::Subnet::prefix(network.parse().unwrap(), length).unwrap();
        let flags = restrictions.entry(&subnet, length == 16);
        flags.limited = length == 0;
        flags.nomodify = length == 16;
    }
    config.server.restrictions = Some(restrictions);
    let mut stage = Stage::new(config, well());
    stage.engine.mode6.about.addresses = vec![LocalAddress {
        interface: "eth0".to_owned(),
        address: "192.0.2.250".parse().unwrap(),
    }];
    let key = |id, secret: &[u8; 16]| Key::new(id, wire::ntp::auth::Algorithm::Aes128Cmac, secret).unwrap();
    let (right, wrong, other) = (
        key(7, b"the key of seven"),
        key(7, b"not the same key"),
        key(8, b"the key of eight"),
    );
    let keys = vec![right.clone(), other.clone()];
    stage
        .engine
        .handle_input(at(1_000_000), crate::io::Input::Keys(keys));
    stage.run_until(5.0);
    for proof in [None, Some(&wrong), Some(&other)] {
        let refused = ordered(&mut stage, b"ifstats", proof);
        assert_eq!(
            refused,
            Err(AssemblyError::Refused(ErrorCode::Permission as u8)),
            "{proof:?}"
        );
    }
    stage
        .engine
        .count_received(client(), Some("192.0.2.250".parse().unwrap()));
    let (addresses, _) = ordered(&mut stage, b"ifstats", Some(&right)).unwrap();
    let words: Vec<&str> = addresses.trim_end().split(',').map(str::trim).collect();
    assert_eq!(
        words[..6],
        [
            "addr.0=192.0.2.250:123",
            "bcast.0=",
            "en.0=1",
            "name.0=\"eth0\"",
            "flags.0=0x9",
            "rx.0=1",
        ]
    );
    assert!(
        words.contains(&"pc.0=1") && words.contains(&"up.0=5"),
        "{addresses}"
    );
    let (rules, _) = ordered(&mut stage, b"addr_restrictions", Some(&right)).unwrap();
    let rows: Vec<&str> = rules.trim_end().split(',').map(str::trim).collect();
    assert_eq!(
        rows,
        [
            "addr.0=10.1.0.0",
            "mask.0=255.255.0.0",
            "hits.0=0",
            "flags.0=ntpport nomodify",
            "addr.1=10.0.0.0",
            "mask.1=255.0.0.0",
            "hits.1=0",
            "flags.1=",
            "addr.2=0.0.0.0",
            "mask.2=0.0.0.0",
            "hits.2=1",
            "flags.2=limited",
            "addr.3=2001:db8::",
            "mask.3=ffff:ffff::",
            "hits.3=0",
            "flags.3=",
        ]
    );
    let unknown = ordered(&mut stage, b"everything", Some(&right));
    assert_eq!(
        unknown,
        Err(AssemblyError::Refused(ErrorCode::UnknownVariable as u8))
    );
}

#[test]
fn all_say_step_until_they_are_heard_again() {
    let line = stage::line(conf::config::SourceKind::Server, "192.0.2.1", |config| {
        config.iburst = true;
    });
    let ahead = stage::answering(|_, answer| {
        let ahead = |at: units::NtpTimestamp| at + units::NtpDuration::from_seconds(0.5);
        vec![wire::ntp::Header {
            receive_time: ahead(answer.receive_time),
            transmit_time: ahead(answer.transmit_time),
            ..answer
        }]
    });
    let mut stage = Stage::with(config(vec![line]), ahead, |options| {
        options.observe = false;
        options.set_at_once = true;
    });
    // The oscillator is not the monotonic clock.
    stage.tell(crate::io::Input::FrequencyApplied { ppm: 400.0 });
    while stage.steps_s.is_empty() {
        let next = stage.engine.poll_timeout().unwrap();
        stage.run_until(next.seconds_since(Mono::ZERO) + 0.1);
    }
    let said = |stage: &mut Stage, association: u16| -> Vec<String> {
        let query = b"refid,stratum";
        let answer = ask(stage, 60, Operation::READ_VARIABLES, association, query).unwrap();
        let variables = Variables::new(&answer.data);
        ["refid", "stratum"]
            .map(|name| variables.get(name).unwrap().to_owned())
            .into()
    };
    let number = associations(&mut stage, 60)[0].0;
    let heard = stage.source().counts.valid;
    assert_eq!(said(&mut stage, 0), ["STEP", "16"]);
    assert_eq!(said(&mut stage, number), ["STEP", "16"]);
    while stage.source().counts.valid == heard {
        let next = stage.engine.poll_timeout().unwrap();
        stage.run_until(next.seconds_since(Mono::ZERO) + 0.1);
    }
    assert_ne!(said(&mut stage, 0)[0], "STEP");
    assert_eq!(said(&mut stage, number), ["192.0.2.1", "2"]);
}

#[test]
fn the_table_of_leap_seconds_is_told() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), silence());
    stage.run_until(1.0);
    let usual = |stage: &mut Stage| text(&ask(stage, 1, Operation::READ_VARIABLES, 0, b"").unwrap());
    assert!(!usual(&mut stage).contains("leapsec"));
    stage.tell(crate::io::Input::LeapTable(crate::discipline::leap::LeapTable {
        entries: vec![(1_435_708_800, 36), (1_483_228_800, 37)],
        expires: 1_782_604_800,
    }));
    let said = usual(&mut stage).replace("\r\n", " ");
    // As NTPsec 1.2.2 has it, in this place.
    assert!(
        said.contains(", leapsec=2017-01-01T00:00Z, expire=2026-06-28T00:00Z, mintc="),
        "{said}"
    );
}
