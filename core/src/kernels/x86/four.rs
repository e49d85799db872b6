//! Four rows, read side by side in the order of the file: for products with one token.

use std::arch::x86_64::*;

use crate::tensor::{QMatRef, Stripe};

/// Rows that are read side by side.
pub(in crate::kernels) const ROWS: usize = 4;

/// The first bytes of four neighbouring rows; a row past the last is the last again.
pub(in crate::kernels) struct Four {
    first: usize,
    pub(in crate::kernels) rows: [*const u8; ROWS],
}

impl Four {
    #[inline(always)]
    pub(in crate::kernels) fn new(w: &QMatRef<'_>, first: usize) -> Self {
        let row = |i: usize| w.bytes()[(first + i).min(w.rows() - 1) * w.row_bytes()..].as_ptr();
        Self { first, rows: std::array::from_fn(row) }
    }

    /// Writes a number for each row to the first row of `out`.
    #[inline(always)]
    pub(in crate::kernels) fn store(&self, sums: __m128, out: &mut Stripe<'_>) {
        let mut lanes = [0.0; ROWS];
        // SAFETY: writes the four elements.
        unsafe { _mm_storeu_ps(lanes.as_mut_ptr(), sums) };
        let left = &mut out.row(0)[self.first..];
        match left.first_chunk_mut() {
            Some(four) => *four = lanes,
            None => left.copy_from_slice(&lanes[..left.len()]),
        }
    }
}

/// f16 bits, widened.
///
/// # Safety
/// - runs inside a function with F16C.
#[inline(always)]
pub(in crate::kernels) unsafe fn widened(bits: [u16; ROWS]) -> __m128 {
    let mut x = 0;
    for r in 0..ROWS {
        x |= u64::from(bits[r]) << (16 * r);
    }
    // SAFETY: only needs the instructions.
    unsafe { _mm_cvtph_ps(_mm_cvtsi64_si128(x as i64)) }
}
