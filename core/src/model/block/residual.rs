//! What stands around every block: the norm before it, and how its output joins the residual stream.

use crate::kernels::Kernels;
use crate::model::activations::{Activations, Formats};
use crate::model::decoder::Context;
use crate::model::spec::{LayerSpec, NormPlacement};
use crate::model::weights::Norm;
use crate::tensor::Rows;

/// How a block's output joins the residual stream.
#[derive(Clone, Copy)]
pub(crate) struct Join<'a> {
    norm: Option<&'a Norm>,
    /// The norm is of the stream.
    of_stream: bool,
    scale: f32,
    stream_scale: f32,
}

impl<'a> Join<'a> {
    pub(crate) fn new(spec: &LayerSpec, norm: Option<&'a Norm>) -> Self {
        let of_stream = spec.norm.placement == NormPlacement::Stream;
        Self { norm, of_stream, scale: spec.residual_scale, stream_scale: 1.0 }
    }

    /// The same, with the stream multiplied with `stream_scale` afterwards.
    pub(crate) fn then_scale(self, stream_scale: f32) -> Self {
        Self { stream_scale, ..self }
    }

    /// `x = (x + norm(out) * scale) * stream_scale`, or `x = norm(x + out * scale) * stream_scale`; without the norm if the
    /// model has none there.
    pub(crate) fn add(self, kernels: &Kernels, x: &mut [f32], out: &mut [f32]) {
        if let Some(norm) = self.norm.filter(|_| !self.of_stream) {
            norm.apply_inplace(kernels, out);
        }
        if self.scale != 1.0 {
            kernels.scale(out, self.scale);
        }
        kernels.add(x, out);
        if let Some(norm) = self.norm.filter(|_| self.of_stream) {
            norm.apply_inplace(kernels, x);
        }
        if self.stream_scale != 1.0 {
            kernels.scale(x, self.stream_scale);
        }
    }
}

/// What a block reads: the residual stream, normed.
#[derive(Clone, Copy)]
pub(crate) struct Entrance<'a> {
    /// `None` for the stream as it is.
    pub(crate) norm: Option<&'a Norm>,
    /// Whether the block reads the stream without the pending output.
    pub(crate) parallel: bool,
    /// What the block's first products need.
    pub(crate) formats: Formats,
}

impl Entrance<'_> {
    /// `x += pending output; input = norm(x)`, for `n` rows of `width`; the other way round for a parallel block.
    pub(crate) fn fill(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        pending: Option<Join<'_>>,
        (n, width): (usize, usize),
    ) {
        let Activations { x, out, input, locals, .. } = acts;
        let parts = (Rows::new(x, width), Rows::new(out, width));
        input.fill((cx.kernels, cx.pool, locals), (n, width), self.formats, parts, |_, (x, out), h| {
            if let Some(join) = pending.filter(|_| !self.parallel) {
                join.add(cx.kernels, x, out);
            }
            match self.norm {
                Some(norm) => norm.apply(cx.kernels, h, x),
                None => h.copy_from_slice(x),
            }
            if let Some(join) = pending.filter(|_| self.parallel) {
                join.add(cx.kernels, x, out);
            }
        });
    }
}
