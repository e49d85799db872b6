//! `phi3`: Phi 3, 3.5 and 4. Like llama with query, key and value in one tensor, gate and up in another, and RoPE pairs
//! half a head apart, of which Phi 4 rotates three quarters. Models of 128k tokens have LongRoPE, told by their factors'
//! original context, and a magnitude besides.
//!
//! A sliding window that the file states (2,047 for the models of 4k tokens) holds in every layer; 0 is none.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec, RopeFactors};

pub(super) static FAMILY: Family = Family { arch: &["phi3"], serves: "Phi 3, 3.5 and 4 (text, dense)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    h.refuse_experts()?;
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, usize::MAX)?;
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    for (layer, window) in spec.layers.iter_mut().zip(windows) {
        layer.gqa().window = window;
    }
    let magnitude: Option<f32> = h.optional("rope.scaling.attn_factor")?;
    for rope in &mut spec.ropes {
        rope.factors = RopeFactors::None;
        if let Some(magnitude) = magnitude {
            let original = h.size("rope.scaling.original_context_length")?;
            rope.factors = RopeFactors::ByContext { original };
            rope.magnitude = h.number("rope.scaling.attn_factor", magnitude, |m| m > 0.0)?;
        }
    }
    Ok(spec)
}
