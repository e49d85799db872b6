//! Eight rows in one 256-bit register.

use std::arch::x86_64::*;

use crate::kernels::x86::lanes::{Op, RowLanes, SIGNED};
use crate::kernels::x86::rows::Rows;

/// Eight 32-bit lanes. Only made in functions that run after [`TIER`](super::TIER)'s `supported()` said yes.
#[derive(Clone, Copy)]
pub(super) struct I(__m256i);

/// Evaluates an expression of register intrinsics.
macro_rules! registers {
    ($e:expr) => {{
        // SAFETY: values of `I` exist only where the tier's instructions do.
        unsafe { $e }
    }};
}

impl I {
    /// Sixteen bytes at `offset` of row `i` of both groups.
    #[inline(always)]
    unsafe fn halves(rows: &Rows, i: usize, offset: usize) -> __m256i {
        // SAFETY: as `load16`.
        unsafe {
            let a = _mm_loadu_si128(rows.at(0, i, offset).cast());
            let b = _mm_loadu_si128(rows.at(1, i, offset).cast());
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b)
        }
    }

    /// The `i32` at `offset` of the rows of group `g`.
    #[inline(always)]
    unsafe fn four(rows: &Rows, g: usize, offset: usize) -> __m128i {
        // SAFETY: as `load4`.
        unsafe {
            _mm_setr_epi32(
                rows.at(g, 0, offset).cast::<i32>().read_unaligned(),
                rows.at(g, 1, offset).cast::<i32>().read_unaligned(),
                rows.at(g, 2, offset).cast::<i32>().read_unaligned(),
                rows.at(g, 3, offset).cast::<i32>().read_unaligned(),
            )
        }
    }
}

impl RowLanes for I {
    const ROWS: usize = 8;
    const PANELS: usize = 1;
    const GROUP: usize = 4;
    const EIGHT: bool = false;
    const FEW: usize = 4;
    const SIGNED_OFFSET: i32 = 0;
    type Floats = __m256;

    #[inline(always)]
    unsafe fn run<O: Op>(op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_instructions<O: Op>(op: O) -> O::Output {
            // SAFETY: this is `RowLanes::run`.
            unsafe { op.run() }
        }
        // SAFETY: the caller's.
        unsafe { with_instructions(op) }
    }

