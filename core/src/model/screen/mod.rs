//! The exact fast head: which rows of the output matrix can be among the best, without multiplying with all of them.
//!
//! A companion of the model file (`docs/gguf.md`) holds the head a second time, rotated into a basis in which the final
//! activations of real text have most of their length in the first few columns, and stored in few bits. The first columns
//! are there twice: what rounding left over of them follows the others as further columns. For each row it also says how long the difference to the true row is, group of
//! columns by group of columns. With `a` the activations, `r` a row's difference:
//!
//! ```text
//! |true logit - screened logit| <= sum over groups |r_group| |a_group| + norm * (what rounding can do)
//! ```
//!
//! So a step multiplies with the small table, computes the logits of the rows that look best with the true matrix, and
//! then those of every row that the bound does not exclude. What is left is excluded by proof, not by chance. The
//! result is what the whole head gives, bit for bit, at every row that matters; the others are -Inf.
//! See `docs/adr/0015-exact-fast-head.md`.

mod basis;
mod build;
mod search;

use super::weights::Linear;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Bytes, Companion, TensorInfo};
use crate::quant::{ActFormat, QuantType};
use crate::tensor;

pub use self::build::{Calibration, Table};
pub(crate) use self::search::{Room, ScreenBuf};

/// Most groups of columns with a bound of their own.
const MAX_GROUPS: usize = 16;
/// Columns per group are a multiple of this.
const GROUP_UNIT: usize = 32;

const TABLE: &str = "head.table.weight";
const TWICE: &str = "siskin.head.twice";
const BASIS: &str = "head.basis.weight";
const BOUND: &str = "head.bound.weight";
const GROUPS: &str = "siskin.head.groups";
const SLACK: &str = "siskin.head.slack";
const SAMPLE: &str = "siskin.head.sample";

/// Which logits must be the true ones; the others may be -Inf.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// The largest `n`, and all that equal the smallest of these.
    Top(usize),
    /// Those at most this much smaller than the largest. Not negative.
    Within(f32),
}

/// Calls its argument with each row of a list that nobody has in memory.
pub(crate) type Named<'a> = &'a dyn Fn(&mut dyn FnMut(u32));

/// What somebody will look at of a step's logits.
#[derive(Clone, Copy)]
pub(crate) struct Best<'a> {
    /// Only rows below this count.
    pub(crate) rows: usize,
    /// Of the rows that are not in `named`.
    pub(crate) which: Which,
    /// Calls its argument with rows that are wanted whatever their logits are; may repeat itself.
    pub(crate) named: Named<'a>,
}

/// The table, bound and checked.
#[derive(Debug)]
pub(crate) struct Screen {
    /// `[width, width]`: row `i` is the `i`-th vector of the basis.
    basis: Linear,
    /// `[vocab, width + twice]`.
    table: Linear,
    /// The first columns, which are there twice.
    twice: usize,
    /// `[groups + 2, vocab]`, f16: for each group of columns the length of the rows' differences; then the rows' lengths in
    /// the first columns, and in all.
    bound: Bound,
    /// Columns of each group.
    groups: Vec<usize>,
    /// What rounding can do, times the row's and the activations' lengths.
    slack: f64,
}

#[derive(Debug)]
enum Bound {
    Mapped(Bytes),
    Copied(Vec<u16>),
}

impl Bound {
    fn get(&self) -> &[u16] {
        match self {
            Self::Mapped(bytes) => tensor::u16s(bytes).expect("aligned when it was bound"),
            Self::Copied(values) => values,
        }
    }
}

