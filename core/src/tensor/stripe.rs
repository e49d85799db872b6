//! Disjoint parts of one buffer, so that threads can fill it together.
//!
//! Slices cannot say "these columns of every row" or "row `i` for whichever thread asks first"; these types can. They
//! hold a pointer and check ranges; that no part is handed out twice is the promise of the one caller, the thread
//! pool.
#![allow(unsafe_code, reason = "splits one mutable buffer into disjoint parts, which slices cannot express")]

use std::marker::PhantomData;
use std::ops::Range;

/// A row-major `[n, stride]` matrix that is being handed out in tiles.
#[derive(Debug)]
pub struct StripeSource<'a, T = f32> {
    ptr: *mut T,
    n: usize,
    stride: usize,
    _matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: a source is only a pointer and two lengths; data is reached through `tile`, whose caller promises that no
// element is handed out twice, so sending one is sending parts of a `&mut [T]`.
unsafe impl<T: Send> Send for StripeSource<'_, T> {}
// SAFETY: as above; `tile` on a shared source still hands out disjoint parts only.
unsafe impl<T: Send> Sync for StripeSource<'_, T> {}

impl<'a, T> StripeSource<'a, T> {
    /// Borrows `matrix`, `[n, stride]`, for as long as tiles of it live. Panics if the length does not fit.
    pub fn new(matrix: &'a mut [T], n: usize, stride: usize) -> Self {
        assert_eq!(
            Some(matrix.len()),
            n.checked_mul(stride),
            "matrix does not have n rows of stride columns"
        );
        Self { ptr: matrix.as_mut_ptr(), n, stride, _matrix: PhantomData }
    }

    /// Rows of the whole matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Columns of the whole matrix.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The columns `cols` of the rows `rows`. Panics if out of range.
    ///
    /// # Safety
    /// - while the result lives, no other tile that shares an element with it does.
    pub unsafe fn tile(&self, rows: Range<usize>, cols: Range<usize>) -> Stripe<'a, T> {
        assert!(rows.start <= rows.end && rows.end <= self.n, "rows out of range");
        assert!(cols.start <= cols.end && cols.end <= self.stride, "columns out of range");
        let first = if rows.is_empty() { 0 } else { rows.start * self.stride + cols.start };
        // SAFETY: `first` is inside the matrix, or the tile is empty and it is 0.
        let ptr = unsafe { self.ptr.add(first) };
        Stripe { ptr, n: rows.len(), width: cols.len(), stride: self.stride, _matrix: PhantomData }
    }
}

/// A tile of a matrix: `[n, width]`, rows `stride` elements apart.
#[derive(Debug)]
pub struct Stripe<'a, T = f32> {
    ptr: *mut T,
    n: usize,
    width: usize,
    stride: usize,
    _matrix: PhantomData<&'a mut [T]>,
}

impl<'a, T> Stripe<'a, T> {
    /// The whole of `matrix`, `[n, width]`, as one tile.
    pub fn whole(matrix: &'a mut [T], n: usize, width: usize) -> Self {
        let source = StripeSource::new(matrix, n, width);
        // SAFETY: the only tile of this source, which ends here.
        unsafe { source.tile(0..n, 0..width) }
    }

    /// Rows: tokens.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Columns: outputs.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows in `range`. Panics if out of range.
    pub fn rows(&mut self, range: Range<usize>) -> Stripe<'_, T> {
        assert!(range.start <= range.end && range.end <= self.n, "rows out of range");
        let first = if range.is_empty() { 0 } else { range.start * self.stride };
        // SAFETY: `first` is inside this tile, or the part is empty and it is 0.
        let ptr = unsafe { self.ptr.add(first) };
        Stripe { ptr, n: range.len(), width: self.width, stride: self.stride, _matrix: PhantomData }
    }

    /// The columns `cols` of every row. Panics if out of range.
    pub fn columns(&mut self, cols: Range<usize>) -> Stripe<'_, T> {
        assert!(cols.start <= cols.end && cols.end <= self.width, "columns out of range");
        let first = if self.n == 0 { 0 } else { cols.start };
        // SAFETY: `first` is inside the first row, or there is none and it is 0.
        let ptr = unsafe { self.ptr.add(first) };
        Stripe { ptr, n: self.n, width: cols.len(), stride: self.stride, _matrix: PhantomData }
    }

    /// Row `t`, `[width]`. Panics if out of range.
    pub fn row(&mut self, t: usize) -> &mut [T] {
        assert!(t < self.n, "row out of range");
        // SAFETY: rows `stride` apart lie inside the matrix for `t < n`; the elements of this tile are not shared
        // (`StripeSource::tile`), and the result borrows `self` mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(t * self.stride), self.width) }
    }
}

