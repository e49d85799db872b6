//! SDOT as one-instruction functions: its intrinsics are not stable in the compilers that we support.
//!
//! The instructions are FEAT_DotProd: nothing here may run before `is_aarch64_feature_detected!("dotprod")` said yes.

use std::arch::{aarch64::*, asm};

/// Lane `i` of the result = lane `i` of `acc` + the dot product of bytes `4 i..4 i + 4` of `a` and of `b`.
///
/// # Safety
/// - the processor has FEAT_DotProd, and the function that this is inlined into enables `dotprod`.
#[inline(always)]
pub(in crate::kernels) unsafe fn sdot(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes only its registers; the caller promises that the instruction exists.
    unsafe {
        asm!("sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b", acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
             options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// As [`sdot`], with bytes `4 LANE..4 LANE + 4` of `b` for every lane.
///
/// # Safety
/// - as for [`sdot`].
#[inline(always)]
pub(in crate::kernels) unsafe fn sdot_lane<const LANE: usize>(
    mut acc: int32x4_t,
    a: int8x16_t,
    b: int8x16_t,
) -> int32x4_t {
    // SAFETY: reads and writes only its registers; the caller promises that the instruction exists.
    unsafe {
        asm!("sdot {acc:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]", acc = inout(vreg) acc, a = in(vreg) a,
             b = in(vreg) b, lane = const LANE, options(pure, nomem, nostack, preserves_flags));
    }
    acc
}
