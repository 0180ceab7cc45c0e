//! Who asked lately (`ntpq -c mrulist`), and the nonce without which nobody is told.
//!
//! The list is long and the question short, so that whoever asks has to show first that he gets what is sent to his
//! address: he brings back a nonce that was sent there. Source: RFC 9327 does not have it; observed with NTPsec 1.2.2.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;

use units::{Mono, NtpTimestamp};
use wire::mode6::{DATA_LENGTH_MAX, ErrorCode, FRAGMENTS_MAX, Value, Variable, Variables};

use super::Answer;
use crate::Engine;
use crate::io::Now;
use crate::server::client_log::{BYTES_PER_RECORD, Recent};

/// How long a nonce can be used, seconds.
const NONCE_S: f64 = 16.0;

/// The largest number of datagrams that may be asked for.
const FRAGMENTS_ASKED_MAX: usize = 128;

/// The largest number of rows that may be asked for.
const ROWS_ASKED_MAX: usize = 256;

/// The room that the end of an answer takes, bytes.
const END_LENGTH: usize = 120;

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
struct Query {
    nonce: String,
    /// The datagrams that the answer may have.
    fragments: Option<usize>,
    /// The rows that it may have.
    rows: Option<usize>,
    /// The least number of packets of a row.
    count_min: u32,
    /// The least number of those that the rate limit left without an answer.
    drops_min: u32,
    /// The least score.
    score_min: Option<f32>,
    /// What the sender may not do, in ntpd's bits: all of these …
    flags_all: u32,
    /// … and one of these, if there are any.
    flags_any: u32,
    /// The rows are chosen by something that is not kept about them.
    is_unanswerable: bool,
    /// Only so many of the newest rows.
    recent: Option<usize>,
    /// The longest time since the last packet, seconds.
    quiet_max_s: Option<f64>,
    /// The shortest, seconds.
    quiet_min_s: Option<f64>,
    /// The newest rows that the client has, the newest first: addresses, and when they were heard last.
    known: Vec<(usize, Option<SocketAddr>, Option<NtpTimestamp>)>,
}

impl Query {
    /// Reads it; `None` where a part of it makes no sense, and for parts that are not known.
    fn parse(data: &[u8]) -> Option<Self> {
        let mut query = Self::default();
        for (name, value) in Variables::new(data) {
            match name {
                "nonce" => query.nonce = value.to_owned(),
                "frags" => query.fragments = Some(value.parse().ok()?),
                "limit" => query.rows = Some(value.parse().ok()?),
                "mincount" => query.count_min = value.parse().ok()?,
                "mindrop" => query.drops_min = value.parse().ok()?,
                "resall" => query.flags_all = flags(value)?,
                "resany" => query.flags_any = flags(value)?,
                "minscore" => query.score_min = Some(value.parse().ok()?),
                // At which of our addresses a packet came is not kept.
                "laddr" => query.is_unanswerable = true,
                "recent" => query.recent = Some(value.parse().ok()?),
                "maxlstint" => query.quiet_max_s = Some(f64::from(value.parse::<u32>().ok()?)),
                "minlstint" => query.quiet_min_s = Some(f64::from(value.parse::<u32>().ok()?)),
                _ => {
                    let (kind, place) = name.split_once('.')?;
                    let place = place.parse().ok().filter(|place| *place < ROWS_ASKED_MAX)?;
                    let at = query.known.iter().position(|known| known.0 == place);
                    let at = at.unwrap_or_else(|| {
                        query.known.push((place, None, None));
                        query.known.len() - 1
                    });
                    match kind {
                        "addr" => query.known[at].1 = Some(value.parse().ok()?),
                        "last" => query.known[at].2 = Some(timestamp(value)?),
                        _ => return None,
                    }
                }
            }
        }
        query.known.sort_by_key(|known| known.0);
        Some(query)
    }
}

