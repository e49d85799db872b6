//! One tensor of a file: as declared, and as checked.

use super::bytes::Bytes;
use super::ggml_types::GgmlType;
use super::header::{MAX_DIMS, MAX_TENSOR_NAME_BYTES};
use super::reader::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::quant::QuantType;

/// What a file declares about a tensor; nothing but its layout in the list has been checked.
#[derive(Clone, Debug)]
pub(crate) struct RawTensor {
    pub(crate) name: Box<str>,
    /// The first `n_dims` count.
    pub(crate) dims: [u64; MAX_DIMS as usize],
    pub(crate) n_dims: u32,
    pub(crate) ty: u32,
    /// Bytes from the start of the tensor data.
    pub(crate) offset: u64,
    /// Where this was declared, for errors.
    pub(crate) at: u64,
}

impl RawTensor {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let at = r.at();
        let name = r.name("a tensor's name", MAX_TENSOR_NAME_BYTES)?;
        let raw = Self::read_unnamed(r, name, at).map_err(|e| e.with_tensor(name))?;
        Ok(raw)
    }

    fn read_unnamed(r: &mut Reader<'_>, name: &str, at: u64) -> Result<Self> {
        let n_dims = r.u32("a tensor's count of dimensions")?;
        // Checked here already, since it decides where the next field is.
        if !(1..=MAX_DIMS).contains(&n_dims) {
            let message = format!("a tensor of {n_dims} dimensions, 1 to {MAX_DIMS} are possible");
            return Err(Error::new(ErrorKind::Format, message).with_offset(at));
        }
        let mut dims = [1; MAX_DIMS as usize];
        for dim in dims.iter_mut().take(n_dims as usize) {
            *dim = r.u64("a tensor's dimension")?;
        }
        let ty = r.u32("a tensor's type")?;
        let offset = r.u64("a tensor's offset")?;
        Ok(Self { name: name.into(), dims, n_dims, ty, offset, at })
    }
}

/// A tensor whose place in the file has been checked. Cheap to keep: its bytes stay mapped.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    pub(super) name: Box<str>,
    /// `[n_dims]`, fastest first; the rest is 1.
    pub(super) dims: [usize; MAX_DIMS as usize],
    pub(super) n_dims: u8,
    pub(super) ty: &'static GgmlType,
    pub(super) offset: u64,
    pub(super) part: u32,
    pub(super) bytes: Bytes,
}

impl TensorInfo {
    /// Its name, unique in the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions in the file's order, the fastest first: a matrix is `[columns, rows]`. None is zero.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..usize::from(self.n_dims)]
    }

    /// How many elements.
    pub fn elements(&self) -> usize {
        self.dims().iter().product() // checked when the table was made
    }

    /// The id of its type in the file.
    pub fn ggml_type(&self) -> u32 {
        self.ty.id
    }

    /// The name of its type, as in `Q4_K`; also of types that cannot be computed with.
    pub fn type_name(&self) -> String {
        self.ty.name.to_owned()
    }

    /// Its type, if it can be computed with.
    pub fn quant_type(&self) -> Result<QuantType> {
        QuantType::from_ggml_id(self.ty.id).ok_or_else(|| {
            let message = format!("tensors of type {} are not supported", self.ty.name);
            Error::new(ErrorKind::Unsupported, message).with_tensor(self.name()).with_offset(self.offset)
        })
    }

    /// Where its data starts, in bytes from the start of the GGUF data that holds it (of its part, if split).
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Which part of a split model holds it, from 0.
    pub fn part(&self) -> u32 {
        self.part
    }

    /// Its data: exactly the rows, without padding. At any address.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
