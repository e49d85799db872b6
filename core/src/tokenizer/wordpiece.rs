//! WordPiece, the tokens of BERT: text is cleaned, cut into words and marks, and each word becomes the longest tokens that
//! the vocabulary has for it, from the left. A word for which that fails is one unknown token.
//!
//! GGUF files write `▁word` for a token that starts a word, and what follows in it without the `##` of the original
//! vocabulary.
//!
//! Cleaning, as in the published tokenizers: control characters and U+FFFD vanish, ideographs stand alone; where the
//! file says lower case, letters lose it and their accents (Unicode form D without nonspacing marks).

use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::Scratch;
use super::spm::SPACE as WORD_START;
use super::vocab::{TokenId, TokenKind, Vocab};
use crate::error::Result;

/// Characters of a word beyond which it is unknown, as in the published tokenizers.
const MAX_CHARS: usize = 100;

/// See the module.
pub(super) struct WordPiece {
    /// What a word becomes that the vocabulary cannot say.
    unknown: TokenId,
    lowercase: bool,
    strip_accents: bool,
}

impl WordPiece {
    pub(super) fn new(unknown: TokenId, lowercase: bool, strip_accents: bool) -> Self {
        Self { unknown, lowercase, strip_accents }
    }

    /// Appends the tokens of a stretch of ordinary text.
    pub(super) fn encode(
        &self,
        vocab: &Vocab,
        text: &str,
        scratch: &mut Scratch<'_>,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        let Scratch { text: word, stop, .. } = scratch;
        let mut words = Words { vocab, unknown: self.unknown, word, chars: 0, out };
        for (i, c) in text.chars().enumerate() {
            if i % MAX_CHARS == 0 {
                stop.check()?;
            }
            let alone = is_ideograph(c);
            if alone {
                words.end();
            }
            if !vanishes(c) {
                self.clean(c, &mut |c| words.push(c));
            }
            if alone {
                words.end();
            }
        }
        words.end();
        Ok(())
    }

    /// Tells `c` without its accents and in lower case, as far as the file says.
    fn clean(&self, c: char, tell: &mut dyn FnMut(char)) {
        let mut one = |c: char| {
            if self.strip_accents && !c.is_ascii() && c.general_category() == GeneralCategory::NonspacingMark
            {
                return;
            }
            if self.lowercase { c.to_lowercase().for_each(&mut *tell) } else { tell(c) }
        };
        if self.strip_accents && !c.is_ascii() { decompose_canonical(c, one) } else { one(c) }
    }

    /// Appends what a token is in a text: words have a space before them, marks that end a sentence do not.
    pub(super) fn append_text(kind: TokenKind, text: &[u8], out: &mut Vec<u8>) {
        let (starts_word, text) = match text.strip_prefix(WORD_START) {
            Some(rest) => (true, rest),
            None => (kind.is_hidden(), text),
        };
        if starts_word && !text.first().is_some_and(|first| b".?!,".contains(first)) {
            out.push(b' ');
        }
        out.extend_from_slice(text);
    }
}

/// Words as they come.
struct Words<'a> {
    vocab: &'a Vocab,
    unknown: TokenId,
    /// The word so far behind [`WORD_START`], as far as it can still be known.
    word: &'a mut Vec<u8>,
    chars: usize,
    out: &'a mut Vec<TokenId>,
}

impl Words<'_> {
    /// Takes in a clean character.
    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.end();
        } else if is_mark(c) {
            self.end();
            self.add(c);
            self.end();
        } else {
            self.add(c);
        }
    }

    fn add(&mut self, c: char) {
        if self.chars == 0 {
            self.word.clear();
            self.word.extend_from_slice(WORD_START);
        }
        self.chars += 1;
        if self.chars <= MAX_CHARS {
            self.word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// Ends the word, if there is one.
    fn end(&mut self) {
        if self.chars > 0 {
            let before = self.out.len();
            if self.chars > MAX_CHARS || !self.pieces() {
                self.out.truncate(before);
                self.out.push(self.unknown);
            }
            self.chars = 0;
        }
    }

    /// Appends the pieces of the word; `false` if the vocabulary has none at some place.
    fn pieces(&mut self) -> bool {
        let mut start = 0;
        while start < self.word.len() {
            let rest = &self.word[start..];
            // A token with the mark of a start is none for the inside of a word that has this character.
            let found = if start > 0 && rest.starts_with(WORD_START) { None } else { self.longest(rest) };
            let Some((id, len)) = found else { return false };
            self.out.push(TokenId(id));
            start += len;
        }
        true
    }

    /// The longest token that `rest` starts with, and its length.
    fn longest(&self, rest: &[u8]) -> Option<(u32, usize)> {
        let is_boundary = |at: usize| rest.get(at).is_none_or(|b| b & 0xC0 != 0x80);
        let ends = (1..=rest.len()).rev().filter(|&end| is_boundary(end));
        ends.map(|end| (end, &rest[..end]))
            .find_map(|(end, piece)| self.vocab.find(piece).map(|id| (id, end)))
            .filter(|&(_, end)| end > WORD_START.len() || !rest.starts_with(WORD_START))
    }
}

/// Whether cleaning takes `c` away: control, format and private characters but for white space, U+FFFD.
fn vanishes(c: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse};
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{FFFD}' => true,
        _ if c.is_ascii() => c.is_ascii_control(),
        _ => matches!(c.general_category(), Control | Format | PrivateUse),
    }
}

