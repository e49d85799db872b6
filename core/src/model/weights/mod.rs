//! Tensor names to slots: every weight that a specification calls for, found, shape-checked once, and left where the
//! file put it.
//!
//! Names are GGUF's, which all families share. A tensor that no slot asked for is an error: a model that is not fully
//! understood would answer wrongly.

mod altup;
mod attention;
mod binder;
mod delta;
mod ffn;
mod linear;
mod mla;
mod norm;
mod per_layer;
#[cfg(test)]
mod tests;

use self::binder::{missing, shape_error};
use super::block::altup::Room as StreamRoom;
use super::screen::Screen;
use super::spec::{Bias, EmbedExtra, ModelSpec, NormPlacement, RopeFactors};
use crate::error::Result;
use crate::gguf::TensorTable;
use crate::quant::ActFormat;

pub(crate) use self::altup::{AltUp, AltUpEnds};
pub(crate) use self::attention::{Attention, Gqa};
pub(crate) use self::binder::Binder;
pub(crate) use self::delta::Delta;
pub(crate) use self::ffn::{Experts, Ffn, Gated, Plain};
pub(crate) use self::linear::{Linear, Stack, Vector};
pub(crate) use self::mla::{KeyUp, Mla, MlaQuery};
pub(crate) use self::norm::Norm;
pub(crate) use self::per_layer::{PerLayer, PerLayerTable};

/// All weights of a decoder.
#[derive(Debug)]
pub(crate) struct Weights {
    /// `[vocab, width]`.
    pub(crate) embed: Linear,
    pub(crate) embed_extra: Option<Extra>,
    /// `[vocab, width]`; the embedding itself where the file has no matrix of its own. `None` if the model only embeds.
    pub(crate) head: Option<Linear>,
    pub(crate) final_norm: Option<Norm>,
    /// Behind pooling, `[rows, columns]`.
    pub(crate) dense: Vec<Linear>,
    /// `[dims / 2]` divisors of the rotary frequencies, for the usual context and for a longer one.
    pub(crate) rope_factors: Option<Vector>,
    pub(crate) long_rope_factors: Option<Vector>,
    pub(crate) layers: Vec<Layer>,
    /// Where residual streams begin and end, if there are several.
    pub(crate) streams: Option<AltUpEnds>,
    /// What makes the embeddings of layers that have their own.
    pub(crate) per_layer: Option<PerLayerTable>,
    /// The head's screening table, if the file has one.
    pub(crate) screen: Option<Screen>,
}

/// What is added to the embeddings of tokens.
#[derive(Debug)]
pub(crate) struct Extra {
    /// `[positions, width]`.
    pub(crate) positions: Linear,
    /// `[token types, width]`.
    pub(crate) types: Option<Linear>,
    /// Of the sum.
    pub(crate) norm: Norm,
}

impl Extra {
    fn bind(b: &mut Binder<'_>, spec: &EmbedExtra, width: usize) -> Result<Self> {
        let types = match spec.token_types {
            0 => None,
            n => Some(b.table("token_types", n, width, Bias::IfPresent)?),
        };
        Ok(Self {
            positions: b.table("position_embd", spec.positions, width, Bias::IfPresent)?,
            types,
            norm: Norm::bind(b, "token_embd_norm", spec.norm, spec.eps, width)?,
        })
    }
}

/// One layer's weights. Norms are of rows of `width`.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Before attention.
    pub(crate) attn_norm: Option<Norm>,
    pub(crate) attention: Attention,
    /// On the attention's output, or on the stream with it.
    pub(crate) post_attn_norm: Option<Norm>,
    /// Before the feed-forward block.
    pub(crate) ffn_norm: Option<Norm>,
    pub(crate) ffn: Ffn,
    /// On the feed-forward block's output, or on the stream with it.
    pub(crate) post_ffn_norm: Option<Norm>,
    /// How several residual streams are mixed.
    pub(crate) altup: Option<AltUp>,
    /// What the layer does with embeddings of its own.
    pub(crate) per_layer: Option<PerLayer>,
    /// `[1]`: multiplies the layer's output.
    pub(crate) output_scale: Option<Vector>,
}

