//! What happens to a host, from bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use conf::chrony::parse_source_file;
use engine::io::{ConstraintError, ConstraintReply, ControlPeer, Input, LookupError, SocketId, SocketUse};
use units::{Leap, Mode};
use wire::candm::{
    AddSource, Address, AddressMask, Command, ManualMode, NewSourceKind, Request, SourceName, Timespec,
};
use wire::mode6::{self, Operation};
use wire::ntp::auth::CODE_LENGTH_MAX;
use wire::ntp::{Header, Version};

use super::host::Host;
use super::servers::{Manner, sealed};
use super::settings::keys;
use crate::bytes::Bytes;

/// The most that happens in a story.
const EVENTS_MAX: u32 = 500;

/// What can happen; the numbers are those that inputs have.
const WAKE: u8 = 0;
const LIVE: u8 = 1;
const ANSWER: u8 = 2;
const PASS: u8 = 3;
const REPLAY: u8 = 4;
const DATAGRAM: u8 = 5;
const CLIENT: u8 = 6;
const STAMP: u8 = 7;
const SEND_FAILED: u8 = 8;
const RESOLVE: u8 = 9;
const COMMAND: u8 = 10;
const ORDER: u8 = 11;
const STEP: u8 = 12;
const SLEEP: u8 = 13;
const REFUSE: u8 = 14;
const DRIFT: u8 = 15;
const FILES: u8 = 16;
const DUMP: u8 = 17;
const KEYS: u8 = 18;
const TERMINATE: u8 = 19;
const TICK: u8 = 20;
const RTC_FAILED: u8 = 21;
const DRIVER: u8 = 22;
const CONSTRAINT: u8 = 23;
const QUERY: u8 = 24;
const KINDS: u8 = 25;

/// Plays until the bytes are used up or the engine ends.
pub(crate) fn play(host: &mut Host, bytes: &mut Bytes<'_>) {
    let mut events = 0;
    while !bytes.is_empty() && !host.has_ended && events < EVENTS_MAX {
        events += 1;
        match bytes.u8() % KINDS {
            WAKE => {
                host.wake();
            }
            LIVE => events += live(host, bytes),
            ANSWER => {
                let which = bytes.below(32);
                let ways_s = [way_s(bytes), way_s(bytes)];
                let is_interleaved = bytes.bool();
                host.answer(which, ways_s, Manner::read(bytes), is_interleaved);
            }
            PASS => {
                let seconds = bytes.seconds().abs();
                host.pass(seconds);
                host.timeout();
            }
            REPLAY => replay(host, bytes),
            DATAGRAM => datagram(host, bytes),
            CLIENT => client(host, bytes),
            STAMP => stamp(host, bytes),
            SEND_FAILED => {
                let is_undelivered = bytes.bool();
                if let Some(socket) = socket(host, bytes) {
                    host.tell(if is_undelivered {
                        Input::Undelivered {
                            socket,
                            reason: "Connection refused",
                        }
                    } else {
                        Input::SendFailed { socket }
                    });
                }
            }
            RESOLVE => resolve(host, bytes),
            COMMAND => {
                let peer = peer(bytes);
                let length = usize::from(bytes.u8()) * 2;
                host.command(peer, bytes.take(length));
            }
            ORDER => order(host, bytes),
            STEP => host.step(bytes.seconds()),
            SLEEP => host.sleep(bytes.seconds()),
            REFUSE => host.refuses = bytes.bool(),
            DRIFT => host.gain = f64::from(bytes.u8().cast_signed()) * 1e-6,
            FILES => files(host, bytes),
            DUMP => dump(host, bytes),
            KEYS => {
                let count = bytes.below(4);
                host.tell(Input::Keys(keys().into_iter().take(count).collect()));
            }
            TICK => {
                let ahead_s = bytes.seconds();
                for _ in 0..=bytes.u8() % 16 {
                    host.pass(1.0);
                    host.timeout();
                    host.tick(ahead_s);
                }
            }
            RTC_FAILED => {
                if bytes.u8() == u8::MAX {
                    host.tell(Input::RtcFailed);
                }
            }
            DRIVER => driver(host, bytes),
            CONSTRAINT => constraint(host, bytes),
            QUERY => query(host, bytes),
            _ => {
                if bytes.u8() == u8::MAX {
                    host.tell(Input::Terminate);
                }
            }
        }
    }
}

