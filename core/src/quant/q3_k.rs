//! Q3_K: 256 weights as 3-bit integers around 4, a signed 6-bit scale per 16, one f16 scale.
//! 3.4375 bits per weight.
//!
//! ```text
//! byte 0..32     hmask[l]            bit j = bit 2 of weight 32 j + l
//! byte 32..96    qs[32 h + l]        bits 2j..2j+2 = lower bits of weight 128 h + 32 j + l
//! byte 96..108   scales              see `scales_q3_k`
//! byte 108..110  d                   f16
//! weight = d * scale[w / 16] * (q - 4)
//! ```

use super::k_scales::{inverse, max_abs, nearest, pack_scales_q3_k, scales_q3_k, sub_dots};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_q3_K`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ3K {
    /// Third bits: eight weights a byte, 32 apart.
    pub hmask: [u8; 32],
    /// Lower two bits: four weights a byte, 32 apart.
    pub qs: [u8; 64],
    /// Sixteen packed 6-bit scales.
    pub scales: [u8; 12],
    /// Scale of the scales, f16 bits, little-endian.
    pub d: [u8; 2],
}

impl BlockQ3K {
    /// The scale of the scales.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The 256 integers, in -4..4.
    fn ints(&self) -> [i8; 256] {
        std::array::from_fn(|w| {
            let low = self.qs[w / 128 * 32 + w % 32] >> (w / 32 % 4 * 2) & 3;
            let high = self.hmask[w % 32] >> (w / 32) & 1;
            (low | high << 2) as i8 - 4
        })
    }
}

impl Block for BlockQ3K {
    const LEN: usize = 256;
    const ACT: ActFormat = ActFormat::Q8x256;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, scales) = (self.scale(), scales_q3_k(&self.scales));
        for (w, (o, q)) in out.iter_mut().zip(self.ints()).enumerate() {
            *o = d * f32::from(scales[w / 16]) * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let wanted: [f32; 16] = std::array::from_fn(|j| max_abs(&x[16 * j..16 * j + 16]) / 3.5);
        let d = max_abs(&wanted) / 31.0;
        let scales = wanted.map(|s| nearest(s, inverse(d), 0, 31) as i8);
        let q = |w: usize| (nearest(x[w], inverse(d * f32::from(scales[w / 16])), -4, 3) + 4) as u8;
        Self {
            hmask: std::array::from_fn(|l| (0..8).map(|j| (q(32 * j + l) >> 2) << j).sum()),
            qs: std::array::from_fn(|i| {
                (0..4).map(|j| (q(i / 32 * 128 + 32 * j + i % 32) & 3) << (2 * j)).sum()
            }),
            scales: pack_scales_q3_k(scales),
            d: f16::from_f32_const(d).to_le_bytes(),
        }
    }

    /// |sum| <= 256 * 32 * 4 * 127 < 2^22: no overflow.
    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let dots = sub_dots::<16>(&self.ints(), act.qs);
        let scales = scales_q3_k(&self.scales);
        let sum: i32 = dots.iter().zip(scales).map(|(d, s)| d * i32::from(s)).sum();
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