impl Layer {
    fn bind(b: &mut Binder<'_>, model: &ModelSpec, i: usize) -> Result<Self> {
        let (spec, width) = (&model.layers[i], model.width);
        let name = |part: &str| format!("blk.{i}.{part}");
        let placement = spec.norm.placement;
        let pre = !matches!(placement, NormPlacement::Post | NormPlacement::Stream);
        let (post_attn, post_ffn) = match placement {
            NormPlacement::Pre | NormPlacement::Parallel => (None, None),
            NormPlacement::PrePost | NormPlacement::Post => {
                (Some("post_attention_norm"), Some("post_ffw_norm"))
            }
            NormPlacement::Stream => (Some("attn_output_norm"), Some("layer_output_norm")),
        };
        let norm = |b: &mut Binder<'_>, part: Option<&str>| {
            part.map(|part| Norm::bind(b, &name(part), spec.norm.kind, spec.norm.eps, width)).transpose()
        };
        let attn_norm = norm(b, pre.then_some("attn_norm"))?;
        Ok(Self {
            attention: Attention::bind(b, &spec.attention, width, &name)?,
            post_attn_norm: norm(b, post_attn)?,
            ffn_norm: match placement {
                NormPlacement::Parallel => attn_norm.clone(),
                // Where nothing else has that name, some families call it after what it follows.
                NormPlacement::Pre if !b.has(&name("ffn_norm.weight")) => {
                    norm(b, Some("post_attention_norm"))?
                }
                _ => norm(b, pre.then_some("ffn_norm"))?,
            },
            ffn: Ffn::bind(b, &spec.ffn, width, &name)?,
            post_ffn_norm: norm(b, post_ffn)?,
            altup: AltUp::bind(b, model, i)?,
            per_layer: PerLayer::bind(b, model, i)?,
            output_scale: b.optional_vector(&name("layer_output_scale.weight"), 1)?,
            attn_norm,
        })
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let per_layer = self.per_layer.iter().flat_map(|p| [&p.gate, &p.proj]);
        let altup = self.altup.iter().flat_map(AltUp::linears);
        self.attention.linears().chain(self.ffn.linears()).chain(per_layer).chain(altup)
    }

    fn vectors(&self) -> impl Iterator<Item = &Vector> {
        let norms = [&self.attn_norm, &self.post_attn_norm, &self.ffn_norm, &self.post_ffn_norm];
        let norms = norms.into_iter().flatten().chain(self.per_layer.iter().map(|p| &p.post_norm));
        let norms = norms.flat_map(Norm::vectors).chain(&self.output_scale);
        let altup = self.altup.iter().flat_map(AltUp::vectors);
        norms.chain(altup).chain(self.attention.vectors()).chain(self.ffn.vectors())
    }
}

/// The embedding's number of rows: the vocabulary. Families need it before the weights can be bound.
///
/// # Errors
/// `Missing` or `Shape`, naming the tensor.
pub(crate) fn vocab(tensors: &TensorTable) -> Result<usize> {
    let info = tensors.get(EMBED).ok_or_else(|| missing(EMBED))?;
    match *info.dims() {
        [_, rows] => Ok(rows),
        ref dims => Err(shape_error(info, &format!("is not a matrix but {dims:?}"))),
    }
}

const EMBED: &str = "token_embd.weight";

