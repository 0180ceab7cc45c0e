//! Tests against datagrams captured between Debian's `ntpq` and ntpd (NTPsec 1.2.2) on loopback. The bytes of
//! padding, in which that daemon leaves what was in its memory, are zeros here.

use units::Leap;

use super::*;

/// Turns hexadecimal digits into bytes; blanks are ignored.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// Checks that a request has exactly the bytes that ntpq sent.
fn check_request(request: &Request<'_>, hex: &str) {
    let sent = bytes(hex);
    assert_eq!(Request::decode(&sent).unwrap().0, *request);
    assert_eq!(request.encode(), sent);
}

/// What the system says of itself in the captures.
fn system_variables() -> Vec<Variable> {
    let stamp = |seconds, fraction| Value::Timestamp(units::NtpTimestamp::from_parts(seconds, fraction));
    vec![
        Variable::new("leap", Value::Unsigned(0)),
        Variable::new("stratum", Value::Unsigned(2)),
        Variable::new("precision", Value::Signed(-24)),
        Variable::new("rootdelay", Value::Fixed3(0.043)),
        Variable::new("rootdisp", Value::Fixed3(1.03)),
        Variable::new("refid", Value::Address("192.0.2.10".parse().unwrap())),
        Variable::new("reftime", stamp(0xeeaa_98b7, 0x6863_81b5)),
        Variable::new("tc", Value::Unsigned(3)),
        Variable::new("peer", Value::Unsigned(17767)),
        Variable::new("offset", Value::Fixed6(-0.000_225)),
        Variable::new("frequency", Value::Fixed6(0.0)),
        Variable::new("sys_jitter", Value::Fixed6(0.001_519)),
        Variable::new("clk_jitter", Value::Fixed6(0.006_227)),
        Variable::new("clock", stamp(0xeeaa_98b9, 0xbe10_623f)),
        Variable::new("processor", Value::Text("x86_64".to_owned())),
        Variable::new("system", Value::Text("Linux/6.18.44-fc-v657".to_owned())),
        Variable::new("version", Value::Text("ntpd ntpsec-1.2.2".to_owned())),
        Variable::new("clk_wander", Value::Fixed6(0.0)),
        Variable::new("mintc", Value::Unsigned(0)),
        Variable::unlisted("peermode", Value::Unsigned(3)),
    ]
}

#[test]
fn the_status_of_all() {
    let request = Request::new(Operation::READ_STATUS, 1, 0, b"");
    check_request(&request, "d60100010000000000000000");
    let data = bytes("456b8811456a80114569b0144568b4144567b61a");
    let answer: Vec<_> = request.answer(Leap::Normal, 0x0014, &data).collect();
    assert_eq!(
        answer,
        [bytes(
            "168100010014000000000014456b8811456a80114569b0144568b4144567b61a"
        )]
    );
}

#[test]
fn all_variables_of_the_system() {
    let request = Request::new(Operation::READ_VARIABLES, 1, 0, b"");
    check_request(&request, "d60200010000000000000000");
    let data = Variable::write(&system_variables(), &[]).unwrap();
    let answer: Vec<_> = request.answer(Leap::Normal, 0x0014, &data).collect();
    assert_eq!(
        answer,
        [bytes(
            "1682000100140000000001636c6561703d302c207374726174756d3d322c20707265636973696f6e3d2d32342c20726f
             6f7464656c61793d302e3034332c20726f6f74646973703d312e3033302c0d0a72656669643d3139322e302e322e3130
             2c2072656674696d653d307865656161393862372e36383633383162352c2074633d332c20706565723d31373736372c
             0d0a6f66667365743d2d302e3030303232352c206672657175656e63793d302e3030303030302c207379735f6a697474
             65723d302e3030313531392c0d0a636c6b5f6a69747465723d302e3030363232372c20636c6f636b3d30786565616139
             3862392e62653130363233662c2070726f636573736f723d227838365f3634222c0d0a73797374656d3d224c696e7578
             2f362e31382e34342d66632d76363537222c2076657273696f6e3d226e747064206e74707365632d312e322e32222c0d
             0a636c6b5f77616e6465723d302e3030303030302c206d696e74633d300d0a00"
        )]
    );
    let read: Vec<_> = Variables::new(&data).collect();
    assert_eq!(read.len(), 19);
    assert_eq!(Variables::new(&data).get("version"), Some("ntpd ntpsec-1.2.2"));
}

#[test]
fn variables_by_name() {
    let request = Request::new(Operation::READ_VARIABLES, 2, 0, b"stratum,offset");
    check_request(
        &request,
        "d6020002000000000000000e7374726174756d2c6f66667365740000",
    );
    let asked = names(request.data).unwrap();
    let data = Variable::write(&system_variables(), &asked).unwrap();
    let answer: Vec<_> = request.answer(Leap::Normal, 0x0014, &data).collect();
    assert_eq!(
        answer,
        [bytes(
            "16820002001400000000001d7374726174756d3d322c206f66667365743d2d302e3030303232350d0a000000"
        )]
    );
}

