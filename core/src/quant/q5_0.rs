//! Q5_0: 32 weights as 5-bit integers around 16, one f16 scale. 5.5 bits per weight.
//!
//! ```text
//! byte 0..2   d                      f16
//! byte 2..6   qh                     bit i = bit 4 of weight i (little-endian u32)
//! byte 6..22  qs[i]  low nibble  = weight i,  high nibble = weight i + 16
//! weight = d * (q - 16)
//! ```

use super::k_scales::{inverse, nearest};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 32 weights. Layout of ggml's `block_q5_0`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ5_0 {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Fifth bits, little-endian: bit `i` belongs to weight `i`.
    pub qh: [u8; 4],
    /// Nibbles: low = first half, high = second half.
    pub qs: [u8; 16],
}

impl BlockQ5_0 {
    /// The scale.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The 32 integers, in -16..16.
    fn ints(&self) -> [i8; 32] {
        let high = u32::from_le_bytes(self.qh);
        std::array::from_fn(|i| {
            let low = if i < 16 { self.qs[i] & 15 } else { self.qs[i - 16] >> 4 };
            (low | ((high >> i & 1) << 4) as u8) as i8 - 16
        })
    }
}

impl Block for BlockQ5_0 {
    const LEN: usize = 32;
    const ACT: ActFormat = ActFormat::Q8x32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = self.scale();
        for (o, q) in out.iter_mut().zip(self.ints()) {
            *o = d * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        // The value of largest magnitude maps to -16, as in ggml.
        let extreme = x.iter().copied().fold(0.0f32, |m, v| if v.abs() > m.abs() { v } else { m });
        let d = extreme / -16.0;
        let q = |i: usize| (nearest(x[i], inverse(d), -16, 15) + 16) as u8;
        let high = (0..32).map(|i| u32::from(q(i) >> 4) << i).sum::<u32>();
        Self {
            d: f16::from_f32_const(d).to_le_bytes(),
            qh: high.to_le_bytes(),
            qs: std::array::from_fn(|i| (q(i) & 15) | (q(i + 16) << 4)),
        }
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let sum: i32 = self.ints().iter().zip(act.qs).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
