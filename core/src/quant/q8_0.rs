//! Q8_0: 32 weights as signed bytes, one f16 scale. 8.5 bits per weight.
//!
//! ```text
//! byte 0..2   d                      f16
//! byte 2..34  qs                     i8
//! weight = d * q
//! ```

use super::k_scales::{inverse, max_abs, nearest};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 32 weights. Layout of ggml's `block_q8_0`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// The integers. Files hold -127..=127, but -128 is legal.
    pub qs: [i8; 32],
}

impl BlockQ8_0 {
    /// The scale.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }
}

impl Block for BlockQ8_0 {
    const LEN: usize = 32;
    const ACT: ActFormat = ActFormat::Q8x32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = self.scale();
        for (o, q) in out.iter_mut().zip(self.qs) {
            *o = d * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let d = max_abs(x) / 127.0;
        Self {
            d: f16::from_f32_const(d).to_le_bytes(),
            qs: std::array::from_fn(|i| nearest(x[i], inverse(d), -127, 127) as i8),
        }
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let sum: i32 = self.qs.iter().zip(act.qs).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
