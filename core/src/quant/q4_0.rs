//! Q4_0: 32 weights as 4-bit integers around 8, one f16 scale. 4.5 bits per weight.
//!
//! ```text
//! byte 0..2   d                      f16
//! byte 2..18  qs[i]  low nibble  = weight i,  high nibble = weight i + 16
//! weight = d * (q - 8)
//! ```

use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 32 weights. Layout of ggml's `block_q4_0`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Nibbles: low = first half, high = second half.
    pub qs: [u8; 16],
}

impl BlockQ4_0 {
    /// The scale.
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The 32 integers, in 0..16.
    fn ints(&self) -> [u8; 32] {
        std::array::from_fn(|i| if i < 16 { self.qs[i] & 15 } else { self.qs[i - 16] >> 4 })
    }
}

impl Block for BlockQ4_0 {
    const LEN: usize = 32;
    const ACT: ActFormat = ActFormat::Q8x32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = self.scale();
        for (o, q) in out.iter_mut().zip(self.ints()) {
            *o = d * f32::from(q as i8 - 8);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        // The value of largest magnitude maps to -8, as in ggml.
        let extreme = x.iter().copied().fold(0.0f32, |m, v| if v.abs() > m.abs() { v } else { m });
        let d = extreme / -8.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        let q = |v: f32| ((v * inverse + 8.5) as i32).clamp(0, 15) as u8;
        Self {
            d: f16::from_f32_const(d).to_le_bytes(),
            qs: std::array::from_fn(|i| q(x[i]) | (q(x[i + 16]) << 4)),
        }
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let products: i32 = self.ints().iter().zip(act.qs).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
        let sum = products - 8 * i32::from(act.sums[0]);
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
