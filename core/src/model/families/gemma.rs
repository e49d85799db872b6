//! `gemma`: Gemma 1 and CodeGemma. Like llama with GELU, embeddings scaled by the square root of the width, and RoPE
//! pairs half a head apart. Norm factors in the file already contain Gemma's "1 +".

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::{Activation, RopePairing};
use crate::model::spec::{Bias, FfnSpec, ModelSpec};

pub(super) static FAMILY: Family = Family { arch: &["gemma"], serves: "Gemma 1, CodeGemma", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    spec.embed_scale = (c.width as f32).sqrt();
    for (layer, &hidden) in spec.layers.iter_mut().zip(&c.hidden) {
        layer.ffn = FfnSpec::Gated { hidden, act: Activation::GeluTanh, sparsity: None };
    }
    Ok(spec)
}
