//! A natural logarithm without branches and tables, so that compilers can take several at once.

/// The bits of √½: the mantissa is taken between this and √2.
const ROOT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcd;

/// Added to an exponent it makes it positive.
const BIAS: u64 = 1024;

/// The bits of an `f64`'s exponent and sign.
const EXPONENT_MASK: u64 = 0xfff0_0000_0000_0000;

/// The bits of 2^52: an integer below that in place of the mantissa is added to it.
const TWO_52_BITS: u64 = 0x4330_0000_0000_0000;

/// 2^52 and [`BIAS`], which are to be taken off again.
const TWO_52_AND_BIAS: f64 = 4_503_599_627_371_520.0;

/// The natural logarithm of a positive number that is not subnormal, with an error below 1e-12.
#[inline(always)]
pub(super) fn ln(value: f64) -> f64 {
    let shifted = value.to_bits().wrapping_sub(ROOT_HALF_BITS);
    let exponent = f64::from_bits(TWO_52_BITS | (shifted.wrapping_add(BIAS << 52) >> 52)) - TWO_52_AND_BIAS;
    let mantissa = f64::from_bits(value.to_bits().wrapping_sub(shifted & EXPONENT_MASK));
    // ln m = 2 artanh((m − 1) / (m + 1)), whose series converges fast so near to 1.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = [
        1.0 / 13.0,
        1.0 / 11.0,
        1.0 / 9.0,
        1.0 / 7.0,
        1.0 / 5.0,
        1.0 / 3.0,
        1.0,
    ]
    .into_iter()
    .fold(1.0 / 15.0, |sum, coefficient| sum * square + coefficient);
    exponent * std::f64::consts::LN_2 + 2.0 * ratio * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_logarithm() {
        let mut value = 1e-300;
        while value < 1e300 {
            let error = ln(value) - value.ln();
            assert!(error.abs() < 1e-12, "{value}: {error}");
            value *= 1.000_7;
        }
        for value in [
            1.0,
            2.0,
            0.5,
            f64::MIN_POSITIVE,
            f64::MAX,
            0.5_f64.sqrt(),
            2.0_f64.sqrt(),
        ] {
            assert!((ln(value) - value.ln()).abs() < 1e-12, "{value}");
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