/// Goes on for a while with servers that do as they should; returns for how long.
fn live(host: &mut Host, bytes: &mut Bytes<'_>) -> u32 {
    let rounds = u32::from(bytes.u8() % 32);
    let ways_s = [way_s(bytes), way_s(bytes)];
    for _ in 0..rounds {
        let before = host.asked.back().map(|asked| asked.bytes.clone());
        if !host.wake() {
            break;
        }
        if host.asked.back().map(|asked| &asked.bytes) != before.as_ref() {
            host.answer(0, ways_s, Manner::HONEST, false);
        }
    }
    rounds
}

/// A way through the network, seconds.
fn way_s(bytes: &mut Bytes<'_>) -> f64 {
    let byte = bytes.u8();
    (1.0 + f64::from(byte & 0xf) / 16.0) * 2f64.powi(i32::from(byte >> 4) - 14)
}

/// Something that was delivered already comes again.
fn replay(host: &mut Host, bytes: &mut Bytes<'_>) {
    let which = bytes.below(32);
    host.pass(way_s(bytes));
    let Some((socket, from, again)) = host.heard.iter().rev().nth(which).cloned() else {
        return;
    };
    if host.sockets.contains_key(&socket) {
        let stamp = host.stamp(0.0);
        host.receive(socket, from, stamp, &again, true);
    }
}

/// From now on the driver of a reference clock says something else.
fn driver(host: &mut Host, bytes: &mut Bytes<'_>) {
    let which = bytes.below(host.drivers.len());
    let kind = bytes.u8();
    let ahead_s = match kind >> 2 {
        0 => f64::NAN,
        1 => f64::NEG_INFINITY,
        // The most that two counts of seconds can differ by.
        2 => 2f64.powi(64),
        _ => bytes.seconds(),
    };
    let age_s = if kind & 0x80 == 0 { 0.0 } else { bytes.seconds() };
    if let Some(driver) = host.drivers.get_mut(which) {
        driver.ahead_s = ahead_s;
        driver.age_s = age_s;
        driver.leap = Leap::from_bits(kind);
        driver.is_silent = kind & 0x40 != 0;
    }
}

/// Any bytes come from anywhere.
fn datagram(host: &mut Host, bytes: &mut Bytes<'_>) {
    let Some(socket) = socket(host, bytes) else { return };
    let from = SocketAddr::new(address(bytes.u8()), if bytes.bool() { 123 } else { 4567 });
    let from = match host.sockets.get(&socket) {
        // The kernel lets nothing else through a connected socket.
        Some(SocketUse::Client { remote, .. }) => *remote,
        _ => from,
    };
    let ago_s = if bytes.bool() { bytes.seconds() } else { 0.0 };
    let stamp = host.stamp(ago_s);
    let length = usize::from(bytes.u8()) + 1;
    host.receive(socket, from, stamp, bytes.take(length), false);
}

/// A client, or a peer, asks us.
fn client(host: &mut Host, bytes: &mut Bytes<'_>) {
    let servers = host
        .sockets
        .iter()
        .filter(|(_, purpose)| matches!(purpose, SocketUse::Server { .. }));
    let servers: Vec<SocketId> = servers.map(|(socket, _)| *socket).collect();
    let Some(&socket) = servers.get(bytes.below(servers.len())) else {
        return;
    };
    let from = SocketAddr::new(address(bytes.u8()), if bytes.bool() { 123 } else { 4567 });
    let kind = bytes.u8();
    let header = Header {
        version: Version::from_number(1 + kind % 4).unwrap_or_default(),
        mode: Mode::from_bits(kind >> 2),
        transmit_time: host.truth().plus_seconds(bytes.seconds()).to_ntp(),
        origin_time: host.asked.back().map_or_else(Default::default, |asked| {
            wire::ntp::Packet::decode(&asked.bytes)
                .map_or_else(|_| Default::default(), |packet| packet.header.transmit_time)
        }),
        receive_time: host.truth().to_ntp(),
        ..Header::default()
    };
    let key_id = Some(u32::from(bytes.u8() % 5)).filter(|id| *id != 0);
    let stamp = host.stamp(0.0);
    host.receive(socket, from, stamp, &sealed(&header, key_id, false), false);
}

