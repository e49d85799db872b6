//! Blocks of 32.

use siskin::quant::IQ4_VALUES;

use super::half;
use super::search::{
    FEW, FEW_AFFINE, Lanes, extreme, inverse, level, scale, scale_and_min, scale_of, stored,
};

/// Two weights a byte: `i` and `i + 16`.
#[inline(always)]
fn nibbles(q: &[u8; 32], out: &mut [u8]) {
    let (low, high) = q.split_at(16);
    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
        *out = (low & 15) | (high << 4);
    }
}

/// Fifth bits of 32 weights.
#[inline(always)]
fn fifth_bits(q: &[u8; 32]) -> [u8; 4] {
    (0..32).fold(0, |bits, i| bits | u32::from(q[i] >> 4 & 1) << i).to_le_bytes()
}

/// Levels `low..=high`, less `low`.
#[inline(always)]
fn signed_levels(x: &[f32; 32], inverse: f32, low: f32, high: f32) -> [u8; 32] {
    let mut q = [0; 32];
    for (q, &x) in q.iter_mut().zip(x) {
        *q = stored(level(x, inverse, low, high) - low);
    }
    q
}

#[inline(always)]
pub(super) fn q4_0(x: &[f32; 32], w: &[f32; 32], out: &mut [u8]) {
    let (bits, d) = half(scale(x, w, -8.0, 7.0, &FEW));
    out[..2].copy_from_slice(&bits);
    nibbles(&signed_levels(x, inverse(d), -8.0, 7.0), &mut out[2..]);
}

#[inline(always)]
pub(super) fn q5_0(x: &[f32; 32], w: &[f32; 32], out: &mut [u8]) {
    let (bits, d) = half(scale(x, w, -16.0, 15.0, &FEW));
    let q = signed_levels(x, inverse(d), -16.0, 15.0);
    out[..2].copy_from_slice(&bits);
    out[2..6].copy_from_slice(&fifth_bits(&q));
    nibbles(&q, &mut out[6..]);
}

#[inline(always)]
pub(super) fn q8_0(x: &[f32; 32], out: &mut [u8]) {
    // 255 levels: the extreme decides, and nothing is gained by searching.
    let (bits, d) = half(extreme(x).abs() / 127.0);
    let inv = inverse(d);
    out[..2].copy_from_slice(&bits);
    for (&x, out) in x.iter().zip(&mut out[2..]) {
        *out = stored(level(x, inv, -127.0, 127.0));
    }
}

/// `d * q + m`, with `high + 1` levels: the scale, the minimum, the levels.
#[inline(always)]
fn affine(x: &[f32; 32], w: &[f32; 32], high: f32) -> ([u8; 2], [u8; 2], [u8; 32]) {
    let (d, min) = scale_and_min(x, w, high, true, &FEW_AFFINE);
    let ((d_bits, d), (m_bits, m)) = (half(d), half(-min));
    let (inv, mut q) = (inverse(d), [0; 32]);
    for (q, x) in q.iter_mut().zip(x) {
        *q = stored(level(x - m, inv, 0.0, high));
    }
    (d_bits, m_bits, q)
}

#[inline(always)]
pub(super) fn q4_1(x: &[f32; 32], w: &[f32; 32], out: &mut [u8]) {
    let (d, m, q) = affine(x, w, 15.0);
    out[..2].copy_from_slice(&d);
    out[2..4].copy_from_slice(&m);
    nibbles(&q, &mut out[4..]);
}

#[inline(always)]
pub(super) fn q5_1(x: &[f32; 32], w: &[f32; 32], out: &mut [u8]) {
    let (d, m, q) = affine(x, w, 31.0);
    out[..2].copy_from_slice(&d);
    out[2..4].copy_from_slice(&m);
    out[4..8].copy_from_slice(&fifth_bits(&q));
    nibbles(&q, &mut out[8..]);
}

/// Index of the value of [`IQ4_VALUES`] nearest to `x`.
#[inline(always)]
pub(super) fn iq4_index(x: f32) -> u8 {
    // The table is sorted: how many midpoints lie below.
    let mut index = 0;
    for pair in IQ4_VALUES.windows(2) {
        index += u8::from(x > 0.5 * (f32::from(pair[0]) + f32::from(pair[1])));
    }
    index
}

/// The value of [`IQ4_VALUES`] nearest to `x`.
#[inline(always)]
pub(super) fn iq4_value(x: f32) -> f32 {
    let mut value = f32::from(IQ4_VALUES[0]);
    for pair in IQ4_VALUES.windows(2) {
        let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
        value = if x > 0.5 * (low + high) { high } else { value };
    }
    value
}

/// Where the extreme may go.
const IQ4_FEW: [f32; 8] = [-128.0, -121.0, -114.0, -106.0, 126.0, 119.0, 112.0, 105.0];
/// The same for sub-blocks.
pub(super) const IQ4_MANY: Lanes = [
    -132.0, -128.0, -124.0, -120.0, -116.0, -112.0, -108.0, -104.0, 130.0, 126.0, 122.0, 118.0, 114.0, 110.0,
    106.0, 102.0,
];

/// The scale of a block whose levels are [`IQ4_VALUES`].
#[inline(always)]
pub(super) fn iq4_scale<const LEN: usize, const N: usize>(
    x: &[f32; LEN],
    w: &[f32; LEN],
    peaks: &[f32; N],
) -> f32 {
    scale_of(x, w, peaks, |x, inv| iq4_value(x * inv))
}

#[inline(always)]
pub(super) fn iq4_nl(x: &[f32; 32], w: &[f32; 32], out: &mut [u8]) {
    let (bits, d) = half(iq4_scale(x, w, &IQ4_FEW));
    let inv = inverse(d);
    out[..2].copy_from_slice(&bits);
    let mut q = [0; 32];
    for (q, x) in q.iter_mut().zip(x) {
        *q = iq4_index(x * inv);
    }
    nibbles(&q, &mut out[2..]);
}
