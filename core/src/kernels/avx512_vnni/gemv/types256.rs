//! What each type with blocks of 256 looks like. The layouts are drawn in `crate::quant`.

use std::arch::x86_64::*;

use super::b32::{iq4_values, nibbles};
use super::b256::Row256;
use crate::quant::*;

#[inline(always)]
unsafe fn load64(p: *const u8) -> __m512i {
    // SAFETY: the caller's: 64 bytes are there.
    unsafe { _mm512_loadu_si512(p.cast()) }
}

/// The 32 bytes at `p`, twice.
#[inline(always)]
unsafe fn twice32(p: *const u8) -> __m512i {
    // SAFETY: the caller's: 32 bytes are there.
    unsafe { _mm512_broadcast_i64x4(_mm256_loadu_si256(p.cast())) }
}

/// `low` in each byte of the lower half, `high` in the upper.
#[inline(always)]
unsafe fn per_half(low: u8, high: u8) -> __m512i {
    // SAFETY: only needs the instructions.
    unsafe {
        let low = _mm512_castsi256_si512(_mm256_set1_epi8(low as i8));
        _mm512_inserti64x4::<1>(low, _mm256_set1_epi8(high as i8))
    }
}

/// Adds `add` to the weights whose byte of `bits` has the bit `low`, in the lower half, or `high`, in the upper.
#[inline(always)]
unsafe fn add_where(w: __m512i, bits: __m512i, (low, high): (u8, u8), add: i8) -> __m512i {
    // SAFETY: only needs the instructions.
    unsafe {
        _mm512_mask_add_epi8(w, _mm512_test_epi8_mask(bits, per_half(low, high)), w, _mm512_set1_epi8(add))
    }
}

/// The 8 bytes of `x`, each twice.
#[inline(always)]
unsafe fn doubled(x: u64) -> __m128i {
    // SAFETY: only needs the instructions.
    unsafe {
        let x = _mm_cvtsi64_si128(x as i64);
        _mm_unpacklo_epi8(x, x)
    }
}

/// The scales and minimums of Q4_K and Q5_K: see [`scale_min_k4`].
#[inline(always)]
unsafe fn scales_k4(p: *const u8) -> [__m128i; 2] {
    // SAFETY: the caller's: inside the block's first 16 bytes.
    unsafe {
        let word = |i: usize| u64::from(p.add(4 * i).cast::<u32>().read_unaligned());
        let (a, b, c) = (word(1), word(2), word(3));
        let scales = (a & 0x3f3f_3f3f) | ((c & 0x0f0f_0f0f) | (a >> 2 & 0x3030_3030)) << 32;
        let mins = (b & 0x3f3f_3f3f) | ((c >> 4 & 0x0f0f_0f0f) | (b >> 2 & 0x3030_3030)) << 32;
        [doubled(scales), doubled(mins)]
    }
}

/// Q4_K's and Q5_K's: two chunks of 32 bytes a register, low nibbles, then high ones.
const CHUNKS: [u8; 16] = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
/// Q2_K's and Q3_K's: pairs of bits, from two halves.
const BITS: [u8; 16] = [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15];

