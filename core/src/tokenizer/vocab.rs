//! The vocabulary: texts and kinds of the tokens, left in the file, and a flat table from text to id.
//!
//! Knows nothing of how text becomes tokens. The table holds the tokens that ordinary text can become; control,
//! unknown and byte tokens are not among them, so that no text turns into one by accident (see `special`, `bytes`).
//!
//! Two tokens with the same text: the last one wins, as in llama.cpp. Tokens without text are never found.

use super::table::{Hasher, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{I32Array, StrArray};

/// The id of a token: its row in the vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u32);

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// Stands for what the vocabulary cannot say.
    Unknown,
    /// Has a meaning to the model, like the end of a turn; not text.
    Control,
    /// A piece of text that is always one token, whatever surrounds it.
    UserDefined,
    /// A row that training did not use.
    Unused,
    /// One byte of text that the vocabulary has no piece for.
    Byte,
    /// The file gives no kind, or one that does not exist.
    Undefined,
}

impl TokenKind {
    fn from_file(number: i32) -> Self {
        match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Undefined,
        }
    }

    /// Whether ordinary text may become such a token.
    fn is_text(self) -> bool {
        matches!(self, Self::Normal | Self::UserDefined | Self::Unused | Self::Undefined)
    }

    /// Whether such a token is left out of the text that a reader sees.
    pub(super) fn is_hidden(self) -> bool {
        matches!(self, Self::Control | Self::Unknown)
    }
}

/// More tokens than any model has; the table has bits for so many.
pub(super) const MAX_TOKENS: usize = (1 << 24) - 1;

/// See the module.
pub(super) struct Vocab {
    tokens: StrArray,
    types: Option<I32Array>,
    /// Tokens whose kind is not what the file says, sorted by id: few or none.
    overrides: Vec<(u32, TokenKind)>,
    table: Table,
    hasher: Hasher,
    longest: usize,
}

impl Vocab {
    /// Builds the table. `see` is shown each token in order, with its kind in the file.
    pub(super) fn new(
        tokens: StrArray,
        types: Option<I32Array>,
        mut see: impl FnMut(u32, TokenKind, &[u8]),
    ) -> Result<Self> {
        if tokens.is_empty() {
            return Err(Error::new(ErrorKind::Format, "the vocabulary is empty"));
        }
        if tokens.len() > MAX_TOKENS {
            let message = format!("{} tokens, at most {MAX_TOKENS} are accepted", tokens.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let hasher = Hasher::random();
        let mut table = Table::new(tokens.len());
        let mut longest = 0;
        let kinds = types.clone();
        let mut kinds = kinds.as_ref().map(I32Array::iter);
        for (id, text) in tokens.iter().enumerate() {
            let id = id as u32; // below MAX_TOKENS
            let kind = match &mut kinds {
                Some(kinds) => kinds.next().map_or(TokenKind::Undefined, TokenKind::from_file),
                None => TokenKind::Normal,
            };
            see(id, kind, text);
            if kind.is_text() && !text.is_empty() {
                longest = longest.max(text.len());
                table.insert(hasher.hash(text), id, true, |v| tokens.get(v as usize) == Some(text));
            }
        }
        Ok(Self { tokens, types, overrides: Vec::new(), table, hasher, longest })
    }

    /// How many tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The text of a token, as the vocabulary writes it.
    pub(super) fn text(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize)
    }

    /// What a token is for.
    pub(super) fn kind(&self, id: u32) -> Option<TokenKind> {
        if id as usize >= self.len() {
            return None;
        }
        if let Some(kind) = self.override_of(id) {
            return Some(kind);
        }
        Some(match &self.types {
            Some(types) => types.get(id as usize).map_or(TokenKind::Undefined, TokenKind::from_file),
            None => TokenKind::Normal,
        })
    }

    fn override_of(&self, id: u32) -> Option<TokenKind> {
        if self.overrides.is_empty() {
            return None;
        }
        let at = self.overrides.binary_search_by_key(&id, |o| o.0).ok()?;
        self.overrides.get(at).map(|o| o.1)
    }

    /// Says what `id` is for, instead of the file.
    pub(super) fn set_kind(&mut self, id: u32, kind: TokenKind) {
        if self.kind(id) == Some(kind) {
            return;
        }
        match self.overrides.binary_search_by_key(&id, |o| o.0) {
            Ok(at) => self.overrides[at].1 = kind,
            Err(at) => self.overrides.insert(at, (id, kind)),
        }
    }

    /// The hasher of the table, for those who keep hashes.
    pub(super) fn hasher(&self) -> Hasher {
        self.hasher
    }

    /// The token that the piece of text `text` can become.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        if text.len() > self.longest {
            return None;
        }
        self.find_hashed(text, self.hasher.hash(text))
    }

    /// [`Vocab::find`] where the hash is known.
    #[inline]
    pub(super) fn find_hashed(&self, text: &[u8], hash: u64) -> Option<u32> {
        let id = self.table.find(hash, |v| self.tokens.get(v as usize) == Some(text))?;
        self.override_of(id).is_none_or(TokenKind::is_text).then_some(id)
    }

    /// The token with this text among those that text can become, also if it is of another kind by now.
    pub(super) fn find_any(&self, text: &[u8]) -> Option<u32> {
        self.table.find(self.hasher.hash(text), |v| self.tokens.get(v as usize) == Some(text))
    }

    /// Bytes of heap, without what the file's reader holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.table.heap_bytes() + self.overrides.capacity() * size_of::<(u32, TokenKind)>()
    }
}
