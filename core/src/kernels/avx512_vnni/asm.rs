//! The inner loop of many tokens, which the compiler would spill: it loads everything early, and thirty-two registers are
//! just enough if nothing is.

use std::arch::asm;
use std::arch::x86_64::*;

use super::lanes::I;

/// One number of each token times a group of four weights of two tiles.
macro_rules! group {
    ($c:literal) => {
        concat!(
            "vmovdqa64 {w0}, [{tile0} + 64 * ",
            $c,
            "]\n",
            "vmovdqa64 {w1}, [{tile1} + 64 * ",
            $c,
            "]\n",
            group!($c, "q0", "a0", "b0"),
            group!($c, "q1", "a1", "b1"),
            group!($c, "q2", "a2", "b2"),
            group!($c, "q3", "a3", "b3"),
            group!($c, "q4", "a4", "b4"),
            group!($c, "q5", "a5", "b5"),
        )
    };
    ($c:literal, $q:literal, $a:literal, $b:literal) => {
        concat!(
            "vpbroadcastd {x}, dword ptr [{",
            $q,
            "} + 4 * ",
            $c,
            "]\n",
            "vpdpbusd {",
            $a,
            "}, {w0}, {x}\n",
            "vpdpbusd {",
            $b,
            "}, {w1}, {x}\n",
        )
    };
}

macro_rules! six {
    ($name:ident, $($c:literal)*) => {
        /// [`RowLanes::dots`](crate::kernels::x86::lanes::RowLanes::dots) of two tiles and six tokens, added to the sums.
        ///
        /// # Safety
        /// - the processor has the tier's instructions;
        /// - both tiles have as many groups as the name says, aligned to 64, and each `q` as many times four bytes.
        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(super) unsafe fn $name(
            [tile0, tile1]: [*const I; 2],
            q: &[*const i8; 6],
            [a, b]: &mut [[I; 6]; 2],
        ) {
            let [I(a0), I(a1), I(a2), I(a3), I(a4), I(a5)] = a;
            let [I(b0), I(b1), I(b2), I(b3), I(b4), I(b5)] = b;
            // With a type, or the compiler names their lowest bytes.
            let (_weights0, _weights1, _number): (__m512i, __m512i, __m512i);
            // SAFETY: the caller's; nothing is written but registers.
            unsafe {
                asm!(
                    $(group!($c),)*
                    tile0 = in(reg) tile0, tile1 = in(reg) tile1,
                    q0 = in(reg) q[0], q1 = in(reg) q[1], q2 = in(reg) q[2],
                    q3 = in(reg) q[3], q4 = in(reg) q[4], q5 = in(reg) q[5],
                    a0 = inout(zmm_reg) *a0, a1 = inout(zmm_reg) *a1, a2 = inout(zmm_reg) *a2,
                    a3 = inout(zmm_reg) *a3, a4 = inout(zmm_reg) *a4, a5 = inout(zmm_reg) *a5,
                    b0 = inout(zmm_reg) *b0, b1 = inout(zmm_reg) *b1, b2 = inout(zmm_reg) *b2,
                    b3 = inout(zmm_reg) *b3, b4 = inout(zmm_reg) *b4, b5 = inout(zmm_reg) *b5,
                    w0 = out(zmm_reg) _weights0, w1 = out(zmm_reg) _weights1, x = out(zmm_reg) _number,
                    options(pure, readonly, nostack, preserves_flags)
                );
            }
        }
    };
}

six!(six_of_4, 0 1 2 3);
six!(six_of_8, 0 1 2 3 4 5 6 7);
