//! Tensors that a checkpoint has in another order than GGUF, and so are copied: matrices of experts whose rows lie as columns,
//! take turns, or are 4-bit floats apart from their scales; and vectors that are computed.

use super::families::Family;
use super::safetensors::Tensor;
use super::tensors::floats;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Bytes, TensorInfo};
use crate::quant::QuantType;

/// Bytes that a folder may make be copied. Who has a larger model of this kind takes a GGUF file, which is mapped.
const MAX_COPIED: u64 = 4 << 30;

/// What is to be done with a tensor.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Layout {
    /// `[experts, columns, rows]` becomes `[experts, rows, columns]`.
    Transposed,
    /// The same, and rows of two matrices that take turns become one matrix behind the other.
    TransposedTurns,
    /// `[experts, rows]` that take turns.
    Turns,
    /// Dimensions of 1 go; the data stay where they are.
    Squeezed,
    /// `-e^x`.
    NegativeExp,
}

impl Layout {
    /// Whether rows of two matrices take turns.
    fn turns(self) -> bool {
        matches!(self, Self::TransposedTurns | Self::Turns)
    }
}

/// What was copied, and halves of tensors whose other half has not been seen.
#[derive(Default)]
pub(super) struct Copies {
    copied: u64,
    /// GGUF's name with `.blocks` or `.scales`, and the number of the file.
    halves: Vec<(String, Tensor, u32)>,
}