#[test]
fn an_answer_in_two_datagrams() {
    // Variables of a peer; the arrays have more than eight values and bytes that were never set.
    let request = Request::new(Operation::READ_VARIABLES, 2, 17767, b"");
    check_request(&request, "d60200020000456700000000");
    let first = bytes(
        "16a20002b61a4567000001d47372636164723d3139322e302e322e31302c20737263706f72743d3132332c2064737461
         64723d3139322e302e322e312c20647374706f72743d3132332c206c6561703d302c0d0a686d6f64653d332c20737472
         6174756d3d312c2070706f6c6c3d39392c2068706f6c6c3d332c20707265636973696f6e3d2d32362c20726f6f746465
         6c61793d302e3030302c0d0a726f6f74646973703d302e3030302c2072656669643d2e2e2e2e2c2072656674696d653d
         307865656161393838312e34316662323364612c0d0a7265633d307865656161393862372e36383633383162352c2078
         6d743d307865656161393862372e36383632663338652c2072656163683d3078372c20756e72656163683d302c0d0a64
         656c61793d302e3034323833342c206f66667365743d302e3031323934342c206a69747465723d302e3031313938382c
         2064697370657273696f6e3d302e3039353933342c0d0a6b657969643d302c2066696c7464656c61793d20302e303420
         302e303420302e303120302e303120302e303120302e303220302e303120302e30352c0d0a66696c746f66667365743d
         20302e303420302e303420302e303120302e303120302e303120302e303220302e303120302e303520302e303120302e",
    );
    let second = bytes(
        "16820002b61a456701d400a43031202d302e3030202d302e3030202d302e3030202d302e303020302e303020302e3032
         2c0d0a706d6f64653d342c0d0a66696c74646973703d20302e303420302e303420302e303120302e303120302e300420
         302e303020302e313520302e323120302e323420302e323720302e333020302e333320302e33362c0d0a666c6173683d
         3078302c20686561647761793d32322c206e7473636f6f6b6965733d2d310d0a",
    );
    let mut assembly = Assembly::new(request.header);
    assert_eq!(assembly.push(&Fragment::decode(&second).unwrap()), Ok(None));
    let answer = assembly
        .push(&Fragment::decode(&first).unwrap())
        .unwrap()
        .unwrap();
    assert_eq!((answer.status, answer.data.len()), (0xb61a, 468 + 164));
    assert_eq!(PeerStatus::selection_of(answer.status), Selection::SystemPeer);
    let variables = Variables::new(&answer.data);
    for (name, value) in [
        ("srcadr", "192.0.2.10"),
        ("reach", "0x7"),
        ("offset", "0.012944"),
        ("ntscookies", "-1"),
    ] {
        assert_eq!(variables.get(name), Some(value));
    }
    // What it was cut from is cut in the same places again.
    let again: Vec<_> = request.answer(answer.leap, answer.status, &answer.data).collect();
    assert_eq!(again, [first, second]);
}

#[test]
fn what_is_no_request_is_dropped_or_refused() {
    let header = |hex: &str| bytes(hex);
    for silent in [
        "1601123400000000000000",
        "2e0112340000000000000000",
        "060112340000000000000000",
        "168212340000000000000000",
        "162212340000000000000000",
        "164212340000000000000000",
        "160212340000000000040000",
        "1700032a0000000000000000",
    ] {
        assert_eq!(Request::decode(&header(silent)), Err(Refusal::Silent), "{silent}");
    }
    for (wrong, code, answer) in [
        (
            "1602123400000000000001906c656170",
            ErrorCode::BadFormat,
            "16c212340200000000000000",
        ),
        (
            "16011234000000000000000000",
            ErrorCode::BadFormat,
            "16c112340200000000000000",
        ),
    ] {
        let wrong = bytes(wrong);
        let Err(Refusal::Error(header, said)) = Request::decode(&wrong) else {
            panic!("{wrong:?}");
        };
        assert_eq!(said, code);
        assert_eq!(header.error(Leap::Normal, said), bytes(answer));
    }
    // Versions 1 to 4 are answered in their own version.
    let four = bytes("260112340000000000000000");
    let (request, _) = Request::decode(&four).unwrap();
    let answer: Vec<_> = request.answer(Leap::Normal, 0x0014, &bytes("456b8811")).collect();
    assert_eq!(answer, [bytes("268112340014000000000004456b8811")]);
}

#[test]
fn proofs_begin_at_a_multiple_of_four_or_eight() {
    use crate::ntp::Version;
    use crate::ntp::auth::{Algorithm, Key};

    let key = Key::new(
        1,
        Algorithm::Aes128Cmac,
        &bytes("0123456789abcdef0123456789abcdef"),
    )
    .unwrap();
    let asked =
        bytes("d60b0001000000000000000769667374617473000000000000000001bf46f9ea2ed525104b51c069d3083244");
    let (request, tail) = Request::decode(&asked).unwrap();
    assert_eq!(
        (request.header.operation, request.data),
        (Operation::READ_ORDERED_LIST, &b"ifstats"[..])
    );
    let proved = tail
        .proofs()
        .any(|(signed, key_id, code)| key_id == 1 && key.verify(signed, Version::V4, code));
    assert!(proved);
    let configure = bytes(
        "d6080001000000000000000e6c6f67636f6e666967203d616c6c00000000000000000001fd8bee94aef238d4321331e7
         15ddce46",
    );
    let (request, tail) = Request::decode(&configure).unwrap();
    assert_eq!(request.data, b"logconfig =all");
    assert!(
        tail.proofs()
            .any(|(signed, key_id, code)| key_id == 1 && key.verify(signed, Version::V4, code))
    );
    let bare = bytes("d60100010000000000000000");
    assert_eq!(Request::decode(&bare).unwrap().1.proofs().count(), 0);
}
