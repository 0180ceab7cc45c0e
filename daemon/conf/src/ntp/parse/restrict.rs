//! `restrict` and `unrestrict`: who may do what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Parser;
use super::source::Place;
use super::statement::{Refused, Statement, integer};
use crate::chrony::name_of_rule;
use crate::config::{RestrictFlags, Restriction, Restrictions, Subnet, network};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::explain::Explanation;
use crate::words::near;

/// The words after the address.
const FLAGS: [&str; 20] = [
    "epeer",
    "flake",
    "fuzz",
    "ignore",
    "ippeerlimit",
    "kod",
    "limited",
    "lowpriotrap",
    "mssntp",
    "noepeer",
    "nomodify",
    "nomrulist",
    "non-ntpport",
    "nopeer",
    "noquery",
    "noserve",
    "notrap",
    "notrust",
    "ntpport",
    "serverresponse",
];

/// The rules while they are read.
#[derive(Debug, Default)]
pub(super) struct Rules {
    given: Given,
    /// What was said of all IPv4 and all IPv6 addresses: added to and taken from what holds anyway.
    of_all: [OfAll; 2],
    /// Whether there was any line at all.
    is_any: bool,
    /// The line that frees ::1.
    frees_ipv6_loopback: Option<Diagnostic>,
    /// Whom each line is about, with its index among the explanations.
    told: Vec<(usize, Vec<Subnet>)>,
}

/// What becomes [`Restrictions`], with the places of the rules to find them.
#[derive(Debug, Default)]
struct Given {
    /// The rules in the order in which they are made; `None` where one was taken away.
    rules: Vec<Option<Restriction>>,
    /// Where the rule for a subnet and port is among them.
    places: BTreeMap<(Subnet, bool), usize>,
    of_sources: Option<RestrictFlags>,
}

impl Given {
    /// Reports whether there is a rule for a subnet and port.
    fn has(&self, subnet: &Subnet, ntp_port: bool) -> bool {
        self.places.contains_key(&(subnet.clone(), ntp_port))
    }

    /// Changes the flags for a subnet and port, without any if there is no rule for them yet.
    fn change(&mut self, subnet: &Subnet, ntp_port: bool, change: impl FnOnce(&mut RestrictFlags)) {
        let next = self.rules.len();
        let place = self.places.entry((subnet.clone(), ntp_port)).or_insert(next);
        if *place == next {
            self.rules.push(None);
        }
        if let Some(rule) = self.rules.get_mut(*place) {
            let rule = rule.get_or_insert_with(|| Restriction {
                subnet: subnet.clone(),
                ntp_port,
                flags: RestrictFlags::default(),
            });
            change(&mut rule.flags);
        }
    }

    /// Takes away the rule for a subnet and port.
    fn remove(&mut self, subnet: &Subnet, ntp_port: bool) {
        let place = self.places.remove(&(subnet.clone(), ntp_port));
        if let Some(rule) = place.and_then(|place| self.rules.get_mut(place)) {
            *rule = None;
        }
    }

    fn into_restrictions(self) -> Restrictions {
        Restrictions {
            rules: self.rules.into_iter().flatten().collect(),
            of_sources: self.of_sources,
        }
    }
}

/// What was said of all addresses of a family.
#[derive(Debug, Default, Clone, Copy)]
struct OfAll {
    is_said: bool,
    added: RestrictFlags,
    removed: RestrictFlags,
}

/// Whom a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whom {
    Everyone { ipv4: bool, ipv6: bool },
    Sources,
    Some(Subnet),
}

impl Whom {
    /// Returns the subnets that have rules, none for sources.
    fn subnets(&self) -> Vec<Subnet> {
        match self {
            Self::Everyone { ipv4, ipv6 } => everyone(*ipv4, *ipv6),
            Self::Sources => Vec::new(),
            Self::Some(subnet) => vec![subnet.clone()],
        }
    }
}

/// Returns what all addresses are of one family or of both.
fn everyone(ipv4: bool, ipv6: bool) -> Vec<Subnet> {
    let of_ipv4 = ipv4.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let of_ipv6 = ipv6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let addresses = of_ipv4.into_iter().chain(of_ipv6);
    addresses
        .map(|address| Subnet::Prefix { address, length: 0 })
        .collect()
}

