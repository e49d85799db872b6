//! Q4_1: 32 weights as 4-bit integers above a minimum, f16 scale and minimum. 5 bits per weight.
//!
//! ```text
//! byte 0..2   d                      f16
//! byte 2..4   m                      f16
//! byte 4..20  qs[i]  low nibble  = weight i,  high nibble = weight i + 16
//! weight = d * q + m
//! ```

use super::k_scales::{inverse, nearest};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 32 weights. Layout of ggml's `block_q4_1`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ4_1 {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Minimum, f16 bits, little-endian.
    pub m: [u8; 2],
    /// Nibbles: low = first half, high = second half.
    pub qs: [u8; 16],
}

impl BlockQ4_1 {
    /// The scale.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The minimum.
    #[inline(always)]
    pub fn min(&self) -> f32 {
        f16::from_le_bytes(self.m).to_f32_const()
    }

    /// The 32 integers, in 0..16.
    fn ints(&self) -> [u8; 32] {
        std::array::from_fn(|i| if i < 16 { self.qs[i] & 15 } else { self.qs[i - 16] >> 4 })
    }
}

impl Block for BlockQ4_1 {
    const LEN: usize = 32;
    const ACT: ActFormat = ActFormat::Q8x32;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, m) = (self.scale(), self.min());
        for (o, q) in out.iter_mut().zip(self.ints()) {
            *o = d * f32::from(q) + m;
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let low = x.iter().copied().fold(f32::INFINITY, f32::min);
        let high = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let d = (high - low) / 15.0;
        let q = |v: f32| nearest(v - low, inverse(d), 0, 15) as u8;
        Self {
            d: f16::from_f32_const(d).to_le_bytes(),
            m: f16::from_f32_const(low).to_le_bytes(),
            qs: std::array::from_fn(|i| q(x[i]) | (q(x[i + 16]) << 4)),
        }
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let sum: i32 = self.ints().iter().zip(act.qs).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
        let acc = (sum as f32).mul_add(self.scale() * act.scale, acc);
        self.min().mul_add(act.scale * f32::from(act.sums[0]), acc)
    }
}
