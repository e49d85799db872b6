//! SMMLA as a one-instruction function: its intrinsic is not stable in the compilers that we support.
//!
//! The instruction is FEAT_I8MM: nothing here may run before `is_aarch64_feature_detected!("i8mm")` said yes.

use std::arch::{aarch64::*, asm};

/// `acc` + A B^T, where A and B are 2x8 matrices of bytes, row after row, and `acc` and the result 2x2:
/// `[a0 b0, a0 b1, a1 b0, a1 b1]`.
///
/// # Safety
/// - the processor has FEAT_I8MM, and the function that this is inlined into enables `i8mm`.
#[inline(always)]
pub(in crate::kernels) unsafe fn smmla(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes only its registers; the caller promises that the instruction exists.
    unsafe {
        asm!("smmla {acc:v}.4s, {a:v}.16b, {b:v}.16b", acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
             options(pure, nomem, nostack, preserves_flags));
    }
    acc
}