/// Takes a line that cannot be read as the strictest that it can have meant: of a `restrict` whose flags are not known, that
/// nobody there may do anything, and of one about nobody knows whom, that nobody may whom no other line names. An
/// `unrestrict` that is left out only leaves things stricter.
pub(super) fn fail_closed(directive: &str, whom: Option<Whom>, rules: &mut Rules) {
    if directive != "restrict" {
        return;
    }
    // A rule for port 123 would count in the place of the other.
    for subnet in whom.iter().flat_map(Whom::subnets) {
        rules.given.change(&subnet, true, |flags| flags.ignore = true);
    }
    match whom {
        None => rules.of_all.iter_mut().for_each(|all| all.added.ignore = true),
        Some(Whom::Everyone { ipv4, ipv6 }) => {
            let families = rules.of_all.iter_mut().zip([ipv4, ipv6]);
            let meant = families.filter(|(_, is_meant)| *is_meant);
            meant.for_each(|(all, _)| all.added.ignore = true);
        }
        Some(Whom::Sources) => rules.given.of_sources.get_or_insert_default().ignore = true,
        Some(Whom::Some(subnet)) => rules.given.change(&subnet, false, |flags| flags.ignore = true),
    }
}

/// Reads a line.
pub(super) fn read(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let name = statement.directive.name;
    let takes_away = name == "unrestrict";
    let (whom, from) = whom(statement).inspect_err(|_| fail_closed(name, None, &mut parser.rules))?;
    let (flags, ntp_port) =
        flags(statement, from).inspect_err(|_| fail_closed(name, Some(whom.clone()), &mut parser.rules))?;
    let has_flags = flags != RestrictFlags::default();
    if flags.kod && !flags.limited && !takes_away {
        let place = Place::of(statement, parser, from);
        parser.kods.push((whom_covers(&whom), ntp_port, place));
    }
    tell(statement, &whom, ntp_port, flags, takes_away);
    let rules = &mut parser.rules;
    rules.told.push((parser.lines.len(), whom.subnets()));
    rules.is_any |= !takes_away;
    match whom {
        Whom::Everyone { ipv4, ipv6 } if !ntp_port => {
            for (all, is_meant) in rules.of_all.iter_mut().zip([ipv4, ipv6]) {
                if is_meant && (has_flags || !takes_away) {
                    all.is_said = true;
                    all.added.set_all(flags, !takes_away);
                    all.removed.set_all(flags, takes_away);
                }
            }
        }
        Whom::Sources if takes_away && !has_flags => rules.given.of_sources = None,
        Whom::Sources => {
            let of_sources = rules.given.of_sources.get_or_insert_default();
            of_sources.set_all(flags, !takes_away);
        }
        Whom::Everyone { .. } | Whom::Some(_) => {
            for subnet in whom.subnets() {
                if takes_away && !has_flags {
                    rules.given.remove(&subnet, ntp_port);
                    continue;
                }
                // What no rule says cannot be taken from it.
                if takes_away && !rules.given.has(&subnet, ntp_port) {
                    continue;
                }
                if !ntp_port && !has_flags && subnet.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)) {
                    rules.frees_ipv6_loopback =
                        Some(statement.line.diagnostic(Severity::Warning, 1, String::new(), ""));
                }
                rules
                    .given
                    .change(&subnet, ntp_port, |known| known.set_all(flags, !takes_away));
            }
        }
    }
    Ok(())
}

/// Reads whom the line is about; also returns the index of the first flag.
fn whom(statement: &mut Statement<'_>) -> Result<(Whom, usize), Refused> {
    let name = statement.directive.name;
    let mut at = 1;
    let mut family = family_word(statement.word(at));
    at += usize::from(family.is_some());
    let address = statement.word(at).to_owned();
    if address.is_empty() {
        return statement.refuse(at, format!("missing address after \"{name}\""), "");
    }
    if FLAGS.contains(&address.as_str()) {
        let message = format!("missing address after \"{name}\" (\"{address}\" is a flag)");
        let help = format!(
            "ntpd skips the line, so that the address it was meant for is under the rule for all others; write the \
             address before {address}"
        );
        return statement.refuse(at, message, &help);
    }
    at += 1;
    if let (None, Some(swapped)) = (family, family_word(statement.word(at))) {
        let option = statement.word(at).to_owned();
        let help = format!("ntpd skips the line; it is taken as \"{name} {option} {address}\"");
        statement.warn(at, format!("\"{option}\" belongs before \"{address}\""), &help);
        family = Some(swapped);
        at += 1;
    }
    match address.as_str() {
        "default" => {
            let (ipv4, ipv6) = (family != Some(6), family != Some(4));
            return Ok((Whom::Everyone { ipv4, ipv6 }, at));
        }
        "source" => return Ok((Whom::Sources, at)),
        _ => {}
    }
    let mask_at = (statement.word(at) == "mask").then_some(at + 1);
    let subnet = subnet(statement, &address, at - 1, mask_at, family)?;
    Ok((subnet, at + if mask_at.is_some() { 2 } else { 0 }))
}

