//! Who asked how often: what `chronyc clients` shows and rate limits go by.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use conf::config::RateLimit;
use units::{Mono, rounding};

use super::rate_limit::{Bucket, Ruling};

/// How many records share one hash: a record has its place in one bucket.
const BUCKET: usize = 16;

/// The memory that a record and a pair of timestamps for the interleaved mode are counted with, bytes; the
/// same as chronyd's (observed: 4096 of each with 512 KiB).
pub(crate) const BYTES_PER_RECORD: usize = 128;

/// The shortest average interval that is told apart, log2 s (observed with chronyd 4.3).
const INTERVAL_MIN: f32 = -5.0;

/// The longest average interval that is told apart, log2 s: twelve days.
const INTERVAL_MAX: f32 = 20.0;

/// A client that asks so much sooner when it got nothing is not limited, log2: silence would only bring more
/// requests.
const SOONER: f32 = 0.5;

/// Of how many packets at once the score of a client becomes 1, and in how many seconds of silence it falls to a part of 1/e
/// (`limit burst` of ntpd, by default).
const SCORE_BURST: u8 = 20;

/// A packet that came, as far as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The port it came from.
    pub port: u16,
    /// The version of NTP in it in bits 3…5, and its mode below.
    pub version_and_mode: u8,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The time.
    Ntp,
    /// A key exchange for NTS.
    NtsKe,
    /// A command.
    Command,
}

/// Holds one record for each address that asked, as many as fit; then the one that was quiet longest goes.
///
/// Every answer is found in one bucket of 16 records, whatever the addresses are: which bucket depends on a
/// seed that nobody outside knows.
#[derive(Debug, Clone)]
pub struct ClientLog {
    records: Vec<Option<Record>>,
    most: usize,
    seed: u64,
    overwritten: u64,
    has_scores: bool,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    address: IpAddr,
    ntp: Asking,
    nts_ke: Asking,
    command: Asking,
    /// The average interval of NTP requests that follow one to which nothing was sent, log2 s.
    limited_interval: f32,
    /// Whether nothing was sent to the last NTP request.
    limited: bool,
    /// When it was first heard, whole seconds of the monotonic clock.
    first_s: u32,
    /// The last packet of NTP.
    arrival: Arrival,
    /// The score at the last packet of NTP, if scores are kept, in thousandths: there is room for no more.
    score: u16,
}

/// How one address uses one service.
#[derive(Debug, Clone, Copy)]
struct Asking {
    /// `Mono(i64::MIN)`: never.
    last: Mono,
    hits: u32,
    drops: u32,
    bucket: Bucket,
    /// The average interval, log2 s; not a number before there were two requests.
    interval: f32,
}

/// What is known about one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientReport {
    /// The address.
    pub address: IpAddr,
    /// How it asks for the time.
    pub ntp: ServiceReport,
    /// How it exchanges keys.
    pub nts_ke: ServiceReport,
    /// How it sends commands.
    pub command: ServiceReport,
    /// The average interval of NTP requests that follow one that was not answered, log2 s.
    pub ntp_limited_interval: Option<i8>,
}

/// How one address uses one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceReport {
    /// Requests.
    pub hits: u32,
    /// Of these, how many the rate limit left without what they asked for.
    pub drops: u32,
    /// The average interval, log2 s; `None` before there were two requests.
    pub interval: Option<i8>,
    /// How long ago the last request was, seconds; `None`: never.
    pub last_ago_s: Option<u32>,
}

/// One address that sent packets of NTP, as ntpd tells of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recent {
    /// The address.
    pub address: IpAddr,
    /// When its first packet came; of several it is the second before.
    pub first: Mono,
    /// When its last packet came.
    pub last: Mono,
    /// How many came.
    pub count: u32,
    /// How many of them the rate limit left without what they asked for.
    pub drops: u32,
    /// The last one.
    pub arrival: Arrival,
    /// How many there were each second when it came, as ntpd counts it; `None` where that is not kept.
    pub score: Option<f32>,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many places there are.
    pub places: usize,
    /// The first place that was not looked at.
    pub next: usize,
    /// What was found.
    pub clients: Vec<ClientReport>,
}

