//! Tests against datagrams captured between real clients and daemons on loopback.
//!
//! The daemon served its own time as stratum 3 on port 11123 and was its own client; it also had an
//! offline source 192.0.2.1 and a source whose name does not resolve. Observed with chrony 4.3
//! and the development version after 4.8.

use std::net::Ipv4Addr;

use super::*;

const LOCALHOST: Address = Address::V4(Ipv4Addr::LOCALHOST);

/// Turns hexadecimal digits into bytes; blanks are ignored.
fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect::<Vec<_>>();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// Checks that a request has exactly the bytes that chronyc sent, up to `length` zero padded.
fn check_request(request: &Request, hex: &str, length: usize) {
    let mut sent = bytes(hex);
    sent.resize(length, 0);
    let (header, decoded) = Request::decode(&sent).unwrap();
    assert_eq!(&decoded, request);
    assert_eq!(request.encode(header.sequence), sent);
}

/// Checks that a reply decodes and encodes to exactly the bytes that chronyd sent.
fn check_reply(command: Command, hex: &str) -> Reply {
    let sent = bytes(hex);
    let header = ReplyHeader::decode(&sent).unwrap();
    let reply = Reply::decode(&sent, command, header.sequence).unwrap();
    let request = Header {
        command: command.code(),
        attempt: 0,
        sequence: header.sequence,
    };
    assert_eq!(reply.encode(&request), sent);
    reply
}

fn close(actual: f64, expected: f64) -> bool {
    (actual - expected).abs() <= expected.abs() * 2e-5
}

#[test]
fn tracking() {
    check_request(&Request::Tracking, "06010000002100001e9c7c6c", 104);
    let reply = check_reply(
        Command::Tracking,
        "060200000021000500000000000000001e9c7c6c00000000000000007f0000017f000001000000000000000000000000
         0001000000040000000000006b001aaf0eb94887d8d1415cc9500f3ad0a89512f0a079f3e536b7acf0e0e82edcbd83f3
         dcdfc5280480ea7d",
    );
    let Reply::Tracking(tracking) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(tracking.reference_id, ReferenceId(0x7f00_0001));
    assert_eq!(tracking.address, LOCALHOST);
    assert_eq!(tracking.stratum, 4);
    assert_eq!(tracking.leap, Leap::Normal);
    assert_eq!(tracking.reference_time, Timespec::new(1_795_168_943, 247_023_751));
    assert!(close(tracking.current_correction_s, 3.897_684e-7));
    assert!(close(tracking.last_offset_s, -1.280_136e-9));
    assert!(close(tracking.rms_offset_s, 1.962_556e-8));
    assert!(close(tracking.frequency_ppm, 0.001_224_34));
    assert!(close(tracking.residual_frequency_ppm, -2.399_475e-5));
    assert!(close(tracking.skew_ppm, 0.001_715_90));
    assert!(close(tracking.root_delay_s, 1.412_000e-6));
    assert!(close(tracking.root_dispersion_s, 1.667_217e-6));
    assert!(close(tracking.last_update_interval_s, 1.007_156));
    assert!(close(
        tracking.error_bound_s(),
        3.897_684e-7 + 1.412e-6 / 2.0 + 1.667_217e-6
    ));
    assert!(tracking.is_synchronised());
}

#[test]
fn sources() {
    check_request(&Request::NSources, "06010000000e00000d1e46d3", 32);
    let reply = check_reply(
        Command::NSources,
        "06020000000e000200000000000000000d1e46d3000000000000000000000003",
    );
    assert_eq!(reply, Reply::NSources(3));

    check_request(&Request::SourceData(0), "06010000000f000015e26af9", 76);
    let reply = check_reply(
        Command::SourceData,
        "06020000000f0003000000000000000015e26af900000000000000007f00000100000000000000000000000000010000
         0000000300000000000000ff00000001db7a51b3db7aa40adca1a6ea",
    );
    let Reply::SourceData(source) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (source.address, source.poll_log2_s, source.stratum),
        (LOCALHOST, 0, 3)
    );
    assert_eq!(
        (source.state, source.mode),
        (SourceState::Selected, SourceMode::Client)
    );
    assert_eq!((source.state.character(), source.mode.character()), ('*', '^'));
    assert_eq!((source.reachability, source.since_sample_s), (0xff, Some(1)));
    assert!(close(source.measured_offset_s, -4.980_00e-7));
    assert!(close(source.adjusted_offset_s, -4.968_02e-7));
    assert!(close(source.offset_error_s, 1.204_40e-6));
    assert_eq!(source.reference_id(), None);
}