/// Somebody sends a control message, as `ntpq` does; by a key, if it is one of those that there are.
fn query(host: &mut Host, bytes: &mut Bytes<'_>) {
    let servers = host
        .sockets
        .iter()
        .filter(|(_, purpose)| matches!(purpose, SocketUse::Server { .. }));
    let servers: Vec<SocketId> = servers.map(|(socket, _)| *socket).collect();
    let Some(&socket) = servers.get(bytes.below(servers.len())) else {
        return;
    };
    let from = SocketAddr::new(address(bytes.u8()), if bytes.bool() { 123 } else { 4567 });
    let operation = Operation(bytes.u8() % 32);
    let association = bytes.u8().into();
    let key_id = bytes.u8();
    let length = usize::from(bytes.u8());
    let mut data = bytes.take(length).to_vec();
    if operation == Operation::READ_MRU && key_id & 0x80 == 0 {
        data = [format!("nonce={}, ", host.nonce).as_bytes(), &data].concat();
    }
    let mut datagram = mode6::Request::new(operation, 1, association, &data).encode();
    let key_id = u32::from(key_id % 0x80);
    if let Some(key) = keys().into_iter().find(|key| key.id() == key_id) {
        let mut code = [0; CODE_LENGTH_MAX];
        let length = key.mac(&datagram, Version::V4, &mut code);
        datagram.extend(key_id.to_be_bytes());
        datagram.extend(&code[..length]);
    }
    let stamp = host.stamp(0.0);
    host.receive(socket, from, stamp, &datagram, false);
}

/// A constraint answers, by a clock of its own, or does not.
fn constraint(host: &mut Host, bytes: &mut Bytes<'_>) {
    let ahead_s = bytes.seconds();
    let is_unproven = bytes.bool();
    let answer = if bytes.bool() {
        let at = host.now();
        Ok(ConstraintReply {
            date: at.wall.plus_seconds(ahead_s),
            at,
            remark: is_unproven.then(|| "clock too wrong".to_owned()),
        })
    } else {
        Err(ConstraintError {
            text: format!("tls connect failed: {ahead_s}"),
            is_unproven,
        })
    };
    if let Some(request) = host.constraints.pop_front() {
        host.tell(Input::Constraint { request, answer });
    }
}

/// The kernel says when something was sent.
fn stamp(host: &mut Host, bytes: &mut Bytes<'_>) {
    let which = bytes.below(32);
    let ago_s = bytes.seconds();
    let Some(asked) = host.asked.iter().rev().nth(which).cloned() else {
        return;
    };
    let sent = host.stamp(ago_s);
    host.tell(Input::Transmitted {
        socket: asked.socket,
        sent,
        bytes: &asked.bytes,
    });
}

fn resolve(host: &mut Host, bytes: &mut Bytes<'_>) {
    let kind = bytes.u8();
    let answer = match kind >> 6 {
        0 => Err(LookupError::NotFound),
        1 => Err(LookupError::TryAgain),
        _ => Ok((0..kind & 7).map(|_| address(bytes.u8())).collect()),
    };
    if let Some(lookup) = host.lookups.pop_front() {
        host.resolve(lookup, answer);
    }
}

