//! Where a product with activations in blocks of 256 gets its weights' blocks from.
//!
//! A trait, so that products of types that are multiplied as they are in the file are compiled without a thought of the
//! others.

use std::marker::PhantomData;

use super::block256::Block256;
use super::lanes::RowLanes;
use super::rows::Rows;
use crate::kernels::coded::DecodeFn;
use crate::kernels::scratch::Line;
use crate::quant::Bytes256;

/// Gives the blocks of a panel's rows.
pub(super) trait Source {
    /// What the blocks are when they are multiplied.
    type Block: Block256;

    /// Bytes of a block in the file.
    fn bytes(&self) -> usize;

    /// Block `b` of each row, at an offset into the rows that it gives. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// - `rows` are of the matrix that the source is for, and have more than `b` blocks.
    unsafe fn block<'a, L: RowLanes>(&'a mut self, rows: &'a Rows, b: usize) -> (&'a Rows, usize);
}

/// Blocks as they are in the file.
pub(super) struct Plain<B>(pub(super) PhantomData<B>);

impl<B: Block256> Source for Plain<B> {
    type Block = B;

    #[inline(always)]
    fn bytes(&self) -> usize {
        size_of::<B>()
    }

    #[inline(always)]
    unsafe fn block<'a, L: RowLanes>(&'a mut self, rows: &'a Rows, b: usize) -> (&'a Rows, usize) {
        (rows, b * size_of::<B>())
    }
}

/// Blocks of a coded type, each decoded when it is asked for.
pub(super) struct Decoded<'a> {
    bytes: usize,
    decode: DecodeFn,
    blocks: &'a mut [Bytes256; 16],
    /// `blocks` as rows.
    rows: Rows,
}

impl<'a> Decoded<'a> {
    /// Lines of scratch memory that [`new`](Self::new) takes.
    pub(super) const LINES: usize = size_of::<[Bytes256; 16]>().div_ceil(size_of::<Line>());

    /// Decodes blocks of `bytes` bytes by `decode` into `lines`, [`LINES`](Self::LINES) or more.
    pub(super) fn new(bytes: usize, decode: DecodeFn, lines: &'a mut [Line]) -> Self {
        let lines = &mut lines[..Self::LINES];
        // SAFETY: lines are plain initialised bytes, aligned enough, and as many as the blocks take; any bits are valid.
        let blocks: &mut [Bytes256; 16] = unsafe { &mut *lines.as_mut_ptr().cast() };
        let rows = Rows::of(blocks);
        Self { bytes, decode, blocks, rows }
    }
}

impl Source for Decoded<'_> {
    type Block = Bytes256;

    #[inline(always)]
    fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline(always)]
    unsafe fn block<'a, L: RowLanes>(&'a mut self, rows: &'a Rows, b: usize) -> (&'a Rows, usize) {
        for (r, out) in self.blocks[..L::ROWS].iter_mut().enumerate() {
            // SAFETY: the block is one of the row.
            let block =
                unsafe { std::slice::from_raw_parts(rows.at(r / 4, r % 4, b * self.bytes), self.bytes) };
            (self.decode)(block, out);
        }
        // Pointers from before the blocks were written may not read them.
        self.rows = Rows::of(self.blocks);
        (&self.rows, 0)
    }
}
