//! `olmo2`: OLMo 2 and 3: norms only on each block's output, and one norm over all heads of the queries, one over those
//! of the keys. OLMo 3 adds sliding windows on all but every fourth layer; YaRN is for the others alone.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec, NormPlacement, QkNorm};

pub(super) static FAMILY: Family = Family { arch: &["olmo2"], serves: "OLMo 2 and 3", spec };

const GLOBAL: usize = 0;
const SLIDING: usize = 1;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, 4)?;
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    let global = spec.ropes[GLOBAL];
    spec.ropes.push(global.unscaled(h.sliding_rope_base(global.base)?));
    for (layer, window) in spec.layers.iter_mut().zip(windows) {
        layer.norm.placement = NormPlacement::Post;
        layer.gqa().qk_norm = QkNorm::Row;
        layer.gqa().rope = Some(if window.is_some() { SLIDING } else { GLOBAL });
        layer.gqa().window = window;
    }
    Ok(spec)
}
