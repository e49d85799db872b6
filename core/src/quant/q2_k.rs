//! Q2_K: 256 weights as 2-bit integers, a 4-bit scale and minimum per 16, f16 scales of both.
//! 2.625 bits per weight.
//!
//! ```text
//! byte 0..16   scales[j]             low nibble = scale j, high nibble = minimum j
//! byte 16..80  qs[32 h + l]          bits 2j..2j+2 = weight 128 h + 32 j + l
//! byte 80..82  d                     f16
//! byte 82..84  dmin                  f16
//! weight = d * scale[w / 16] * q - dmin * minimum[w / 16]
//! ```

use super::k_scales::{inverse, nearest, range_with_zero, sub_dots};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_q2_K`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ2K {
    /// Scale (low nibble) and minimum (high nibble) of each sub-block of 16.
    pub scales: [u8; 16],
    /// Four weights a byte, 32 apart.
    pub qs: [u8; 64],
    /// Scale of the scales, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Scale of the minimums, f16 bits, little-endian.
    pub dmin: [u8; 2],
}

impl BlockQ2K {
    /// The scale of the scales.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The scale of the minimums.
    #[inline(always)]
    pub fn min_scale(&self) -> f32 {
        f16::from_le_bytes(self.dmin).to_f32_const()
    }

    /// The 256 integers, in 0..4.
    fn ints(&self) -> [i8; 256] {
        std::array::from_fn(|w| (self.qs[w / 128 * 32 + w % 32] >> (w / 32 % 4 * 2) & 3) as i8)
    }
}

impl Block for BlockQ2K {
    const LEN: usize = 256;
    const ACT: ActFormat = ActFormat::Q8x256;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, dmin) = (self.scale(), self.min_scale());
        for (w, (o, q)) in out.iter_mut().zip(self.ints()).enumerate() {
            let s = self.scales[w / 16];
            *o = d * f32::from(s & 15) * f32::from(q) - dmin * f32::from(s >> 4);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let ranges: [(f32, f32); 16] = std::array::from_fn(|j| range_with_zero(&x[16 * j..16 * j + 16]));
        let d = ranges.iter().fold(0.0f32, |m, (low, high)| m.max((high - low) / 3.0)) / 15.0;
        let dmin = ranges.iter().fold(0.0f32, |m, (low, _)| m.max(-low)) / 15.0;
        let scales = ranges.map(|(low, high)| {
            let scale = nearest((high - low) / 3.0, inverse(d), 0, 15);
            (scale | nearest(-low, inverse(dmin), 0, 15) << 4) as u8
        });
        let q = |w: usize| {
            let s = scales[w / 16];
            nearest(x[w] + dmin * f32::from(s >> 4), inverse(d * f32::from(s & 15)), 0, 3) as u8
        };
        Self {
            scales,
            qs: std::array::from_fn(|i| (0..4).map(|j| q(i / 32 * 128 + 32 * j + i % 32) << (2 * j)).sum()),
            d: f16::from_f32_const(d).to_le_bytes(),
            dmin: f16::from_f32_const(dmin).to_le_bytes(),
        }
    }

    /// sum <= 256 * 15 * 3 * 127 < 2^21, and as much for the minimums: no overflow.
    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let dots = sub_dots::<16>(&self.ints(), act.qs);
        let sum: i32 = dots.iter().zip(self.scales).map(|(d, s)| d * i32::from(s & 15)).sum();
        let mins: i32 =
            act.sums.iter().zip(self.scales).map(|(&a, s)| i32::from(a) * i32::from(s >> 4)).sum();
        let acc = (sum as f32).mul_add(self.scale() * act.scale, acc);
        (mins as f32).mul_add(-(self.min_scale() * act.scale), acc)
    }
}
