//! `llama4`: Llama 4 (text of Scout, Maverick). Like llama with experts in every layer or every other one (one chosen, whose
//! weight multiplies its input, beside one that every token goes through), windows that lie side by side, and every fourth
//! layer without positions, which sees everything and scales its queries by their position instead.
//!
//! The format has no keys for the window, the steps of that scaling, and whether queries and keys are normed; all published
//! models have 8,192 and 0.1, and norms unless they have 128 experts (Maverick), as in llama.cpp.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{
    Bias, ExpertsSpec, FfnSpec, Gating, ModelSpec, QkNorm, RouterSpec, SharedSpec, Temperature, Weighted,
};

pub(super) static FAMILY: Family =
    Family { arch: &["llama4"], serves: "Llama 4 (text of Scout, Maverick)", spec };

/// Every so many layers one has no positions.
const PATTERN: usize = 4;
const WINDOW: usize = 8192;
const EXPERTS_OF_MAVERICK: usize = 128;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    let router = RouterSpec { gating: Gating::Sigmoid, normalised: false, scale: 1.0, groups: None };
    let experts = h.experts(router)?;
    let shared = Some(SharedSpec { hidden: experts.hidden, gated: false });
    let experts = ExpertsSpec { weighted: Weighted::Input, shared, ..experts };
    let step = h.optional_size("interleave_moe_layer_step")?.unwrap_or(1);
    let window = h.optional_size("attention.chunk_size")?.unwrap_or(WINDOW);
    let temperature = Temperature {
        strength: h.positive("attention.temperature_scale", Some(0.1))?,
        every: h.optional_size("attention.temperature_length")?.unwrap_or(WINDOW),
        offset: 1,
    };
    let normed = h.optional("attention.use_qk_norm")?.unwrap_or(experts.count != EXPERTS_OF_MAVERICK);
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        let a = layer.gqa();
        if (i + 1).is_multiple_of(PATTERN) {
            (a.rope, a.temperature) = (None, Some(temperature));
        } else {
            (a.window, a.chunked) = (Some(window), true);
            a.qk_norm = if normed { QkNorm::Unit } else { QkNorm::None };
        }
        if (i + 1).is_multiple_of(step) {
            layer.ffn = FfnSpec::Experts(experts);
        }
    }
    Ok(spec)
}
