//! Grouped-query attention as a block: products, rotation, the cache, output product.

use super::attention::{Attention, Heads};
use super::linear;
use super::store::Store;
use crate::kernels::{Activation, Kernels, RopePairing};
use crate::kv_cache::LayerCache;
use crate::model::activations::Activations;
use crate::model::decoder::Context;
use crate::model::spec::{GqaSpec, QkNorm, RopeSpec};
use crate::model::weights::{Gqa as Weights, Vector};
use crate::tensor::Rows;

/// One layer's attention for a batch at positions `start..start + n`.
pub(crate) struct Gqa<'a> {
    pub(crate) spec: &'a GqaSpec,
    pub(crate) weights: &'a Weights,
    /// The model's; the layer names one of them.
    pub(crate) ropes: &'a [RopeSpec],
    /// Of the norms of queries and keys.
    pub(crate) eps: f32,
    pub(crate) start: usize,
    pub(crate) n: usize,
}

impl Gqa<'_> {
    /// `out = o(attention(input))`; the input has rows of `width`.
    pub(crate) fn run(&self, cx: &Context<'_>, acts: &mut Activations, cache: &mut LayerCache, width: usize) {
        let (kernels, a, w, start, n) = (cx.kernels, self.spec, self.weights, self.start, self.n);
        let Activations { out, input, q, k, v, mixed, rope, partials, locals, .. } = acts;

        // q, k, v = products of the input.
        let (q, k, v) = (&mut q[..n * a.q_product()], &mut k[..n * a.kv_row()], &mut v[..n * a.kv_row()]);
        match (&w.k, &w.v) {
            (Some(wk), Some(wv)) => {
                let qkv = [(&w.q, &mut *q), (wk, &mut *k), (wv, &mut *v)];
                linear::products(cx, locals, input, (n, width), qkv);
            }
            (Some(wk), None) => {
                linear::products(cx, locals, input, (n, width), [(&w.q, &mut *q), (wk, &mut *k)]);
                v.copy_from_slice(k);
            }
            (None, _) => linear::products(cx, locals, input, (n, width), [(&w.q, &mut *q)]),
        }

        // Per position: norm, rotate and scale queries; norm and rotate keys; norm values.
        // Where heads have gates behind their queries, queries move to rows of their own.
        let moved = if a.gated { a.q_row() } else { 0 };
        let parts = (
            Rows::new(q, a.q_product()),
            Rows::new(mixed, moved),
            Rows::new(k, a.kv_row()),
            Rows::new(v, a.kv_row()),
        );
        let turning = a.rope.map(|i| (&rope[i], self.ropes[i]));
        cx.pool.rows(locals, n, parts, |_, t, (q, moved, k, v)| {
            for (to, from) in moved.chunks_exact_mut(a.head_dim).zip(q.chunks_exact(2 * a.head_dim)) {
                to.copy_from_slice(&from[..a.head_dim]);
            }
            let q = if a.gated { moved } else { q };
            let turn = turning.map(|(table, r)| (&table[t * r.dims..(t + 1) * r.dims], r.pairing));
            self.prepare(kernels, q, w.q_norm.as_ref().map(Vector::get), turn);
            kernels.scale(q, a.scale * a.temperature.map_or(1.0, |factor| factor.at(start + t)));
            if w.k.is_none() {
                return;
            }
            self.prepare(kernels, k, w.k_norm.as_ref().map(Vector::get), turn);
            if let Some(norm) = &w.v_norm {
                let heads = v.chunks_exact_mut(a.head_dim);
                heads.for_each(|head| kernels.rms_norm_inplace(head, norm.get(), self.eps));
            }
        });
        if w.k.is_some() {
            Store { kernels, start, n }.run(cx.pool, locals, cache, (k, Some(v)));
        }

        // input = attention over the cache, quantised for o.
        let queries = if a.gated { &mixed[..n * a.q_row()] } else { &*q };
        let attention = Attention {
            heads: Heads::of_gqa(a),
            cache,
            sinks: w.sinks.as_ref().map(Vector::get),
            q: queries,
            start,
            n,
            together: cx.together.then_some(start..start + n),
        };
        attention.run(cx, locals, partials, &mut input.h[..n * a.q_row()]);
        let formats = linear::formats([&w.o]);
        let gates = Rows::new(q, if a.gated { a.q_product() } else { 0 });
        input.fill((kernels, cx.pool, locals), (n, a.q_row()), formats, gates, |_, gates, h| {
            for (gate, h) in gates.chunks_exact_mut(2 * a.head_dim).zip(h.chunks_exact_mut(a.head_dim)) {
                let gate = &mut gate[a.head_dim..];
                kernels.act_mul(gate, h, Activation::Sigmoid);
                h.copy_from_slice(gate);
            }
        });

        // out = o(input).
        linear::products(cx, locals, input, (n, a.q_row()), [(&w.o, &mut out[..n * width])]);
    }

    /// Norms and rotates the heads of a row of queries or keys, as far as the model does that. `turn` holds the
    /// position's cosines and sines.
    fn prepare(
        &self,
        kernels: &Kernels,
        row: &mut [f32],
        norm: Option<&[f32]>,
        turn: Option<(&[f32], RopePairing)>,
    ) {
        let GqaSpec { head_dim, qk_norm, .. } = *self.spec;
        if let (QkNorm::Row, Some(norm)) = (qk_norm, norm) {
            kernels.rms_norm_inplace(row, norm, self.eps);
        }
        for head in row.chunks_exact_mut(head_dim) {
            if let (QkNorm::Head, Some(norm)) = (qk_norm, norm) {
                kernels.rms_norm_inplace(head, norm, self.eps);
            }
            if let Some((angles, pairing)) = turn {
                kernels.rope(head, angles, pairing);
            }
            if let (QkNorm::HeadRotated | QkNorm::Unit, Some(norm)) = (qk_norm, norm) {
                kernels.rms_norm_inplace(head, norm, self.eps);
            }
        }
    }
}
