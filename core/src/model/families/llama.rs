//! `llama`: what Llama 2 and 3, Mistral, Mixtral, SmolLM2, Yi and many others convert to.
//!
//! Query and key rows were permuted at conversion so that RoPE pairs adjacent elements. A sliding window of the
//! original (Mistral 7B v0.1) is not carried by the format. Llama 3.1's frequency factors are a tensor,
//! `rope_freqs.weight`. Mixtral is told by its experts: a token's two share its weight by softmax.

use super::Family;
use super::experts::SHARES_OF_CHOSEN;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, FfnSpec, ModelSpec};

pub(super) static FAMILY: Family = Family {
    arch: &["llama"],
    serves: "Llama 2 and 3, Mistral, Mixtral, SmolLM2, Yi, DeepSeek-R1 distills of Llama",
    spec,
};

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, usize::MAX)?;
    let mut spec = c.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    for (layer, window) in spec.layers.iter_mut().zip(windows) {
        layer.gqa().window = window;
    }
    if h.expert_count()?.is_some() {
        let experts = FfnSpec::Experts(h.experts(SHARES_OF_CHOSEN)?);
        spec.layers.iter_mut().for_each(|layer| layer.ffn = experts);
    }
    Ok(spec)
}
