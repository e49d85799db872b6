//! A matrix with its bias, a vector: weights left where the file put them.

use std::ops::Range;

use super::binder::shape_error;
use crate::error::Result;
use crate::gguf::{Bytes, TensorInfo};
use crate::quant::QuantType;
use crate::tensor::{self, QMatRef};

/// A matrix in the file, with its bias.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    bytes: Bytes,
    ty: QuantType,
    rows: usize,
    cols: usize,
    /// Multiplies the product, before the bias: what the file has for weights of NVFP4, whose own scales do not reach far.
    pub(crate) scale: Option<f32>,
    pub(crate) bias: Option<Vector>,
}

impl Linear {
    /// The matrix in `info`, `[rows, cols]`, whose dimensions the caller has checked.
    pub(crate) fn unbiased(info: &TensorInfo, rows: usize, cols: usize) -> Result<Self> {
        let ty = info.quant_type()?;
        QMatRef::new(ty, rows, cols, info.bytes()).map_err(|e| shape_error(info, e.message()))?;
        Ok(Self { bytes: info.bytes().clone(), ty, rows, cols, scale: None, bias: None })
    }

    /// Rows `first..first + rows` of this matrix, which has them.
    pub(super) fn part(&self, first: usize, rows: usize) -> Self {
        let row = self.bytes.len() / self.rows;
        let bytes = self.bytes.slice(first * row..(first + rows) * row).expect("rows of this matrix");
        let bias = self.bias.as_ref().map(|b| Vector::Decoded(b.get()[first..first + rows].to_vec()));
        Self { bytes, ty: self.ty, rows, cols: self.cols, scale: self.scale, bias }
    }

    /// The matrix turned, `[cols, rows]`, as floats in memory.
    pub(crate) fn transposed(&self) -> Self {
        let (mut row, mut bytes) = (vec![0.0; self.cols], vec![0; 4 * self.rows * self.cols]);
        for r in 0..self.rows {
            self.mat().dequantize_row(r, &mut row);
            for (c, x) in row.iter().enumerate() {
                bytes[4 * (c * self.rows + r)..][..4].copy_from_slice(&x.to_le_bytes());
            }
        }
        let (ty, rows, cols) = (QuantType::F32, self.cols, self.rows);
        Self { bytes: Bytes::from(bytes), ty, rows, cols, scale: None, bias: None }
    }

    /// `[rows, cols]`.
    pub(crate) fn mat(&self) -> QMatRef<'_> {
        QMatRef::new(self.ty, self.rows, self.cols, &self.bytes)
            .expect("the shape was checked when it was bound")
    }

    pub(crate) fn ty(&self) -> QuantType {
        self.ty
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that one product reads.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

/// One matrix for each expert, in one tensor or in one each.
#[derive(Debug)]
pub(crate) struct Stack {
    /// `[experts * stride, cols]`; the first expert's where each has a tensor.
    whole: Linear,
    /// `[experts]` where each has a tensor, else empty.
    pieces: Vec<Bytes>,
    /// Rows from one expert's to the next one's.
    stride: usize,
    /// Where an expert's matrix begins among them, and how many rows it has.
    first: usize,
    rows: usize,
    /// `[experts]`: multiply the products, as [`Linear::scale`] does.
    pub(super) scale: Option<Box<[f32]>>,
    /// `[experts, stride]`.
    pub(crate) bias: Option<Vector>,
}

impl Stack {
    /// `rows` rows from `first` on of each `stride` of `whole`, which has whole ones of them.
    pub(super) fn new(
        whole: Linear,
        (stride, first, rows): (usize, usize, usize),
        bias: Option<Vector>,
    ) -> Self {
        Self { whole, pieces: Vec::new(), stride, first, rows, scale: None, bias }
    }

    /// One matrix each, of one shape and type; `None` if they are not, or none.
    pub(super) fn of_pieces(pieces: Vec<Linear>) -> Option<Self> {
        let first = pieces.first()?.clone();
        let alike = |l: &Linear| (l.ty, l.rows, l.cols) == (first.ty, first.rows, first.cols);
        if !pieces.iter().all(alike) {
            return None;
        }
        let rows = first.rows;
        let pieces = pieces.into_iter().map(|l| l.bytes).collect();
        Some(Self { whole: first, pieces, stride: rows, first: 0, rows, scale: None, bias: None })
    }

    /// All experts' as one; the first expert's, which is like the others, where each has a tensor.
    pub(crate) fn whole(&self) -> &Linear {
        &self.whole
    }

    pub(crate) fn ty(&self) -> QuantType {
        self.whole.ty
    }

    /// Rows of one expert's.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of all experts' that belong to this stack.
    pub(crate) fn byte_len(&self) -> usize {
        self.whole.bytes.len() / self.stride * self.rows * self.pieces.len().max(1)
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.whole.bytes.len() / self.whole.rows
    }

    /// Rows `range` of expert `e`'s matrix.
    pub(crate) fn mat(&self, e: usize, range: Range<usize>) -> QMatRef<'_> {
        if let Some(piece) = self.pieces.get(e) {
            let mat = QMatRef::new(self.whole.ty, self.rows, self.whole.cols, piece);
            return mat.expect("the shape was checked when it was bound").slice_rows(range);
        }
        let at = e * self.stride + self.first;
        self.whole.mat().slice_rows(at + range.start..at + range.end)
    }

    /// What multiplies the products of expert `e`, if anything does.
    pub(crate) fn scale(&self, e: usize) -> Option<f32> {
        self.scale.as_ref().map(|scales| scales[e])
    }

    /// The biases of rows `range` of expert `e`.
    pub(crate) fn bias(&self, e: usize, range: Range<usize>) -> Option<&[f32]> {
        let at = e * self.stride + self.first;
        self.bias.as_ref().map(|b| &b.get()[at + range.start..at + range.end])
    }

    /// Asks the system to have expert `e`'s matrix in memory soon.
    pub(crate) fn advise(&self, e: usize) {
        if let Some(piece) = self.pieces.get(e) {
            return piece.advise_willneed();
        }
        let (row, at) = (self.row_bytes(), e * self.stride + self.first);
        if let Some(bytes) = self.whole.bytes.slice(at * row..(at + self.rows) * row) {
            bytes.advise_willneed();
        }
    }

    /// Says that the system should read what is touched and no more.
    pub(crate) fn advise_random(&self) {
        self.whole.bytes.advise_random();
        self.pieces.iter().for_each(Bytes::advise_random);
    }
}

/// A vector of `f32`s: in the file where it is stored as such and aligned, else decoded once (some kilobytes).
#[derive(Clone, Debug)]
pub(crate) enum Vector {
    Mapped(Bytes),
    Decoded(Vec<f32>),
}

impl Vector {
    /// The factors of a norm that has none.
    pub(super) fn ones(len: usize) -> Self {
        Self::Decoded(vec![1.0; len])
    }

    pub(crate) fn get(&self) -> &[f32] {
        match self {
            Vector::Mapped(bytes) => tensor::f32s(bytes).expect("aligned when it was bound"),
            Vector::Decoded(values) => values,
        }
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Vector::Mapped(_) => 0,
            Vector::Decoded(values) => size_of_val(values.as_slice()),
        }
    }
}
