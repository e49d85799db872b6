//! IQ2_S: 256 weights as signed points of a grid of 1024, eight weights a point, a 4-bit scale per 16, one f16 scale.
//! 2.5625 bits per weight.
//!
//! ```text
//! byte 0..2     d                    f16
//! byte 2..34    qs[g]                lower 8 bits of the index for weights 8 g .. 8 g + 8
//! byte 34..66   qs[32 + g]           their signs, bit i = minus for weight 8 g + i
//! byte 66..74   qh[g / 4]            bits 2 (g % 4) .. + 2 = upper 2 bits of the index
//! byte 74..82   scales               nibble j = scale of weights 16 j .. 16 j + 16, low nibbles first
//! weight = d / 8 * (2 scale[j] + 1) * sign * value,  values as of IQ2_XXS
//! ```

use super::coded::{Coded, Codes256, magnitudes, nearest_point, odd_scales};
use super::grids::IQ2_S;
use super::iq2_xxs::{LARGEST, values};
use super::k_scales::inverse;
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq2_s`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ2S {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Lower bits of the indices, then signs.
    pub qs: [u8; 64],
    /// Upper bits of the indices, four a byte.
    pub qh: [u8; 8],
    /// Scales of 16 weights, two a byte.
    pub scales: [u8; 8],
}

/// Index of the point for eight weights times `inverse`, their signs, and the squared error.
fn near(x: &[f32], inverse: f32) -> (usize, u8, f32) {
    let (x, signs) = magnitudes(x);
    let (index, error) = nearest_point(x.map(|x| x * inverse), &IQ2_S, values);
    (index, signs, error)
}

impl Coded for BlockIQ2S {
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const UNIT: f32 = 0.125;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        let (low, signs) = self.qs.split_at(32);
        for ((out, low), high) in
            out.eights().as_chunks_mut::<4>().0.iter_mut().zip(low.as_chunks::<4>().0).zip(self.qh)
        {
            for i in 0..4 {
                let high = usize::from(high) << (8 - 2 * i) & 0x300;
                out[i] = IQ2_S[usize::from(low[i]) | high].to_le_bytes();
            }
        }
        for (out, signs) in out.signs.iter_mut().zip(signs.as_chunks().0) {
            *out = u32::from_le_bytes(*signs);
        }
        out.put_scales_of_16(&self.scales);
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let (unit, scales) = odd_scales::<16>(x, 15, &LARGEST, |x, inverse| near(x, inverse).2);
        let (mut qs, mut qh) = ([0; 64], [0; 8]);
        for g in 0..32 {
            let inverse = inverse(unit * f32::from(2 * scales[g / 2] + 1));
            let (index, signs, _) = near(&x[8 * g..], inverse);
            (qs[g], qs[32 + g]) = (index as u8, signs);
            qh[g / 4] |= ((index >> 8) as u8) << (2 * (g % 4));
        }
        let scales = std::array::from_fn(|i| scales[2 * i] | scales[2 * i + 1] << 4);
        Self { d: f16::from_f32_const(8.0 * unit).to_le_bytes(), qs, qh, scales }
    }
}
