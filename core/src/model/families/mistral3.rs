//! `mistral3`: Ministral 3 and Mistral Small 3.1 onwards (text). Like llama with YaRN, and in Ministral queries scaled by
//! their position, in steps of YaRN's original context.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec};

pub(super) static FAMILY: Family =
    Family { arch: &["mistral3"], serves: "Ministral 3, Mistral Small 3 and Devstral (text, dense)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    h.refuse_experts()?;
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    let original = spec.ropes[0].yarn.map_or(spec.context, |yarn| yarn.original);
    let temperature = h.temperature(original, 0)?;
    for layer in &mut spec.layers {
        layer.gqa().temperature = temperature;
    }
    Ok(spec)
}
