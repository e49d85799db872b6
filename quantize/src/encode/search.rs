//! Scales by weighted least squares.
//!
//! For given levels `q` the best scale is a quotient of two sums, and for given scales the best levels are the nearest
//! ones. Both at once have no closed form, so candidates are tried around the scale that makes the extremes fit, and the
//! best of them is refined in turns (levels from the scale, scale from the levels) until nothing is gained.
//!
//! All candidates of a block are tried at once, one in each lane: a weight is loaded once for all of them, and nothing is
//! summed across lanes. Sums over a block's weights have as many lanes as well. The lanes are arrays whose loops the
//! compiler turns into vectors of whatever width there is, in an order that does not depend on it.

/// Candidates tried at once, and lanes of sums.
pub(super) const LANES: usize = 16;
/// One number for each lane.
pub(super) type Lanes = [f32; LANES];
/// Turns of refinement; a second hardly ever changes anything.
const TURNS: usize = 1;
/// Blocks whose values are all smaller are zero: their scales would be no f16.
const TINY: f32 = 1e-15;

/// 1.5 * 2^23: what is added to it has no fraction.
const MAGIC: f32 = 12_582_912.0;

/// Rounds to nearest, ties to even; for magnitudes below 2^22.
#[inline(always)]
pub(super) fn round(x: f32) -> f32 {
    (x + MAGIC) - MAGIC
}

/// The smaller number. (`f32::min` asks which of them is none, for which processors have no instruction.)
#[inline(always)]
pub(super) fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger number.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// A level, an integer from -128 to 255, as a byte.
#[inline(always)]
pub(super) fn stored(level: f32) -> u8 {
    (level + MAGIC).to_bits() as u8 // the integer is in the lowest bits
}

/// The level for `x`, given the inverse of the scale.
#[inline(always)]
pub(super) fn level(x: f32, inverse: f32, low: f32, high: f32) -> f32 {
    round(smaller(larger(x * inverse, low), high))
}

/// `1 / x`, or 0 for 0.
#[inline(always)]
pub(super) fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// All lanes in one, halved again and again.
#[inline(always)]
fn folded(lanes: &Lanes, f: impl Fn(f32, f32) -> f32) -> f32 {
    let (mut eight, mut four) = ([0.0; 8], [0.0; 4]);
    for l in 0..8 {
        eight[l] = f(lanes[l], lanes[l + 8]);
    }
    for l in 0..4 {
        four[l] = f(eight[l], eight[l + 4]);
    }
    f(f(four[0], four[2]), f(four[1], four[3]))
}

/// The sum of the lanes.
#[inline(always)]
pub(super) fn total(lanes: Lanes) -> f32 {
    folded(&lanes, |a, b| a + b)
}

/// A block in pieces as long as there are lanes, with its weights.
#[inline(always)]
pub(super) fn pieces<'a>(x: &'a [f32], w: &'a [f32]) -> impl Iterator<Item = (&'a Lanes, &'a Lanes)> {
    x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0)
}

/// The same lanes. The compiler is told nothing of what becomes of them: it then keeps them in vectors through a loop,
/// instead of in pieces that suit what comes before or after it. (Five times as fast; nothing but that depends on it.)
#[inline(always)]
fn vectors<const N: usize>(lanes: [f32; N]) -> [f32; N] {
    std::hint::black_box(lanes)
}

/// The smallest and the largest value.
#[inline(always)]
fn range(x: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for piece in x.as_chunks::<LANES>().0 {
        for l in 0..LANES {
            low[l] = smaller(low[l], piece[l]);
            high[l] = larger(high[l], piece[l]);
        }
    }
    (folded(&low, smaller), folded(&high, larger))
}

/// The value of largest magnitude.
#[inline(always)]
pub(super) fn extreme(x: &[f32]) -> f32 {
    let (low, high) = range(x);
    if high >= -low { high } else { low }
}

/// The lane with the largest value, the first of equal ones.
#[inline(always)]
fn largest(lanes: &[f32]) -> usize {
    let most = lanes.iter().fold(f32::NEG_INFINITY, |m, &v| larger(m, v));
    lanes.iter().position(|&v| v == most).unwrap_or(0)
}

