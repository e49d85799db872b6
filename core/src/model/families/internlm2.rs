//! `internlm2`: InternLM 2 and 2.5. Like llama; the fused product of the original is split at conversion.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec};

pub(super) static FAMILY: Family = Family { arch: &["internlm2"], serves: "InternLM 2 and 2.5", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)
}
