//! Model files: bytes in, checked description out.
//!
//! GGUF versions 2 and 3, little-endian, memory-mapped. Knows nothing about models, tokenizers or kernels; a file of
//! an architecture or tensor type that nobody can run can be opened and listed. `docs/gguf.md` has the layout and
//! every limit.
//!
//! ```text
//! "GGUF" | version u32 | tensors u64 | keys u64
//! keys x    { key: string, type u32, value }          string = length u64, bytes
//! tensors x { name: string, dims u32, dim u64 x dims, type u32, offset u64 }
//! padding to the alignment (general.alignment, 32 if absent)
//! tensor data; each offset counts from here and is a multiple of the alignment
//! ```
//!
//! Reading goes one way: [`mmap`] has the bytes, [`reader`] walks them with checks, [`header`] bounds the counts,
//! [`metadata`] and [`tensor_info`] read the lists, [`tensor_table`] checks every tensor against the file, [`splits`]
//! finds the other parts. Whatever [`GgufFile::open`] returns has been checked as a whole: a tensor's
//! bytes are there, and no later step can read outside them. Strings, arrays and tensors stay in the file.

mod adapter;
mod arrays;
mod assemble;
mod bytes;
mod companion;
mod convert;
mod ggml_types;
pub mod header;
mod metadata;
mod mmap;
mod part;
mod reader;
mod splits;
mod tensor_info;
mod tensor_table;
#[cfg(test)]
mod tests;
mod value;
pub mod write;

use std::path::Path;
use std::sync::Arc;

pub use self::adapter::{Adapter, AdapterTarget};
pub use self::arrays::{Array, F32Array, I32Array, ScalarArray, StrArray};
use self::assemble::Folder;
pub use self::bytes::Bytes;
pub use self::companion::{COMPANION, Companion};
pub use self::convert::FromValue;
pub use self::metadata::Metadata;
use self::mmap::Storage;
use self::part::Part;
pub use self::tensor_info::TensorInfo;
pub use self::tensor_table::TensorTable;
pub use self::value::{Value, ValueType};
use crate::error::{Error, ErrorKind, Result};

/// The key of a folder's model (see [`crate::hf`]) that says which elements of queries and keys turn together, where they
/// are not those of the architecture's GGUF files: `halves`. Not part of GGUF.
pub const ROPE_PAIRING: &str = "siskin.rope.pairing";
/// The key of a folder's model that says in which order the value heads of delta-net layers lie, where it is not GGUF's:
/// `groups`, each key head's together. Not part of GGUF.
pub const DELTA_HEADS: &str = "siskin.delta.heads";

/// An open, checked model file. Cheap to clone; the mapping lives as long as a clone, or anything taken from it.
///
/// # The file must not change
///
/// While it is open, the file must not be shortened or written to. Replacing it (writing another file and renaming it
/// over this one) is fine. [`GgufFile::check_unchanged`] tells; a read from a part of the file that was cut off
/// raises SIGBUS on Unix before any check can see it.
#[derive(Clone, Debug)]
pub struct GgufFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    version: u32,
    metadata: Metadata,
    tensors: TensorTable,
    /// One per file.
    sources: Vec<Bytes>,
    /// Where the tensors of the (last) file end, padded to its alignment.
    data_end: u64,
    /// What lies behind the model's tensors.
    companion: Option<Companion>,
    /// Set if this is no GGUF file but a folder of other files.
    folder: Option<Folder>,
}