/// Rows of a buffer that tasks take one by one: `[capacity, row_len]`, task `i` gets row `(start + i) % capacity`.
#[derive(Debug)]
pub struct Rows<'a, T> {
    ptr: *mut T,
    row_len: usize,
    start: usize,
    capacity: usize,
    _rows: PhantomData<&'a mut [T]>,
}

// SAFETY: as for `StripeSource`: parts of a `&mut [T]`, handed out once each by `SplitRows::row`'s caller.
unsafe impl<T: Send> Send for Rows<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// Rows of `row_len` elements from the start of `data`; what is left over stays untouched.
    pub fn new(data: &'a mut [T], row_len: usize) -> Self {
        Self::ring(data, row_len, 0)
    }

    /// The same, used as a ring that task 0 enters at row `start`.
    pub fn ring(data: &'a mut [T], row_len: usize, start: usize) -> Self {
        let capacity = data.len().checked_div(row_len).unwrap_or(usize::MAX);
        Self { ptr: data.as_mut_ptr(), row_len, start, capacity, _rows: PhantomData }
    }
}

/// Blocks of a ring that tasks take one by one. The buffer is `[groups][heads][per_group * len]`: task `i` gets block
/// `start + i`, counted over groups and wrapped, as a stripe of `heads` rows of `len` elements.
#[derive(Debug)]
pub struct Blocks<'a, T> {
    source: StripeSource<'a, T>,
    heads: usize,
    per_group: usize,
    start: usize,
}

impl<'a, T> Blocks<'a, T> {
    /// Panics if `data` is not whole groups.
    pub fn ring(data: &'a mut [T], (heads, per_group, len): (usize, usize, usize), start: usize) -> Self {
        let rows = data.len().checked_div(per_group * len).unwrap_or(0);
        assert!(rows.is_multiple_of(heads), "whole groups");
        Self { source: StripeSource::new(data, rows, per_group * len), heads, per_group, start }
    }
}

impl<'a, T: Send> SplitRows for Blocks<'a, T> {
    type Row = Stripe<'a, T>;

    fn capacity(&self) -> usize {
        self.source.n() / self.heads * self.per_group
    }

    unsafe fn row(&self, i: usize) -> Stripe<'a, T> {
        let (at, len) = ((self.start + i) % self.capacity(), self.source.stride() / self.per_group);
        let (group, block) = (at / self.per_group, at % self.per_group);
        let rows = group * self.heads..(group + 1) * self.heads;
        // SAFETY: for `i < capacity` the blocks of different tasks differ, and the caller asks for each once.
        unsafe { self.source.tile(rows, block * len..(block + 1) * len) }
    }
}

/// Something that can be taken apart row by row, one row per task.
pub trait SplitRows: Sync {
    /// One task's part.
    type Row;

    /// How many tasks can have a row each.
    fn capacity(&self) -> usize;

    /// Task `i`'s part.
    ///
    /// # Safety
    /// - `i < capacity()`;
    /// - each `i` is asked for at most once while earlier results live.
    unsafe fn row(&self, i: usize) -> Self::Row;
}

impl<'a, T: Send> SplitRows for Rows<'a, T> {
    type Row = &'a mut [T];

    fn capacity(&self) -> usize {
        self.capacity
    }

    unsafe fn row(&self, i: usize) -> &'a mut [T] {
        debug_assert!(i < self.capacity);
        let at = if self.row_len == 0 { 0 } else { (self.start + i) % self.capacity * self.row_len };
        // SAFETY: `at + row_len <= capacity * row_len <= data.len()`. For `i < capacity` the rows of different tasks
        // differ, and the caller asks for each once.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(at), self.row_len) }
    }
}

/// One of two kinds of parts.
#[derive(Clone, Copy, Debug)]
pub enum Either<A, B> {
    /// The first kind.
    A(A),
    /// The second kind.
    B(B),
}

impl<A: SplitRows, B: SplitRows> SplitRows for Either<A, B> {
    type Row = Either<A::Row, B::Row>;

