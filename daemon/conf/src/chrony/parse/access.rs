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
        None => Subnet::Everyone,
        Some(Some(subnet)) => subnet,
        Some(None) => {
            let help = "it takes an address, a subnet such as 192.0.2.0/24, or a host name";
            return statement.unparsable(at, help);
        }
    };
    if statement.line.words.len() > at + 1 {
        return statement.unparsable(at + 1, "it takes one subnet");
    }
    let verdict = match statement.directive.name {
        "allow" | "cmdallow" => Verdict::Allow,
        _ => Verdict::Deny,
    };
    if let Subnet::Prefix { address, length } = subnet
        && length > Subnet::length_max(address)
    {
        set_up.refuse(statement.line, at, format!("Bad subnet in {address}/{length}"));
    } else {
        rules.push(AccessRule { verdict, all, subnet });
    }
    Ok(())
}

/// Reads whom a rule is about. The length of a prefix may not fit the address: that is found when
/// the rule is set up.
fn subnet(word: &str) -> Option<Subnet> {
    let (start, length) = match word.split_once('/') {
        Some((start, length)) => (start, Some(integer(length).filter(|length| *length >= 0)?)),
        None => (word, None),
    };
    let Some((address, own_length)) = address(start) else {
        return length.is_none().then(|| name(word)).flatten();
    };
    let length = match length {
        Some(length) => u8::try_from(length).unwrap_or(u8::MAX),
        None => own_length,
    };
    Some(Subnet::Prefix { address, length })
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
fn name(word: &str) -> Option<Subnet> {
    // A misspelt "all", and numbers that are no address, would be looked up in vain.
    let last_label = word.rsplit('.').find(|label| !label.is_empty())?;
    let is_number = last_label.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || word.eq_ignore_ascii_case("all") {
        return None;
    }
    HostName::new(word).ok()?;
    Some(Subnet::Name(word.to_owned()))
}
