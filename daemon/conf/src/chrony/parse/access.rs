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
    match (address(start, length.is_some()), length) {
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
fn address(text: &str, has_length: bool) -> Option<(IpAddr, u8)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, Subnet::length_max(address)));
    }
    let mut octets = [0; 4];
    let mut length = 0;
    // Of four numbers that come here one begins with 0. chronyd has them looked up as a name, which
    // the C library then takes for an address with numbers of base 8.
    let is_name = text.split('.').count() == octets.len();
    if is_name && has_length {
        return None;
    }
    for part in text.split('.') {
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let base = if is_name && part.starts_with('0') { 8 } else { 10 };
        *octets.get_mut(length)? = u8::from_str_radix(part, base).ok()?;
        length += 1;
    }
    let length = u8::try_from(8 * length).ok()?;
    Some((Ipv4Addr::from(octets).into(), length))
}

/// Takes a word for a name if it can be looked up as one.
///
/// A misspelt "all", an address with a mistake and numbers would be looked up in vain, for ever, while
/// the rule has no effect.
pub(crate) fn name_of_rule(word: &str) -> Option<Subnet> {
    let mut labels = word.strip_suffix('.').unwrap_or(word).split('.');
    let is_possible = |label: &str| !label.is_empty() && !label.contains([':', '%']);
    let last_label = labels.clone().next_back()?;
    if !labels.all(is_possible) || is_number(last_label) || word.eq_ignore_ascii_case("all") {
        return None;
    }
    HostName::new(word).ok()?;
    Some(Subnet::Name(word.to_owned()))
}

/// Whether C libraries take a label for one of an address's numbers, in which base ever.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_host_is_called_is_no_name() {
        for word in ["localhost", "a.example.", "3.a", "0x1.a", "a_b", "ab-c.d", "0xg"] {
            assert_eq!(name_of_rule(word), Some(Subnet::Name(word.to_owned())), "{word}");
        }
        for word in [
            "2001:db8::g",
            "1::2::3",
            "a:b",
            "12345::",
            "fe80::1%lo",
            "a%lo",
            "a:",
            "[::1]",
            "a..b",
            ".",
            "..",
            "a..",
            ".a",
            "",
            "ALL",
            "1.2.3.400",
            "a.1",
            "0x1.2.3.4",
            "1.0x2",
            "0XfF",
            "a/b",
            "é",
        ] {
            assert_eq!(name_of_rule(word), None, "{word}");
        }
    }

    #[test]
    fn four_numbers_of_which_one_begins_with_0_are_of_base_8() {
        for (word, octets) in [("010.1.2.3", [8, 1, 2, 3]), ("1.2.3.0377", [1, 2, 3, 255])] {
            let expected = Subnet::prefix(octets.into(), 32);
            assert_eq!(subnet(word).ok(), expected, "{word}");
        }
        assert_eq!(subnet("020.3").ok(), Subnet::prefix([20, 3, 0, 0].into(), 16));
        for word in ["1.2.3.08", "1.2.3.0400", "010.1.2.3/24", "1.2.3."] {
            assert!(matches!(subnet(word), Err(NoSubnet::Word)), "{word}");
        }
    }
}
