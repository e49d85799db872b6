//! Blocks of 256 weights as registers of signed bytes, with their sub-scales.

use std::arch::aarch64::*;

use super::simd::{self, load_f32, load_i8, part_u8, widen_f16};
use super::weights32::nibbles;
use crate::quant::{BlockQ4K, BlockQ5K, BlockQ6K, Bytes256};

/// What the products must know of a block of 256 weights in `SUBS` sub-blocks:
/// `weight i = d * scale[sub] * (raw i - OFFSET) - dmin * min[sub]`.
pub(in crate::kernels) trait Weights256: Sized {
    /// Sub-blocks: 8 of 32 weights or 16 of 16.
    const SUBS: usize;
    /// Largest magnitude of `raw`.
    const MAX: i32;
    /// What is subtracted from `raw`; products do it through the sums of the activations.
    const OFFSET: i16 = 0;
    /// Whether there are minimums.
    const MIN: bool = false;

    /// The integers `128 HALF .. 128 HALF + 128` in order.
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8];
    /// The sub-scales; with 8 sub-blocks the upper half means nothing.
    fn scales(&self) -> int8x16_t;
    /// The minimums of the sub-blocks, not negative; with 8 sub-blocks the upper half means nothing.
    #[inline(always)]
    fn mins(&self) -> int8x16_t {
        // SAFETY: NEON is always there.
        unsafe { vdupq_n_s8(0) }
    }
    /// The scale of the scales, f16 bits; 0 for types that say it in [`d4`](Self::d4).
    #[inline(always)]
    fn d(&self) -> u16 {
        0
    }
    /// The scales of the scales of four blocks.
    #[inline(always)]
    fn d4([a, b, c, d]: [&Self; 4]) -> float32x4_t {
        widen_f16([a.d(), b.d(), c.d(), d.d()])
    }
    /// The scale of the minimums, f16 bits.
    #[inline(always)]
    fn dmin(&self) -> u16 {
        0
    }

    /// `raw - OFFSET`, which fits `i8`.
    #[inline(always)]
    fn signed<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let raw = self.raw::<HALF>();
        if Self::OFFSET == 0 {
            return raw;
        }
        // SAFETY: NEON is always there.
        raw.map(|x| unsafe { vsubq_s8(x, vdupq_n_s8(Self::OFFSET as i8)) })
    }
}

/// A register of two words of bytes.
#[inline(always)]
pub(super) fn bytes(low: u64, high: u64) -> int8x16_t {
    // SAFETY: NEON is always there.
    unsafe { vcombine_s8(vcreate_s8(low), vcreate_s8(high)) }
}

#[inline(always)]
pub(super) fn word(x: &[u8; 12], i: usize) -> u32 {
    let x = x.as_chunks::<4>().0;
    u32::from_le_bytes(x[i])
}

#[inline(always)]
pub(super) fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// The eight 6-bit scales of Q4_K and Q5_K, four bytes at a time; see `quant::scale_min_k4`.
#[inline(always)]
fn scales_k4(x: &[u8; 12]) -> int8x16_t {
    let (a, c) = (word(x, 0), word(x, 2));
    bytes(join(a & 0x3f3f_3f3f, (c & 0x0f0f_0f0f) | (a >> 2 & 0x3030_3030)), 0)
}

/// The eight 6-bit minimums of Q4_K and Q5_K.
#[inline(always)]
fn mins_k4(x: &[u8; 12]) -> int8x16_t {
    let (b, c) = (word(x, 1), word(x, 2));
    bytes(join(b & 0x3f3f_3f3f, (c >> 4 & 0x0f0f_0f0f) | (b >> 2 & 0x3030_3030)), 0)
}

/// 64 nibbles of 32 bytes, in order.
#[inline(always)]
fn nibbles_64(qs: &[u8; 128], c: usize) -> [uint8x16_t; 4] {
    let ([a, p], [b, q]) = (nibbles(part_u8(qs, 2 * c)), nibbles(part_u8(qs, 2 * c + 1)));
    [a, b, p, q]
}

/// `x` with its bits `MASK` from `bits`.
#[inline(always)]
pub(super) fn insert<const MASK: u8>(x: uint8x16_t, bits: uint8x16_t) -> uint8x16_t {
    // SAFETY: NEON is always there.
    simd::insert(x, bits, unsafe { vdupq_n_u8(MASK) })
}

/// All ones where `x` has bit `bit`.
#[inline(always)]
pub(super) fn has_bit(x: uint8x16_t, bit: usize) -> uint8x16_t {
    // SAFETY: NEON is always there.
    unsafe { vtstq_u8(x, vdupq_n_u8(1 << bit)) }
}

