//! What an embedding of tokens has besides, and how states become the embedding of a text.

use super::NormKind;

/// What BERT adds to the embedding of a token, before a norm: the embeddings of its position and of token type 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmbedExtra {
    /// Rows of the table of positions.
    pub positions: usize,
    /// Rows of the table of token types; 0 for no such table.
    pub token_types: usize,
    /// The norm of the sum.
    pub norm: NormKind,
    /// The norm's epsilon.
    pub eps: f32,
}

/// From the states of a text to its embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingSpec {
    /// What the model was trained with; `None` if the file does not say, as models that generate do not.
    pub pooling: Option<Pooling>,
    /// Matrices that the pooled state goes through, one after the other.
    pub dense: Vec<DenseSpec>,
}

impl EmbeddingSpec {
    /// Elements of an embedding of a model of this width.
    pub fn dimensions(&self, width: usize) -> usize {
        self.dense.last().map_or(width, |d| d.rows)
    }
}

/// A matrix behind pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseSpec {
    /// The tensor's name, without `.weight`.
    pub tensor: &'static str,
    /// Elements of what it makes.
    pub rows: usize,
}

/// How the states of all tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
    /// The last token's.
    Last,
}

impl Pooling {
    /// All, with their names.
    pub const ALL: [(&'static str, Pooling); 3] =
        [("mean", Pooling::Mean), ("cls", Pooling::Cls), ("last", Pooling::Last)];

    /// As it is written: `mean`, `cls`, `last`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}
