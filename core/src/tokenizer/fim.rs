//! The tokens of fill in the middle: what stands before a place in a text, what stands behind it, and what goes there.
//!
//! The rule: the token that the metadata names (`tokenizer.ggml.fim_pre_token_id` and its like, or the older
//! `prefix_token_id`), unless the vocabulary says that training did not use it; else a token whose text is a known marker,
//! if the file calls it a control or user-defined token. Those that look like markers become control tokens: what a user
//! typed must not turn into one.

use super::special::Specials;
use super::vocab::{TokenId, TokenKind, Vocab};
use super::{Stop, Tokenizer};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Metadata;

/// The tokens that a model was trained to fill in the middle with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FimTokens {
    /// Before the text that comes first.
    pub prefix: Option<TokenId>,
    /// Before the text that comes last.
    pub suffix: Option<TokenId>,
    /// Before what is to be written.
    pub middle: Option<TokenId>,
    /// Fills up batches in training; ends an answer.
    pub pad: Option<TokenId>,
    /// Before the name of a repository.
    pub repo: Option<TokenId>,
    /// Before the path of a file.
    pub file: Option<TokenId>,
}

impl FimTokens {
    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = TokenId> {
        [self.prefix, self.suffix, self.middle, self.pad, self.repo, self.file].into_iter().flatten()
    }
}

/// How one of them is found.
struct Role {
    /// Keys behind `tokenizer.ggml.`, the first that is there counts.
    keys: &'static [&'static str],
    /// Texts of such tokens: Qwen, CodeGemma and Granite 4; StarCoder and Granite; SantaCoder; DeepSeek; Code Llama.
    texts: &'static [&'static str],
}

const PREFIX: Role = Role {
    keys: &["fim_pre_token_id", "prefix_token_id"],
    texts: &["<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>"],
};
const SUFFIX: Role = Role {
    keys: &["fim_suf_token_id", "suffix_token_id"],
    texts: &["<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>"],
};
const MIDDLE: Role = Role {
    keys: &["fim_mid_token_id", "middle_token_id"],
    texts: &["<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>"],
};
const PAD: Role = Role { keys: &["fim_pad_token_id"], texts: &["<|fim_pad|>", "<fim_pad>", "<fim-pad>"] };
const REPO: Role = Role {
    keys: &["fim_rep_token_id"],
    texts: &["<|repo_name|>", "<|reponame|>", "<repo_name>", "<reponame>"],
};
const FILE: Role = Role {
    keys: &["fim_sep_token_id"],
    texts: &["<|file_sep|>", "<|file_separator|>", "<|filename|>", "<file_sep>", "<filename>"],
};

/// Markers that end what was filled in and that `ends.rs` does not know as ends of every answer.
const ENDS: &[&str] = &["<|EOT|>", "<EOT>", "▁<EOT>"];

/// The tokens of the file. Its markers become control tokens.
pub(super) fn find(meta: &Metadata, vocab: &mut Vocab, specials: &mut Specials) -> Result<FimTokens> {
    let mut token = |role: &Role| -> Result<Option<TokenId>> {
        let id = match named(meta, role, vocab)? {
            Some(id) => Some(id),
            None => role.texts.iter().find_map(|text| special(vocab, specials, text)),
        };
        if let Some(id) = id.filter(|&id| is_marker(vocab.text(id).unwrap_or_default())) {
            vocab.set_kind(id, TokenKind::Control);
            specials.add(vocab, id);
        }
        Ok(id.map(TokenId))
    };
    Ok(FimTokens {
        prefix: token(&PREFIX)?,
        suffix: token(&SUFFIX)?,
        middle: token(&MIDDLE)?,
        pad: token(&PAD)?,
        repo: token(&REPO)?,
        file: token(&FILE)?,
    })
}

/// The token that the metadata names. Converters name the same ones for all models of a family, also for those that were
/// not trained with them: their texts say so.
fn named(meta: &Metadata, role: &Role, vocab: &Vocab) -> Result<Option<u32>> {
    for name in role.keys {
        let key = format!("tokenizer.ggml.{name}");
        let Some(id) = meta.optional::<u32>(&key)? else { continue };
        let Some(text) = vocab.text(id) else {
            let message = format!("token {id} is not one of the {} of the vocabulary", vocab.len());
            return Err(Error::new(ErrorKind::Tokenizer, message).with_key(key));
        };
        let unused = vocab.kind(id) == Some(TokenKind::Unused) || text.starts_with(b"<unused");
        return Ok((!unused).then_some(id));
    }
    Ok(None)
}

/// The control or user-defined token with this text.
fn special(vocab: &Vocab, specials: &Specials, text: &str) -> Option<u32> {
    let id = specials.find(vocab, text.as_bytes())?;
    matches!(vocab.kind(id), Some(TokenKind::Control | TokenKind::UserDefined)).then_some(id)
}

/// Whether the text is none that anybody means as text.
fn is_marker(text: &[u8]) -> bool {
    let text = text.strip_prefix("▁".as_bytes()).unwrap_or(text);
    text.len() > 2 && text.starts_with(b"<") && text.ends_with(b">")
}

impl Tokenizer {
    /// The tokens for filling in the middle; all `None` for a model that was not trained for it.
    pub fn fim(&self) -> &FimTokens {
        &self.fim
    }

    /// The tokens that end what was filled in, sorted: those that end an answer, and all of [`fim`](Self::fim), which
    /// start something else.
    pub fn fim_ends(&self) -> Vec<TokenId> {
        let more = ENDS.iter().filter_map(|text| special(&self.vocab, &self.specials, text)).map(TokenId);
        let mut ends: Vec<TokenId> = self.ends.iter().copied().chain(self.fim.iter()).chain(more).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Appends the tokens of a text that goes on from something: without the space that the vocabulary puts before a text,
    /// and with special tokens taken literally.
    pub(crate) fn encode_inside(&self, text: &str, out: &mut Vec<TokenId>) -> Result<()> {
        self.append(text, super::Special::default(), false, Stop::NEVER, out)
    }

    /// The token that [`Special::add`](super::Special::add) puts before a text.
    pub(crate) fn added_begin(&self) -> Option<TokenId> {
        self.bos.filter(|_| self.add_bos)
    }
}
