//! Hyperparameters: metadata under the architecture's prefix, with limits.

use super::experts;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{DELTA_HEADS, FromValue, Metadata, ROPE_PAIRING};
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{
    AttentionSpec, Bias, DeltaSpec, EmbeddingSpec, FfnSpec, GqaSpec, HeadSpec, KvSource, LayerSpec, Mask,
    ModelSpec, NormKind, NormPlacement, NormSpec, Pooling, QkNorm, RopeFactors, RopeSpec,
};

/// Largest value accepted for any width, count of heads, or hidden size. The largest published models stay below a
/// tenth of it.
const MAX_SIZE: usize = 1 << 20;
/// Most layers.
const MAX_LAYERS: usize = 1024;
/// Longest context that a file may claim.
const MAX_CONTEXT: usize = 1 << 28;

/// Typed access to `<arch>.<name>`.
pub(super) struct Hparams<'a> {
    metadata: &'a Metadata,
    pub(super) arch: &'a str,
    /// Rows of the embedding.
    pub(super) vocab: usize,
}

impl<'a> Hparams<'a> {
    pub(super) fn new(metadata: &'a Metadata, arch: &'a str, vocab: usize) -> Self {
        Self { metadata, arch, vocab }
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    pub(super) fn require<T: FromValue>(&self, name: &str) -> Result<T> {
        self.metadata.require(&self.key(name))
    }

    pub(super) fn optional<T: FromValue>(&self, name: &str) -> Result<Option<T>> {
        self.metadata.optional(&self.key(name))
    }

    /// A size from 1 to `MAX_SIZE`.
    pub(super) fn size(&self, name: &str) -> Result<usize> {
        let value = self.require(name)?;
        self.in_range(name, value, MAX_SIZE)
    }

    /// Whether the key is there at all.
    fn optional_is_set(&self, name: &str) -> bool {
        self.metadata.get(&self.key(name)).is_some()
    }

    /// A size that may be absent.
    pub(super) fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        self.optional(name)?.map(|value| self.in_range(name, value, MAX_SIZE)).transpose()
    }

    /// Layers that a token goes through: `block_count` without [`predictors`](Self::predictors).
    pub(super) fn layers(&self) -> Result<usize> {
        let name = "block_count";
        let blocks = self.in_range(name, self.require(name)?, MAX_LAYERS)?;
        self.in_range(name, blocks.saturating_sub(self.predictors()?), MAX_LAYERS)
    }

    /// The last so many of `block_count` layers only predict further tokens.
    pub(super) fn predictors(&self) -> Result<usize> {
        let name = "nextn_predict_layers";
        match self.optional(name)?.unwrap_or(0) {
            0 => Ok(0),
            predictors => self.in_range(name, predictors, MAX_LAYERS),
        }
    }

    /// One value for each of `layers` layers, given as one or as an array, which has one for each predictor as well.
    fn each_layer<T: FromValue + Clone>(&self, name: &str, layers: usize) -> Result<Option<Vec<T>>> {
        let mut values = self.metadata.per_layer(&self.key(name), layers + self.predictors()?)?;
        if let Some(values) = &mut values {
            values.truncate(layers);
        }
        Ok(values)
    }

    pub(super) fn context(&self) -> Result<usize> {
        let value = self.require("context_length")?;
        self.in_range("context_length", value, MAX_CONTEXT)
    }

    fn in_range(&self, name: &str, value: usize, max: usize) -> Result<usize> {
        if (1..=max).contains(&value) {
            return Ok(value);
        }
        Err(Error::new(ErrorKind::Limit, format!("{value} is not in 1..={max}")).with_key(self.key(name)))
    }

    /// One size per layer, given as one number or as an array.
    pub(super) fn sizes(&self, name: &str, layers: usize) -> Result<Vec<usize>> {
        let values: Vec<usize> = self.each_layer(name, layers)?.ok_or_else(|| {
            Error::new(ErrorKind::Missing, "required metadata is absent").with_key(self.key(name))
        })?;
        values.into_iter().map(|value| self.in_range(name, value, MAX_SIZE)).collect()
    }

    /// One number per layer, if there are any.
    pub(super) fn per_layer_numbers(&self, name: &str, layers: usize) -> Result<Option<Vec<f32>>> {
        self.each_layer(name, layers)
    }

    /// The epsilon of norms of that kind: finite, not negative.
    pub(super) fn norm_eps(&self, kind: NormKind) -> Result<f32> {
        let name = match kind {
            NormKind::Rms => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        };
        let eps: f32 = self.require(name)?;
        self.number(name, eps, |e| (0.0..=1.0).contains(&e))
    }

