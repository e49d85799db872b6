//! `qwen3`: Qwen 3, dense. Like qwen2 with a norm on every query and key head instead of biases.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec, QkNorm};

pub(super) static FAMILY: Family = Family { arch: &["qwen3"], serves: "Qwen 3 (dense)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    for layer in &mut spec.layers {
        layer.gqa().qk_norm = QkNorm::Head;
    }
    Ok(spec)
}
