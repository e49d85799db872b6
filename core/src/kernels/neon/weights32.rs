//! Blocks of 32 weights as two registers of signed bytes.

use std::arch::aarch64::*;

use super::simd::{insert, load_i8, load_u8, part_u8, widen_f16};
use crate::quant::{
    BlockIQ4NL, BlockMXFP4, BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, FP4_VALUES, IQ4_VALUES,
};
use crate::tensor::PlainBlock;

/// What the products must know of a block of 32 weights: `weight i = d * (raw i - OFFSET) + m`.
pub(in crate::kernels) trait Weights32: PlainBlock {
    /// Largest magnitude of `raw`.
    const MAX: i32;
    /// What is subtracted from `raw`; products do it through the sums of the activations.
    const OFFSET: i16 = 0;
    /// Whether there is a minimum.
    const MIN: bool = false;

    /// The 32 integers in order.
    fn raw(&self) -> [int8x16_t; 2];
    /// The scale, f16 bits; for types with other scales, what [`scales4`](Self::scales4) makes floats of.
    fn d(&self) -> u16;
    /// The minimum, f16 bits.
    fn m(&self) -> u16 {
        0
    }

    /// Four [`d`](Self::d) as floats.
    #[inline(always)]
    fn scales4(d: [u16; 4]) -> float32x4_t {
        widen_f16(d)
    }

    /// `raw - OFFSET`, which fits `i8`.
    #[inline(always)]
    fn signed(&self) -> [int8x16_t; 2] {
        let [a, b] = self.raw();
        if Self::OFFSET == 0 {
            return [a, b];
        }
        // SAFETY: NEON is always there.
        unsafe {
            let offset = vdupq_n_s8(Self::OFFSET as i8);
            [vsubq_s8(a, offset), vsubq_s8(b, offset)]
        }
    }
}

/// Low nibbles, then high nibbles.
#[inline(always)]
pub(super) fn nibbles(x: uint8x16_t) -> [uint8x16_t; 2] {
    // SAFETY: NEON is always there.
    unsafe { [vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x)] }
}

#[inline(always)]
pub(super) fn signed([a, b]: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: NEON is always there.
    unsafe { [vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)] }
}

/// Nibbles of `qs` with bit `i` of `high` as weight `i`'s fifth bit.
#[inline(always)]
fn five_bits(qs: &[u8; 16], high: &[u8; 4]) -> [int8x16_t; 2] {
    const BYTE: [[u8; 16]; 2] =
        [[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]];
    const BIT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    let [a, b] = nibbles(load_u8(qs));
    // SAFETY: NEON is always there. VTST makes a byte of ones of a set bit, and its bit 4 is taken.
    unsafe {
        let bits = vreinterpretq_u8_u32(vdupq_n_u32(u32::from_le_bytes(*high)));
        let [low, high] = BYTE.map(|byte| vtstq_u8(vqtbl1q_u8(bits, load_u8(&byte)), load_u8(&BIT)));
        let bit4 = vdupq_n_u8(16);
        signed([insert(a, low, bit4), insert(b, high, bit4)])
    }
}

/// The values of `table` that nibbles stand for.
#[inline(always)]
pub(super) fn looked_up(indices: [uint8x16_t; 2], table: &[i8; 16]) -> [int8x16_t; 2] {
    let table = load_i8(table);
    // SAFETY: NEON is always there.
    indices.map(|i| unsafe { vqtbl1q_s8(table, i) })
}

/// The scales of [`BlockMXFP4`] whose exponents are in the lanes.
#[inline(always)]
pub(super) fn powers_of_two(e: uint32x4_t) -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let at_least_1 = vmaxq_u32(e, vdupq_n_u32(1));
        // 2^-128 and 2^-127 are subnormal: 1 << 21 and 2 << 21.
        let subnormal = vshlq_n_u32::<21>(vsubq_u32(vaddq_u32(e, vdupq_n_u32(2)), at_least_1));
        let normal = vshlq_n_u32::<23>(vsubq_u32(at_least_1, vdupq_n_u32(1)));
        vreinterpretq_f32_u32(vmaxq_u32(normal, subnormal))
    }
}

impl Weights32 for BlockMXFP4 {
    const MAX: i32 = 12;

    #[inline(always)]
    fn raw(&self) -> [int8x16_t; 2] {
        looked_up(nibbles(part_u8(&self.qs, 0)), &FP4_VALUES)
    }

    /// The exponent.
    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from(self.e)
    }

    #[inline(always)]
    fn scales4([a, b, c, d]: [u16; 4]) -> float32x4_t {
        let e = [u32::from(a), u32::from(b), u32::from(c), u32::from(d)];
        // SAFETY: NEON is always there; four values inside the array.
        powers_of_two(unsafe { vld1q_u32(e.as_ptr()) })
    }
}

impl Weights32 for BlockQ4_0 {
    const MAX: i32 = 15;
    const OFFSET: i16 = 8;

    #[inline(always)]
    fn raw(&self) -> [int8x16_t; 2] {
        signed(nibbles(load_u8(&self.qs)))
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }
}

impl Weights32 for BlockQ4_1 {
    const MAX: i32 = 15;
    const MIN: bool = true;

    #[inline(always)]
    fn raw(&self) -> [int8x16_t; 2] {
        signed(nibbles(load_u8(&self.qs)))
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn m(&self) -> u16 {
        u16::from_le_bytes(self.m)
    }
}

impl Weights32 for BlockQ5_0 {
    const MAX: i32 = 31;
    const OFFSET: i16 = 16;

    #[inline(always)]
    fn raw(&self) -> [int8x16_t; 2] {
        five_bits(&self.qs, &self.qh)
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }
}

impl Weights32 for BlockQ5_1 {
    const MAX: i32 = 31;
    const MIN: bool = true;

    #[inline(always)]
    fn raw(&self) -> [int8x16_t; 2] {
        five_bits(&self.qs, &self.qh)
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn m(&self) -> u16 {
        u16::from_le_bytes(self.m)
    }
}

impl Weights32 for BlockQ8_0 {
    const MAX: i32 = 128;

    #[inline(always)]
    fn raw(&self) -> [int8x16_t; 2] {
        let halves = self.qs.as_chunks::<16>().0;
        [load_i8(&halves[0]), load_i8(&halves[1])]
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }
}

impl Weights32 for BlockIQ4NL {
    const MAX: i32 = 128;

    #[inline(always)]
    fn raw(&self) -> [int8x16_t; 2] {
        looked_up(nibbles(part_u8(&self.qs, 0)), &IQ4_VALUES)
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }
}
