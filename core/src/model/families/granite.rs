//! `granite`: IBM Granite 3, dense. Like llama with factors on embeddings, scores, each block's output and logits.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec};

pub(super) static FAMILY: Family = Family { arch: &["granite"], serves: "Granite 3 (dense)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    h.refuse_experts()?;
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    spec.embed_scale = h.factor("embedding_scale", 1.0)?;
    spec.head.scale = 1.0 / h.factor("logit_scale", 1.0)?;
    let residual_scale = h.factor("residual_scale", 1.0)?;
    for layer in &mut spec.layers {
        layer.residual_scale = residual_scale;
        layer.attention.scale = h.factor("attention.scale", layer.attention.scale)?;
    }
    Ok(spec)
}
