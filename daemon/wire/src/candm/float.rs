//! The protocol's 32-bit floating point number.

/// Bits of the two's-complement coefficient; the exponent has the 7 bits above them.
const COEFFICIENT_BITS: u32 = 25;

/// The smallest and largest exponent, 7 bits in two's complement.
const EXPONENT_MIN: i32 = -64;
const EXPONENT_MAX: i32 = 63;

/// The largest positive coefficient and the magnitude of the smallest negative one.
const COEFFICIENT_MAX: u64 = (1 << (COEFFICIENT_BITS - 1)) - 1;
const COEFFICIENT_MIN_MAGNITUDE: u64 = 1 << (COEFFICIENT_BITS - 1);

/// Layout of an IEEE 754 double: fraction bits, and the exponent bias for an integer significand.
const DOUBLE_FRACTION_BITS: u32 = 52;
const DOUBLE_BIAS: i32 = 1023;

/// Returns the value of a protocol float: coefficient × 2^(exponent − 25), exact in a double.
///
/// The top 7 bits are the exponent (−64…63), the low 25 bits the coefficient, both two's
/// complement; there are no hidden bits, no NaN and no infinity. Coefficients that are not
/// normalised are accepted. Source: chrony command protocol, Float.
pub fn decode_float(wire: u32) -> f64 {
    // Shifting in signed arithmetic extends the sign of both fields.
    let signed = wire.cast_signed();
    let exponent = signed >> COEFFICIENT_BITS;
    let coefficient = (signed << (32 - COEFFICIENT_BITS)) >> (32 - COEFFICIENT_BITS);
    f64::from(coefficient) * power_of_two(exponent - 25)
}

/// Returns the protocol float nearest to `value`.
///
/// NaN becomes 0; values beyond about ±4.6e18 (infinities too) saturate; values nearer to zero
/// than about 1e-27 become 0. Otherwise the smallest exponent whose coefficient fits is used,
/// so every value that [`decode_float`] can return is preserved exactly.
pub fn encode_float(value: f64) -> u32 {
    if value.is_nan() || value == 0.0 {
        return 0;
    }
    let negative = value.is_sign_negative();
    let limit = if negative {
        COEFFICIENT_MIN_MAGNITUDE
    } else {
        COEFFICIENT_MAX
    };
    let (significand, scale) = split(value);

    // The smallest exponent that can fit follows from the significand's highest bit; rounding may
    // carry once, hence the loop of at most two steps.
    let highest_bit = 63 - significand.leading_zeros().cast_signed();
    let mut exponent = (highest_bit + scale + 25 - 24).max(EXPONENT_MIN);
    let magnitude = loop {
        if exponent > EXPONENT_MAX {
            exponent = EXPONENT_MAX;
            break limit;
        }
        let magnitude = scaled(significand, scale + 25 - exponent);
        if magnitude <= limit {
            break magnitude;
        }
        exponent += 1;
    };
    if magnitude == 0 {
        return 0;
    }
    // Both fields are at most 25 bits wide here, so the conversion cannot fail.
    let magnitude = u32::try_from(magnitude).unwrap_or(0);
    let coefficient = if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    (exponent.cast_unsigned() << COEFFICIENT_BITS) | (coefficient & ((1 << COEFFICIENT_BITS) - 1))
}

/// Splits the magnitude of a non-zero, non-NaN value into significand × 2^scale.
/// An infinity yields a scale so large that it saturates.
fn split(value: f64) -> (u64, i32) {
    let bits = value.abs().to_bits();
    let fraction = bits & ((1 << DOUBLE_FRACTION_BITS) - 1);
    // Eleven bits always fit.
    let biased = i32::try_from(bits >> DOUBLE_FRACTION_BITS).unwrap_or(0);
    if biased == 0 {
        return (fraction, 1 - DOUBLE_BIAS - 52);
    }
    (fraction | (1 << DOUBLE_FRACTION_BITS), biased - DOUBLE_BIAS - 52)
}

/// Returns `significand` × 2^`shift`, rounded to nearest, ties to even.
fn scaled(significand: u64, shift: i32) -> u64 {
    if shift >= 0 {
        // The caller's exponent leaves at most 26 significant bits.
        return significand.checked_shl(shift.unsigned_abs()).unwrap_or(u64::MAX);
    }
    let shift = shift.unsigned_abs();
    if shift >= u64::BITS {
        return 0;
    }
    let whole = significand >> shift;
    let remainder = significand & ((1 << shift) - 1);
    let half = 1u64 << (shift - 1);
    let round_up = remainder > half || (remainder == half && whole & 1 == 1);
    whole + u64::from(round_up)
}

/// Returns 2^`exponent` for an exponent within a double's normal range.
fn power_of_two(exponent: i32) -> f64 {
    let biased = u64::try_from(exponent + DOUBLE_BIAS).unwrap_or(0);
    f64::from_bits(biased << DOUBLE_FRACTION_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values_encode_as_chronyd_does() {
        let vectors = [
            (0.0, 0x0000_0000),
            (1.0, 0x0480_0000),
            (-1.0, 0x0300_0000),
            (0.5, 0x0280_0000),
            (-0.5, 0x0100_0000),
            (3.0, 0x06c0_0000),
            (4.0, 0x0880_0000),
            (0.1, 0xfccc_cccd),
            (-0.1, 0xfd33_3333),
            (100.0, 0x10c8_0000),
            (2000.0, 0x18fa_0000),
            (1e-6, 0xdc86_37bd),
            (1e-9, 0xc889_705f),
            (-1e-9, 0xc976_8fa1),
            (0.001, 0xf083_126f),
            (-0.001, 0xf17c_ed91),
            (1e10, 0x4695_02f9),
            (1e30, 0x7eff_ffff),
            (-1e30, 0x7f00_0000),
        ];
        for (value, wire) in vectors {
            assert_eq!(
                encode_float(value),
                wire,
                "{value} encodes to {:08x}",
                encode_float(value)
            );
        }
    }

    #[test]
    fn captured_values_decode() {
        assert!((decode_float(0xd8d1_415c) - 3.897_684e-7).abs() < 1e-13);
        assert!((decode_float(0x1d23_8fba) + 7054.0342).abs() < 1e-3);
        assert!(decode_float(0).abs() < f64::MIN_POSITIVE);
    }

    #[test]
    fn extremes_stay_defined() {
        assert_eq!(encode_float(f64::NAN), 0);
        assert_eq!(encode_float(f64::INFINITY), 0x7eff_ffff);
        assert_eq!(encode_float(f64::NEG_INFINITY), 0x7f00_0000);
        assert_eq!(encode_float(-0.0), 0);
        assert_eq!(encode_float(f64::MIN_POSITIVE), 0);
        assert_eq!(encode_float(f64::from_bits(1)), 0);
        assert_eq!(encode_float(1e-28), 0);
    }

    proptest! {
        #[test]
        fn every_wire_value_survives(wire: u32) {
            let value = decode_float(wire);
            prop_assert_eq!(decode_float(encode_float(value)), value);
        }

        #[test]
        fn doubles_keep_seven_digits(value in prop_oneof![-1e18..1e18f64, -1.0..1.0f64, -1e-9..1e-9f64]) {
            let error = (decode_float(encode_float(value)) - value).abs();
            prop_assert!(error <= value.abs() * 6e-8 + 1e-27);
        }

        #[test]
        fn any_double_encodes(bits: u64) {
            encode_float(f64::from_bits(bits));
        }
    }
}
