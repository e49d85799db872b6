//! Hyperparameters: metadata under the architecture's prefix, with limits.

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{FromValue, Metadata};
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{
    AttentionSpec, Bias, FfnSpec, HeadSpec, LayerSpec, ModelSpec, NormPlacement, NormSpec, QkNorm,
    RopeFactors, RopeSpec,
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

    fn key(&self, name: &str) -> String {
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

    pub(super) fn layers(&self) -> Result<usize> {
        let value = self.require("block_count")?;
        self.in_range("block_count", value, MAX_LAYERS)
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
        let key = self.key(name);
        let values: Vec<usize> = self
            .metadata
            .per_layer(&key, layers)?
            .ok_or_else(|| Error::new(ErrorKind::Missing, "required metadata is absent").with_key(key))?;
        values.into_iter().map(|value| self.in_range(name, value, MAX_SIZE)).collect()
    }

    /// The epsilon of RMS norms: finite, not negative.
    pub(super) fn rms_eps(&self) -> Result<f32> {
        let name = "attention.layer_norm_rms_epsilon";
        let eps: f32 = self.require(name)?;
        self.number(name, eps, |e| (0.0..=1.0).contains(&e))
    }

    /// The base of rotary frequencies.
    pub(super) fn rope_base(&self, default: f32) -> Result<f32> {
        let name = "rope.freq_base";
        let base = self.optional(name)?.unwrap_or(default);
        self.number(name, base, |b| b > 1.0)
    }

    /// Fails unless `value` is finite and `ok`.
    pub(super) fn number(&self, name: &str, value: f32, ok: impl Fn(f32) -> bool) -> Result<f32> {
        if value.is_finite() && ok(value) {
            return Ok(value);
        }
        Err(Error::new(ErrorKind::Shape, format!("{value} is not usable here")).with_key(self.key(name)))
    }

    /// The divisor of positions: 1 without scaling.
    ///
    /// # Errors
    /// `Unsupported` for scalings other than linear, naming the key.
    pub(super) fn linear_rope_scaling(&self) -> Result<f32> {
        let name = "rope.scaling.type";
        let kind: Option<String> = self.optional(name)?;
        match kind.as_deref() {
            Some("none") => Ok(1.0),
            Some("linear") => {
                let name = "rope.scaling.factor";
                let factor: f32 = self.require(name)?;
                self.number(name, factor, |f| f > 0.0)
            }
            // Files from before the type existed carry the factor alone.
            None => {
                let name = "rope.scale_linear";
                let factor = self.optional(name)?.unwrap_or(1.0);
                self.number(name, factor, |f| f > 0.0)
            }
            Some(other) => {
                let message = format!("RoPE scaling \"{other}\" is not supported for this architecture");
                Err(Error::new(ErrorKind::Unsupported, message).with_key(self.key(name)))
            }
        }
    }

    /// Which layers have a sliding window, and its size: `attention.sliding_window_pattern` says so as an array of bools,
    /// or as a number `n` for all but every `n`th; without it that number is `every`. Empty windows are none at all.
    ///
    /// # Errors
    /// `Shape` or `Limit`, naming the key.
    pub(super) fn windows(&self, layers: usize, every: usize) -> Result<Vec<Option<usize>>> {
        let Some(window) = self.optional::<usize>("attention.sliding_window")?.filter(|&w| w > 0) else {
            return Ok(vec![None; layers]);
        };
        let window = self.in_range("attention.sliding_window", window, MAX_CONTEXT)?;
        let name = "attention.sliding_window_pattern";
        let is_array = self.metadata.get(&self.key(name)).is_some_and(|v| v.as_array().is_some());
        let sliding: Vec<bool> = if is_array {
            self.metadata.per_layer(&self.key(name), layers)?.unwrap_or_default()
        } else {
            let every = self.optional_size(name)?.unwrap_or(every);
            (1..=layers).map(|i| !i.is_multiple_of(every)).collect()
        };
        Ok(sliding.into_iter().map(|sliding| sliding.then_some(window)).collect())
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
    pub(super) eps: f32,
}

impl Common {
    pub(super) fn read(h: &Hparams<'_>) -> Result<Self> {
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
            eps: h.rms_eps()?,
        })
    }

    /// The decoder of Llama and its kin: pre-norms, full attention, SiLU, one rotary encoding.
    pub(super) fn plain_decoder(
        &self,
        h: &Hparams<'_>,
        pairing: RopePairing,
        qkv_bias: Bias,
    ) -> Result<ModelSpec> {
        let rope = RopeSpec {
            dims: h.optional_size("rope.dimension_count")?.unwrap_or(self.head_dim),
            base: h.rope_base(10_000.0)?,
            position_divisor: h.linear_rope_scaling()?,
            pairing,
            factors: RopeFactors::IfPresent,
            magnitude: 1.0,
        };
        let layer = |i: usize| LayerSpec {
            norm: NormSpec { eps: self.eps, placement: NormPlacement::Pre },
            residual_scale: 1.0,
            attention: AttentionSpec {
                heads: self.heads[i],
                kv_heads: self.kv_heads[i],
                head_dim: self.head_dim,
                qk_norm: QkNorm::None,
                qkv_bias,
                window: None,
                rope: Some(0),
                scale: 1.0 / (self.head_dim as f32).sqrt(),
                softcap: None,
            },
            ffn: FfnSpec::Gated { hidden: self.hidden[i], act: Activation::Silu },
        };
        Ok(ModelSpec {
            architecture: h.arch.to_owned(),
            width: self.width,
            vocab: h.vocab,
            context: self.context,
            embed_scale: 1.0,
            ropes: vec![rope],
            layers: (0..self.layers).map(layer).collect(),
            head: HeadSpec { eps: self.eps, softcap: None, scale: 1.0 },
        })
    }
}

/// What must hold of every specification, whatever the family: the forward pass relies on it.
pub(super) fn check(spec: &ModelSpec) -> Result<()> {
    let fail =
        |layer: usize, what: String| Err(Error::new(ErrorKind::Shape, format!("layer {layer}: {what}")));
    for (i, layer) in spec.layers.iter().enumerate() {
        let a = &layer.attention;
        if a.heads == 0 || a.kv_heads == 0 || a.heads % a.kv_heads != 0 {
            return fail(i, format!("{} heads cannot share {} key/value heads", a.heads, a.kv_heads));
        }
        if let Some(rope) = a.rope {
            let Some(rope) = spec.ropes.get(rope) else {
                return fail(i, "no such rotary encoding".to_owned());
            };
            if rope.dims == 0 || rope.dims % 2 != 0 || rope.dims > a.head_dim {
                return fail(i, format!("{} rotated dimensions in heads of {}", rope.dims, a.head_dim));
            }
        }
        let sizes = [a.q_row(), a.kv_row(), layer.ffn.hidden(), a.head_dim, spec.width];
        if sizes.iter().any(|&s| s == 0 || s > MAX_SIZE) {
            return fail(i, format!("sizes {sizes:?} are not all in 1..={MAX_SIZE}"));
        }
        if a.window == Some(0) {
            return fail(i, "an attention window of 0".to_owned());
        }
        let FfnSpec::Gated { .. } = layer.ffn;
    }
    Ok(())
}
