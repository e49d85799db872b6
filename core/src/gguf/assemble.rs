//! A model whose tensors lie in files of another format, described as a GGUF file describes its own.
//!
//! The metadata are those of a GGUF file, in memory; they are read and checked like those of one. Tensors stay mapped
//! where they are.

use std::path::PathBuf;
use std::sync::Arc;

use super::bytes::Bytes;
use super::ggml_types::ggml_type;
use super::header::MAX_DIMS;
use super::metadata::Metadata;
use super::reader::Reader;
use super::tensor_info::TensorInfo;
use super::tensor_table::TensorTable;
use super::write::GgufWriter;
use super::{GgufFile, Inner};
use crate::error::{Error, ErrorKind, Result};

impl TensorInfo {
    /// A tensor that lies at `offset` of file number `part`. `dims`: fastest first; `ggml`: the id of its type.
    ///
    /// # Errors
    /// `Shape` or `Unsupported`, naming the tensor, if `bytes` are not exactly such a tensor.
    pub(crate) fn new(
        name: &str,
        dims: &[u64],
        ggml: u32,
        bytes: Bytes,
        offset: u64,
        part: u32,
    ) -> Result<Self> {
        let bad = |kind, message: String| Error::new(kind, message).with_tensor(name).with_offset(offset);
        let ty = ggml_type(ggml)
            .ok_or_else(|| bad(ErrorKind::Unsupported, format!("tensor type {ggml} does not exist")))?;
        if dims.is_empty() || dims.len() > MAX_DIMS as usize || dims.contains(&0) {
            let message = format!("a tensor of dimensions {dims:?}; 1 to {MAX_DIMS}, not zero, are possible");
            return Err(bad(ErrorKind::Shape, message));
        }
        let size = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).and_then(|n| {
            let blocks = dims[0].is_multiple_of(ty.block_len).then_some(n / ty.block_len)?;
            blocks.checked_mul(ty.block_bytes)
        });
        if size != Some(bytes.len() as u64) {
            let message = format!("{dims:?} elements of {} are not {} bytes", ty.name, bytes.len());
            return Err(bad(ErrorKind::Shape, message));
        }
        let mut info =
            Self { name: name.into(), dims: [1; _], n_dims: dims.len() as u8, ty, offset, part, bytes };
        for (to, &from) in info.dims.iter_mut().zip(dims) {
            *to = from as usize; // no more than the bytes that are there
        }
        Ok(info)
    }
}

impl GgufFile {
    /// The model of a folder: `head` has its metadata, `tensors` lie in `sources`, or in memory of their own.
    ///
    /// # Errors
    /// As for a file.
    pub(crate) fn assemble(
        folder: PathBuf,
        head: &GgufWriter,
        tensors: Vec<TensorInfo>,
        sources: Vec<Bytes>,
    ) -> Result<Self> {
        let (keys, metadata) = head.metadata();
        let own = Bytes::from(metadata.to_vec());
        let metadata = Metadata::read(&mut Reader::new(&own), keys)?;
        let computed = tensors.iter().map(|t| t.bytes().storage()).filter(|s| s.mapped_bytes() == 0);
        let heap = own.len() + computed.map(|s| s.as_slice().len()).sum::<usize>();
        Ok(Self(Arc::new(Inner {
            version: 3,
            metadata,
            tensors: TensorTable::from_checked(tensors)?,
            sources,
            data_end: 0,
            companion: None,
            folder: Some(Folder { path: folder, heap }),
        })))
    }
}

/// Where a model comes from that is no GGUF file.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Bytes of metadata and computed tensors.
    pub(super) heap: usize,
}
