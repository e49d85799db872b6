//! Embeddings that every layer has of its own (Gemma 3n and 4).

use super::linear;
use crate::model::activations::Activations;
use crate::model::decoder::Context;
use crate::model::spec::PerLayerSpec;
use crate::model::weights::{PerLayer, PerLayerTable};
use crate::tensor::Rows;

/// Computes the batch's embeddings of all layers, `[n, layers * size]`, from the tokens and their first embeddings in
/// the residual stream: `(norm(proj(x) / sqrt(width)) + table[token] * sqrt(size)) / sqrt(2)`.
pub(crate) fn prepare(
    cx: &Context<'_>,
    acts: &mut Activations,
    spec: &PerLayerSpec,
    w: &PerLayerTable,
    tokens: &[u32],
    (n, width): (usize, usize),
) {
    let Activations { x, input, per_layer, locals, .. } = acts;
    let row = w.proj.rows();
    let formats = linear::formats([&w.proj]);
    input.fill((cx.kernels, cx.pool, locals), (n, width), formats, Rows::new(x, width), |_, x, h| {
        h.copy_from_slice(x);
    });
    linear::products(cx, locals, input, (n, width), [(&w.proj, &mut per_layer[..n * row])]);
    let (table, size) = (w.table.mat(), spec.size);
    let (of_width, of_size) = (1.0 / (width as f32).sqrt(), (size as f32).sqrt());
    cx.pool.rows(locals, n, Rows::new(per_layer, row), |local, t, e| {
        cx.kernels.scale(e, of_width);
        e.chunks_exact_mut(size).for_each(|e| cx.kernels.rms_norm_inplace(e, w.norm.get(), w.eps));
        let token = &mut local.row[..row];
        table.dequantize_row(tokens[t] as usize, token);
        cx.kernels.scale(token, of_size);
        cx.kernels.add(e, token);
        cx.kernels.scale(e, std::f32::consts::FRAC_1_SQRT_2);
    });
}

/// `out = proj(act(gate(input)) * e)` with layer `i`'s embeddings, for `n` rows of `width`.
pub(crate) fn run(
    cx: &Context<'_>,
    acts: &mut Activations,
    spec: &PerLayerSpec,
    w: &PerLayer,
    i: usize,
    (n, width): (usize, usize),
) {
    let Activations { out, input, gate, per_layer, locals, .. } = acts;
    let (size, row) = (spec.size, per_layer.len() / (out.len() / width));
    let gate = &mut gate[..n * size];
    linear::products(cx, locals, input, (n, width), [(&w.gate, &mut *gate)]);
    let parts = (Rows::new(gate, size), Rows::new(per_layer, row));
    let formats = linear::formats([&w.proj]);
    input.fill((cx.kernels, cx.pool, locals), (n, size), formats, parts, |_, (gate, e), h| {
        h.copy_from_slice(gate);
        cx.kernels.act_mul(h, &e[i * size..(i + 1) * size], spec.act);
    });
    linear::products(cx, locals, input, (n, size), [(&w.proj, &mut out[..n * width])]);
}