/// Whether `c` is a token of its own: punctuation, and what of ASCII is neither letter nor digit.
fn is_mark(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation();
    }
    c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The ideographs that BERT treats as words of their own.
fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{4E00}'..='\u{9FFF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2B73F}'
        | '\u{2B740}'..='\u{2B81F}'
        | '\u{2B820}'..='\u{2CEAF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{2F800}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use crate::gguf::GgufFile;
    use crate::gguf::write::GgufWriter;
    use crate::tokenizer::{Special, TokenId, Tokenizer};

    const TOKENS: [&str; 16] = [
        "[UNK]", "[CLS]", "[SEP]", "▁hello", "▁he", "ll", "llo", "▁world", "s", "▁!", "▁a", "▁北", "▁京",
        "x", "▁h", "▁e",
    ];

    fn tokenizer(lowercase: Option<bool>) -> Tokenizer {
        let mut file = GgufWriter::new();
        let types: Vec<i32> = (0..TOKENS.len()).map(|i| if i < 3 { 3 } else { 1 }).collect();
        file.set("tokenizer.ggml.model", "bert")
            .set("tokenizer.ggml.tokens", TOKENS.as_slice())
            .set("tokenizer.ggml.token_type", types.as_slice());
        if let Some(lowercase) = lowercase {
            file.set("tokenizer.ggml.normalizer.lowercase", &lowercase);
        }
        let bytes = file.to_bytes(|_| Vec::new()).expect("small");
        Tokenizer::from_metadata(GgufFile::from_bytes(bytes).expect("well-formed").metadata()).expect("opens")
    }

    fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        let ids = tokenizer.encode(text, Special { add: false, parse: false }).expect("encodes");
        ids.into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn words_become_their_longest_pieces() {
        let t = tokenizer(None);
        for (text, expected) in [
            ("hello worlds", &[3, 7, 8][..]),
            ("  HÉLLO\u{301}\n", &[3]),
            ("hellos", &[3, 8]),
            ("helle", &[0]), // no piece for the last letter
            ("hello!world", &[3, 9, 7]),
            ("北京 a", &[11, 12, 10]),
            ("a▁a", &[0]),
            ("\u{2581}", &[0]),
            ("a\u{0}\u{200B}x", &[10, 13]),
            ("x", &[0]),
            ("", &[]),
        ] {
            assert_eq!(encode(&t, text), expected, "{text:?}");
        }
        let long = format!("a{}", "x".repeat(99));
        assert_eq!(encode(&t, &long).len(), 100);
        assert_eq!(encode(&t, &format!("{long}x")), [0], "a word of 101 characters");
    }

    #[test]
    fn case_stays_where_the_file_says_so() {
        let t = tokenizer(Some(false));
        assert_eq!(encode(&t, "hello Hello hé"), [3, 0, 0]);
    }

    #[test]
    fn a_text_stands_between_its_marks_and_comes_back() {
        let t = tokenizer(None);
        let ids = t.encode("hello worlds!", Special { add: true, parse: false }).expect("encodes");
        assert_eq!(ids.iter().map(|id| id.0).collect::<Vec<_>>(), [1, 3, 7, 8, 9, 2]);
        assert_eq!(t.decode(&ids, false).expect("decodes"), "hello worlds!");
        assert_eq!(t.decode(&ids, true).expect("decodes"), "[CLS] hello worlds! [SEP]");
        assert_eq!((t.bos(), t.eos()), (Some(TokenId(1)), Some(TokenId(2))));
    }
}
