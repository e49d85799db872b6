//! Activations: what weights are multiplied with.

use crate::quant::{ActBlock, ActFormat};

/// Activations of `n` tokens, `k` values each.
#[derive(Clone, Copy, Debug)]
pub enum Acts<'a> {
    /// `[n, k]` as they are.
    F32 {
        /// `[n, k]`.
        x: &'a [f32],
        /// Tokens.
        n: usize,
        /// Values per token.
        k: usize,
    },
    /// Quantised in blocks.
    Quant(QuantActs<'a>),
}

/// Quantised activations of `n` tokens; `k` is a multiple of the format's block.
#[derive(Clone, Copy, Debug)]
pub struct QuantActs<'a> {
    /// `Q8x32` or `Q8x256`.
    pub format: ActFormat,
    /// Tokens.
    pub n: usize,
    /// Values per token.
    pub k: usize,
    /// `[n, k]`, in -127..=127.
    pub qs: &'a [i8],
    /// `[n, k / block_len]`. A block with a value that is not finite has scale NaN and all `qs` zero.
    pub scales: &'a [f32],
    /// `[n, k / sum_len]`: sums of `qs`.
    pub sums: &'a [i16],
}

impl<'a> QuantActs<'a> {
    /// A view; panics unless the lengths fit `format`, `n` and `k` (a programming error, not data).
    pub fn new(
        format: ActFormat,
        n: usize,
        k: usize,
        qs: &'a [i8],
        scales: &'a [f32],
        sums: &'a [i16],
    ) -> Self {
        assert!(format != ActFormat::F32 && k.is_multiple_of(format.block_len()));
        assert!(qs.len() == n * k && scales.len() == n * k / format.block_len());
        assert!(sums.len() == n * k / format.sum_len());
        Self { format, n, k, qs, scales, sums }
    }

    /// Token `t`'s block `b`.
    pub fn block(&self, t: usize, b: usize) -> ActBlock<'a> {
        let len = self.format.block_len();
        let per_block = len / self.format.sum_len();
        let index = t * (self.k / len) + b;
        ActBlock {
            f32: &[],
            qs: &self.qs[index * len..(index + 1) * len],
            scale: self.scales[index],
            sums: &self.sums[index * per_block..(index + 1) * per_block],
        }
    }

    /// Tokens `range` only. Inlined, for callers that know the format: then nothing is divided.
    #[inline(always)]
    pub fn tokens(&self, range: std::ops::Range<usize>) -> Self {
        let (k, block, sum) = (self.k, self.format.block_len(), self.format.sum_len());
        let cut = |unit: usize| range.start * k / unit..range.end * k / unit;
        Self {
            n: range.len(),
            qs: &self.qs[cut(1)],
            scales: &self.scales[cut(block)],
            sums: &self.sums[cut(sum)],
            ..*self
        }
    }
}

impl<'a> Acts<'a> {
    /// What a product of quantised weights meets. Panics on floats: the caller has checked the format.
    pub fn quantised(&self) -> &QuantActs<'a> {
        match self {
            Acts::Quant(acts) => acts,
            Acts::F32 { .. } => panic!("quantised weights meet quantised activations: checked by the caller"),
        }
    }

    /// Tokens `range` only.
    pub fn tokens(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Acts::F32 { x, k, .. } => {
                Acts::F32 { x: &x[range.start * k..range.end * k], n: range.len(), k: *k }
            }
            Acts::Quant(acts) => Acts::Quant(acts.tokens(range)),
        }
    }

    /// Tokens.
    pub fn n(&self) -> usize {
        match self {
            Acts::F32 { n, .. } => *n,
            Acts::Quant(q) => q.n,
        }
    }

    /// Values per token.
    pub fn k(&self) -> usize {
        match self {
            Acts::F32 { k, .. } => *k,
            Acts::Quant(q) => q.k,
        }
    }

    /// The representation.
    pub fn format(&self) -> ActFormat {
        match self {
            Acts::F32 { .. } => ActFormat::F32,
            Acts::Quant(q) => q.format,
        }
    }
}
