//! What a decoder is, as data: built by a family file from metadata, read by the forward pass.
//!
//! One small enum or number per point where models differ, one [`LayerSpec`] per layer. Nothing here has a default: a
//! family states every field.

use crate::kernels::{Activation, RopePairing};

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Value of `general.architecture`.
    pub architecture: String,
    /// Width of the residual stream.
    pub width: usize,
    /// Rows of the embedding: tokens.
    pub vocab: usize,
    /// Context length that the model was trained for, in tokens.
    pub context: usize,
    /// Embeddings are multiplied with this.
    pub embed_scale: f32,
    /// The distinct rotary encodings; layers refer to them by index.
    pub ropes: Vec<RopeSpec>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
    /// What turns the last residual stream into logits.
    pub head: HeadSpec,
}

/// One decoder layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerSpec {
    /// Normalisation around the two blocks.
    pub norm: NormSpec,
    /// Each block's output is multiplied with this before it is added to the residual stream.
    pub residual_scale: f32,
    /// Attention.
    pub attention: AttentionSpec,
    /// Feed-forward block.
    pub ffn: FfnSpec,
}

/// RMS normalisation. Files store the factor as it is applied (a "1 +" of the original model is already inside).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSpec {
    /// Added to the mean square.
    pub eps: f32,
    /// Where norms stand.
    pub placement: NormPlacement,
}

/// Where the norms of a layer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before each block.
    Pre,
    /// Before each block, and on each block's output before it is added to the residual stream.
    PrePost,
    /// Only on each block's output.
    Post,
}

/// RMS norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// None.
    None,
    /// Of each head, before rotation.
    Head,
    /// Of each head, after rotation.
    HeadRotated,
    /// Of all heads together, before rotation.
    Row,
}

/// Whether a product has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// The file must have it.
    Required,
    /// Added if the file has it.
    IfPresent,
}

/// Grouped-query attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements per head, for queries, keys and values.
    pub head_dim: usize,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Biases of the query, key and value products.
    pub qkv_bias: Bias,
    /// Positions looked back on, itself included; `None` for all.
    pub window: Option<usize>,
    /// Index into [`ModelSpec::ropes`]; `None` if positions are not encoded here.
    pub rope: Option<usize>,
    /// Scores are multiplied with this.
    pub scale: f32,
    /// Scores are squashed to `cap * tanh(s / cap)`.
    pub softcap: Option<f32>,
}

impl AttentionSpec {
    /// Elements of a query row.
    pub fn q_row(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of a key or value row.
    pub fn kv_row(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// Rotary position encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeSpec {
    /// Elements of a head that are rotated, from its start; even.
    pub dims: usize,
    /// Pair `i` turns by `base^(-2i / dims)` per position.
    pub base: f32,
    /// Positions are divided by this (linear scaling).
    pub position_divisor: f32,
    /// Which elements form a pair.
    pub pairing: RopePairing,
    /// What else divides the frequencies.
    pub factors: RopeFactors,
    /// Rotated elements are multiplied with this besides.
    pub magnitude: f32,
}

/// Divisors of rotary frequencies that the file has, one for each pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeFactors {
    /// None.
    None,
    /// `rope_freqs.weight`, if there is one (Llama 3.1).
    IfPresent,
    /// `rope_factors_short.weight` for sessions of at most `original` tokens, `rope_factors_long.weight` for longer ones
    /// (LongRoPE: Ding et al. 2024). A session keeps to one of them, as keys are cached.
    ByContext {
        /// Context that the model was first trained for, in tokens.
        original: usize,
    },
}

/// The feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FfnSpec {
    /// `down(act(gate(x)) * up(x))`.
    Gated {
        /// Rows of gate and up.
        hidden: usize,
        /// Applied to the gate.
        act: Activation,
    },
}

impl FfnSpec {
    /// Rows of the widest intermediate.
    pub fn hidden(&self) -> usize {
        match *self {
            FfnSpec::Gated { hidden, .. } => hidden,
        }
    }
}

/// The output head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadSpec {
    /// Of the final norm.
    pub eps: f32,
    /// Logits are squashed to `cap * tanh(l / cap)`.
    pub softcap: Option<f32>,
    /// Logits are multiplied with this, before the cap.
    pub scale: f32,
}