    /// Fails unless `value` is finite and `ok`.
    pub(super) fn number(&self, name: &str, value: f32, ok: impl Fn(f32) -> bool) -> Result<f32> {
        if value.is_finite() && ok(value) {
            return Ok(value);
        }
        Err(Error::new(ErrorKind::Shape, format!("{value} is not usable here")).with_key(self.key(name)))
    }

    /// Which elements of a head turn together: `usual` for the architecture's files, unless the metadata say that the rows
    /// of queries and keys are in a checkpoint's order.
    fn rope_pairing(&self, usual: RopePairing) -> Result<RopePairing> {
        match self.metadata.optional::<String>(ROPE_PAIRING)?.as_deref() {
            None => Ok(usual),
            Some("halves") => Ok(RopePairing::Halves),
            Some(other) => {
                let message = format!("the pairing \"{other}\" is not known");
                Err(Error::new(ErrorKind::Unsupported, message).with_key(ROPE_PAIRING))
            }
        }
    }

    /// Whether the value heads of one key head lie together, as in a checkpoint.
    pub(super) fn delta_heads_grouped(&self) -> Result<bool> {
        match self.metadata.optional::<String>(DELTA_HEADS)?.as_deref() {
            None => Ok(false),
            Some("groups") => Ok(true),
            Some(other) => {
                let message = format!("the order \"{other}\" is not known");
                Err(Error::new(ErrorKind::Unsupported, message).with_key(DELTA_HEADS))
            }
        }
    }

    /// A number above 0: `default` if absent, required if there is none.
    pub(super) fn positive(&self, name: &str, default: Option<f32>) -> Result<f32> {
        let value = match (self.optional(name)?, default) {
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) => self.require(name)?,
        };
        self.number(name, value, |v| v > 0.0)
    }

    /// Which layers have a sliding window, and its size: `attention.sliding_window_pattern` says so as an array of bools,
    /// or as a number `n` for all but every `n`th; without it that number is `every`. Empty windows are none at all.
    ///
    /// # Errors
    /// `Shape` or `Limit`, naming the key.
    pub(super) fn windows(&self, layers: usize, every: usize) -> Result<Vec<Option<usize>>> {
        self.windows_or(0, layers, every)
    }

    /// [`windows`](Self::windows), of size `usual` if the file does not say it.
    pub(super) fn windows_or(&self, usual: usize, layers: usize, every: usize) -> Result<Vec<Option<usize>>> {
        let window = self.optional("attention.sliding_window")?.unwrap_or(usual);
        if window == 0 {
            return Ok(vec![None; layers]);
        }
        let window = self.in_range("attention.sliding_window", window, MAX_CONTEXT)?;
        let name = "attention.sliding_window_pattern";
        let is_array = self.metadata.get(&self.key(name)).is_some_and(|v| v.as_array().is_some());
        let sliding: Vec<bool> = if is_array {
            self.each_layer(name, layers)?.unwrap_or_default()
        } else {
            let every = self.optional_size(name)?.unwrap_or(every);
            (1..=layers).map(|i| !i.is_multiple_of(every)).collect()
        };
        Ok(sliding.into_iter().map(|sliding| sliding.then_some(window)).collect())
    }

    /// A flag for each layer, if the file has them.
    pub(super) fn flags(&self, name: &str, layers: usize) -> Result<Option<Vec<bool>>> {
        self.each_layer(name, layers)
    }

    /// A finite number that multiplies or divides: `default` if absent, never 0.
    pub(super) fn factor(&self, name: &str, default: f32) -> Result<f32> {
        let value = self.optional(name)?.unwrap_or(default);
        self.number(name, value, |f| f != 0.0)
    }

    /// A cap of logits or scores: above 0.
    pub(super) fn softcap(&self, name: &str) -> Result<Option<f32>> {
        let cap: Option<f32> = self.optional(name)?;
        cap.map(|cap| self.number(name, cap, |c| c > 0.0)).transpose()
    }

    /// How a text's states become its embedding, without matrices behind pooling. `pooling_type` is llama.cpp's: 0 says
    /// nothing, 4 is for models that rank texts against a question, which have a head of their own.
    ///
    /// # Errors
    /// `Unsupported`, naming the key.
    pub(super) fn embedding(&self) -> Result<EmbeddingSpec> {
        let name = "pooling_type";
        let pooling = match self.optional::<u32>(name)? {
            None | Some(0) => None,
            Some(1) => Some(Pooling::Mean),
            Some(2) => Some(Pooling::Cls),
            Some(3) => Some(Pooling::Last),
            Some(n) => {
                let what = if n == 4 { " (ranking)" } else { "" };
                let message = format!("pooling of type {n}{what} is not supported");
                return Err(Error::new(ErrorKind::Unsupported, message).with_key(self.key(name)));
            }
        };
        Ok(EmbeddingSpec { pooling, dense: Vec::new() })
    }

    /// Token types, of which texts are of the first; 0 if the file does not say.
    pub(super) fn token_types(&self) -> Result<usize> {
        let key = "tokenizer.ggml.token_type_count";
        let types: usize = self.metadata.optional(key)?.unwrap_or(0);
        if types <= MAX_SIZE {
            return Ok(types);
        }
        Err(Error::new(ErrorKind::Limit, format!("{types} is not in 0..={MAX_SIZE}")).with_key(key))
    }

    /// Refuses experts: this version runs dense models of this architecture.
    pub(super) fn refuse_experts(&self) -> Result<()> {
        let name = "expert_count";
        match self.optional::<usize>(name)? {
            None | Some(0) => Ok(()),
            Some(n) => {
                let message = format!("mixture-of-experts models ({n} experts) are not supported yet");
                Err(Error::new(ErrorKind::Unsupported, message).with_key(self.key(name)))
            }
        }
    }
}