impl Row256 for BlockQ4K {
    const MAX: u32 = 15;
    const SHIFT: i32 = 0;
    const SCALE: usize = 0;
    const MIN: Option<usize> = Some(2);
    const ORDER: [u8; 16] = CHUNKS;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> [__m512i; 4] {
        // SAFETY: inside the block.
        unsafe {
            let ([a, b], [c, d]) = (nibbles(load64(p.add(16))), nibbles(load64(p.add(80))));
            [a, b, c, d]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8) -> [__m128i; 2] {
        // SAFETY: inside the block.
        unsafe { scales_k4(p) }
    }
}

impl Row256 for BlockQ5K {
    const MAX: u32 = 31;
    const SHIFT: i32 = 0;
    const SCALE: usize = 0;
    const MIN: Option<usize> = Some(2);
    const ORDER: [u8; 16] = CHUNKS;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> [__m512i; 4] {
        // SAFETY: inside the block.
        unsafe {
            let high = twice32(p.add(16));
            let ([a, b], [c, d]) = (nibbles(load64(p.add(48))), nibbles(load64(p.add(112))));
            [
                add_where(a, high, (1, 4), 16),
                add_where(b, high, (2, 8), 16),
                add_where(c, high, (16, 64), 16),
                add_where(d, high, (32, 128), 16),
            ]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8) -> [__m128i; 2] {
        // SAFETY: inside the block.
        unsafe { scales_k4(p) }
    }
}

/// Weights `128 h..128 h + 64` of a block of Q6_K, and the next 64.
#[inline(always)]
unsafe fn half_q6_k(p: *const u8, h: usize) -> [__m512i; 2] {
    // SAFETY: the caller's: inside the block.
    unsafe {
        let upper = _mm512_set1_epi8(0x30);
        let [low, high] = nibbles(load64(p.add(64 * h)));
        let bits = twice32(p.add(128 + 32 * h));
        // Per 16 bits; what crosses into the next byte is masked off.
        let up = _mm512_sllv_epi16(bits, words_per_half(4, 2));
        let down = _mm512_srlv_epi16(bits, words_per_half(0, 2));
        [
            _mm512_or_si512(low, _mm512_and_si512(up, upper)),
            _mm512_or_si512(high, _mm512_and_si512(down, upper)),
        ]
    }
}

/// `low` in each 16 bits of the lower half, `high` in the upper.
#[inline(always)]
unsafe fn words_per_half(low: i16, high: i16) -> __m512i {
    // SAFETY: only needs the instructions.
    unsafe {
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(_mm256_set1_epi16(low)), _mm256_set1_epi16(high))
    }
}

impl Row256 for BlockQ6K {
    const MAX: u32 = 63;
    const SHIFT: i32 = 5;
    const SCALE: usize = 208;
    const MIN: Option<usize> = None;
    const ORDER: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> [__m512i; 4] {
        // SAFETY: inside the block.
        unsafe {
            let ([a, b], [c, d]) = (half_q6_k(p, 0), half_q6_k(p, 1));
            [a, b, c, d]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8) -> [__m128i; 2] {
        // SAFETY: inside the block.
        unsafe { [_mm_loadu_si128(p.add(192).cast()); 2] }
    }
}

impl Row256 for BlockQ2K {
    const MAX: u32 = 3;
    const SHIFT: i32 = 0;
    const SCALE: usize = 80;
    const MIN: Option<usize> = Some(82);
    const ORDER: [u8; 16] = BITS;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> [__m512i; 4] {
        // SAFETY: inside the block.
        unsafe { pairs_of_bits(load64(p.add(16))) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8) -> [__m128i; 2] {
        // SAFETY: inside the block.
        unsafe {
            let (x, low) = (_mm_loadu_si128(p.cast()), _mm_set1_epi8(15));
            [_mm_and_si128(x, low), _mm_and_si128(_mm_srli_epi16::<4>(x), low)]
        }
    }
}

/// Bits 0 and 1 of every byte, 2 and 3, 4 and 5, 6 and 7.
#[inline(always)]
unsafe fn pairs_of_bits(x: __m512i) -> [__m512i; 4] {
    // SAFETY: only needs the instructions.
    unsafe {
        let two = _mm512_set1_epi8(3);
        [
            _mm512_and_si512(x, two),
            _mm512_and_si512(_mm512_srli_epi16::<2>(x), two),
            _mm512_and_si512(_mm512_srli_epi16::<4>(x), two),
            _mm512_and_si512(_mm512_srli_epi16::<6>(x), two),
        ]
    }
}

impl Row256 for BlockQ3K {
    const MAX: u32 = 7;
    const SHIFT: i32 = 2;
    const SCALE: usize = 108;
    const MIN: Option<usize> = None;
    const ORDER: [u8; 16] = BITS;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> [__m512i; 4] {
        // SAFETY: inside the block.
        unsafe {
            let third = twice32(p);
            let [a, b, c, d] = pairs_of_bits(load64(p.add(32)));
            [
                add_where(a, third, (1, 16), 4),
                add_where(b, third, (2, 32), 4),
                add_where(c, third, (4, 64), 4),
                add_where(d, third, (8, 128), 4),
            ]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8) -> [__m128i; 2] {
        // SAFETY: inside the block. See `scales_q3_k`.
        unsafe {
            let word = |i: usize| p.add(96 + 4 * i).cast::<i32>().read_unaligned();
            let (a, b, c) = (word(0), word(1), word(2));
            let (low, high) = (0x0f0f_0f0f, 0x3030_3030);
            let x = _mm_setr_epi32(
                a & low | c << 4 & high,
                b & low | c << 2 & high,
                a >> 4 & low | c & high,
                b >> 4 & low | c >> 2 & high,
            );
            [_mm_sub_epi8(x, _mm_set1_epi8(32)); 2]
        }
    }
}

impl Row256 for BlockIQ4XS {
    const MAX: u32 = 255;
    const SHIFT: i32 = 7;
    const SCALE: usize = 0;
    const MIN: Option<usize> = None;
    const ORDER: [u8; 16] = [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15];

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> [__m512i; 4] {
        // SAFETY: inside the block.
        unsafe {
            let values = iq4_values();
            let ([a, b], [c, d]) = (nibbles(load64(p.add(8))), nibbles(load64(p.add(72))));
            [
                _mm512_shuffle_epi8(values, a),
                _mm512_shuffle_epi8(values, b),
                _mm512_shuffle_epi8(values, c),
                _mm512_shuffle_epi8(values, d),
            ]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8) -> [__m128i; 2] {
        // SAFETY: inside the block. See `BlockIQ4XS::sub_scales`.
        unsafe {
            let word = |at: usize| p.add(at).cast::<u32>().read_unaligned();
            let (mut low, mut high) = (u64::from(word(4)), u64::from(word(0) >> 16));
            // Eight nibbles to a byte each, and eight pairs of bits.
            low = (low | low << 16) & 0x0000_ffff_0000_ffff;
            low = (low | low << 8) & 0x00ff_00ff_00ff_00ff;
            low = (low | low << 4) & 0x0f0f_0f0f_0f0f_0f0f;
            high = (high | high << 24) & 0x0000_00ff_0000_00ff;
            high = (high | high << 12) & 0x000f_000f_000f_000f;
            high = (high | high << 6) & 0x0303_0303_0303_0303;
            [_mm_sub_epi8(doubled(low | high << 4), _mm_set1_epi8(32)); 2]
        }
    }
}
