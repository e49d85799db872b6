//! Tensor names to slots: every weight that a specification calls for, found, shape-checked once, and left where the
//! file put it.
//!
//! Names are GGUF's, which all families share. A tensor that no slot asked for is an error: a model that is not fully
//! understood would answer wrongly.

use std::collections::HashSet;

use super::spec::{AttentionSpec, Bias, FfnSpec, ModelSpec, NormPlacement};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Bytes, TensorInfo, TensorTable};
use crate::quant::QuantType;
use crate::tensor::{self, QMatRef};

/// All weights of a decoder.
#[derive(Debug)]
pub(crate) struct Weights {
    /// `[vocab, width]`.
    pub(crate) embed: Linear,
    /// `[vocab, width]`; the embedding itself where the file has no matrix of its own.
    pub(crate) head: Linear,
    /// `[width]`.
    pub(crate) final_norm: Vector,
    /// `[dims / 2]` divisors of the rotary frequencies.
    pub(crate) rope_factors: Option<Vector>,
    pub(crate) layers: Vec<Layer>,
}

/// One layer's weights.
#[derive(Debug)]
pub(crate) struct Layer {
    /// `[width]`.
    pub(crate) attn_norm: Vector,
    /// `[q_row, width]`.
    pub(crate) q: Linear,
    /// `[kv_row, width]`.
    pub(crate) k: Linear,
    /// `[kv_row, width]`.
    pub(crate) v: Linear,
    /// `[width, q_row]`.
    pub(crate) o: Linear,
    /// `[head_dim]` each.
    pub(crate) qk_norm: Option<(Vector, Vector)>,
    /// `[width]`, on the attention's output.
    pub(crate) post_attn_norm: Option<Vector>,
    /// `[width]`.
    pub(crate) ffn_norm: Vector,
    /// `[hidden, width]`.
    pub(crate) gate: Linear,
    /// `[hidden, width]`.
    pub(crate) up: Linear,
    /// `[width, hidden]`.
    pub(crate) down: Linear,
    /// `[width]`, on the feed-forward block's output.
    pub(crate) post_ffn_norm: Option<Vector>,
}

/// A matrix in the file, with its bias.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    bytes: Bytes,
    ty: QuantType,
    rows: usize,
    cols: usize,
    pub(crate) bias: Option<Vector>,
}

impl Linear {
    /// `[rows, cols]`.
    pub(crate) fn mat(&self) -> QMatRef<'_> {
        QMatRef::new(self.ty, self.rows, self.cols, &self.bytes)
            .expect("the shape was checked when it was bound")
    }

    pub(crate) fn ty(&self) -> QuantType {
        self.ty
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that one product reads.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A vector of `f32`s: in the file where it is stored as such and aligned, else decoded once (some kilobytes).
#[derive(Clone, Debug)]
pub(crate) enum Vector {
    Mapped(Bytes),
    Decoded(Vec<f32>),
}

impl Vector {
    pub(crate) fn get(&self) -> &[f32] {
        match self {
            Vector::Mapped(bytes) => tensor::f32s(bytes).expect("aligned when it was bound"),
            Vector::Decoded(values) => values,
        }
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Vector::Mapped(_) => 0,
            Vector::Decoded(values) => size_of_val(values.as_slice()),
        }
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
        let mut b = Binder { tensors, bound: HashSet::new() };
        let (width, vocab) = (spec.width, spec.vocab);
        let embed = b.linear("token_embd", vocab, width, Bias::IfPresent)?;
        let head = match b.optional_linear("output", vocab, width)? {
            Some(head) => head,
            None => embed.clone(),
        };
        let final_norm = b.vector("output_norm.weight", width)?;
        let rope_factors = match spec.ropes.iter().find(|r| r.file_factors) {
            Some(rope) => b.optional_vector("rope_freqs.weight", rope.dims / 2)?,
            None => None,
        };
        // A layer takes at least one tensor, so a lying count cannot make this reserve much.
        let mut layers = Vec::with_capacity(spec.layers.len().min(tensors.len()));
        for (i, layer) in spec.layers.iter().enumerate() {
            let name = |part: &str| format!("blk.{i}.{part}");
            let AttentionSpec { head_dim, qk_norm, qkv_bias, .. } = layer.attention;
            let (q_row, kv_row) = (layer.attention.q_row(), layer.attention.kv_row());
            let FfnSpec::Gated { hidden, .. } = layer.ffn;
            let post = layer.norm.placement == NormPlacement::PrePost;
            layers.push(Layer {
                attn_norm: b.vector(&name("attn_norm.weight"), width)?,
                q: b.linear(&name("attn_q"), q_row, width, qkv_bias)?,
                k: b.linear(&name("attn_k"), kv_row, width, qkv_bias)?,
                v: b.linear(&name("attn_v"), kv_row, width, qkv_bias)?,
                o: b.linear(&name("attn_output"), width, q_row, Bias::IfPresent)?,
                qk_norm: if qk_norm {
                    let q = b.vector(&name("attn_q_norm.weight"), head_dim)?;
                    Some((q, b.vector(&name("attn_k_norm.weight"), head_dim)?))
                } else {
                    None
                },
                post_attn_norm: b.vector_if(post, &name("post_attention_norm.weight"), width)?,
                ffn_norm: b.vector(&name("ffn_norm.weight"), width)?,
                gate: b.linear(&name("ffn_gate"), hidden, width, Bias::IfPresent)?,
                up: b.linear(&name("ffn_up"), hidden, width, Bias::IfPresent)?,
                down: b.linear(&name("ffn_down"), width, hidden, Bias::IfPresent)?,
                post_ffn_norm: b.vector_if(post, &name("post_ffw_norm.weight"), width)?,
            });
        }
        b.finish()?;
        Ok(Self { embed, head, final_norm, rope_factors, layers })
    }

    /// Bytes of weights that one decoded token reads: every matrix but the embedding (of which it reads a row).
    pub(crate) fn bytes_per_token(&self) -> usize {
        self.linears().map(Linear::byte_len).sum::<usize>() + self.head.byte_len()
    }

    /// The matrices of the layers.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down])
    }

    /// Heap bytes of vectors that had to be decoded.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of_layer = |l: &Layer| {
            let norms =
                [Some(&l.attn_norm), Some(&l.ffn_norm), l.post_attn_norm.as_ref(), l.post_ffn_norm.as_ref()];
            let qk = l.qk_norm.iter().flat_map(|(q, k)| [q, k]);
            let vectors: usize = norms.into_iter().flatten().chain(qk).map(Vector::heap_bytes).sum();
            vectors + size_of::<Layer>()
        };
        let biases = self.linears().filter_map(|l| l.bias.as_ref()).map(Vector::heap_bytes).sum::<usize>();
        self.layers.iter().map(of_layer).sum::<usize>() + biases + self.final_norm.heap_bytes()
    }
}

