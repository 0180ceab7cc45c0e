//! `server`, `pool` and `peer`, and the reference clocks among them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Parser;
use super::statement::{Refused, Statement, integer};
use crate::chrony::source_line;
use crate::config::{Family, Local, RefClock, RefClockDriver, SourceConfig, SourceKind, SourceName};
use crate::diagnostic::{Diagnostic, Severity};
use crate::explain::Fate;

/// The options of a source.
pub(super) const OPTIONS: [&str; 27] = [
    "aead", "ask", "autokey", "bias", "burst", "ca", "cert", "iburst", "ident", "key", "maxpoll", "minpoll",
    "mode", "noselect", "noval", "nts", "path", "ppspath", "preempt", "prefer", "require", "subtype", "true",
    "ttl", "version", "xleave", "xmtnonce",
];

/// The polling intervals that ntpd takes, log2 s.
const POLL: std::ops::RangeInclusive<i64> = 0..=17;

/// The stratum of the local clock as a reference clock (ntp.conf, driver 1).
const LOCAL_STRATUM: u8 = 5;

/// What `fudge` says of a reference clock.
#[derive(Debug, Clone, Default)]
pub(super) struct Fudge {
    offset_s: Option<f64>,
    stratum: Option<u8>,
    reference_id: Option<[u8; 4]>,
}

/// A reference clock that was named; it is made when all `fudge` lines are known.
#[derive(Debug, Clone)]
pub(super) struct NamedClock {
    address: (u8, u8),
    source: SourceConfig,
    fudge: Fudge,
    place: Place,
}

/// Where something is said of which more is known when the whole configuration has been read.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The place of the line among the explanations.
    pub(super) line: usize,
    /// A diagnostic for it, without a message.
    pub(super) diagnostic: Diagnostic,
}

impl Place {
    /// Remembers a word of the line at hand.
    pub(super) fn of(statement: &Statement<'_>, parser: &Parser, word: usize) -> Self {
        Self {
            line: parser.lines.len(),
            diagnostic: statement
                .line
                .diagnostic(Severity::Skipped, word, String::new(), ""),
        }
    }
}

/// Reads a line with a source.
pub(super) fn read(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let word = statement.directive.name;
    let mut at = 1;
    let family = match statement.word(at) {
        "-4" => Some(Family::V4),
        "-6" => Some(Family::V6),
        _ => None,
    };
    at += usize::from(family.is_some());
    let address = statement.word(at).to_owned();
    if address.is_empty() {
        return statement.refuse(at, format!("missing address after \"{word}\""), "");
    }
    let is_all_options = || {
        let rest = statement.line.words.get(at..).unwrap_or_default();
        rest.iter()
            .all(|word| OPTIONS.contains(&word.text.as_str()) || integer(&word.text).is_some())
    };
    if OPTIONS.contains(&address.as_str()) && is_all_options() {
        let message = format!("missing address after \"{word}\" (\"{address}\" is an option)");
        let help = format!(
            "ntpd takes {address} for the name of a host and looks it up for ever; write the address before {address}"
        );
        return statement.refuse(at, message, &help);
    }
    let kind = if word == "pool" {
        SourceKind::Pool
    } else {
        SourceKind::Server
    };
    if let Some(clock) = clock_address(&address) {
        let mut source = SourceConfig::new(kind, SourceName::Name(address));
        options(statement, at + 1, &mut source, true)?;
        parser.clocks.push(NamedClock {
            address: clock,
            source,
            fudge: Fudge::default(),
            place: Place::of(statement, parser, at),
        });
        return Ok(());
    }
    let name = source_name(statement, at, &address)?;
    let mut source = SourceConfig::new(kind, name);
    source.family = family;
    options(statement, at + 1, &mut source, false)?;
    if word == "peer" {
        let help = "as with NTPsec; a symmetric association is easily forged";
        statement.warn(0, "peer is treated as server".to_owned(), help);
    }
    if !parser.source_names.insert(source.name.clone()) {
        statement.warn(at, format!("Ignoring duplicate '{}'", source.name), "");
        return Ok(());
    }
    statement.amounts_to(source_line(&source));
    let place = Place::of(statement, parser, at);
    parser.source_places.push(place);
    parser.config.sources.push(source);
    Ok(())
}

/// Reads the address of a source.
fn source_name(statement: &mut Statement<'_>, at: usize, address: &str) -> Result<SourceName, Refused> {
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    let unusable = match bare.parse::<IpAddr>() {
        // A name, or an address with the interface behind it, which the resolver knows.
        Err(_) => return Ok(SourceName::Name(bare.to_owned())),
        Ok(ip) if ip.is_unspecified() => "no address of a host",
        Ok(ip) if ip.is_multicast() => "a multicast address",
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => "a link-local address without its interface",
        Ok(ip) => return Ok(SourceName::Address(ip)),
    };
    let message = format!("\"{address}\" is {unusable}");
    statement.refuse(at, message, "ntpd does not ask such an address either")
}

