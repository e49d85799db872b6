//! What a transformer is, as data: built by a family file from metadata, read by the forward pass.
//!
//! One small enum or number per point where models differ, one [`LayerSpec`] per layer. Nothing here has a default: a
//! family states every field.

mod embedding;
mod ffn;

use crate::kernels::{Activation, RopePairing};
use crate::kv_cache::{KvShape, KvType};

pub use self::embedding::{DenseSpec, EmbedExtra, EmbeddingSpec, Pooling};
pub use self::ffn::{ExpertsSpec, FfnSpec, Gating, GroupScore, GroupSpec, RouterSpec, SharedSpec, Weighted};

/// A stack of transformer layers: a decoder, or an encoder of texts.
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
    /// What is added to the embeddings of tokens besides; `None` for nothing.
    pub embed_extra: Option<EmbedExtra>,
    /// The distinct rotary encodings; layers refer to them by index.
    pub ropes: Vec<RopeSpec>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
    /// Layers of the file behind these that only predict further tokens ("nextn", MTP). They are not used.
    pub predictors: usize,
    /// What turns the last residual stream into logits.
    pub head: HeadSpec,
    /// Embeddings that every layer has of its own.
    pub per_layer: Option<PerLayerSpec>,
    /// Residual streams, at least 2, where they are updated in turn (Gemma 3n); then the last norms of per-layer
    /// embeddings join all but the first.
    pub streams: Option<usize>,
    /// Whether the model has logits at all: without, it only embeds texts.
    pub generates: bool,
    /// How the states of a text become its embedding.
    pub embedding: EmbeddingSpec,
}

impl ModelSpec {
    /// Whether a position sees those after it: then a text goes through in one pass, from its start.
    pub fn is_bidirectional(&self) -> bool {
        self.layers.iter().any(|l| l.attention.mask() == Mask::Bidirectional)
    }

    /// Whether a norm stands behind the last layer: not where the layers themselves norm the stream.
    pub fn has_final_norm(&self) -> bool {
        self.layers.last().is_none_or(|l| l.norm.placement != NormPlacement::Stream)
    }

    /// Most positions that there are, whatever a session asks for; `None` if positions are not learned.
    pub fn learned_positions(&self) -> Option<usize> {
        self.embed_extra.map(|extra| extra.positions)
    }
}

/// Per-layer embeddings (Gemma 3n): each layer adds `proj(act(gate(x)) * e)`, with `e` from the token's row in a table
/// and a product of the token's first embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerLayerSpec {
    /// Elements of `e`.
    pub size: usize,
    /// Applied to the gate.
    pub act: Activation,
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

impl LayerSpec {
    /// The grouped-query attention, to be changed. Panics if it is another: for families that start from a plain decoder.
    pub(crate) fn gqa(&mut self) -> &mut GqaSpec {
        match &mut self.attention {
            AttentionSpec::Gqa(gqa) => gqa,
            _ => panic!("a layer of a plain decoder has grouped-query attention"),
        }
    }
}

/// Normalisation. Files store the factor as it is applied (a "1 +" of the original model is already inside).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSpec {
    /// What is divided by.
    pub kind: NormKind,
    /// Added to the mean square.
    pub eps: f32,
    /// Where norms stand.
    pub placement: NormPlacement,
}

/// What a norm does to a row before it is multiplied with its factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Divides by the root of the mean square (Zhang and Sennrich 2019).
    Rms,
    /// Subtracts the mean first (Ba et al. 2016).
    Layer,
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
    /// On the residual stream, after each block's output was added to it (BERT, "post-norm").
    Stream,
    /// One before both blocks, which run side by side: the feed-forward block does not see what attention adds.
    Parallel,
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
    /// Of each head, after rotation, without factors.
    Unit,
    /// Of all heads together, before rotation.
    Row,
}

/// Where the keys and values of a layer come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvSource {
    /// Products of their own.
    Own,
    /// The same, but that values are keys before norm and rotation where the file has no product for them.
    OwnKeys,
    /// The cache of an earlier layer, of the same shape.
    Layer(usize),
}

/// Whether a product has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// The file must have it.
    Required,
    /// Added if the file has it.
    IfPresent,
}

