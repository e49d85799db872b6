//! `glm4`: GLM 4 (0414): norms before and after each block, half of each head rotated, gate and up in one tensor.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec, NormPlacement};

pub(super) static FAMILY: Family = Family { arch: &["glm4"], serves: "GLM 4 (0414)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    for layer in &mut spec.layers {
        layer.norm.placement = NormPlacement::PrePost;
    }
    Ok(spec)
}
