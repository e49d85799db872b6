//! TQ2_0: 256 weights of two bits, meant for -1, 0 and 1, one f16 scale. 2.0625 bits per weight.
//!
//! ```text
//! byte 0..64    qs[32 h + l]         bits 2j..2j+2 = weight 128 h + 32 j + l
//! byte 64..66   d                    f16
//! weight = d * (q - 1)
//! ```

use super::coded::{Coded, Codes256};
use super::k_scales::{inverse, max_abs, nearest};
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_tq2_0`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockTQ2_0 {
    /// Four weights a byte, 32 apart.
    pub qs: [u8; 64],
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
}

impl Coded for BlockTQ2_0 {
    const SIGNED: bool = false;
    const OFFSET: i32 = 1;
    const UNIT: f32 = 1.0;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        for (out, qs) in out.bytes.as_chunks_mut::<128>().0.iter_mut().zip(self.qs.as_chunks::<32>().0) {
            let mut bits = *qs;
            for out in out.as_chunks_mut::<32>().0 {
                for (o, bits) in out.iter_mut().zip(&mut bits) {
                    *o = *bits & 3;
                    *bits >>= 2; // by a constant: what has 16 lanes of bytes can do that
                }
            }
        }
        out.scales = [1; 16];
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let d = max_abs(x);
        let q = |w: usize| (nearest(x[w], inverse(d), -1, 1) + 1) as u8;
        Self {
            qs: std::array::from_fn(|i| (0..4).map(|j| q(i / 32 * 128 + 32 * j + i % 32) << (2 * j)).sum()),
            d: f16::from_f32_const(d).to_le_bytes(),
        }
    }
}