/// What a position sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Itself and those before it; with a window, the last so many.
    Causal,
    /// All; with a window `w`, those at most `w / 2` away on either side.
    Bidirectional,
}

/// What lets positions see each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttentionSpec {
    /// Keys and values of their own for groups of query heads.
    Gqa(GqaSpec),
    /// Keys and values that are products of a latent.
    Mla(MlaSpec),
    /// A state of fixed size instead of keys and values.
    Delta(DeltaSpec),
}

impl AttentionSpec {
    /// Positions looked back on, itself included; `None` for all.
    pub fn window(&self) -> Option<usize> {
        match self {
            AttentionSpec::Gqa(a) => a.window,
            AttentionSpec::Mla(_) | AttentionSpec::Delta(_) => None,
        }
    }

    /// What a position sees.
    pub fn mask(&self) -> Mask {
        match self {
            AttentionSpec::Gqa(a) => a.mask,
            AttentionSpec::Mla(_) | AttentionSpec::Delta(_) => Mask::Causal,
        }
    }

    /// The layer whose cache layer `i` uses if this is its attention.
    pub fn cache_of(&self, i: usize) -> usize {
        match self {
            AttentionSpec::Gqa(GqaSpec { kv: KvSource::Layer(from), .. }) => *from,
            _ => i,
        }
    }

    /// Bytes of keys and values that attention reads of a position that it sees, if they are stored as `ty`; `None` if that
    /// overflows.
    pub fn bytes_per_position(&self, ty: KvType) -> Option<usize> {
        match self {
            AttentionSpec::Gqa(a) => ty.bytes(a.head_dim)?.checked_mul(a.kv_heads),
            AttentionSpec::Mla(a) => a.cache().position(ty),
            AttentionSpec::Delta(_) => Some(0),
        }
    }
}

/// Multi-head latent attention (DeepSeek-AI 2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlaSpec {
    /// Query heads.
    pub heads: usize,
    /// Elements of the step in between that the product of the queries takes, if it is one in two steps.
    pub q_rank: Option<usize>,
    /// Elements of the latent that keys and values are made of.
    pub kv_rank: usize,
    /// Elements of a head's queries and keys that are not rotated.
    pub plain_dims: usize,
    /// Elements that are; all heads share this part of the key.
    pub rope_dims: usize,
    /// Elements of a head's value.
    pub value_dim: usize,
    /// Index into [`ModelSpec::ropes`].
    pub rope: usize,
    /// Scores are multiplied with this.
    pub scale: f32,
    /// What else queries are multiplied with.
    pub temperature: Option<Temperature>,
}

impl MlaSpec {
    /// Elements of a head's query.
    pub fn key_dim(&self) -> usize {
        self.plain_dims + self.rope_dims
    }

    /// Elements of a query row.
    pub fn q_row(&self) -> usize {
        self.heads * self.key_dim()
    }

    /// Elements of a position in the cache: the latent and the shared part of the key.
    pub fn key_row(&self) -> usize {
        self.kv_rank + self.rope_dims
    }

    /// What the cache keeps.
    pub fn cache(&self) -> KvShape {
        KvShape { heads: 1, head_dim: self.key_row(), values: false, window: None }
    }

    /// Elements of a row of the heads' values.
    pub fn out_row(&self) -> usize {
        self.heads * self.value_dim
    }
}

/// Gated delta-net attention (Yang et al., "Gated Delta Networks", 2024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaSpec {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values and of the state; a multiple of `key_heads`.
    pub value_heads: usize,
    /// Elements of a head's query or key.
    pub key_dim: usize,
    /// Elements of a head's value.
    pub value_dim: usize,
    /// Positions that the convolution before it sees, the current one included.
    pub conv: usize,
    /// Value heads of one key head lie together; else they go round the key heads.
    pub grouped: bool,
}

impl DeltaSpec {
    /// The key head that value head `head` reads and writes with.
    pub fn key_head(&self, head: usize) -> usize {
        if self.grouped { head / (self.value_heads / self.key_heads) } else { head % self.key_heads }
    }

