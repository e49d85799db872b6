//! Sixteen `f32` lanes in one 512-bit register.

use std::arch::x86_64::*;

use crate::kernels::vector::F32x16;

/// Sixteen lanes. Only made in functions that run after [`TIER`](super::TIER)'s `supported()` said yes.
#[derive(Clone, Copy)]
pub(super) struct V(pub(super) __m512);

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// The lowest `n` bits.
#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY, for every block below: values of this type exist only where the tier's instructions do (see `V`), so the
// register intrinsics may run; loads and stores touch exactly the array or slice that the reference covers.
impl F32x16 for V {
    const TILE: usize = 4;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        // SAFETY: reads the 64 bytes of `x`.
        Self(unsafe { _mm512_loadu_ps(x.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        // SAFETY: writes the 64 bytes of `out`.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn store_i16(self, out: &mut [i16; 16]) {
        // SAFETY: the tier's instructions are there; writes `out`.
        unsafe {
            let words = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(self.0));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), words);
        }
    }

    #[inline(always)]
    fn store_i8(self, out: &mut [i8; 16]) {
        // SAFETY: the tier's instructions are there; writes `out`.
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(self.0));
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        }
    }

    #[inline(always)]
    fn load_f16(x: &[u16; 16]) -> Self {
        // SAFETY: reads the 32 bytes of `x`.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) })
    }

    #[inline(always)]
    fn store_f16(self, out: &mut [u16; 16]) {
        // SAFETY: writes the 32 bytes of `out`.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtps_ph::<NEAREST>(self.0)) }
    }

    #[inline(always)]
    fn load_bf16(x: &[u16; 16]) -> Self {
        // SAFETY: reads the 32 bytes of `x`.
        Self(unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn prefetch<T>(p: *const T) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_add_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_sub_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_mul_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_div_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }

    // `vmaxps` and `vminps` return the second operand when either is NaN, which is the trait's rule.
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_max_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn min(self, b: Self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_min_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe { _mm512_roundscale_ps::<NEAREST>(self.0) })
    }

    #[inline(always)]
    fn exp2i(self) -> Self {
        // SAFETY: the tier's instructions are there.
        Self(unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        })
    }

    #[inline(always)]
    fn reduce_add(self) -> f32 {
        // SAFETY: the tier's instructions are there.
        unsafe {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        // SAFETY: the tier's instructions are there.
        unsafe {
            let eight = _mm256_max_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn has_nan(self) -> bool {
        // SAFETY: the tier's instructions are there.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0) != 0 }
    }

    #[inline(always)]
    fn load_partial(x: &[f32], fill: f32) -> Self {
        assert!(x.len() <= 16);
        // SAFETY: reads only the lanes of the mask: the elements of `x`.
        Self(unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask(x.len()), x.as_ptr()) })
    }

    #[inline(always)]
    fn store_partial(self, out: &mut [f32]) {
        assert!(out.len() <= 16);
        // SAFETY: writes only the lanes of the mask: the elements of `out`.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask(out.len()), self.0) }
    }

    #[inline(always)]
    fn load_f16_partial(x: &[u16]) -> Self {
        assert!(x.len() <= 16);
        // SAFETY: reads only the lanes of the mask: the elements of `x`.
        Self(unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask(x.len()), x.as_ptr().cast())) })
    }

    #[inline(always)]
    fn first(self) -> f32 {
        // SAFETY: the tier's instructions are there.
        unsafe { _mm512_cvtss_f32(self.0) }
    }
}
