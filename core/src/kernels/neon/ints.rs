//! Sixteen `i32` lanes as four registers of 128 bits, for attention over bytes.

use std::arch::aarch64::*;

use super::f32x16::Neon;
use crate::kernels::vector::I32x16;

/// Sixteen lanes: register `i` holds lanes `4 i .. 4 i + 4`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Ints(pub(in crate::kernels) [int32x4_t; 4]);

/// Four bytes, over and over.
#[inline(always)]
pub(in crate::kernels) fn four_bytes(x: &[i8; 4]) -> int8x16_t {
    let x = i32::from_ne_bytes(x.map(i8::cast_unsigned));
    // SAFETY: NEON is always there.
    unsafe { vreinterpretq_s8_s32(vdupq_n_s32(x)) }
}

/// Each lane of `sums` plus the products of four bytes; two products of at most 127 * 127 fit 16 bits.
#[inline(always)]
fn add_products(sums: int32x4_t, keys: int8x16_t, q: int8x16_t) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let (low, high) = (vmull_s8(vget_low_s8(keys), vget_low_s8(q)), vmull_high_s8(keys, q));
        vpadalq_s16(sums, vpaddq_s16(low, high))
    }
}

// NEON is part of every aarch64 target of the standard library, and the loads below stay inside the arrays that they
// are given.
impl I32x16 for Ints {
    type Floats = Neon;
    type Keys = [int8x16_t; 4];
    /// Elements 0..8 and 8..16 of the first value, then of the second.
    type Values = [int16x8_t; 4];

    #[inline(always)]
    fn start(_sum: i32) -> Self {
        Self::zero()
    }

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: NEON is always there.
        Self([unsafe { vdupq_n_s32(0) }; 4])
    }

    #[inline(always)]
    fn keys(x: &[i8; 64]) -> Self::Keys {
        let p = x.as_ptr();
        // SAFETY: NEON is always there; 4 x 16 values inside the array.
        unsafe { [vld1q_s8(p), vld1q_s8(p.add(16)), vld1q_s8(p.add(32)), vld1q_s8(p.add(48))] }
    }

    #[inline(always)]
    fn dot_keys(self, keys: Self::Keys, q: &[i8; 4]) -> Self {
        let (Self([a, b, c, d]), q) = (self, four_bytes(q));
        Self([
            add_products(a, keys[0], q),
            add_products(b, keys[1], q),
            add_products(c, keys[2], q),
            add_products(d, keys[3], q),
        ])
    }

    #[inline(always)]
    fn values(x: &[i8; 32]) -> Self::Values {
        // SAFETY: NEON is always there; 2 x 16 values inside the array.
        unsafe {
            let int8x16x2_t(first, second) = vld2q_s8(x.as_ptr());
            [
                vmovl_s8(vget_low_s8(first)),
                vmovl_high_s8(first),
                vmovl_s8(vget_low_s8(second)),
                vmovl_high_s8(second),
            ]
        }
    }

    #[inline(always)]
    fn dot_values(self, values: Self::Values, weights: &[i16; 2]) -> Self {
        let (Self(mut sums), [a, b, c, d]) = (self, values);
        // SAFETY: NEON is always there.
        unsafe {
            for ([low, high], &w) in [[a, b], [c, d]].into_iter().zip(weights) {
                sums[0] = vmlal_n_s16(sums[0], vget_low_s16(low), w);
                sums[1] = vmlal_high_n_s16(sums[1], low, w);
                sums[2] = vmlal_n_s16(sums[2], vget_low_s16(high), w);
                sums[3] = vmlal_high_n_s16(sums[3], high, w);
            }
        }
        Self(sums)
    }

    #[inline(always)]
    fn to_floats(self) -> Neon {
        let [a, b, c, d] = self.0;
        // SAFETY: NEON is always there.
        Neon(unsafe { [vcvtq_f32_s32(a), vcvtq_f32_s32(b), vcvtq_f32_s32(c), vcvtq_f32_s32(d)] })
    }
}
