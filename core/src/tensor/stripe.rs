//! Vertical stripes of an output matrix, so that threads can write disjoint columns of it.
#![allow(unsafe_code, reason = "splits one mutable matrix by columns, which slices cannot express")]

use std::marker::PhantomData;
use std::ops::Range;

/// A row-major `[n, stride]` matrix that is being handed out in stripes of columns.
#[derive(Clone, Copy, Debug)]
pub struct StripeSource<'a> {
    ptr: *mut f32,
    n: usize,
    stride: usize,
    _matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a source is only a pointer and two lengths; data is reached through `stripe`, whose caller promises that
// no column is handed out twice.
unsafe impl Send for StripeSource<'_> {}
// SAFETY: as above.
unsafe impl Sync for StripeSource<'_> {}

impl<'a> StripeSource<'a> {
    /// Borrows `matrix`, `[n, stride]`, for as long as stripes of it live. Panics if the length does not fit.
    pub fn new(matrix: &'a mut [f32], n: usize, stride: usize) -> Self {
        assert_eq!(
            Some(matrix.len()),
            n.checked_mul(stride),
            "matrix does not have n rows of stride columns"
        );
        Self { ptr: matrix.as_mut_ptr(), n, stride, _matrix: PhantomData }
    }

    /// Columns of the whole matrix.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The columns in `range` of every row. Panics if out of range.
    ///
    /// # Safety
    /// - while the result lives, no other stripe that shares a column with it does.
    pub unsafe fn stripe(&self, range: Range<usize>) -> Stripe<'a> {
        assert!(range.start <= range.end && range.end <= self.stride, "columns out of range");
        // SAFETY: `range.start <= stride`, so the pointer stays inside the matrix (or one past an empty one).
        let ptr = unsafe { self.ptr.add(if self.n == 0 { 0 } else { range.start }) };
        Stripe { ptr, n: self.n, width: range.len(), stride: self.stride, _matrix: PhantomData }
    }
}

/// Some columns of every row of a matrix: `[n, width]`, rows `stride` apart.
#[derive(Debug)]
pub struct Stripe<'a> {
    ptr: *mut f32,
    n: usize,
    width: usize,
    stride: usize,
    _matrix: PhantomData<&'a mut [f32]>,
}

impl<'a> Stripe<'a> {
    /// The whole of `matrix`, `[n, width]`, as one stripe.
    pub fn whole(matrix: &'a mut [f32], n: usize, width: usize) -> Self {
        let source = StripeSource::new(matrix, n, width);
        // SAFETY: the only stripe of this source, which ends here.
        unsafe { source.stripe(0..width) }
    }

    /// Rows of the matrix: tokens.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Columns in this stripe: rows of the weights.
    pub fn width(&self) -> usize {
        self.width
    }

    /// This stripe's part of row `t`, `[width]`. Panics if out of range.
    pub fn row(&mut self, t: usize) -> &mut [f32] {
        assert!(t < self.n, "row out of range");
        // SAFETY: rows `stride` apart lie inside the matrix for `t < n`; the columns of this stripe are not shared
        // (`StripeSource::stripe`), and the result borrows `self` mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(t * self.stride), self.width) }
    }
}
