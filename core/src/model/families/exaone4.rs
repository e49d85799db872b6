//! `exaone4`: EXAONE 4: norms only on each block's output, a norm on every query and key head. Models with sliding
//! windows (32B) have them on all but every fourth layer, and that one does not encode positions.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec, NormPlacement, QkNorm};

pub(super) static FAMILY: Family = Family { arch: &["exaone4"], serves: "EXAONE 4", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let windows = h.windows(c.layers, 4)?;
    let hybrid = windows.iter().any(Option::is_some);
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    for (layer, window) in spec.layers.iter_mut().zip(windows) {
        layer.norm.placement = NormPlacement::Post;
        layer.gqa().qk_norm = QkNorm::Head;
        layer.gqa().window = window;
        if hybrid && window.is_none() {
            layer.gqa().rope = None;
        }
    }
    Ok(spec)
}
