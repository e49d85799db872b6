//! Sixteen `i32` lanes in two 256-bit registers.

use std::arch::x86_64::*;

use super::vector::V;
use crate::kernels::vector::I32x16;

/// Lanes 0..8 and 8..16. Only made in functions that run after [`TIER`](super::TIER)'s `supported()` said yes.
#[derive(Clone, Copy)]
pub(super) struct Ints(__m256i, __m256i);

/// The sums of four products of bytes, for each lane. The sign of a key goes over to the query, since `vpmaddubsw`
/// multiplies unsigned bytes with signed ones; two products of at most 127 * 127 do not saturate.
#[inline(always)]
fn products(keys: __m256i, q: __m256i) -> __m256i {
    // SAFETY: only used where the tier's instructions are.
    unsafe {
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(keys), _mm256_sign_epi8(q, keys));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }
}

// SAFETY, for every block below: values of this type exist only where the tier's instructions do (see `Ints`), so the
// register intrinsics may run; loads touch exactly the array that the reference covers.
impl I32x16 for Ints {
    type Floats = V;
    type Keys = (__m256i, __m256i);
    type Values = (__m256i, __m256i);

    #[inline(always)]
    fn start(_sum: i32) -> Self {
        Self::zero()
    }

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_setzero_si256(), _mm256_setzero_si256()) }
    }

    #[inline(always)]
    fn keys(x: &[i8; 64]) -> Self::Keys {
        // SAFETY: reads the two halves of `x`.
        unsafe { (_mm256_loadu_si256(x.as_ptr().cast()), _mm256_loadu_si256(x[32..].as_ptr().cast())) }
    }

    #[inline(always)]
    fn dot_keys(self, keys: Self::Keys, q: &[i8; 4]) -> Self {
        let q = i32::from_ne_bytes(q.map(i8::cast_unsigned));
        // SAFETY: the tier's instructions are there.
        unsafe {
            let q = _mm256_set1_epi32(q);
            Self(_mm256_add_epi32(self.0, products(keys.0, q)), _mm256_add_epi32(self.1, products(keys.1, q)))
        }
    }

    #[inline(always)]
    fn values(x: &[i8; 32]) -> Self::Values {
        // SAFETY: reads the two halves of `x`.
        unsafe {
            (
                _mm256_cvtepi8_epi16(_mm_loadu_si128(x.as_ptr().cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(x[16..].as_ptr().cast())),
            )
        }
    }

    #[inline(always)]
    fn dot_values(self, values: Self::Values, weights: &[i16; 2]) -> Self {
        let weights = i32::from(weights[0].cast_unsigned()) | i32::from(weights[1]) << 16;
        // SAFETY: the tier's instructions are there.
        unsafe {
            let weights = _mm256_set1_epi32(weights);
            Self(
                _mm256_add_epi32(self.0, _mm256_madd_epi16(values.0, weights)),
                _mm256_add_epi32(self.1, _mm256_madd_epi16(values.1, weights)),
            )
        }
    }

    #[inline(always)]
    fn to_floats(self) -> V {
        // SAFETY: the tier's instructions are there.
        unsafe { V(_mm256_cvtepi32_ps(self.0), _mm256_cvtepi32_ps(self.1)) }
    }
}
