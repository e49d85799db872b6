//! IQ2_XS: 256 weights as signed points of a grid of 512, eight weights a point, a 4-bit scale per 16, one f16 scale.
//! 2.3125 bits per weight.
//!
//! ```text
//! byte 0..2     d                    f16
//! byte 2..66    qs[g]                u16 for weights 8 g .. 8 g + 8: bits 0..9 = index of the point, bits 9..16 =
//!                                    signs (the eighth makes the number of minus signs even)
//! byte 66..74   scales               nibble j = scale of weights 16 j .. 16 j + 16, low nibbles first
//! weight = d / 8 * (2 scale[j] + 1) * sign * value,  values as of IQ2_XXS
//! ```

use super::coded::{Coded, Codes256, odd_scales};
use super::grids::{IQ2_XS, even_signs};
use super::iq2_xxs::{LARGEST, nearest_even};
use super::k_scales::inverse;
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq2_xs`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ2XS {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Indices and signs, 16 bits for eight weights, little-endian.
    pub qs: [u8; 64],
    /// Scales of 16 weights, two a byte.
    pub scales: [u8; 8],
}

impl Coded for BlockIQ2XS {
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const UNIT: f32 = 0.125;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        for (j, words) in self.qs.as_chunks::<8>().0.iter().enumerate() {
            let words = u64::from_le_bytes(*words);
            for i in 0..4 {
                out.eights()[4 * j + i] = IQ2_XS[(words >> (16 * i)) as usize & 511].to_le_bytes();
            }
            // Seven bits in each 16, moved together.
            let sevens = words >> 9 & 0x007f_007f_007f_007f;
            let sevens = (sevens | sevens >> 8) & 0x0000_ffff_0000_ffff;
            out.signs[j] = (sevens | sevens >> 16) as u32;
        }
        for signs in &mut out.signs {
            *signs = even_signs(*signs);
        }
        out.put_scales_of_16(&self.scales);
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let (unit, scales) =
            odd_scales::<16>(x, 15, &LARGEST, |x, inverse| nearest_even(x, inverse, &IQ2_XS).2);
        let mut qs = [0; 64];
        for (g, qs) in qs.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let inverse = inverse(unit * f32::from(2 * scales[g / 2] + 1));
            let (index, signs, _) = nearest_even(&x[8 * g..], inverse, &IQ2_XS);
            *qs = (index as u16 | u16::from(signs & 127) << 9).to_le_bytes();
        }
        let scales = std::array::from_fn(|i| scales[2 * i] | scales[2 * i + 1] << 4);
        Self { d: f16::from_f32_const(8.0 * unit).to_le_bytes(), qs, scales }
    }
}
