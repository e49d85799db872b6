//! `hunyuan-dense`: Hunyuan, dense. Like llama with a norm on every query and key head behind the rotation, and RoPE
//! pairs half a head apart. The longer context of the original (an NTK factor) is in the file's frequency base.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec, QkNorm};

pub(super) static FAMILY: Family = Family { arch: &["hunyuan-dense"], serves: "Hunyuan (dense)", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let mut spec = Common::read(h)?.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    for layer in &mut spec.layers {
        layer.gqa().qk_norm = QkNorm::HeadRotated;
    }
    Ok(spec)
}
