//! One file, read up to its tensor data.

use super::bytes::Bytes;
use super::header::{DEFAULT_ALIGNMENT, Header, MAX_ALIGNMENT};
use super::metadata::Metadata;
use super::mmap::Storage;
use super::reader::Reader;
use super::tensor_info::RawTensor;
use super::tensor_table::PartTensors;
use super::value::Value;
use crate::error::{Error, ErrorKind, Result};

/// A whole model file, or one part of a split model; its tensors are not checked yet.
pub(crate) struct Part {
    pub(crate) version: u32,
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<RawTensor>,
    /// Where the tensor data starts, bytes.
    pub(crate) data_start: u64,
    /// Bytes, a power of two.
    pub(crate) alignment: u64,
    pub(crate) source: Bytes,
}

impl Part {
    /// Reads everything before the tensor data. Errors name the file if `storage` has a path.
    pub(crate) fn read(storage: Storage) -> Result<Self> {
        let source = Bytes::all(storage);
        Self::read_source(source.clone()).map_err(|e| match source.storage().path() {
            Some(path) => e.with_file(path),
            None => e,
        })
    }

    /// The same from a part of a file.
    pub(crate) fn read_source(source: Bytes) -> Result<Self> {
        let mut r = Reader::new(&source);
        let header = Header::read(&mut r)?;
        let metadata = Metadata::read(&mut r, header.keys)?;
        let alignment = alignment(&metadata)?;
        // The count was compared with the file's size, so this is no more than the file.
        let tensors = (0..header.tensors).map(|_| RawTensor::read(&mut r)).collect::<Result<Vec<_>>>()?;
        // In a file, offsets are far below 2^63: this cannot overflow. It may lie past the end, if there are no tensors.
        let data_start = r.at().next_multiple_of(alignment);
        Ok(Self { version: header.version, metadata, tensors, data_start, alignment, source })
    }

    /// For the check of all parts' tensors together.
    pub(crate) fn take_tensors(&mut self) -> PartTensors<'_> {
        PartTensors {
            source: &self.source,
            tensors: std::mem::take(&mut self.tensors),
            data_start: self.data_start,
            alignment: self.alignment,
        }
    }
}

/// The alignment of the tensor data, bytes. The format wants a `u32`; other kinds are refused as peers do.
fn alignment(metadata: &Metadata) -> Result<u64> {
    const KEY: &str = "general.alignment";
    let bad = |kind, message| Err(Error::new(kind, message).with_key(KEY));
    match metadata.get(KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(&Value::U32(a)) if !a.is_power_of_two() => {
            bad(ErrorKind::Format, format!("an alignment of {a} is not a power of two"))
        }
        Some(&Value::U32(a)) if u64::from(a) > MAX_ALIGNMENT => {
            bad(ErrorKind::Limit, format!("an alignment of {a}, at most {MAX_ALIGNMENT} is accepted"))
        }
        Some(&Value::U32(a)) => Ok(a.into()),
        Some(other) => {
            bad(ErrorKind::Format, format!("the alignment has type {}, not u32", other.kind().name()))
        }
    }
}