/// The sizes that every family with grouped-query attention and a gated feed-forward block states the same way.
pub(super) struct Common {
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) context: usize,
    /// `[layers]`.
    pub(super) heads: Vec<usize>,
    /// `[layers]`.
    pub(super) kv_heads: Vec<usize>,
    pub(super) head_dim: usize,
    /// `[layers]`.
    pub(super) hidden: Vec<usize>,
    pub(super) norm: NormKind,
    pub(super) eps: f32,
}

impl Common {
    /// For a model with RMS norms.
    pub(super) fn read(h: &Hparams<'_>) -> Result<Self> {
        Self::with_norms(h, NormKind::Rms)
    }

    pub(super) fn with_norms(h: &Hparams<'_>, norm: NormKind) -> Result<Self> {
        let (width, layers) = (h.size("embedding_length")?, h.layers()?);
        let heads = h.sizes("attention.head_count", layers)?;
        let kv_heads = if h.optional_is_set("attention.head_count_kv") {
            h.sizes("attention.head_count_kv", layers)?
        } else {
            heads.clone()
        };
        let head_dim = match h.optional_size("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if width.is_multiple_of(heads[0]) => width / heads[0],
            None => {
                let message = format!("{width} is not a multiple of {} heads", heads[0]);
                return Err(Error::new(ErrorKind::Shape, message).with_key(h.key("embedding_length")));
            }
        };
        if let Some(value_length) = h.optional_size("attention.value_length")?
            && value_length != head_dim
        {
            let message =
                format!("value heads of {value_length} beside key heads of {head_dim} are not supported");
            return Err(Error::new(ErrorKind::Unsupported, message).with_key(h.key("attention.value_length")));
        }
        Ok(Self {
            width,
            layers,
            context: h.context()?,
            heads,
            kv_heads,
            head_dim,
            hidden: h.sizes("feed_forward_length", layers)?,
            norm,
            eps: h.norm_eps(norm)?,
        })
    }

    /// The decoder of Llama and its kin: pre-norms, full attention, SiLU, one rotary encoding.
    pub(super) fn plain_decoder(
        &self,
        h: &Hparams<'_>,
        pairing: RopePairing,
        qkv_bias: Bias,
    ) -> Result<ModelSpec> {
        let scaling = h.rope_scaling()?;
        let rope = RopeSpec {
            dims: h.optional_size("rope.dimension_count")?.unwrap_or(self.head_dim),
            base: h.rope_base(10_000.0)?,
            position_divisor: scaling.divisor,
            yarn: scaling.yarn,
            pairing: h.rope_pairing(pairing)?,
            factors: RopeFactors::IfPresent,
            magnitude: scaling.magnitude,
        };
        let layer = |i: usize| LayerSpec {
            norm: NormSpec { kind: self.norm, eps: self.eps, placement: NormPlacement::Pre },
            residual_scale: 1.0,
            attention: AttentionSpec::Gqa(GqaSpec {
                heads: self.heads[i],
                kv_heads: self.kv_heads[i],
                head_dim: self.head_dim,
                qk_norm: QkNorm::None,
                v_norm: false,
                kv: KvSource::Own,
                qkv_bias,
                gated: false,
                chunked: false,
                sinks: false,
                mask: Mask::Causal,
                window: None,
                rope: Some(0),
                scale: 1.0 / (self.head_dim as f32).sqrt(),
                temperature: None,
                softcap: None,
            }),
            ffn: FfnSpec::Gated { hidden: self.hidden[i], act: Activation::Silu, sparsity: None },
        };
        Ok(ModelSpec {
            architecture: h.arch.to_owned(),
            width: self.width,
            vocab: h.vocab,
            context: self.context,
            embed_scale: 1.0,
            embed_extra: None,
            ropes: vec![rope],
            layers: (0..self.layers).map(layer).collect(),
            head: HeadSpec { norm: self.norm, eps: self.eps, softcap: None, scale: 1.0 },
            generates: true,
            embedding: h.embedding()?,
            per_layer: None,
            streams: None,
            predictors: 0,
        })
    }
}

