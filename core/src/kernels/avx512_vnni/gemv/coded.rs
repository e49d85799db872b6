//! Blocks of coded types times one token.

use std::arch::x86_64::*;

use super::ROWS;
use super::b256::all;
use crate::kernels::x86::coded::Products;
use crate::quant::Codes256;
use crate::tensor::QuantActs;

/// The tier's.
pub(in crate::kernels::avx512_vnni) struct Rows;

impl Products for Rows {
    type Sums = __m512i;

    /// Four products of at most 64 times 127 fit into 16 bits.
    #[inline(always)]
    unsafe fn block<const SIGNED: bool>(
        codes: &Codes256,
        acts: &QuantActs<'_>,
        b: usize,
        offset: i32,
    ) -> __m512i {
        // SAFETY: the caller's: the activations have block `b`.
        unsafe {
            let (q, zero) = (acts.qs.as_ptr().add(256 * b), _mm512_setzero_si512());
            let scales = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes.scales.as_ptr().cast()));
            let mut parts = [zero; 4];
            for i in 0..4 {
                let weights = _mm512_load_si512(codes.bytes.as_ptr().add(64 * i).cast());
                let mut q = _mm512_loadu_si512(q.add(64 * i).cast());
                if SIGNED {
                    let minus = u64::from(codes.signs[2 * i]) | u64::from(codes.signs[2 * i + 1]) << 32;
                    q = _mm512_mask_sub_epi8(q, minus, zero, q);
                }
                parts[i] = _mm512_dpbusd_epi32(zero, weights, q);
            }
            let mut sum = zero;
            if !SIGNED {
                let sums = _mm256_loadu_si256(acts.sums.as_ptr().add(16 * b).cast());
                let sums = _mm256_mullo_epi32(_mm256_madd_epi16(scales, sums), _mm256_set1_epi32(-offset));
                sum = _mm512_zextsi256_si512(sums);
            }
            let scales = _mm512_castsi256_si512(scales);
            let at = const { &[sixteens(0), sixteens(2)] };
            for (i, at) in at.iter().enumerate() {
                let scales = _mm512_permutexvar_epi16(_mm512_loadu_si512(at.as_ptr().cast()), scales);
                sum = _mm512_dpwssd_epi32(sum, _mm512_packs_epi32(parts[2 * i], parts[2 * i + 1]), scales);
            }
            sum
        }
    }

    #[inline(always)]
    unsafe fn across(sums: [__m512i; ROWS]) -> __m128i {
        // SAFETY: the caller's.
        unsafe { all(sums) }
    }
}

/// For word `8 l + i` of two registers of sums, packed: the sixteen weights of lane `l` of register `first` for `i < 4`,
/// else of the next one.
const fn sixteens(first: usize) -> [i16; 32] {
    let mut at = [0; 32];
    let mut i = 0;
    while i < 32 {
        at[i] = (4 * (first + i % 8 / 4) + i / 8) as i16;
        i += 1;
    }
    at
}