#[test]
fn a_source_whose_name_is_not_resolved() {
    let reply = check_reply(
        Command::SourceData,
        "06020000000f0003000000000000000015e26af90000000000000000 00000001000000000000000000000000 00030000
         0006 0000 0001 0000 0000 0000 ffffffff 00000000 00000000 00000000",
    );
    let Reply::SourceData(source) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((source.address, source.poll_log2_s), (Address::Id(1), 6));
    assert_eq!((source.state.character(), source.since_sample_s), ('?', None));
}

#[test]
fn sourcestats() {
    check_request(&Request::SourceStats(0), "06010000002200002f21750d", 84);
    let reply = check_reply(
        Command::SourceStats,
        "060200000022000600000000000000002f21750d00000000000000007f0000017f000001000000000000000000000000
         000100000000002a000000140000001dd0ddb4c3e536b7acf0d800abbb7f5e50dad3da57",
    );
    let Reply::SourceStats(stats) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((stats.samples, stats.runs, stats.span_s), (42, 20, 29));
    assert!(close(stats.standard_deviation_s, 2.580_999e-8));
    assert!(close(stats.residual_frequency_ppm, -2.399_47e-5));
    assert!(close(stats.skew_ppm, 0.001_647_97));
    assert!(close(stats.offset_s, -7.311_859e-12));
    assert!(close(stats.offset_error_s, 7.892_135e-7));
}

#[test]
fn activity() {
    check_request(&Request::Activity, "06010000002c00003aeba3d0", 48);
    let reply = check_reply(
        Command::Activity,
        "06020000002c000c00000000000000003aeba3d000000000000000000000000100000001000000000000000000000001",
    );
    let activity = Activity {
        online: 1,
        offline: 1,
        unresolved: 1,
        ..Activity::default()
    };
    assert_eq!(reply, Reply::Activity(activity));
}

#[test]
fn ntp_data_of_both_generations() {
    check_request(
        &Request::NtpData(LOCALHOST),
        "0601000000390000de75b4fe00000000000000007f0000010000000000000000000000000001",
        172,
    );
    let reply = check_reply(
        Command::NtpData,
        "060200000039001a0000000000000000de75b4fe00000000000000007f00000100000000000000000000000000010000
         7f000001000000000000000000000000000100002b7300040403fee600000000000000007f7f0101000000006b001acc
         1b48f0a6da90afccde96b9fcd0d5fd3ae6dbc2b4010b1f9643ff4b4b0000002400000024000000240000002200000024
         000000240000000000000000ffffffffffffffffffffffffffffffff",
    );
    let Reply::NtpData(data) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (data.remote_address, data.local_address, data.remote_port),
        (LOCALHOST, LOCALHOST, 11_123)
    );
    assert_eq!(
        (data.leap, data.version, data.mode, data.stratum),
        (Leap::Normal, 4, 4, 3)
    );
    assert_eq!((data.poll_log2_s, data.precision_log2_s), (-2, -26));
    assert_eq!(data.reference_id, ReferenceId::LOCAL);
    assert!(close(data.response_time_s, 5.239_5e-5));
    assert!((data.jitter_asymmetry + 0.48).abs() < 0.005);
    assert_eq!(
        (data.tests(), data.is_interleaved(), data.is_authenticated()),
        (0x3ff, true, false)
    );
    assert_eq!((data.tx_timestamp_source, data.rx_timestamp_source), (b'K', b'K'));
    assert_eq!(
        (data.sent, data.received, data.valid, data.good),
        (36, 36, 36, 34)
    );
    assert_eq!(
        data.timestamps,
        Some(TimestampCounts {
            kernel_tx: 36,
            kernel_rx: 36,
            ..Default::default()
        })
    );

    let reply = check_reply(
        Command::NtpData,
        "06020000003900100000000000000000cee59bb100000000000000007f00000100000000000000000000000000010000
         7f000001000000000000000000000000000100002b730004040300e600000000000000007f7f0101000000006b001a8c
         19c19310da85ae4dde9cf7b7d295e659e6f8dc530101f35d43ff4b4b00000043000000430000004300000042ffffffff
         ffffffffffffffff",
    );
    let Reply::NtpData(data) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((data.sent, data.good, data.timestamps), (0x43, 0x42, None));
}

