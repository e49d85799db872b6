//! Where a file's bytes are: a read-only mapping, or memory that we own.
//!
//! The only `unsafe` of the reader is here: mapping, and giving pages back. A mapping shows the file as it *is*, not as it was when it was opened:
//!
//! - the file must not shrink while it is mapped: touching a page past its end raises a signal (SIGBUS) that no
//!   library can turn into an error. [`Storage::check_unchanged`] sees a change before the next step starts, and a
//!   program that owns its process may handle the signal (ours does, in the `siskin` command);
//! - the file must not be rewritten in place: weights would change under the model. The same check sees it.
//!   Replacing it (write elsewhere, rename over) is fine: the mapping keeps the old file.
//!
//! Nothing that keeps an access in bounds is read from the mapping twice: lengths and offsets found while opening are
//! copied, so that a file that changes can give wrong values but no access out of bounds.
#![allow(unsafe_code, reason = "maps files and gives their pages back")]

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{Mmap, MmapOptions};

use crate::error::{Error, ErrorKind, Result};

/// The bytes of one file (or of one part of a split model).
pub(crate) enum Storage {
    /// Mapped from a file.
    Mapped(Mapping),
    /// In memory.
    Owned(Vec<u8>),
    /// In memory that somebody else keeps.
    Shared(Box<dyn AsRef<[u8]> + Send + Sync>),
}

/// A read-only mapping and what is needed to see whether its file changed.
pub(crate) struct Mapping {
    map: Mmap,
    /// Kept open to look at the file that is mapped, whatever its path names by now.
    file: File,
    path: Option<PathBuf>,
    /// Bytes of the whole file at opening, of which the mapping may be a range.
    size: u64,
    modified: Option<SystemTime>,
}

