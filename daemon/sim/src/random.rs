//! Chance that can be repeated: the same seed gives the same numbers on every machine.

use units::rounding::f64_from_i64;

/// A stream of random numbers (xoshiro256++, seeded by splitmix64).
#[derive(Debug, Clone, PartialEq)]
pub struct Random {
    state: [u64; 4],
    /// Normal variates come in pairs.
    spare: Option<f64>,
}

impl Random {
    /// The stream of this name in the world of this seed. Streams of other names are independent of it, so that an
    /// oscillator does not change when a packet more is sent.
    pub fn stream(seed: u64, name: &str) -> Self {
        let mut key = seed ^ 0x6a09_e667_f3bc_c908;
        for byte in name.bytes() {
            key = split_mix(&mut key) ^ u64::from(byte);
        }
        let state = [
            split_mix(&mut key),
            split_mix(&mut key),
            split_mix(&mut key),
            split_mix(&mut key),
        ];
        Self { state, spare: None }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number from 0 up to but without 1.
    pub fn uniform(&mut self) -> f64 {
        let bits = i64::try_from(self.bits() >> 11).unwrap_or(0);
        f64_from_i64(bits) * (-53.0_f64).exp2()
    }

    /// A number between these two.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// +1 or −1.
    pub fn sign(&mut self) -> f64 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// A normal variate of mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (2.0 * self.exponential()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// An exponential variate of mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// A gamma variate of mean `shape` (Marsaglia and Tsang, 2000); the shape is at least 1.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape.max(1.0) - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 100,000 variates.
    fn moments(mut draw: impl FnMut(&mut Random) -> f64) -> (f64, f64) {
        let mut random = Random::stream(7, "moments");
        let values: Vec<f64> = (0..100_000).map(|_| draw(&mut random)).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        (
            mean,
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1e5,
        )
    }

    #[track_caller]
    fn check((mean, variance): (f64, f64), expected_mean: f64, expected_variance: f64) {
        assert!(
            (mean - expected_mean).abs() < 0.02 * expected_mean.max(1.0),
            "mean {mean}"
        );
        assert!(
            (variance / expected_variance - 1.0).abs() < 0.05,
            "variance {variance}"
        );
    }

    #[test]
    fn variates_have_their_moments() {
        check(moments(Random::uniform), 0.5, 1.0 / 12.0);
        check(moments(Random::normal), 0.0, 1.0);
        check(moments(Random::exponential), 1.0, 1.0);
        check(moments(|random| random.gamma(3.5)), 3.5, 3.5);
        check(moments(Random::sign), 0.0, 1.0);
    }

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, name| Random::stream(seed, name).bits();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }
}
