//! Blocks of coded types times one token.

use std::arch::x86_64::*;

use crate::kernels::x86::coded::Products;
use crate::kernels::x86::four::ROWS;
use crate::quant::Codes256;
use crate::tensor::QuantActs;

/// The tier's.
pub(super) struct Rows;

impl Products for Rows {
    type Sums = __m256i;

    /// Two products of at most 64 times 127 do not saturate.
    #[inline(always)]
    unsafe fn block<const SIGNED: bool>(
        codes: &Codes256,
        acts: &QuantActs<'_>,
        b: usize,
        offset: i32,
    ) -> __m256i {
        // SAFETY: the caller's: the activations have block `b`.
        unsafe {
            let q = acts.qs.as_ptr().add(256 * b);
            let scales = _mm_loadu_si128(codes.scales.as_ptr().cast());
            let mut sum = _mm256_setzero_si256();
            if !SIGNED {
                let sums = _mm256_loadu_si256(acts.sums.as_ptr().add(16 * b).cast());
                let sums = _mm256_madd_epi16(_mm256_cvtepi8_epi16(scales), sums);
                sum = _mm256_mullo_epi32(sums, _mm256_set1_epi32(-offset));
            }
            // The even ones in the lower half, the odd ones in the upper.
            let halves = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
            let scales = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, halves));
            for j in 0..8 {
                let weights = _mm256_load_si256(codes.bytes.as_ptr().add(32 * j).cast());
                let mut q = _mm256_loadu_si256(q.add(32 * j).cast());
                if SIGNED {
                    let minus = minus(codes.signs[j]);
                    q = _mm256_sub_epi8(_mm256_xor_si256(q, minus), minus);
                }
                let scale =
                    _mm256_shuffle_epi8(scales, _mm256_set1_epi16((2 * j + 256 * (2 * j + 1)) as i16));
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, q), scale));
            }
            sum
        }
    }

    #[inline(always)]
    unsafe fn across([a, b, c, d]: [__m256i; ROWS]) -> __m128i {
        // SAFETY: only needs the instructions.
        unsafe {
            let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            let all = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
            _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all))
        }
    }
}

/// All ones in the bytes whose bit is set.
#[inline(always)]
unsafe fn minus(signs: u32) -> __m256i {
    // SAFETY: only needs the instructions.
    unsafe {
        let from = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
        let own = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
        let signs = _mm256_shuffle_epi8(_mm256_set1_epi32(signs.cast_signed()), from);
        _mm256_cmpeq_epi8(_mm256_and_si256(signs, own), own)
    }
}
