//! The list of merges of a BPE vocabulary: which pairs of texts can be joined, and in which order.
//!
//! An entry is `left right`, the first in the list goes first. Entries stay in the file; a flat table finds the rank
//! of a pair by the two hashes. The same pair twice: the first one counts. A merge whose result is not in the
//! vocabulary is kept, as in llama.cpp: its result falls apart into bytes when tokens are looked up.

use super::merge::NEVER;
use super::table::{Hasher, Table};
use super::vocab::MAX_TOKENS;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::StrArray;

/// See the module.
pub(super) struct Merges {
    list: StrArray,
    table: Table,
    hasher: Hasher,
}

impl Merges {
    /// Builds the table. `see` is shown the two sides of each entry.
    pub(super) fn new(list: StrArray, hasher: Hasher, mut see: impl FnMut(&[u8], &[u8])) -> Result<Self> {
        if list.len() > MAX_TOKENS {
            let message = format!("{} merges, at most {MAX_TOKENS} are accepted", list.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut table = Table::new(list.len());
        for (rank, entry) in list.iter().enumerate() {
            // A space may be the left side: it is never empty.
            let Some(space) = entry.iter().skip(1).position(|&b| b == b' ').map(|at| at + 1) else {
                let message = format!("merge {rank} is not two texts with a space between");
                return Err(Error::new(ErrorKind::Format, message));
            };
            let (left, right) = (&entry[..space], &entry[space + 1..]);
            see(left, right);
            let pair = hasher.pair(hasher.hash(left), hasher.hash(right));
            table.insert(pair, rank as u32, false, |v| list.get(v as usize) == Some(entry));
        }
        Ok(Self { list, table, hasher })
    }

    /// The rank of joining `left` and `right`, given their hashes; [`NEVER`] if they cannot be.
    #[inline]
    pub(super) fn rank(&self, left: &[u8], left_hash: u64, right: &[u8], right_hash: u64) -> u32 {
        let same = |v: u32| {
            self.list.get(v as usize).is_some_and(|entry| {
                entry.len() == left.len() + 1 + right.len()
                    && entry.starts_with(left)
                    && entry[left.len()] == b' '
                    && entry.ends_with(right)
            })
        };
        self.table.find(self.hasher.pair(left_hash, right_hash), same).unwrap_or(NEVER)
    }

    /// Bytes of heap, without what the file's reader holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.table.heap_bytes()
    }
}
