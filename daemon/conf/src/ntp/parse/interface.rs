//! `interface`: where clients are answered.

use std::net::IpAddr;

use super::Parser;
use super::statement::{Refused, Statement};
use crate::config::{InterfaceRule, InterfaceTarget, Subnet};

/// Reads `interface ACTION TARGET`.
pub(super) fn read(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let listen = match statement.word(1) {
        "listen" => true,
        "ignore" | "drop" => false,
        "" => {
            let message = format!("missing action after \"{}\"", statement.directive.name);
            return statement.refuse(1, message, "it is listen, ignore or drop");
        }
        _ => return statement.unknown(1, "action", &["listen", "ignore", "drop"]),
    };
    let target = match statement.word(2) {
        "" => {
            let message = "missing interface".to_owned();
            return statement.refuse(
                2,
                message,
                "it is all, ipv4, ipv6, wildcard, a name or an address",
            );
        }
        "all" => InterfaceTarget::All,
        "ipv4" => InterfaceTarget::Ipv4,
        "ipv6" => InterfaceTarget::Ipv6,
        "wildcard" => {
            statement.no_more(3)?;
            statement.idle(2);
            return Ok(());
        }
        word => {
            let word = word.to_owned();
            let (host, length) = match word.split_once('/') {
                Some((host, length)) => (host, Some(length)),
                None => (word.as_str(), None),
            };
            match (host.trim_matches(['[', ']']).parse::<IpAddr>(), length) {
                (Ok(address), None) => InterfaceTarget::Address(Subnet::Prefix {
                    address,
                    length: Subnet::length_max(address),
                }),
                (Ok(address), Some(length)) => {
                    let subnet = length
                        .parse()
                        .ok()
                        .and_then(|length| Subnet::prefix(address, length));
                    match subnet {
                        Some(subnet) => InterfaceTarget::Address(subnet),
                        None => return statement.refuse(2, format!("\"{word}\" is no network"), ""),
                    }
                }
                (Err(_), _) => InterfaceTarget::Name(word),
            }
        }
    };
    statement.no_more(3)?;
    match (&target, listen) {
        (InterfaceTarget::Name(name), true) if !name.contains(['*', '?', '[']) => {
            statement.amounts_to(format!("binddevice {name}"));
            statement.adapt("chrony takes one interface only; timeballd answers on all that are listened on");
        }
        (InterfaceTarget::Address(Subnet::Prefix { address, length }), true)
            if *length == Subnet::length_max(*address) =>
        {
            statement.amounts_to(format!("bindaddress {address}"));
        }
        _ => statement.adapt("chrony has no word for it"),
    }
    parser
        .config
        .server
        .interfaces
        .push(InterfaceRule { listen, target });
    Ok(())
}