    fn capacity(&self) -> usize {
        match self {
            Either::A(a) => a.capacity(),
            Either::B(b) => b.capacity(),
        }
    }

    unsafe fn row(&self, i: usize) -> Self::Row {
        // SAFETY: the caller's promise about `i` is the part's.
        unsafe {
            match self {
                Either::A(a) => Either::A(a.row(i)),
                Either::B(b) => Either::B(b.row(i)),
            }
        }
    }
}

/// Perhaps nothing.
impl<S: SplitRows> SplitRows for Option<S> {
    type Row = Option<S::Row>;

    fn capacity(&self) -> usize {
        self.as_ref().map_or(usize::MAX, S::capacity)
    }

    unsafe fn row(&self, i: usize) -> Self::Row {
        // SAFETY: the caller's promise about `i` is the part's.
        self.as_ref().map(|part| unsafe { part.row(i) })
    }
}

/// Nothing to split.
impl SplitRows for () {
    type Row = ();

    fn capacity(&self) -> usize {
        usize::MAX
    }

    unsafe fn row(&self, _: usize) {}
}

macro_rules! split_tuple {
    ($($part:ident $index:tt),+) => {
        impl<$($part: SplitRows),+> SplitRows for ($($part,)+) {
            type Row = ($($part::Row,)+);

            fn capacity(&self) -> usize {
                [$(self.$index.capacity()),+].into_iter().min().unwrap_or(0)
            }

            unsafe fn row(&self, i: usize) -> Self::Row {
                // SAFETY: the caller's promise about `i` is each part's.
                unsafe { ($(self.$index.row(i),)+) }
            }
        }
    };
}
split_tuple!(A 0, B 1);
split_tuple!(A 0, B 1, C 2);
split_tuple!(A 0, B 1, C 2, D 3);
split_tuple!(A 0, B 1, C 2, D 3, E 4);
split_tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_address_what_they_say() {
        let mut data: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let source = StripeSource::new(&mut data, 3, 4);
        // SAFETY: the two tiles share no element.
        let (mut a, mut b) = unsafe { (source.tile(1..3, 0..2), source.tile(0..1, 2..4)) };
        assert_eq!(a.row(1), [8.0, 9.0]);
        a.row(0)[1] = -1.0;
        b.row(0)[0] = -2.0;
        assert_eq!(a.rows(1..2).row(0), [8.0, 9.0]);
        assert_eq!(a.rows(2..2).n(), 0);
        a.columns(1..2).row(1)[0] = -3.0;
        assert_eq!(data, [0.0, 1.0, -2.0, 3.0, 4.0, -1.0, 6.0, 7.0, 8.0, -3.0, 10.0, 11.0]);
    }

    #[test]
    fn rings_wrap() {
        let mut data = [0u16; 6];
        let rows = Rows::ring(&mut data, 2, 2);
        assert_eq!(rows.capacity(), 3);
        for i in 0..2 {
            // SAFETY: each row is asked for once.
            unsafe { rows.row(i) }.fill(i as u16 + 1);
        }
        assert_eq!(data, [2, 2, 0, 0, 1, 1]);
    }

    #[test]
    fn blocks_are_strided_and_wrap() {
        let mut data = [0u16; 2 * 3 * 4]; // 2 groups of 3 heads, 2 blocks of 2 per group
        let blocks = Blocks::ring(&mut data, (3, 2, 2), 3);
        assert_eq!(blocks.capacity(), 4);
        for i in 0..2 {
            // SAFETY: each block is asked for once.
            let mut block = unsafe { blocks.row(i) };
            assert_eq!((block.n(), block.width()), (3, 2));
            (0..3).for_each(|head| block.row(head).fill(10 * (i as u16 + 1) + head as u16));
        }
        let (first, last) = data.split_at(12);
        assert_eq!(first, [20, 20, 0, 0, 21, 21, 0, 0, 22, 22, 0, 0]);
        assert_eq!(last, [0, 0, 10, 10, 0, 0, 11, 11, 0, 0, 12, 12]);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn tiles_outside_panic() {
        let mut data = [0.0f32; 4];
        let source = StripeSource::new(&mut data, 2, 2);
        // SAFETY: the only tile.
        let _ = unsafe { source.tile(0..3, 0..2) };
    }
}
