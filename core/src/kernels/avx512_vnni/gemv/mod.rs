//! Products with one token, along the rows of the weights.
//!
//! The tiles of [`x86`](crate::kernels::x86) put one row into each lane, which costs a transposition that many tokens
//! share but one cannot pay (two can: they take 1.1 times the time of one that way, and 1.5 this way). Here four rows are read side by side, each in the order of the file: 128 weights of a row
//! (four blocks of 32, or half a block of 256) meet the same 128 activations, 64 at a time. The integer sums of a block
//! end up spread over the lanes of a register and are added across at the end, four rows together:
//!
//! ```text
//! row 0: a0 a1 a2 a3 | ..        a0 b0 c0 d0          each 128 bits: one block, four partial sums;
//! row 1: b0 b1 b2 b3 | ..   ->   a1 b1 c1 d1  -> +    after the addition: one block, four rows
//! row 2, row 3                   ..
//! ```
//!
//! Four streams of memory instead of sixteen, few addresses to keep, and scales that come out of the same lines. Requests
//! run ahead in the order of addresses, past the end of a task: on Zen 4, 8 KiB beyond the four rows at hand reach 0.84
//! to 0.97 of plain reading for rows of 360 to 5,760 bytes; requests to the first-level cache 0.5 for long rows; none at
//! all 0.3 to 0.6.

#![allow(clippy::needless_range_loop, reason = "register tiles are clearest by index")]

mod b256;
mod b32;
mod coded;
mod types256;

use std::arch::x86_64::*;

use crate::kernels::x86::four::{Four, ROWS};
use crate::kernels::x86::rows::Ahead;

pub(super) use self::b32::{Row32, matmul as matmul32};
pub(super) use self::b256::{Row256, matmul as matmul256};
pub(super) use self::coded::Rows as CodedRows;

/// Adds four registers across: lane `4 g + r` of the result is the sum of lanes `4 g..4 g + 4` of register `r`.
///
/// # Safety
/// - runs inside a function of the tier.
#[inline(always)]
unsafe fn across(x: [__m512i; ROWS]) -> __m512i {
    // SAFETY: only needs the instructions.
    unsafe {
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(x[0], x[1]), _mm512_unpackhi_epi32(x[0], x[1]));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(x[2], x[3]), _mm512_unpackhi_epi32(x[2], x[3]));
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
    }
}

/// [`across`], for lanes of at most `MOST` in magnitude: sums that fit into 16 bits are packed, which saves shuffles.
///
/// # Safety
/// - as [`across`].
#[inline(always)]
unsafe fn across_small<const MOST: u32>(x: [__m512i; ROWS]) -> __m512i {
    if MOST > 32767 {
        // SAFETY: the caller's.
        return unsafe { across(x) };
    }
    // SAFETY: only needs the instructions.
    unsafe {
        let one = _mm512_set1_epi16(1);
        // Lanes a01 a23 b01 b23.
        let ab = _mm512_madd_epi16(_mm512_packs_epi32(x[0], x[1]), one);
        let cd = _mm512_madd_epi16(_mm512_packs_epi32(x[2], x[3]), one);
        if 2 * MOST <= 32767 {
            return _mm512_madd_epi16(_mm512_packs_epi32(ab, cd), one);
        }
        let (ab, cd) = (_mm512_castsi512_ps(ab), _mm512_castsi512_ps(cd));
        let even = _mm512_castps_si512(_mm512_shuffle_ps::<0b10_00_10_00>(ab, cd));
        let odd = _mm512_castps_si512(_mm512_shuffle_ps::<0b11_01_11_01>(ab, cd));
        _mm512_add_epi32(even, odd)
    }
}
