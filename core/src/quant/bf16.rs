//! BF16: one weight as a bfloat16: the upper half of an `f32`. 16 bits per weight.

use super::{ActBlock, ActFormat, Block};
use half::bf16;

/// One weight.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockBF16(
    /// bf16 bits, little-endian.
    pub [u8; 2],
);

impl BlockBF16 {
    /// The weight, widened without loss.
    #[inline(always)]
    pub fn to_f32(&self) -> f32 {
        bf16::from_le_bytes(self.0).to_f32_const()
    }
}

impl Block for BlockBF16 {
    const LEN: usize = 1;
    const ACT: ActFormat = ActFormat::F32;

    fn dequantize(&self, out: &mut [f32]) {
        out[0] = self.to_f32();
    }

    fn quantize(x: &[f32]) -> Self {
        Self(bf16::from_f32_const(x[0]).to_le_bytes())
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        self.to_f32().mul_add(act.f32[0], acc)
    }
}
