//! Reading a row from its beginning to its end: each read moves on, by the addressing mode of the load itself, so that
//! no instruction is spent on addresses.

use std::arch::{aarch64::*, asm};

/// The place in a row of weights up to which a kernel has read.
///
/// # Safety
/// Every method reads as many bytes as it says: the row that the cursor was made of must have them left.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Cursor(*const u8);

impl Cursor {
    /// The beginning of `row`, whose elements have no alignment and no padding.
    #[inline(always)]
    pub(in crate::kernels) fn new<B>(row: &[B]) -> Self {
        Self(row.as_ptr().cast())
    }

    /// Sixteen bytes.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn sixteen(&mut self) -> uint8x16_t {
        let x: uint8x16_t;
        // SAFETY: NEON is always there; the bytes are, as the caller promises.
        unsafe {
            asm!("ldr {x:q}, [{p}], #16", x = out(vreg) x, p = inout(reg) self.0,
                 options(pure, readonly, nostack, preserves_flags));
        }
        x
    }

    /// Twice sixteen bytes.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn thirty_two(&mut self) -> [uint8x16_t; 2] {
        let (x, y): (uint8x16_t, uint8x16_t);
        // SAFETY: NEON is always there; the bytes are, as the caller promises.
        unsafe {
            asm!("ldp {x:q}, {y:q}, [{p}], #32", x = out(vreg) x, y = out(vreg) y, p = inout(reg) self.0,
                 options(pure, readonly, nostack, preserves_flags));
        }
        [x, y]
    }

    /// One byte, into lane `LANE` of `x`, as [`lane16`](Self::lane16) reads two; the rest of the lane keeps what it had,
    /// but for lane 0.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn lane8<const LANE: usize>(&mut self, x: &mut uint32x4_t) {
        // SAFETY: NEON is always there; the byte is, as the caller promises. The four lanes' lowest bytes are 4 apart.
        unsafe {
            if LANE == 0 {
                asm!("ldr {x:b}, [{p}], #1", x = out(vreg) *x, p = inout(reg) self.0,
                     options(pure, readonly, nostack, preserves_flags));
            } else {
                asm!("ld1 {{{x:v}.b}}[{lane}], [{p}], #1", x = inout(vreg) *x, p = inout(reg) self.0,
                     lane = const 4 * LANE, options(pure, readonly, nostack, preserves_flags));
            }
        }
    }

    /// Two bytes, into lane `LANE` of `x`. Lane 0 forgets the others, so that nothing waits for what was in `x`.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn lane16<const LANE: usize>(&mut self, x: &mut uint16x8_t) {
        // SAFETY: NEON is always there; the bytes are, as the caller promises.
        unsafe {
            if LANE == 0 {
                asm!("ldr {x:h}, [{p}], #2", x = out(vreg) *x, p = inout(reg) self.0,
                     options(pure, readonly, nostack, preserves_flags));
            } else {
                asm!("ld1 {{{x:v}.h}}[{lane}], [{p}], #2", x = inout(vreg) *x, p = inout(reg) self.0,
                     lane = const LANE, options(pure, readonly, nostack, preserves_flags));
            }
        }
    }

    /// Four bytes, as [`lane16`](Self::lane16) reads two.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn lane32<const LANE: usize>(&mut self, x: &mut uint32x4_t) {
        // SAFETY: NEON is always there; the bytes are, as the caller promises.
        unsafe {
            if LANE == 0 {
                asm!("ldr {x:s}, [{p}], #4", x = out(vreg) *x, p = inout(reg) self.0,
                     options(pure, readonly, nostack, preserves_flags));
            } else {
                asm!("ld1 {{{x:v}.s}}[{lane}], [{p}], #4", x = inout(vreg) *x, p = inout(reg) self.0,
                     lane = const LANE, options(pure, readonly, nostack, preserves_flags));
            }
        }
    }
}
