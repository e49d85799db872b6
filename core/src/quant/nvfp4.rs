//! NVFP4: 64 weights as 4-bit floats, an 8-bit float as scale for each sixteen. 4.5 bits per weight.
//!
//! ```text
//! byte 0..4    d[j]                  UE4M3: the scale of weights 16 j..16 j + 16
//! byte 4..36   qs[8 j + i]  low nibble = weight 16 j + i,  high nibble = weight 16 j + i + 8
//! weight = d[j] / 2 * FP4_VALUES[q]
//! UE4M3: the highest bit counts for nothing; 4 bits of exponent e, biased by 7; 3 of mantissa m
//!        2^(e - 7) * (1 + m / 8),  m / 512 for e = 0,  0 for the byte 7f
//! ```
//!
//! A scale has too wide a range for sums of integers over a block, and sixteen weights are what a step of the float
//! products takes: so this is multiplied as a float type, with activations as they are.

use super::k_scales::{inverse, max_abs, nearest_index};
use super::{ActBlock, ActFormat, Block, FP4_VALUES};

/// A block of 64 weights. Layout of ggml's `block_nvfp4`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockNVFP4 {
    /// Scales.
    pub d: [u8; 4],
    /// Nibbles.
    pub qs: [u8; 32],
}

impl BlockNVFP4 {
    /// What a doubled value of the `j`-th sixteen is worth.
    #[inline(always)]
    pub fn scale(&self, j: usize) -> f32 {
        half_scale(self.d[j])
    }

    /// The nibbles of the `j`-th sixteen.
    #[inline(always)]
    pub fn nibbles(&self, j: usize) -> &[u8; 8] {
        &self.qs.as_chunks().0[j]
    }
}

/// Half of a UE4M3 number.
#[inline(always)]
fn half_scale(byte: u8) -> f32 {
    if byte == 0x7f {
        return 0.0;
    }
    // As the bits of a float it is 2^120 too small, which makes its subnormal numbers right as well.
    f32::from_bits(u32::from(byte & 0x7f) << 20) * f32::from_bits((127 + 119) << 23)
}

impl Block for BlockNVFP4 {
    const LEN: usize = 64;
    const ACT: ActFormat = ActFormat::F32;

    fn dequantize(&self, out: &mut [f32]) {
        for (j, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let d = self.scale(j);
            for (i, q) in self.nibbles(j).iter().enumerate() {
                out[i] = d * f32::from(FP4_VALUES[usize::from(q & 15)]);
                out[i + 8] = d * f32::from(FP4_VALUES[usize::from(q >> 4)]);
            }
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let mut block = Self { d: [0; 4], qs: [0; 32] };
        for (j, x) in x.as_chunks::<16>().0.iter().enumerate() {
            // The smallest scale with which the largest weight is not cut, and of it and the one below the better one.
            let wanted = max_abs(x) / 12.0;
            let first = (0..0x7e).find(|&d| half_scale(d) >= wanted).unwrap_or(0x7e);
            let nibble = |d: u8, x: f32| nearest_index(x * inverse(half_scale(d)), &FP4_VALUES);
            let error = |d: &u8| -> f32 {
                let value = |x| f32::from(FP4_VALUES[usize::from(nibble(*d, x))]) * half_scale(*d);
                x.iter().map(|&x| (x - value(x)).powi(2)).sum()
            };
            let best =
                [first, first.saturating_sub(1)].into_iter().min_by(|a, b| error(a).total_cmp(&error(b)));
            let d = best.unwrap_or(first);
            block.d[j] = d;
            for i in 0..8 {
                block.qs[8 * j + i] = nibble(d, x[i]) | nibble(d, x[i + 8]) << 4;
            }
        }
        block
    }

    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let mut weights = [0.0; 64];
        self.dequantize(&mut weights);
        weights.iter().zip(act.f32).fold(acc, |acc, (w, x)| w.mul_add(*x, acc))
    }
}
