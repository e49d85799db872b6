//! A flat open-addressing table from bytes to small numbers, where the bytes themselves stay somewhere else.
//!
//! One `u32` per slot: the low bits are the value plus one, the rest are bits of the hash that spare nearly every
//! comparison of bytes. At most two thirds full, linear probing, never grows. The seed is drawn when the tokenizer is
//! made, so that a file cannot be written whose tokens all fall into one slot; no result depends on it.

use std::hash::{BuildHasher, RandomState};

/// Hashes short byte strings; a token has six bytes on average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher(u64);

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;
const K2: u64 = 0xa076_1d64_78bd_642f;

/// The two halves of the 128-bit product, folded.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller leaves eight bytes"))
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller leaves four bytes")).into()
}

impl Hasher {
    /// A hasher that no file knows beforehand.
    pub(super) fn random() -> Self {
        Self(RandomState::new().hash_one(K0))
    }

    /// The hash of `bytes`.
    #[inline]
    pub(super) fn hash(self, bytes: &[u8]) -> u64 {
        let n = bytes.len();
        let mut seed = self.0 ^ (n as u64).wrapping_mul(K0);
        let (a, b) = match n {
            0 => (0, 0),
            1..4 => (u64::from(bytes[0]) | u64::from(bytes[n / 2]) << 8 | u64::from(bytes[n - 1]) << 16, 0),
            4..8 => (u32_at(bytes, 0), u32_at(bytes, n - 4)),
            8..=16 => (u64_at(bytes, 0), u64_at(bytes, n - 8)),
            _ => {
                let mut at = 0;
                while at + 16 < n {
                    seed = fold(u64_at(bytes, at) ^ seed ^ K1, u64_at(bytes, at + 8) ^ self.0 ^ K2);
                    at += 16;
                }
                (u64_at(bytes, n - 16), u64_at(bytes, n - 8))
            }
        };
        fold(fold(a ^ seed ^ K1, b ^ self.0.rotate_left(32) ^ K2) ^ K2, seed ^ K1)
    }

    /// The hash of an ordered pair of things hashed before.
    #[inline]
    pub(super) fn pair(self, left: u64, right: u64) -> u64 {
        fold(left ^ self.0 ^ K1, right ^ self.0.rotate_left(24) ^ K2)
    }
}

/// See the module.
pub(super) struct Table {
    slots: Box<[u32]>,
    value_mask: u32,
}

impl Table {
    /// A table for values below `values` (at most 2^24), as many as that.
    pub(super) fn new(values: usize) -> Self {
        debug_assert!(values <= 1 << 24);
        let slots = (values + values / 2 + 1).next_power_of_two();
        let value_mask = (values as u32 + 1).next_power_of_two() - 1;
        Self { slots: vec![0; slots].into(), value_mask }
    }

    /// The slot of the entry for which `same` says yes, or the empty slot where it would be.
    #[inline]
    fn probe(&self, hash: u64, same: impl Fn(u32) -> bool) -> (usize, Option<u32>) {
        let last = self.slots.len() - 1;
        let tag = hash as u32 & !self.value_mask;
        let mut at = (hash >> 32) as usize & last;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return (at, None);
            }
            if slot & !self.value_mask == tag {
                let value = (slot & self.value_mask) - 1;
                if same(value) {
                    return (at, Some(value));
                }
            }
            at = (at + 1) & last;
        }
    }

    /// The value under `hash` for which `same` says yes.
    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        self.probe(hash, same).1
    }

    /// Puts `value` under `hash`. Where an entry for which `same` says yes is there already, it stays, unless
    /// `replace`. At most as many values as the table was made for are put in.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, value: u32, replace: bool, same: impl Fn(u32) -> bool) {
        let (at, there) = self.probe(hash, same);
        if replace || there.is_none() {
            self.slots[at] = (hash as u32 & !self.value_mask) | (value + 1);
        }
    }

    /// Bytes of heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in() {
        let hasher = Hasher::random();
        let words: Vec<String> = (0..5000).map(|i| "x".repeat(i % 40) + &i.to_string()).collect();
        let mut table = Table::new(words.len());
        for (i, w) in words.iter().enumerate() {
            let same = |v: u32| words[v as usize] == *w;
            assert_eq!(table.find(hasher.hash(w.as_bytes()), same), None);
            table.insert(hasher.hash(w.as_bytes()), i as u32, false, same);
        }
        for (i, w) in words.iter().enumerate() {
            let found = table.find(hasher.hash(w.as_bytes()), |v| words[v as usize] == *w);
            assert_eq!(found, Some(i as u32));
        }
    }

    #[test]
    fn equal_entries_stay_or_are_replaced() {
        let mut table = Table::new(3);
        table.insert(7, 0, false, |_| true);
        table.insert(7, 1, false, |_| true);
        assert_eq!(table.find(7, |_| true), Some(0), "the first stays");
        table.insert(7, 2, true, |_| true);
        assert_eq!(table.find(7, |_| true), Some(2), "the last replaces");
    }

    #[test]
    fn every_length_and_byte_matters() {
        let hasher = Hasher::random();
        let mut seen = std::collections::HashSet::new();
        for n in 0..70usize {
            let mut bytes = vec![0u8; n];
            assert!(seen.insert(hasher.hash(&bytes)), "length {n}");
            for i in 0..n {
                bytes[i] = 1;
                assert!(seen.insert(hasher.hash(&bytes)), "length {n}, byte {i}");
                bytes[i] = 0;
            }
        }
        assert_ne!(hasher.pair(1, 2), hasher.pair(2, 1));
    }
}
