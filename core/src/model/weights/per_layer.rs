//! The weights of embeddings that every layer has of its own.

use super::binder::Binder;
use super::linear::{Linear, Vector};
use super::norm::Norm;
use crate::error::Result;
use crate::model::spec::{Bias, ModelSpec, NormKind};

/// What all layers' embeddings are made from.
#[derive(Debug)]
pub(crate) struct PerLayerTable {
    /// `[vocab, layers * size]`.
    pub(crate) table: Linear,
    /// `[layers * size, width]`.
    pub(crate) proj: Linear,
    /// `[size]`.
    pub(crate) norm: Vector,
    pub(crate) eps: f32,
}

/// What one layer does with its own.
#[derive(Debug)]
pub(crate) struct PerLayer {
    /// `[size, width]`.
    pub(crate) gate: Linear,
    /// `[width, size]`.
    pub(crate) proj: Linear,
    /// Of rows of `width`.
    pub(crate) post_norm: Norm,
}

impl PerLayerTable {
    pub(super) fn bind(b: &mut Binder<'_>, spec: &ModelSpec) -> Result<Option<Self>> {
        let Some(per_layer) = spec.per_layer else { return Ok(None) };
        let row = per_layer.size * spec.layers.len();
        Ok(Some(Self {
            table: b.table("per_layer_token_embd", spec.vocab, row, Bias::IfPresent)?,
            proj: b.linear("per_layer_model_proj", row, spec.width, Bias::IfPresent)?,
            norm: b.vector("per_layer_proj_norm.weight", per_layer.size)?,
            eps: spec.head.eps,
        }))
    }
}

impl PerLayer {
    pub(super) fn bind(b: &mut Binder<'_>, spec: &ModelSpec, i: usize) -> Result<Option<Self>> {
        let Some(per_layer) = spec.per_layer else { return Ok(None) };
        let name = |part: &str| format!("blk.{i}.{part}");
        Ok(Some(Self {
            gate: b.linear(&name("inp_gate"), per_layer.size, spec.width, Bias::IfPresent)?,
            proj: b.linear(&name("proj"), spec.width, per_layer.size, Bias::IfPresent)?,
            post_norm: Norm::bind(b, &name("post_norm"), NormKind::Rms, spec.layers[i].norm.eps, spec.width)?,
        }))
    }
}
