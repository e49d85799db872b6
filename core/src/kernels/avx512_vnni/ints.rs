//! Sixteen `i32` lanes in one 512-bit register.

use std::arch::x86_64::*;

use super::vector::V;
use crate::kernels::vector::I32x16;

/// Sixteen lanes. Only made in functions that run after [`TIER`](super::TIER)'s `supported()` said yes.
#[derive(Clone, Copy)]
pub(super) struct Ints(__m512i);

// SAFETY, for every block below: values of this type exist only where the tier's instructions do (see `Ints`), so the
// register intrinsics may run; loads touch exactly the array that the reference covers.
impl I32x16 for Ints {
    type Floats = V;
    // `vpdpbusd` multiplies unsigned bytes with signed ones: keys plus 128.
    type Keys = __m512i;
    type Values = __m512i;

    #[inline(always)]
    fn start(sum: i32) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_set1_epi32(-128 * sum) })
    }

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    fn keys(x: &[i8; 64]) -> __m512i {
        // SAFETY: reads the 64 bytes of `x`.
        unsafe { _mm512_xor_si512(_mm512_loadu_si512(x.as_ptr().cast()), _mm512_set1_epi8(-128)) }
    }

    #[inline(always)]
    fn dot_keys(self, keys: __m512i, q: &[i8; 4]) -> Self {
        let q = i32::from_ne_bytes(q.map(i8::cast_unsigned));
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_dpbusd_epi32(self.0, keys, _mm512_set1_epi32(q)) })
    }

    #[inline(always)]
    fn values(x: &[i8; 32]) -> __m512i {
        // SAFETY: reads the 32 bytes of `x`.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn dot_values(self, values: __m512i, weights: &[i16; 2]) -> Self {
        let weights = i32::from(weights[0].cast_unsigned()) | i32::from(weights[1]) << 16;
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_dpwssd_epi32(self.0, values, _mm512_set1_epi32(weights)) })
    }

    #[inline(always)]
    fn to_floats(self) -> V {
        // SAFETY: the tier's instructions are there.
        V(unsafe { _mm512_cvtepi32_ps(self.0) })
    }
}