/// Reads bits as `ntpq` writes them: `0x20`, or decimal.
fn flags(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Reads a timestamp as [`Value::Timestamp`] writes it.
fn timestamp(text: &str) -> Option<NtpTimestamp> {
    let (seconds, fraction) = text.strip_prefix("0x")?.split_once('.')?;
    let seconds = u32::from_str_radix(seconds, 16).ok()?;
    Some(NtpTimestamp::from_parts(
        seconds,
        u32::from_str_radix(fraction, 16).ok()?,
    ))
}

impl Engine {
    /// A new nonce for who asks from this address.
    pub(super) fn nonce_answer(&self, now: Now, from: SocketAddr) -> Answer {
        let nonce = self.nonce(now.mono, from);
        let variables = [Variable::new("nonce", Value::Word(nonce))];
        Answer {
            status: 0,
            data: Variable::write(&variables, &[]).unwrap_or_default(),
        }
    }

    /// The list from the row on that the client has not; `None` if nothing is to be answered.
    pub(super) fn mru_answer(
        &self,
        now: Now,
        from: SocketAddr,
        data: &[u8],
    ) -> Option<Result<Answer, ErrorCode>> {
        let query = Query::parse(data)?;
        self.is_nonce(now.mono, from, &query.nonce)
            .then(|| self.mru(now, from, &query))
    }

    fn mru(&self, now: Now, from: SocketAddr, query: &Query) -> Result<Answer, ErrorCode> {
        let in_range =
            |value: Option<usize>, most: usize| value.is_none_or(|value| (1..=most).contains(&value));
        let is_limited = query.fragments.is_some() || query.rows.is_some();
        if query.is_unanswerable
            || !is_limited
            || !in_range(query.fragments, FRAGMENTS_ASKED_MAX)
            || !in_range(query.rows, ROWS_ASKED_MAX)
        {
            return Err(ErrorCode::BadValue);
        }
        let log = self.server.log();
        let mut rows = log.map_or_else(Vec::new, |log| log.recent());
        let newest = rows.last().copied();
        let quiet_s = |row: &Recent| now.mono.seconds_since(row.last);
        rows.retain(|row| {
            let may_not = || self.flags_of(row);
            row.count >= query.count_min
                && row.drops >= query.drops_min
                && query
                    .score_min
                    .is_none_or(|least| row.score.is_some_and(|score| score >= least))
                && (query.flags_all == 0 || may_not() & query.flags_all == query.flags_all)
                && (query.flags_any == 0 || may_not() & query.flags_any != 0)
                && query.quiet_max_s.is_none_or(|most| quiet_s(row) <= most)
                && query.quiet_min_s.is_none_or(|least| quiet_s(row) >= least)
        });
        if let Some(recent) = query.recent {
            rows.drain(..rows.len().saturating_sub(recent));
        }
        let mut variables = vec![Variable::new("nonce", Value::Word(self.nonce(now.mono, from)))];
        let mut begin = 0;
        if !query.known.is_empty() {
            let place = query.known.iter().find_map(|(_, address, last)| {
                rows.iter()
                    .position(|row| Some(endpoint(row)) == *address && Some(self.heard(row.last)) == *last)
            });
            // Everything that the client has was heard again since: it has to begin anew.
            let place = place.ok_or(ErrorCode::UnknownVariable)?;
            variables.push(Variable::new(
                "last.older",
                Value::Timestamp(self.heard(rows[place].last)),
            ));
            variables.push(Variable::new(
                "addr.older",
                Value::Word(endpoint(&rows[place]).to_string()),
            ));
            begin = place + 1;
        }
        let fragments = query.fragments.unwrap_or(FRAGMENTS_MAX).min(FRAGMENTS_MAX);
        let room = (fragments * DATA_LENGTH_MAX).saturating_sub(END_LENGTH);
        let mut length: usize = variables.iter().map(length_of).sum();
        let mut written = 0;
        for (number, row) in rows.iter().skip(begin).enumerate() {
            let row = self.row(number, row);
            length += row.iter().map(length_of).sum::<usize>();
            if query.rows.is_some_and(|most| number >= most) || length > room {
                break;
            }
            variables.extend(row);
            written += 1;
        }
        if begin + written == rows.len() {
            variables.push(Variable::new("now", Value::Timestamp(now.wall.to_ntp())));
            let newest = newest.map_or(NtpTimestamp::ZERO, |row| self.heard(row.last));
            variables.push(Variable::new("last.newest", Value::Timestamp(newest)));
        }
        Ok(Answer {
            status: 0,
            data: Variable::write(&variables, &[]).unwrap_or_default(),
        })
    }

    fn row(&self, number: usize, row: &Recent) -> Vec<Variable> {
        let score = row.score.map(|score| ("sc", Value::Fixed3(score.into())));
        let always = [
            ("addr", Value::Word(endpoint(row).to_string())),
            ("last", Value::Timestamp(self.heard(row.last))),
            ("first", Value::Timestamp(self.heard(row.first))),
            ("ct", Value::Unsigned(row.count.into())),
            ("mv", Value::Unsigned(row.arrival.version_and_mode.into())),
            ("rs", Value::Hex(self.flags_of(row))),
            ("dr", Value::Unsigned(row.drops.into())),
        ];
        let all = always.into_iter().chain(score);
        all.map(|(name, value)| Variable::new(&format!("{name}.{number}"), value))
            .collect()
    }

    /// What the sender may not do, in ntpd's bits.
    fn flags_of(&self, row: &Recent) -> u32 {
        let Some(restrictions) = &self.server.restrictions else {
            return 0;
        };
        let flags = restrictions.flags(row.address, row.arrival.port, self.is_source_of_rule(row.address));
        [
            (flags.ignore, 0x1),
            (flags.noserve, 0x2),
            (flags.notrust, 0x4),
            (flags.version, 0x8),
            (flags.limited, 0x20),
            (flags.noquery, 0x40),
            (flags.nomodify, 0x80),
            (flags.kod, 0x400),
            (flags.flake, 0x1000),
            (flags.nomrulist, 0x2000),
        ]
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, bit)| bit)
        .sum()
    }

    /// When a packet was heard, on the system clock as it goes now.
    fn heard(&self, at: Mono) -> NtpTimestamp {
        self.timeline.wall(at).to_ntp()
    }

    /// The nonce of this moment for an address: the time, and a code over it that nobody else can make.
    pub(super) fn nonce(&self, at: Mono, from: SocketAddr) -> String {
        let mut hasher = DefaultHasher::new();
        (self.mode6.secret, at.as_nanos(), from).hash(&mut hasher);
        format!("{:016x}{:016x}", at.as_nanos(), hasher.finish())
    }

    fn is_nonce(&self, now: Mono, from: SocketAddr, nonce: &str) -> bool {
        let Some(at) = nonce
            .get(..16)
            .and_then(|time| i64::from_str_radix(time, 16).ok())
        else {
            return false;
        };
        let at = Mono::from_nanos(at);
        let age_s = now.seconds_since(at);
        (0.0..=NONCE_S).contains(&age_s) && self.nonce(at, from) == nonce
    }

    /// Counts about the list, as `monstats` asks for them.
    pub(super) fn mru_counters(&self, now: Mono) -> Vec<Variable> {
        let log = self.server.log();
        let rows = log.map_or_else(Vec::new, |log| log.recent());
        let depth = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let most = log.map_or(0, |log| u64::try_from(log.most()).unwrap_or(u64::MAX));
        let overwritten = log.map_or(0, |log| log.overwritten());
        let kilobytes = |records: usize| u64::try_from(records * BYTES_PER_RECORD / 1024).unwrap_or(u64::MAX);
        let oldest_s = rows
            .first()
            .map_or(0, |row| now.saturating_since(row.last).as_secs());
        let packets = rows.iter().map(|row| u64::from(row.count)).sum::<u64>();
        [
            ("mru_enabled", log.is_some().into()),
            ("mru_hashslots", most),
            ("mru_depth", depth),
            // A record only ever makes room for another.
            ("mru_deepest", depth),
            ("mru_maxdepth", most),
            ("mru_mindepth", most),
            ("mru_maxage", 0),
            ("mru_minage", 0),
            ("mru_mem", kilobytes(rows.len())),
            ("mru_maxmem", kilobytes(log.map_or(0, |log| log.most()))),
            ("mru_exists", packets.saturating_sub(depth)),
            ("mru_new", depth + overwritten),
            ("mru_recycleold", overwritten),
            ("mru_recyclefull", 0),
            ("mru_none", 0),
            ("mru_oldest_age", oldest_s),
        ]
        .into_iter()
        .map(|(name, count)| Variable::unlisted(name, Value::Unsigned(count)))
        .collect()
    }
}

