//! Feed-forward blocks.

use super::{experts, linear};
use crate::kernels::Activation;
use crate::model::activations::Activations;
use crate::model::decoder::Context;
use crate::model::spec::{FfnSpec, LayerSpec};
use crate::model::weights::{Ffn, Gated, Plain};
use crate::tensor::Rows;

/// `out = ffn(input)` for `n` rows of `width`.
pub(crate) fn run(
    cx: &Context<'_>,
    acts: &mut Activations,
    spec: &LayerSpec,
    weights: &Ffn,
    (n, width): (usize, usize),
) {
    match (&spec.ffn, weights) {
        (&FfnSpec::Gated { hidden, act, sparsity }, Ffn::Gated(w)) => {
            gated(cx, acts, w, (act, sparsity), (n, width, hidden));
        }
        (&FfnSpec::Plain { hidden, act }, Ffn::Plain(w)) => plain(cx, acts, w, act, (n, width, hidden)),
        (FfnSpec::Experts(e), Ffn::Experts(w)) => experts::run(cx, acts, (e, spec.norm.eps), w, (n, width)),
        _ => unreachable!("weights are bound by the specification"),
    }
}

/// `out = down(act(gate(input)) * up(input))`.
pub(super) fn gated(
    cx: &Context<'_>,
    acts: &mut Activations,
    w: &Gated,
    (act, sparsity): (Activation, Option<f32>),
    (n, width, hidden): (usize, usize, usize),
) {
    let Activations { out, input, gate, up, locals, .. } = acts;
    let (gate, up) = (&mut gate[..n * hidden], &mut up[..n * hidden]);
    linear::products(cx, locals, input, (n, width), [(&w.gate, &mut *gate), (&w.up, &mut *up)]);

    // input = act(gate) * up, quantised for down.
    let parts = (Rows::new(gate, hidden), Rows::new(up, hidden));
    let formats = linear::formats([&w.down]);
    input.fill((cx.kernels, cx.pool, locals), (n, hidden), formats, parts, |_, (gate, up), h| {
        h.copy_from_slice(gate);
        if let Some(deviations) = sparsity {
            sparsify(h, deviations);
        }
        cx.kernels.act_mul(h, up, act);
    });
    linear::products(cx, locals, input, (n, hidden), [(&w.down, &mut out[..n * width])]);
}

/// `out = down(act(up(input)))`.
fn plain(
    cx: &Context<'_>,
    acts: &mut Activations,
    w: &Plain,
    act: Activation,
    (n, width, hidden): (usize, usize, usize),
) {
    let Activations { out, input, up, locals, .. } = acts;
    let up = &mut up[..n * hidden];
    linear::products(cx, locals, input, (n, width), [(&w.up, &mut *up)]);

    // input = act(up), quantised for down.
    let (parts, formats) = (Rows::new(up, hidden), linear::formats([&w.down]));
    input.fill((cx.kernels, cx.pool, locals), (n, hidden), formats, parts, |_, up, h| {
        h.copy_from_slice(up);
        cx.kernels.act(h, act);
    });
    linear::products(cx, locals, input, (n, hidden), [(&w.down, &mut out[..n * width])]);
}

/// `x = max(x - (mean + deviations * deviation), 0)`, with the deviation of the values themselves (not of a sample).
fn sparsify(x: &mut [f32], deviations: f32) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let cutoff = (mean + variance.sqrt() * f64::from(deviations)) as f32;
    x.iter_mut().for_each(|x| *x = (*x - cutoff).max(0.0));
}