/// Reads the options from an index on.
fn options(
    statement: &mut Statement<'_>,
    from: usize,
    source: &mut SourceConfig,
    is_clock: bool,
) -> Result<(), Refused> {
    let mut at = from;
    let (mut min_poll, mut max_poll) = (None, None);
    while at < statement.len() {
        let option = statement.word(at).to_owned();
        let takes_value = !matches!(
            option.as_str(),
            "autokey"
                | "burst"
                | "iburst"
                | "noselect"
                | "noval"
                | "nts"
                | "preempt"
                | "prefer"
                | "true"
                | "xleave"
                | "xmtnonce"
        );
        if takes_value && OPTIONS.contains(&option.as_str()) && statement.word(at + 1).is_empty() {
            return statement.wrong_value(at + 1, "");
        }
        match option.as_str() {
            "iburst" => source.iburst = true,
            "burst" => {
                source.burst = true;
                if source.kind == SourceKind::Pool {
                    let help = "use it only with servers of your own";
                    statement.warn(at, "burst asks the servers of others too often".to_owned(), help);
                }
                statement.adapt("burst asks until one answer is good, 4 times at most");
            }
            "minpoll" => min_poll = Some(poll(statement, at + 1)?),
            "maxpoll" => max_poll = Some(poll(statement, at + 1)?),
            "prefer" => source.select.prefer = true,
            "noselect" => source.select.noselect = true,
            "true" => {
                source.select.trust = true;
                statement.adapt("true becomes trust: it is right whenever it disagrees with others");
            }
            "version" => source.version = u8::try_from(statement.integer(at + 1, 1, 4)?).ok(),
            "key" => source.key_id = u32::try_from(statement.integer(at + 1, 1, 65_534)?).ok(),
            "xleave" => source.interleaved = true,
            "bias" => source.offset_s = statement.number(at + 1, -1e9, 1e9)?,
            "nts" => {
                let help = "without it anybody could pass for the server; authenticate with key instead";
                let message = "nts is not supported".to_owned();
                return statement.refuse_as(Severity::Error, at, message, help);
            }
            "autokey" => {
                let help = "Autokey is broken, and without it anybody could pass for the server; authenticate with key";
                return statement.refuse(at, "autokey is not supported".to_owned(), help);
            }
            "mode" | "subtype" | "path" | "ppspath" if is_clock => statement.idle(at),
            "mode" | "subtype" | "path" | "ppspath" => {
                statement.warn(
                    at,
                    format!("{option} is for reference clocks"),
                    "ntpd ignores it too",
                );
            }
            "aead" | "ask" | "ca" | "cert" | "noval" | "require" | "preempt" | "ttl" | "ident" => {
                statement.idle(at);
            }
            // Requests never tell what time it is here.
            "xmtnonce" => statement.idle(at),
            _ => return statement.unknown(at, "option", &OPTIONS),
        }
        at += 1 + usize::from(takes_value);
    }
    source.min_poll = min_poll.unwrap_or(source.min_poll);
    source.max_poll = max_poll.unwrap_or(if is_clock {
        source.min_poll
    } else {
        source.max_poll
    });
    if source.max_poll < source.min_poll {
        let (min, max) = (source.min_poll, source.max_poll);
        let help = format!("the minpoll that holds is {min}");
        statement.warn(
            from,
            format!("maxpoll {max} is below minpoll {min}, which is taken for both"),
            &help,
        );
        source.max_poll = source.min_poll;
    }
    Ok(())
}

fn poll(statement: &mut Statement<'_>, word: usize) -> Result<i8, Refused> {
    let value = statement.integer(word, i64::from(i32::MIN), i64::from(i32::MAX))?;
    let taken = value.clamp(*POLL.start(), *POLL.end());
    if taken != value {
        let help = format!("ntpd takes {taken} instead, and so does timeballd");
        statement.warn(word, format!("{value} is no polling interval"), &help);
    }
    Ok(i8::try_from(taken).unwrap_or_default())
}

/// Reads `unpeer` and `unconfig`, the same.
pub(super) fn unpeer(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let address = statement.only_word("address")?;
    statement.adapt("it takes a source away, wherever that is named");
    let place = Place::of(statement, parser, 1);
    parser.unpeered.push((address, place));
    Ok(())
}

