//! NTP control messages: what is asked, and what is answered.

use wire::mode6::{
    Assembly, DATA_LENGTH_MAX, Fragment, HEADER_LENGTH, Operation, Refusal, Request, Value, Variable,
    Variables, names,
};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "mode6",
    check,
    seeds,
    words,
};

/// Whatever comes, an answer is made of datagrams that may be sent, and what is read is what was written.
fn check(bytes: &[u8]) {
    match Request::decode(bytes) {
        Ok((request, tail)) => {
            let again = request.encode();
            let (decoded, _) = Request::decode(&again).expect("what is encoded decodes");
            assert_eq!(decoded.data, request.data);
            for (signed, _, code) in tail.proofs() {
                assert!(signed.len() + 4 + code.len() == bytes.len());
            }
            let asked = names(request.data).unwrap_or_default();
            let variables: Vec<Variable> = asked
                .iter()
                .map(|name| Variable::new(name, Value::Text((*name).to_owned())))
                .collect();
            let data = Variable::write(&variables, &asked).expect("every name is known");
            for datagram in request.answer(units::Leap::Normal, 0, &data) {
                assert!(datagram.len() <= HEADER_LENGTH + DATA_LENGTH_MAX);
            }
        }
        Err(Refusal::Error(header, code)) => {
            let refusal = header.error(units::Leap::Normal, code);
            assert!(refusal.len() <= bytes.len() && Request::decode(&refusal) == Err(Refusal::Silent));
        }
        Err(Refusal::Silent) => {}
    }
    if let Ok(fragment) = Fragment::decode(bytes) {
        let mut assembly = Assembly::new(fragment.header);
        if let Ok(Some(answer)) = assembly.push(&fragment) {
            assert_eq!(answer.data, fragment.data);
        }
        for (name, value) in Variables::new(fragment.data) {
            assert!(!name.is_empty() && name.len() + value.len() <= fragment.data.len());
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Request::new(Operation::READ_STATUS, 1, 0, b"").encode()];
    let request = Request::new(Operation::READ_VARIABLES, 2, 0, b"stratum,offset");
    seeds.push(request.encode());
    seeds.extend(request.answer(
        units::Leap::Normal,
        0x0615,
        b"stratum=2, version=\"ntpd 4.2.8, x\",\r\noffset=-0.1\r\n",
    ));
    let mut signed = Request::new(Operation::READ_ORDERED_LIST, 3, 0, b"ifstats").encode();
    signed.extend([0; 4]);
    signed.extend([0, 0, 0, 1]);
    signed.extend([0x5a; 16]);
    seeds.push(signed);
    seeds
}

fn words() -> Vec<Vec<u8>> {
    crate::words_of(&[
        "stratum", "offset", "addr.0=", "last.0=", "nonce=", "frags=32", ",", "=", "\"", "\r\n",
    ])
}