/// Candidates of blocks with one scale each: how far beyond the highest level the extreme goes; either sign may be the
/// better, as there is one more level on one side.
pub(super) const FEW: [f32; 8] = [0.2, 0.6, 1.0, 1.4, -0.2, -0.6, -1.0, -1.4];
/// The same for sub-blocks, where time is not what matters most: others search there for longer.
pub(super) const MANY: Lanes =
    [0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.6, -0.1, -0.3, -0.5, -0.7, -0.9, -1.1, -1.3, -1.6];

/// The scale `s` for which `s * level` is nearest to `x`, in squares weighted by `w`; levels are `low..=high`, of which
/// `low` is the larger in magnitude.
#[inline(always)]
pub(super) fn scale<const LEN: usize, const N: usize>(
    x: &[f32; LEN],
    w: &[f32; LEN],
    low: f32,
    high: f32,
    steps: &[f32; N],
) -> f32 {
    // A positive extreme at a positive level, or at a negative one with a negative scale.
    let peaks = steps.map(|step| -step.signum() * (high + step.abs()));
    scale_of(x, w, &peaks, |x, inverse| level(x, inverse, low, high))
}

/// The same for levels of any kind; `peaks` are the values that the extreme may become.
#[inline(always)]
pub(super) fn scale_of<const LEN: usize, const N: usize>(
    x: &[f32; LEN],
    w: &[f32; LEN],
    peaks: &[f32; N],
    level: impl Fn(f32, f32) -> f32,
) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < TINY {
        return 0.0;
    }
    let inverses = vectors(peaks.map(|peak| peak / extreme));
    let (mut xq, mut qq) = ([0.0f32; N], [0.0f32; N]);
    for (&x, &w) in x.iter().zip(w) {
        let wx = w * x;
        for l in 0..N {
            let q = level(x, inverses[l]);
            xq[l] += wx * q;
            qq[l] += w * q * q;
        }
    }
    let (xq, qq) = (vectors(xq), vectors(qq));
    // With the best scale for its levels, what a candidate leaves is sum(w x^2) minus this.
    let mut gains = [0.0f32; N];
    for l in 0..N {
        gains[l] = if qq[l] > 0.0 { xq[l] * xq[l] / qq[l] } else { 0.0 };
    }
    let best = largest(&gains);
    // Not a number where weights are so large that their squares are infinite.
    if gains[best].is_nan() || gains[best] <= 0.0 {
        return 0.0;
    }
    let (mut gain, mut scale) = (gains[best], xq[best] / qq[best]);
    for _ in 0..TURNS {
        let (mut xq, mut qq) = ([0.0f32; LANES], [0.0f32; LANES]);
        let inverse = inverse(scale);
        for (x, w) in pieces(x, w) {
            for l in 0..LANES {
                let q = level(x[l], inverse);
                xq[l] += w[l] * x[l] * q;
                qq[l] += w[l] * q * q;
            }
        }
        let (xq, qq) = (total(xq), total(qq));
        let better = xq * xq / qq;
        if better.is_nan() || better <= gain {
            break;
        }
        (gain, scale) = (better, xq / qq);
    }
    scale
}

/// Candidates of blocks with a scale and a minimum: how far above the highest level the largest value goes.
pub(super) const FEW_AFFINE: [f32; 8] = [-1.3, -0.9, -0.6, -0.3, 0.0, 0.2, 0.5, 0.8];
/// The same for sub-blocks.
pub(super) const MANY_AFFINE: Lanes =
    [-1.5, -1.3, -1.1, -0.9, -0.7, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4, 0.6, 0.8];

