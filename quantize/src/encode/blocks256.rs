//! Blocks of 256: scales of sub-blocks that are integers themselves.
//!
//! First each sub-block gets its best scale; these are rounded to integers under a common scale; then the common scale is
//! fitted again to what the integers say, and rounding is repeated with it, as long as that helps.

use siskin::quant::{pack_scale_min_k4, pack_scales_q3_k};

use super::blocks32::{IQ4_MANY, iq4_index, iq4_scale, iq4_value};
use super::half;
use super::search::{
    LANES, MANY, MANY_AFFINE, inverse, larger, level, pieces, round, scale, scale_and_min, smaller, stored,
    total,
};

/// Turns of fitting the common scales.
const TURNS: usize = 3;

/// A block without minimums: `d * scale[w / len] * level`.
struct Symmetric<const SUBS: usize> {
    d: [u8; 2],
    scales: [i8; SUBS],
    /// What the levels are made of: indices, or the levels themselves.
    q: [i8; 256],
}

/// `find`: the scale of a sub-block; `quantise`: what is stored for `x / scale`, and its level. Scales are
/// `low..=-low - 1`.
#[inline(always)]
fn symmetric<const SUBS: usize, const LEN: usize>(
    x: &[f32; 256],
    w: &[f32; 256],
    low: f32,
    find: impl Fn(&[f32; LEN], &[f32; LEN]) -> f32,
    quantise: impl Fn(f32) -> (i8, f32),
) -> Symmetric<SUBS> {
    let (xs, ws) = (x.as_chunks::<LEN>().0, w.as_chunks::<LEN>().0);
    let mut wanted = [0.0f32; SUBS];
    for j in 0..SUBS {
        wanted[j] = find(&xs[j], &ws[j]);
    }
    let extreme = wanted.iter().fold(0.0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
    // The extreme becomes the integer of largest magnitude.
    let mut best: Option<(f32, Symmetric<SUBS>)> = None;
    let mut next = extreme / low;
    for _ in 0..TURNS {
        let (d, value) = half(next);
        let inv = inverse(value);
        let [mut xa, mut aa, mut error] = [[0.0f32; LANES]; 3];
        let mut block = Symmetric { d, scales: [0; SUBS], q: [0; 256] };
        for (j, &wanted) in wanted.iter().enumerate() {
            let integer = level(wanted, inv, low, -low - 1.0);
            block.scales[j] = integer as i8;
            let inv = inverse(value * integer);
            let q = block.q.as_chunks_mut::<LEN>().0[j].as_chunks_mut::<LANES>().0;
            for ((x, w), q) in pieces(&xs[j], &ws[j]).zip(q) {
                for l in 0..LANES {
                    let level;
                    (q[l], level) = quantise(x[l] * inv);
                    let a = integer * level;
                    let left = x[l] - value * a;
                    xa[l] += w[l] * x[l] * a;
                    aa[l] += w[l] * a * a;
                    error[l] += w[l] * left * left;
                }
            }
        }
        let (xa, aa, error) = (total(xa), total(aa), total(error));
        let better = best.as_ref().is_none_or(|(least, _)| error < *least);
        if !better {
            break;
        }
        best = Some((error, block));
        if aa <= 0.0 {
            break;
        }
        next = xa / aa;
    }
    best.expect("the first turn is better than none").1
}

/// A block with minimums: `d * scale[w / len] * q - dmin * min[w / len]`.
struct Affine<const SUBS: usize> {
    d: [u8; 2],
    dmin: [u8; 2],
    scales: [u8; SUBS],
    mins: [u8; SUBS],
    q: [u8; 256],
}

/// Levels are `0..=high`, scales and minimums `0..=most`.
#[inline(always)]
fn affine<const SUBS: usize, const LEN: usize>(
    x: &[f32; 256],
    w: &[f32; 256],
    high: f32,
    most: f32,
) -> Affine<SUBS> {
    let (xs, ws) = (x.as_chunks::<LEN>().0, w.as_chunks::<LEN>().0);
    let mut wanted = [(0.0f32, 0.0f32); SUBS];
    for j in 0..SUBS {
        wanted[j] = scale_and_min(&xs[j], &ws[j], high, false, &MANY_AFFINE);
    }
    let mut next = wanted.iter().fold((0.0f32, 0.0f32), |m, v| (m.0.max(v.0), m.1.max(v.1)));
    next = (next.0 / most, next.1 / most);
    let mut best: Option<(f32, Affine<SUBS>)> = None;
    for _ in 0..TURNS {
        let ((d, value), (dmin, min_value)) = (half(next.0), half(next.1));
        let (inv, min_inv) = (inverse(value), inverse(min_value));
        let mut block = Affine { d, dmin, scales: [0; SUBS], mins: [0; SUBS], q: [0; 256] };
        // Sums for the two common scales: products of x, of scale times level (a), and of the minimum (b).
        let [mut xa, mut xb, mut aa, mut ab, mut bb, mut error] = [[0.0f32; LANES]; 6];
        for (j, wanted) in wanted.iter().enumerate() {
            let integer = round((wanted.0 * inv).clamp(0.0, most));
            let min = round((wanted.1 * min_inv).clamp(0.0, most));
            (block.scales[j], block.mins[j]) = (integer as u8, min as u8);
            let inv = inverse(value * integer);
            let q = block.q.as_chunks_mut::<LEN>().0[j].as_chunks_mut::<LANES>().0;
            for ((x, w), stored_q) in pieces(&xs[j], &ws[j]).zip(q) {
                for l in 0..LANES {
                    let q = level(x[l] + min_value * min, inv, 0.0, high);
                    stored_q[l] = stored(q);
                    let (a, b) = (integer * q, -min);
                    let left = x[l] - value * a - min_value * b;
                    xa[l] += w[l] * x[l] * a;
                    xb[l] += w[l] * x[l] * b;
                    aa[l] += w[l] * a * a;
                    ab[l] += w[l] * a * b;
                    bb[l] += w[l] * b * b;
                    error[l] += w[l] * left * left;
                }
            }
        }
        let [xa, xb, aa, ab, bb, error] = [xa, xb, aa, ab, bb, error].map(total);
        let better = best.as_ref().is_none_or(|(least, _)| error < *least);
        if !better {
            break;
        }
        best = Some((error, block));
        let det = aa * bb - ab * ab;
        next = if det > 1e-6 * aa * bb {
            ((bb * xa - ab * xb) / det, (aa * xb - ab * xa) / det)
        } else if aa > 0.0 {
            (xa / aa, 0.0)
        } else {
            break;
        };
        if next.0 <= 0.0 || next.1 < 0.0 {
            break;
        }
    }
    best.expect("the first turn is better than none").1
}

/// Pairs of nibbles as Q4_K has them: 32 bytes for 64 weights.
#[inline(always)]
fn nibbles(q: &[u8; 256], out: &mut [u8]) {
    for (i, out) in out.iter_mut().enumerate() {
        let w = i / 32 * 64 + i % 32;
        *out = (q[w] & 15) | (q[w + 32] << 4);
    }
}

/// Two bits of four weights a byte, 32 apart.
#[inline(always)]
fn pairs(q: impl Fn(usize) -> u8, out: &mut [u8]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = (0..4).map(|j| (q(i / 32 * 128 + 32 * j + i % 32) & 3) << (2 * j)).sum();
    }
}

