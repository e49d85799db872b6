//! Text to token ids and back, from the metadata of a model file.
//!
//! Three kinds of vocabulary: SentencePiece-style (`spm`), byte-level BPE (`bpe`, with the families' pre-tokenizers in
//! `pre`), and BERT's (`wordpiece`). Tokens stay in the mapped file; what is built at opening are flat tables of ids. A [`Tokenizer`] never
//! changes: scratch memory lives as long as one call.
//!
//! | from the file | meaning |
//! |---|---|
//! | `tokenizer.ggml.model` | `llama`: SentencePiece by scores; `gemma4`: SentencePiece by merges; `gpt2`: byte-level BPE; `bert`: WordPiece |
//! | `.pre` | which pre-tokenizer (byte-level BPE); absent: `default` |
//! | `.tokens`, `.token_type`, `.scores`, `.merges` | the vocabulary; `token_type` and `scores` are needed for `llama` |
//! | `.bos_token_id`, `.eos_token_id`, `.eot_token_id`, `.eom_token_id`, `.unknown_token_id` | ids, checked |
//! | `.fim_pre_token_id`, `.fim_suf_…`, `.fim_mid_…`, `.fim_pad_…`, `.fim_rep_…`, `.fim_sep_…`; older: `.prefix_token_id`, `.suffix_…`, `.middle_…` | the tokens of fill in the middle (`fim`) |
//! | `.add_bos_token`, `.add_eos_token` | what [`Special::add`] adds |
//! | `.cls_token_id`, `.seperator_token_id` (sic), `.add_sep_token` | BERT's names for the ends of a text, where the usual ones are absent |
//! | `.normalizer.lowercase`, `.normalizer.strip_accents` | whether letters lose their case and accents (`bert`); absent: they do |
//! | `.add_space_prefix`, `.remove_extra_whitespaces` | SentencePiece's treatment of spaces |
//!
//! Qwen's and Cohere's text is normalised (NFC) as their tokenizers say; nobody else's is.

mod bpe;
mod cache;
mod detok;
mod ends;
mod fim;
mod merge;
mod merges;
mod normalize;
mod open;
mod pre;
mod special;
mod spm;
mod table;
mod vocab;
mod wordpiece;

use std::borrow::Cow;
use std::fmt;

pub use self::detok::Detokenizer;
pub use self::fim::FimTokens;
pub use self::vocab::{TokenId, TokenKind};

use self::bpe::Bpe;
use self::cache::WordCache;
use self::merge::Merger;
use self::special::Specials;
use self::spm::Spm;
use self::vocab::Vocab;
use self::wordpiece::WordPiece;
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Metadata;

/// Bytes of text that one call takes. Offsets in it, also with spaces written as three bytes, fit 32 bits.
pub const MAX_TEXT: usize = 1 << 30;

/// Key of a folder's model: `merges` if the vocabulary of a `llama` tokenizer is merged in the order of a list, as its
/// `tokenizer.json` has it, and not by scores. Not part of GGUF.
pub const TOKEN_ORDER: &str = "siskin.tokenizer.order";
/// Key of a folder's model: ids of all tokens that end an answer, where they are several. Not part of GGUF.
pub const END_IDS: &str = "siskin.tokenizer.end_ids";

/// Whether GGUF's `tokenizer.ggml.pre` may have this value.
#[cfg(test)]
pub(crate) fn knows_pre_tokenizer(name: &str) -> bool {
    pre::PreTokenizer::named(name).is_some()
}

/// What [`Tokenizer::encode`] does about special tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// Adds the tokens that start and end a text, where the file says so.
    pub add: bool,
    /// The text of a control token becomes that token. Without it such text is taken literally: for what a user
    /// typed. (User-defined tokens are pieces of text, and are always found.)
    pub parse: bool,
}

/// A vocabulary and its rules. See the module.
pub struct Tokenizer {
    vocab: Vocab,
    model: Model,
    specials: Specials,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    unknown: Option<TokenId>,
    /// Sorted.
    ends: Vec<TokenId>,
    fim: FimTokens,
    add_bos: bool,
    add_eos: bool,
    /// A space goes before a text, and before what follows a special token (SentencePiece), or before each word
    /// (WordPiece).
    space_prefix: bool,
}

