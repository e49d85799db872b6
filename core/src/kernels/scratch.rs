//! Working memory of one thread, for kernels that unpack weights before they multiply.

/// Rows that a product unpacks at once, at most, over all tiers of the architecture.
pub(crate) const PANEL_ROWS: usize = if cfg!(target_arch = "x86_64") { 32 } else { 16 };

/// A cache line; the unit of scratch memory, so that every buffer in it is aligned.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; 64]);

/// Aligned working memory of one thread. Allocated once, when a session is planned.
#[derive(Debug)]
pub struct Scratch {
    lines: Vec<Line>,
    max_k: usize,
}

impl Scratch {
    /// Memory for products with rows of at most `max_k` weights, and attention with heads of at most that.
    pub fn new(max_k: usize) -> Self {
        Self { lines: vec![Line([0; 64]); Self::bytes(max_k) / 64], max_k }
    }

    /// Bytes that [`new`](Self::new) takes: a panel of [`PANEL_ROWS`] rows as `i8` (`max_k` bytes each), with
    /// up to one `f32` scale and one `f32` offset per 32 weights, one number per 16 activations of up to 8 tokens
    /// that share a pass over it, and 64 KiB for what is independent of `k`.
    pub const fn bytes(max_k: usize) -> usize {
        let k = max_k.next_multiple_of(256);
        PANEL_ROWS * (k + k / 32 * 8) + 8 * (k / 16 * 4) + (64 << 10)
    }

    /// Panics if rows of `k` do not fit.
    pub(crate) fn reserve_check(&self, k: usize) {
        assert!(k <= self.max_k, "scratch is for rows of {}, not {k}", self.max_k);
    }

    /// All of it, 64-byte aligned.
    pub(crate) fn lines(&mut self) -> &mut [Line] {
        &mut self.lines
    }

    /// All of it as `f32`.
    pub(crate) fn f32s(&mut self) -> &mut [f32] {
        typed(&mut self.lines)
    }

    /// All of it as bytes.
    pub(crate) fn i8s(&mut self) -> &mut [i8] {
        typed(&mut self.lines)
    }
}

/// A number of at most 64 bytes, aligned to its size, of which every bit pattern is one.
///
/// # Safety
/// - that is so.
pub(crate) unsafe trait Number {}
// SAFETY: as it says.
unsafe impl Number for f32 {}
// SAFETY: as it says.
unsafe impl Number for i32 {}
// SAFETY: as it says.
unsafe impl Number for i16 {}
// SAFETY: as it says.
unsafe impl Number for i8 {}

/// `lines` as numbers.
pub(crate) fn typed<T: Number>(lines: &mut [Line]) -> &mut [T] {
    let len = size_of_val(lines) / size_of::<T>();
    // SAFETY: a line is 64 plain bytes, aligned to 64, so the memory holds so many initialised `T`, any bit pattern of
    // which is valid; the result borrows `lines` mutably.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<T>(), len) }
}