fn family_word(word: &str) -> Option<u8> {
    match word {
        "-4" => Some(4),
        "-6" => Some(6),
        _ => None,
    }
}

/// Reads an address with its mask.
fn subnet(
    statement: &mut Statement<'_>,
    text: &str,
    at: usize,
    mask_at: Option<usize>,
    family: Option<u8>,
) -> Result<Whom, Refused> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    // Rules have no zone, in ntpd as well.
    let unzoned = bare.split_once('%').map_or(
        bare,
        |(address, _)| if address.contains(':') { address } else { bare },
    );
    let Ok(address) = unzoned.parse::<IpAddr>() else {
        if length.is_some() || mask_at.is_some() {
            return statement.refuse(
                at,
                format!("\"{host}\" is no address, and has a mask"),
                "only addresses have masks",
            );
        }
        let Some(name) = name_of_rule(bare) else {
            return statement.refuse(at, format!("\"{text}\" is neither an address nor a name"), "");
        };
        if let Some(meant) = near(bare, &["default", "source"]) {
            let message = format!("\"{bare}\" is taken for the name of a host");
            statement.warn(at, message, &format!("did you mean {meant}?"));
        }
        return Ok(Whom::Some(name));
    };
    if family.is_some_and(|family| (family == 4) != address.is_ipv4()) {
        return statement.refuse(at, format!("\"{text}\" is not of the family that was said"), "");
    }
    let length_max = Subnet::length_max(address);
    let length = match (length, mask_at) {
        (Some(digits), None) => digits.parse::<u8>().ok().filter(|length| *length <= length_max),
        (None, Some(mask_at)) => match (address, statement.word(mask_at).parse::<IpAddr>()) {
            (IpAddr::V4(_), Ok(IpAddr::V4(mask))) => contiguous(u128::from(mask.to_bits()) << 96),
            (IpAddr::V6(_), Ok(IpAddr::V6(mask))) => contiguous(mask.to_bits()),
            _ => {
                let mask = statement.word(mask_at).to_owned();
                let message = format!("\"{mask}\" is no mask for {address}");
                return statement.refuse(mask_at, message, "");
            }
        },
        (None, None) => Some(length_max),
        (Some(_), Some(mask_at)) => {
            return statement.refuse(
                mask_at,
                "the address has a length already".to_owned(),
                "leave out one of them",
            );
        }
    };
    let Some(length) = length else {
        let help = "a mask is ones first and then zeros only";
        return statement.refuse(mask_at.unwrap_or(at), "no mask of a network".to_owned(), help);
    };
    let network = network(address, length);
    if network != address {
        let help = format!("the rule is about {network}/{length}, as ntpd takes it");
        statement.warn(at, format!("{address} has bits set behind its mask"), &help);
    }
    if length == 0 {
        let (ipv4, ipv6) = (address.is_ipv4(), address.is_ipv6());
        return Ok(Whom::Everyone { ipv4, ipv6 });
    }
    Ok(Whom::Some(Subnet::Prefix {
        address: network,
        length,
    }))
}

/// Returns the number of leading ones if there are no others; the mask is the high bits.
fn contiguous(mask: u128) -> Option<u8> {
    let length = mask.leading_ones();
    let rest = mask.checked_shl(length).unwrap_or(0);
    (rest == 0).then(|| u8::try_from(length).unwrap_or(128))
}