/// Requests as chronyc makes them.
fn order(host: &mut Host, bytes: &mut Bytes<'_>) {
    let peer = peer(bytes);
    let kind = bytes.u8();
    let place = match bytes.u8() {
        0 => Address::Unspecified,
        number if number < 8 => Address::Id(u32::from(number)),
        number => to_place(address(number)),
    };
    let all = AddressMask {
        mask: Address::Unspecified,
        address: Address::Unspecified,
    };
    let request = match kind % 24 {
        0 => Request::MakeStep,
        1 => Request::ModifyMakeStep {
            limit: i32::from(bytes.u8().cast_signed()),
            threshold_s: bytes.seconds(),
        },
        2 => Request::DFreq {
            frequency_ppm: bytes.seconds(),
        },
        3 => Request::DOffset {
            offset_s: bytes.seconds(),
        },
        4 => {
            let (seconds, nanos) = host.now().wall.plus_seconds(bytes.seconds()).to_parts();
            Request::SetTime(Timespec::new(seconds, u32::try_from(nanos).unwrap_or(0)))
        }
        5 => Request::Manual([ManualMode::Enable, ManualMode::Disable, ManualMode::Reset][bytes.below(3)]),
        6 => Request::ManualDelete(i32::from(bytes.u8())),
        7 => Request::Online(all),
        8 => Request::Offline(all),
        9 => Request::Burst {
            sources: all,
            good_samples: i32::from(bytes.u8()),
            total_samples: i32::from(bytes.u8()),
        },
        10 => Request::DelSource(place),
        11 => add_source(bytes),
        12 => Request::ResetSources,
        13 => Request::Reselect,
        14 => Request::Refresh,
        15 => Request::ReloadSources,
        16 => Request::Dump,
        17 => Request::ModifyMinPoll {
            address: place,
            poll_log2_s: i32::from(bytes.u8().cast_signed()),
        },
        18 => Request::ModifyMaxPoll {
            address: place,
            poll_log2_s: i32::from(bytes.u8().cast_signed()),
        },
        19 => Request::ModifyMaxUpdateSkew {
            skew_ppm: bytes.seconds(),
        },
        20 => Request::OnOffline,
        21 => Request::ModifyOffset {
            address: place,
            reference_id: wire::candm::ReferenceId(0),
            offset_s: bytes.seconds(),
        },
        22 => Request::Rekey,
        _ => {
            // All that only report, one after another.
            for command in Command::ALL.iter().filter(|command| command.is_read_only()) {
                let mut datagram = Request::NSources.encode(1);
                datagram.resize(command.request_length(), 0);
                datagram.splice(4..6, command.code().to_be_bytes());
                host.command(peer, &datagram);
            }
            Request::NtpData(place)
        }
    };
    host.command(peer, &request.encode(1));
}

fn add_source(bytes: &mut Bytes<'_>) -> Request {
    let kinds = [NewSourceKind::Server, NewSourceKind::Pool, NewSourceKind::Peer];
    let kind = kinds[bytes.below(3)];
    let name = match bytes.u8() {
        number if number < 4 => format!("name{number}.example"),
        number => address(number).to_string(),
    };
    let name = SourceName::new(name).expect("a name");
    Request::AddSource(Box::new(AddSource::new(kind, name)))
}

fn files(host: &mut Host, bytes: &mut Bytes<'_>) {
    let length = usize::from(bytes.u8());
    let text = String::from_utf8_lossy(bytes.take(length)).into_owned();
    let (sources, _) = parse_source_file("/s/a.sources", &text);
    if host.files_asked_for {
        host.read_files(sources);
    }
}

/// A file about a source: one that was written, or something else.
fn dump(host: &mut Host, bytes: &mut Bytes<'_>) {
    let kind = bytes.u8();
    if kind < 0x80 {
        let written = host
            .dumps
            .get(usize::from(kind) % host.dumps.len().max(1))
            .cloned();
        if let Some((source, text)) = written {
            host.tell(Input::Dump {
                source: &source,
                text: &text,
            });
        }
        return;
    }
    let source = address(kind).to_string();
    let length = usize::from(bytes.u16());
    let text = String::from_utf8_lossy(bytes.take(length)).into_owned();
    host.tell(Input::Dump {
        source: &source,
        text: &text,
    });
}

fn socket(host: &Host, bytes: &mut Bytes<'_>) -> Option<SocketId> {
    let sockets: Vec<SocketId> = host.sockets.keys().copied().collect();
    sockets.get(bytes.below(sockets.len())).copied()
}

fn peer(bytes: &mut Bytes<'_>) -> ControlPeer {
    match bytes.u8() {
        0 => ControlPeer::Udp {
            from: SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 4000),
            to: None,
        },
        number @ 1..32 => ControlPeer::Udp {
            from: SocketAddr::new(address(number), 4000),
            to: Some(IpAddr::from([192, 0, 2, 250])),
        },
        number => ControlPeer::Unix(u64::from(number)),
    }
}

