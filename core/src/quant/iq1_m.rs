//! IQ1_M: 256 weights as points of a grid of 2048, eight weights a point, a shift per point, a 3-bit scale per 16, one
//! f16 scale. 1.75 bits per weight.
//!
//! ```text
//! byte 0..32    qs[g]                lower 8 bits of the index for weights 8 g .. 8 g + 8
//! byte 32..48   qh[g / 2]            nibble g % 2: bits 0..3 = upper bits of the index, bit 3 = shift down instead of up
//! byte 48..56   scales[k / 4]        u16: bits 3 (k % 4) .. + 3 = scale of weights 16 k .. 16 k + 16;
//!                                    bits 12..16 of the four, lowest first: d, f16
//! weight = d / 8 * (2 scale[k] + 1) * (8 (c - 1) +- 1) for a coordinate c in 0..3
//! ```

use super::coded::{Coded, Codes256, odd_scales};
use super::iq1_s::{LARGEST, OFFSET, bytes, near, shifts_down};
use super::k_scales::inverse;
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq1_m`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ1M {
    /// Lower bits of the indices.
    pub qs: [u8; 32],
    /// Upper bits of the indices and shifts, two a byte.
    pub qh: [u8; 16],
    /// Scales of 16 weights and the scale of them all, 16 bits for 64 weights, little-endian.
    pub scales: [u8; 8],
}

impl Coded for BlockIQ1M {
    const SIGNED: bool = false;
    const OFFSET: i32 = OFFSET;
    const UNIT: f32 = 0.125;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        for (g, out) in out.eights().iter_mut().enumerate() {
            let high = u32::from(self.qh[g / 2]) >> (4 * (g % 2));
            *out = bytes(u32::from(self.qs[g]) | high << 8, high >> 3 & 1);
        }
        out.d = 0;
        let words = self.scales.as_chunks::<2>().0;
        for (scales, &word) in out.scales.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            let word = u16::from_le_bytes(word);
            *scales = [word << 1, word >> 2, word >> 5, word >> 8].map(|s| (s & 14 | 1) as i8);
            out.d = out.d >> 4 | word & 0xf000;
        }
    }

    fn encode(x: &[f32]) -> Self {
        let (unit, scales) =
            odd_scales::<16>(x, 7, &LARGEST, |x, inverse| near(x, inverse, shifts_down(x)).1);
        let (mut qs, mut qh) = ([0; 32], [0; 16]);
        for g in 0..32 {
            let x = &x[8 * g..8 * g + 8];
            let down = shifts_down(x);
            let (index, _) = near(x, inverse(unit * f32::from(2 * scales[g / 2] + 1)), down);
            qs[g] = index as u8;
            qh[g / 2] |= ((index >> 8) as u8 | u8::from(down) << 3) << (4 * (g % 2));
        }
        let d = f16::from_f32_const(8.0 * unit).to_bits();
        let mut packed = [0; 8];
        for (i, packed) in packed.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let some = (0..4).map(|k| u16::from(scales[4 * i + k]) << (3 * k)).sum::<u16>();
            *packed = (some | d >> (4 * i) << 12).to_le_bytes();
        }
        Self { qs, qh, scales: packed }
    }
}
