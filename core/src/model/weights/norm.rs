//! The weights of a norm, and what it does with a row.

use super::binder::Binder;
use super::linear::Vector;
use crate::error::Result;
use crate::kernels::Kernels;
use crate::model::spec::NormKind;

/// A norm of rows of `[k]`.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    kind: NormKind,
    eps: f32,
    /// `[k]`.
    factors: Vector,
    /// `[k]`, of a layer norm that has them.
    summands: Option<Vector>,
}

impl Norm {
    /// `<name>.weight`, and for a layer norm `<name>.bias` if there is one.
    pub(super) fn bind(b: &mut Binder<'_>, name: &str, kind: NormKind, eps: f32, k: usize) -> Result<Self> {
        let factors = b.vector(&format!("{name}.weight"), k)?;
        let summands = match kind {
            NormKind::Rms => None,
            NormKind::Layer => b.optional_vector(&format!("{name}.bias"), k)?,
        };
        Ok(Self { kind, eps, factors, summands })
    }

    /// `out = norm(x)`, both `[k]`.
    pub(crate) fn apply(&self, kernels: &Kernels, out: &mut [f32], x: &[f32]) {
        match self.kind {
            NormKind::Rms => kernels.rms_norm(out, x, self.factors.get(), self.eps),
            NormKind::Layer => kernels.layer_norm(out, x, self.factors.get(), self.eps),
        }
        self.summands.iter().for_each(|summands| kernels.add(out, summands.get()));
    }

    /// `x = norm(x)`, `[k]`.
    pub(crate) fn apply_inplace(&self, kernels: &Kernels, x: &mut [f32]) {
        match self.kind {
            NormKind::Rms => kernels.rms_norm_inplace(x, self.factors.get(), self.eps),
            NormKind::Layer => kernels.layer_norm_inplace(x, self.factors.get(), self.eps),
        }
        self.summands.iter().for_each(|summands| kernels.add(x, summands.get()));
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = &Vector> {
        [Some(&self.factors), self.summands.as_ref()].into_iter().flatten()
    }
}
