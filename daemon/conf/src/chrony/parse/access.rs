//! `allow`, `deny`, `cmdallow` and `cmddeny`.

use std::net::{IpAddr, Ipv4Addr};

use super::set_up::SetUp;
use super::{Refused, Statement};
use crate::chrony::host_name::HostName;
use crate::chrony::numbers::integer;
use crate::config::{AccessRule, Subnet, Verdict};

/// Reads one rule.
pub(super) fn read(
    statement: &mut Statement<'_, '_>,
    rules: &mut Vec<AccessRule>,
    set_up: &mut SetUp,
) -> Result<(), Refused> {
    // Only here chrony distinguishes capital letters.
    let all = statement.word(1) == "all";
    let at = if all { 2 } else { 1 };
    let subnet = match statement.line.word(at).map(subnet) {
        None => Ok(Subnet::Everyone),
        Some(Err(NoSubnet::Word)) => {
            let help = "it takes an address, a subnet such as 192.0.2.0/24, or a host name";
            return statement.unparsable(at, help);
        }
        Some(read) => read,
    };
    if statement.line.words.len() > at + 1 {
        return statement.unparsable(at + 1, "it takes one subnet");
    }
    let verdict = match statement.directive.name {
        "allow" | "cmdallow" => Verdict::Allow,
        _ => Verdict::Deny,
    };
    match subnet {
        Ok(subnet) => rules.push(AccessRule { verdict, all, subnet }),
        Err(NoSubnet::Word) => {}
        Err(NoSubnet::Length(address, length)) => {
            set_up.refuse(statement.line, at, format!("Bad subnet in {address}/{length}"));
        }
    }
    Ok(())
}

/// Why a word says nobody.
enum NoSubnet {
    /// It is no subnet.
    Word,
    /// The length does not fit the address. That is found when the rule is set up.
    Length(IpAddr, i64),
}

/// Reads whom a rule is about.
fn subnet(word: &str) -> Result<Subnet, NoSubnet> {
    let (start, length) = match word.split_once('/') {
        Some((start, length)) => {
            let length = integer(length).filter(|length| *length >= 0);
            (start, Some(length.ok_or(NoSubnet::Word)?))
        }
        None => (word, None),
    };
    match (address(start), length) {
        (Some((address, own_length)), length) => {
            let length = length.unwrap_or(own_length.into());
            let fitting = u8::try_from(length)
                .ok()
                .and_then(|length| Subnet::prefix(address, length));
            fitting.ok_or(NoSubnet::Length(address, length))
        }
        (None, None) => name_of_rule(word).ok_or(NoSubnet::Word),
        (None, Some(_)) => Err(NoSubnet::Word),
    }
}

/// Reads an address, or the first one to three numbers of an IPv4 address; returns it with the
/// length of what is given.
fn address(text: &str) -> Option<(IpAddr, u8)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, Subnet::length_max(address)));
    }
    let mut octets = [0; 4];
    let mut length = 0;
    for part in text.split('.') {
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octets.get_mut(length)? = part.parse().ok()?;
        length += 1;
    }
    let length = u8::try_from(8 * length).ok()?;
    Some((Ipv4Addr::from(octets).into(), length))
}

/// Takes a word for a name if it can be looked up as one.
pub(crate) fn name_of_rule(word: &str) -> Option<Subnet> {
    // A misspelt "all", and numbers that are no address, would be looked up in vain.
    let last_label = word.rsplit('.').find(|label| !label.is_empty())?;
    let is_number = last_label.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || word.eq_ignore_ascii_case("all") {
        return None;
    }
    HostName::new(word).ok()?;
    Some(Subnet::Name(word.to_owned()))
}
