//! `qwen3moe`: Qwen 3 with experts (30B-A3B, 235B-A22B). Like qwen3; a token's experts share its weight by softmax.

use super::Family;
use super::experts::SHARES_OF_CHOSEN;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, FfnSpec, ModelSpec, QkNorm};

pub(super) static FAMILY: Family =
    Family { arch: &["qwen3moe"], serves: "Qwen 3 with experts (30B-A3B, 235B-A22B)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    let experts = FfnSpec::Experts(h.experts(SHARES_OF_CHOSEN)?);
    for layer in &mut spec.layers {
        layer.gqa().qk_norm = QkNorm::Head;
        layer.ffn = experts;
    }
    Ok(spec)
}
