//! `granite`, `granitemoe`: IBM Granite 3. Like llama with factors on embeddings, scores, each block's output and logits.
//! A token's experts, where there are any, share its weight by softmax.

use super::Family;
use super::experts::SHARES_OF_CHOSEN;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ExpertsSpec, FfnSpec, ModelSpec};

pub(super) static FAMILY: Family =
    Family { arch: &["granite", "granitemoe"], serves: "Granite 3 (dense and with experts)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    spec.embed_scale = h.factor("embedding_scale", 1.0)?;
    spec.head.scale = 1.0 / h.factor("logit_scale", 1.0)?;
    let residual_scale = h.factor("residual_scale", 1.0)?;
    for layer in &mut spec.layers {
        layer.residual_scale = residual_scale;
        let attention = layer.gqa();
        attention.scale = h.factor("attention.scale", attention.scale)?;
    }
    if h.expert_count()?.is_some() {
        let experts = h.experts(SHARES_OF_CHOSEN)?;
        let shared = h.shared_expert(experts.hidden, false)?;
        let ffn = FfnSpec::Experts(ExpertsSpec { shared, ..experts });
        spec.layers.iter_mut().for_each(|layer| layer.ffn = ffn);
    }
    Ok(spec)
}
