//! `qwen2`: Qwen 2 and 2.5, and the DeepSeek-R1 distills of Qwen.
//!
//! Like llama with biases on query, key and value, and RoPE pairs half a head apart.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec};

pub(super) static FAMILY: Family =
    Family { arch: &["qwen2"], serves: "Qwen 2 and 2.5 (Coder, Math), DeepSeek-R1 distills of Qwen", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    Common::read(h)?.plain_decoder(h, RopePairing::Halves, Bias::Required)
}
