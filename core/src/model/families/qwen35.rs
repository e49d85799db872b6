//! `qwen35`: Qwen 3.5, dense (text): three layers of gated delta-net attention to one of full attention, whose heads
//! have a norm on queries and keys, a quarter of them rotated, and a gate on what they give.
//!
//! Files call the norm before the feed-forward block `post_attention_norm`. Rotation by sections differs from the plain
//! one for images only.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::RopePairing;
use crate::model::spec::{AttentionSpec, Bias, DeltaSpec, ModelSpec, QkNorm};

pub(super) static FAMILY: Family = Family { arch: &["qwen35"], serves: "Qwen 3.5 (text, dense)", spec };

/// Every so many layers one has full attention, unless the file says otherwise.
const FULL_EVERY: usize = 4;

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::read(h)?;
    let mut spec = c.plain_decoder(h, RopePairing::Halves, Bias::IfPresent)?;
    let (value_heads, inner) = (h.size("ssm.time_step_rank")?, h.size("ssm.inner_size")?);
    let delta = DeltaSpec {
        key_heads: h.size("ssm.group_count")?,
        value_heads,
        key_dim: h.size("ssm.state_size")?,
        value_dim: inner / value_heads,
        conv: h.size("ssm.conv_kernel")?,
        grouped: h.delta_heads_grouped()?,
    };
    if delta.value_row() != inner {
        let message = format!("{inner} is no multiple of {value_heads} heads");
        return Err(Error::new(ErrorKind::Shape, message).with_key("qwen35.ssm.inner_size"));
    }
    let every = h.optional_size("full_attention_interval")?.unwrap_or(FULL_EVERY);
    let recurrent = h.flags("attention.recurrent_layers", c.layers)?;
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        if recurrent.as_ref().map_or(!(i + 1).is_multiple_of(every), |flags| flags[i]) {
            layer.attention = AttentionSpec::Delta(delta);
        } else {
            let attention = layer.gqa();
            attention.qk_norm = QkNorm::Head;
            attention.gated = true;
        }
    }
    Ok(spec)
}
