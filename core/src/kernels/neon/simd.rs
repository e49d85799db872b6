//! The few NEON operations that the product kernels share, as safe functions on arrays and registers.
//!
//! NEON (Advanced SIMD) is part of every aarch64 target that the standard library supports, so none of these needs
//! a check; loads and stores take arrays, so none can leave its memory.

use std::arch::{aarch64::*, asm};

/// Sixteen signed bytes.
#[inline(always)]
pub(in crate::kernels) fn load_i8(x: &[i8; 16]) -> int8x16_t {
    // SAFETY: NEON is always there; 16 bytes inside the array.
    unsafe { vld1q_s8(x.as_ptr()) }
}

/// Sixteen unsigned bytes.
#[inline(always)]
pub(in crate::kernels) fn load_u8(x: &[u8; 16]) -> uint8x16_t {
    // SAFETY: NEON is always there; 16 bytes inside the array.
    unsafe { vld1q_u8(x.as_ptr()) }
}

/// Sixteen unsigned bytes from `x[16 i..]`, for `x` of a whole number of sixteens. Panics if out of range.
#[inline(always)]
pub(in crate::kernels) fn part_u8<const N: usize>(x: &[u8; N], i: usize) -> uint8x16_t {
    load_u8(&x.as_chunks::<16>().0[i])
}

/// Eight `i16`.
#[inline(always)]
pub(in crate::kernels) fn load_i16(x: &[i16; 8]) -> int16x8_t {
    // SAFETY: NEON is always there; 8 values inside the array.
    unsafe { vld1q_s16(x.as_ptr()) }
}

/// Bytes as two registers of `i16`.
#[inline(always)]
pub(in crate::kernels) fn wide(x: int8x16_t) -> [int16x8_t; 2] {
    // SAFETY: NEON is always there.
    unsafe { [vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x)] }
}

/// Four `i32`.
#[inline(always)]
pub(in crate::kernels) fn load_i32(x: &[i32; 4]) -> int32x4_t {
    // SAFETY: NEON is always there; 4 values inside the array.
    unsafe { vld1q_s32(x.as_ptr()) }
}

/// Four `f32`.
#[inline(always)]
pub(in crate::kernels) fn load_f32(x: &[f32; 4]) -> float32x4_t {
    // SAFETY: NEON is always there; 4 values inside the array.
    unsafe { vld1q_f32(x.as_ptr()) }
}

/// Stores four `f32`.
#[inline(always)]
pub(in crate::kernels) fn store_f32(out: &mut [f32; 4], x: float32x4_t) {
    // SAFETY: NEON is always there; 4 values inside the array.
    unsafe { vst1q_f32(out.as_mut_ptr(), x) }
}

/// Stores the first `out.len()` lanes, at most four.
#[inline(always)]
pub(in crate::kernels) fn store_some(out: &mut [f32], x: float32x4_t) {
    if let Ok(out) = <&mut [f32; 4]>::try_from(&mut *out) {
        return store_f32(out, x);
    }
    let mut all = [0.0; 4];
    store_f32(&mut all, x);
    out.copy_from_slice(&all[..out.len()]);
}

/// Four f16 bit patterns, widened.
///
/// They are put together in a general register: one move for the vector units, where four lane loads (which the
/// compiler would make of `vcreate_u16`) are four.
#[inline(always)]
pub(in crate::kernels) fn widen_f16([a, b, c, d]: [u16; 4]) -> float32x4_t {
    let bits = u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48;
    let lanes: uint16x4_t;
    // SAFETY: NEON is always there, and with it FCVTL from half precision (FEAT_FP16 is for arithmetic); the
    // instruction writes only its register.
    unsafe {
        asm!("fmov {lanes:d}, {bits}", lanes = out(vreg) lanes, bits = in(reg) bits,
             options(pure, nomem, nostack, preserves_flags));
        vcvt_f32_f16(vreinterpret_f16_u16(lanes))
    }
}

