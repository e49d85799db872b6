//! Tensor names to slots: every weight that a specification calls for, found, shape-checked once, and left where the
//! file put it.
//!
//! Names are GGUF's, which all families share. A tensor that no slot asked for is an error: a model that is not fully
//! understood would answer wrongly.

use std::collections::HashSet;

use super::screen::Screen;
use super::spec::{AttentionSpec, Bias, FfnSpec, ModelSpec, NormPlacement, QkNorm, RopeFactors};
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
    /// `[dims / 2]` divisors of the rotary frequencies, for the usual context and for a longer one.
    pub(crate) rope_factors: Option<Vector>,
    pub(crate) long_rope_factors: Option<Vector>,
    pub(crate) layers: Vec<Layer>,
    /// The head's screening table, if the file has one.
    pub(crate) screen: Option<Screen>,
}

/// One layer's weights.
#[derive(Debug)]
pub(crate) struct Layer {
    /// `[width]`.
    pub(crate) attn_norm: Option<Vector>,
    /// `[q_row, width]`.
    pub(crate) q: Linear,
    /// `[kv_row, width]`.
    pub(crate) k: Linear,
    /// `[kv_row, width]`.
    pub(crate) v: Linear,
    /// `[width, q_row]`.
    pub(crate) o: Linear,
    /// `[head_dim]` each, or `[q_row]` and `[kv_row]`.
    pub(crate) qk_norm: Option<(Vector, Vector)>,
    /// `[width]`, on the attention's output.
    pub(crate) post_attn_norm: Option<Vector>,
    /// `[width]`.
    pub(crate) ffn_norm: Option<Vector>,
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
    /// The matrix in `info`, `[rows, cols]`, whose dimensions the caller has checked.
    pub(crate) fn unbiased(info: &TensorInfo, rows: usize, cols: usize) -> Result<Self> {
        let ty = info.quant_type()?;
        QMatRef::new(ty, rows, cols, info.bytes()).map_err(|e| shape_error(info, e.message()))?;
        Ok(Self { bytes: info.bytes().clone(), ty, rows, cols, bias: None })
    }

    /// Rows `first..first + rows` of this matrix, which has them.
    fn part(&self, first: usize, rows: usize) -> Self {
        let row = self.bytes.len() / self.rows;
        let bytes = self.bytes.slice(first * row..(first + rows) * row).expect("rows of this matrix");
        let bias = self.bias.as_ref().map(|b| Vector::Decoded(b.get()[first..first + rows].to_vec()));
        Self { bytes, ty: self.ty, rows, cols: self.cols, bias }
    }

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
        for (i, layer) in spec.layers.iter().enumerate() {
            let name = |part: &str| format!("blk.{i}.{part}");
            let AttentionSpec { head_dim, qk_norm, qkv_bias, .. } = layer.attention;
            let (q_row, kv_row) = (layer.attention.q_row(), layer.attention.kv_row());
            let FfnSpec::Gated { hidden, .. } = layer.ffn;
            let pre = layer.norm.placement != NormPlacement::Post;
            let post = layer.norm.placement != NormPlacement::Pre;
            let norms = match qk_norm {
                QkNorm::None => None,
                QkNorm::Head | QkNorm::HeadRotated => Some((head_dim, head_dim)),
                QkNorm::Row => Some((q_row, kv_row)),
            };
            let [q, k, v] = b.split(
                &name("attn_qkv"),
                [&name("attn_q"), &name("attn_k"), &name("attn_v")],
                [q_row, kv_row, kv_row],
                width,
                qkv_bias,
            )?;
            let [gate, up] = b.split(
                &name("ffn_up"),
                [&name("ffn_gate"), &name("ffn_up")],
                [hidden; 2],
                width,
                Bias::IfPresent,
            )?;
            layers.push(Layer {
                attn_norm: b.vector_if(pre, &name("attn_norm.weight"), width)?,
                q,
                k,
                v,
                o: b.linear(&name("attn_output"), width, q_row, Bias::IfPresent)?,
                qk_norm: match norms {
                    Some((q, k)) => {
                        let q = b.vector(&name("attn_q_norm.weight"), q)?;
                        Some((q, b.vector(&name("attn_k_norm.weight"), k)?))
                    }
                    None => None,
                },
                post_attn_norm: b.vector_if(post, &name("post_attention_norm.weight"), width)?,
                ffn_norm: b.vector_if(pre, &name("ffn_norm.weight"), width)?,
                gate,
                up,
                down: b.linear(&name("ffn_down"), width, hidden, Bias::IfPresent)?,
                post_ffn_norm: b.vector_if(post, &name("post_ffw_norm.weight"), width)?,
            });
        }
        b.finish()?;
        Ok(Self { embed, head, final_norm, rope_factors, long_rope_factors, layers, screen: None })
    }

    /// Bytes of weights that one decoded token reads: every matrix but the embedding (of which it reads a row), and of the
    /// head its screening table, if there is one.
    pub(crate) fn bytes_per_token(&self) -> usize {
        let head = self.screen.as_ref().map_or(self.head.byte_len(), Screen::byte_len);
        self.linears().map(Linear::byte_len).sum::<usize>() + head
    }

    /// The matrices of the layers.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down])
    }

    /// Heap bytes of vectors that had to be decoded.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of_layer = |l: &Layer| {
            let norms = [&l.attn_norm, &l.ffn_norm, &l.post_attn_norm, &l.post_ffn_norm];
            let qk = l.qk_norm.iter().flat_map(|(q, k)| [q, k]);
            let vectors: usize = norms.into_iter().flatten().chain(qk).map(Vector::heap_bytes).sum();
            vectors + size_of::<Layer>()
        };
        let biases = self.linears().filter_map(|l| l.bias.as_ref()).map(Vector::heap_bytes).sum::<usize>();
        self.layers.iter().map(of_layer).sum::<usize>()
            + biases
            + self.final_norm.heap_bytes()
            + self.screen.as_ref().map_or(0, Screen::heap_bytes)
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

    /// Matrices of `rows` each over the same input: one tensor each (`names`), or one that holds them all (`fused`), told
    /// apart by whether the first has a tensor of its own.
    fn split<const N: usize>(
        &mut self,
        fused: &str,
        names: [&str; N],
        rows: [usize; N],
        cols: usize,
        bias: Bias,
    ) -> Result<[Linear; N]> {
        let mut parts = Vec::with_capacity(N);
        if self.tensors.get(&format!("{}.weight", names[0])).is_some() {
            for (name, rows) in names.iter().zip(rows) {
                parts.push(self.linear(name, rows, cols, bias)?);
            }
        } else if self.tensors.get(&format!("{fused}.weight")).is_some() {
            let whole = self.linear(fused, rows.iter().sum(), cols, Bias::IfPresent)?;
            let mut first = 0;
            for rows in rows {
                parts.push(whole.part(first, rows));
                first += rows;
            }
        } else {
            return Err(missing(&format!("{}.weight", names[0])));
        }
        Ok(parts.try_into().unwrap_or_else(|_| unreachable!("one part for each name")))
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
        Linear::unbiased(info, rows, cols).map(Some)
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
