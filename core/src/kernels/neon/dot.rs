//! Integer dot products of signed bytes: the one operation in which the ARM tiers differ when a single token is
//! multiplied.
//!
//! Activations are in -127..=127 and weights in `-max..=max`; `max` is known when the caller is compiled.

use std::arch::aarch64::*;

use super::simd::sum_each;

/// A tier's way to multiply bytes. Only that tier's functions, which run after its `supported()` said yes, may use it.
pub(in crate::kernels) trait Dot {
    /// What is carried from one call to the next, if that is cheaper than to begin anew.
    type Running: Copy;

    /// The beginning.
    fn start() -> Self::Running;

    /// Lane `i` = dot product of the 32 weights `w[i]` with `x[i]`.
    fn dot32(
        running: &mut Self::Running,
        w: [[int8x16_t; 2]; 4],
        x: [[int8x16_t; 2]; 4],
        max: i32,
    ) -> int32x4_t;

    /// Lane `i` = dot product of the 16 weights `w[i]` with `x[i]`.
    fn dot16(running: &mut Self::Running, w: [int8x16_t; 4], x: [int8x16_t; 4], max: i32) -> int32x4_t;
}

/// Baseline NEON: products of bytes are `i16`, and as many are added up as fit there.
pub(in crate::kernels) struct Baseline;

/// How often `i16` lanes may be added in pairs when each holds at most `terms` products with weights up to `max`.
const fn pair_sums(max: i32, terms: i32) -> u32 {
    let each = max * 127 * terms;
    if each * 4 <= 32767 {
        2
    } else if each * 2 <= 32767 {
        1
    } else {
        0
    }
}

/// Lane `i` = sum of `p[i]`, where `pair_sums` additions of pairs do not overflow.
#[inline(always)]
pub(super) fn sum_each_i16([a, b, c, d]: [int16x8_t; 4], pair_sums: u32) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        if pair_sums == 0 {
            return sum_each([vpaddlq_s16(a), vpaddlq_s16(b), vpaddlq_s16(c), vpaddlq_s16(d)]);
        }
        let (ab, cd) = (vpaddq_s16(a, b), vpaddq_s16(c, d));
        if pair_sums == 1 {
            return vpaddq_s32(vpaddlq_s16(ab), vpaddlq_s16(cd));
        }
        vpaddlq_s16(vpaddq_s16(ab, cd))
    }
}

/// Products of 16 weights, two to a lane: at most `2 * 128 * 127`, which fits.
#[inline(always)]
fn products16(w: int8x16_t, x: int8x16_t) -> int16x8_t {
    // SAFETY: NEON is always there.
    unsafe { vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x) }
}

/// Products of 32 weights, four to a lane; only for weights up to 64 in magnitude.
#[inline(always)]
fn products32([a, b]: [int8x16_t; 2], [x, y]: [int8x16_t; 2]) -> int16x8_t {
    // SAFETY: NEON is always there.
    unsafe { vmlal_high_s8(vmlal_s8(products16(a, x), vget_low_s8(b), vget_low_s8(y)), b, y) }
}

impl Dot for Baseline {
    type Running = ();

    #[inline(always)]
    fn start() {}

    #[inline(always)]
    fn dot32(_: &mut (), w: [[int8x16_t; 2]; 4], x: [[int8x16_t; 2]; 4], max: i32) -> int32x4_t {
        let [a, b, c, d] = w;
        let [p, q, r, s] = x;
        if max * 127 * 4 <= 32767 {
            let products = [products32(a, p), products32(b, q), products32(c, r), products32(d, s)];
            return sum_each_i16(products, pair_sums(max, 4));
        }
        sum_each([wide32(a, p), wide32(b, q), wide32(c, r), wide32(d, s)])
    }

    #[inline(always)]
    fn dot16(_: &mut (), [a, b, c, d]: [int8x16_t; 4], [p, q, r, s]: [int8x16_t; 4], max: i32) -> int32x4_t {
        let products = [products16(a, p), products16(b, q), products16(c, r), products16(d, s)];
        sum_each_i16(products, pair_sums(max, 2))
    }
}

/// Products of 32 weights of any size, widened after every 16.
#[inline(always)]
fn wide32([a, b]: [int8x16_t; 2], [x, y]: [int8x16_t; 2]) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vpadalq_s16(vpaddlq_s16(products16(a, x)), products16(b, y)) }
}
