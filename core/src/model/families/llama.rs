//! `llama`: what Llama 2 and 3, Mistral, SmolLM2, Yi and many others convert to.
//!
//! Query and key rows were permuted at conversion so that RoPE pairs adjacent elements. A sliding window of the
//! original (Mistral 7B v0.1) is not carried by the format. Llama 3.1's frequency factors are a tensor,
//! `rope_freqs.weight`.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec};

pub(super) static FAMILY: Family = Family {
    arch: &["llama"],
    serves: "Llama 2 and 3, Mistral, SmolLM2, Yi, DeepSeek-R1 distills of Llama",
    spec,
};

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    h.refuse_experts()?;
    Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)
}
