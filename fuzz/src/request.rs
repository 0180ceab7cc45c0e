//! Requests of chrony's command protocol: what decodes is encoded to what decodes to the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::candm::{
    AddSource, Address, AddressMask, Command, NewSourceKind, REQUEST_LENGTH_MAX, Request, RequestError,
    SourceName,
};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "request",
    check,
    seeds,
    words: || {
        vec![
            vec![0, 1],
            vec![0, 2],
            vec![0, 64],
            vec![6, 1, 0, 0],
            vec![0x7f, 0xff, 0xff, 0xff],
        ]
    },
};

fn check(datagram: &[u8]) {
    match Request::decode(datagram) {
        Ok((header, request)) => {
            assert!(datagram.len() <= REQUEST_LENGTH_MAX);
            let encoded = request.encode(header.sequence);
            assert_eq!(encoded.len(), request.command().request_length());
            assert_eq!(Request::decode(&encoded).expect("it is a request").1, request);
            let reply = request.command().reply_type(datagram.len());
            assert!(
                reply.is_none_or(|reply| reply.length() <= datagram.len()),
                "amplifies"
            );
        }
        Err(RequestError::NotARequest) => {}
        Err(RequestError::Refused { header, reason }) => {
            assert!(
                reason.status().encode(&header).len() <= datagram.len(),
                "amplifies"
            );
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Command::ALL.iter().map(|command| plain(*command)).collect();
    let addresses = [
        Address::V4(Ipv4Addr::LOCALHOST),
        Address::V6(Ipv6Addr::LOCALHOST),
        Address::Id(1),
    ];
    for address in addresses {
        seeds.push(Request::DelSource(address).encode(1));
        let sources = AddressMask::one(address);
        seeds.push(Request::Online(sources).encode(2));
    }
    for name in [
        IpAddr::from([192, 0, 2, 1]).to_string(),
        "ntp.example.net".to_owned(),
    ] {
        let name = SourceName::new(name).expect("a name");
        let source = AddSource::new(NewSourceKind::Pool, name);
        seeds.push(Request::AddSource(Box::new(source)).encode(3));
    }
    seeds
}

/// A request with a body of zeros.
fn plain(command: Command) -> Vec<u8> {
    let mut datagram = Request::NSources.encode(7);
    datagram.resize(command.request_length(), 0);
    datagram.splice(4..6, command.code().to_be_bytes());
    datagram
}