impl GgufFile {
    /// Maps the model at `path`, and the other parts beside it if it is one part of a split model.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let part = Part::read(Storage::open(path)?)?;
        splits::open_all(path, part).and_then(Self::new).map_err(|e| e.with_file(path))
    }

    /// Maps `len` bytes from byte `offset` of an open file: an asset inside a package, a slice of a bundle. Any
    /// offset will do. The descriptor is duplicated; the caller keeps and may close its own.
    #[cfg(unix)]
    pub fn from_fd(fd: impl std::os::fd::AsFd, offset: u64, len: u64) -> Result<Self> {
        let fd = fd
            .as_fd()
            .try_clone_to_owned()
            .map_err(|e| Error::new(ErrorKind::Io, "cannot duplicate the file descriptor").with_source(e))?;
        Self::single(Storage::from_file(fd.into(), offset, len)?)
    }

    /// Reads a model that is in memory already. It is not copied.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::single(Storage::Owned(bytes))
    }

    /// The same from memory that somebody else keeps (in flash, in a resource): `bytes` is dropped with the last user of
    /// the file, and must give the same slice each time.
    pub fn from_shared(bytes: Box<dyn AsRef<[u8]> + Send + Sync>) -> Result<Self> {
        Self::single(Storage::Shared(bytes))
    }

    /// A model without a path has nothing beside it.
    fn single(storage: Storage) -> Result<Self> {
        let part = Part::read(storage)?;
        let count = splits::count(&part.metadata)?;
        if count != 1 {
            let message =
                format!("this is one of {count} parts of a split model, which can only be opened by path");
            return Err(Error::new(ErrorKind::Unsupported, message).with_key("split.count"));
        }
        Self::new(vec![part])
    }

    fn new(mut parts: Vec<Part>) -> Result<Self> {
        let tensors = TensorTable::new(parts.iter_mut().map(Part::take_tensors).collect())?;
        let sources = parts.iter().map(|p| p.source.clone()).collect();
        let data_end = parts.last().map_or(0, |last| companion::data_end(last, &tensors));
        let companion = match &parts[..] {
            [part] => Companion::find(part, data_end)?,
            _ => None,
        };
        let first = parts.into_iter().next().expect("a model has at least the file that was opened");
        Ok(Self(Arc::new(Inner {
            version: first.version,
            metadata: first.metadata,
            tensors,
            sources,
            data_end,
            companion,
            folder: None,
        })))
    }

    /// What lies behind the tensors to make the model faster, if something does.
    pub fn companion(&self) -> Option<&Companion> {
        self.0.companion.as_ref()
    }

    /// The file's bytes without a companion: up to the end of the tensors, padded to the alignment (the last bytes of the
    /// padding may be missing). `None` for a split model, and for a folder.
    pub fn model_bytes(&self) -> Option<Bytes> {
        match &self.0.sources[..] {
            [source] if self.0.folder.is_none() => {
                let end = usize::try_from(self.0.data_end).unwrap_or(usize::MAX).min(source.len());
                source.slice(0..end)
            }
            _ => None,
        }
    }

    /// Where a companion starts, or would: the end of the tensors, padded, in bytes. Of the last part, if split.
    pub fn data_end(&self) -> u64 {
        self.0.data_end
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.0.version
    }

    /// The keys and values (of the first part, if split).
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The tensors of all parts.
    pub fn tensors(&self) -> &TensorTable {
        &self.0.tensors
    }

    /// How many files the model is in.
    pub fn parts(&self) -> usize {
        self.0.sources.len()
    }

    /// The folder that the model was put together from, if it is no GGUF file (see [`crate::hf`]).
    pub fn folder(&self) -> Option<&Path> {
        self.0.folder.as_ref().map(|f| &*f.path)
    }

    /// The path that was opened (of the first part, if split); `None` if it was not opened by path.
    pub fn path(&self) -> Option<&Path> {
        if let Some(folder) = self.folder() {
            return Some(folder);
        }
        self.0.sources.first().and_then(|s| s.storage().path())
    }

    /// An error of kind `FileChanged` if a file has another size or time of change than when it was opened. One
    /// system call per part; allocates only when it fails.
    pub fn check_unchanged(&self) -> Result<()> {
        self.0.sources.iter().try_for_each(|s| s.storage().check_unchanged())
    }

    /// Asks the system to read the whole model ahead of its use. Only a hint; returns at once.
    pub fn advise_willneed(&self) {
        self.0.sources.iter().for_each(Bytes::advise_willneed);
    }

    /// Gives the pages of the mapping back to the system. Whoever uses the model again reads them again, from the page
    /// cache or the file. Does nothing for a model in memory.
    pub fn release_pages(&self) {
        self.0.sources.iter().for_each(|s| s.storage().release());
    }

    /// Bytes mapped from files: clean memory, that the system may drop and read again.
    pub fn mapped_bytes(&self) -> u64 {
        self.0.sources.iter().map(|s| s.storage().mapped_bytes()).sum()
    }

    /// Bytes of heap that the open file holds, including the bytes given to [`GgufFile::from_bytes`].
    pub fn heap_bytes(&self) -> usize {
        let owned: usize = self.0.sources.iter().map(|s| s.storage().owned_bytes()).sum();
        let folder = self.0.folder.as_ref().map_or(0, |f| f.heap);
        owned + folder + self.0.metadata.heap_bytes() + self.0.tensors.heap_bytes()
    }
}
