//! `smollm3`: SmolLM3. Like llama, but every fourth layer does not encode positions (NoPE, Yang et al. 2025).

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec};

pub(super) static FAMILY: Family = Family { arch: &["smollm3"], serves: "SmolLM3", spec };

/// Every so many layers one has no positions; the format has no key for it.
const NO_POSITIONS: usize = 4;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    for layer in spec.layers.iter_mut().skip(NO_POSITIONS - 1).step_by(NO_POSITIONS) {
        layer.gqa().rope = None;
    }
    Ok(spec)
}