impl ClientLog {
    /// Returns an empty log that will take at most `limit_bytes`, together with as many pairs of timestamps for
    /// the interleaved mode, but has 16 places at least. `seed` must not be known outside.
    #[must_use]
    pub fn new(limit_bytes: u32, seed: u64) -> Self {
        let most = usize::try_from(limit_bytes).unwrap_or(usize::MAX) / BYTES_PER_RECORD;
        let most = most.checked_ilog2().map_or(0, |exponent| 1 << exponent);
        Self {
            records: vec![None; BUCKET],
            most: most.max(BUCKET),
            seed,
            overwritten: 0,
            has_scores: false,
        }
    }

    /// Returns the log with scores as ntpd has them.
    #[must_use]
    pub(crate) fn with_scores(mut self) -> Self {
        self.has_scores = true;
        self
    }

    /// Returns how many records there may be, and how many pairs of timestamps.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }

    /// Returns how many records were lost to others.
    #[must_use]
    pub const fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Returns all addresses that sent packets of NTP, the one that was quiet longest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Recent> {
        let heard = |record: &Record| record.ntp.last != Mono(i64::MIN);
        let mut recent: Vec<Recent> = self
            .records
            .iter()
            .flatten()
            .filter(|record| heard(record))
            .map(|record| Recent {
                address: record.address,
                first: if record.ntp.hits > 1 {
                    Mono::ZERO.plus_seconds(f64::from(record.first_s))
                } else {
                    record.ntp.last
                },
                last: record.ntp.last,
                count: record.ntp.hits,
                drops: record.ntp.drops,
                arrival: record.arrival,
                score: self.has_scores.then(|| f32::from(record.score) / 1e3),
            })
            .collect();
        recent.sort_unstable_by_key(|recent| (recent.last, recent.address));
        recent
    }

    /// Notes a request for the time as [`Self::note`] does, and what came with it.
    pub fn note_packet(
        &mut self,
        address: IpAddr,
        arrival: Arrival,
        now: Mono,
        limit: Option<&RateLimit>,
        random: u8,
    ) -> Ruling {
        let has_scores = self.has_scores;
        let Some(record) = self.record(address, now) else {
            return Ruling::Answer;
        };
        record.arrival = arrival;
        if has_scores {
            record.count_score(now, limit);
        }
        record.note(Service::Ntp, now, limit, random)
    }

    /// Notes a request and decides what becomes of it, with eight random bits.
    pub fn note(
        &mut self,
        address: IpAddr,
        service: Service,
        now: Mono,
        limit: Option<&RateLimit>,
        random: u8,
    ) -> Ruling {
        match self.record(address, now) {
            Some(record) => record.note(service, now, limit, random),
            None => Ruling::Answer,
        }
    }

    /// Returns the record of an address, a new one if there is none.
    fn record(&mut self, address: IpAddr, now: Mono) -> Option<&mut Record> {
        let place = self.place(address);
        let slot = self.records.get_mut(place)?;
        Some(slot.get_or_insert_with(|| Record::new(address, now)))
    }

    /// Reports on up to `count` clients from place `first` on, of those with at least `hits_min` requests to
    /// some service. With `reset` counting starts anew for every client that was looked at.
    pub fn page(&mut self, first: usize, count: usize, hits_min: u32, reset: bool, now: Mono) -> Page {
        let mut clients = Vec::new();
        let places = self.records.len();
        let mut next = first.min(places);
        for slot in self.records.iter_mut().skip(first) {
            if clients.len() >= count {
                break;
            }
            next += 1;
            let Some(record) = slot else { continue };
            if record.most_hits() >= hits_min {
                clients.push(record.report(now));
            }
            if reset {
                record.reset();
            }
        }
        Page {
            places,
            next,
            clients,
        }
    }

    /// Returns the place of the record of `address`: its own, or a free one, or that of somebody else who has
    /// to go and is gone.
    fn place(&mut self, address: IpAddr) -> usize {
        loop {
            let start = self.bucket(address);
            let bucket = &self.records[start..start + BUCKET];
            let is_own = |slot: &Option<Record>| slot.is_some_and(|record| record.address == address);
            if let Some(own) = bucket.iter().position(is_own) {
                return start + own;
            }
            if let Some(free) = bucket.iter().position(Option::is_none) {
                return start + free;
            }
            if self.records.len() < self.most {
                self.grow();
                continue;
            }
            let quiet = |slot: &Option<Record>| slot.map(|record| record.last());
            let longest = (0..BUCKET)
                .min_by_key(|&place| quiet(&bucket[place]))
                .unwrap_or(0);
            self.records[start + longest] = None;
            self.overwritten += 1;
            return start + longest;
        }
    }