/// Looks tensors up and remembers which were asked for.
struct Binder<'a> {
    tensors: &'a TensorTable,
    bound: HashSet<&'a str>,
}

impl<'a> Binder<'a> {
    fn find(&mut self, name: &str) -> Option<&'a TensorInfo> {
        let info = self.tensors.get(name)?;
        self.bound.insert(info.name());
        Some(info)
    }

    /// `<name>.weight`, `[rows, cols]`, and `<name>.bias`, `[rows]`.
    fn linear(&mut self, name: &str, rows: usize, cols: usize, bias: Bias) -> Result<Linear> {
        let mut linear =
            self.optional_linear(name, rows, cols)?.ok_or_else(|| missing(&format!("{name}.weight")))?;
        let bias_name = format!("{name}.bias");
        linear.bias = match bias {
            Bias::Required => Some(self.vector(&bias_name, rows)?),
            Bias::IfPresent => self.optional_vector(&bias_name, rows)?,
        };
        Ok(linear)
    }

    fn optional_linear(&mut self, name: &str, rows: usize, cols: usize) -> Result<Option<Linear>> {
        let Some(info) = self.find(&format!("{name}.weight")) else {
            return Ok(None);
        };
        if info.dims() != [cols, rows] {
            return Err(shape_error(
                info,
                &format!("has dimensions {:?}, expected [{cols}, {rows}]", info.dims()),
            ));
        }
        let ty = info.quant_type()?;
        QMatRef::new(ty, rows, cols, info.bytes()).map_err(|e| shape_error(info, e.message()))?;
        Ok(Some(Linear { bytes: info.bytes().clone(), ty, rows, cols, bias: None }))
    }

    fn vector_if(&mut self, wanted: bool, name: &str, len: usize) -> Result<Option<Vector>> {
        if wanted { self.vector(name, len).map(Some) } else { Ok(None) }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vector> {
        self.optional_vector(name, len)?.ok_or_else(|| missing(name))
    }

    fn optional_vector(&mut self, name: &str, len: usize) -> Result<Option<Vector>> {
        let Some(info) = self.find(name) else {
            return Ok(None);
        };
        // Trailing dimensions of 1 are the same vector.
        if info.dims().first() != Some(&len) || info.dims()[1..].iter().any(|&d| d != 1) {
            return Err(shape_error(info, &format!("has dimensions {:?}, expected [{len}]", info.dims())));
        }
        let ty = info.quant_type()?;
        if ty == QuantType::F32 && tensor::f32s(info.bytes()).is_some() {
            return Ok(Some(Vector::Mapped(info.bytes().clone())));
        }
        let mut values = vec![0.0; len];
        QMatRef::new(ty, 1, len, info.bytes())
            .map_err(|e| shape_error(info, e.message()))?
            .dequantize_row(0, &mut values);
        Ok(Some(Vector::Decoded(values)))
    }

    /// Fails if the file has tensors that nothing asked for.
    fn finish(self) -> Result<()> {
        match self.tensors.iter().find(|t| !self.bound.contains(t.name())) {
            None => Ok(()),
            Some(info) => Err(Error::new(
                ErrorKind::Unsupported,
                "the file has a tensor that this architecture does not use; running without it would give wrong answers",
            )
            .with_tensor(info.name())
            .with_offset(info.offset())),
        }
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Missing, "required tensor is absent").with_tensor(name)
}

fn shape_error(info: &TensorInfo, what: &str) -> Error {
    Error::new(ErrorKind::Shape, format!("the tensor {what}"))
        .with_tensor(info.name())
        .with_offset(info.offset())
}
