//! Sixteen rows of a quantised matrix, read so that lane `r` of a register belongs to row `r`.

use std::arch::x86_64::*;

use crate::tensor::QMatRef;

/// Four groups of up to four neighbouring rows. Lane `4 g + i` is row `base[g] + i`.
///
/// A matrix whose rows do not divide by sixteen ends in a panel whose groups overlap: rows are then computed more
/// than once, with the same result, which is simpler than masks and as fast. Fewer than four rows become groups
/// of one row, repeated (`stride` 0).
pub(super) struct Rows {
    /// First byte of the first row of each group.
    base: [*const u8; 4],
    /// Bytes from a row to the next of its group.
    stride: usize,
    /// Rows of a group: 4 or 1.
    whole: usize,
    /// Index of the first row of each group.
    first: [usize; 4],
}

impl Rows {
    /// The panel of `w` that starts with row `first`.
    pub(super) fn new(w: &QMatRef<'_>, first: usize) -> Self {
        let (whole, stride) = if w.rows() >= 4 { (4, w.row_bytes()) } else { (1, 0) };
        let last = w.rows() - whole;
        let first: [usize; 4] = std::array::from_fn(|g| (first + whole * g).min(last));
        let base = first.map(|row| w.bytes()[row * w.row_bytes()..].as_ptr());
        Self { base, stride, whole, first }
    }

    /// Writes lane `4 g + i` of `lanes` to row `base[g] + i` of `out`, `[rows]`.
    #[inline(always)]
    pub(super) fn scatter(&self, lanes: &[f32; 16], out: &mut [f32]) {
        if self.first[3] == self.first[0] + 12 {
            out[self.first[0]..self.first[0] + 16].copy_from_slice(lanes);
            return;
        }
        for (first, lanes) in self.first.iter().zip(lanes.as_chunks::<4>().0) {
            out[*first..first + self.whole].copy_from_slice(&lanes[..self.whole]);
        }
    }

    /// Bytes `offset..offset + 16` of every row: result `c` holds bytes `4 c..4 c + 4` of row `r` in lane `r`.
    ///
    /// # Safety
    /// - `offset + 16 <=` the matrix's bytes per row;
    /// - the processor has AVX-512F.
    #[inline(always)]
    pub(super) unsafe fn load16(&self, offset: usize) -> [__m512i; 4] {
        // SAFETY: the caller's bounds; the intrinsics need AVX-512F.
        unsafe {
            let (a, b) = (self.quarters(offset), self.quarters(offset + self.stride));
            let (c, d) = (self.quarters(offset + 2 * self.stride), self.quarters(offset + 3 * self.stride));
            let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            [
                _mm512_unpacklo_epi64(ab_low, cd_low),
                _mm512_unpackhi_epi64(ab_low, cd_low),
                _mm512_unpacklo_epi64(ab_high, cd_high),
                _mm512_unpackhi_epi64(ab_high, cd_high),
            ]
        }
    }

    /// Sixteen bytes at `offset` of the first row of each group, one group per 128 bits.
    #[inline(always)]
    unsafe fn quarters(&self, offset: usize) -> __m512i {
        // SAFETY: as `load16`.
        unsafe {
            let a = _mm_loadu_si128(self.base[0].add(offset).cast());
            let b = _mm_loadu_si128(self.base[1].add(offset).cast());
            let c = _mm_loadu_si128(self.base[2].add(offset).cast());
            let d = _mm_loadu_si128(self.base[3].add(offset).cast());
            let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
            let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        }
    }

    /// Four bytes at `offset` of every row.
    ///
    /// # Safety
    /// - `offset + 4 <=` the matrix's bytes per row;
    /// - the processor has AVX-512F.
    #[inline(always)]
    pub(super) unsafe fn load4(&self, offset: usize) -> __m512i {
        // SAFETY: the caller's bounds; the intrinsics need AVX-512F.
        unsafe {
            let [a, b, c, d] = self.read::<i32>(offset);
            let a = _mm_setr_epi32(a[0], a[1], a[2], a[3]);
            let b = _mm_setr_epi32(b[0], b[1], b[2], b[3]);
            let c = _mm_setr_epi32(c[0], c[1], c[2], c[3]);
            let d = _mm_setr_epi32(d[0], d[1], d[2], d[3]);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(_mm256_set_m128i(b, a)), _mm256_set_m128i(d, c))
        }
    }

    /// The two f16 at `offset` of every row.
    ///
    /// # Safety
    /// - `offset + 4 <=` the matrix's bytes per row;
    /// - the processor has AVX-512F.
    #[inline(always)]
    pub(super) unsafe fn load_2f16(&self, offset: usize) -> [__m512; 2] {
        // SAFETY: the caller's.
        unsafe {
            let pair = self.load4(offset);
            [
                _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pair)),
                _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(pair))),
            ]
        }
    }

    /// The f16 at `offset` of every row.
    ///
    /// # Safety
    /// - `offset + 2 <=` the matrix's bytes per row;
    /// - the processor has AVX-512F.
    #[inline(always)]
    pub(super) unsafe fn load_f16(&self, offset: usize) -> __m512 {
        // SAFETY: the caller's bounds; the intrinsics need AVX-512F.
        unsafe {
            let [a, b, c, d] = self.read::<i16>(offset);
            let low = _mm_setr_epi16(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]);
            let high = _mm_setr_epi16(c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]);
            _mm512_cvtph_ps(_mm256_set_m128i(high, low))
        }
    }

    /// The value at `offset` of every row.
    #[inline(always)]
    unsafe fn read<T: Copy>(&self, offset: usize) -> [[T; 4]; 4] {
        // SAFETY: as `load4`.
        let four = |base: *const u8| unsafe {
            let at = |i: usize| base.add(offset + i * self.stride).cast::<T>().read_unaligned();
            [at(0), at(1), at(2), at(3)]
        };
        [four(self.base[0]), four(self.base[1]), four(self.base[2]), four(self.base[3])]
    }
}

/// Requests weights from memory a panel before they are used, in the order of addresses.
///
/// Sixteen rows are sixteen streams, too many for the hardware's own prefetching when rows are short: without this
/// a product reaches 10 GB/s where plain reading reaches 19 (Zen 4, rows of 1440 bytes), with it 18. Lines go to the
/// second-level cache: in the first they would displace the panel that is being read (12 GB/s).
pub(super) struct Ahead {
    next: *const u8,
    end: *const u8,
}

/// How far the requests lead, beyond one panel. Bytes.
const LEAD: usize = 8192;

impl Ahead {
    /// Starts at the first row of `w`, and requests the first panel.
    pub(super) fn new(w: &QMatRef<'_>) -> Self {
        let all = w.bytes().as_ptr_range();
        let mut ahead = Self { next: all.start, end: all.end };
        for _ in 0..(16 * w.row_bytes() + LEAD).div_ceil(1024) {
            ahead.advance(1024);
        }
        ahead
    }

    /// Requests the next `bytes` bytes.
    #[inline(always)]
    pub(super) fn advance(&mut self, bytes: usize) {
        if self.next < self.end {
            for line in 0..bytes.div_ceil(64) {
                // SAFETY: a hint; any address will do, and every x86-64 has it.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(64 * line).cast()) };
            }
            self.next = self.next.wrapping_add(bytes);
        }
    }
}