/// The kinds of vocabulary.
enum Model {
    Spm(Spm),
    Bpe(Bpe),
    WordPiece(WordPiece),
}

/// Memory of one call.
struct Scratch<'a> {
    text: Vec<u8>,
    merger: Merger,
    cache: WordCache,
    stop: Stop<'a>,
}

/// Whether the caller still wants the tokens.
struct Stop<'a>(Option<&'a CancelToken>);

impl Stop<'_> {
    /// The caller waits in any case.
    const NEVER: Stop<'static> = Stop(None);

    /// `Cancelled` if not. Cheap enough for each word.
    #[inline]
    fn check(&self) -> Result<()> {
        if self.0.is_some_and(CancelToken::is_cancelled) { Err(cancelled()) } else { Ok(()) }
    }
}

#[cold]
fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled while the text was encoded")
}

impl Tokenizer {
    /// Builds the tokenizer that the file describes. `Unsupported` for a kind of tokenizer or a pre-tokenizer that
    /// this version does not know; other errors name the key.
    pub fn from_metadata(meta: &Metadata) -> Result<Self> {
        open::open(meta)
    }

    /// Whether a byte-level BPE vocabulary does not say how text is cut into words before it is merged. The default is
    /// taken then, which may not be what the model was trained with.
    pub fn lacks_pre_tokenizer(meta: &Metadata) -> bool {
        open::lacks_pre_tokenizer(meta)
    }

