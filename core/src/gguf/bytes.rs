//! A range of a file's bytes that keeps the file alive.

use std::fmt;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use super::mmap::Storage;
use crate::error::Result;

/// A part of a model file, mapped or in memory. Cloning is cheap; the file stays open as long as one is alive.
#[derive(Clone)]
pub struct Bytes {
    storage: Arc<Storage>,
    start: usize,
    len: usize,
}

impl Bytes {
    /// Maps the whole file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Storage::open(path).map(Self::all)
    }

    /// All bytes of `storage`.
    pub(crate) fn all(storage: Storage) -> Self {
        let len = storage.as_slice().len();
        Self { storage: Arc::new(storage), start: 0, len }
    }

    /// The sub-range `range`, relative to this one; `None` if it is not inside.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let inside = range.start <= range.end && range.end <= self.len;
        inside.then(|| Self {
            storage: Arc::clone(&self.storage),
            start: self.start + range.start,
            len: range.end - range.start,
        })
    }

    /// Asks the system to read these bytes ahead of their use. Only a hint; returns at once.
    pub fn advise_willneed(&self) {
        self.storage.advise_willneed(self.start, self.len);
    }

    /// Tells the system that of these bytes it should read what is touched and nothing around it. Only a hint.
    pub fn advise_random(&self) {
        self.storage.advise_random(self.start, self.len);
    }

    /// What this is a part of.
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all = self.storage.as_slice();
        all.get(self.start..self.start + self.len)
            .expect("ranges are checked when made and storage never shrinks")
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::all(Storage::Owned(bytes))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} at {})", self.len, self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_relative_and_checked() {
        let all = Bytes::from(vec![0, 1, 2, 3, 4, 5]);
        let part = all.slice(2..5).expect("inside");
        assert_eq!(&*part, [2, 3, 4]);
        assert_eq!(&*part.slice(1..3).expect("inside"), [3, 4]);
        assert!(part.slice(1..4).is_none(), "past the part, though inside the file");
        assert!(all.slice(6..6).is_some_and(|e| e.is_empty()));
        assert!(all.slice(7..7).is_none());
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let reversed = all.slice(4..2);
        assert!(reversed.is_none());
    }
}