/// What must hold of every specification, whatever the family: the forward pass relies on it.
pub(super) fn check(spec: &ModelSpec) -> Result<()> {
    if spec.per_layer.is_some_and(|p| p.size == 0 || p.size > MAX_SIZE / spec.layers.len().max(1)) {
        return Err(Error::new(ErrorKind::Shape, "embeddings per layer of an impossible size"));
    }
    if spec.streams.is_some_and(|s| !(2..=8).contains(&s)) {
        return Err(Error::new(ErrorKind::Shape, "not 2 to 8 residual streams"));
    }
    check_bidirectional(spec)?;
    let fail =
        |layer: usize, what: String| Err(Error::new(ErrorKind::Shape, format!("layer {layer}: {what}")));
    for (i, layer) in spec.layers.iter().enumerate() {
        let mut sizes = match &layer.attention {
            AttentionSpec::Gqa(a) => {
                if a.heads == 0 || a.kv_heads == 0 || a.heads % a.kv_heads != 0 {
                    return fail(i, format!("{} heads cannot share {} key/value heads", a.heads, a.kv_heads));
                }
                if a.window == Some(0) {
                    return fail(i, "an attention window of 0".to_owned());
                }
                if let KvSource::Layer(from) = a.kv {
                    let own = |b: &GqaSpec| !matches!(b.kv, KvSource::Layer(_));
                    let like = |b: &GqaSpec| {
                        (b.kv_heads, b.head_dim, b.window) == (a.kv_heads, a.head_dim, a.window)
                    };
                    match spec.layers[..i].get(from).map(|l| &l.attention) {
                        Some(AttentionSpec::Gqa(b)) if own(b) && like(b) => {}
                        _ => return fail(i, format!("cannot use the keys and values of layer {from}")),
                    }
                }
                if let Some(rope) = a.rope {
                    check_rope(spec, rope, |dims| dims <= a.head_dim).or_else(|what| fail(i, what))?;
                }
                vec![a.q_row(), a.kv_row(), a.head_dim]
            }
            AttentionSpec::Mla(a) => {
                check_rope(spec, a.rope, |dims| dims == a.rope_dims).or_else(|what| fail(i, what))?;
                let rank = a.q_rank.unwrap_or(a.kv_rank);
                vec![a.q_row(), a.heads * a.key_row(), a.out_row(), a.plain_dims, a.kv_rank, rank]
            }
            AttentionSpec::Delta(a) => {
                if a.key_heads == 0 || a.value_heads % a.key_heads != 0 {
                    let DeltaSpec { key_heads, value_heads, .. } = a;
                    return fail(i, format!("{value_heads} value heads cannot share {key_heads} key heads"));
                }
                vec![a.key_row(), a.value_row(), a.channels(), a.conv]
            }
        };
        sizes.extend([layer.ffn.hidden(), spec.width]);
        if let Some(e) = layer.ffn.experts() {
            experts::check(e).or_else(|what| fail(i, what))?;
            sizes.extend([e.hidden, e.count]);
        }
        if sizes.iter().any(|&s| s == 0 || s > MAX_SIZE) {
            return fail(i, format!("sizes {sizes:?} are not all in 1..={MAX_SIZE}"));
        }
    }
    Ok(())
}

/// The layers of a bidirectional model share one cache, see `Decoder::cache_shapes`.
fn check_bidirectional(spec: &ModelSpec) -> Result<()> {
    let keys = |layer: &LayerSpec| match layer.attention {
        AttentionSpec::Gqa(a) if a.mask == Mask::Bidirectional && a.kv == KvSource::Own => {
            Some((a.kv_heads, a.head_dim))
        }
        _ => None,
    };
    let mut layers = spec.layers.iter().map(keys);
    let first = layers.next().flatten();
    if spec.is_bidirectional() && (first.is_none() || layers.any(|keys| keys != first)) {
        let message = "layers of different attention, of which some see both sides, are not supported";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(())
}

/// Whether there is an encoding `rope` of usable dimensions, or what is wrong.
fn check_rope(
    spec: &ModelSpec,
    rope: usize,
    fits: impl Fn(usize) -> bool,
) -> std::result::Result<(), String> {
    let rope = spec.ropes.get(rope).ok_or_else(|| "no such rotary encoding".to_owned())?;
    if rope.dims == 0 || !rope.dims.is_multiple_of(2) || !fits(rope.dims) {
        return Err(format!("{} rotated dimensions do not fit the heads", rope.dims));
    }
    Ok(())
}
