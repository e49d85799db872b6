//! `gemma4`: Gemma 4 (text): like Gemma 3 with scores that are not scaled, values that are normed, larger heads in layers
//! that see everything, a factor on each layer's output, and, model by model: embeddings of each layer's own, later layers
//! that use the keys and values of earlier ones (E2B, E4B), values made from the keys (31B), experts beside the usual
//! feed-forward block (26B-A4B).

use super::Family;
use super::experts::SHARES_OF_CHOSEN;
use super::hparams::{Common, Hparams};
use super::positions::SLIDING_BASE;
use crate::error::Result;
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{
    Bias, ExpertsSpec, FfnSpec, KvSource, ModelSpec, NormPlacement, QkNorm, RopeSpec, SharedSpec,
};

pub(super) static FAMILY: Family = Family { arch: &["gemma4"], serves: "Gemma 4 (text)", spec };

/// Every so many layers one sees the whole context, unless the file says otherwise.
const PATTERN: usize = 6;
const GLOBAL: usize = 0;
const SLIDING: usize = 1;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, PATTERN)?;
    let sliding_dim = h.optional_size("attention.key_length_swa")?.unwrap_or(c.head_dim);
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    spec.ropes.push(RopeSpec {
        dims: h.optional_size("rope.dimension_count_swa")?.unwrap_or(sliding_dim),
        ..spec.ropes[GLOBAL].unscaled(h.sliding_rope_base(SLIDING_BASE)?)
    });
    spec.embed_scale = (c.width as f32).sqrt();
    spec.head.softcap = h.softcap("final_logit_softcapping")?;
    spec.per_layer = h.per_layer()?;
    let sources = h.kv_sources(&windows, KvSource::OwnKeys)?;
    let experts = h.expert_count()?.map(|_| h.experts(SHARES_OF_CHOSEN)).transpose()?;
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        layer.norm.placement = NormPlacement::PrePost;
        let a = layer.gqa();
        a.window = windows[i];
        (a.head_dim, a.rope) = match windows[i] {
            Some(_) => (sliding_dim, Some(SLIDING)),
            None => (c.head_dim, Some(GLOBAL)),
        };
        (a.qk_norm, a.v_norm, a.scale, a.kv) = (QkNorm::Head, true, 1.0, sources[i]);
        let (hidden, act) = (c.hidden[i], Activation::GeluTanh);
        layer.ffn = match experts {
            None => FfnSpec::Gated { hidden, act, sparsity: None },
            Some(experts) => FfnSpec::Experts(ExpertsSpec {
                act,
                shared: Some(SharedSpec { hidden, gated: false }),
                normed: true,
                ..experts
            }),
        };
    }
    Ok(spec)
}
