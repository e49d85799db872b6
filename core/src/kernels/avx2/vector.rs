//! Sixteen `f32` lanes in two 256-bit registers.

use std::arch::x86_64::*;

use crate::kernels::vector::F32x16;

/// Lanes 0..8 and 8..16. Only made in functions that run after [`TIER`](super::TIER)'s `supported()` said yes.
#[derive(Clone, Copy)]
pub(super) struct V(pub(super) __m256, pub(super) __m256);

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

impl V {
    /// Integral lanes as words, in order.
    #[inline(always)]
    unsafe fn words(self) -> __m256i {
        // SAFETY: only needs the tier's instructions.
        unsafe {
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(self.0), _mm256_cvtps_epi32(self.1));
            _mm256_permute4x64_epi64::<0b11_01_10_00>(words)
        }
    }
}

// SAFETY, for every block below: values of this type exist only where the tier's instructions do (see `V`), so the
// register intrinsics may run; loads and stores touch exactly the array that the reference covers.
impl F32x16 for V {
    #[inline(always)]
    fn store_i16(self, out: &mut [i16; 16]) {
        // SAFETY: the tier's instructions are there; writes `out`.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), self.words()) }
    }

    #[inline(always)]
    fn store_i8(self, out: &mut [i8; 16]) {
        // SAFETY: the tier's instructions are there; writes `out`.
        unsafe {
            let words = self.words();
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        }
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }

    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        // SAFETY: reads the two halves of `x`.
        unsafe { Self(_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x[8..].as_ptr())) }
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        // SAFETY: writes the two halves of `out`.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), self.0);
            _mm256_storeu_ps(out[8..].as_mut_ptr(), self.1);
        }
    }

    #[inline(always)]
    fn load_f16(x: &[u16; 16]) -> Self {
        // SAFETY: reads the two halves of `x`.
        unsafe {
            Self(
                _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(x[8..].as_ptr().cast())),
            )
        }
    }

    #[inline(always)]
    fn store_f16(self, out: &mut [u16; 16]) {
        // SAFETY: writes the two halves of `out`.
        unsafe {
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
            _mm_storeu_si128(
                out[8..].as_mut_ptr().cast(),
                _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.1),
            );
        }
    }

    #[inline(always)]
    fn load_bf16(x: &[u16; 16]) -> Self {
        // SAFETY: reads the two halves of `x`.
        unsafe {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(x.as_ptr().cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(x[8..].as_ptr().cast()));
            Self(
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
            )
        }
    }

    #[inline(always)]
    fn prefetch<T>(p: *const T) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_add_ps(self.0, b.0), _mm256_add_ps(self.1, b.1)) }
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_sub_ps(self.0, b.0), _mm256_sub_ps(self.1, b.1)) }
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_mul_ps(self.0, b.0), _mm256_mul_ps(self.1, b.1)) }
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_div_ps(self.0, b.0), _mm256_div_ps(self.1, b.1)) }
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_fmadd_ps(self.0, b.0, c.0), _mm256_fmadd_ps(self.1, b.1, c.1)) }
    }

    // `vmaxps` and `vminps` return the second operand when either is NaN, which is the trait's rule.
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_max_ps(self.0, b.0), _mm256_max_ps(self.1, b.1)) }
    }

    #[inline(always)]
    fn min(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_min_ps(self.0, b.0), _mm256_min_ps(self.1, b.1)) }
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Self(_mm256_andnot_ps(sign, self.0), _mm256_andnot_ps(sign, self.1))
        }
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe { Self(_mm256_round_ps::<NEAREST>(self.0), _mm256_round_ps::<NEAREST>(self.1)) }
    }

    #[inline(always)]
    fn exp2i(self) -> Self {
        // SAFETY: the tier's instructions are there.
        unsafe {
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), bias);
            let high = _mm256_add_epi32(_mm256_cvtps_epi32(self.1), bias);
            Self(
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(low)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(high)),
            )
        }
    }

    #[inline(always)]
    fn reduce_add(self) -> f32 {
        // SAFETY: the tier's instructions are there.
        unsafe {
            let eight = _mm256_add_ps(self.0, self.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        // SAFETY: the tier's instructions are there.
        unsafe {
            let eight = _mm256_max_ps(self.0, self.1);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn has_nan(self) -> bool {
        // SAFETY: the tier's instructions are there.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.1)) != 0 }
    }

    #[inline(always)]
    fn first(self) -> f32 {
        // SAFETY: the tier's instructions are there.
        unsafe { _mm256_cvtss_f32(self.0) }
    }
}
