//! Byte-pair merging: joins the pair of neighbours of the best rank, the leftmost of equals, until none can be joined.
//!
//! Both kinds of vocabulary are this: SentencePiece ranks a pair by the score of the token that it makes, byte-level
//! BPE by its place in the list of merges. A word is short and is scanned; anything longer goes through a priority
//! queue over a linked list, so that a text without spaces takes n log n.
//!
//! The queue is in two parts, because a long text would not fit the caches: the pairs that are there at the start are
//! sorted once and then read in order, and only those that merging makes go through a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Stop;
use crate::error::Result;

/// A piece of the text being merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    /// First byte in the scratch text.
    pub(super) start: u32,
    /// Bytes. 0: joined to a symbol on its left.
    pub(super) len: u32,
    /// Of its bytes, where the vocabulary ranks pairs by their two hashes; else 0.
    pub(super) hash: u64,
}

impl Symbol {
    /// Its bytes in `text`.
    #[inline]
    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..(self.start + self.len) as usize]
    }

    /// The bytes of this symbol and its neighbour on the right.
    #[inline]
    pub(super) fn with(self, right: Symbol, text: &[u8]) -> &[u8] {
        &text[self.start as usize..(right.start + right.len) as usize]
    }
}

/// The rank of a pair that cannot be joined.
pub(super) const NEVER: u32 = u32::MAX;

/// What a vocabulary says about pairs.
pub(super) trait Pairs {
    /// The rank of joining two neighbours: lower goes first, [`NEVER`] if they cannot be joined.
    fn rank(&self, text: &[u8], left: Symbol, right: Symbol) -> u32;
    /// The two as one.
    fn join(&self, text: &[u8], left: Symbol, right: Symbol) -> Symbol;
}

/// Symbols up to which scanning all pairs for the best is faster than a queue.
const SCANNED: usize = 64;

/// A pair in the queue: its rank, and below it the index of the left symbol.
type Pair = u64;

/// Pairs joined between two looks at whether to stop.
const STRIDE: u32 = 4096;

/// Memory that is used again from word to word.
#[derive(Default)]
pub(super) struct Merger {
    /// What is merged: filled by the caller, from left to right, without gaps; afterwards the result.
    pub(super) symbols: Vec<Symbol>,
    /// Of each symbol with the next one, as they are now.
    ranks: Vec<u32>,
    /// The symbols before and after each.
    links: Vec<(u32, u32)>,
    first: Vec<Pair>,
    heap: BinaryHeap<Reverse<Pair>>,
}

const END: u32 = u32::MAX;

impl Merger {
    /// Merges `self.symbols`, which lie in `text`.
    pub(super) fn merge(&mut self, text: &[u8], pairs: &impl Pairs, stop: &Stop<'_>) -> Result<()> {
        if self.symbols.len() <= SCANNED {
            self.scan(text, pairs);
            return Ok(());
        }
        self.run_queue(text, pairs, stop)
    }

    fn scan(&mut self, text: &[u8], pairs: &impl Pairs) {
        let Self { symbols, ranks, .. } = self;
        ranks.clear();
        ranks.extend(symbols.windows(2).map(|w| pairs.rank(text, w[0], w[1])));
        while let Some((at, &rank)) = ranks.iter().enumerate().min_by_key(|&(_, rank)| *rank) {
            if rank == NEVER {
                break;
            }
            symbols[at] = pairs.join(text, symbols[at], symbols[at + 1]);
            symbols.remove(at + 1);
            ranks.remove(at);
            if at > 0 {
                ranks[at - 1] = pairs.rank(text, symbols[at - 1], symbols[at]);
            }
            if let Some(rank) = ranks.get_mut(at) {
                *rank = pairs.rank(text, symbols[at], symbols[at + 1]);
            }
        }
    }

