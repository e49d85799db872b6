//! Finds tensors by name, checks their shapes, and remembers which were asked for.

use std::collections::HashSet;
use std::ops::Range;

use super::linear::{Linear, Stack, Vector};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{TensorInfo, TensorTable};
use crate::model::spec::Bias;
use crate::quant::QuantType;
use crate::tensor::{self, QMatRef};

/// Looks tensors up and remembers which were asked for.
pub(crate) struct Binder<'a> {
    tensors: &'a TensorTable,
    bound: HashSet<&'a str>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(tensors: &'a TensorTable) -> Self {
        Self { tensors, bound: HashSet::new() }
    }

    fn find(&mut self, name: &str) -> Option<&'a TensorInfo> {
        let info = self.tensors.get(name)?;
        self.bound.insert(info.name());
        Some(info)
    }

    /// Lets the file have this tensor, which the model does not use.
    pub(super) fn ignore(&mut self, name: &str) {
        self.find(name);
    }

    /// A matrix for products: `<name>.weight`, `[rows, cols]`, and `<name>.bias`, `[rows]`; of NVFP4 `<name>.scale`.
    pub(crate) fn linear(&mut self, name: &str, rows: usize, cols: usize, bias: Bias) -> Result<Linear> {
        let mut linear = self.table(name, rows, cols, bias)?;
        linear.scale = self.scale(name, &linear)?;
        Ok(linear)
    }

    /// The same without a scale, for what is looked up or used in ways of its own: a file with a scale for it is refused,
    /// as with any tensor that nothing asked for.
    pub(crate) fn table(&mut self, name: &str, rows: usize, cols: usize, bias: Bias) -> Result<Linear> {
        let mut linear =
            self.optional_table(name, rows, cols)?.ok_or_else(|| missing(&format!("{name}.weight")))?;
        let bias_name = format!("{name}.bias");
        linear.bias = match bias {
            Bias::Required => Some(self.vector(&bias_name, rows)?),
            Bias::IfPresent => self.optional_vector(&bias_name, rows)?,
        };
        Ok(linear)
    }

    /// The same where the file cuts a row in several dimensions (`row`, the fastest first): a convolution's kernels.
    pub(crate) fn kernels(&mut self, name: &str, rows: usize, row: &[usize]) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let info = self.find(&weight).ok_or_else(|| missing(&weight))?;
        expect_dims(info, &[row, &[rows]].concat())?;
        let mut linear = Linear::unbiased(info, rows, row.iter().product())?;
        linear.bias = Some(self.vector(&format!("{name}.bias"), rows)?);
        Ok(linear)
    }

    /// Whether the file has a tensor of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }

    /// Matrices of `rows` each over the same input: one tensor each (`names`), or one that holds them all (`fused`), told
    /// apart by whether the first has a tensor of its own.
    pub(super) fn split<const N: usize>(
        &mut self,
        fused: &str,
        names: [String; N],
        rows: [usize; N],
        cols: usize,
        bias: Bias,
    ) -> Result<[Linear; N]> {
        let mut parts = Vec::with_capacity(N);
        if self.tensors.get(&format!("{}.weight", names[0])).is_some() {
            for (name, rows) in names.iter().zip(rows) {
                parts.push(self.linear(name, rows, cols, bias)?);
            }
        } else if self.tensors.get(&format!("{fused}.weight")).is_some() {
            let whole = self.linear(fused, rows.iter().sum(), cols, Bias::IfPresent)?;
            let mut first = 0;
            for rows in rows {
                parts.push(whole.part(first, rows));
                first += rows;
            }
        } else {
            return Err(missing(&format!("{}.weight", names[0])));
        }
        Ok(parts.try_into().unwrap_or_else(|_| unreachable!("one part for each name")))
    }

    /// One matrix `[rows, cols]` for each of `count` experts, and `<name>.bias`, `[count, rows]`, if there is one.
    /// Where each expert has a tensor, as in a checkpoint and in the first GGUF files of Mixtral, `ffn_up_exps.weight` is
    /// called `ffn_up.0.weight` and so on.
    pub(super) fn stack(&mut self, name: &str, (count, rows, cols): (usize, usize, usize)) -> Result<Stack> {
        let single =
            name.strip_suffix("_exps").filter(|_| self.tensors.get(&format!("{name}.weight")).is_none());
        if let Some(single) = single.filter(|s| self.tensors.get(&format!("{s}.0.weight")).is_some()) {
            let pieces = (0..count).map(|e| {
                let name = format!("{single}.{e}");
                self.optional_table(&name, rows, cols)?.ok_or_else(|| missing(&format!("{name}.weight")))
            });
            let stack = Stack::of_pieces(pieces.collect::<Result<_>>()?);
            return stack.ok_or_else(|| {
                let message = "the experts' matrices are not all of one type";
                Error::new(ErrorKind::Unsupported, message).with_tensor(format!("{single}.0.weight"))
            });
        }
        let (whole, bias) = self.whole_stack(name, (count, rows, cols))?;
        Ok(Stack::new(whole, (rows, 0, rows), bias))
    }

    /// Two of them, in a tensor each or both in one (`fused`), the first one's rows before the second one's.
    pub(super) fn stacks(
        &mut self,
        fused: &str,
        names: [String; 2],
        (count, rows, cols): (usize, usize, usize),
    ) -> Result<[Stack; 2]> {
        if self.tensors.get(&format!("{fused}.weight")).is_none() {
            let [first, second] = names;
            return Ok([self.stack(&first, (count, rows, cols))?, self.stack(&second, (count, rows, cols))?]);
        }
        let (whole, bias) = self.whole_stack(fused, (count, 2 * rows, cols))?;
        Ok([0, rows].map(|first| Stack::new(whole.clone(), (2 * rows, first, rows), bias.clone())))
    }

    /// The same as matrices, which may have a tensor each: `<name>.0.weight` and so on.
    pub(super) fn parts(
        &mut self,
        name: &str,
        (count, rows, cols): (usize, usize, usize),
    ) -> Result<Vec<Linear>> {
        if !self.has(&format!("{name}.weight")) && self.has(&format!("{name}.0.weight")) {
            return (0..count)
                .map(|i| self.linear(&format!("{name}.{i}"), rows, cols, Bias::IfPresent))
                .collect();
        }
        let (whole, _) = self.whole_stack(name, (count, rows, cols))?;
        Ok((0..count).map(|i| whole.part(i * rows, rows)).collect())
    }

    /// A matrix of `cols` columns and as many rows as it has.
    pub(super) fn linear_of_any_rows(&mut self, name: &str, cols: usize) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let info = self.find(&weight).ok_or_else(|| missing(&weight))?;
        match *info.dims() {
            [found, rows] if found == cols && rows > 0 => Linear::unbiased(info, rows, cols),
            ref dims => Err(shape_error(info, &format!("has dimensions {dims:?}, expected [{cols}, some]"))),
        }
    }

    /// A small matrix `[rows, cols]`, decoded.
    pub(super) fn small_matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Vector> {
        let info = self.find(name).ok_or_else(|| missing(name))?;
        expect_dims(info, &[cols, rows])?;
        decode(info, rows * cols)
    }

    fn whole_stack(
        &mut self,
        name: &str,
        (count, rows, cols): (usize, usize, usize),
    ) -> Result<(Linear, Option<Vector>)> {
        let weight = format!("{name}.weight");
        let info = self.find(&weight).ok_or_else(|| missing(&weight))?;
        expect_dims(info, &[cols, rows, count])?;
        let whole = Linear::unbiased(info, rows * count, cols)?;
        let name = format!("{name}.bias");
        let bias = match self.find(&name) {
            None => None,
            Some(info) => {
                expect_dims(info, &[rows, count])?;
                Some(decode(info, rows * count)?)
            }
        };
        Ok((whole, bias))
    }

    /// A matrix of one row, which files keep as a vector or as a matrix.
    pub(super) fn row(&mut self, name: &str, cols: usize) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let info = self.find(&weight).ok_or_else(|| missing(&weight))?;
        if info.dims() != [cols] {
            expect_dims(info, &[cols, 1])?;
        }
        Linear::unbiased(info, 1, cols)
    }

    pub(super) fn optional_linear(&mut self, name: &str, rows: usize, cols: usize) -> Result<Option<Linear>> {
        let Some(mut linear) = self.optional_table(name, rows, cols)? else { return Ok(None) };
        linear.scale = self.scale(name, &linear)?;
        Ok(Some(linear))
    }

    /// `<name>.scale` of a matrix of NVFP4. Beside it there may be `<name>.input_scale`, for hardware that multiplies
    /// activations of four bits as well: here they keep theirs, and need none.
    fn scale(&mut self, name: &str, linear: &Linear) -> Result<Option<f32>> {
        if linear.ty() != QuantType::NVFP4 {
            return Ok(None);
        }
        self.ignore(&format!("{name}.input_scale"));
        Ok(self.optional_vector(&format!("{name}.scale"), 1)?.map(|scale| scale.get()[0]))
    }

    /// Gives the matrices of `count` experts their `<name>.scale`, as [`scale`](Self::scale).
    pub(super) fn scale_stack(&mut self, name: &str, stack: &mut Stack, count: usize) -> Result<()> {
        if stack.ty() == QuantType::NVFP4 {
            self.ignore(&format!("{name}.input_scale"));
            stack.scale =
                self.optional_vector(&format!("{name}.scale"), count)?.map(|scale| scale.get().into());
        }
        Ok(())
    }

    /// [`optional_linear`](Self::optional_linear) as [`table`](Self::table).
    pub(super) fn optional_table(&mut self, name: &str, rows: usize, cols: usize) -> Result<Option<Linear>> {
        let Some(info) = self.find(&format!("{name}.weight")) else {
            return Ok(None);
        };
        expect_dims(info, &[cols, rows])?;
        Linear::unbiased(info, rows, cols).map(Some)
    }

    pub(super) fn vector_if(&mut self, wanted: bool, name: &str, len: usize) -> Result<Option<Vector>> {
        if wanted { self.vector(name, len).map(Some) } else { Ok(None) }
    }

    pub(crate) fn vector(&mut self, name: &str, len: usize) -> Result<Vector> {
        self.optional_vector(name, len)?.ok_or_else(|| missing(name))
    }

    pub(super) fn optional_vector(&mut self, name: &str, len: usize) -> Result<Option<Vector>> {
        let Some(info) = self.find(name) else {
            return Ok(None);
        };
        // Trailing dimensions of 1 are the same vector.
        if info.dims().first() != Some(&len) || info.dims()[1..].iter().any(|&d| d != 1) {
            return Err(shape_error(info, &format!("has dimensions {:?}, expected [{len}]", info.dims())));
        }
        decode(info, len).map(Some)
    }

    /// Lets the file have any tensors of these layers, which the model does not use.
    pub(super) fn ignore_layers(&mut self, layers: Range<usize>) {
        let layer = |name: &str| name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok();
        let theirs = |name: &&str| layer(name).is_some_and(|i| layers.contains(&i));
        self.bound.extend(self.tensors.iter().map(|t| t.name()).filter(theirs));
    }

    /// Fails if the file has tensors that nothing asked for.
    pub(crate) fn finish(self) -> Result<()> {
        match self.tensors.iter().find(|t| !self.bound.contains(t.name())) {
            None => Ok(()),
            Some(info) => Err(Error::new(
                ErrorKind::Unsupported,
                "the file has a tensor that this architecture does not use; running without it would give wrong answers",
            )
            .with_tensor(info.name())
            .with_offset(info.offset())),
        }
    }
}

/// The `len` numbers of `info`, where they are or decoded.
fn decode(info: &TensorInfo, len: usize) -> Result<Vector> {
    let ty = info.quant_type()?;
    if ty == QuantType::F32 && tensor::f32s(info.bytes()).is_some() {
        return Ok(Vector::Mapped(info.bytes().clone()));
    }
    let mut values = vec![0.0; len];
    QMatRef::new(ty, 1, len, info.bytes())
        .map_err(|e| shape_error(info, e.message()))?
        .dequantize_row(0, &mut values);
    Ok(Vector::Decoded(values))
}

fn expect_dims(info: &TensorInfo, expected: &[usize]) -> Result<()> {
    if info.dims() == expected {
        return Ok(());
    }
    Err(shape_error(info, &format!("has dimensions {:?}, expected {expected:?}", info.dims())))
}

pub(super) fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Missing, "required tensor is absent").with_tensor(name)
}

pub(super) fn shape_error(info: &TensorInfo, what: &str) -> Error {
    Error::new(ErrorKind::Shape, format!("the tensor {what}"))
        .with_tensor(info.name())
        .with_offset(info.offset())
}