/// Reads flags from an index on; also says whether the rule is only about port 123.
fn flags(statement: &mut Statement<'_>, from: usize) -> Result<(RestrictFlags, bool), Refused> {
    let mut flags = RestrictFlags::default();
    let mut ntp_port = false;
    let mut at = from;
    while at < statement.len() {
        match statement.word(at) {
            "ignore" => flags.ignore = true,
            "noserve" => flags.noserve = true,
            "notrust" => flags.notrust = true,
            "version" => flags.version = true,
            "limited" => flags.limited = true,
            "kod" => flags.kod = true,
            "flake" => flags.flake = true,
            "noquery" => flags.noquery = true,
            "nomodify" => flags.nomodify = true,
            "nomrulist" => flags.nomrulist = true,
            "ntpport" => ntp_port = true,
            "nopeer" | "notrap" | "lowpriotrap" | "epeer" | "noepeer" | "non-ntpport" => statement.idle(at),
            "ippeerlimit" | "serverresponse" => {
                statement.idle(at);
                at += 1;
            }
            "mssntp" => {
                let help = "ntpd signs for them only with ntpsigndsocket";
                let message = "answers are not signed for Samba's clients".to_owned();
                statement.leave_out(at..at + 1, message, help);
            }
            "mask" => {
                let message = "\"mask\" is not behind the address".to_owned();
                let help = "ntpd skips the line; it is written ADDRESS mask MASK, and then the flags";
                return statement.refuse(at, message, help);
            }
            _ => {
                let mut known = FLAGS.to_vec();
                known.extend(["version", "mask"]);
                return statement.unknown(at, "flag", &known);
            }
        }
        at += 1;
    }
    Ok((flags, ntp_port))
}

/// Says what a line amounts to in chrony.conf, as if it stood alone; [`Rules::finish`] knows the others.
fn tell(statement: &mut Statement<'_>, whom: &Whom, ntp_port: bool, flags: RestrictFlags, takes_away: bool) {
    let shuts_out = is_shut_out(flags);
    if takes_away {
        statement.adapt("it takes flags away that were set before");
        if !shuts_out {
            return;
        }
    }
    if ntp_port {
        statement.adapt("chrony has no word for ntpport");
    } else if *whom == Whom::Sources {
        statement.adapt("answers of sources are always taken, whatever the rules are");
    } else {
        for line in lines_of(&whom.subnets(), |_| Some(shuts_out != takes_away)) {
            statement.amounts_to(line);
        }
    }
    for (is_set, note) in [
        (flags.notrust, "chrony has no word for notrust"),
        (flags.version, "chrony has no word for version"),
        (flags.flake, "chrony has no word for flake"),
    ] {
        if is_set && !takes_away {
            statement.adapt(note);
        }
    }
}

/// Reports whether those with these flags are not served in chrony's words.
const fn is_shut_out(flags: RestrictFlags) -> bool {
    flags.ignore || flags.noserve || flags.notrust
}

/// Returns chrony's lines for subnets of which it is known whether they are shut out; one is enough for both families.
fn lines_of(subnets: &[Subnet], is_shut_out: impl Fn(&Subnet) -> Option<bool>) -> Vec<String> {
    let known = subnets.iter().filter_map(|subnet| {
        let verdict = if is_shut_out(subnet)? { "deny" } else { "allow" };
        Some((verdict, subnet))
    });
    let known: Vec<(&str, &Subnet)> = known.collect();
    if let [(verdict, _), (other, _)] = known[..]
        && verdict == other
    {
        return vec![verdict.to_owned()];
    }
    let line = |(verdict, subnet): (&str, &Subnet)| match subnet {
        Subnet::Everyone => verdict.to_owned(),
        Subnet::Name(name) => format!("{verdict} {name}"),
        Subnet::Prefix { address, length } if *length == Subnet::length_max(*address) => {
            format!("{verdict} {address}")
        }
        Subnet::Prefix { address, length } => format!("{verdict} {address}/{length}"),
    };
    known.into_iter().map(line).collect()
}

fn whom_covers(whom: &Whom) -> Option<Subnet> {
    match whom {
        Whom::Some(subnet) => Some(subnet.clone()),
        Whom::Everyone { .. } | Whom::Sources => None,
    }
}