#[test]
fn server_stats_of_two_generations() {
    let reply = check_reply(
        Command::ServerStats,
        "060200000036001800000000000000002f68a48200000000000000000000000000000000000000160000000000000000
         000000000000000000000000000000000000000000000000",
    );
    let stats = ServerStats {
        cmd_hits: 22,
        nts: Some(NtsStats::default()),
        interleaved: Some(InterleavedStats::default()),
        ..ServerStats::default()
    };
    assert_eq!(reply, Reply::ServerStats(stats));

    check_request(&Request::ServerStats, "06010000003600007fb05eeb", 196);
    let reply = check_reply(
        Command::ServerStats,
        "060200000036001900000000000000007fb05eeb00000000000000000000000000000000000000000000000000000000
         0000000a0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         0000000000000000000000000000000000000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff
         ffffffff",
    );
    let stats = ServerStats {
        cmd_hits: 10,
        timestamps: Some(TimestampStats::default()),
        ..stats
    };
    assert_eq!(reply, Reply::ServerStats(stats));
}

#[test]
fn requests_of_older_clients_are_told_by_their_length() {
    let mut request = Request::ServerStats.encode(1);
    request.truncate(72);
    assert!(matches!(Request::decode(&request), Ok((_, Request::ServerStats))));
    request.truncate(71);
    let header = Header {
        command: 54,
        attempt: 0,
        sequence: 1,
    };
    let refused = RequestError::Refused {
        header,
        reason: RefusalReason::TooShort,
    };
    assert_eq!(Request::decode(&request), Err(refused));
}

#[test]
fn selection_and_authentication() {
    let reply = check_reply(
        Command::SelectData,
        "060200000045001700000000000000005fcef50d00000000000000007f0000017f0000010000000000000000000000
         00000100002a000000000000000000000104800000db3631a2dad89531",
    );
    let Reply::SelectData(data) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((data.state, data.state.character()), (SelectState::Selected, '*'));
    assert_eq!(
        (data.authenticated, data.leap, data.last_sample_ago_s),
        (false, Leap::Normal, Some(1))
    );
    assert_eq!(data.configured_options, SelectOptions::default());
    assert!(close(data.score, 1.0) && data.offset_low_s < 0.0 && data.offset_high_s > 0.0);

    let reply = check_reply(
        Command::AuthData,
        "06020000004300140000000000000000979fe2010000000000000000000000000000000000000000ffffffff0000000000
         000000",
    );
    let Reply::AuthData(data) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (data.mode, data.last_nke_ago_s, data.cookies),
        (AuthMode::None, None, 0)
    );
}

#[test]
fn statuses_come_as_errors_and_access_as_replies() {
    let refused = bytes("06020000002b00010001000000000000209f5dc40000000000000000");
    let answer = Reply::decode(&refused, Command::MakeStep, 0x209f_5dc4);
    assert_eq!(answer, Err(ReplyError::Status(Status::Failed)));
    assert_eq!(answer.unwrap_err().to_string(), "500 Failure");
    let header = Header {
        command: 43,
        attempt: 0,
        sequence: 0x209f_5dc4,
    };
    assert_eq!(Status::Failed.encode(&header), refused);

    let asked = Address::V4(Ipv4Addr::new(1, 2, 3, 4));
    check_request(
        &Request::AccessCheck(asked),
        "0601000000190000e867b4b500000000000000000102030400000000000000000000000000010000",
        40,
    );
    let reply = check_reply(
        Command::AccessCheck,
        "06020000001900010008000000000000e867b4b50000000000000000",
    );
    assert_eq!(reply, Reply::AccessAllowed);
}

