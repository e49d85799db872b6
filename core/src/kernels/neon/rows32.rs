//! Blocks of 32 weights of four rows at a time, read one after the other: what a product with one token needs.

use std::arch::aarch64::*;

use super::cursor::Cursor;
use super::simd::{load_u8, widen4};
use super::weights32::{Weights32, looked_up, nibbles, powers_of_two, signed};
use crate::quant::{
    BlockIQ4NL, BlockMXFP4, BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, FP4_VALUES, IQ4_VALUES,
};

/// What four blocks have beside their integers, a lane for each.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Heads {
    /// The scales, f16 bits, in the lower half; of types with a minimum, scale and minimum side by side.
    halves: uint32x4_t,
    /// The fifth bits of 32 weights.
    bits: uint32x4_t,
}

impl Heads {
    #[inline(always)]
    pub(in crate::kernels) fn new() -> Self {
        // SAFETY: NEON is always there.
        let zero = unsafe { vdupq_n_u32(0) };
        Self { halves: zero, bits: zero }
    }

    /// The scales of types without a minimum.
    #[inline(always)]
    pub(in crate::kernels) fn scales(&self) -> float32x4_t {
        // SAFETY: NEON is always there.
        widen4(unsafe { vget_low_u16(vreinterpretq_u16_u32(self.halves)) })
    }

    /// The scales and minimums of types that have both.
    #[inline(always)]
    pub(in crate::kernels) fn scales_mins(&self) -> [float32x4_t; 2] {
        // SAFETY: NEON is always there.
        unsafe { [widen4(vmovn_u32(self.halves)), widen4(vshrn_n_u32::<16>(self.halves))] }
    }

    /// Reads the scale of block `LANE`.
    ///
    /// # Safety
    /// - two bytes follow.
    #[inline(always)]
    unsafe fn scale<const LANE: usize>(&mut self, row: &mut Cursor) {
        // SAFETY: NEON is always there; as the caller promises.
        unsafe {
            let mut x = vreinterpretq_u16_u32(self.halves);
            row.lane16::<LANE>(&mut x);
            self.halves = vreinterpretq_u32_u16(x);
        }
    }
}

/// A block as it is in the file: nibbles in one register, or bytes in two.
type Packed = [uint8x16_t; 2];

/// Types whose blocks of 32 weights are read for four rows at once.
pub(in crate::kernels) trait Rows32: Weights32 {
    /// What is subtracted from what [`unpack`](Self::unpack) gives.
    const EXCESS: i16 = Self::OFFSET;
    /// Largest magnitude that it gives.
    const LARGEST: i32 = Self::MAX;
    /// Whether there are registers for eight rows at once.
    const EIGHT_ROWS: bool = true;

    /// Reads the next block of row `ROW` of four. Row 0 comes first.
    ///
    /// # Safety
    /// - a block follows.
    unsafe fn read<const ROW: usize>(row: &mut Cursor, heads: &mut Heads) -> Packed;

    /// The scales of types without a minimum.
    #[inline(always)]
    fn scales(heads: &Heads) -> float32x4_t {
        heads.scales()
    }

    /// The integers of row `ROW`, in order.
    fn unpack<const ROW: usize>(packed: Packed, heads: &Heads) -> [int8x16_t; 2];
}

/// Makes `read` for blocks of a scale and sixteen bytes.
macro_rules! nibbles_behind_a_scale {
    () => {
        #[inline(always)]
        unsafe fn read<const ROW: usize>(row: &mut Cursor, heads: &mut Heads) -> Packed {
            // SAFETY: a block has 18 bytes.
            unsafe {
                heads.scale::<ROW>(row);
                [row.sixteen(); 2]
            }
        }
    };
}

impl Rows32 for BlockQ4_0 {
    nibbles_behind_a_scale!();

    #[inline(always)]
    fn unpack<const ROW: usize>([x, _]: Packed, _: &Heads) -> [int8x16_t; 2] {
        signed(nibbles(x))
    }
}

impl Rows32 for BlockIQ4NL {
    nibbles_behind_a_scale!();

    #[inline(always)]
    fn unpack<const ROW: usize>([x, _]: Packed, _: &Heads) -> [int8x16_t; 2] {
        looked_up(nibbles(x), &IQ4_VALUES)
    }
}

