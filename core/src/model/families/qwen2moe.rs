//! `qwen2moe`: Qwen 1.5 and 2 with experts. Like qwen2; a token's experts are weighted by their share among all experts,
//! and one that every token goes through has a gate of its own.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, FfnSpec, Gating, ModelSpec, RouterSpec, SharedSpec};

pub(super) static FAMILY: Family =
    Family { arch: &["qwen2moe"], serves: "Qwen 1.5 and 2 with experts (57B-A14B)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Halves, Bias::Required)?;
    let router = RouterSpec { gating: Gating::Softmax, normalised: false, scale: 1.0, groups: None };
    let mut experts = h.experts(router)?;
    // The first files state only the rows that a token goes through, which are also those of the shared expert.
    let early = h.optional_size("expert_feed_forward_length")?.is_none().then_some(experts.hidden);
    if let Some(rows) = early {
        experts.hidden = (rows / experts.used).max(1);
    }
    let usual = early.map(|hidden| SharedSpec { hidden, gated: true });
    experts.shared = h.shared_expert(experts.hidden, true)?.or(usual);
    spec.layers.iter_mut().for_each(|layer| layer.ffn = FfnSpec::Experts(experts));
    Ok(spec)
}
