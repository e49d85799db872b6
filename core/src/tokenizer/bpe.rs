//! Byte-level BPE: the text is split into words (see `pre`), the bytes of a word are written as characters, and
//! neighbours are merged in the order of a list.
//!
//! The characters are GPT-2's: every byte has a printable one, so that vocabularies are text files. Printable Latin-1
//! stands for itself, the other 68 bytes are U+0100 to U+0143 in order (`Ġ` is a space, `Ċ` a newline).

use std::borrow::Cow;

use super::Scratch;
use super::merge::Symbol;
use super::merges::Merges;
use super::normalize::nfc;
use super::pre::PreTokenizer;
use super::spm::ByList;
use super::vocab::{TokenId, TokenKind, Vocab};
use crate::error::Result;

/// Whether the byte stands for itself.
const fn is_itself(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The character of each byte, and the byte of each character from U+0100 on.
const CHARS: ([u16; 256], [u8; 68]) = {
    let (mut chars, mut bytes) = ([0; 256], [0; 68]);
    let (mut byte, mut others) = (0, 0);
    while byte < 256 {
        chars[byte] = byte as u16;
        if !is_itself(byte as u8) {
            chars[byte] = 0x100 + others as u16;
            bytes[others] = byte as u8;
            others += 1;
        }
        byte += 1;
    }
    (chars, bytes)
};

/// The byte that a character of a token's text stands for.
fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ 0..0x100 if is_itself(code as u8) => Some(code as u8),
        code => CHARS.1.get(code.checked_sub(0x100)? as usize).copied(),
    }
}

/// See the module.
pub(super) struct Bpe {
    pre: &'static PreTokenizer,
    merges: Merges,
    bytes: Box<[ByteChar; 256]>,
}

/// The character of a byte, ready to be merged.
struct ByteChar {
    utf8: [u8; 2],
    len: u8,
    hash: u64,
}

impl Bpe {
    pub(super) fn new(vocab: &Vocab, pre: &'static PreTokenizer, merges: Merges) -> Self {
        let bytes = std::array::from_fn(|byte| {
            let c = char::from_u32(CHARS.0[byte].into()).expect("below U+0144");
            let mut utf8 = [0; 2];
            let len = c.encode_utf8(&mut utf8).len();
            ByteChar { utf8, len: len as u8, hash: vocab.hasher().hash(&utf8[..len]) }
        });
        Self { pre, merges, bytes: Box::new(bytes) }
    }

    /// Appends the tokens of a stretch of ordinary text.
    ///
    /// A byte that the vocabulary has no token for is left out, as Hugging Face and llama.cpp do; real vocabularies
    /// lack bytes that occur in no text, and some control characters.
    pub(super) fn encode(
        &self,
        vocab: &Vocab,
        text: &str,
        scratch: &mut Scratch<'_>,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        let text = if self.pre.nfc { nfc(text) } else { Cow::Borrowed(text) };
        self.pre.split(&text, |word| {
            scratch.stop.check()?;
            if let Err(key) = scratch.cache.get(word.as_bytes(), out) {
                let before = out.len();
                self.encode_word(vocab, word.as_bytes(), scratch, out)?;
                scratch.cache.put(key, word.as_bytes(), &out[before..]);
            }
            Ok(())
        })
    }

    fn encode_word(
        &self,
        vocab: &Vocab,
        word: &[u8],
        scratch: &mut Scratch<'_>,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        let Scratch { text, merger, stop, .. } = scratch;
        text.clear();
        merger.symbols.clear();
        for &byte in word {
            let c = &self.bytes[usize::from(byte)];
            let start = text.len() as u32; // the length of a text is limited when it comes in
            text.extend_from_slice(&c.utf8[..usize::from(c.len)]);
            merger.symbols.push(Symbol { start, len: c.len.into(), hash: c.hash });
        }
        if self.pre.whole_words
            && let Some(id) = vocab.find(text)
        {
            out.push(TokenId(id));
            return Ok(());
        }
        merger.merge(text, &ByList { vocab, merges: &self.merges }, stop)?;
        for symbol in &merger.symbols {
            let piece = symbol.of(text);
            match vocab.find_hashed(piece, symbol.hash) {
                Some(id) => out.push(TokenId(id)),
                None => {
                    let chars = std::str::from_utf8(piece).expect("made of whole characters").chars();
                    let mut utf8 = [0; 4];
                    out.extend(
                        chars.filter_map(|c| vocab.find(c.encode_utf8(&mut utf8).as_bytes())).map(TokenId),
                    );
                }
            }
        }
        Ok(())
    }

    /// Appends the text of a token of this vocabulary. One that is not written in characters for bytes throughout
    /// stands for itself.
    pub(super) fn append_text(kind: TokenKind, text: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        if kind != TokenKind::Control
            && let Ok(chars) = std::str::from_utf8(text)
        {
            for c in chars.chars() {
                let Some(byte) = byte_of(c) else {
                    out.truncate(before);
                    break;
                };
                out.push(byte);
            }
        }
        if out.len() == before {
            out.extend_from_slice(text);
        }
    }

    /// Bytes of heap, without what the file's reader holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.merges.heap_bytes() + size_of_val(&*self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        for byte in 0..=255u8 {
            let c = char::from_u32(CHARS.0[usize::from(byte)].into()).expect("a character");
            assert_eq!(byte_of(c), Some(byte));
        }
        for (c, byte) in [('Ġ', b' '), ('Ċ', b'\n'), ('a', b'a'), ('ł', 0xA0), ('ÿ', 0xFF), ('Ń', 0xAD)]
        {
            assert_eq!(byte_of(c), Some(byte), "{c}");
        }
        for c in [' ', '\u{7F}', '\u{A0}', '\u{AD}', '\u{144}', '▁', '語'] {
            assert_eq!(byte_of(c), None, "{c}");
        }
    }

    #[test]
    fn texts_of_tokens() {
        let text = |kind, text: &str| {
            let mut out = b"<".to_vec();
            Bpe::append_text(kind, text.as_bytes(), &mut out);
            String::from_utf8_lossy(&out[1..]).into_owned()
        };
        assert_eq!(text(TokenKind::Normal, "Ġhello"), " hello");
        assert_eq!(text(TokenKind::Normal, "æĹ¥"), "日");
        assert_eq!(text(TokenKind::UserDefined, "  日"), "  日", "not in characters for bytes");
        assert_eq!(text(TokenKind::Control, "<｜User｜>"), "<｜User｜>");
        assert_eq!(text(TokenKind::Normal, ""), "");
    }
}
