//! IQ2_XXS: 256 weights as signed points of a grid of 256, eight weights a point, a 4-bit scale per 32, one f16 scale.
//! 2.0625 bits per weight.
//!
//! ```text
//! byte 0..2     d                    f16
//! byte 2..66    qs, 8 bytes per sub-block j of 32:
//!               bytes 0..4           indices of points: weights 32 j + 8 i .. + 8 for i in 0..4
//!               bytes 4..8           u32, bits 7 i .. 7 i + 7 = signs of those eight (the eighth makes the number of
//!                                    minus signs even); bits 28..32 = scale j
//! weight = d / 8 * (2 scale[j] + 1) * sign * value,  value = 8, 25 or 43 for a coordinate of 0, 1 or 2
//! ```

use super::coded::{Coded, Codes256, even_magnitudes, nearest_point, odd_scales};
use super::grids::{IQ2_XXS, even_signs_of_28};
use super::k_scales::inverse;
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq2_xxs`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ2XXS {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Indices, signs and scales.
    pub qs: [u8; 64],
}

/// What the largest weight of a sub-block may become. All eight the same is only in the grid with the smallest value.
pub(super) const LARGEST: [f32; 4] = [50.0, 43.0, 34.0, 8.0];

/// The values of a grid's point.
pub(super) fn values(point: u64) -> [i8; 8] {
    point.to_le_bytes().map(|b| b as i8)
}

/// Index of the point for eight weights times `inverse`, their signs, of which an even number are minus, and the squared
/// error.
pub(super) fn nearest_even(x: &[f32], inverse: f32, grid: &[u64]) -> (usize, u8, f32) {
    let (x, signs) = even_magnitudes(x);
    let (index, error) = nearest_point(x.map(|x| x * inverse), grid, values);
    (index, signs, error)
}

impl Coded for BlockIQ2XXS {
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const UNIT: f32 = 0.125;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        for (j, &[a, b, c, d, signs @ ..]) in self.qs.as_chunks::<8>().0.iter().enumerate() {
            for (i, index) in [a, b, c, d].into_iter().enumerate() {
                out.eights()[4 * j + i] = IQ2_XXS[usize::from(index)].to_le_bytes();
            }
            out.signs[j] = u32::from_le_bytes(signs);
        }
        out.put_scales_of_32(out.signs.map(|bits| bits >> 28));
        for signs in &mut out.signs {
            *signs = even_signs_of_28(*signs);
        }
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let (unit, scales) =
            odd_scales::<8>(x, 15, &LARGEST, |x, inverse| nearest_even(x, inverse, &IQ2_XXS).2);
        let mut qs = [0; 64];
        for (j, qs) in qs.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let mut bits = u32::from(scales[j]) << 28;
            for i in 0..4 {
                let inverse = inverse(unit * f32::from(2 * scales[j] + 1));
                let (index, signs, _) = nearest_even(&x[32 * j + 8 * i..], inverse, &IQ2_XXS);
                qs[i] = index as u8;
                bits |= u32::from(signs & 127) << (7 * i);
            }
            qs[4..].copy_from_slice(&bits.to_le_bytes());
        }
        Self { d: f16::from_f32_const(8.0 * unit).to_le_bytes(), qs }
    }
}
