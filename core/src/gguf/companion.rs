//! A second GGUF behind the tensors of the first.

use super::metadata::Metadata;
use super::part::Part;
use super::tensor_info::TensorInfo;
use super::tensor_table::TensorTable;
use super::value::Value;
use crate::error::{Error, Result};

/// A second GGUF behind the first one's tensors, in the same file: tables that make the model faster. Other programs do
/// not look there. See `docs/gguf.md`.
#[derive(Debug)]
pub struct Companion {
    metadata: Metadata,
    tensors: TensorTable,
}

/// The architecture that a companion says it has.
pub const COMPANION: &str = "siskin-companion";

impl Companion {
    /// Reads what follows the tensors of `model`, if that is a companion.
    pub(super) fn find(model: &Part, end: u64) -> Result<Option<Self>> {
        let range = usize::try_from(end).ok().map(|end| end..model.source.len());
        let Some(rest) = range.and_then(|range| model.source.slice(range)) else { return Ok(None) };
        if !rest.starts_with(b"GGUF") {
            return Ok(None);
        }
        let in_companion = |e: Error| e.with_key("companion");
        let mut part = Part::read_source(rest).map_err(in_companion)?;
        let architecture = part.metadata.get("general.architecture").and_then(Value::as_str);
        if architecture != Some(COMPANION) {
            return Ok(None);
        }
        let tensors = TensorTable::new(vec![part.take_tensors()])?;
        Ok(Some(Self { metadata: part.metadata, tensors }))
    }

    /// The keys and values.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors.
    pub fn tensors(&self) -> &TensorTable {
        &self.tensors
    }
}

/// Where the tensors of `part`, the last one, end: a multiple of its alignment.
pub(super) fn data_end(part: &Part, tensors: &TensorTable) -> u64 {
    let end = |t: &TensorInfo| t.offset() + t.bytes().len() as u64;
    let last = tensors.iter().map(end).max().unwrap_or(0).max(part.data_start);
    last.next_multiple_of(part.alignment)
}
