//! Answers to questions for the addresses of a name: only those to the question are read, and of them only addresses of
//! the type asked for, which stand in the message; of what is cut nothing else is read than of the whole.

use std::net::IpAddr;

use wire::dns::{Answer, AnswerError, Name, Query, RecordType};

use crate::bytes::Bytes;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "dns",
    check,
    seeds,
    words: || {
        let mut words = words_of(&["\u{3}ntp", "\u{7}example", "\u{3}net\0"]);
        words.extend([A, AAAA, CNAME, POINTER].map(<[u8]>::to_vec));
        words
    },
};

/// Type, class, lifetime and length of records, and a name that is the one in the question.
const A: &[u8] = b"\0\x01\0\x01\0\0\0\x3c\0\x04";
const AAAA: &[u8] = b"\0\x1c\0\x01\0\0\0\x3c\0\x10";
const CNAME: &[u8] = b"\0\x05\0\x01\0\0\0\x3c\0\x02";
const POINTER: &[u8] = b"\xc0\x0c";

const NUMBER: u16 = 0x1234;

/// A byte says what is asked for and whether the message begins as an answer to it; one, where it is cut. The others are
/// the message, or what stands behind the question.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let kind = bytes.u8();
    let cut = usize::from(bytes.u16());
    let rest = bytes.rest();
    check_name(rest);
    let record_type = if kind & 1 == 0 {
        RecordType::A
    } else {
        RecordType::Aaaa
    };
    let name = Name::new("ntp.example.net").expect("a name");
    let query = Query::new(NUMBER, &name, record_type);
    let message = if kind & 2 == 0 {
        answer(&query, rest)
    } else {
        rest.to_vec()
    };
    let read = query.read(&message);
    if let Ok(Answer::Addresses(addresses)) = &read {
        for address in addresses {
            assert_eq!(address.is_ipv4(), record_type == RecordType::A);
            let stands = match address {
                IpAddr::V4(address) => holds(&message, &address.octets()),
                IpAddr::V6(address) => holds(&message, &address.octets()),
            };
            assert!(stands, "{address}");
        }
    }
    if read != Err(AnswerError::NotOurs) {
        assert_eq!(message[..2], NUMBER.to_be_bytes());
        let length = query.message().len();
        assert!(message[12..length].eq_ignore_ascii_case(&query.message()[12..]));
        let mut shouted = message.clone();
        shouted[12..length - 4].make_ascii_uppercase();
        assert_eq!(query.read(&shouted), read);
    }
    let part = message.get(..cut).unwrap_or(&message);
    let of_part = query.read(part);
    assert!(
        of_part == read || of_part.is_err(),
        "{of_part:?} of a part of {read:?}"
    );
}

/// The rest of an answer whose first byte says how many records it has, behind the question.
fn answer(query: &Query, rest: &[u8]) -> Vec<u8> {
    let mut message = query.message().to_vec();
    message[2] |= 0x80;
    let (count, records) = rest.split_first().unwrap_or((&0, &[]));
    message[7] = *count;
    message.extend(records);
    message
}

fn holds(message: &[u8], data: &[u8]) -> bool {
    message.windows(data.len()).any(|part| part == data)
}

/// A name that can be sent has parts with a length each, and they are those that are written.
fn check_name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Some(name) = Name::new(&text) else {
        return;
    };
    let query = Query::new(NUMBER, &name, RecordType::A);
    let mut left = &query.message()[12..query.message().len() - 4];
    let mut parts = Vec::new();
    while let Some((length, behind)) = left.split_first().filter(|(length, _)| **length != 0) {
        assert!(*length < 64);
        let (part, behind) = behind.split_at(usize::from(*length));
        parts.push(part);
        left = behind;
    }
    assert_eq!(left, [0]);
    assert_eq!(parts.join(&b'.'), text.as_bytes());
    assert!(text.len() < 255);
}

fn seeds() -> Vec<Vec<u8>> {
    let records = |count: u8, records: &[&[u8]]| [&[count], records.concat().as_slice()].concat();
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let of_v4 = records(2, &[POINTER, A, &[192, 0, 2, 1], POINTER, A, &[192, 0, 2, 2]]);
    let of_v6 = records(1, &[POINTER, AAAA, &v6]);
    // The name of the second record is the end of that in the question, which the first is an alias for.
    let alias = records(2, &[POINTER, CNAME, b"\xc0\x10", b"\xc0\x10", A, &[192, 0, 2, 5]]);
    let mut wrong = answer(
        &Query::new(
            NUMBER,
            &Name::new("ntp.example.net").expect("a name"),
            RecordType::A,
        ),
        &of_v4,
    );
    wrong[2] |= 0b10;
    let cut_nowhere = [0xff, 0xff];
    [
        (0, of_v4),
        (1, of_v6),
        (0, alias),
        (2, wrong),
        (2, b"ntp.example.net".to_vec()),
    ]
    .into_iter()
    .map(|(kind, rest)| [[kind].as_slice(), &cut_nowhere, &rest].concat())
    .collect()
}