impl Copies {
    /// Adds what `tensor`, `name` in GGUF, becomes; `false` if it is to be taken as it is.
    pub(super) fn take(
        &mut self,
        tensor: &Tensor,
        name: &str,
        part: u32,
        family: &Family,
        out: &mut Vec<TensorInfo>,
    ) -> Result<bool> {
        if name.ends_with(BLOCKS) || name.ends_with(SCALES) {
            self.halves.push((name.to_owned(), tensor.clone(), part));
            return Ok(true);
        }
        let Some(layout) = layout(family, name) else { return Ok(false) };
        let ggml = tensor.dtype.ggml.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("tensors of type {} are not supported", tensor.dtype.name),
            )
        })?;
        let (ggml, shape, bytes) = match layout {
            Layout::Squeezed => {
                let shape = tensor.shape.iter().copied().filter(|&n| n != 1).collect();
                (ggml, shape, tensor.bytes.clone())
            }
            Layout::NegativeExp => {
                let values = floats(tensor)?.into_iter().map(|x| -libm::expf(x));
                let bytes = values.flat_map(f32::to_le_bytes).collect::<Vec<_>>();
                (QuantType::F32.ggml_id(), tensor.shape.clone(), Bytes::from(bytes))
            }
            Layout::Transposed | Layout::TransposedTurns => {
                let &[experts, columns, rows] = &tensor.shape[..] else {
                    return Err(wrong_shape(tensor, "experts, columns, rows"));
                };
                self.count(&tensor.bytes)?;
                let bytes = transposed(tensor, [experts, columns, rows], layout.turns())?;
                (ggml, vec![experts, rows, columns], Bytes::from(bytes))
            }
            Layout::Turns => {
                let &[experts, rows] = &tensor.shape[..] else {
                    return Err(wrong_shape(tensor, "experts, rows"));
                };
                self.count(&tensor.bytes)?;
                let bytes = transposed(tensor, [experts, 1, rows], true)?;
                (ggml, vec![experts, rows], Bytes::from(bytes))
            }
        };
        let dims: Vec<u64> = shape.into_iter().rev().collect();
        out.push(TensorInfo::new(name, &dims, ggml, bytes, tensor.offset, part)?);
        Ok(true)
    }

    /// Adds what is made of two tensors each.
    pub(super) fn finish(mut self, family: &Family, out: &mut Vec<TensorInfo>) -> Result<()> {
        let halves = std::mem::take(&mut self.halves);
        for (name, scales, _) in &halves {
            let Some(stem) = name.strip_suffix(SCALES) else { continue };
            if !halves.iter().any(|(other, ..)| other.strip_suffix(BLOCKS) == Some(stem)) {
                let message = "there are scales but no blocks";
                return Err(Error::new(ErrorKind::Missing, message).with_tensor(&*scales.name));
            }
        }
        for (name, blocks, part) in &halves {
            let Some(stem) = name.strip_suffix(BLOCKS) else { continue };
            let scales = halves.iter().find(|(other, ..)| other.strip_suffix(SCALES) == Some(stem));
            let Some((_, scales, _)) = scales else {
                let message = "there are blocks but no scales";
                return Err(Error::new(ErrorKind::Missing, message).with_tensor(&*blocks.name));
            };
            let name = format!("{stem}.weight");
            let turns = layout(family, &name).is_some_and(Layout::turns);
            let info = self.mxfp4(&name, blocks, scales, turns, *part);
            out.push(info.map_err(|e| e.with_tensor(&*blocks.name).with_offset(blocks.offset))?);
        }
        Ok(())
    }

    /// Notes that so much is copied.
    fn count(&mut self, bytes: &Bytes) -> Result<()> {
        self.copied += bytes.len() as u64; // of mapped files
        if self.copied <= MAX_COPIED {
            return Ok(());
        }
        let message = format!(
            "experts are stored in an order that cannot be used in place, and more than {MAX_COPIED} bytes would have \
             to be copied: take a GGUF file of this model"
        );
        Err(Error::new(ErrorKind::Limit, message))
    }

    /// 4-bit floats `[experts, rows, blocks, 16]` and exponents `[experts, rows, blocks]`. A byte has two neighbours;
    /// in GGUF's blocks, those that are 16 apart.
    fn mxfp4(
        &mut self,
        name: &str,
        blocks: &Tensor,
        scales: &Tensor,
        turns: bool,
        part: u32,
    ) -> Result<TensorInfo> {
        let bytes_of = |t: &Tensor| t.dtype.name == "U8";
        let (experts, rows, per_row) = match (&blocks.shape[..], &scales.shape[..]) {
            (&[experts, rows, n, 16], &[e, r, m])
                if [experts, rows, n] == [e, r, m] && bytes_of(blocks) && bytes_of(scales) =>
            {
                (experts, rows, n as usize)
            }
            _ => return Err(wrong_shape(blocks, "experts, rows, blocks, 16, and a scale for each block")),
        };
        self.count(&blocks.bytes)?;
        let order = order(rows, turns)?;
        let mut out = Vec::with_capacity(blocks.bytes.len() + scales.bytes.len());
        for expert in 0..experts as usize {
            for &row in &order {
                let first = (expert * rows as usize + row) * per_row;
                let exponents = &scales.bytes[first..first + per_row];
                let values = blocks.bytes[first * 16..(first + per_row) * 16].chunks_exact(16);
                for (&exponent, values) in exponents.iter().zip(values) {
                    let nibble = |i: usize| (values[i / 2] >> (4 * (i % 2))) & 15;
                    out.push(exponent);
                    out.extend((0..16).map(|i| nibble(i) | (nibble(i + 16) << 4)));
                }
            }
        }
        let dims = [per_row as u64 * 32, rows, experts];
        TensorInfo::new(name, &dims, QuantType::MXFP4.ggml_id(), Bytes::from(out), blocks.offset, part)
    }
}

const BLOCKS: &str = ".blocks";
const SCALES: &str = ".scales";

fn layout(family: &Family, name: &str) -> Option<Layout> {
    let of_block = name.strip_prefix("blk.")?.split_once('.')?.1;
    family.layouts.iter().find(|(other, _)| *other == of_block).map(|&(_, layout)| layout)
}

fn wrong_shape(tensor: &Tensor, expected: &str) -> Error {
    Error::new(ErrorKind::Shape, format!("has the shape {:?}, expected [{expected}]", tensor.shape))
}

/// Which row of the checkpoint each row is. Of rows that take turns the even ones come first.
fn order(rows: u64, turns: bool) -> Result<Vec<usize>> {
    let rows = rows as usize; // of a tensor that is in memory
    if !turns {
        return Ok((0..rows).collect());
    }
    if !rows.is_multiple_of(2) {
        return Err(Error::new(ErrorKind::Shape, format!("{rows} rows are not two matrices")));
    }
    Ok((0..rows).step_by(2).chain((1..rows).step_by(2)).collect())
}