/// Four f16 bit patterns in a register, widened.
#[inline(always)]
pub(in crate::kernels) fn widen4(bits: uint16x4_t) -> float32x4_t {
    // SAFETY: NEON is always there, and with it FCVTL from half precision.
    unsafe { vcvt_f32_f16(vreinterpret_f16_u16(bits)) }
}

/// `c + a * b`, rounded once.
#[inline(always)]
pub(in crate::kernels) fn fma(c: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vfmaq_f32(c, a, b) }
}

/// `a * s` in each lane.
#[inline(always)]
pub(in crate::kernels) fn scale(a: float32x4_t, s: f32) -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vmulq_n_f32(a, s) }
}

/// `a as f32`.
#[inline(always)]
pub(in crate::kernels) fn to_f32(a: int32x4_t) -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vcvtq_f32_s32(a) }
}

/// Four zeros.
#[inline(always)]
pub(in crate::kernels) fn zero_f32() -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vdupq_n_f32(0.0) }
}

/// Four zeros.
#[inline(always)]
pub(in crate::kernels) fn zero_i32() -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vdupq_n_s32(0) }
}

/// Sixteen zeros.
#[inline(always)]
pub(in crate::kernels) fn zero_i8() -> int8x16_t {
    // SAFETY: NEON is always there.
    unsafe { vdupq_n_s8(0) }
}

/// Lane `i` = sum of `v[i]`.
#[inline(always)]
pub(in crate::kernels) fn sum_each([a, b, c, d]: [int32x4_t; 4]) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)) }
}

/// `x` with the bits of `mask` from `bits`.
///
/// By BIT itself: `vbslq_u8` with a constant mask is taken apart by the compiler into three or four instructions.
#[inline(always)]
pub(in crate::kernels) fn insert(mut x: uint8x16_t, bits: uint8x16_t, mask: uint8x16_t) -> uint8x16_t {
    // SAFETY: NEON is always there; reads and writes only its registers.
    unsafe {
        asm!("bit {x:v}.16b, {bits:v}.16b, {mask:v}.16b", x = inout(vreg) x, bits = in(vreg) bits,
             mask = in(vreg) mask, options(pure, nomem, nostack, preserves_flags));
    }
    x
}

/// `c - a * b[LANE]` in each lane.
///
/// By SMLSL itself: `vmlsl_s16` is split, and the subtraction mixed up with the additions before it.
#[inline(always)]
pub(in crate::kernels) fn sub_product<const LANE: usize>(
    mut c: int32x4_t,
    a: int16x4_t,
    b: int16x4_t,
) -> int32x4_t {
    // SAFETY: NEON is always there; reads and writes only its registers.
    unsafe {
        asm!("smlsl {c:v}.4s, {a:v}.4h, {b:v}.h[{lane}]", c = inout(vreg) c, a = in(vreg) a,
             b = in(vreg_low16) b, lane = const LANE, options(pure, nomem, nostack, preserves_flags));
    }
    c
}

/// `c + a * b` in each lane.
#[inline(always)]
pub(in crate::kernels) fn mla(c: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vmlaq_s32(c, a, b) }
}

/// `c + a * s` in each lane, rounded once.
#[inline(always)]
pub(in crate::kernels) fn fma_n(c: float32x4_t, a: float32x4_t, s: f32) -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vfmaq_n_f32(c, a, s) }
}

/// Sums of the activations of one block of 256 as the sub-blocks of a type need them: eight of 32, or sixteen of 16.
#[inline(always)]
pub(in crate::kernels) fn sub_sums(sums: &[i16; 16], subs: usize) -> [int16x8_t; 2] {
    let halves = sums.as_chunks::<8>().0;
    let (a, b) = (load_i16(&halves[0]), load_i16(&halves[1]));
    // SAFETY: NEON is always there. Two sums of 16 values fit: 32 * 127 < 2^15.
    if subs == 8 { unsafe { [vpaddq_s16(a, b), vdupq_n_s16(0)] } } else { [a, b] }
}
