//! The K types of two and three bits and IQ4_XS as registers of signed bytes.

use std::arch::aarch64::*;

use super::simd::{load_i16, load_u8, part_u8};
use super::weights32::{looked_up, nibbles, signed};
use super::weights256::{Weights256, bytes, has_bit, insert, join, signed8, word};
use crate::quant::{BlockIQ4XS, BlockQ2K, BlockQ3K, IQ4_VALUES};

/// Bits `2j..2j + 2` of each byte, for `j` in 0..4.
#[inline(always)]
fn pairs(x: uint8x16_t) -> [uint8x16_t; 4] {
    // SAFETY: NEON is always there.
    unsafe {
        let three = vdupq_n_u8(3);
        [
            vandq_u8(x, three),
            vandq_u8(vshrq_n_u8::<2>(x), three),
            vandq_u8(vshrq_n_u8::<4>(x), three),
            vshrq_n_u8::<6>(x),
        ]
    }
}

impl Weights256 for BlockQ2K {
    const SUBS: usize = 16;
    const MAX: i32 = 3;
    const MIN: bool = true;

    #[inline(always)]
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let [a, c, p, r] = pairs(part_u8(&self.qs, 2 * HALF));
        let [b, d, q, s] = pairs(part_u8(&self.qs, 2 * HALF + 1));
        signed8([a, b, c, d, p, q, r, s])
    }

    #[inline(always)]
    fn scales(&self) -> int8x16_t {
        signed(nibbles(load_u8(&self.scales)))[0]
    }

    #[inline(always)]
    fn mins(&self) -> int8x16_t {
        signed(nibbles(load_u8(&self.scales)))[1]
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn dmin(&self) -> u16 {
        u16::from_le_bytes(self.dmin)
    }
}

impl Weights256 for BlockQ3K {
    const SUBS: usize = 16;
    const MAX: i32 = 7;
    const OFFSET: i16 = 4;

    #[inline(always)]
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let [a, c, p, r] = pairs(part_u8(&self.qs, 2 * HALF));
        let [b, d, q, s] = pairs(part_u8(&self.qs, 2 * HALF + 1));
        let (h0, h1, j) = (part_u8(&self.hmask, 0), part_u8(&self.hmask, 1), 4 * HALF);
        signed8([
            insert::<4>(a, has_bit(h0, j)),
            insert::<4>(b, has_bit(h1, j)),
            insert::<4>(c, has_bit(h0, j + 1)),
            insert::<4>(d, has_bit(h1, j + 1)),
            insert::<4>(p, has_bit(h0, j + 2)),
            insert::<4>(q, has_bit(h1, j + 2)),
            insert::<4>(r, has_bit(h0, j + 3)),
            insert::<4>(s, has_bit(h1, j + 3)),
        ])
    }

    /// Four bytes at a time; see `quant::scales_q3_k`.
    #[inline(always)]
    fn scales(&self) -> int8x16_t {
        let (a, b, c) = (word(&self.scales, 0), word(&self.scales, 1), word(&self.scales, 2));
        let (low, high) = (0x0f0f_0f0f, 0x3030_3030);
        let first = join((a & low) | (c << 4 & high), (b & low) | (c << 2 & high));
        let second = join((a >> 4 & low) | (c & high), (b >> 4 & low) | (c >> 2 & high));
        // SAFETY: NEON is always there.
        unsafe { vsubq_s8(bytes(first, second), vdupq_n_s8(32)) }
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }
}

impl Weights256 for BlockIQ4XS {
    const SUBS: usize = 8;
    const MAX: i32 = 128;

    #[inline(always)]
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let [[a, b], [c, d], [p, q], [r, s]] =
            std::array::from_fn(|i| looked_up(nibbles(part_u8(&self.qs, 4 * HALF + i)), &IQ4_VALUES));
        [a, b, c, d, p, q, r, s]
    }

    #[inline(always)]
    fn scales(&self) -> int8x16_t {
        const SHIFT: [i16; 8] = [0, -2, -4, -6, -8, -10, -12, -14];
        // SAFETY: NEON is always there. `SHIFT` shifts to the right.
        unsafe {
            let low = vcreate_u8(u64::from(u32::from_le_bytes(self.scales_l)));
            let low = vzip1_u8(vand_u8(low, vdup_n_u8(15)), vshr_n_u8::<4>(low));
            let high = vdupq_n_u16(u16::from_le_bytes(self.scales_h));
            let high = vmovn_u16(vshlq_u16(high, load_i16(&SHIFT)));
            let all = vorr_u8(low, vshl_n_u8::<4>(vand_u8(high, vdup_n_u8(3))));
            let scales = vsub_s8(vreinterpret_s8_u8(all), vdup_n_s8(32));
            vcombine_s8(scales, scales)
        }
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }
}
