//! Named conversions between floating point and integers: every one says what happens to what does not fit.
//!
//! They are the only places in this crate where a cast may lose something. Not-a-number becomes zero unless a
//! function says otherwise.

/// Returns the integer nearest to `value`, halves away from zero; saturates, and gives 0 for not-a-number.
#[must_use]
pub fn nearest_i64(value: f64) -> i64 {
    // What is left is exact: above 2^52 there is none. `f64::round` is a call where the processor need not have SSE4.1.
    let whole = toward_zero(value);
    let rest = value - f64_from_i64(whole);
    whole.saturating_add(i64::from(rest >= 0.5) - i64::from(rest <= -0.5))
}

/// Returns `value` without its fraction; saturates, and gives 0 for not-a-number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast of a float to an integer leaves out the fraction and saturates, which is what the name promises"
)]
fn toward_zero(value: f64) -> i64 {
    value as i64
}

/// Returns the smallest `u32` that is not below `value`; 0 below zero, `u32::MAX` above the range.
///
/// Not-a-number gives `u32::MAX`: this rounds bounds, and an unknown bound must not look like a small one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast of a float to an integer leaves out the fraction and saturates, which is what the name promises"
)]
#[must_use]
pub fn up_u32(value: f64) -> u32 {
    if value.is_nan() {
        return u32::MAX;
    }
    let whole = value as u32;
    whole.saturating_add(u32::from(f64::from(whole) < value))
}

/// Returns the largest integer that is not above `value`; saturates, and gives 0 for not-a-number.
#[must_use]
pub fn down_i64(value: f64) -> i64 {
    let whole = toward_zero(value);
    whole.saturating_sub(i64::from(f64_from_i64(whole) > value))
}

/// Returns the float nearest to `value`: exact up to 2^53, then with a relative error of at most 2^-53.
#[expect(
    clippy::cast_precision_loss,
    reason = "the nearest float is what the name promises"
)]
#[must_use]
pub const fn f64_from_i64(value: i64) -> f64 {
    value as f64
}

/// Returns the low 32 bits of `value`: NTP's seconds, which go round every 2^32.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the low bits in two's complement are what the name promises"
)]
#[must_use]
pub const fn low_u32(value: i64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_saturates() {
        assert_eq!(nearest_i64(1e300), i64::MAX);
        assert_eq!(nearest_i64(f64::NEG_INFINITY), i64::MIN);
        assert_eq!(down_i64(-1e300), i64::MIN);
        assert_eq!((up_u32(-3.0), up_u32(1e10)), (0, u32::MAX));
    }

    #[test]
    fn the_nearest_is_that_of_the_standard_library() {
        let mut bits = 1_u64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let any = f64::from_bits(bits);
            let usual =
                f64_from_i64(low_u32(i64::from_ne_bytes(bits.to_ne_bytes())).into()) / 65536.0 - 32768.0;
            for value in [
                any,
                usual,
                usual.trunc() + 0.5,
                usual.trunc() - 0.5,
                0.5_f64.next_down(),
            ] {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it saturates there too"
                )]
                let (nearest, down, up) = (value.round() as i64, value.floor() as i64, value.ceil() as u32);
                assert_eq!(
                    (nearest_i64(value), down_i64(value)),
                    (nearest, down),
                    "{value:e}"
                );
                assert!(value.is_nan() || up_u32(value) == up, "{value:e}");
            }
        }
    }

    #[test]
    fn not_a_number_is_zero_but_for_bounds() {
        assert_eq!((nearest_i64(f64::NAN), down_i64(f64::NAN)), (0, 0));
        assert_eq!(up_u32(f64::NAN), u32::MAX);
    }

    #[test]
    fn directions_are_as_named() {
        assert_eq!((nearest_i64(-2.5), nearest_i64(2.4)), (-3, 2));
        assert_eq!((down_i64(-2.1), down_i64(2.9)), (-3, 2));
        assert_eq!((up_u32(2.000_001), up_u32(2.0)), (3, 2));
        assert_eq!((low_u32(-1), low_u32((1 << 32) + 5)), (u32::MAX, 5));
    }
}
