//! The weights of alternating updates.

use super::binder::Binder;
use super::linear::{Linear, Vector};
use super::norm::Norm;
use crate::error::Result;
use crate::model::spec::{Bias, ModelSpec, NormKind};

/// Where streams begin and end: matrices `[width, width]`, one for each stream but the first.
#[derive(Debug)]
pub(crate) struct AltUpEnds {
    pub(crate) open: Vec<Linear>,
    pub(crate) close: Vec<Linear>,
}

/// One layer's; `S` is the number of streams.
#[derive(Debug)]
pub(crate) struct AltUp {
    /// `[S, width]`.
    pub(crate) router: Linear,
    /// Of rows of `width`.
    pub(crate) router_norm: Norm,
    /// `[S * S, S]`.
    pub(crate) predict: Vector,
    /// `[S, S]`.
    pub(crate) correct: Vector,
    /// `[width]`.
    pub(crate) correct_scale: Vector,
    /// `[rank, width]`.
    pub(crate) left: Linear,
    /// `[width, rank]`.
    pub(crate) right: Linear,
    /// `[width]`.
    pub(crate) low_rank_norm: Vector,
}

impl AltUpEnds {
    pub(super) fn bind(b: &mut Binder<'_>, spec: &ModelSpec) -> Result<Option<Self>> {
        let Some(streams) = spec.streams else { return Ok(None) };
        let shape = (streams - 1, spec.width, spec.width);
        Ok(Some(Self { open: b.parts("altup_proj", shape)?, close: b.parts("altup_unembd_proj", shape)? }))
    }
}

impl AltUp {
    pub(super) fn bind(b: &mut Binder<'_>, spec: &ModelSpec, i: usize) -> Result<Option<Self>> {
        let Some(s) = spec.streams else { return Ok(None) };
        let (width, name) = (spec.width, |part: &str| format!("blk.{i}.{part}"));
        let eps = spec.layers[i].norm.eps;
        let left = b.linear_of_any_rows(&name("laurel_l"), width)?;
        Ok(Some(Self {
            router: b.linear(&name("altup_router"), s, width, Bias::IfPresent)?,
            router_norm: Norm::bind(b, &name("altup_router_norm"), NormKind::Rms, eps, width)?,
            predict: b.small_matrix(&name("altup_predict_coef.weight"), s * s, s)?,
            correct: b.small_matrix(&name("altup_correct_coef.weight"), s, s)?,
            correct_scale: b.vector(&name("altup_correct_scale.weight"), width)?,
            right: b.linear(&name("laurel_r"), width, left.rows(), Bias::IfPresent)?,
            left,
            low_rank_norm: b.vector(&name("laurel_post_norm.weight"), width)?,
        }))
    }

    pub(super) fn linears(&self) -> [&Linear; 3] {
        [&self.router, &self.left, &self.right]
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = &Vector> {
        let others = [&self.predict, &self.correct, &self.correct_scale, &self.low_rank_norm];
        self.router_norm.vectors().chain(others)
    }
}
