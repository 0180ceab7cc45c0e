//! Commands about who may ask.

use conf::config::{AccessRule, Subnet, Verdict};
use wire::candm::{Address, Reply, Status};

use super::Outcome;
use crate::Engine;
use crate::control::access::Whom;
use crate::server::access::AccessError;

/// Takes one more rule; with `all` it replaces those inside of its subnet.
pub(super) fn set(
    engine: &mut Engine,
    whom: Whom,
    verdict: Verdict,
    all: bool,
    subnet: wire::candm::Subnet,
) -> Result<(), Status> {
    let rule = AccessRule {
        verdict,
        all,
        subnet: read(subnet).ok_or(Status::BadSubnet)?,
    };
    engine.set_access(whom, &rule).map_err(|error| match error {
        AccessError::Length | AccessError::Name => Status::BadSubnet,
        AccessError::Full => Status::Failed,
    })?;
    engine.out.info(told(whom, &rule));
    Ok(())
}

/// Whether somebody may ask, by the rules alone: the loopback addresses may always send commands, and are not
/// special here.
pub(super) fn check(engine: &Engine, whom: Whom, address: Address) -> Outcome {
    let allowed = address.ip().is_some_and(|address| match whom {
        Whom::NtpClients => engine.server.is_allowed(address),
        Whom::Commanders => engine.control.access.is_allowed(address),
    });
    Ok(if allowed {
        Reply::AccessAllowed
    } else {
        Reply::AccessDenied
    })
}

fn read(subnet: wire::candm::Subnet) -> Option<Subnet> {
    match (subnet.address.ip(), subnet.bits) {
        (Some(address), bits) => Subnet::prefix(address, u8::try_from(bits).ok()?),
        (None, 0) if subnet.address == Address::Unspecified => Some(Subnet::Everyone),
        (None, _) => None,
    }
}

/// What the log says, as operators of chronyd know it.
fn told(whom: Whom, rule: &AccessRule) -> String {
    let verdict = match rule.verdict {
        Verdict::Allow => "Allowed",
        Verdict::Deny => "Denied",
    };
    let all = if rule.all { " all" } else { "" };
    let whom = match whom {
        Whom::NtpClients => "NTP",
        Whom::Commanders => "command",
    };
    let subnet = match &rule.subnet {
        Subnet::Everyone => "any address".to_owned(),
        Subnet::Prefix { address, length } if *length == Subnet::length_max(*address) => address.to_string(),
        Subnet::Prefix { address, length } => format!("{address}/{length}"),
        Subnet::Name(name) => name.clone(),
    };
    format!("{verdict}{all} {whom} access from {subnet}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verdict: Verdict, all: bool, address: &str, bits: i32) -> AccessRule {
        let address = address
            .parse()
            .map_or(Address::Unspecified, |ip: std::net::IpAddr| Address::from(ip));
        let subnet = read(wire::candm::Subnet { address, bits }).expect("a subnet");
        AccessRule { verdict, all, subnet }
    }

    #[test]
    fn the_log_says_what_chronyd_says() {
        let lines = [
            (
                Whom::NtpClients,
                rule(Verdict::Allow, false, "1.2.3.4", 32),
                "Allowed NTP access from 1.2.3.4",
            ),
            (
                Whom::NtpClients,
                rule(Verdict::Allow, false, "1.2.3.4", 31),
                "Allowed NTP access from 1.2.3.4/31",
            ),
            (
                Whom::NtpClients,
                rule(Verdict::Allow, true, "any", 0),
                "Allowed all NTP access from any address",
            ),
            (
                Whom::NtpClients,
                rule(Verdict::Allow, false, "::", 0),
                "Allowed NTP access from ::/0",
            ),
            (
                Whom::Commanders,
                rule(Verdict::Deny, true, "2001:db8::1", 120),
                "Denied all command access from 2001:db8::1/120",
            ),
        ];
        for (whom, rule, line) in lines {
            assert_eq!(told(whom, &rule), line);
        }
    }

    #[test]
    fn lengths_are_those_of_the_family() {
        let subnet = |address, bits| read(wire::candm::Subnet { address, bits });
        let (v4, v6) = (
            Address::from(std::net::IpAddr::from([1, 2, 3, 4])),
            Address::from(std::net::IpAddr::from([0u16; 8])),
        );
        assert!(subnet(v4, 32).is_some() && subnet(v4, 33).is_none() && subnet(v4, -1).is_none());
        assert!(subnet(v6, 128).is_some() && subnet(v6, 129).is_none() && subnet(v6, 300).is_none());
        assert!(subnet(Address::Unspecified, 8).is_none() && subnet(Address::Id(1), 0).is_none());
    }
}
