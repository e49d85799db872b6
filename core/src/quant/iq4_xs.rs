//! IQ4_XS: 256 weights as 4-bit indices into the table of IQ4_NL, eight 6-bit scales, one f16 scale.
//! 4.25 bits per weight.
//!
//! ```text
//! byte 0..2     d                    f16
//! byte 2..4     scales_h             bits 2j..2j+2 = upper 2 bits of scale j (little-endian u16)
//! byte 4..8     scales_l             nibble j = lower 4 bits of scale j
//! byte 8..136   qs[16 j + i]         low nibble = weight 32 j + i, high nibble = weight 32 j + i + 16
//! weight = d * (scale[j] - 32) * IQ4_VALUES[q]
//! ```

use super::iq4_nl::IQ4_VALUES;
use super::k_scales::{inverse, max_abs, nearest, nearest_index, sub_dots};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq4_xs`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ4XS {
    /// Scale of the scales, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Upper two bits of the eight scales, little-endian.
    pub scales_h: [u8; 2],
    /// Lower four bits of the eight scales.
    pub scales_l: [u8; 4],
    /// Nibbles: 16 bytes per sub-block, low = first half, high = second half.
    pub qs: [u8; 128],
}

impl BlockIQ4XS {
    /// The scale of the scales.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// Scale of each sub-block of 32, in -32..32.
    #[inline(always)]
    pub fn sub_scales(&self) -> [i8; 8] {
        let high = u16::from_le_bytes(self.scales_h);
        std::array::from_fn(|j| {
            let low = self.scales_l[j / 2] >> (4 * (j % 2)) & 15;
            (low | ((high >> (2 * j) & 3) << 4) as u8) as i8 - 32
        })
    }

    /// The 256 integers, looked up.
    fn ints(&self) -> [i8; 256] {
        std::array::from_fn(|w| {
            let byte = self.qs[w / 32 * 16 + w % 16];
            IQ4_VALUES[usize::from(if w % 32 < 16 { byte & 15 } else { byte >> 4 })]
        })
    }
}

impl Block for BlockIQ4XS {
    const LEN: usize = 256;
    const ACT: ActFormat = ActFormat::Q8x256;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, scales) = (self.scale(), self.sub_scales());
        for (w, (o, q)) in out.iter_mut().zip(self.ints()).enumerate() {
            *o = d * f32::from(scales[w / 32]) * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let wanted: [f32; 8] = std::array::from_fn(|j| max_abs(&x[32 * j..32 * j + 32]) / 120.0);
        let d = max_abs(&wanted) / 31.0;
        let scales = wanted.map(|s| nearest(s, inverse(d), 0, 31) + 32);
        let q = |w: usize| nearest_index(x[w] * inverse(d * (scales[w / 32] - 32) as f32), &IQ4_VALUES);
        let high = (0..8).map(|j| (scales[j] as u16 >> 4) << (2 * j)).sum::<u16>();
        Self {
            d: f16::from_f32_const(d).to_le_bytes(),
            scales_h: high.to_le_bytes(),
            scales_l: std::array::from_fn(|i| {
                (scales[2 * i] & 15) as u8 | ((scales[2 * i + 1] & 15) << 4) as u8
            }),
            qs: std::array::from_fn(|i| {
                let w = i / 16 * 32 + i % 16;
                q(w) | (q(w + 16) << 4)
            }),
        }
    }

    /// |sum| <= 256 * 32 * 127 * 127 < 2^27: no overflow.
    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let dots = sub_dots::<8>(&self.ints(), act.qs);
        let sum: i32 = dots.iter().zip(self.sub_scales()).map(|(d, s)| d * i32::from(s)).sum();
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