    #[inline(always)]
    unsafe fn load16(rows: &Rows, offset: usize) -> [Self; 4] {
        // SAFETY: the caller's.
        unsafe {
            let (a, b) = (Self::halves(rows, 0, offset), Self::halves(rows, 1, offset));
            let (c, d) = (Self::halves(rows, 2, offset), Self::halves(rows, 3, offset));
            let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                Self(_mm256_unpacklo_epi64(ab_low, cd_low)),
                Self(_mm256_unpackhi_epi64(ab_low, cd_low)),
                Self(_mm256_unpacklo_epi64(ab_high, cd_high)),
                Self(_mm256_unpackhi_epi64(ab_high, cd_high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load4(rows: &Rows, offset: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm256_set_m128i(Self::four(rows, 1, offset), Self::four(rows, 0, offset))) }
    }

    #[inline(always)]
    unsafe fn load_f16(rows: &Rows, offset: usize) -> __m256 {
        // SAFETY: the caller's.
        unsafe {
            _mm256_cvtph_ps(_mm_setr_epi16(
                rows.at(0, 0, offset).cast::<i16>().read_unaligned(),
                rows.at(0, 1, offset).cast::<i16>().read_unaligned(),
                rows.at(0, 2, offset).cast::<i16>().read_unaligned(),
                rows.at(0, 3, offset).cast::<i16>().read_unaligned(),
                rows.at(1, 0, offset).cast::<i16>().read_unaligned(),
                rows.at(1, 1, offset).cast::<i16>().read_unaligned(),
                rows.at(1, 2, offset).cast::<i16>().read_unaligned(),
                rows.at(1, 3, offset).cast::<i16>().read_unaligned(),
            ))
        }
    }

    #[inline(always)]
    fn splat(x: i32) -> Self {
        Self(registers!(_mm256_set1_epi32(x)))
    }

    #[inline(always)]
    fn and(self, b: Self) -> Self {
        Self(registers!(_mm256_and_si256(self.0, b.0)))
    }

    #[inline(always)]
    fn or(self, b: Self) -> Self {
        Self(registers!(_mm256_or_si256(self.0, b.0)))
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(registers!(_mm256_add_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(registers!(_mm256_sub_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(registers!(_mm256_mullo_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn add_bytes(self, b: Self) -> Self {
        Self(registers!(_mm256_add_epi8(self.0, b.0)))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(registers!(_mm256_max_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        Self(registers!(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(N as i32))))
    }

    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        Self(registers!(_mm256_sll_epi32(self.0, _mm_cvtsi32_si128(N as i32))))
    }

    #[inline(always)]
    fn shuffle(self, from: [i8; 4]) -> Self {
        let [a, b, c, d] = from;
        // The byte's index within 128 bits; a negative index stays negative.
        let at = |lane: i8, x: i8| if x < 0 { x } else { 4 * lane + x };
        Self(registers!(_mm256_shuffle_epi8(
            self.0,
            _mm256_broadcastsi128_si256(_mm_setr_epi8(
                at(0, a),
                at(0, b),
                at(0, c),
                at(0, d),
                at(1, a),
                at(1, b),
                at(1, c),
                at(1, d),
                at(2, a),
                at(2, b),
                at(2, c),
                at(2, d),
                at(3, a),
                at(3, b),
                at(3, c),
                at(3, d),
            ))
        )))
    }

    #[inline(always)]
    fn lookup(self, table: &[i8; 16]) -> Self {
        // SAFETY: reads the table; values of `I` exist only where the tier's instructions do.
        let table = unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())) };
        Self(registers!(_mm256_shuffle_epi8(table, self.0)))
    }

    #[inline(always)]
    fn add_where(self, bits: Self, select: Self, add: Self) -> Self {
        Self(registers!({
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(bits.0, select.0), select.0);
            _mm256_add_epi8(self.0, _mm256_and_si256(set, add.0))
        }))
    }

    #[inline(always)]
    fn signed(self) -> Self {
        self
    }

    #[inline(always)]
    fn byte(self, i: u32) -> Self {
        Self(registers!({
            let top = _mm256_sll_epi32(self.0, _mm_cvtsi32_si128(24 - 8 * i as i32));
            _mm256_srai_epi32::<24>(top)
        }))
    }

    #[inline(always)]
    fn low_f16(self) -> __m256 {
        registers!({
            let x = _mm256_and_si256(self.0, _mm256_set1_epi32(0xffff));
            let (low, high) = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            _mm256_cvtph_ps(_mm_packus_epi32(low, high))
        })
    }

    #[inline(always)]
    fn to_floats(self) -> __m256 {
        registers!(_mm256_cvtepi32_ps(self.0))
    }

    #[inline(always)]
    fn as_floats(self) -> __m256 {
        registers!(_mm256_castsi256_ps(self.0))
    }

    #[inline(always)]
    fn zero() -> __m256 {
        registers!(_mm256_setzero_ps())
    }

    #[inline(always)]
    fn splat_float(x: f32) -> __m256 {
        registers!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    fn mul_floats(a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        registers!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn store(x: __m256, out: &mut [f32]) {
        assert_eq!(out.len(), 8);
        // SAFETY: writes the eight elements.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) }
    }

    /// `vpmaddubsw` adds pairs of products in 16 bits, where they must not saturate. A pair is at most
    /// `2 * MAX * 127`, so for 15, 31 and 63 eight, four and two of them can be added before they are widened (30480,
    /// 31496, 32004). Signed weights lend their sign to the activation: a pair of 128 * 127 is 32512.
    #[inline(always)]
    unsafe fn dot<const T: usize, const N: usize, const MAX: u32>(
        tile: &[Self; N],
        q: [*const i8; T],
        mut sums: [Self; T],
    ) -> [Self; T] {
        let together = match MAX {
            15 => 8,
            31 => 4,
            63 => 2,
            _ => 1,
        };
        // SAFETY: the caller's.
        unsafe {
            let one = _mm256_set1_epi16(1);
            let mut words = [_mm256_setzero_si256(); T];
            for (c, &Self(weights)) in tile.iter().enumerate() {
                let magnitudes = if MAX == SIGNED { _mm256_abs_epi8(weights) } else { weights };
                for t in 0..T {
                    let mut q = _mm256_set1_epi32(q[t].cast::<i32>().add(c).read_unaligned());
                    if MAX == SIGNED {
                        q = _mm256_sign_epi8(q, weights);
                    }
                    let pairs = _mm256_maddubs_epi16(magnitudes, q);
                    words[t] = if c % together == 0 { pairs } else { _mm256_add_epi16(words[t], pairs) };
                    if (c + 1) % together == 0 || c + 1 == N {
                        sums[t] = Self(_mm256_add_epi32(sums[t].0, _mm256_madd_epi16(words[t], one)));
                    }
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn dot_pairs(self, pairs: Self, x: i32) -> Self {
        Self(registers!(_mm256_add_epi32(self.0, _mm256_madd_epi16(pairs.0, _mm256_set1_epi32(x)))))
    }
}
