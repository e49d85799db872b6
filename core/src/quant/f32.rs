//! F32: one weight as it is. 32 bits per weight.

use super::{ActBlock, ActFormat, Block};

/// One weight.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockF32(
    /// `f32` bits, little-endian.
    pub [u8; 4],
);

impl BlockF32 {
    /// The weight.
    #[inline(always)]
    pub fn to_f32(&self) -> f32 {
        f32::from_le_bytes(self.0)
    }
}

impl Block for BlockF32 {
    const LEN: usize = 1;
    const ACT: ActFormat = ActFormat::F32;

    fn dequantize(&self, out: &mut [f32]) {
        out[0] = self.to_f32();
    }

    fn quantize(x: &[f32]) -> Self {
        Self(x[0].to_le_bytes())
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        self.to_f32().mul_add(act.f32[0], acc)
    }
}
