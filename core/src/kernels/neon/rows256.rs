//! Blocks of 256 weights of four rows at a time: their scales, as a product with one token needs them.

use std::arch::aarch64::*;

use super::gemv::ROWS;
use super::simd::*;
use super::weights256::Weights256;
use crate::quant::{BlockIQ4XS, BlockQ2K, BlockQ3K, BlockQ4K, BlockQ5K, BlockQ6K, Bytes256};

/// Types whose blocks of 256 weights are multiplied four rows at once.
pub(in crate::kernels) trait Rows256: Weights256 {
    /// What four blocks have beside their integers.
    type Heads<'a>: Copy;

    /// Reads it.
    fn heads<'a>(blocks: [&'a Self; ROWS]) -> Self::Heads<'a>;

    /// The sub-scales of one half of block `ROW`: of eight sub-blocks four in one register, of sixteen eight in two.
    fn row_scales<const HALF: usize, const ROW: usize>(heads: &Self::Heads<'_>) -> [int32x4_t; 2];

    /// Lane `r` = sum over the sub-blocks of block `r` of minimum times sum of activations; see [`sub_sums`].
    fn mins4(heads: &Self::Heads<'_>, sums: [int16x8_t; 2]) -> int32x4_t;

    /// Lane `r` = scale of the scales of block `r`.
    fn d4(heads: &Self::Heads<'_>) -> float32x4_t;

    /// Lane `r` = scale of the minimums of block `r`.
    fn dmin4(heads: &Self::Heads<'_>) -> float32x4_t;
}

/// Products of sub-scales or minimums with sums of activations, spread over four lanes.
#[inline(always)]
pub(super) fn times_sums([a, b]: [int16x8_t; 2], [x, y]: [int16x8_t; 2], subs: usize) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let low = vmlal_high_s16(vmull_s16(vget_low_s16(a), vget_low_s16(x)), a, x);
        if subs == 8 { low } else { vmlal_high_s16(vmlal_s16(low, vget_low_s16(b), vget_low_s16(y)), b, y) }
    }
}

/// Implements [`Rows256`] for types whose scales are read row by row: the heads are the blocks themselves, so that only
/// one row's scales are in registers.
macro_rules! by_row {
    ($($block:ty),*) => {$(
        impl Rows256 for $block {
            type Heads<'a> = [&'a Self; ROWS];

            #[inline(always)]
            fn heads<'a>(blocks: [&'a Self; ROWS]) -> [&'a Self; ROWS] {
                blocks
            }

            #[inline(always)]
            fn row_scales<const HALF: usize, const ROW: usize>(heads: &[&Self; ROWS]) -> [int32x4_t; 2] {
                let scales = wide(heads[ROW].scales());
                // SAFETY: NEON is always there.
                unsafe {
                    if Self::SUBS == 16 {
                        let eight = scales[HALF];
                        return [vmovl_s16(vget_low_s16(eight)), vmovl_high_s16(eight)];
                    }
                    let four =
                        if HALF == 0 { vmovl_s16(vget_low_s16(scales[0])) } else { vmovl_high_s16(scales[0]) };
                    [four; 2]
                }
            }

            #[inline(always)]
            fn mins4([a, b, c, d]: &[&Self; ROWS], sums: [int16x8_t; 2]) -> int32x4_t {
                sum_each([
                    times_sums(wide(a.mins()), sums, Self::SUBS),
                    times_sums(wide(b.mins()), sums, Self::SUBS),
                    times_sums(wide(c.mins()), sums, Self::SUBS),
                    times_sums(wide(d.mins()), sums, Self::SUBS),
                ])
            }

            #[inline(always)]
            fn d4(heads: &[&Self; ROWS]) -> float32x4_t {
                <Self as Weights256>::d4(*heads)
            }

            #[inline(always)]
            fn dmin4([a, b, c, d]: &[&Self; ROWS]) -> float32x4_t {
                widen_f16([a.dmin(), b.dmin(), c.dmin(), d.dmin()])
            }
        }
    )*};
}
by_row!(BlockQ2K, BlockQ3K, BlockQ6K, BlockIQ4XS, Bytes256);

/// The first sixteen bytes of four blocks of Q4_K or Q5_K, which begin alike: four words, each in a register with a lane
/// for each block. The first is the scales' scale and the minimums', the others are as `quant::scale_min_k4` says.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Words(uint32x4x4_t);

impl Words {
    /// The beginnings of four blocks.
    #[inline(always)]
    fn new([a, b, c, d]: [&[u8; 16]; ROWS]) -> Self {
        // SAFETY: NEON is always there; LD4 of one lane reads sixteen bytes, which the arrays have.
        unsafe {
            let zero = vdupq_n_u32(0);
            let x = uint32x4x4_t(zero, zero, zero, zero);
            let x = vld4q_lane_u32::<0>(a.as_ptr().cast(), x);
            let x = vld4q_lane_u32::<1>(b.as_ptr().cast(), x);
            let x = vld4q_lane_u32::<2>(c.as_ptr().cast(), x);
            Self(vld4q_lane_u32::<3>(d.as_ptr().cast(), x))
        }
    }