/// The room that a variable takes at most, with what divides it from the next, bytes.
fn length_of(variable: &Variable) -> usize {
    variable.name.len() + 1 + variable.value.to_string().len() + 3
}

/// The address with the port of the last packet.
fn endpoint(row: &Recent) -> SocketAddr {
    SocketAddr::new(row.address, row.arrival.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_taken_as_ntpq_writes_them() {
        let query = Query::parse(
            b"nonce=0011, frags=32, mincount=3, addr.1=192.0.2.1:123, last.1=0xeeaa98b7.686381b5, \
              addr.0=[2001:db8::1]:40000, last.0=0xeeaa98b8.00000001",
        )
        .unwrap();
        assert_eq!(
            (query.nonce.as_str(), query.fragments, query.count_min),
            ("0011", Some(32), 3)
        );
        let address = |text: &str| Some(text.parse().unwrap());
        let time = |seconds, fraction| Some(NtpTimestamp::from_parts(seconds, fraction));
        assert_eq!(
            query.known,
            [
                (0, address("[2001:db8::1]:40000"), time(0xeeaa_98b8, 1)),
                (1, address("192.0.2.1:123"), time(0xeeaa_98b7, 0x6863_81b5)),
            ]
        );
        let query =
            Query::parse(b"mindrop=2, minscore=0.5, resall=0x21, resany=32, laddr=127.0.0.1").unwrap();
        assert_eq!(
            (
                query.drops_min,
                query.score_min,
                query.flags_all,
                query.flags_any,
                query.is_unanswerable
            ),
            (2, Some(0.5), 0x21, 0x20, true)
        );
        for wrong in [
            "frags=x",
            "resall=0y",
            "mindrop=-1",
            "minscore=much",
            "addr.0=192.0.2.1",
            "last.0=12",
            "addr.999=192.0.2.1:1",
            "what=1",
            "addr=1",
        ] {
            assert_eq!(Query::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