    /// The tokens of `text`.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<TokenId>> {
        let mut out = Vec::with_capacity(text.len() / 4 + 2);
        self.encode_into(text, special, &mut out)?;
        Ok(out)
    }

    /// The same, or `Cancelled` soon after a cancel: what it takes to find the next word, or to merge some thousand pairs.
    pub(crate) fn encode_unless(
        &self,
        cancel: &CancelToken,
        text: &str,
        special: Special,
    ) -> Result<Vec<TokenId>> {
        let mut out = Vec::with_capacity(text.len() / 4 + 2);
        self.append(text, special, self.space_prefix, Stop(Some(cancel)), &mut out)?;
        Ok(out)
    }

    /// Appends the tokens of `text`; nothing on error.
    pub fn encode_into(&self, text: &str, special: Special, out: &mut Vec<TokenId>) -> Result<()> {
        self.append(text, special, self.space_prefix, Stop::NEVER, out)
    }

    /// `space`: whether one goes where [`space_prefix`](Self#structfield.space_prefix) says.
    fn append(
        &self,
        text: &str,
        special: Special,
        space: bool,
        stop: Stop<'_>,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        if text.len() > MAX_TEXT {
            let message = format!("a text of {} bytes, at most {MAX_TEXT} are accepted", text.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let before = out.len();
        let result = self.append_all(text, special, space, stop, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    fn append_all(
        &self,
        text: &str,
        special: Special,
        space: bool,
        stop: Stop<'_>,
        out: &mut Vec<TokenId>,
    ) -> Result<()> {
        let cache = WordCache::new(self.vocab.hasher(), text.len());
        let mut scratch = Scratch { text: Vec::new(), merger: Merger::default(), cache, stop };
        if special.add && self.add_bos {
            out.extend(self.bos);
        }
        let mut start = 0;
        while start < text.len() {
            let found = self.specials.next(&self.vocab, text, start, special.parse);
            let plain = &text[start..found.map_or(text.len(), |m| m.start)];
            if !plain.is_empty() {
                match &self.model {
                    // Here either the text starts or a special token was before.
                    Model::Spm(spm) => {
                        spm.encode(&self.vocab, self.unknown, plain, space, &mut scratch, out)?;
                    }
                    Model::Bpe(bpe) => bpe.encode(&self.vocab, plain, &mut scratch, out)?,
                    Model::WordPiece(words) => words.encode(&self.vocab, plain, &mut scratch, out)?,
                }
            }
            out.extend(found.map(|m| TokenId(m.id)));
            start = found.map_or(text.len(), |m| m.end);
        }
        if special.add && self.add_eos {
            out.extend(self.eos);
        }
        Ok(())
    }

    /// Appends the bytes of a token: its part of the text, which may cut through a character. Control and unknown
    /// tokens have none, unless `show_special`.
    pub fn append_token_bytes(&self, id: TokenId, out: &mut Vec<u8>, show_special: bool) -> Result<()> {
        let (Some(text), Some(kind)) = (self.vocab.text(id.0), self.vocab.kind(id.0)) else {
            let message = format!("token {} is not one of the {} of the vocabulary", id.0, self.len());
            return Err(Error::new(ErrorKind::Tokenizer, message));
        };
        if !kind.is_hidden() || show_special {
            match &self.model {
                Model::Spm(_) => Spm::append_text(kind, text, out),
                Model::Bpe(_) => Bpe::append_text(kind, text, out),
                Model::WordPiece(_) => WordPiece::append_text(kind, text, out),
            }
        }
        Ok(())
    }

    /// The text of `ids`, which are a whole text. See [`Detokenizer`] for bytes that are no text.
    pub fn decode(&self, ids: &[TokenId], show_special: bool) -> Result<String> {
        let mut out = String::with_capacity(ids.len() * 4);
        let mut detokenizer = Detokenizer::new(show_special, true);
        for &id in ids {
            detokenizer.push(self, id, &mut out)?;
        }
        detokenizer.finish(&mut out);
        Ok(out)
    }

    /// A token as the vocabulary writes it (`▁the`, `Ġthe`, `<0x0A>`).
    pub fn token_text(&self, id: TokenId) -> Option<Cow<'_, str>> {
        self.vocab.text(id.0).map(String::from_utf8_lossy)
    }

    /// What a token is for.
    pub fn token_kind(&self, id: TokenId) -> Option<TokenKind> {
        self.vocab.kind(id.0)
    }

    /// The token that the vocabulary writes as `text`.
    pub fn token_id(&self, text: &[u8]) -> Option<TokenId> {
        let by_text =
            || self.specials.find(&self.vocab, text).or_else(|| self.vocab.find_any(text)).map(TokenId);
        let byte = match &self.model {
            Model::Spm(spm) => spm.byte_token(text),
            Model::Bpe(_) | Model::WordPiece(_) => None,
        };
        byte.or_else(by_text)
    }

    /// The token that starts a text.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    /// The token that [`Special::add`] puts behind a text.
    pub(crate) fn added_end(&self) -> Option<TokenId> {
        self.eos.filter(|_| self.add_eos)
    }

    /// Whether a token ends an answer.
    pub fn is_end(&self, id: TokenId) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// The tokens that end an answer, sorted. They are those that the metadata names as end of text, turn or message,
    /// and those whose text is a known end marker (`ends.rs` has the rule).
    pub fn end_tokens(&self) -> &[TokenId] {
        &self.ends
    }

    /// How many tokens.
    #[allow(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.vocab.len()
    }

    /// Whether the first space of a text is the vocabulary's own.
    pub(crate) fn prefixes_space(&self) -> bool {
        self.space_prefix
    }

    /// Bytes of heap, without the table of offsets that the file's reader has for the tokens and merges.
    pub fn heap_bytes(&self) -> usize {
        let model = match &self.model {
            Model::Spm(spm) => spm.heap_bytes(),
            Model::Bpe(bpe) => bpe.heap_bytes(),
            Model::WordPiece(_) => 0,
        };
        let ends = self.ends.capacity() * size_of::<TokenId>();
        self.vocab.heap_bytes() + self.specials.heap_bytes() + model + ends
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.model {
            Model::Spm(_) => "SentencePiece",
            Model::Bpe(_) => "byte-level BPE",
            Model::WordPiece(_) => "WordPiece",
        };
        write!(f, "Tokenizer({kind}, {} tokens)", self.len())
    }
}