#[inline(always)]
pub(super) fn q2_k(x: &[f32; 256], w: &[f32; 256], out: &mut [u8]) {
    let b = affine::<16, 16>(x, w, 3.0, 15.0);
    for ((out, scale), min) in out.iter_mut().zip(b.scales).zip(b.mins) {
        *out = scale | min << 4;
    }
    pairs(|i| b.q[i], &mut out[16..80]);
    out[80..82].copy_from_slice(&b.d);
    out[82..84].copy_from_slice(&b.dmin);
}

#[inline(always)]
pub(super) fn q3_k(x: &[f32; 256], w: &[f32; 256], out: &mut [u8]) {
    let b = symmetric::<16, 16>(
        x,
        w,
        -32.0,
        |x, w| scale(x, w, -4.0, 3.0, &MANY),
        |v| {
            let q = round(smaller(larger(v, -4.0), 3.0));
            (stored(q + 4.0) as i8, q)
        },
    );
    for (l, out) in out[..32].iter_mut().enumerate() {
        *out = (0..8).map(|j| (b.q[32 * j + l] as u8 >> 2) << j).sum();
    }
    pairs(|i| b.q[i] as u8, &mut out[32..96]);
    out[96..108].copy_from_slice(&pack_scales_q3_k(b.scales));
    out[108..110].copy_from_slice(&b.d);
}