#[test]
fn state_changing_requests() {
    check_request(
        &Request::Burst {
            sources: AddressMask::ALL,
            good_samples: 1,
            total_samples: 2,
        },
        "060100000003000090b807a30000000000000000000000000000000000000000000000000000000000000000000000000000
         000000000000000000000000000100000002",
        68,
    );
    let subnet = AddressMask {
        mask: Address::V4(Ipv4Addr::new(255, 255, 255, 0)),
        address: Address::V4(Ipv4Addr::new(192, 0, 2, 0)),
    };
    check_request(
        &Request::Offline(subnet),
        "0601000000020000217878b00000000000000000ffffff0000000000000000000000000000010000c0000200000000000000
         00000000000000010000",
        60,
    );
    check_request(
        &Request::ModifyMakeStep {
            limit: 3,
            threshold_s: decode_float(0xfccc_cccd),
        },
        "0601000000320000e9c1aaf5000000000000000000000003fccccccd",
        28,
    );
    check_request(
        &Request::SetTime(Timespec::new(0x6b00_3640, 0)),
        "06010000000b00009c180d440000000000000000000000006b00364000000000",
        40,
    );
    check_request(
        &Request::LegacyLocal(LegacyLocalReference {
            enabled: true,
            stratum: 9,
            distance_s: 1.0,
            orphan: true,
        }),
        "06010000003800006d0bc20d000000000000000000000001000000090480000000000001",
        36,
    );
    check_request(
        &Request::Local(LocalReference {
            enabled: true,
            stratum: 9,
            distance_s: 0.5,
            orphan: false,
            activate_s: decode_float(0xfccc_cccd),
            wait_synced_s: 10.0,
            wait_unsynced_s: 20.0,
        }),
        "06010000004a00003b51dbd7000000000000000000000001000000090280000000000000fccccccd0aa000000ca00000",
        48,
    );
    check_request(
        &Request::ModifySelectOptions(SelectOptionsChange {
            address: LOCALHOST,
            reference_id: ReferenceId::default(),
            mask: SelectOptions::TRUST.with(SelectOptions::PREFER),
            options: SourceFlags::TRUST,
        }),
        "06010000004800001570085300000000000000007f00000100000000000000000000000000010000000000000000000600
         000020",
        52,
    );
    check_request(
        &Request::ModifyOffset {
            address: LOCALHOST,
            reference_id: ReferenceId::default(),
            offset_s: decode_float(0xf083_126f),
        },
        "0601000000490000123c22e600000000000000007f0000010000000000000000000000000001000000000000f083126f",
        48,
    );
    let reply = check_reply(
        Command::SetTime,
        "06020000000b001100000000000000009c180d4400000000000000001d238fba00000000f0965da3",
    );
    let Reply::ManualTimestamp(timestamp) = reply else {
        panic!("{reply:?}")
    };
    assert!(close(timestamp.offset_s, -7054.0342));
}

#[test]
fn add_source() {
    let mut sent = bytes("0601000000400000993fb8b7000000000000000000000001 3132372e302e302e33");
    sent.resize(280, 0);
    sent.extend(bytes(
        "0000007b 00000003 00000004 00000064 00000000 00000008 00000000 00000004 ffffffff ffffffff 00000007
         0000116c 06c00000 00000000 0aa00000 00000000 04800000 00000000 00002284 00000000 00000003 00000000
         00000005",
    ));
    assert_eq!(sent.len(), 372);
    let name = SourceName::new("127.0.0.3").unwrap();
    let flags = SourceFlags::IPV4
        .with(SourceFlags::NTS)
        .with(SourceFlags::XLEAVE)
        .with(SourceFlags::IBURST);
    let source = AddSource {
        min_poll_log2_s: 3,
        max_poll_log2_s: 4,
        key_id: 7,
        cert_set: 3,
        max_unreach: 5,
        flags,
        ..AddSource::new(NewSourceKind::Server, name)
    };
    let request = Request::AddSource(Box::new(source));
    let (header, decoded) = Request::decode(&sent).unwrap();
    assert_eq!(decoded, request);
    assert_eq!(request.encode(header.sequence), sent);

    *sent.get_mut(279).unwrap() = b'x';
    let refused = RequestError::Refused {
        header,
        reason: RefusalReason::InvalidName,
    };
    assert_eq!(Request::decode(&sent), Err(refused));
    assert_eq!(RefusalReason::InvalidName.status(), Status::InvalidName);
}

