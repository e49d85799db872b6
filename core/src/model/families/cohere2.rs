//! `cohere2`: Command R7B, Command A and Aya Expanse of that kind: attention and feed-forward side by side behind one
//! layer norm, three layers with a sliding window and RoPE to one that sees everything and does not encode positions.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::RopePairing;
use crate::model::spec::{Bias, ModelSpec, NormKind, NormPlacement};

pub(super) static FAMILY: Family = Family { arch: &["cohere2"], serves: "Command R7B, Command A", spec };

/// Every so many layers one sees the whole context, unless the file says otherwise.
const PATTERN: usize = 4;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::with_norms(h, NormKind::Layer)?;
    let windows = h.windows(c.layers, PATTERN)?;
    let mut spec = c.plain_decoder(h, RopePairing::Adjacent, Bias::IfPresent)?;
    spec.head.scale = h.factor("logit_scale", 1.0)?;
    for (layer, window) in spec.layers.iter_mut().zip(windows) {
        layer.norm.placement = NormPlacement::Parallel;
        layer.gqa().window = window;
        if window.is_none() {
            layer.gqa().rope = None;
        }
    }
    Ok(spec)
}