impl Rows32 for BlockMXFP4 {
    #[inline(always)]
    unsafe fn read<const ROW: usize>(row: &mut Cursor, heads: &mut Heads) -> Packed {
        // SAFETY: a block has 17 bytes.
        unsafe {
            row.lane8::<ROW>(&mut heads.halves);
            [row.sixteen(); 2]
        }
    }

    #[inline(always)]
    fn scales(heads: &Heads) -> float32x4_t {
        powers_of_two(heads.halves)
    }

    #[inline(always)]
    fn unpack<const ROW: usize>([x, _]: Packed, _: &Heads) -> [int8x16_t; 2] {
        looked_up(nibbles(x), &FP4_VALUES)
    }
}

impl Rows32 for BlockQ4_1 {
    #[inline(always)]
    unsafe fn read<const ROW: usize>(row: &mut Cursor, heads: &mut Heads) -> Packed {
        // SAFETY: a block has 20 bytes.
        unsafe {
            row.lane32::<ROW>(&mut heads.halves);
            [row.sixteen(); 2]
        }
    }

    #[inline(always)]
    fn unpack<const ROW: usize>([x, _]: Packed, _: &Heads) -> [int8x16_t; 2] {
        signed(nibbles(x))
    }
}

impl Rows32 for BlockQ8_0 {
    #[inline(always)]
    unsafe fn read<const ROW: usize>(row: &mut Cursor, heads: &mut Heads) -> Packed {
        // SAFETY: a block has 34 bytes.
        unsafe {
            heads.scale::<ROW>(row);
            row.thirty_two()
        }
    }

    #[inline(always)]
    fn unpack<const ROW: usize>(packed: Packed, _: &Heads) -> [int8x16_t; 2] {
        signed(packed)
    }
}

/// Eight times `i`, eight times `i + 1`.
const fn two_bytes(i: usize) -> [u8; 16] {
    let (a, b) = (i as u8, i as u8 + 1);
    [a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b]
}

/// Five bits as signed bytes, 16 less than the weight: the nibble, and above it ones where the fifth bit is zero.
#[inline(always)]
fn five_bits<const ROW: usize>(x: uint8x16_t, heads: &Heads) -> [int8x16_t; 2] {
    const BIT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: NEON is always there.
    unsafe {
        let bits = vmvnq_u8(vreinterpretq_u8_u32(heads.bits));
        let low = vtstq_u8(vqtbl1q_u8(bits, load_u8(const { &two_bytes(4 * ROW) })), load_u8(&BIT));
        let high = vtstq_u8(vqtbl1q_u8(bits, load_u8(const { &two_bytes(4 * ROW + 2) })), load_u8(&BIT));
        signed([super::simd::insert(low, x, vdupq_n_u8(15)), vsriq_n_u8::<4>(high, x)])
    }
}

impl Rows32 for BlockQ5_0 {
    const EXCESS: i16 = 0;
    const LARGEST: i32 = 16;
    const EIGHT_ROWS: bool = false;

    #[inline(always)]
    unsafe fn read<const ROW: usize>(row: &mut Cursor, heads: &mut Heads) -> Packed {
        // SAFETY: a block has 22 bytes.
        unsafe {
            heads.scale::<ROW>(row);
            row.lane32::<ROW>(&mut heads.bits);
            [row.sixteen(); 2]
        }
    }

    #[inline(always)]
    fn unpack<const ROW: usize>([x, _]: Packed, heads: &Heads) -> [int8x16_t; 2] {
        five_bits::<ROW>(x, heads)
    }
}

impl Rows32 for BlockQ5_1 {
    const EXCESS: i16 = -16;
    const LARGEST: i32 = 16;
    const EIGHT_ROWS: bool = false;

    #[inline(always)]
    unsafe fn read<const ROW: usize>(row: &mut Cursor, heads: &mut Heads) -> Packed {
        // SAFETY: a block has 24 bytes.
        unsafe {
            row.lane32::<ROW>(&mut heads.halves);
            row.lane32::<ROW>(&mut heads.bits);
            [row.sixteen(); 2]
        }
    }

    #[inline(always)]
    fn unpack<const ROW: usize>([x, _]: Packed, heads: &Heads) -> [int8x16_t; 2] {
        five_bits::<ROW>(x, heads)
    }
}