#[inline(always)]
pub(super) fn q4_k(x: &[f32; 256], w: &[f32; 256], out: &mut [u8]) {
    let b = affine::<8, 32>(x, w, 15.0, 63.0);
    out[..2].copy_from_slice(&b.d);
    out[2..4].copy_from_slice(&b.dmin);
    out[4..16].copy_from_slice(&pack_scale_min_k4(b.scales, b.mins));
    nibbles(&b.q, &mut out[16..]);
}

#[inline(always)]
pub(super) fn q5_k(x: &[f32; 256], w: &[f32; 256], out: &mut [u8]) {
    let b = affine::<8, 32>(x, w, 31.0, 63.0);
    out[..2].copy_from_slice(&b.d);
    out[2..4].copy_from_slice(&b.dmin);
    out[4..16].copy_from_slice(&pack_scale_min_k4(b.scales, b.mins));
    for (l, out) in out[16..48].iter_mut().enumerate() {
        *out = (0..8).map(|j| (b.q[32 * j + l] >> 4) << j).sum();
    }
    nibbles(&b.q, &mut out[48..]);
}

#[inline(always)]
pub(super) fn q6_k(x: &[f32; 256], w: &[f32; 256], out: &mut [u8]) {
    let b = symmetric::<16, 16>(
        x,
        w,
        -128.0,
        |x, w| scale(x, w, -32.0, 31.0, &MANY),
        |v| {
            let q = round(smaller(larger(v, -32.0), 31.0));
            (stored(q + 32.0) as i8, q)
        },
    );
    for (i, out) in out[..128].iter_mut().enumerate() {
        let w = i / 64 * 128 + i % 64;
        *out = (b.q[w] as u8 & 15) | ((b.q[w + 64] as u8) << 4);
    }
    pairs(|i| b.q[i] as u8 >> 4, &mut out[128..192]);
    for (out, s) in out[192..208].iter_mut().zip(b.scales) {
        *out = s as u8;
    }
    out[208..210].copy_from_slice(&b.d);
}

#[inline(always)]
pub(super) fn iq4_xs(x: &[f32; 256], w: &[f32; 256], out: &mut [u8]) {
    let b = symmetric::<8, 32>(
        x,
        w,
        -32.0,
        |x, w| iq4_scale(x, w, &IQ4_MANY),
        |v| (iq4_index(v) as i8, iq4_value(v)),
    );
    let raw = b.scales.map(|s| (s + 32) as u8);
    out[..2].copy_from_slice(&b.d);
    let high = (0..8).map(|j| u16::from(raw[j] >> 4) << (2 * j)).sum::<u16>();
    out[2..4].copy_from_slice(&high.to_le_bytes());
    for (i, out) in out[4..8].iter_mut().enumerate() {
        *out = (raw[2 * i] & 15) | ((raw[2 * i + 1] & 15) << 4);
    }
    for (i, out) in out[8..].iter_mut().enumerate() {
        let w = i / 16 * 32 + i % 16;
        *out = b.q[w] as u8 | ((b.q[w + 16] as u8) << 4);
    }
}