    fn bucket(&self, address: IpAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, address).hash(&mut hasher);
        // The number of buckets is a power of two.
        let buckets = self.records.len() / BUCKET;
        let [.., low3, low2, low1, low0] = hasher.finish().to_be_bytes();
        let low = u32::from_be_bytes([low3, low2, low1, low0]);
        usize::try_from(low).unwrap_or(0) % buckets * BUCKET
    }

    /// Doubles the places. A bucket's records go to two buckets, so that each finds a place.
    fn grow(&mut self) {
        let places = self.records.len() * 2;
        let records = std::mem::replace(&mut self.records, vec![None; places]);
        for record in records.into_iter().flatten() {
            let start = self.bucket(record.address);
            let bucket = &mut self.records[start..start + BUCKET];
            if let Some(free) = bucket.iter_mut().find(|slot| slot.is_none()) {
                *free = Some(record);
            }
        }
    }
}

impl Record {
    fn new(address: IpAddr, now: Mono) -> Self {
        let never = Asking {
            last: Mono(i64::MIN),
            hits: 0,
            drops: 0,
            bucket: Bucket::default(),
            interval: f32::NAN,
        };
        Self {
            address,
            ntp: never,
            nts_ke: never,
            command: never,
            limited_interval: f32::NAN,
            limited: false,
            first_s: u32::try_from(now.saturating_since(Mono::ZERO).as_secs()).unwrap_or(u32::MAX),
            arrival: Arrival {
                port: 0,
                version_and_mode: 0,
            },
            score: 0,
        }
    }

    /// Brings one more packet into the score. Source: NTPsec's documentation of `limit`.
    fn count_score(&mut self, now: Mono, limit: Option<&RateLimit>) {
        let burst = f64::from(limit.map_or(SCORE_BURST, |limit| limit.burst.max(1)));
        let rest = match self.ntp.last {
            Mono(i64::MIN) => 0.0,
            last => (-now.seconds_since(last).max(0.0) / burst).exp(),
        };
        let score = f64::from(self.score) * rest + 1000.0 / burst;
        self.score = u16::try_from(rounding::nearest_i64(score)).unwrap_or(u16::MAX);
    }

    fn note(&mut self, service: Service, now: Mono, limit: Option<&RateLimit>, random: u8) -> Ruling {
        let asking = match service {
            Service::Ntp => &mut self.ntp,
            Service::NtsKe => &mut self.nts_ke,
            Service::Command => &mut self.command,
        };
        let elapsed_s = now.seconds_since(asking.last);
        if asking.last != Mono(i64::MIN) {
            if service == Service::Ntp && self.limited {
                average(&mut self.limited_interval, elapsed_s);
            } else {
                average(&mut asking.interval, elapsed_s);
            }
        }
        asking.last = now;
        asking.hits = asking.hits.saturating_add(1);
        let is_driven = service == Service::Ntp && self.limited_interval + SOONER < asking.interval;
        let ruling = match limit {
            Some(_) if is_driven => {
                asking.bucket.empty();
                Ruling::Answer
            }
            Some(limit) => asking.bucket.take(limit, elapsed_s, random),
            None => Ruling::Answer,
        };
        if ruling != Ruling::Answer {
            asking.drops = asking.drops.saturating_add(1);
        }
        if service == Service::Ntp {
            self.limited = ruling == Ruling::Drop;
        }
        ruling
    }

    fn last(&self) -> Mono {
        self.ntp.last.max(self.nts_ke.last).max(self.command.last)
    }

    fn most_hits(&self) -> u32 {
        self.ntp.hits.max(self.nts_ke.hits).max(self.command.hits)
    }

    fn reset(&mut self) {
        for asking in [&mut self.ntp, &mut self.nts_ke, &mut self.command] {
            (asking.hits, asking.drops) = (0, 0);
        }
    }

