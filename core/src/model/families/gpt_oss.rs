//! `gpt-oss`: OpenAI's gpt-oss (20B, 120B): experts with biases whose activations are clamped, every other layer with a
//! sliding window (the first has one), a sink in every head, YaRN.

use super::Family;
use super::experts::SHARES_OF_CHOSEN;
use super::hparams::{Common, Hparams};
use super::positions::YARN_TRUNCATE;
use crate::error::Result;
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{Bias, ExpertsSpec, FfnSpec, ModelSpec};

pub(super) static FAMILY: Family = Family { arch: &["gpt-oss"], serves: "gpt-oss (20B, 120B)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, 2)?;
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::Required)?;
    // As OpenAI publishes them (`"truncate": false`). GGUF has no key for it.
    if let (Some(yarn), None) = (&mut spec.ropes[0].yarn, h.optional::<bool>(YARN_TRUNCATE)?) {
        yarn.rounded = false;
    }
    let experts = ExpertsSpec { act: Activation::ClampedSwish, ..h.experts(SHARES_OF_CHOSEN)? };
    for (layer, window) in spec.layers.iter_mut().zip(windows) {
        (layer.gqa().window, layer.gqa().sinks) = (window, true);
        layer.ffn = FfnSpec::Experts(experts);
    }
    Ok(spec)
}
