//! MXFP4: 32 weights as 4-bit floats, one exponent as scale. 4.25 bits per weight. (OCP Microscaling Formats 1.0.)
//!
//! ```text
//! byte 0      e                      E8M0: 2^(e - 127)
//! byte 1..17  qs[i]  low nibble  = weight i,  high nibble = weight i + 16
//! weight = 2^(e - 128) * FP4_VALUES[q]
//! ```
//!
//! As in ggml, `e = 255` is the power of two that it looks like, not NaN.

use super::k_scales::{inverse, looked_up, max_abs, nearest_index};
use super::{ActBlock, ActFormat, Block};

/// The sixteen values of a 4-bit float (E2M1: sign, two bits of exponent, one of mantissa), doubled.
pub const FP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// A block of 32 weights. Layout of ggml's `block_mxfp4`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockMXFP4 {
    /// Exponent of the scale, biased by 127.
    pub e: u8,
    /// Nibbles: low = first half, high = second half.
    pub qs: [u8; 16],
}

impl BlockMXFP4 {
    /// The scale of the doubled values: `2^(e - 128)`, for the two lowest exponents a subnormal number.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        let e = u32::from(self.e);
        f32::from_bits(if e < 2 { 1 << (21 + e) } else { (e - 1) << 23 })
    }

    /// The 32 integers, looked up.
    fn ints(&self) -> [i8; 32] {
        looked_up(&self.qs, &FP4_VALUES)
    }
}

impl Block for BlockMXFP4 {
    const LEN: usize = 32;
    const ACT: ActFormat = ActFormat::Q8x32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = self.scale();
        for (o, q) in out.iter_mut().zip(self.ints()) {
            *o = d * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        // The largest is between 4 and 8 times the power of two; above 6 it is cut.
        let exponent = max_abs(x).to_bits() >> 23;
        let block = Self { e: exponent.saturating_sub(2) as u8, qs: [0; 16] };
        let q = |v: f32| nearest_index(v * inverse(block.scale()), &FP4_VALUES);
        Self { qs: std::array::from_fn(|i| q(x[i]) | (q(x[i + 16]) << 4)), ..block }
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let sum: i32 = self.ints().iter().zip(act.qs).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
        (sum as f32).mul_add(self.scale() * act.scale, acc)
    }
}