/// Takes those sources away that `unpeer` names. ntpd does so when it knows all of them, wherever the lines are.
pub(super) fn take_away(parser: &mut Parser) {
    // The lines of each source that is left.
    let mut left: BTreeMap<Unpeered, Vec<usize>> = BTreeMap::new();
    for (source, place) in parser.config.sources.iter().zip(&parser.source_places) {
        left.entry(Unpeered::source(&source.name))
            .or_default()
            .push(place.line);
    }
    for clock in &parser.clocks {
        left.entry(Unpeered::Clock(clock.address))
            .or_default()
            .push(clock.place.line);
    }
    let mut taken = BTreeSet::new();
    for (address, place) in std::mem::take(&mut parser.unpeered) {
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&address);
        let mut lines = left.remove(&Unpeered::named(bare)).unwrap_or_default();
        if let Some(clock) = clock_address(bare) {
            lines.extend(left.remove(&Unpeered::Clock(clock)).into_iter().flatten());
        }
        taken.extend(lines.iter().copied());
        if lines.is_empty() {
            let help = "ntpd takes none away either; a number is that of an association of a running daemon";
            parser.warn_later(place, format!("there is no source \"{address}\""), help);
        }
        for line in lines {
            if let Some(line) = parser.lines.get_mut(line) {
                line.fate = Fate::Ignored;
                line.chrony.clear();
                line.note = Some(format!("unpeer {address} takes it away"));
            }
        }
    }
    let sources = std::mem::take(&mut parser.config.sources);
    let places = std::mem::take(&mut parser.source_places);
    let kept = sources
        .into_iter()
        .zip(places)
        .filter(|(_, place)| !taken.contains(&place.line));
    (parser.config.sources, parser.source_places) = kept.unzip();
    parser.clocks.retain(|clock| !taken.contains(&clock.place.line));
}

/// What `unpeer` takes away.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Unpeered {
    Address(IpAddr),
    /// In small letters.
    Name(String),
    Clock((u8, u8)),
}

impl Unpeered {
    /// Returns what a source is, by its name.
    fn source(name: &SourceName) -> Self {
        match name {
            SourceName::Address(address) => Self::Address(*address),
            SourceName::Name(name) => Self::Name(name.to_ascii_lowercase()),
        }
    }

    /// Returns the source that is named so, which is no reference clock.
    fn named(text: &str) -> Self {
        match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::Name(text.to_ascii_lowercase()),
        }
    }
}

/// Reads the address of a reference clock, 127.127.TYPE.UNIT.
pub(in crate::ntp) fn clock_address(text: &str) -> Option<(u8, u8)> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => match address.octets() {
            [127, 127, kind, unit] => Some((kind, unit)),
            _ => None,
        },
        _ => None,
    }
}

/// Returns who may use a segment of shared memory: the first two are root's (ntp.conf, driver 28).
pub(in crate::ntp) const fn shared_memory_permissions(unit: i32) -> u32 {
    if unit < 2 { 0o600 } else { 0o666 }
}

/// Reads `fudge`.
pub(super) fn fudge(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let Some(address) = clock_address(statement.word(1)) else {
        return statement.refuse(
            1,
            "missing address of a reference clock after \"fudge\"".to_owned(),
            "it is 127.127.TYPE.UNIT",
        );
    };
    let mut fudge = parser.fudges.remove(&address).unwrap_or_default();
    let read = fudge_options(statement, 2, &mut fudge);
    parser.fudges.insert(address, fudge);
    statement.adapt("it tells of the reference clock at that address");
    read
}

fn fudge_options(statement: &mut Statement<'_>, from: usize, fudge: &mut Fudge) -> Result<(), Refused> {
    for at in (from..statement.len()).step_by(2) {
        let option = statement.word(at).to_owned();
        match option.as_str() {
            "time1" => fudge.offset_s = Some(statement.number(at + 1, -1e9, 1e9)?),
            "stratum" => fudge.stratum = u8::try_from(statement.integer(at + 1, 0, 15)?).ok(),
            "refid" => fudge.reference_id = Some(reference_id(statement, at + 1)?),
            "time2" | "flag1" | "flag2" | "flag3" | "flag4" | "abbrev" | "minjitter" => statement.idle(at),
            _ => {
                let known = [
                    "time1",
                    "time2",
                    "stratum",
                    "refid",
                    "flag1",
                    "flag2",
                    "flag3",
                    "flag4",
                    "minjitter",
                ];
                return statement.unknown(at, "option", &known);
            }
        }
    }
    Ok(())
}

/// Reads the first four bytes of a word, with zeros behind what is shorter.
fn reference_id(statement: &mut Statement<'_>, at: usize) -> Result<[u8; 4], Refused> {
    let text = statement.word(at);
    if text.is_empty() {
        return statement.wrong_value(at, "it has up to four characters");
    }
    let mut id = [0; 4];
    for (place, byte) in id.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    Ok(id)
}