impl Weights {
    /// Finds every weight of `spec`.
    ///
    /// # Errors
    /// `Missing`, `Shape` or `Unsupported` naming the tensor.
    pub(crate) fn bind(spec: &ModelSpec, tensors: &TensorTable) -> Result<Self> {
        let mut b = Binder::new(tensors);
        let (width, vocab) = (spec.width, spec.vocab);
        let embed = b.table("token_embd", vocab, width, Bias::IfPresent)?;
        let embed_extra = spec.embed_extra.map(|extra| Extra::bind(&mut b, &extra, width)).transpose()?;
        let head = match spec.generates {
            true => Some(b.optional_linear("output", vocab, width)?.unwrap_or_else(|| embed.clone())),
            false => None,
        };
        let final_norm = match spec.has_final_norm() {
            true => Some(Norm::bind(&mut b, "output_norm", spec.head.norm, spec.head.eps, width)?),
            false => None,
        };
        let mut dense = Vec::with_capacity(spec.embedding.dense.len());
        let mut columns = width;
        for layer in &spec.embedding.dense {
            dense.push(b.linear(layer.tensor, layer.rows, columns, Bias::IfPresent)?);
            columns = layer.rows;
        }
        let (mut rope_factors, mut long_rope_factors) = (None, None);
        for rope in &spec.ropes {
            match rope.factors {
                RopeFactors::None => {}
                RopeFactors::IfPresent => {
                    rope_factors = b.optional_vector("rope_freqs.weight", rope.dims / 2)?;
                }
                RopeFactors::ByContext { .. } => {
                    rope_factors = Some(b.vector("rope_factors_short.weight", rope.dims / 2)?);
                    long_rope_factors = Some(b.vector("rope_factors_long.weight", rope.dims / 2)?);
                }
            }
        }
        // A layer takes at least one tensor, so a lying count cannot make this reserve much.
        let mut layers = Vec::with_capacity(spec.layers.len().min(tensors.len()));
        for i in 0..spec.layers.len() {
            layers.push(Layer::bind(&mut b, spec, i)?);
        }
        let per_layer = PerLayerTable::bind(&mut b, spec)?;
        let streams = AltUpEnds::bind(&mut b, spec)?;
        b.ignore_layers(spec.layers.len()..spec.layers.len() + spec.predictors);
        b.finish()?;
        Ok(Self {
            embed,
            embed_extra,
            head,
            final_norm,
            dense,
            rope_factors,
            long_rope_factors,
            layers,
            streams,
            per_layer,
            screen: None,
        })
    }

    /// Bytes of weights that one decoded token reads: every matrix but the embedding (of which it reads a row), of the
    /// experts its share, and of the head its screening table, if there is one.
    pub(crate) fn bytes_per_token(&self) -> usize {
        let head = self.head.as_ref().map_or(0, Linear::byte_len);
        let head = self.screen.as_ref().map_or(head, Screen::byte_len);
        let all: usize = self.linears().map(Linear::byte_len).sum();
        let idle: usize = self.layers.iter().map(|l| l.ffn.idle_bytes()).sum();
        all - idle + head
    }

    /// The matrices of the layers.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let ends = self.streams.iter().flat_map(|s| s.open.iter().chain(&s.close));
        let per_layer = self.per_layer.iter().map(|p| &p.proj);
        self.layers.iter().flat_map(Layer::linears).chain(per_layer).chain(ends)
    }

    /// What several residual streams need, if there are.
    pub(crate) fn stream_room(&self) -> Option<StreamRoom> {
        let ends = self.streams.as_ref()?;
        let rank = self.layers.iter().filter_map(|l| l.altup.as_ref()).map(|w| w.left.rows()).max()?;
        Some(StreamRoom { streams: ends.open.len() + 1, rank, width: self.embed.cols() })
    }

    /// The format that each product wants its input in, and the values of it per token.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (ActFormat, usize)> {
        let input = |linear: &Linear, times: usize| (linear.ty().act_format(), linear.cols() * times);
        let per_head = self.layers.iter().flat_map(|layer| layer.attention.per_head());
        let per_head = per_head.map(move |(linear, heads)| input(linear, heads));
        self.linears().chain(&self.head).map(move |linear| input(linear, 1)).chain(per_head)
    }

    /// Heap bytes of vectors that had to be decoded.
    pub(crate) fn heap_bytes(&self) -> usize {
        let biases = self.linears().filter_map(|l| l.bias.as_ref());
        let norms = self.embed_extra.iter().map(|e| &e.norm).chain(&self.final_norm).flat_map(Norm::vectors);
        let vectors = self.layers.iter().flat_map(Layer::vectors).chain(biases).chain(norms);
        vectors.map(Vector::heap_bytes).sum::<usize>()
            + size_of_val(self.layers.as_slice())
            + self.screen.as_ref().map_or(0, Screen::heap_bytes)
    }
}