    /// Bytes of word `i`.
    #[inline(always)]
    fn word(&self, i: usize) -> uint8x16_t {
        let uint32x4x4_t(d, a, b, c) = self.0;
        // SAFETY: NEON is always there.
        unsafe { vreinterpretq_u8_u32([d, a, b, c][i]) }
    }

    /// Four 6-bit numbers of each block: those of the first half are in `first`, of the second in `low` and `first`.
    #[inline(always)]
    fn six_bits<const HALF: usize>(first: uint8x16_t, low: uint8x16_t) -> uint8x16_t {
        // SAFETY: NEON is always there.
        unsafe {
            if HALF == 0 {
                vandq_u8(first, vdupq_n_u8(63))
            } else {
                vsliq_n_u8::<4>(low, vshrq_n_u8::<6>(first))
            }
        }
    }

    /// Sub-scales of one half: byte `4 row + sub-block`.
    #[inline(always)]
    fn scales<const HALF: usize>(&self) -> uint8x16_t {
        // SAFETY: NEON is always there.
        Self::six_bits::<HALF>(self.word(1), unsafe { vandq_u8(self.word(3), vdupq_n_u8(15)) })
    }

    /// Minimums of one half, widened, of blocks 0 and 1 and of blocks 2 and 3.
    #[inline(always)]
    fn mins<const HALF: usize>(&self) -> [int16x8_t; 2] {
        // SAFETY: NEON is always there.
        unsafe {
            let mins = Self::six_bits::<HALF>(self.word(2), vshrq_n_u8::<4>(self.word(3)));
            wide(vreinterpretq_s8_u8(mins))
        }
    }
}

/// Implements [`Rows256`] for Q4_K and Q5_K.
macro_rules! by_words {
    ($($block:ty),*) => {$(
        impl Rows256 for $block {
            type Heads<'a> = Words;

            #[inline(always)]
            fn heads<'a>([a, b, c, d]: [&'a Self; ROWS]) -> Words {
                Words::new([a.head(), b.head(), c.head(), d.head()])
            }

            #[inline(always)]
            fn row_scales<const HALF: usize, const ROW: usize>(heads: &Words) -> [int32x4_t; 2] {
                // SAFETY: NEON is always there.
                unsafe {
                    let two = wide(vreinterpretq_s8_u8(heads.scales::<HALF>()))[ROW / 2];
                    let one =
                        if ROW % 2 == 0 { vmovl_s16(vget_low_s16(two)) } else { vmovl_high_s16(two) };
                    [one; 2]
                }
            }

            #[inline(always)]
            fn mins4(heads: &Words, [sums, _]: [int16x8_t; 2]) -> int32x4_t {
                let ([a, b], [c, d]) = (heads.mins::<0>(), heads.mins::<1>());
                // SAFETY: NEON is always there.
                unsafe {
                    let (x, y) = (vget_low_s16(sums), vget_high_s16(sums));
                    let (xx, yy) = (vcombine_s16(x, x), vcombine_s16(y, y));
                    sum_each([
                        vmlal_s16(vmull_s16(vget_low_s16(a), x), vget_low_s16(c), y),
                        vmlal_high_s16(vmull_high_s16(a, xx), c, yy),
                        vmlal_s16(vmull_s16(vget_low_s16(b), x), vget_low_s16(d), y),
                        vmlal_high_s16(vmull_high_s16(b, xx), d, yy),
                    ])
                }
            }

            #[inline(always)]
            fn d4(heads: &Words) -> float32x4_t {
                // SAFETY: NEON is always there.
                widen4(unsafe { vmovn_u32(heads.0.0) })
            }

            #[inline(always)]
            fn dmin4(heads: &Words) -> float32x4_t {
                // SAFETY: NEON is always there.
                widen4(unsafe { vshrn_n_u32::<16>(heads.0.0) })
            }
        }
    )*};
}
by_words!(BlockQ4K, BlockQ5K);

/// Blocks that begin with `d`, `dmin` and twelve bytes of scales.
trait Head {
    /// These sixteen bytes.
    fn head(&self) -> &[u8; 16];
}

macro_rules! head {
    ($($block:ty),*) => {$(
        const _: () = assert!(std::mem::offset_of!($block, d) == 0 && std::mem::offset_of!($block, scales) == 4);

        impl Head for $block {
            #[inline(always)]
            fn head(&self) -> &[u8; 16] {
                // SAFETY: a block is nothing but bytes, begins with these and is longer; the borrow is that of `self`.
                unsafe { &*std::ptr::from_ref(self).cast() }
            }
        }
    )*};
}
head!(BlockQ4K, BlockQ5K);
