//! A matrix of weights, borrowed from the file.

use std::ops::Range;

use super::cast::{PlainBlock, blocks, bytes_of};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::{self, Block, QuantType};

/// A row-major matrix of weights in file layout: `rows` rows of `cols` weights.
#[derive(Clone, Copy, Debug)]
pub struct QMatRef<'a> {
    ty: QuantType,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    bytes: &'a [u8],
}

impl<'a> QMatRef<'a> {
    /// A view of `bytes`; an error unless they are exactly `rows` rows of `cols` weights of type `ty`.
    pub fn new(ty: QuantType, rows: usize, cols: usize, bytes: &'a [u8]) -> Result<Self> {
        let row_bytes = ty.row_bytes(cols).ok_or_else(|| {
            Error::new(ErrorKind::Shape, format!("a row of {cols} is not a whole number of {ty} blocks"))
        })?;
        match rows.checked_mul(row_bytes) {
            Some(n) if n == bytes.len() => Ok(Self { ty, rows, cols, row_bytes, bytes }),
            _ => Err(Error::new(
                ErrorKind::Shape,
                format!("{rows} rows of {cols} {ty} weights do not take {} bytes", bytes.len()),
            )),
        }
    }

    /// The storage type.
    pub fn ty(&self) -> QuantType {
        self.ty
    }

    /// Rows: outputs of the product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: weights per row, inputs of the product.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes per row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// All bytes, `[rows * row_bytes]`.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The rows in `range`. Panics if out of range, like a slice.
    pub fn slice_rows(&self, range: Range<usize>) -> Self {
        let bytes = &self.bytes[range.start * self.row_bytes..range.end * self.row_bytes];
        Self { rows: range.len(), bytes, ..*self }
    }

    /// The blocks of one row. Panics if `row` is out of range.
    ///
    /// # Errors
    /// If `B` is not this matrix's block type (by size).
    pub fn row<B: PlainBlock>(&self, row: usize) -> Result<&'a [B]> {
        blocks(&self.bytes[row * self.row_bytes..(row + 1) * self.row_bytes])
    }

    /// Decodes one row into `out`, `[cols]`.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let bytes = &self.bytes[row * self.row_bytes..(row + 1) * self.row_bytes];
        dequantize(self.ty, bytes, out);
    }
}

macro_rules! define_dequantize {
    ($($variant:ident = $id:literal, $block:ident, $bytes:literal, $name:literal;)+) => {
        /// Decodes a row of type `ty` into `out`. Weights or room left over are ignored.
        fn dequantize(ty: QuantType, bytes: &[u8], out: &mut [f32]) {
            match ty {
                $(QuantType::$variant => dequantize_blocks::<quant::$block>(bytes, out)),+
            }
        }
    };
}
quant::with_quant_types!(define_dequantize);

macro_rules! define_quantize {
    ($($variant:ident = $id:literal, $block:ident, $bytes:literal, $name:literal;)+) => {
        /// Encodes `x` as type `ty`, plainly ([`Block::quantize`]): for tests and tools.
        ///
        /// # Errors
        /// If `x` is not a whole number of blocks.
        pub fn quantize(ty: QuantType, x: &[f32]) -> Result<Vec<u8>> {
            let size = ty.row_bytes(x.len()).ok_or_else(|| {
                let message = format!("{} values are not a whole number of {ty} blocks", x.len());
                Error::new(ErrorKind::Shape, message)
            })?;
            let mut bytes = Vec::with_capacity(size);
            for x in x.chunks_exact(ty.block_len()) {
                match ty {
                    $(QuantType::$variant => bytes.extend_from_slice(bytes_of(&quant::$block::quantize(x))),)+
                }
            }
            Ok(bytes)
        }
    };
}
quant::with_quant_types!(define_quantize);

fn dequantize_blocks<B: PlainBlock>(bytes: &[u8], out: &mut [f32]) {
    let whole = bytes.len() - bytes.len() % size_of::<B>();
    let blocks = blocks::<B>(&bytes[..whole]).expect("cut to whole blocks");
    for (block, out) in blocks.iter().zip(out.chunks_exact_mut(<B as Block>::LEN)) {
        block.dequantize(out);
    }
}
