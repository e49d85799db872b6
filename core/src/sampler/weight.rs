//! Probabilities as integers: the weight of a logit that lies `x <= 0` away from the largest is `exp(x)` in units
//! of 2^-40, rounded.
//!
//! Integers because sums of them do not depend on the order: the fast paths, the naive test oracle and every
//! platform get the same total and so the same token. The exponential is Cephes' polynomial written with plain
//! multiplications and additions (the compiler never fuses those), which makes its bits the same everywhere and
//! lets the loop be vectorised; its relative error is below 2e-7.
//!
//! A candidate further than 28 below the largest weighs zero (2^-41 is e^-28.4).

/// Elements per step of the vectorised loops.
pub(crate) const LANES: usize = 16;

/// One unit in the last place of a number in [4096, 8192) is 2^-40: adding it rounds to a multiple of that, and the
/// low bits are the integer.
const UNIT: f64 = 4096.0;

/// A weight as a number from 0 to 1, exactly.
#[inline(always)]
pub(crate) fn as_float(weight: u64) -> f64 {
    f64::from_bits(weight + UNIT.to_bits()) - UNIT
}

/// `exp(x)` for `x <= 0` in units of 2^-40. `x` may be -Inf; it must not be NaN.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the constants as published")]
pub(crate) fn weight(x: f32) -> u64 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with trailing zero bits, so that n * LN2_HI is exact.
    const LN2_HI: f32 = 0.693_359_375;
    const LN2_LO: f32 = -2.121_944_4e-4;
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = if x > -40.0 { x } else { -40.0 };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HI - n * LN2_LO;
    let mut p = 1.987_569_15e-4_f32;
    p = p * r + 1.398_199_95e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.000_000_1e-1;
    let e = p * (r * r) + r + 1.0;
    // 2^n by way of the exponent bits, n in -58..=0: the low bits of `shifted` are n, and the shift drops the others.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (f64::from(e * scale) + UNIT).to_bits().wrapping_sub(UNIT.to_bits())
}

/// The weights of logits at `temperature`. Written for whole vectors; [`weight`] is the same for one.
#[inline(always)]
pub(crate) fn weights(logits: &[f32; LANES], max: f32, temperature: f32) -> [u64; LANES] {
    // A division by 1 changes nothing and costs as much as the rest.
    if temperature == 1.0 {
        logits.map(|l| weight(l - max))
    } else {
        logits.map(|l| weight((l - max) / temperature))
    }
}

/// The sum of the weights of `logits`.
pub(crate) fn total(logits: &[f32], max: f32, temperature: f32) -> u64 {
    let (groups, rest) = logits.as_chunks::<LANES>();
    let mut sums = [0; LANES];
    for group in groups {
        let w = weights(group, max, temperature);
        for i in 0..LANES {
            sums[i] += w[i];
        }
    }
    let rest: u64 = rest.iter().map(|l| weight((l - max) / temperature)).sum();
    sums.iter().sum::<u64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_exponential() {
        let unit = 2f64.powi(-40);
        let mut x = 0.0f32;
        while x > -45.0 {
            let got = as_float(weight(x));
            assert_eq!(got, weight(x) as f64 * unit);
            let exact = libm::exp(f64::from(x));
            assert!((got - exact).abs() <= exact * 2e-7 + unit * 0.51, "{x}: {got} {exact}");
            x -= 0.000_917;
        }
        assert_eq!(weight(0.0), 1 << 40);
        assert_eq!(weight(f32::NEG_INFINITY), 0);
        assert_eq!(weight(-f32::MAX), 0);
        assert_eq!(weight(-28.5), 0);
    }

    #[test]
    fn monotone() {
        // A better logit never weighs less: the cuts rely on it only for speed, the draw for sense.
        let mut last = 0;
        for i in (0..2_000_000u32).rev() {
            let w = weight(-(i as f32) * 1.5e-5);
            assert!(w >= last, "at {i}");
            last = w;
        }
    }
}
