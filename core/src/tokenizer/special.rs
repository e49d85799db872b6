//! Finds tokens that are matched as they stand in the text, before anything else is done to it.
//!
//! Control and unknown tokens are matched only where the caller allows it; user-defined tokens always are, as
//! SentencePiece and Hugging Face do (but see [`Rules::markers`]). At each place the longest one wins, and the leftmost
//! place.
//!
//! One sorted table of ids, narrowed byte by byte, and one bit per pair of first bytes that rules out nearly every
//! place of ordinary text.

use super::vocab::{TokenKind, Vocab};

/// Texts longer than this (in bytes) are not matched: the cost of a place in the text has a bound.
const MAX_TEXT: usize = 256;

/// A match in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// First byte.
    pub(super) start: usize,
    /// Byte after the last.
    pub(super) end: usize,
    /// The token.
    pub(super) id: u32,
}

/// One bit for each pair of bytes with which a text starts; all pairs of its byte for a text of one byte.
struct Starts(Box<[u64; 1024]>);

impl Starts {
    fn new() -> Self {
        Self(Box::new([0; 1024]))
    }

    fn add(&mut self, text: &[u8]) {
        let row = usize::from(text[0]) * 4; // 256 bits
        match text.get(1) {
            Some(&second) => self.0[row + usize::from(second) / 64] |= 1 << (second % 64),
            None => self.0[row..row + 4].fill(u64::MAX),
        }
    }

    #[inline]
    fn allows(&self, text: &[u8], at: usize) -> bool {
        let row = usize::from(text[at]) * 4;
        match text.get(at + 1) {
            Some(&second) => self.0[row + usize::from(second) / 64] >> (second % 64) & 1 == 1,
            None => self.0[row] == u64::MAX, // only a text of one byte fits
        }
    }
}

/// What is special about a family's special tokens; no key of GGUF says so.
#[derive(Clone, Copy, Default)]
pub(super) struct Rules {
    /// User-defined tokens between `<` and `>` are markers that a reader shall see, and never what a user typed: they
    /// are matched like control tokens.
    pub(super) markers: bool,
    /// White space after a special token belongs to it, but for these tokens.
    pub(super) strip_right: Option<&'static [&'static [u8]]>,
}

/// See the module.
pub(super) struct Specials {
    /// Sorted by text; equal texts are there once.
    sorted: Vec<u32>,
    /// Starts of those that are always matched.
    always: Starts,
    /// Starts of all.
    all: Starts,
    rules: Rules,
}

impl Specials {
    /// Takes the tokens `ids`, which are control, unknown or user-defined ones.
    pub(super) fn new(vocab: &Vocab, ids: impl IntoIterator<Item = u32>, rules: Rules) -> Self {
        let text = |id: u32| vocab.text(id).unwrap_or_default();
        // The first eight bytes decide nearly every comparison.
        let mut keyed: Vec<(u64, u32)> = ids
            .into_iter()
            .filter(|&id| (1..=MAX_TEXT).contains(&text(id).len()) && std::str::from_utf8(text(id)).is_ok())
            .map(|id| {
                let mut key = [0; 8];
                let n = text(id).len().min(8);
                key[..n].copy_from_slice(&text(id)[..n]);
                (u64::from_be_bytes(key), id)
            })
            .collect();
        // Of equal texts the last id comes first, and stays.
        keyed.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| text(a.1).cmp(text(b.1))).then_with(|| b.1.cmp(&a.1))
        });
        keyed.dedup_by(|a, b| a.0 == b.0 && text(a.1) == text(b.1));
        let mut found = Self { sorted: Vec::new(), always: Starts::new(), all: Starts::new(), rules };
        for &(_, id) in &keyed {
            found.see_start(vocab, id);
        }
        found.sorted = keyed.into_iter().map(|(_, id)| id).collect();
        found
    }

    fn see_start(&mut self, vocab: &Vocab, id: u32) {
        let text = vocab.text(id).unwrap_or_default();
        self.all.add(text);
        if self.is_always(vocab, id) {
            self.always.add(text);
        }
    }

    /// Whether the token is matched without being allowed to.
    fn is_always(&self, vocab: &Vocab, id: u32) -> bool {
        let marker = || vocab.text(id).is_some_and(|t| t.starts_with(b"<") && t.ends_with(b">"));
        vocab.kind(id) == Some(TokenKind::UserDefined) && !(self.rules.markers && marker())
    }

    /// Adds a token that became a control token after this was made.
    pub(super) fn add(&mut self, vocab: &Vocab, id: u32) {
        let text = vocab.text(id).unwrap_or_default();
        let fits = (1..=MAX_TEXT).contains(&text.len()) && std::str::from_utf8(text).is_ok();
        if fits && let Err(at) = self.place(vocab, text) {
            self.sorted.insert(at, id);
            self.see_start(vocab, id);
        }
    }

    /// The first match at or after byte `from`. `all`: control and unknown tokens too.
    pub(super) fn next(&self, vocab: &Vocab, text: &str, from: usize, all: bool) -> Option<Match> {
        let starts = if all { &self.all } else { &self.always };
        let bytes = text.as_bytes();
        let mut start = from;
        while start < bytes.len() {
            if starts.allows(bytes, start)
                && let Some((id, len)) = self.longest_at(vocab, &bytes[start..], all)
            {
                let end = start + len;
                return Some(Match { start, end: self.strip(vocab, text, end, id), id });
            }
            start += 1;
        }
        None
    }

    /// The longest token that `bytes` starts with, and its length.
    fn longest_at(&self, vocab: &Vocab, bytes: &[u8], all: bool) -> Option<(u32, usize)> {
        let text = |id: u32| vocab.text(id).unwrap_or_default();
        let mut best = None;
        let mut rest = &self.sorted[..]; // all share their first `depth` bytes with `bytes`
        for (depth, &byte) in bytes.iter().enumerate() {
            let low = rest.partition_point(|&id| text(id).get(depth).is_none_or(|&b| b < byte));
            let high = low + rest[low..].partition_point(|&id| text(id).get(depth) == Some(&byte));
            rest = &rest[low..high];
            let Some(&first) = rest.first() else { break };
            // The shortest of those with a common start comes first.
            if text(first).len() == depth + 1 && (all || self.is_always(vocab, first)) {
                best = Some((first, depth + 1));
            }
        }
        best
    }

    /// Where the match ends that has its text end at `end`.
    fn strip(&self, vocab: &Vocab, text: &str, end: usize, id: u32) -> usize {
        match self.rules.strip_right {
            Some(keep) if !keep.contains(&vocab.text(id).unwrap_or_default()) => {
                text.len() - text[end..].trim_start().len()
            }
            _ => end,
        }
    }

    /// The token with this text.
    pub(super) fn find(&self, vocab: &Vocab, text: &[u8]) -> Option<u32> {
        self.sorted.get(self.place(vocab, text).ok()?).copied()
    }

    fn place(&self, vocab: &Vocab, text: &[u8]) -> std::result::Result<usize, usize> {
        self.sorted.binary_search_by(|&id| vocab.text(id).unwrap_or_default().cmp(text))
    }

    /// Bytes of heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<u32>() + 2 * size_of::<[u64; 1024]>()
    }
}
