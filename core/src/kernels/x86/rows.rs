//! Where the rows of a panel are, and asking for them early.

use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

use crate::tensor::QMatRef;

/// Up to four groups of up to four neighbouring rows: lane `4 g + i` is row `i` of group `g`.
///
/// A matrix whose rows do not divide by the panel's ends in a panel whose groups overlap: rows are then computed more
/// than once, with the same result, which is simpler than masks and as fast. Fewer than four rows become groups of
/// one row, repeated.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Rows {
    /// First byte of the first row of each group.
    base: [*const u8; 4],
    /// Bytes from a row to the next of its group: 0 in groups of one.
    stride: usize,
    /// Rows of a group: 4 or 1.
    whole: usize,
    /// Index of the first row of each group.
    first: [usize; 4],
}

impl Rows {
    /// The first rows of the panels of `w`, for registers of `lanes` lanes.
    pub(in crate::kernels) fn panels(w: &QMatRef<'_>, lanes: usize) -> impl Iterator<Item = usize> + use<> {
        (0..w.rows()).step_by(if w.rows() >= 4 { lanes } else { lanes / 4 })
    }

    /// The panel of `w` that starts with row `first`.
    pub(in crate::kernels) fn new(w: &QMatRef<'_>, first: usize) -> Self {
        let (whole, stride) = if w.rows() >= 4 { (4, w.row_bytes()) } else { (1, 0) };
        let last = w.rows() - whole;
        let first: [usize; 4] = std::array::from_fn(|g| (first + whole * g).min(last));
        let base = first.map(|row| w.bytes()[row * w.row_bytes()..].as_ptr());
        Self { base, stride, whole, first }
    }

    /// `P` panels of `lanes` rows, from row `first` on. Beyond the end the last rows come again.
    pub(in crate::kernels) fn side_by_side<const P: usize>(
        w: &QMatRef<'_>,
        first: usize,
        lanes: usize,
    ) -> [Self; P] {
        let rows = if w.rows() >= 4 { lanes } else { lanes / 4 };
        std::array::from_fn(|p| Self::new(w, first + p * rows))
    }

    /// Sixteen blocks as rows of one block each.
    #[inline(always)]
    pub(in crate::kernels) fn of<B>(blocks: &[B; 16]) -> Self {
        let first = [0, 4, 8, 12];
        Self { base: first.map(|i| blocks[i..].as_ptr().cast()), stride: size_of::<B>(), whole: 4, first }
    }

    /// Where byte `offset` of row `i` of group `g` is.
    ///
    /// # Safety
    /// - `offset <=` the bytes per row, `g < 4`, `i < 4`.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn at(&self, g: usize, i: usize, offset: usize) -> *const u8 {
        // SAFETY: row `i` of group `g` is one of the matrix (`new`), and `offset` is inside it or its end.
        unsafe { self.base[g].add(offset + i * self.stride) }
    }

    /// Writes the lanes, `[8 or 16]`, to their rows of `out`, `[rows]`.
    #[inline(always)]
    pub(in crate::kernels) fn scatter(&self, lanes: &[f32], out: &mut [f32]) {
        let groups = lanes.len() / 4;
        if self.whole == 4 && self.first[groups - 1] == self.first[0] + 4 * (groups - 1) {
            out[self.first[0]..self.first[0] + lanes.len()].copy_from_slice(lanes);
            return;
        }
        for (first, lanes) in self.first.iter().zip(lanes.as_chunks::<4>().0) {
            out[*first..first + self.whole].copy_from_slice(&lanes[..self.whole]);
        }
    }
}

/// Requests weights from memory a panel before they are used, in the order of addresses.
///
/// Sixteen rows are sixteen streams, too many for the hardware's own prefetching when rows are short: without this
/// a product of Q4_0 reaches 10 GB/s where plain reading reaches 22 (Zen 4, rows of 1440 bytes, a busy machine), with
/// it 15. Lines go to the second-level cache: in the first they would displace the panel that is being read (11).
pub(in crate::kernels) struct Ahead {
    next: *const u8,
    end: *const u8,
}

/// How far the requests lead, beyond one panel. Bytes.
const LEAD: usize = 8192;

impl Ahead {
    /// Starts at the first row of `w`, and requests the first panel of `rows` rows.
    pub(in crate::kernels) fn new(w: &QMatRef<'_>, rows: usize) -> Self {
        let all = w.bytes().as_ptr_range();
        let mut ahead = Self { next: all.start, end: all.end };
        for _ in 0..(rows * w.row_bytes() + LEAD).div_ceil(1024) {
            ahead.advance(1024);
        }
        ahead
    }

    /// Starts a panel of `rows` rows and the lead into `w`, and runs on past its end: what follows in memory is what
    /// the thread will most likely be given next, and a request for an address that is not there does nothing.
    pub(in crate::kernels) fn onward(w: &QMatRef<'_>, rows: usize) -> Self {
        let next = w.bytes().as_ptr().wrapping_add(rows * w.row_bytes() + LEAD);
        Self { next, end: std::ptr::without_provenance(usize::MAX) }
    }

    /// Requests the next `bytes` bytes.
    #[inline(always)]
    pub(in crate::kernels) fn advance(&mut self, bytes: usize) {
        if self.next < self.end {
            for line in 0..bytes.div_ceil(64) {
                // SAFETY: a hint; any address will do, and every x86-64 has it.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(64 * line).cast()) };
            }
            self.next = self.next.wrapping_add(bytes);
        }
    }
}
