//! SentencePiece-style tokens: spaces are written U+2581 (`▁`), pieces are merged over the whole text, and what the
//! vocabulary has no piece for becomes one token per byte.
//!
//! Two sources of order: the score of the token that a merge makes (Llama 2, Mistral, Gemma 1 to 3), or a list of
//! merges (Gemma 4). Both break ties to the left.
//!
//! Nothing in SentencePiece splits a text into words, but nearly no token has a `▁` after something else, so that no
//! merge ever crosses such a place: there the text can be cut, and words can be remembered, with the same result.
//! The exceptions are collected when the vocabulary is read (Gemma has one, `>▁</`).

use super::Scratch;
use super::cache::Key;
use super::merge::{NEVER, Pairs, Symbol};
use super::merges::Merges;
use super::vocab::{TokenId, TokenKind, Vocab};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::F32Array;

/// What stands for a space.
pub(super) const SPACE: &[u8; 3] = b"\xE2\x96\x81";

/// What decides which pair is merged first.
pub(super) enum Order {
    /// The token of the best score.
    Scores(F32Array),
    /// The first of the list.
    Merges(Merges),
}

/// What is learned about the tokens in one walk over them, to be finished by [`Spm::new`].
pub(super) struct Walk {
    bytes: Box<[Option<TokenId>; 256]>,
    joins: Box<[bool; 256]>,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self { bytes: Box::new([None; 256]), joins: Box::new([false; 256]) }
    }

    /// Sees a token of the vocabulary.
    pub(super) fn see(&mut self, id: u32, kind: TokenKind, text: &[u8]) {
        match kind {
            TokenKind::Byte => {
                if let Some(byte) = byte_of(text) {
                    self.bytes[usize::from(byte)] = Some(TokenId(id));
                }
            }
            TokenKind::Control | TokenKind::Unknown => {}
            _ => {
                for at in 1..text.len().saturating_sub(SPACE.len() - 1) {
                    if text[at] == SPACE[0] && text[at..].starts_with(SPACE) && !text[..at].ends_with(SPACE) {
                        self.joins[usize::from(text[at - 1])] = true;
                    }
                }
            }
        }
    }

    /// Sees the two sides of a merge.
    pub(super) fn see_merge(&mut self, left: &[u8], right: &[u8]) {
        if right.starts_with(SPACE)
            && !left.ends_with(SPACE)
            && let Some(&last) = left.last()
        {
            self.joins[usize::from(last)] = true;
        }
    }
}

/// See the module.
pub(super) struct Spm {
    order: Order,
    /// The token of each byte. Only exact `<0xNN>` count: other tokens of kind byte are text that nothing becomes.
    bytes: Box<[Option<TokenId>; 256]>,
    /// Last bytes of what may stand before a `▁` in the middle of a token: no cut there.
    joins: Box<[bool; 256]>,
    /// Spaces at the ends are removed and runs of them are one.
    remove_extra_spaces: bool,
}

