//! IQ3_XXS: 256 weights as signed points of a grid of 256, four weights a point, a 4-bit scale per 32, one f16 scale.
//! 3.0625 bits per weight.
//!
//! ```text
//! byte 0..2     d                    f16
//! byte 2..66    qs[n]                index of the point for weights 4 n .. 4 n + 4
//! byte 66..98   qs[64 + 4 j ..]      u32 for sub-block j of 32: bits 7 i .. 7 i + 7 = signs of weights
//!                                    32 j + 8 i .. + 8 (the eighth makes the number of minus signs even);
//!                                    bits 28..32 = scale j
//! weight = d / 4 * (2 scale[j] + 1) * sign * value,  value = 4, 12, 20, 28, 36, 44, 52 or 62 for a coordinate of 0..8
//! ```

use super::coded::{Coded, Codes256, even_magnitudes, nearest_point, odd_scales};
use super::grids::{IQ3_XXS, even_signs_of_28};
use super::k_scales::inverse;
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq3_xxs`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ3XXS {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Indices, then signs and scales.
    pub qs: [u8; 96],
}

/// The values of a grid's point.
pub(super) fn values(point: u32) -> [i8; 4] {
    point.to_le_bytes().map(|b| b as i8)
}

/// What the largest weight of a sub-block may become. The last is one that all four may be together.
const LARGEST: [f32; 4] = [70.0, 62.0, 52.0, 28.0];

/// Indices of the points for eight weights times `inverse`, their signs, and the squared error.
fn near(x: &[f32], inverse: f32) -> ([usize; 2], u8, f32) {
    let (x, signs) = even_magnitudes(x);
    let [a, b, c, d, e, f, g, h] = x.map(|x| x * inverse);
    let (first, second) =
        (nearest_point([a, b, c, d], &IQ3_XXS, values), nearest_point([e, f, g, h], &IQ3_XXS, values));
    ([first.0, second.0], signs, first.1 + second.1)
}

impl Coded for BlockIQ3XXS {
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const UNIT: f32 = 0.25;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        let (indices, signs) = self.qs.split_at(64);
        for (out, index) in out.eights().iter_mut().zip(indices.as_chunks::<2>().0) {
            let [first, second] = index.map(|i| IQ3_XXS[usize::from(i)]);
            *out = (u64::from(first) | u64::from(second) << 32).to_le_bytes();
        }
        for (out, bits) in out.signs.iter_mut().zip(signs.as_chunks().0) {
            *out = u32::from_le_bytes(*bits);
        }
        out.put_scales_of_32(out.signs.map(|bits| bits >> 28));
        for signs in &mut out.signs {
            *signs = even_signs_of_28(*signs);
        }
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let (unit, scales) = odd_scales::<8>(x, 15, &LARGEST, |x, inverse| near(x, inverse).2);
        let mut qs = [0; 96];
        for j in 0..8 {
            let mut bits = u32::from(scales[j]) << 28;
            for i in 0..4 {
                let inverse = inverse(unit * f32::from(2 * scales[j] + 1));
                let (indices, signs, _) = near(&x[32 * j + 8 * i..], inverse);
                qs[8 * j + 2 * i..][..2].copy_from_slice(&indices.map(|i| i as u8));
                bits |= u32::from(signs & 127) << (7 * i);
            }
            qs[64 + 4 * j..][..4].copy_from_slice(&bits.to_le_bytes());
        }
        Self { d: f16::from_f32_const(4.0 * unit).to_le_bytes(), qs }
    }
}
