//! What a sampler asks of a row of logits: the largest, and probabilities as integers.
//!
//! The weight of a logit that lies `x <= 0` away from the largest is `exp(x)` in units of 2^-40, rounded. Integers
//! because sums of them do not depend on the order: fast paths, naive oracles and every platform get the same total and
//! so the same token. The exponential is Cephes' polynomial in plain multiplications and additions, so that one weight
//! alone ([`weight`]) costs no call into a C library where there is no fused multiply-add; its relative error is below
//! 2e-7.
//!
//! A candidate further than 28 below the largest weighs zero (2^-41 is e^-28.4).

use crate::kernels::vector::F32x16;

/// One unit in the last place of a number in [4096, 8192) is 2^-40: adding it rounds to a multiple of that, and the
/// low bits are the integer.
const UNIT: f64 = 4096.0;

/// The largest of `x`, -infinity if there are none; infinity if one of them is NaN or infinity.
#[inline(always)]
pub(crate) fn largest<V: F32x16>(x: &[f32]) -> f32 {
    // NaN is not less than infinity, so that `min` makes it infinity.
    let (infinity, none) = (V::splat(f32::INFINITY), V::splat(f32::NEG_INFINITY));
    let mut max = [none; 4];
    let (blocks, rest) = x.as_chunks::<64>();
    for block in blocks {
        let (parts, _) = block.as_chunks::<16>();
        for i in 0..4 {
            max[i] = V::load(&parts[i]).min(infinity).max(max[i]);
        }
    }
    for part in rest.chunks(16) {
        max[0] = V::load_partial(part, f32::NEG_INFINITY).min(infinity).max(max[0]);
    }
    max[0].max(max[1]).max(max[2].max(max[3])).reduce_max()
}

/// `exp(x)` for `x <= 0`, before it is rounded to units. `x` may be -infinity; it must not be NaN.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the constants as published")]
fn exp<V: F32x16>(x: V) -> V {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = x.max(V::splat(-40.0));
    let n = x.mul(V::splat(std::f32::consts::LOG2_E)).add(V::splat(ROUND)).sub(V::splat(ROUND));
    // ln 2 in two parts, the first with trailing zero bits, so that n times it is exact.
    let r = x.sub(n.mul(V::splat(0.693_359_375))).sub(n.mul(V::splat(-2.121_944_4e-4)));
    let p = V::splat(1.987_569_15e-4);
    let p = p.mul(r).add(V::splat(1.398_199_95e-3));
    let p = p.mul(r).add(V::splat(8.333_452e-3));
    let p = p.mul(r).add(V::splat(4.166_579_6e-2));
    let p = p.mul(r).add(V::splat(1.666_666_5e-1));
    let p = p.mul(r).add(V::splat(5.000_000_1e-1));
    p.mul(r.mul(r)).add(r).add(V::splat(1.0)).mul(n.exp2i())
}

/// How many are in floats before they become integers: two loops that both are whole vectors.
const BLOCK: usize = 128;

/// Writes `exp((x - max) / temperature)` in units to `out`, `[x.len()]`, and returns the sum.
#[inline(always)]
pub(crate) fn weights<V: F32x16>(x: &[f32], max: f32, temperature: f32, out: &mut [u64]) -> u64 {
    // A division by 1 changes nothing and costs as much as the rest.
    if temperature == 1.0 {
        weights_with::<V, false>(x, max, temperature, out)
    } else {
        weights_with::<V, true>(x, max, temperature, out)
    }
}

#[inline(always)]
fn weights_with<V: F32x16, const DIVIDE: bool>(
    x: &[f32],
    max: f32,
    temperature: f32,
    out: &mut [u64],
) -> u64 {
    let (max, temperature) = (V::splat(max), V::splat(temperature));
    let mut e = [[0.0; 16]; BLOCK / 16];
    let mut sum = 0;
    for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        for (x, e) in x.chunks(16).zip(&mut e) {
            let below = V::load_partial(x, f32::NEG_INFINITY).sub(max);
            exp(if DIVIDE { below.div(temperature) } else { below }).store(e);
        }
        for (out, &e) in out.iter_mut().zip(e.as_flattened()) {
            *out = integer(e);
            sum += *out;
        }
    }
    sum
}

/// The mean of `x - max` by weight. Products are rounded to units as well, so that no order matters: `-x exp(x)` is less
/// than a half everywhere.
#[inline(always)]
pub(crate) fn expected<V: F32x16>(x: &[f32], max: f32) -> f64 {
    let (max, zero) = (V::splat(max), V::splat(0.0));
    let (mut e, mut products) = ([[0.0; 16]; BLOCK / 16], [[0.0; 16]; BLOCK / 16]);
    let (mut sum, mut sum_of_products) = (0, 0);
    for x in x.chunks(BLOCK) {
        for ((x, e), product) in x.chunks(16).zip(&mut e).zip(&mut products) {
            // An infinite distance would make the product of a weight of zero NaN.
            let below = V::load_partial(x, f32::NEG_INFINITY).sub(max).max(V::splat(-64.0));
            let weight = exp(below);
            weight.store(e);
            zero.sub(below).mul(weight).store(product);
        }
        for (&e, &product) in e.as_flattened()[..x.len()].iter().zip(products.as_flattened()) {
            sum += integer(e);
            sum_of_products += integer(product);
        }
    }
    -(sum_of_products as f64) / sum as f64
}

/// `e`, from 0 to 1, in units.
#[inline(always)]
fn integer(e: f32) -> u64 {
    (f64::from(e) + UNIT).to_bits().wrapping_sub(UNIT.to_bits())
}

/// The weight of one logit that is `x <= 0` away from the largest. `x` may be -infinity; it must not be NaN.
#[inline(always)]
#[allow(clippy::excessive_precision, reason = "the constants as published")]
pub(crate) fn weight(x: f32) -> u64 {
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -40.0 { x } else { -40.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_375 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_15e-4_f32;
    p = p * r + 1.398_199_95e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.000_000_1e-1;
    // 2^n by way of the exponent bits: the low bits of `shifted` are n, and the shift drops the others.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    integer((p * (r * r) + r + 1.0) * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_exponential() {
        let unit = 2f64.powi(-40);
        let mut x = 0.0f32;
        while x > -45.0 {
            let got = weight(x) as f64 * unit;
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
