//! Replies of chrony's command protocol: what decodes is encoded to what decodes to the same.

use wire::candm::{Command, Header, Reply, ReplyType};

use crate::Target;
use crate::bytes::Bytes;

pub(crate) const TARGET: Target = Target {
    name: "reply",
    check,
    seeds,
    words: || {
        vec![
            vec![0, 1],
            vec![0, 2],
            vec![6, 2, 0, 0],
            vec![0x7f, 0xff, 0xff, 0xff],
            b"host".to_vec(),
        ]
    },
};

/// Where a reply has the number of its command.
const COMMAND: std::ops::Range<usize> = 4..6;

/// One byte for the command that was asked for, the others are what comes for an answer.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let command = Command::ALL[bytes.below(Command::ALL.len())];
    let mut datagram = bytes.rest().to_vec();
    if let Some(number) = datagram.get_mut(COMMAND) {
        number.copy_from_slice(&command.code().to_be_bytes());
    }
    let header = Header {
        command: command.code(),
        attempt: 0,
        sequence: 0,
    };
    if let Ok(reply) = Reply::decode(&datagram, command, header.sequence) {
        let encoded = reply.encode(&header);
        assert!(encoded.len() <= datagram.len());
        assert_eq!(Reply::decode(&encoded, command, header.sequence), Ok(reply));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let types = (0..64).filter_map(ReplyType::from_code);
    let types: Vec<ReplyType> = types.collect();
    let mut seeds = Vec::new();
    for (number, command) in (0_u8..).zip(Command::ALL) {
        for reply_type in &types {
            let mut datagram = vec![number, 6, 2, 0, 0];
            datagram.extend(command.code().to_be_bytes());
            datagram.extend(reply_type.code().to_be_bytes());
            datagram.resize(reply_type.length() + 1, 0);
            if Reply::decode(&datagram[1..], *command, 0).is_ok() {
                seeds.push(datagram);
            }
        }
    }
    seeds
}