/// Some are those of configured servers.
fn address(number: u8) -> IpAddr {
    match number % 16 {
        host @ 0..6 => IpAddr::from([192, 0, 2, host]),
        6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
        7 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number))),
        8 => IpAddr::from([127, 0, 0, 1]),
        9 => IpAddr::from([0, 0, 0, 0]),
        10 => IpAddr::from([255, 255, 255, 255]),
        11 => IpAddr::from([224, 0, 1, 1]),
        12 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => IpAddr::from([198, 51, 100, number]),
    }
}

fn to_place(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::V4(address),
        IpAddr::V6(address) => Address::V6(address),
    }
}

/// A life with each configuration, and what can go wrong in it.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let honest = [LIVE, 12, 0x60, 0x60];
    let stories: [&[u8]; 14] = [
        &[LIVE, 63, 0x60, 0x62, LIVE, 63, 0x62, 0x60],
        // Names are found, and the servers work.
        &[
            RESOLVE, 0x83, 1, 2, 3, RESOLVE, 0x81, 4, LIVE, 30, 0x60, 0x60, RESOLVE, 0, RESOLVE, 0x40,
        ],
        // The clock jumps, sleeps, refuses, drifts.
        &[
            LIVE, 20, 0x60, 0x60, STEP, 36, 0, LIVE, 20, 0x60, 0x60, SLEEP, 44, 0, LIVE, 20, 0x60, 0x60,
            REFUSE, 1, STEP, 40, 1,
        ],
        &[
            DRIFT, 50, LIVE, 30, 0x50, 0x50, DRIFT, 0xc0, LIVE, 30, 0x50, 0x50, PASS, 50, 0, LIVE, 10, 0x50,
            0x50,
        ],
        // A server lies, jumps, says goodbye; what it said comes again.
        &[
            WAKE, ANSWER, 0, 0x60, 0x60, 0, 0, 40, 0, WAKE, ANSWER, 0, 0x60, 0x60, 0, 0x8f, 0, 0, 2, REPLAY,
            0, 0x60, REPLAY, 1, 0x60,
        ],
        &[
            WAKE, ANSWER, 0, 0x60, 0x60, 0, 0x80, 30, 0, 3, WAKE, ANSWER, 0, 0x61, 0x60, 1, 0, 30, 1, WAKE,
            STAMP, 0, 12, 0,
        ],
        // A reference clock jumps, says goodbye, is old, goes silent and comes back.
        &[
            LIVE, 31, 0x60, 0x60, DRIVER, 0, 0x20, 36, 0, LIVE, 31, 0x60, 0x60, DRIVER, 0, 0x23, 36, 0, LIVE,
            9, 0x60, 0x60, DRIVER, 0, 0xa0, 0, 0, 38, 0,
        ],
        &[
            LIVE, 31, 0x60, 0x60, DRIVER, 1, 0x60, 0, 0, LIVE, 31, 0x60, 0x60, DRIVER, 1, 0x21, 22, 0, LIVE,
            31, 0x60, 0x60, DRIVER, 0, 0, LIVE, 9, 0x60, 0x60, DRIVER, 0, 8, LIVE, 31, 0x60, 0x60,
        ],
        // Somebody asks, and asks again.
        &[
            CLIENT, 0, 1, 0, 15, 30, 0, 0, CLIENT, 0, 77, 1, 7, 0, 0, 1, CLIENT, 1, 6, 0, 15, 0, 0, 2,
            CLIENT, 0, 1, 1, 7, 0, 0, 0,
        ],
        // Operators at work.
        &[
            LIVE, 10, 0x60, 0x60, ORDER, 99, 0, 0, ORDER, 99, 1, 0, 3, 30, 0, STEP, 38, 0, ORDER, 99, 3, 0,
            34, 0, ORDER, 99, 23, 9,
        ],
        &[
            ORDER, 99, 5, 0, 0, ORDER, 99, 4, 0, 36, 0, PASS, 40, 0, ORDER, 99, 4, 0, 37, 1, ORDER, 99, 2, 0,
            38, 0, ORDER, 99, 6, 0, 0,
        ],
        &[
            ORDER, 99, 11, 0, 0, 5, ORDER, 99, 11, 0, 1, 1, RESOLVE, 0x82, 1, 2, ORDER, 99, 10, 1, ORDER, 99,
            12, 0, ORDER, 0, 23, 1,
        ],
        // Files of sources, and of what was measured.
        &[
            FILES, 21, b's', b'e', b'r', b'v', b'e', b'r', b' ', b'1', b'9', b'2', b'.', b'0', b'.', b'2',
            b'.', b'5', b' ', b'k', b'e', b'y', b'\n',
        ],
        &[
            LIVE,
            20,
            0x60,
            0x60,
            ORDER,
            99,
            16,
            0,
            ORDER,
            99,
            12,
            0,
            DUMP,
            0,
            LIVE,
            5,
            0x60,
            0x60,
            SEND_FAILED,
            0,
            KEYS,
            1,
            TERMINATE,
            255,
        ],
    ];
    let mut seeds = Vec::new();
    for (number, _) in (0_u8..).zip(super::SETTINGS) {
        seeds.push([&[number, 0], honest.as_slice()].concat());
        for (which, story) in (0_u8..).zip(stories) {
            seeds.push([&[number, which % 8], honest.as_slice(), story].concat());
        }
    }
    let questions: [(Operation, u8, &[u8]); 16] = [
        (Operation::UNSPECIFIED, 0, b""),
        (Operation::READ_STATUS, 0, b""),
        (Operation::READ_STATUS, 0, b"1"),
        (Operation::READ_VARIABLES, 0, b""),
        (Operation::READ_VARIABLES, 0, b"sys_var_list,peer,ss_restricted"),
        (
            Operation::READ_VARIABLES,
            0,
            b"koffset,kstflags,mru_depth,site,rack",
        ),
        (Operation::WRITE_VARIABLES, 1, b"leap=0"),
        (Operation::READ_CLOCK, 0, b""),
        (Operation::CONFIGURE, 2, b"logconfig =all"),
        (Operation::REQUEST_NONCE, 0, b""),
        (Operation::READ_MRU, 0, b"frags=32"),
        (
            Operation::READ_MRU,
            0,
            b"limit=2, resall=0x20, mincount=1, recent=3",
        ),
        (Operation::READ_MRU, 0x80, b"frags=1"),
        (Operation::READ_ORDERED_LIST, 2, b"ifstats"),
        (Operation::READ_ORDERED_LIST, 2, b"addr_restrictions"),
        (Operation(31), 0, b"\xff"),
    ];
    for number in [21, 22] {
        for from in [1, 2, 3, 4, 5, 8, 12, 99] {
            let mut story = [&[number, 0], honest.as_slice()].concat();
            story.extend([RESOLVE, 0x83, 1, 2, 3, CLIENT, 0, from, 0, 15, 30, 0, 0]);
            for (operation, key_id, data) in questions {
                let length = u8::try_from(data.len()).expect("a short question");
                for association in [0, 1] {
                    story.extend([QUERY, 0, from, 0, operation.0, association, key_id, length]);
                    story.extend(data);
                }
                story.extend([LIVE, 2, 0x60, 0x60]);
            }
            seeds.push(story);
        }
    }
    let commands = [Request::TrimRtc, Request::WriteRtc, Request::RtcReport];
    for ahead in [0, 0x20, 0x40, 0x60, 0x80, 0xff] {
        let mut ticks = [&[14, 0], honest.as_slice()].concat();
        for command in &commands {
            ticks.extend([TICK, ahead, ahead, 15].repeat(6));
            ticks.extend([COMMAND, 99, 14]);
            ticks.extend(command.encode(5));
        }
        ticks.extend([TICK, ahead, ahead, 15, RTC_FAILED, 255, TERMINATE, 255]);
        seeds.push(ticks);
    }
    let mut command = vec![5, 0, COMMAND, 99, 20];
    command.extend(Request::Tracking.encode(5));
    seeds.push(command);
    seeds.push([[4, 0, DATAGRAM, 0, 1, 1, 0, 47].as_slice(), &[0x21; 48]].concat());
    seeds
}
