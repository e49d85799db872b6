//! `gemma3n`: Gemma 3n (text of E2B and E4B): four residual streams that are updated in turn, a low-rank path beside
//! attention, embeddings of each layer's own, sparse activations in the first layers, and later layers that use the keys
//! and values of earlier ones. Scores are not scaled; values are normed.

use super::Family;
use super::hparams::{Common, Hparams};
use super::positions::SLIDING_BASE;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{Bias, FfnSpec, KvSource, ModelSpec, NormPlacement, QkNorm, RopeFactors};

pub(super) static FAMILY: Family = Family { arch: &["gemma3n"], serves: "Gemma 3n (text of E2B, E4B)", spec };

/// Every so many layers one sees the whole context, unless the file says otherwise.
const PATTERN: usize = 5;
const GLOBAL: usize = 0;
const SLIDING: usize = 1;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, PATTERN)?;
    let sources = h.kv_sources(&windows, KvSource::Own)?;
    let active = "altup.active_idx";
    if h.optional::<usize>(active)?.unwrap_or(0) != 0 {
        let message = "blocks that see another residual stream than the first are not supported";
        return Err(Error::new(ErrorKind::Unsupported, message).with_key(h.key(active)));
    }
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    spec.ropes[GLOBAL].factors = RopeFactors::None;
    spec.ropes.push(spec.ropes[GLOBAL].unscaled(h.sliding_rope_base(SLIDING_BASE)?));
    spec.embed_scale = (c.width as f32).sqrt();
    spec.head.softcap = Some(h.softcap("final_logit_softcapping")?.unwrap_or(30.0)); // files of 2025 do not say it
    spec.per_layer = h.per_layer()?;
    if spec.per_layer.is_none() {
        let message = "Gemma 3n without embeddings of each layer's own";
        let key = h.key("embedding_length_per_layer_input");
        return Err(Error::new(ErrorKind::Unsupported, message).with_key(key));
    }
    spec.streams = Some(h.size("altup.num_inputs")?);
    let sparsity = h.deviations(c.layers)?;
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        layer.norm.placement = NormPlacement::PrePost;
        let a = layer.gqa();
        a.window = windows[i];
        a.rope = Some(if windows[i].is_some() { SLIDING } else { GLOBAL });
        (a.qk_norm, a.v_norm, a.scale, a.kv) = (QkNorm::Head, true, 1.0, sources[i]);
        layer.ffn = FfnSpec::Gated { hidden: c.hidden[i], act: Activation::GeluTanh, sparsity: sparsity[i] };
    }
    Ok(spec)
}

impl Hparams<'_> {
    /// `activation_sparsity_scale`: deviations above the mean that gates are cut at, layer by layer; those that are not cut
    /// say `-inf`.
    fn deviations(&self, layers: usize) -> Result<Vec<Option<f32>>> {
        let name = "activation_sparsity_scale";
        let all = self.per_layer_numbers(name, layers)?.unwrap_or_else(|| vec![f32::NEG_INFINITY; layers]);
        let one = |x: f32| match x {
            f32::NEG_INFINITY => Ok(None),
            x => self.number(name, x, |x| x.abs() < 100.0).map(Some),
        };
        all.into_iter().map(one).collect()
    }
}