/// Rows out of columns, whose sizes the file has shown to be right.
fn transposed(tensor: &Tensor, [experts, columns, rows]: [u64; 3], turns: bool) -> Result<Vec<u8>> {
    let size = tensor.dtype.size as usize;
    let order = order(rows, turns)?;
    let mut out = Vec::with_capacity(tensor.bytes.len());
    let (columns, rows) = (columns as usize, rows as usize);
    for expert in 0..experts as usize {
        for &row in &order {
            for column in 0..columns {
                let at = ((expert * columns + column) * rows + row) * size;
                out.extend_from_slice(&tensor.bytes[at..at + size]);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hf::safetensors::Dtype;
    use crate::tensor::QMatRef;

    static U8: Dtype = Dtype { name: "U8", size: 1, ggml: None };
    static BF16: Dtype = Dtype { name: "BF16", size: 2, ggml: Some(30) };

    fn tensor(dtype: &'static Dtype, shape: &[u64], bytes: Vec<u8>) -> Tensor {
        Tensor { name: "t".to_owned(), dtype, shape: shape.to_vec(), offset: 0, bytes: Bytes::from(bytes) }
    }

    #[test]
    fn columns_become_rows_and_those_that_take_turns_are_parted() {
        // One expert, two columns, four rows.
        let bytes: Vec<u8> = (0..8u8).flat_map(|i| [i, 100 + i]).collect();
        let t = tensor(&BF16, &[1, 2, 4], bytes);
        let firsts = |turns| -> Vec<u8> {
            let out = transposed(&t, [1, 2, 4], turns).expect("an even number");
            assert!(out.chunks_exact(2).all(|e| e[1] == e[0] + 100));
            out.chunks_exact(2).map(|e| e[0]).collect()
        };
        assert_eq!(firsts(false), [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(firsts(true), [0, 4, 2, 6, 1, 5, 3, 7]);
        let odd = tensor(&BF16, &[1, 1, 3], vec![0; 6]);
        assert_eq!(transposed(&odd, [1, 1, 3], true).expect_err("odd").kind(), ErrorKind::Shape);
    }

    #[test]
    fn four_bit_floats_come_to_their_scales() {
        // Two rows of one block: in the first the values are 0, 1, .. 15 and again, in the second all are 1 (index 2).
        let nibbles: Vec<u8> = (0..16u8).map(|j| ((2 * j) % 16) | (((2 * j + 1) % 16) << 4)).collect();
        let blocks = tensor(&U8, &[1, 2, 1, 16], [nibbles, vec![0x22; 16]].concat());
        let scales = tensor(&U8, &[1, 2, 1], vec![127, 129]);
        let info = Copies::default().mxfp4("x", &blocks, &scales, true, 0).expect("fitting");
        assert_eq!(info.dims(), [32, 2, 1]);
        let mat = QMatRef::new(QuantType::MXFP4, 2, 32, info.bytes()).expect("blocks");
        let mut row = [0.0; 32];
        mat.dequantize_row(0, &mut row);
        let half = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
        for (i, x) in row.iter().enumerate() {
            let sign = if i % 16 < 8 { 1.0 } else { -1.0 };
            assert_eq!(*x, sign * half[i % 8], "{i}");
        }
        mat.dequantize_row(1, &mut row);
        assert_eq!(row, [4.0; 32]);
    }

    #[test]
    fn halves_that_do_not_fit_are_refused() {
        let family = crate::hf::families::tests::family("gpt_oss");
        let blocks = tensor(&U8, &[1, 2, 1, 16], vec![0; 32]);
        for (other, kind) in [
            (None, ErrorKind::Missing),
            (Some(tensor(&U8, &[1, 2, 2], vec![0; 4])), ErrorKind::Shape),
            (Some(tensor(&BF16, &[1, 2, 1], vec![0; 4])), ErrorKind::Shape),
        ] {
            let (mut copies, mut out) = (Copies::default(), Vec::new());
            let name = "blk.0.ffn_down_exps";
            copies.take(&blocks, &format!("{name}.blocks"), 0, family, &mut out).expect("noted");
            if let Some(scales) = other {
                copies.take(&scales, &format!("{name}.scales"), 0, family, &mut out).expect("noted");
            }
            let e = copies.finish(family, &mut out).expect_err("unfit");
            assert_eq!((e.kind(), e.tensor()), (kind, Some("t")));
        }
    }
}