#[test]
fn requests_are_judged_in_the_order_of_chronyd() {
    let probe = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut datagram = Request::Tracking.encode(9);
        edit(&mut datagram);
        Request::decode(&datagram).map(|(_, request)| request)
    };
    let header = Header {
        command: 33,
        attempt: 0,
        sequence: 9,
    };
    let refused = |header, reason| Err(RequestError::Refused { header, reason });
    assert_eq!(probe(&|_| ()), Ok(Request::Tracking));
    assert_eq!(
        probe(&|d| d.truncate(103)),
        refused(header, RefusalReason::TooShort)
    );
    assert_eq!(
        probe(&|d| d.truncate(28)),
        refused(header, RefusalReason::TooShort)
    );
    assert_eq!(probe(&|d| d.truncate(27)), Err(RequestError::NotARequest));
    assert_eq!(probe(&|d| d.resize(860, 0)), Ok(Request::Tracking));
    assert_eq!(probe(&|d| d.resize(861, 0)), Err(RequestError::NotARequest));
    assert_eq!(probe(&|d| d[0] = 5), refused(header, RefusalReason::Version(5)));
    assert_eq!(probe(&|d| d[0] = 7), refused(header, RefusalReason::Version(7)));
    assert_eq!(probe(&|d| d[0] = 4), Err(RequestError::NotARequest));
    assert_eq!(probe(&|d| d[1] = 2), Err(RequestError::NotARequest));
    assert_eq!(probe(&|d| d[2] = 1), Err(RequestError::NotARequest));
    assert_eq!(probe(&|d| d[3] = 1), Err(RequestError::NotARequest));
    for command in [0, 10, 75, 200] {
        let header = Header {
            command: u16::from(command),
            ..header
        };
        assert_eq!(
            probe(&|d| d[5] = command),
            refused(header, RefusalReason::UnknownCommand)
        );
    }
}

#[test]
fn replies_to_others_keep_the_caller_waiting() {
    let header = Header {
        command: Command::NSources.code(),
        attempt: 0,
        sequence: 5,
    };
    let answer = Reply::NSources(1).encode(&header);
    let decode = |datagram: &[u8]| Reply::decode(datagram, Command::NSources, 5);
    assert_eq!(decode(&answer), Ok(Reply::NSources(1)));
    assert_eq!(
        Reply::decode(&answer, Command::NSources, 6),
        Err(ReplyError::NotForUs)
    );
    assert_eq!(
        Reply::decode(&answer, Command::Tracking, 5),
        Err(ReplyError::NotForUs)
    );
    for at in 0..6 {
        let mut other = answer.clone();
        *other.get_mut(at).unwrap() ^= 0x40;
        assert_eq!(decode(&other), Err(ReplyError::NotForUs));
    }
    assert_eq!(decode(&[]), Err(ReplyError::NotForUs));
    let truncated = ReplyError::Truncated {
        expected: 32,
        actual: 31,
    };
    assert_eq!(decode(answer.get(..31).unwrap()), Err(truncated));
    let longer = [answer.as_slice(), &[1, 2, 3]].concat();
    assert_eq!(decode(&longer), Ok(Reply::NSources(1)));
    let mut other_type = answer;
    *other_type.get_mut(7).unwrap() = 12;
    assert_eq!(decode(&other_type), Err(ReplyError::UnexpectedType(12)));
}
