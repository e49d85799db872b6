//! The weights of gated delta-net attention.

use super::binder::Binder;
use super::linear::{Linear, Vector};
use crate::error::Result;
use crate::model::spec::{Bias, DeltaSpec};

/// One layer's attention.
#[derive(Debug)]
pub(crate) struct Delta {
    /// `[channels, width]`: queries, keys, values.
    pub(crate) qkv: Linear,
    /// `[value_heads * value_dim, width]`.
    pub(crate) gate: Linear,
    /// `[value_heads, width]`: what the state decays by, before [`a`](Self::a) and the bias.
    pub(crate) decay: Linear,
    /// `[value_heads, width]`: how far an error is corrected, before the sigmoid.
    pub(crate) rate: Linear,
    /// `[conv, channels]`; the last row is the position's own.
    pub(crate) conv: Vector,
    /// `[value_heads]`, negative.
    pub(crate) a: Vector,
    /// `[value_heads]`.
    pub(crate) decay_bias: Vector,
    /// `[key_dim]` factors with which an RMS norm gives a vector of length 1: for queries, divided by the root of
    /// their size besides, and for keys.
    pub(crate) q_length: Vec<f32>,
    pub(crate) k_length: Vec<f32>,
    /// `[value_dim]`.
    pub(crate) norm: Vector,
    /// `[width, value_heads * value_dim]`.
    pub(crate) out: Linear,
}

impl Delta {
    /// `name` makes a tensor's name out of its part.
    pub(super) fn bind(
        b: &mut Binder<'_>,
        spec: &DeltaSpec,
        width: usize,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        let (heads, values, channels) = (spec.value_heads, spec.value_row(), spec.channels());
        let mut linear = |part: &str, rows, cols| b.linear(&name(part), rows, cols, Bias::IfPresent);
        let (qkv, gate) = (linear("attn_qkv", channels, width)?, linear("attn_gate", values, width)?);
        let (decay, rate) = (linear("ssm_alpha", heads, width)?, linear("ssm_beta", heads, width)?);
        let out = linear("ssm_out", width, values)?;
        // Files have the taps of a channel side by side; a pass wants all channels of a tap.
        let taps = b.table(&name("ssm_conv1d"), channels, spec.conv, Bias::IfPresent)?;
        let (mut conv, mut row) = (vec![0.0; spec.conv * channels], vec![0.0; spec.conv]);
        for channel in 0..channels {
            taps.mat().dequantize_row(channel, &mut row);
            row.iter().enumerate().for_each(|(tap, &x)| conv[tap * channels + channel] = x);
        }
        let size = spec.key_dim as f32;
        Ok(Self {
            qkv,
            gate,
            decay,
            rate,
            conv: Vector::Decoded(conv),
            a: b.vector(&name("ssm_a"), heads)?,
            decay_bias: b.vector(&name("ssm_dt.bias"), heads)?,
            q_length: vec![1.0 / size; spec.key_dim],
            k_length: vec![1.0 / size.sqrt(); spec.key_dim],
            norm: b.vector(&name("ssm_norm.weight"), spec.value_dim)?,
            out,
        })
    }

    /// The matrices that read the block's input.
    pub(super) fn first(&self) -> [&Linear; 4] {
        [&self.qkv, &self.gate, &self.decay, &self.rate]
    }

    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.first().into_iter().chain([&self.out])
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = &Vector> {
        [&self.conv, &self.a, &self.decay_bias, &self.norm].into_iter()
    }
}