/// The byte that a token `<0xNN>` stands for.
pub(super) fn byte_of(text: &[u8]) -> Option<u8> {
    let &[b'<', b'0', b'x', high, low, b'>'] = text else { return None };
    let digit = |c: u8| char::from(c).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

impl Spm {
    pub(super) fn new(order: Order, walk: Walk, remove_extra_spaces: bool) -> Self {
        Self { order, bytes: walk.bytes, joins: walk.joins, remove_extra_spaces }
    }

    /// Appends the tokens of a stretch of ordinary text, with a space before it if `prefix`.
    pub(super) fn encode(
        &self,
        vocab: &Vocab,
        unknown: Option<TokenId>,
        text: &str,
        prefix: bool,
        scratch: &mut Scratch<'_>,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        let mut trimmed = String::new();
        let mut text = text;
        if self.remove_extra_spaces {
            for word in text.split(' ').filter(|w| !w.is_empty()) {
                if !trimmed.is_empty() {
                    trimmed.push(' ');
                }
                trimmed.push_str(word);
            }
            text = &trimmed;
        }
        let bytes = text.as_bytes();
        let mut start = 0;
        while start < bytes.len() {
            scratch.stop.check()?;
            let end = self.cut(bytes, start);
            let word = &bytes[start..end];
            let first = prefix && start == 0; // not the same word: there is a space before it
            let remembered = if first { Err(Key::NONE) } else { scratch.cache.get(word, out) };
            if let Err(key) = remembered {
                let before = out.len();
                scratch.text.clear();
                if first {
                    scratch.text.extend_from_slice(SPACE);
                }
                for part in word.split_inclusive(|&b| b == b' ') {
                    match part.split_last() {
                        Some((b' ', rest)) => {
                            scratch.text.extend_from_slice(rest);
                            scratch.text.extend_from_slice(SPACE);
                        }
                        _ => scratch.text.extend_from_slice(part),
                    }
                }
                self.encode_word(vocab, unknown, scratch, out)?;
                scratch.cache.put(key, word, &out[before..]);
            }
            start = end;
        }
        Ok(())
    }

    /// The end of the word that starts at `start`: before the next space that follows something else.
    fn cut(&self, bytes: &[u8], start: usize) -> usize {
        for at in start + 1..bytes.len() {
            if bytes[at] == b' ' {
                let before = bytes[at - 1];
                let spaces = before == b' ' || bytes[..at].ends_with(SPACE);
                if !spaces && !self.joins[usize::from(before)] {
                    return at;
                }
            }
        }
        bytes.len()
    }

    /// Merges `scratch.text` and appends its tokens.
    fn encode_word(
        &self,
        vocab: &Vocab,
        unknown: Option<TokenId>,
        scratch: &mut Scratch<'_>,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        let Scratch { text, merger, stop, .. } = scratch;
        merger.symbols.clear();
        let mut start = 0;
        while start < text.len() {
            let len = match text[start] {
                0..0xC0 => 1,
                0xC0..0xE0 => 2,
                0xE0..0xF0 => 3,
                _ => 4,
            };
            let hash = match self.order {
                Order::Scores(_) => 0,
                Order::Merges(_) => vocab.hasher().hash(&text[start..start + len]),
            };
            merger.symbols.push(Symbol { start: start as u32, len: len as u32, hash });
            start += len;
        }
        match &self.order {
            Order::Scores(scores) => merger.merge(text, &ByScore { vocab, scores }, stop)?,
            Order::Merges(merges) => merger.merge(text, &ByList { vocab, merges }, stop)?,
        }
        let mut after_unknown = false;
        for symbol in &merger.symbols {
            let piece = symbol.of(text);
            if let Some(id) = vocab.find(piece) {
                out.push(TokenId(id));
                after_unknown = false;
                continue;
            }
            if piece.iter().all(|&b| self.bytes[usize::from(b)].is_some()) {
                out.extend(piece.iter().filter_map(|&b| self.bytes[usize::from(b)]));
                after_unknown = false;
                continue;
            }
            let Some(unknown) = unknown else {
                let message =
                    "the vocabulary has neither a token nor bytes for a character, and no unknown token";
                return Err(
                    Error::new(ErrorKind::Tokenizer, message).with_key("tokenizer.ggml.unknown_token_id")
                );
            };
            // A run of them is one token, as in SentencePiece.
            if !after_unknown {
                out.push(unknown);
            }
            after_unknown = true;
        }
        Ok(())
    }

    /// Appends the text of a token of this vocabulary.
    pub(super) fn append_text(kind: TokenKind, text: &[u8], out: &mut Vec<u8>) {
        match (kind, byte_of(text)) {
            (TokenKind::Byte, Some(byte)) => out.push(byte),
            (TokenKind::Control | TokenKind::Unknown, _) => out.extend_from_slice(text),
            _ => {
                let mut rest = text;
                while let Some((&first, tail)) = rest.split_first() {
                    match rest.strip_prefix(SPACE) {
                        Some(tail) => {
                            out.push(b' ');
                            rest = tail;
                        }
                        None => {
                            out.push(first);
                            rest = tail;
                        }
                    }
                }
            }
        }
    }

    /// The token of the byte that is written as `text`.
    pub(super) fn byte_token(&self, text: &[u8]) -> Option<TokenId> {
        self.bytes[usize::from(byte_of(text)?)]
    }

    /// Bytes of heap, without what the file's reader holds.
    pub(super) fn heap_bytes(&self) -> usize {
        let order = match &self.order {
            Order::Scores(_) => 0,
            Order::Merges(merges) => merges.heap_bytes(),
        };
        order + size_of_val(&*self.bytes) + size_of_val(&*self.joins)
    }
}

struct ByScore<'a> {
    vocab: &'a Vocab,
    scores: &'a F32Array,
}

/// A rank that orders like the score, the highest first. Not a number comes last.
fn rank_of(score: f32) -> u32 {
    let score = if score.is_nan() { f32::NEG_INFINITY } else { score + 0.0 }; // -0.0 is 0.0
    let bits = score.to_bits();
    // Ascending with the score, then turned round; never NEVER, which would be a NaN.
    !(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
}

impl Pairs for ByScore<'_> {
    fn rank(&self, text: &[u8], left: Symbol, right: Symbol) -> u32 {
        let found = self.vocab.find(left.with(right, text)).and_then(|id| self.scores.get(id as usize));
        found.map_or(NEVER, rank_of)
    }

    fn join(&self, _: &[u8], left: Symbol, right: Symbol) -> Symbol {
        Symbol { len: left.len + right.len, ..left }
    }
}

/// Pairs by a list of merges.
pub(super) struct ByList<'a> {
    pub(super) vocab: &'a Vocab,
    pub(super) merges: &'a Merges,
}

impl Pairs for ByList<'_> {
    #[inline]
    fn rank(&self, text: &[u8], left: Symbol, right: Symbol) -> u32 {
        self.merges.rank(left.of(text), left.hash, right.of(text), right.hash)
    }

    #[inline]
    fn join(&self, text: &[u8], left: Symbol, right: Symbol) -> Symbol {
        let hash = self.vocab.hasher().hash(left.with(right, text));
        Symbol { start: left.start, len: left.len + right.len, hash }
    }
}