    fn report(&self, now: Mono) -> ClientReport {
        let service = |asking: &Asking| ServiceReport {
            hits: asking.hits,
            drops: asking.drops,
            interval: rounded(asking.interval),
            last_ago_s: (asking.last != Mono(i64::MIN)).then(|| {
                let seconds = now.saturating_since(asking.last).as_secs();
                u32::try_from(seconds).unwrap_or(u32::MAX - 1)
            }),
        };
        ClientReport {
            address: self.address,
            ntp: service(&self.ntp),
            nts_ke: service(&self.nts_ke),
            command: service(&self.command),
            ntp_limited_interval: rounded(self.limited_interval),
        }
    }
}

/// Brings one more interval into an average of logarithms, with half the weight.
fn average(average: &mut f32, interval_s: f64) {
    let new = single(interval_s.log2()).clamp(INTERVAL_MIN, INTERVAL_MAX);
    if average.is_nan() {
        *average = new;
    } else if !new.is_nan() {
        *average += (new - *average) / 2.0;
    }
}

fn rounded(interval: f32) -> Option<i8> {
    if interval.is_nan() {
        return None;
    }
    i8::try_from(rounding::nearest_i64(f64::from(interval))).ok()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the nearest float is what is wanted, of a logarithm that is shown as an integer"
)]
const fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    fn seconds(seconds: i64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn note(log: &mut ClientLog, number: u32, service: Service, now: Mono) {
        assert_eq!(log.note(address(number), service, now, None, 0), Ruling::Answer);
    }

    fn only(log: &mut ClientLog, number: u32, now: Mono) -> ClientReport {
        let page = log.page(0, usize::MAX, 0, false, now);
        let mut found = page
            .clients
            .into_iter()
            .filter(|client| client.address == address(number));
        found.next().unwrap()
    }

    #[test]
    fn a_record_is_as_small_as_promised() {
        let pair = 24;
        assert!(size_of::<Option<Record>>() + pair <= BYTES_PER_RECORD);
    }

    /// 300 addresses with `clientloglimit 16384` left chronyd 4.3 with 128 records and 172 lost.
    #[test]
    fn memory_is_bounded_as_chronyd_bounds_it() {
        let mut log = ClientLog::new(16_384, 1);
        assert_eq!(log.page(0, 9, 0, false, seconds(0)).places, 16);
        for number in 0..3000 {
            note(&mut log, number, Service::Ntp, seconds(i64::from(number)));
        }
        let page = log.page(0, usize::MAX, 0, false, seconds(3000));
        assert_eq!((page.places, page.next, page.clients.len()), (128, 128, 128));
        assert_eq!(log.overwritten(), 3000 - 128);
        assert!(page.clients.iter().any(|client| client.address == address(2999)));
        assert!(page.clients.iter().all(|client| client.address >= address(2000)));
        assert_eq!(ClientLog::new(524_288, 1).most(), 4096);
        assert_eq!(ClientLog::new(0, 1).most(), 16);
    }

    #[test]
    fn the_busy_stay() {
        let mut log = ClientLog::new(2048, 7);
        for number in 1..500u32 {
            let now = seconds(i64::from(number));
            note(&mut log, 0, Service::Command, now);
            note(&mut log, number, Service::Ntp, now);
        }
        assert_eq!(only(&mut log, 0, seconds(500)).command.hits, 499);
    }

    #[test]
    fn growing_loses_nobody() {
        let mut log = ClientLog::new(1 << 22, 3);
        for number in 0..2000 {
            note(&mut log, number, Service::Ntp, seconds(1));
        }
        assert_eq!(log.overwritten(), 0);
        let page = log.page(0, usize::MAX, 1, false, seconds(1));
        assert_eq!(page.clients.len(), 2000);
        assert!(page.clients.iter().all(|client| client.ntp.hits == 1));
    }

    #[test]
    fn intervals_are_averages_of_logarithms() {
        for (apart_ms, expected) in [(15, -5), (50, -4), (300, -2), (500, -1), (1000, 0), (64_000, 6)] {
            let mut log = ClientLog::new(16_384, 1);
            for request in 0..20 {
                note(
                    &mut log,
                    1,
                    Service::Ntp,
                    Mono::from_nanos(request * apart_ms * 1_000_000),
                );
            }
            let report = only(&mut log, 1, seconds(2000));
            assert_eq!(report.ntp.interval, Some(expected), "{apart_ms}");
            assert_eq!(
                (report.ntp_limited_interval, report.command.interval),
                (None, None)
            );
        }
    }

    #[test]
    fn requests_after_a_refusal_have_an_interval_of_their_own() {
        let mut log = ClientLog::new(16_384, 1);
        let limit = RateLimit::NTP;
        for request in 0..40 {
            let now = Mono::from_nanos(request * 500_000_000);
            log.note(address(1), Service::Ntp, now, Some(&limit), 0xff);
        }
        let report = only(&mut log, 1, seconds(20));
        assert_eq!(
            (report.ntp.interval, report.ntp_limited_interval),
            (Some(-1), Some(-1))
        );
        assert_eq!(
            (report.ntp.hits, report.ntp.drops, report.ntp.last_ago_s),
            (40, 30, Some(0))
        );
    }

    /// Asks until `end_s`, after an answer again in 32 s and after silence in `impatient_s`; returns the share of
    /// requests that are answered in the second half.
    fn share_answered(impatient_s: f64, end_s: f64) -> f64 {
        let mut log = ClientLog::new(16_384, 1);
        let limit = RateLimit {
            interval: 8,
            ..RateLimit::NTP
        };
        let (mut now_s, mut asked, mut answered) = (0.0, 0.0, 0.0);
        while now_s < end_s {
            let now = Mono::ZERO.plus_seconds(now_s);
            let ruling = log.note(address(1), Service::Ntp, now, Some(&limit), 0xff);
            if now_s > end_s / 2.0 {
                asked += 1.0;
                answered += f64::from(u8::from(ruling == Ruling::Answer));
            }
            now_s += if ruling == Ruling::Answer {
                32.0
            } else {
                impatient_s
            };
        }
        answered / asked
    }

    #[test]
    fn silence_does_not_make_a_client_ask_more() {
        let patient = share_answered(32.0, 50_000.0);
        assert!((patient - 32.0 / 256.0).abs() < 0.02, "{patient}");
        let impatient = share_answered(2.0, 50_000.0);
        assert!(impatient > 0.5, "{impatient}");
    }

    #[test]
    fn a_score_is_what_came_in_each_second_and_fades() {
        let mut log = ClientLog::new(16_384, 1).with_scores();
        let arrival = Arrival {
            port: 123,
            version_and_mode: 0x23,
        };
        let mut score_at = |second: i64, count: u32| {
            for _ in 0..count {
                log.note_packet(address(1), arrival, seconds(second), None, 0xff);
            }
            f64::from(log.recent()[0].score.unwrap())
        };
        let is_near = |score: f64, expected: f64| (score - expected).abs() < 1e-3;
        assert!(is_near(score_at(1, 1), 0.05));
        assert!(is_near(score_at(1, 19), 1.0));
        assert!(is_near(score_at(21, 1), (-1_f64).exp() + 0.05));
        // One each second in the end.
        let steady = (22..400).map(|second| score_at(second, 1)).last().unwrap();
        assert!((steady - 1.0).abs() < 0.05, "{steady}");
        let mut log = ClientLog::new(16_384, 1);
        log.note_packet(address(1), arrival, seconds(1), None, 0xff);
        assert_eq!(log.recent()[0].score, None);
    }

    #[test]
    fn pages_follow_each_other_and_reset_what_they_look_at() {
        let mut log = ClientLog::new(65_536, 5);
        for number in 0..40 {
            note(&mut log, number, Service::Ntp, seconds(1));
        }
        note(&mut log, 7, Service::NtsKe, seconds(2));
        note(&mut log, 7, Service::NtsKe, seconds(4));
        let mut seen = Vec::new();
        let mut next = 0;
        loop {
            let page = log.page(next, 8, 0, false, seconds(10));
            next = page.next;
            seen.extend(page.clients.iter().map(|client| client.address));
            if next >= page.places {
                break;
            }
            assert_eq!(page.clients.len(), 8);
        }
        seen.sort();
        assert_eq!(seen, (0..40).map(address).collect::<Vec<_>>());
        let busy = log.page(0, 8, 2, true, seconds(10));
        assert_eq!(busy.clients.len(), 1);
        let nts_ke = busy.clients[0].nts_ke;
        assert_eq!(
            (nts_ke.hits, nts_ke.interval, nts_ke.last_ago_s),
            (2, Some(1), Some(6))
        );
        assert_eq!(log.page(0, 99, 1, false, seconds(10)).clients, []);
        assert_eq!(log.page(9999, 8, 0, false, seconds(10)).clients, []);
    }
}