/// Reads `refclock TYPE [unit N] …`.
pub(super) fn refclock(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    const TYPES: [(&str, u8); 10] = [
        ("local", 1),
        ("generic", 8),
        ("modem", 18),
        ("nmea", 20),
        ("pps", 22),
        ("hpgps", 26),
        ("shm", 28),
        ("oncore", 30),
        ("zyfer", 42),
        ("gpsd", 46),
    ];
    let kind = match TYPES.iter().find(|(name, _)| *name == statement.word(1)) {
        Some((_, kind)) => *kind,
        None => return statement.unknown(1, "type", &TYPES.map(|(name, _)| name)),
    };
    let mut unit = 0;
    let mut fudge = Fudge::default();
    let mut source = SourceConfig::new(SourceKind::Server, SourceName::Name(statement.word(1).to_owned()));
    let mut at = 2;
    while at < statement.len() {
        match statement.word(at) {
            "unit" => unit = u8::try_from(statement.integer(at + 1, 0, 255)?).unwrap_or_default(),
            "time1" => fudge.offset_s = Some(statement.number(at + 1, -1e9, 1e9)?),
            "stratum" => fudge.stratum = u8::try_from(statement.integer(at + 1, 0, 15)?).ok(),
            "refid" => fudge.reference_id = Some(reference_id(statement, at + 1)?),
            "minpoll" => source.min_poll = poll(statement, at + 1)?,
            "maxpoll" => source.max_poll = poll(statement, at + 1)?,
            "prefer" | "noselect" | "true" => {
                let select = &mut source.select;
                match statement.word(at) {
                    "prefer" => select.prefer = true,
                    "noselect" => select.noselect = true,
                    _ => select.trust = true,
                }
                at += 1;
                continue;
            }
            "time2" | "flag1" | "flag2" | "flag3" | "flag4" | "path" | "ppspath" | "baud" | "subtype"
            | "mode" => {
                statement.idle(at);
            }
            _ => return statement.unknown(at, "option", &OPTIONS),
        }
        at += 2;
    }
    parser.clocks.push(NamedClock {
        address: (kind, unit),
        source,
        fudge,
        place: Place::of(statement, parser, 1),
    });
    Ok(())
}

/// Makes the reference clocks that were named.
pub(super) fn make_clocks(parser: &mut Parser) {
    for clock in std::mem::take(&mut parser.clocks) {
        let (kind, unit) = clock.address;
        let fudge = parser.fudges.get(&clock.address).cloned().unwrap_or_default();
        let offset_s = clock.fudge.offset_s.or(fudge.offset_s).unwrap_or_default();
        let stratum = clock.fudge.stratum.or(fudge.stratum);
        let reference_id = clock.fudge.reference_id.or(fudge.reference_id);
        let chrony = match kind {
            1 => {
                let stratum = stratum.unwrap_or(LOCAL_STRATUM).max(1);
                let local = parser.config.local.unwrap_or_default();
                parser.config.local = Some(Local { stratum, ..local });
                format!("local stratum {stratum}")
            }
            28 => {
                let unit = i32::from(unit);
                let permissions = shared_memory_permissions(unit);
                let driver = RefClockDriver::SharedMemory { unit, permissions };
                let id = reference_id.unwrap_or(*b"SHM\0");
                let mut made = RefClock::new(driver, id);
                made.poll = clock.source.min_poll;
                made.offset_s = offset_s;
                made.stratum = stratum.unwrap_or_default();
                made.select = clock.source.select;
                let id = String::from_utf8_lossy(&id).trim_end_matches('\0').to_owned();
                let mut line = format!("refclock SHM {unit}:perm=0{permissions:o} poll {}", made.poll);
                if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()) {
                    line.push_str(&format!(" refid {id}"));
                }
                let select = made.select;
                for (is_set, option) in [
                    (offset_s != 0.0, format!(" offset {offset_s}")),
                    (made.stratum != 0, format!(" stratum {}", made.stratum)),
                    (select.prefer, " prefer".to_owned()),
                    (select.noselect, " noselect".to_owned()),
                    (select.trust, " trust".to_owned()),
                ] {
                    if is_set {
                        line.push_str(&option);
                    }
                }
                parser.config.ref_clocks.push(made);
                line
            }
            _ => {
                parser.refuse_later(
                    clock.place,
                    format!("refclock type {kind} not supported"),
                    "timeballd takes the shared memory of another program (type 28) and the local clock (type 1)",
                );
                continue;
            }
        };
        if let Some(line) = parser.lines.get_mut(clock.place.line) {
            line.chrony = vec![chrony];
        }
    }
}