impl Rules {
    /// Returns the rules with those that hold without being said.
    ///
    /// NTPsec adds what is said of all addresses to `noquery limited`. Where nothing is said, the rules are those that
    /// distributions ship. This host may ask for reports unless a rule for all addresses is there (NTPsec would need a
    /// line for that).
    pub(super) fn finish(self, diagnostics: &mut Diagnostics, lines: &mut [Explanation]) -> Restrictions {
        let mut given = self.given;
        let loopbacks: [(IpAddr, u8); 2] = [
            (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ];
        let everyone: [IpAddr; 2] = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        for ((all, address), (loopback, length)) in self.of_all.into_iter().zip(everyone).zip(loopbacks) {
            let mut flags = RestrictFlags {
                limited: true,
                noquery: true,
                kod: !self.is_any,
                nomodify: !self.is_any,
                ..RestrictFlags::default()
            };
            flags.set_all(all.added, true);
            flags.set_all(all.removed, false);
            given.change(&Subnet::Prefix { address, length: 0 }, false, |known| {
                *known = flags;
            });
            if !all.is_said {
                let loopback = Subnet::Prefix {
                    address: loopback,
                    length,
                };
                given.change(&loopback, false, |_| {});
            }
        }
        let restrictions = given.into_restrictions();
        if let Some(place) = self.frees_ipv6_loopback {
            let of = |address: IpAddr| restrictions.find(address, 0).map(|rule| rule.flags);
            let is_shut = |flags: RestrictFlags| flags.ignore || flags.noquery;
            let (ipv4, ipv6) = (of(Ipv4Addr::LOCALHOST.into()), of(Ipv6Addr::LOCALHOST.into()));
            if ipv4.is_some_and(is_shut) && !ipv6.is_some_and(is_shut) {
                diagnostics.push(Diagnostic {
                    message: "127.0.0.1 is ignored; ntpq over IPv4 will time out".to_owned(),
                    help: Some("add \"restrict 127.0.0.1\" if all of this host was meant".to_owned()),
                    ..place
                });
            }
        }
        // Of several lines about the same only their sum counts.
        let of_all_ports = restrictions.rules.iter().filter(|rule| !rule.ntp_port);
        let verdicts = of_all_ports
            .map(|rule| (&rule.subnet, is_shut_out(rule.flags)))
            .collect::<BTreeMap<_, _>>();
        let verdict = |subnet: &Subnet| verdicts.get(subnet).copied();
        for (index, subnets) in &self.told {
            if let Some(line) = lines.get_mut(*index)
                && !line.chrony.is_empty()
            {
                line.chrony = lines_of(subnets, verdict);
            }
        }
        restrictions
    }
}

/// Warns where kisses are asked for that nobody gets.
pub(super) fn check_kods(parser: &mut Parser, restrictions: &Restrictions) {
    let rules = restrictions.rules.iter();
    let vain = rules
        .filter(|rule| rule.flags.kod && !rule.flags.limited)
        .map(|rule| (&rule.subnet, rule.ntp_port))
        .collect::<BTreeSet<_>>();
    for (subnet, ntp_port, place) in std::mem::take(&mut parser.kods) {
        let Some(subnet) = subnet else { continue };
        if vain.contains(&(&subnet, ntp_port)) {
            parser.warn_later(
                place,
                "KOD does nothing without LIMITED.".to_owned(),
                "add limited",
            );
        }
    }
}

/// Reads `limit` and the classic `discard`.
pub(super) fn limit(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let is_classic = statement.directive.name == "discard";
    let mut limit = parser.config.server.rate_limit.unwrap_or(super::RATE_LIMIT);
    for at in (1..statement.len()).step_by(2) {
        match (statement.word(at), is_classic) {
            // Classic: log2 s between packets. NTPsec: packets per second.
            ("average", true) => {
                limit.interval = i8::try_from(statement.integer(at + 1, -19, 12)?).unwrap_or(0);
            }
            ("average", false) => {
                let rate = statement.number(at + 1, 1e-3, 1e5)?;
                let exponent = (-19_i8..=12).find(|exponent| 2f64.powi(-i32::from(*exponent)) <= rate * 1.42);
                limit.interval = exponent.unwrap_or(12);
                if integer(statement.word(at + 1)) != Some(1) {
                    statement.adapt("the rate is the nearest power of 2");
                }
            }
            ("burst", false) => {
                let burst = statement.number(at + 1, 1.0, 1e6)?;
                limit.burst = (1..=u8::MAX)
                    .rev()
                    .find(|fits| f64::from(*fits) <= burst)
                    .unwrap_or(1);
            }
            ("kod", false) => {
                let rate = statement.number(at + 1, 0.0, 1e6)?;
                limit.kod = if rate > 0.0 { super::RATE_LIMIT.kod } else { 0 };
            }
            ("minimum", true) => {
                let help = "who asks more often than average for long is not answered";
                statement.leave_out(at..at + 2, "minimum is left out".to_owned(), help);
            }
            ("monitor", true) => statement.idle(at),
            _ => return statement.unknown(at, "option", &["average", "burst", "kod", "minimum", "monitor"]),
        }
    }
    parser.config.server.rate_limit = Some(limit);
    statement.amounts_to(super::rate_limit_line(&limit));
    Ok(())
}