impl Screen {
    /// Binds the table in `companion` that is for `head`; `None` if there is none.
    ///
    /// # Errors
    /// Names the tensor or key that does not fit the head or is not a bound.
    pub(crate) fn bind(companion: &Companion, head: &Linear) -> Result<Option<Self>> {
        let tensors = companion.tensors();
        let Some(basis) = tensors.get(BASIS) else { return Ok(None) };
        let (rows, width) = (head.rows(), head.cols());
        let basis = matrix(basis, width, width)?;
        check_finite(&basis, BASIS)?;
        let metadata = companion.metadata();
        let twice: u32 = metadata.require(TWICE)?;
        let twice = twice as usize;
        if twice > width || !twice.is_multiple_of(GROUP_UNIT) {
            let message = format!("the first {twice} of {width} columns cannot be there twice");
            return Err(Error::new(ErrorKind::Shape, message).with_key(TWICE));
        }
        let absent = |name| Error::new(ErrorKind::Missing, "required tensor is absent").with_tensor(name);
        let info = tensors.get(TABLE).ok_or_else(|| absent(TABLE))?;
        let table = matrix(info, width + twice, rows)?;
        // In blocks of 32 both copies of the first columns meet the same activations, to the bit.
        if table.ty().act_format() != ActFormat::Q8x32 {
            return Err(unfit(info, &format!("has type {}, which is no type for it", table.ty())));
        }
        let groups: Vec<u32> = metadata.require(GROUPS)?;
        let groups: Vec<usize> = groups.into_iter().map(|g| g as usize).collect();
        let whole = groups.iter().all(|g| *g > 0) && groups.iter().sum::<usize>() == width;
        if !whole || groups.len() > MAX_GROUPS {
            let message = format!("{groups:?} are no groups of {width} columns");
            return Err(Error::new(ErrorKind::Shape, message).with_key(GROUPS));
        }
        let slack: f32 = metadata.require(SLACK)?;
        if !(slack.is_finite() && slack >= 0.0) {
            let message = format!("{slack} is no bound");
            return Err(Error::new(ErrorKind::Shape, message).with_key(SLACK));
        }
        let sample: u64 = metadata.require(SAMPLE)?;
        if sample != build::sample(head) {
            let message = "the table is for another head: pack the model again";
            return Err(Error::new(ErrorKind::Shape, message).with_key(SAMPLE));
        }
        let info = tensors.get(BOUND).ok_or_else(|| absent(BOUND))?;
        let bound = bound(info, groups.len() + 2, rows)?;
        Ok(Some(Self { basis, table, twice, bound, groups, slack: f64::from(slack) }))
    }

    /// Bytes that one step reads.
    pub(crate) fn byte_len(&self) -> usize {
        self.table.byte_len() + self.basis.byte_len() + 2 * self.bound.get().len()
    }

    /// Heap bytes of what had to be copied.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.bound {
            Bound::Mapped(_) => 0,
            Bound::Copied(values) => size_of_val(values.as_slice()),
        }
    }

    /// What a session's buffers have to hold.
    pub(crate) fn room(&self) -> Room {
        Room { rows: self.table.rows(), columns: self.table.cols() }
    }
}

fn matrix(info: &TensorInfo, cols: usize, rows: usize) -> Result<Linear> {
    if info.dims() != [cols, rows] {
        return Err(unfit(info, &format!("has dimensions {:?}, expected [{cols}, {rows}]", info.dims())));
    }
    Linear::unbiased(info, rows, cols)
}

/// Numbers of a float matrix are finite.
fn check_finite(linear: &Linear, name: &str) -> Result<()> {
    let bad = |message: &str| Err(Error::new(ErrorKind::Shape, message).with_tensor(name));
    if linear.ty() != QuantType::F32 {
        return bad("the tensor is not of type F32");
    }
    let mat = linear.mat();
    let (numbers, _) = mat.bytes().as_chunks::<4>();
    // A sum of zeros times the numbers is NaN as soon as one is not finite.
    let sum = numbers.iter().fold(0.0f32, |sum, x| sum + 0.0 * f32::from_le_bytes(*x));
    if sum == 0.0 { Ok(()) } else { bad("the tensor has numbers that are not finite") }
}

/// The bounds, none of them negative or not finite.
fn bound(info: &TensorInfo, kinds: usize, rows: usize) -> Result<Bound> {
    let linear = matrix(info, rows, kinds)?;
    if linear.ty() != QuantType::F16 {
        return Err(unfit(info, "is not of type F16"));
    }
    let (numbers, _) = info.bytes().as_chunks::<2>();
    // Sign 0 and an exponent that is not all ones: as integers, all below infinity.
    const INFINITY: u16 = 0x7c00;
    let largest = numbers.iter().fold(0, |most, x| u16::from_le_bytes(*x).max(most));
    if largest >= INFINITY {
        return Err(unfit(info, "has numbers that are no bounds: negative or not finite"));
    }
    Ok(match tensor::u16s(info.bytes()) {
        Some(_) => Bound::Mapped(info.bytes().clone()),
        None => Bound::Copied(numbers.iter().map(|x| u16::from_le_bytes(*x)).collect()),
    })
}

fn unfit(info: &TensorInfo, what: &str) -> Error {
    let message = format!("the tensor {what}");
    Error::new(ErrorKind::Shape, message).with_tensor(info.name()).with_offset(info.offset())
}
