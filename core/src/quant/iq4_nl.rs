//! IQ4_NL: 32 weights as 4-bit indices into a fixed table, one f16 scale. 4.5 bits per weight.
//!
//! ```text
//! byte 0..2   d                      f16
//! byte 2..18  qs[i]  low nibble  = weight i,  high nibble = weight i + 16
//! weight = d * IQ4_VALUES[q]
//! ```

use super::k_scales::{inverse, looked_up, max_abs, nearest_index};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// The sixteen values of IQ4_NL and IQ4_XS (ggml's `kvalues_iq4nl`).
pub const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// A block of 32 weights. Layout of ggml's `block_iq4_nl`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ4NL {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Nibbles: low = first half, high = second half.
    pub qs: [u8; 16],
}

impl BlockIQ4NL {
    /// The scale.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The 32 integers, looked up.
    fn ints(&self) -> [i8; 32] {
        looked_up(&self.qs, &IQ4_VALUES)
    }
}

impl Block for BlockIQ4NL {
    const LEN: usize = 32;
    const ACT: ActFormat = ActFormat::Q8x32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = self.scale();
        for (o, q) in out.iter_mut().zip(self.ints()) {
            *o = d * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        // 113 is the largest positive value: what is beyond it on that side is cut.
        let d = max_abs(x) / 120.0;
        let q = |v: f32| nearest_index(v * inverse(d), &IQ4_VALUES);
        Self {
            d: f16::from_f32_const(d).to_le_bytes(),
            qs: std::array::from_fn(|i| q(x[i]) | (q(x[i + 16]) << 4)),
        }
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let sum: i32 = self.ints().iter().zip(act.qs).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
