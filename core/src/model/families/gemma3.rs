//! `gemma3`: Gemma 3, text part: five sliding-window layers to one that sees everything, a norm on every query and key
//! head, norms before and after each block, embeddings scaled by the square root of the width.
//!
//! Norm factors in the file already contain Gemma's "1 +". Sliding layers rotate with a base of their own and are never
//! scaled; a file without a window has none of them (Rnj-1). The 27B model scales queries by its width per head instead
//! of the head's size; the format has no key for that, so it is told by its 62 layers, as in llama.cpp.

use super::Family;
use super::hparams::{Common, Hparams};
use super::positions::{RopeScaling, SLIDING_BASE};
use crate::error::Result;
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{
    AttentionSpec, Bias, FfnSpec, GqaSpec, HeadSpec, KvSource, LayerSpec, Mask, ModelSpec, NormKind,
    NormPlacement, NormSpec, QkNorm, RopeFactors, RopeSpec,
};

pub(super) static FAMILY: Family =
    Family { arch: &["gemma3"], serves: "Gemma 3 (text of 270M, 1B, 4B, 12B, 27B)", spec };

/// Every so many layers one sees the whole context, unless the file says otherwise.
const PATTERN: usize = 6;
const LAYERS_OF_27B: usize = 62;
const GLOBAL: usize = 0;
const SLIDING: usize = 1;

pub(super) fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, PATTERN)?;
    let rope = |base, scaling: RopeScaling| RopeSpec {
        dims: c.head_dim,
        base,
        position_divisor: scaling.divisor,
        yarn: scaling.yarn,
        pairing: RopePairing::Halves,
        factors: RopeFactors::None,
        magnitude: scaling.magnitude,
    };
    let sliding_base = h.sliding_rope_base(SLIDING_BASE)?;
    let softcap = h.softcap("final_logit_softcapping")?;
    let layer = |i: usize| {
        let global = windows[i].is_none();
        let per_query = if c.layers == LAYERS_OF_27B { c.width / c.heads[i] } else { c.head_dim };
        LayerSpec {
            norm: NormSpec { kind: NormKind::Rms, eps: c.eps, placement: NormPlacement::PrePost },
            residual_scale: 1.0,
            attention: AttentionSpec::Gqa(GqaSpec {
                heads: c.heads[i],
                kv_heads: c.kv_heads[i],
                head_dim: c.head_dim,
                qk_norm: QkNorm::Head,
                v_norm: false,
                kv: KvSource::Own,
                qkv_bias: Bias::IfPresent,
                gated: false,
                chunked: false,
                sinks: false,
                mask: Mask::Causal,
                window: windows[i],
                rope: Some(if global { GLOBAL } else { SLIDING }),
                scale: 1.0 / (per_query as f32).sqrt(),
                temperature: None,
                softcap: None,
            }),
            ffn: FfnSpec::Gated { hidden: c.hidden[i], act: Activation::GeluTanh, sparsity: None },
        }
    };
    Ok(ModelSpec {
        architecture: h.arch.to_owned(),
        width: c.width,
        vocab: h.vocab,
        context: c.context,
        embed_scale: (c.width as f32).sqrt(),
        embed_extra: None,
        ropes: vec![
            rope(h.rope_base(1_000_000.0)?, h.rope_scaling()?),
            rope(sliding_base, RopeScaling::NONE),
        ],
        layers: (0..c.layers).map(layer).collect(),
        head: HeadSpec { norm: NormKind::Rms, eps: c.eps, softcap, scale: 1.0 },
        generates: true,
        embedding: h.embedding()?,
        per_layer: None,
        streams: None,
        predictors: 0,
    })
}
