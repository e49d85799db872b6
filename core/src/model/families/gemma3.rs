//! `gemma3`: Gemma 3, text part: five sliding-window layers to one that sees everything, a norm on every query and key
//! head, norms before and after each block, embeddings scaled by the square root of the width.
//!
//! Norm factors in the file already contain Gemma's "1 +". Sliding layers rotate with a base of their own and are
//! never scaled. The 27B model scales queries by its width per head instead of the head's size; the format has no key
//! for that, so it is told by its 62 layers, as in llama.cpp.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{
    AttentionSpec, Bias, FfnSpec, HeadSpec, LayerSpec, ModelSpec, NormPlacement, NormSpec, QkNorm,
    RopeFactors, RopeSpec,
};

pub(super) static FAMILY: Family =
    Family { arch: &["gemma3"], serves: "Gemma 3 (text of 270M, 1B, 4B, 12B, 27B)", spec };

/// Every so many layers one sees the whole context, unless the file says otherwise.
const PATTERN: usize = 6;
const LAYERS_OF_27B: usize = 62;
const GLOBAL: usize = 0;
const SLIDING: usize = 1;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    h.size("attention.sliding_window")?; // without one it is no Gemma 3
    let windows = h.windows(c.layers, PATTERN)?;
    let rope = |base, position_divisor| RopeSpec {
        dims: c.head_dim,
        base,
        position_divisor,
        pairing: RopePairing::Halves,
        factors: RopeFactors::None,
        magnitude: 1.0,
    };
    let sliding_base = h.optional("rope.freq_base_swa")?.unwrap_or(10_000.0);
    let sliding_base = h.number("rope.freq_base_swa", sliding_base, |b| b > 1.0)?;
    let softcap = h.softcap("final_logit_softcapping")?;
    let layer = |i: usize| {
        let global = windows[i].is_none();
        let per_query = if c.layers == LAYERS_OF_27B { c.width / c.heads[i] } else { c.head_dim };
        LayerSpec {
            norm: NormSpec { eps: c.eps, placement: NormPlacement::PrePost },
            residual_scale: 1.0,
            attention: AttentionSpec {
                heads: c.heads[i],
                kv_heads: c.kv_heads[i],
                head_dim: c.head_dim,
                qk_norm: QkNorm::Head,
                qkv_bias: Bias::IfPresent,
                window: windows[i],
                rope: Some(if global { GLOBAL } else { SLIDING }),
                scale: 1.0 / (per_query as f32).sqrt(),
                softcap: None,
            },
            ffn: FfnSpec::Gated { hidden: c.hidden[i], act: Activation::GeluTanh },
        }
    };
    Ok(ModelSpec {
        architecture: h.arch.to_owned(),
        width: c.width,
        vocab: h.vocab,
        context: c.context,
        embed_scale: (c.width as f32).sqrt(),
        ropes: vec![rope(h.rope_base(1_000_000.0)?, h.linear_rope_scaling()?), rope(sliding_base, 1.0)],
        layers: (0..c.layers).map(layer).collect(),
        head: HeadSpec { eps: c.eps, softcap, scale: 1.0 },
    })
}