#[inline(always)]
pub(super) fn signed8(x: [uint8x16_t; 8]) -> [int8x16_t; 8] {
    // SAFETY: NEON is always there.
    x.map(|x| unsafe { vreinterpretq_s8_u8(x) })
}

impl Weights256 for Bytes256 {
    const SUBS: usize = 16;
    const MAX: i32 = 64;

    #[inline(always)]
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let q = &self.q.as_chunks::<16>().0[8 * HALF..];
        [
            load_i8(&q[0]),
            load_i8(&q[1]),
            load_i8(&q[2]),
            load_i8(&q[3]),
            load_i8(&q[4]),
            load_i8(&q[5]),
            load_i8(&q[6]),
            load_i8(&q[7]),
        ]
    }

    #[inline(always)]
    fn scales(&self) -> int8x16_t {
        load_i8(&self.scales)
    }

    #[inline(always)]
    fn d4([a, b, c, d]: [&Self; 4]) -> float32x4_t {
        load_f32(&[a.d, b.d, c.d, d.d])
    }
}

impl Weights256 for BlockQ4K {
    const SUBS: usize = 8;
    const MAX: i32 = 15;
    const MIN: bool = true;

    #[inline(always)]
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let ([a, b, c, d], [p, q, r, s]) =
            (nibbles_64(&self.qs, 2 * HALF), nibbles_64(&self.qs, 2 * HALF + 1));
        signed8([a, b, c, d, p, q, r, s])
    }

    #[inline(always)]
    fn scales(&self) -> int8x16_t {
        scales_k4(&self.scales)
    }

    #[inline(always)]
    fn mins(&self) -> int8x16_t {
        mins_k4(&self.scales)
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

impl Weights256 for BlockQ5K {
    const SUBS: usize = 8;
    const MAX: i32 = 31;
    const MIN: bool = true;

    #[inline(always)]
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let ([a, b, c, d], [p, q, r, s]) =
            (nibbles_64(&self.qs, 2 * HALF), nibbles_64(&self.qs, 2 * HALF + 1));
        let (h0, h1, j) = (part_u8(&self.qh, 0), part_u8(&self.qh, 1), 4 * HALF);
        signed8([
            insert::<16>(a, has_bit(h0, j)),
            insert::<16>(b, has_bit(h1, j)),
            insert::<16>(c, has_bit(h0, j + 1)),
            insert::<16>(d, has_bit(h1, j + 1)),
            insert::<16>(p, has_bit(h0, j + 2)),
            insert::<16>(q, has_bit(h1, j + 2)),
            insert::<16>(r, has_bit(h0, j + 3)),
            insert::<16>(s, has_bit(h1, j + 3)),
        ])
    }

    #[inline(always)]
    fn scales(&self) -> int8x16_t {
        scales_k4(&self.scales)
    }

    #[inline(always)]
    fn mins(&self) -> int8x16_t {
        mins_k4(&self.scales)
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

impl Weights256 for BlockQ6K {
    const SUBS: usize = 16;
    const MAX: i32 = 63;
    const OFFSET: i16 = 32;

    #[inline(always)]
    fn raw<const HALF: usize>(&self) -> [int8x16_t; 8] {
        let [a, b, c, d] = std::array::from_fn(|i| part_u8(&self.ql, 4 * HALF + i));
        let ([a, p], [b, q], [c, r], [d, s]) = (nibbles(a), nibbles(b), nibbles(c), nibbles(d));
        let (h0, h1) = (part_u8(&self.qh, 2 * HALF), part_u8(&self.qh, 2 * HALF + 1));
        // SAFETY: NEON is always there. The two bits of each weight are moved to bits 4 and 5.
        unsafe {
            signed8([
                insert::<0x30>(a, vshlq_n_u8::<4>(h0)),
                insert::<0x30>(b, vshlq_n_u8::<4>(h1)),
                insert::<0x30>(c, vshlq_n_u8::<2>(h0)),
                insert::<0x30>(d, vshlq_n_u8::<2>(h1)),
                insert::<0x30>(p, h0),
                insert::<0x30>(q, h1),
                insert::<0x30>(r, vshrq_n_u8::<2>(h0)),
                insert::<0x30>(s, vshrq_n_u8::<2>(h1)),
            ])
        }
    }

    #[inline(always)]
    fn scales(&self) -> int8x16_t {
        load_i8(&self.scales)
    }

    #[inline(always)]
    fn d(&self) -> u16 {
        u16::from_le_bytes(self.d)
    }
}
