//! Sixteen rows in one 512-bit register.

use std::arch::x86_64::*;

use super::asm;
use crate::kernels::x86::lanes::{Op, RowLanes, SIGNED};
use crate::kernels::x86::rows::Rows;

/// Sixteen 32-bit lanes. Only made in functions that run after [`TIER`](super::TIER)'s `supported()` said yes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct I(pub(super) __m512i);

/// Evaluates an expression of register intrinsics.
macro_rules! registers {
    ($e:expr) => {{
        // SAFETY: values of `I` exist only where the tier's instructions do.
        unsafe { $e }
    }};
}

impl I {
    /// Sixteen bytes at `offset` of row `i` of each group, one group per 128 bits.
    #[inline(always)]
    unsafe fn quarters(rows: &Rows, i: usize, offset: usize) -> __m512i {
        // SAFETY: as `load16`.
        unsafe {
            let x = _mm512_castsi128_si512(_mm_loadu_si128(rows.at(0, i, offset).cast()));
            let x = _mm512_mask_broadcast_i32x4(x, 0x00f0, _mm_loadu_si128(rows.at(1, i, offset).cast()));
            let x = _mm512_mask_broadcast_i32x4(x, 0x0f00, _mm_loadu_si128(rows.at(2, i, offset).cast()));
            _mm512_mask_broadcast_i32x4(x, 0xf000, _mm_loadu_si128(rows.at(3, i, offset).cast()))
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

    /// The `i16` at `offset` of the rows of groups `g` and `g + 1`.
    #[inline(always)]
    unsafe fn eight_halves(rows: &Rows, g: usize, offset: usize) -> __m128i {
        // SAFETY: as `load_f16`.
        unsafe {
            _mm_setr_epi16(
                rows.at(g, 0, offset).cast::<i16>().read_unaligned(),
                rows.at(g, 1, offset).cast::<i16>().read_unaligned(),
                rows.at(g, 2, offset).cast::<i16>().read_unaligned(),
                rows.at(g, 3, offset).cast::<i16>().read_unaligned(),
                rows.at(g + 1, 0, offset).cast::<i16>().read_unaligned(),
                rows.at(g + 1, 1, offset).cast::<i16>().read_unaligned(),
                rows.at(g + 1, 2, offset).cast::<i16>().read_unaligned(),
                rows.at(g + 1, 3, offset).cast::<i16>().read_unaligned(),
            )
        }
    }
}

impl RowLanes for I {
    const ROWS: usize = 16;
    // Processors with two `vpdpbusd` a cycle have two loads a cycle as well: with one panel each product needs a load of its
    // own, with two panels half of one. (docs/kernels.md)
    const PANELS: usize = 2;
    const GROUP: usize = 6;
    const EIGHT: bool = true;
    const FEW: usize = 16;
    const SIGNED_OFFSET: i32 = 128;
    type Floats = __m512;

    #[inline(always)]
    unsafe fn run<O: Op>(op: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
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
            let (a, b) = (Self::quarters(rows, 0, offset), Self::quarters(rows, 1, offset));
            let (c, d) = (Self::quarters(rows, 2, offset), Self::quarters(rows, 3, offset));
            let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            [
                Self(_mm512_unpacklo_epi64(ab_low, cd_low)),
                Self(_mm512_unpackhi_epi64(ab_low, cd_low)),
                Self(_mm512_unpacklo_epi64(ab_high, cd_high)),
                Self(_mm512_unpackhi_epi64(ab_high, cd_high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load4(rows: &Rows, offset: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let low = _mm256_set_m128i(Self::four(rows, 1, offset), Self::four(rows, 0, offset));
            let high = _mm256_set_m128i(Self::four(rows, 3, offset), Self::four(rows, 2, offset));
            Self(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high))
        }
    }

    #[inline(always)]
    unsafe fn load_f16(rows: &Rows, offset: usize) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            let low = Self::eight_halves(rows, 0, offset);
            _mm512_cvtph_ps(_mm256_set_m128i(Self::eight_halves(rows, 2, offset), low))
        }
    }

    #[inline(always)]
    fn splat(x: i32) -> Self {
        Self(registers!(_mm512_set1_epi32(x)))
    }

    #[inline(always)]
    fn and(self, b: Self) -> Self {
        Self(registers!(_mm512_and_si512(self.0, b.0)))
    }

    #[inline(always)]
    fn or(self, b: Self) -> Self {
        Self(registers!(_mm512_or_si512(self.0, b.0)))
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(registers!(_mm512_add_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(registers!(_mm512_sub_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(registers!(_mm512_mullo_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn add_bytes(self, b: Self) -> Self {
        Self(registers!(_mm512_add_epi8(self.0, b.0)))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(registers!(_mm512_max_epi32(self.0, b.0)))
    }

    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        Self(registers!(_mm512_srli_epi32::<N>(self.0)))
    }

    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        Self(registers!(_mm512_slli_epi32::<N>(self.0)))
    }

    #[inline(always)]
    fn shuffle(self, from: [i8; 4]) -> Self {
        let [a, b, c, d] = from;
        // The byte's index within 128 bits; a negative index stays negative.
        let at = |lane: i8, x: i8| if x < 0 { x } else { 4 * lane + x };
        Self(registers!(_mm512_shuffle_epi8(
            self.0,
            _mm512_broadcast_i32x4(_mm_setr_epi8(
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
        let table = unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())) };
        Self(registers!(_mm512_shuffle_epi8(table, self.0)))
    }

    #[inline(always)]
    fn add_where(self, bits: Self, select: Self, add: Self) -> Self {
        Self(registers!(_mm512_mask_add_epi8(self.0, _mm512_test_epi8_mask(bits.0, select.0), self.0, add.0)))
    }

    #[inline(always)]
    fn signed(self) -> Self {
        Self(registers!(_mm512_xor_si512(self.0, _mm512_set1_epi8(-128))))
    }

    #[inline(always)]
    fn byte(self, i: u32) -> Self {
        Self(registers!({
            let top = _mm512_sll_epi32(self.0, _mm_cvtsi32_si128(24 - 8 * i as i32));
            _mm512_srai_epi32::<24>(top)
        }))
    }

    #[inline(always)]
    fn low_f16(self) -> __m512 {
        registers!(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(self.0)))
    }

    #[inline(always)]
    fn to_floats(self) -> __m512 {
        registers!(_mm512_cvtepi32_ps(self.0))
    }

    #[inline(always)]
    fn as_floats(self) -> __m512 {
        registers!(_mm512_castsi512_ps(self.0))
    }

    #[inline(always)]
    fn zero() -> __m512 {
        registers!(_mm512_setzero_ps())
    }

    #[inline(always)]
    fn splat_float(x: f32) -> __m512 {
        registers!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn mul_floats(a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        registers!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn store(x: __m512, out: &mut [f32]) {
        assert_eq!(out.len(), 16);
        // SAFETY: writes the sixteen elements.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), x) }
    }

    #[inline(always)]
    unsafe fn dot<const T: usize, const N: usize, const MAX: u32>(
        tile: &[Self; N],
        q: [*const i8; T],
        sums: [Self; T],
    ) -> [Self; T] {
        // SAFETY: the caller's.
        let [sums] = unsafe { Self::dots::<1, T, N, MAX>([tile], q, [sums]) };
        sums
    }

    #[inline(always)]
    unsafe fn dots<const P: usize, const T: usize, const N: usize, const MAX: u32>(
        tiles: [&[Self; N]; P],
        q: [*const i8; T],
        mut sums: [[Self; T]; P],
    ) -> [[Self; T]; P] {
        // `vpdpbusd` multiplies any unsigned bytes (`signed` adds 128), and adds in 32 bits.
        const { assert!(MAX <= SIGNED) };
        if P == 2
            && T == 6
            && (N == 4 || N == 8)
            && let Some(both) = sums.as_flattened_mut().as_chunks_mut().0.first_chunk_mut()
            && let Some(q) = q.first_chunk()
        {
            let tiles = [tiles[0].as_ptr(), tiles[1].as_ptr()];
            // SAFETY: the caller's.
            unsafe { if N == 4 { asm::six_of_4(tiles, q, both) } else { asm::six_of_8(tiles, q, both) } }
            return sums;
        }
        for c in 0..N {
            let weights = tiles.map(|tile| tile[c].0);
            for t in 0..T {
                // SAFETY: the caller's.
                let q = unsafe { _mm512_set1_epi32(q[t].cast::<i32>().add(c).read_unaligned()) };
                for p in 0..P {
                    sums[p][t] = Self(registers!(_mm512_dpbusd_epi32(sums[p][t].0, weights[p], q)));
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn dot_pairs(self, pairs: Self, x: i32) -> Self {
        Self(registers!(_mm512_dpwssd_epi32(self.0, pairs.0, _mm512_set1_epi32(x))))
    }
}
