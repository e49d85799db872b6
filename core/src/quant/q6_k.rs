//! Q6_K: 256 weights as 6-bit integers around 32, a signed 8-bit scale per 16, one f16 scale.
//! 6.5625 bits per weight.
//!
//! ```text
//! byte 0..128    ql[64 h + i]        low nibble  = lower bits of weight 128 h + i,
//!                                    high nibble = lower bits of weight 128 h + 64 + i
//! byte 128..192  qh[32 h + l]        bits 2j..2j+2 = upper bits of weight 128 h + 32 j + l
//! byte 192..208  scales              i8
//! byte 208..210  d                   f16
//! weight = d * scale[w / 16] * (q - 32)
//! ```

use super::k_scales::{inverse, max_abs, nearest, sub_dots};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_q6_K`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ6K {
    /// Lower four bits: 64 bytes per 128 weights, low nibble = first half, high = second half.
    pub ql: [u8; 128],
    /// Upper two bits: four weights a byte, 32 apart.
    pub qh: [u8; 64],
    /// Scale of each sub-block of 16.
    pub scales: [i8; 16],
    /// Scale of the scales, f16 bits, little-endian.
    pub d: [u8; 2],
}

impl BlockQ6K {
    /// The scale of the scales.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The 256 integers, in -32..32.
    fn ints(&self) -> [i8; 256] {
        std::array::from_fn(|w| {
            let byte = self.ql[w / 128 * 64 + w % 64];
            let low = if w % 128 < 64 { byte & 15 } else { byte >> 4 };
            let high = self.qh[w / 128 * 32 + w % 32] >> (w / 32 % 4 * 2) & 3;
            (low | high << 4) as i8 - 32
        })
    }
}

impl Block for BlockQ6K {
    const LEN: usize = 256;
    const ACT: ActFormat = ActFormat::Q8x256;

    fn dequantize(&self, out: &mut [f32]) {
        let d = self.scale();
        for (w, (o, q)) in out.iter_mut().zip(self.ints()).enumerate() {
            *o = d * f32::from(self.scales[w / 16]) * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let wanted: [f32; 16] = std::array::from_fn(|j| max_abs(&x[16 * j..16 * j + 16]) / 31.0);
        let d = max_abs(&wanted) / 127.0;
        let scales = wanted.map(|s| nearest(s, inverse(d), 0, 127) as i8);
        let q = |w: usize| (nearest(x[w], inverse(d * f32::from(scales[w / 16])), -32, 31) + 32) as u8;
        Self {
            ql: std::array::from_fn(|i| {
                let w = i / 64 * 128 + i % 64;
                (q(w) & 15) | (q(w + 64) << 4)
            }),
            qh: std::array::from_fn(|i| {
                (0..4).map(|j| (q(i / 32 * 128 + 32 * j + i % 32) >> 4) << (2 * j)).sum()
            }),
            scales,
            d: f16::from_f32_const(d).to_le_bytes(),
        }
    }

    /// |sum| <= 256 * 128 * 32 * 127 < 2^27: no overflow (also not as 0..64 and 32 times the sums apart: < 2^29).
    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let dots = sub_dots::<16>(&self.ints(), act.qs);
        let sum: i32 = dots.iter().zip(self.scales).map(|(d, s)| d * i32::from(s)).sum();
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
