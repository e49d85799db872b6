//! Sixteen rows' blocks of 32 weights, in the form the products want: groups of four weights as unsigned bytes, one
//! row per 32-bit lane.

use std::arch::x86_64::*;

use super::rows::Rows;
use crate::quant::*;

/// One block of each of sixteen rows.
#[derive(Clone, Copy)]
pub(super) struct Unpacked {
    /// Group `c` holds weights `4 c..4 c + 4`, each `OFFSET` too large.
    pub(super) tile: [__m512i; 8],
    pub(super) scale: __m512,
    /// Zero unless the type has a minimum.
    pub(super) min: __m512,
}

/// A type with blocks of 32 weights. `Block::dot` in terms of it:
/// `fma(float(tile . q - OFFSET * sum), scale * a, acc)`, and then, for types with a minimum,
/// `fma(min, a * float(sum), .)`, where `a` is the activations' scale and `sum` the sum of their `q`.
pub(super) trait Block32: Block {
    /// What was added to the weights to make them unsigned.
    const OFFSET: i32;
    /// Has a minimum.
    const MIN: bool;

    /// Unpacks the blocks that start at byte `offset` of each row.
    ///
    /// # Safety
    /// - `offset + size_of::<Self>() <=` the bytes per row;
    /// - the processor has the tier's instructions.
    unsafe fn unpack(rows: &Rows, offset: usize) -> Unpacked;
}

/// Low nibbles, then high nibbles.
#[inline(always)]
unsafe fn nibbles([a, b, c, d]: [__m512i; 4]) -> [__m512i; 8] {
    // SAFETY: the callers' instructions.
    unsafe {
        let mask = _mm512_set1_epi8(15);
        [
            _mm512_and_si512(a, mask),
            _mm512_and_si512(b, mask),
            _mm512_and_si512(c, mask),
            _mm512_and_si512(d, mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(a), mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(b), mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(c), mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(d), mask),
        ]
    }
}

/// Adds 16 to weight `i` where bit `i` of the row's lane is set.
#[inline(always)]
unsafe fn fifth_bits(mut tile: [__m512i; 8], bits: __m512i) -> [__m512i; 8] {
    // SAFETY: the callers' instructions.
    unsafe {
        let low = _mm512_set1_epi32(0x0804_0201);
        let high = _mm512_set1_epi32(0x8040_2010_u32 as i32);
        let sixteen = _mm512_set1_epi8(16);
        let first = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
        for i in 0..4 {
            // Byte `i` of each lane, four times: bits of the weights 8 i..8 i + 8.
            let spread = _mm512_shuffle_epi8(bits, _mm512_add_epi8(first, _mm512_set1_epi8(i as i8)));
            let set = _mm512_test_epi8_mask(spread, low);
            tile[2 * i] = _mm512_mask_add_epi8(tile[2 * i], set, tile[2 * i], sixteen);
            let set = _mm512_test_epi8_mask(spread, high);
            tile[2 * i + 1] = _mm512_mask_add_epi8(tile[2 * i + 1], set, tile[2 * i + 1], sixteen);
        }
        tile
    }
}

impl Block32 for BlockQ4_0 {
    const OFFSET: i32 = 8;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack(rows: &Rows, offset: usize) -> Unpacked {
        // SAFETY: the caller's bounds and instructions.
        unsafe {
            Unpacked {
                tile: nibbles(rows.load16(offset + 2)),
                scale: rows.load_f16(offset),
                min: _mm512_setzero_ps(),
            }
        }
    }
}

impl Block32 for BlockQ4_1 {
    const OFFSET: i32 = 0;
    const MIN: bool = true;

    #[inline(always)]
    unsafe fn unpack(rows: &Rows, offset: usize) -> Unpacked {
        // SAFETY: the caller's bounds and instructions.
        unsafe {
            let [scale, min] = rows.load_2f16(offset);
            Unpacked { tile: nibbles(rows.load16(offset + 4)), scale, min }
        }
    }
}

impl Block32 for BlockQ5_0 {
    const OFFSET: i32 = 16;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack(rows: &Rows, offset: usize) -> Unpacked {
        // SAFETY: the caller's bounds and instructions.
        unsafe {
            let tile = nibbles(rows.load16(offset + 6));
            Unpacked {
                tile: fifth_bits(tile, rows.load4(offset + 2)),
                scale: rows.load_f16(offset),
                min: _mm512_setzero_ps(),
            }
        }
    }
}

impl Block32 for BlockQ5_1 {
    const OFFSET: i32 = 0;
    const MIN: bool = true;

    #[inline(always)]
    unsafe fn unpack(rows: &Rows, offset: usize) -> Unpacked {
        // SAFETY: the caller's bounds and instructions.
        unsafe {
            let [scale, min] = rows.load_2f16(offset);
            let tile = nibbles(rows.load16(offset + 8));
            Unpacked { tile: fifth_bits(tile, rows.load4(offset + 4)), scale, min }
        }
    }
}

impl Block32 for BlockQ8_0 {
    const OFFSET: i32 = 128;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack(rows: &Rows, offset: usize) -> Unpacked {
        // SAFETY: the caller's bounds and instructions.
        unsafe {
            let flip = _mm512_set1_epi8(-128);
            let [a, b, c, d] = rows.load16(offset + 2);
            let [e, f, g, h] = rows.load16(offset + 18);
            let mut tile = [a, b, c, d, e, f, g, h];
            for x in &mut tile {
                *x = _mm512_xor_si512(*x, flip);
            }
            Unpacked { tile, scale: rows.load_f16(offset), min: _mm512_setzero_ps() }
        }
    }
}
