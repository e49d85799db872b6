//! `gemma2`: Gemma 2 and ShieldGemma: norms before and after each block, every other layer with a sliding window (the
//! first has one), soft caps on attention scores and logits.
//!
//! The 27B model scales queries by its width per head instead of the head's size; the format has no key for that, so it
//! is told by its 46 layers, as in llama.cpp.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{Bias, FfnSpec, ModelSpec, NormPlacement};

pub(super) static FAMILY: Family = Family { arch: &["gemma2"], serves: "Gemma 2, ShieldGemma", spec };

const LAYERS_OF_27B: usize = 46;
/// Early files do not say it.
const WINDOW: usize = 4096;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows_or(WINDOW, c.layers, 2)?;
    let attention_cap = h.softcap("attn_logit_softcapping")?.unwrap_or(50.0);
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    spec.embed_scale = (c.width as f32).sqrt();
    spec.head.softcap = Some(h.softcap("final_logit_softcapping")?.unwrap_or(30.0));
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        let per_query = if c.layers == LAYERS_OF_27B { c.width / c.heads[i] } else { c.head_dim };
        layer.norm.placement = NormPlacement::PrePost;
        layer.gqa().window = windows[i];
        layer.gqa().scale = 1.0 / (per_query as f32).sqrt();
        layer.gqa().softcap = Some(attention_cap);
        layer.ffn = FfnSpec::Gated { hidden: c.hidden[i], act: Activation::GeluTanh, sparsity: None };
    }
    Ok(spec)
}