impl Storage {
    /// Maps the whole file at `path`. Refuses whatever is not a regular file, without waiting on it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::open_unnamed(path).map_err(|e| e.with_file(path))
    }

    fn open_unnamed(path: &Path) -> Result<Self> {
        // Asked before opening: opening a pipe would wait for a writer.
        check_regular(&std::fs::metadata(path).map_err(|e| io("cannot find the model file", e))?)?;
        let file = File::open(path).map_err(|e| io("cannot open the model file", e))?;
        let meta = file.metadata().map_err(|e| io("cannot read the size of the model file", e))?;
        check_regular(&meta)?;
        if meta.len() == 0 {
            return Err(Error::new(ErrorKind::Format, "the file is empty"));
        }
        let len = meta.len();
        Self::map(file, &meta, 0, len, Some(path.to_path_buf()))
    }

    /// Maps `len` bytes of `file` from `offset`, which need not be aligned to anything.
    #[cfg(unix)]
    pub(crate) fn from_file(file: File, offset: u64, len: u64) -> Result<Self> {
        let meta = file.metadata().map_err(|e| io("cannot read the size of the file descriptor", e))?;
        check_regular(&meta)?;
        if len == 0 || offset.checked_add(len).is_none_or(|end| end > meta.len()) {
            let message = format!(
                "{len} bytes from byte {offset} are not a range of this file of {} bytes",
                meta.len()
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        Self::map(file, &meta, offset, len, None)
    }

    /// Requires that `offset..offset + len` lies inside the file.
    fn map(file: File, meta: &Metadata, offset: u64, len: u64, path: Option<PathBuf>) -> Result<Self> {
        let too_large = || {
            let message = format!("{len} bytes do not fit this machine's address space");
            Error::new(ErrorKind::Limit, message)
        };
        let map_len =
            usize::try_from(len).ok().filter(|&n| isize::try_from(n).is_ok()).ok_or_else(too_large)?;
        let mut options = MmapOptions::new();
        options.offset(offset).len(map_len);
        // SAFETY: the mapping is read-only and of a regular file, and lies inside the file as it is now. That the
        // file is neither shrunk nor rewritten while it is mapped is the caller's part, documented at the top of this
        // file and at `GgufFile::open`; every bit pattern is a valid `u8`, and no length that keeps an access in
        // bounds is read from the mapping twice.
        let map =
            unsafe { options.map(&file) }.map_err(|e| io("cannot map the model file into memory", e))?;
        // Weights are read from end to end for every token. Where the file's pages are not in memory yet, this makes the
        // system read them in pieces that one entry of the page tables covers (Linux 6.18, ext4: 34 GB/s instead of 22 on
        // one core). A hint, which older systems refuse.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self::Mapped(Mapping { map, file, path, size: meta.len(), modified: meta.modified().ok() }))
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(m) => &m.map,
            Self::Owned(v) => v,
            Self::Shared(s) => (**s).as_ref(),
        }
    }

    /// The path that was opened, if it was one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Mapped(m) => m.path.as_deref(),
            Self::Owned(_) | Self::Shared(_) => None,
        }
    }

    /// Bytes mapped from a file.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        match self {
            Self::Mapped(m) => m.map.len() as u64,
            Self::Owned(_) | Self::Shared(_) => 0,
        }
    }

    /// Bytes in our own memory.
    pub(crate) fn owned_bytes(&self) -> usize {
        match self {
            Self::Mapped(_) | Self::Shared(_) => 0,
            Self::Owned(v) => v.capacity(),
        }
    }

    /// An error if the file's size or time of change is not what it was at opening. One system call; allocates only
    /// when it fails.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        let Self::Mapped(m) = self else { return Ok(()) };
        let named = |e: Error| match &m.path {
            Some(path) => e.with_file(path),
            None => e,
        };
        let now = m.file.metadata().map_err(|e| named(io("cannot look at the open model file", e)))?;
        if now.len() != m.size {
            let message =
                format!("the model file changed while in use: it had {} bytes, now {}", m.size, now.len());
            return Err(named(Error::new(ErrorKind::FileChanged, message)));
        }
        if now.modified().ok() != m.modified {
            let message = format!("the model file was written to while in use (still {} bytes)", m.size);
            return Err(named(Error::new(ErrorKind::FileChanged, message)));
        }
        Ok(())
    }

    /// Asks the system to read `len` bytes from `start` ahead of their use. Only a hint: failures do not matter.
    pub(crate) fn advise_willneed(&self, start: usize, len: usize) {
        #[cfg(unix)]
        self.advise(memmap2::Advice::WillNeed, start, len);
        #[cfg(not(unix))]
        let _ = (start, len);
    }

    /// Tells the system that of these bytes it should read what is touched and nothing around it. Only a hint.
    pub(crate) fn advise_random(&self, start: usize, len: usize) {
        #[cfg(unix)]
        self.advise(memmap2::Advice::Random, start, len);
        #[cfg(not(unix))]
        let _ = (start, len);
    }

    #[cfg(unix)]
    fn advise(&self, advice: memmap2::Advice, start: usize, len: usize) {
        if let Self::Mapped(m) = self
            && len > 0
            && start.checked_add(len).is_some_and(|end| end <= m.map.len())
        {
            let _ = m.map.advise_range(advice, start, len);
        }
    }

    /// Gives the mapped pages back to the system. They are read again, from the page cache or the file, when they are
    /// used. Only a hint: failures do not matter.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        if let Self::Mapped(m) = self {
            // SAFETY: the pages of a read-only mapping of a file hold nothing that the file does not.
            let _ = unsafe { m.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

fn check_regular(meta: &Metadata) -> Result<()> {
    if meta.is_dir() {
        return Err(Error::new(ErrorKind::Io, "this is a directory, not a model file"));
    }
    if !meta.is_file() {
        return Err(Error::new(ErrorKind::Io, "this is a pipe, socket or device, not a model file"));
    }
    Ok(())
}

fn io(message: &str, e: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, message).with_source(e)
}
