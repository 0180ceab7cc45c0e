//! How often one client is answered.

use conf::config::RateLimit;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It is answered.
    Answer,
    /// It is answered with the kiss code RATE.
    Kiss,
    /// Nothing is sent.
    Drop,
}

/// The answers a client may still have at once: a bucket that time fills.
///
/// It holds `burst` answers and fills at one in 2^`interval` seconds; every answer takes one. When less than one
/// is left, one request of 2^`leak` on average is answered all the same, so that a client behind an attacker
/// that uses its address is not cut off, and of the others one of 2^`kod` gets a kiss. Such an answer takes what
/// is left, so that the next one by right comes a whole interval later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Answers left, not a number for a client that never asked: its bucket is full.
    answers: f32,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { answers: f32::NAN }
    }
}

impl Bucket {
    /// Decides on one request that comes `elapsed_s` after the previous one, with eight random bits.
    pub fn take(&mut self, limit: &RateLimit, elapsed_s: f64, random: u8) -> Ruling {
        let full = f32::from(limit.burst);
        let refill = single(elapsed_s.max(0.0) / 2f64.powi(i32::from(limit.interval)));
        // The smaller of a number and not-a-number is the number.
        self.answers = (self.answers + refill).min(full);
        if self.answers >= 1.0 {
            self.answers -= 1.0;
            return Ruling::Answer;
        }
        let (leak_bits, kiss_bits) = (random & 15, random >> 4);
        if one_in(limit.leak, leak_bits) {
            self.empty();
            Ruling::Answer
        } else if limit.kod > 0 && one_in(limit.kod, kiss_bits) {
            Ruling::Kiss
        } else {
            Ruling::Drop
        }
    }

    /// Takes what is left.
    pub fn empty(&mut self) {
        self.answers = 0.0;
    }
}

/// Reports whether the low `exponent` bits (at most four) are all zero.
fn one_in(exponent: u8, random: u8) -> bool {
    random & ((1 << exponent.min(4)) - 1) == 0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the nearest float is what is wanted: the bucket holds at most 255, to a few parts in 10^7"
)]
const fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit::NTP;
    /// Bits by which neither leak nor kiss happens.
    const UNLUCKY: u8 = 0xff;

    fn answered(bucket: &mut Bucket, limit: &RateLimit, requests: usize, apart_s: f64) -> usize {
        let rulings = (0..requests).map(|_| bucket.take(limit, apart_s, UNLUCKY));
        rulings.filter(|&ruling| ruling == Ruling::Answer).count()
    }

    #[test]
    fn a_burst_is_answered_and_then_one_per_interval() {
        let mut bucket = Bucket::default();
        assert_eq!(answered(&mut bucket, &LIMIT, 20, 0.0), 8);
        assert_eq!(bucket.take(&LIMIT, 7.9, UNLUCKY), Ruling::Drop);
        assert_eq!(bucket.take(&LIMIT, 0.2, UNLUCKY), Ruling::Answer);
        assert_eq!(answered(&mut bucket, &LIMIT, 50, 8.0), 50);
        assert_eq!(answered(&mut bucket, &LIMIT, 1, 1e9), 1);
        assert_eq!(answered(&mut bucket, &LIMIT, 20, 0.0), 7);
    }

    #[test]
    fn short_and_long_intervals_work() {
        for interval in -19..=12 {
            let limit = RateLimit { interval, ..LIMIT };
            let apart = 2f64.powi(i32::from(interval));
            let mut bucket = Bucket::default();
            assert_eq!(answered(&mut bucket, &limit, 8, 0.0), 8);
            let answered = answered(&mut bucket, &limit, 1000, apart / 10.0);
            assert!((99..=101).contains(&answered), "{interval}: {answered}");
        }
    }

    #[test]
    fn leaks_and_kisses_are_as_rare_as_asked_for() {
        for leak in 1..=4u8 {
            for kod in 0..=4u8 {
                let limit = RateLimit { leak, kod, ..LIMIT };
                let mut bucket = Bucket::default();
                answered(&mut bucket, &limit, 8, 0.0);
                let rulings: Vec<_> = (0..=255).map(|random| bucket.take(&limit, 0.0, random)).collect();
                let count = |wanted| rulings.iter().filter(|&&ruling| ruling == wanted).count();
                let leaked = 256 >> leak;
                assert_eq!(count(Ruling::Answer), leaked);
                let kissed = if kod == 0 { 0 } else { (256 - leaked) >> kod };
                assert_eq!(count(Ruling::Kiss), kissed);
            }
        }
    }

    #[test]
    fn an_answer_by_luck_takes_what_is_left() {
        let mut bucket = Bucket::default();
        answered(&mut bucket, &LIMIT, 8, 0.0);
        assert_eq!(bucket.take(&LIMIT, 7.0, 0), Ruling::Answer);
        assert_eq!(bucket.take(&LIMIT, 7.9, UNLUCKY), Ruling::Drop);
        assert_eq!(bucket.take(&LIMIT, 0.2, UNLUCKY), Ruling::Answer);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::default();
        assert_eq!(answered(&mut bucket, &LIMIT, 8, -5.0), 8);
        assert_eq!(bucket.take(&LIMIT, -1e9, UNLUCKY), Ruling::Drop);
        assert_eq!(bucket.take(&LIMIT, f64::NAN, UNLUCKY), Ruling::Drop);
    }
}