/// The scale and the minimum (subtracted, not negative) for which `scale * level - min` is nearest to `x`, in squares
/// weighted by `w`; levels are `0..=high`. With `free`, the minimum may have any sign.
#[inline(always)]
pub(super) fn scale_and_min<const LEN: usize, const N: usize>(
    x: &[f32; LEN],
    w: &[f32; LEN],
    high: f32,
    free: bool,
    steps: &[f32; N],
) -> (f32, f32) {
    let (mut lowest, highest) = range(x);
    if !free {
        lowest = lowest.min(0.0);
    }
    let range = highest - lowest;
    if range < TINY {
        return (0.0, -lowest);
    }
    let (mut sw, mut sx, mut sxx) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    for (x, w) in pieces(x, w) {
        for l in 0..LANES {
            sw[l] += w[l];
            sx[l] += w[l] * x[l];
            sxx[l] += w[l] * x[l] * x[l];
        }
    }
    let (sw, sx, sxx) = (total(sw), total(sx), total(sxx));
    // What is left with the best scale and offset, and these, for the sums of a candidate's levels.
    let left = |sq: f32, sqq: f32, sxq: f32| {
        let det = sw * sqq - sq * sq;
        let (d, m) = ((sw * sxq - sx * sq) / det, (sqq * sx - sq * sxq) / det);
        let through_zero = det <= 0.0 || (m > 0.0 && !free);
        let d = if through_zero { if sqq > 0.0 { sxq / sqq } else { 0.0 } } else { d };
        let m = if through_zero { 0.0 } else { m };
        (sxx - d * sxq - m * sx, d, m)
    };
    let inverses = vectors(steps.map(|step| (high + step) / range));
    let (mut sq, mut sqq, mut sxq) = ([0.0f32; N], [0.0f32; N], [0.0f32; N]);
    for (&x, &w) in x.iter().zip(w) {
        let (above, wx) = (x - lowest, w * x);
        for l in 0..N {
            let q = round(smaller(above * inverses[l], high)); // not negative
            let wq = w * q;
            sq[l] += wq;
            sqq[l] += wq * q;
            sxq[l] += wx * q;
        }
    }
    let (sq, sqq, sxq) = (vectors(sq), vectors(sqq), vectors(sxq));
    let (mut gains, mut ds, mut ms) = ([0.0f32; N], [0.0f32; N], [0.0f32; N]);
    for l in 0..N {
        let (left, d, m) = left(sq[l], sqq[l], sxq[l]);
        (gains[l], ds[l], ms[l]) = (if d > 0.0 { -left } else { f32::NEG_INFINITY }, d, m);
    }
    let at = largest(&gains);
    let mut best = (f32::INFINITY, range / high, lowest);
    if gains[at] > f32::NEG_INFINITY {
        best = (-gains[at], ds[at], ms[at]);
    }
    for _ in 0..TURNS {
        let (mut sq, mut sqq, mut sxq) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
        let inverse = inverse(best.1);
        for (x, w) in pieces(x, w) {
            for l in 0..LANES {
                let q = level(x[l] - best.2, inverse, 0.0, high);
                let wq = w[l] * q;
                sq[l] += wq;
                sqq[l] += wq * q;
                sxq[l] += wq * x[l];
            }
        }
        let found = left(total(sq), total(sqq), total(sxq));
        if found.0 >= best.0 || found.1 <= 0.0 {
            break;
        }
        best = found;
    }
    (best.1, -best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_levels_are_found() {
        let w = [1.0; 32];
        let x: [f32; 32] = std::array::from_fn(|i| 0.25 * (i as f32 % 16.0 - 8.0));
        assert!((scale(&x, &w, -8.0, 7.0, &FEW) - 0.25).abs() < 1e-6);
        let x: [f32; 32] = std::array::from_fn(|i| 0.5 * (i as f32 % 16.0) - 3.0);
        let (d, m) = scale_and_min(&x, &w, 15.0, false, &MANY_AFFINE);
        assert!((d - 0.5).abs() < 1e-5 && (m - 3.0).abs() < 1e-4, "{d} {m}");
        let x = x.map(|x| x + 10.0);
        let (d, m) = scale_and_min(&x, &w, 15.0, true, &FEW_AFFINE);
        assert!((d - 0.5).abs() < 1e-5 && (m + 7.0).abs() < 1e-4, "{d} {m}");
    }

    #[test]
    fn nothing_but_zeros_or_one_value() {
        assert_eq!(scale(&[0.0; 32], &[1.0; 32], -8.0, 7.0, &FEW), 0.0);
        assert_eq!(scale_and_min(&[0.0; 32], &[1.0; 32], 15.0, false, &FEW_AFFINE), (0.0, 0.0));
        assert_eq!(scale_and_min(&[-2.0; 32], &[1.0; 32], 15.0, true, &FEW_AFFINE), (0.0, 2.0));
    }

    #[test]
    fn rounding() {
        for (x, r) in [(0.5, 0.0), (1.5, 2.0), (-2.5, -2.0), (-7.6, -8.0), (126.7, 127.0)] {
            assert_eq!(round(x), r);
        }
    }
}