    /// Elements of a row of queries or keys.
    pub fn key_row(&self) -> usize {
        self.key_heads * self.key_dim
    }

    /// Elements of a row of values.
    pub fn value_row(&self) -> usize {
        self.value_heads * self.value_dim
    }

    /// Elements that are convolved: queries, keys, values.
    pub fn channels(&self) -> usize {
        2 * self.key_row() + self.value_row()
    }

    /// Elements of past positions that the convolution still needs.
    pub fn seen(&self) -> usize {
        (self.conv - 1) * self.channels()
    }

    /// Floats that a session keeps.
    pub fn state(&self) -> usize {
        self.seen() + self.key_dim * self.value_row()
    }
}

/// Grouped-query attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GqaSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements per head, for queries, keys and values.
    pub head_dim: usize,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Whether the heads of values are normed, without factors.
    pub v_norm: bool,
    /// Where keys and values come from.
    pub kv: KvSource,
    /// Biases of the query, key and value products.
    pub qkv_bias: Bias,
    /// What a position sees.
    pub mask: Mask,
    /// Whether the query product gives, behind each head's query, as many elements whose sigmoid multiplies what the head
    /// gives.
    pub gated: bool,
    /// Positions looked back on, itself included; `None` for all. See [`Mask`].
    pub window: Option<usize>,
    /// Whether windows lie side by side instead of sliding: a position sees those before it in its own.
    pub chunked: bool,
    /// Whether each head has a score besides that takes its share of the softmax and gives nothing (Xiao et al. 2023).
    pub sinks: bool,
    /// Index into [`ModelSpec::ropes`]; `None` if positions are not encoded here.
    pub rope: Option<usize>,
    /// Scores are multiplied with this.
    pub scale: f32,
    /// What else queries are multiplied with.
    pub temperature: Option<Temperature>,
    /// Scores are squashed to `cap * tanh(s / cap)`.
    pub softcap: Option<f32>,
}

impl GqaSpec {
    /// Elements of a query row.
    pub fn q_row(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements that the query product gives.
    pub fn q_product(&self) -> usize {
        self.q_row() * (1 + usize::from(self.gated))
    }

    /// Elements of a key or value row.
    pub fn kv_row(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// A factor of queries that grows with their position, so that attention over a long context stays sharp (Nakanishi
/// 2025): `1 + strength * ln(1 + floor((position + offset) / every))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    /// How fast it grows.
    pub strength: f32,
    /// Positions that share a factor; not 0.
    pub every: usize,
    /// Added to the position.
    pub offset: usize,
}

impl Temperature {
    /// The factor at `position`.
    pub fn at(&self, position: usize) -> f32 {
        let step = (position + self.offset) / self.every;
        self.strength.mul_add(libm::logf(1.0 + step as f32), 1.0)
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
    /// For which pairs they are, if not for all.
    pub yarn: Option<Yarn>,
    /// Which elements form a pair.
    pub pairing: RopePairing,
    /// What else divides the frequencies.
    pub factors: RopeFactors,
    /// Rotated elements are multiplied with this besides.
    pub magnitude: f32,
}

impl RopeSpec {
    /// The same for positions as they are, by another base.
    pub(crate) fn unscaled(self, base: f32) -> Self {
        Self { base, position_divisor: 1.0, yarn: None, factors: RopeFactors::None, magnitude: 1.0, ..self }
    }
}

/// YaRN (Peng et al. 2023, section 3.2): pairs that turn often within the original context tell near positions apart and
/// stay as they are; only slow ones have their positions divided; there is a ramp between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// Context that the model was first trained for, in tokens.
    pub original: usize,
    /// Pairs that turn at least so often are left alone.
    pub beta_fast: f32,
    /// Pairs that turn at most so often are divided in full.
    pub beta_slow: f32,
    /// Whether the ends of the ramp are rounded to whole pairs.
    pub rounded: bool,
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

/// The output head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadSpec {
    /// The final norm's.
    pub norm: NormKind,
    /// The final norm's.
    pub eps: f32,
    /// Logits are squashed to `cap * tanh(l / cap)`.
    pub softcap: Option<f32>,
    /// Logits are multiplied with this, before the cap.
    pub scale: f32,
}
