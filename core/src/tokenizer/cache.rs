//! Remembers the tokens of words within one call: a text repeats its words, and merging is the expensive part.
//!
//! Of bounded size, of a fixed place per word: a word that falls into a taken place replaces what is there. Lives as
//! long as one call, so that a tokenizer stays immutable and shared.

use super::table::Hasher;
use super::vocab::TokenId;

/// Bytes up to which a word is remembered.
const WORD: usize = 22;
/// Tokens up to which a word is remembered.
const TOKENS: usize = 6;
/// Words remembered at most: 448 KiB.
const MAX_WORDS: usize = 8192;

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    tokens: [TokenId; TOKENS],
    word: [u8; WORD],
    word_len: u8, // 0: nothing here
    token_len: u8,
}

/// See the module.
pub(super) struct WordCache {
    entries: Vec<Entry>,
    hasher: Hasher,
}

impl WordCache {
    /// A cache for a text of `len` bytes; none for a short one, which hardly repeats itself.
    pub(super) fn new(hasher: Hasher, len: usize) -> Self {
        const EMPTY: Entry =
            Entry { hash: 0, tokens: [TokenId(0); TOKENS], word: [0; WORD], word_len: 0, token_len: 0 };
        let words = if len < 512 { 0 } else { (len / 16).next_power_of_two().min(MAX_WORDS) };
        Self { entries: vec![EMPTY; words], hasher }
    }

    /// Appends the tokens of `word` and says true if it is remembered; else the key to remember it by.
    #[inline]
    pub(super) fn get(&self, word: &[u8], out: &mut Vec<TokenId>) -> Result<(), Key> {
        if self.entries.is_empty() || word.is_empty() || word.len() > WORD {
            return Err(Key::NONE);
        }
        let hash = self.hasher.hash(word);
        let entry = &self.entries[hash as usize & (self.entries.len() - 1)];
        if entry.hash == hash
            && usize::from(entry.word_len) == word.len()
            && entry.word[..word.len()] == *word
        {
            out.extend_from_slice(&entry.tokens[..usize::from(entry.token_len)]);
            return Ok(());
        }
        Err(Key(Some(hash)))
    }

    /// Remembers that `word` becomes `tokens`.
    #[inline]
    pub(super) fn put(&mut self, key: Key, word: &[u8], tokens: &[TokenId]) {
        let Some(hash) = key.0 else { return };
        if tokens.len() > TOKENS {
            return;
        }
        let place = hash as usize & (self.entries.len() - 1);
        let entry = &mut self.entries[place];
        entry.hash = hash;
        entry.word_len = word.len() as u8; // at most WORD
        entry.token_len = tokens.len() as u8; // at most TOKENS
        entry.word[..word.len()].copy_from_slice(word);
        entry.tokens[..tokens.len()].copy_from_slice(tokens);
    }
}

/// Where a word is to be remembered, if at all.
#[derive(Clone, Copy)]
pub(super) struct Key(Option<u64>);

impl Key {
    /// Not at all.
    pub(super) const NONE: Key = Key(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_short_words_of_long_texts() {
        let mut out = Vec::new();
        let mut cache = WordCache::new(Hasher::random(), 100_000);
        let many: Vec<TokenId> = (0..7).map(TokenId).collect();
        for (word, tokens, remembered) in [
            ("word", &many[..2], true),
            ("", &many[..1], false),
            ("a word of twenty-three.", &many[..1], false),
            ("many tokens", &many[..7], false),
            ("none", &many[..0], true),
        ] {
            let Err(key) = cache.get(word.as_bytes(), &mut out) else { panic!("{word} is not there yet") };
            cache.put(key, word.as_bytes(), tokens);
            out.clear();
            assert_eq!(cache.get(word.as_bytes(), &mut out).is_ok(), remembered, "{word}");
            assert_eq!(out, if remembered { tokens } else { &[] }, "{word}");
        }
        assert!(WordCache::new(Hasher::random(), 100).get(b"word", &mut out).is_err());
    }
}
