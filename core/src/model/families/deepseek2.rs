//! `deepseek2`: DeepSeek V2, V2 Lite, V2.5, V3, R1, and models built alike (Kimi K2, Mistral Large 3): multi-head latent
//! attention with YaRN; a few dense layers, then experts with a shared one.
//!
//! Sizes of keys and values: files with `attn_kv_b` state those of the heads; newer ones, with that matrix in two, state
//! those of the latent as attention sees it, and those of the heads under names of their own. Their
//! `yarn_log_multiplier` is a tenth of the original's `mscale_all_dim`; scores are multiplied with the square of the
//! magnitude that follows from it, and rotated elements with none, as `mscale` is the same in all published models.

use super::Family;
use super::hparams::Hparams;
use super::positions::RopeScaling;
use crate::error::Result;
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{
    AttentionSpec, ExpertsSpec, FfnSpec, Gating, GroupScore, HeadSpec, LayerSpec, MlaSpec, ModelSpec,
    NormKind, NormPlacement, NormSpec, RopeFactors, RopeSpec,
};

pub(super) static FAMILY: Family =
    Family { arch: &["deepseek2"], serves: "DeepSeek V2, V2 Lite, V3 and R1, Kimi K2", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let (width, layers, context) = (h.size("embedding_length")?, h.layers()?, h.context()?);
    let eps = h.norm_eps(NormKind::Rms)?;
    let scaling = h.rope_scaling()?;
    let (attention, rope) = attention(h, &scaling)?;
    let original = scaling.yarn.map_or(context, |yarn| yarn.original);
    let temperature = h.temperature(original, 0)?;
    let heads = h.sizes("attention.head_count", layers)?;
    let hidden = h.sizes("feed_forward_length", layers)?;
    let dense: usize = h.optional("leading_dense_block_count")?.unwrap_or(0);
    let experts = match h.expert_count()? {
        None => None,
        Some(_) => {
            // V2 scores a group by its best expert, V3, whose scores are sigmoids, by its two best.
            let router = h.router(|gating| match gating {
                Gating::Softmax => GroupScore::Best,
                Gating::Sigmoid => GroupScore::TwoBest,
            })?;
            let experts = h.experts(router)?;
            Some(ExpertsSpec { shared: h.shared_expert(experts.hidden, false)?, ..experts })
        }
    };
    let layer = |i: usize| LayerSpec {
        norm: NormSpec { kind: NormKind::Rms, eps, placement: NormPlacement::Pre },
        residual_scale: 1.0,
        attention: AttentionSpec::Mla(MlaSpec { heads: heads[i], temperature, ..attention }),
        ffn: match experts {
            Some(experts) if i >= dense => FfnSpec::Experts(experts),
            _ => FfnSpec::Gated { hidden: hidden[i], act: Activation::Silu, sparsity: None },
        },
    };
    Ok(ModelSpec {
        architecture: h.arch.to_owned(),
        width,
        vocab: h.vocab,
        context,
        embed_scale: 1.0,
        embed_extra: None,
        ropes: vec![rope],
        layers: (0..layers).map(layer).collect(),
        head: HeadSpec { norm: NormKind::Rms, eps, softcap: None, scale: 1.0 },
        generates: true,
        embedding: h.embedding()?,
        per_layer: None,
        streams: None,
        predictors: 0,
    })
}

/// Attention but for the number of heads, and its rotary encoding.
fn attention(h: &Hparams<'_>, scaling: &RopeScaling) -> Result<(MlaSpec, RopeSpec)> {
    let rope_dims = h.size("rope.dimension_count")?;
    let of_heads = |name: &str| match h.optional_size(&format!("{name}_mla"))? {
        Some(size) => Ok(size),
        None => h.size(name),
    };
    let (key_dim, value_dim) = (of_heads("attention.key_length")?, of_heads("attention.value_length")?);
    let log = libm::logf(scaling.divisor.max(1.0));
    let (score_magnitude, magnitude) = match scaling.log_multiplier {
        Some(multiplier) => (1.0 + multiplier * log, scaling.attention),
        None => (1.0, scaling.magnitude),
    };
    let attention = MlaSpec {
        heads: 0,
        q_rank: h.optional_size("attention.q_lora_rank")?,
        kv_rank: h.size("attention.kv_lora_rank")?,
        plain_dims: key_dim.saturating_sub(rope_dims), // 0 is refused for every family
        rope_dims,
        value_dim,
        rope: 0,
        scale: score_magnitude * score_magnitude / (key_dim as f32).sqrt(),
        temperature: None,
    };
    let rope = RopeSpec {
        dims: rope_dims,
        base: h.rope_base(10_000.0)?,
        position_divisor: scaling.divisor,
        yarn: scaling.yarn,
        pairing: RopePairing::Adjacent,
        factors: RopeFactors::None,
        magnitude,
    };
    Ok((attention, rope))
}