    fn run_queue(&mut self, text: &[u8], pairs: &impl Pairs, stop: &Stop<'_>) -> Result<()> {
        let Self { symbols, ranks, links, first, heap } = self;
        let count = symbols.len() as u32; // the length of a text is limited when it comes in
        links.clear();
        links.extend((0..count).map(|i| (i.wrapping_sub(1), if i + 1 < count { i + 1 } else { END })));
        let pack = |rank: u32, left: u32| u64::from(rank) << 32 | u64::from(left);
        ranks.clear();
        first.clear();
        heap.clear();
        for (left, pair) in (0u32..).zip(symbols.windows(2)) {
            if left.is_multiple_of(STRIDE) {
                stop.check()?;
            }
            let rank = pairs.rank(text, pair[0], pair[1]);
            ranks.push(rank);
            if rank != NEVER {
                first.push(pack(rank, left));
            }
        }
        ranks.push(NEVER);
        first.sort_unstable();
        let mut sorted = first.iter().copied().peekable();
        let mut joined = 0u32;
        loop {
            let next = match (sorted.peek().copied(), heap.peek().map(|pair| pair.0)) {
                (Some(a), Some(b)) if b < a => heap.pop().map(|pair| pair.0),
                (Some(_), _) => sorted.next(),
                (None, _) => heap.pop().map(|pair| pair.0),
            };
            let Some(next) = next else { break };
            let (rank, left) = ((next >> 32) as u32, next as u32);
            // One of the two was joined to another since the pair was offered. (A pair that took its place with the
            // same rank is as good: it was offered as well, and only one of the two offers is met.)
            if ranks[left as usize] != rank {
                continue;
            }
            joined += 1;
            if joined.is_multiple_of(STRIDE) {
                stop.check()?;
            }
            let right = links[left as usize].1;
            let (before, after) = (links[left as usize].0, links[right as usize].1);
            let one = pairs.join(text, symbols[left as usize], symbols[right as usize]);
            symbols[left as usize] = one;
            symbols[right as usize].len = 0;
            ranks[right as usize] = NEVER;
            links[left as usize].1 = after;
            let mut offer = |at: u32, rank: u32| {
                ranks[at as usize] = rank;
                if rank != NEVER {
                    heap.push(Reverse(pack(rank, at)));
                }
            };
            if before != END {
                offer(before, pairs.rank(text, symbols[before as usize], one));
            }
            if after == END {
                offer(left, NEVER);
            } else {
                links[after as usize].0 = left;
                offer(left, pairs.rank(text, one, symbols[after as usize]));
            }
        }
        symbols.retain(|s| s.len > 0);
        Ok(())
    }

    /// One symbol per byte.
    #[cfg(test)]
    fn set(&mut self, text: &[u8]) {
        self.symbols.clear();
        self.symbols.extend((0..text.len() as u32).map(|start| Symbol { start, len: 1, hash: 0 }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks by a list of (joined text, rank).
    struct List(&'static [(&'static str, u32)]);

    impl Pairs for List {
        fn rank(&self, text: &[u8], left: Symbol, right: Symbol) -> u32 {
            let joined = left.with(right, text);
            self.0.iter().find(|(t, _)| t.as_bytes() == joined).map_or(NEVER, |e| e.1)
        }
        fn join(&self, _: &[u8], left: Symbol, right: Symbol) -> Symbol {
            Symbol { len: left.len + right.len, ..left }
        }
    }

    fn merged(text: &str, list: &'static [(&'static str, u32)], queue: bool) -> Vec<String> {
        let mut m = Merger::default();
        m.set(text.as_bytes());
        if queue {
            m.run_queue(text.as_bytes(), &List(list), &Stop::NEVER).expect("nobody stops it");
        } else {
            m.scan(text.as_bytes(), &List(list))
        }
        m.symbols.iter().map(|s| String::from_utf8_lossy(s.of(text.as_bytes())).into_owned()).collect()
    }

    #[test]
    fn best_first_then_leftmost() {
        for queue in [false, true] {
            assert_eq!(merged("aaaa", &[("aa", 0)], queue), ["aa", "aa"]);
            assert_eq!(merged("aaa", &[("aa", 0)], queue), ["aa", "a"]);
            assert_eq!(merged("abc", &[("ab", 1), ("bc", 0)], queue), ["a", "bc"]);
            assert_eq!(merged("abcd", &[("ab", 1), ("cd", 0), ("abcd", 2)], queue), ["abcd"]);
            assert_eq!(merged("", &[("ab", 1)], queue), [""; 0]);
            assert_eq!(merged("x", &[("ab", 1)], queue), ["x"]);
        }
    }

    #[test]
    fn scanning_and_queueing_agree() {
        const LIST: &[(&str, u32)] =
            &[("ab", 5), ("ba", 5), ("aa", 4), ("abab", 3), ("aab", 2), ("bb", 6), ("bbaa", 1), ("aaaa", 7)];
        let mut state = 1u32;
        for n in 0..200 {
            let text: String = (0..n % 40)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if state >> 31 == 0 { 'a' } else { 'b' }
                })
                .collect();
            assert_eq!(merged(&text, LIST, false), merged(&text, LIST, true), "{text}");
        }
    }

    #[test]
    fn a_million_equal_characters_take_no_more_than_n_log_n() {
        let text = "a".repeat(1_000_000);
        let mut m = Merger::default();
        m.set(text.as_bytes());
        m.merge(text.as_bytes(), &List(&[("aa", 0), ("aaaa", 1), ("aaaaaaaa", 2)]), &Stop::NEVER)
            .expect("nobody stops it");
        assert_eq!(m.symbols.len(), 125_000);
    }
}
