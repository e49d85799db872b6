//! Multi-head latent attention (DeepSeek-AI, "DeepSeek-V2", 2024) as a block.
//!
//! The cache holds, per position, a latent, of which every head's keys and values are products, and a rotated key that
//! all heads share. The products are absorbed: that of the keys is applied to the query instead of to each latent, that
//! of the values to the weighted sum of latents. What is left is attention of many query heads over one key head whose
//! first elements are the values too.
//!
//! A long prompt takes more multiplications so than with keys and values expanded, but one form for prompts and single
//! tokens gives the same bits for both.

use super::attention::{Attention, Heads};
use super::linear;
use super::store::Store;
use crate::kv_cache::LayerCache;
use crate::model::activations::Activations;
use crate::model::decoder::Context;
use crate::model::spec::{MlaSpec, RopeSpec};
use crate::model::weights::{KeyUp, Mla as Weights, MlaQuery};
use crate::tensor::Rows;
use crate::threads::Grid;

/// One layer's attention for a batch at positions `start..start + n`.
pub(crate) struct Mla<'a> {
    pub(crate) spec: &'a MlaSpec,
    pub(crate) weights: &'a Weights,
    /// The model's; the layer names one of them.
    pub(crate) ropes: &'a [RopeSpec],
    /// Of the norms of latents.
    pub(crate) eps: f32,
    pub(crate) start: usize,
    pub(crate) n: usize,
}

impl Mla<'_> {
    /// `out = o(attention(input))`; the input has rows of `width`.
    pub(crate) fn run(&self, cx: &Context<'_>, acts: &mut Activations, cache: &mut LayerCache, width: usize) {
        let (s, w, n) = (self.spec, self.weights, self.n);
        self.project(cx, acts, width);
        self.rotate(cx, acts);
        let store = Store { kernels: cx.kernels, start: self.start, n };
        store.run(cx.pool, &mut acts.locals, cache, (&acts.k[..n * s.key_row()], None));
        self.absorb(cx, acts);

        let Activations { q, mixed, partials, locals, .. } = acts;
        let (heads, mixed) = (Heads::of_mla(s), &mixed[..n * s.heads * s.key_row()]);
        let (start, together) = (self.start, None);
        let attention = Attention { heads, cache, sinks: None, q: mixed, start, n, together };
        attention.run(cx, locals, partials, &mut q[..n * s.heads * s.kv_rank]);

        self.expand(cx, acts);
        let Activations { out, input, locals, .. } = acts;
        linear::products(cx, locals, input, (n, s.out_row()), [(&w.o, &mut out[..n * width])]);
    }

    /// `q [n, heads * key_dim]` and `k [n, kv_rank + rope_dims]` as products of the input.
    fn project(&self, cx: &Context<'_>, acts: &mut Activations, width: usize) {
        let (s, w, n) = (self.spec, self.weights, self.n);
        let Activations { input, q, k, v, locals, .. } = acts;
        let (q, k) = (&mut q[..n * s.q_row()], &mut k[..n * s.key_row()]);
        match &w.q {
            MlaQuery::Plain(up) => linear::products(cx, locals, input, (n, width), [(up, q), (&w.kv_a, k)]),
            MlaQuery::LowRank { down, norm, up } => {
                let rank = down.rows();
                let low = &mut v[..n * rank];
                linear::products(cx, locals, input, (n, width), [(down, &mut *low), (&w.kv_a, k)]);
                let (low, formats) = (Rows::new(low, rank), linear::formats([up]));
                input.fill((cx.kernels, cx.pool, locals), (n, rank), formats, low, |_, low, h| {
                    cx.kernels.rms_norm(h, low, norm.get(), self.eps);
                });
                linear::products(cx, locals, input, (n, rank), [(up, q)]);
            }
        }
    }

    /// Per position: rotates and scales queries, norms the latent, rotates the shared key.
    fn rotate(&self, cx: &Context<'_>, acts: &mut Activations) {
        let (kernels, s, n) = (cx.kernels, self.spec, self.n);
        let (table, rope) = (&acts.rope[s.rope], self.ropes[s.rope]);
        let parts = (Rows::new(&mut acts.q, s.q_row()), Rows::new(&mut acts.k, s.key_row()));
        cx.pool.rows(&mut acts.locals, n, parts, |_, t, (q, k)| {
            let angles = &table[t * rope.dims..(t + 1) * rope.dims];
            for head in q.chunks_exact_mut(s.key_dim()) {
                kernels.rope(&mut head[s.plain_dims..], angles, rope.pairing);
            }
            kernels.scale(q, s.scale * s.temperature.map_or(1.0, |factor| factor.at(self.start + t)));
            let (latent, shared) = k.split_at_mut(s.kv_rank);
            kernels.rms_norm_inplace(latent, self.weights.kv_a_norm.get(), self.eps);
            kernels.rope(shared, angles, rope.pairing);
        });
    }

    /// `mixed [n, heads, kv_rank + rope_dims]`: each head's query taken through the product of its keys, and its
    /// rotated part.
    fn absorb(&self, cx: &Context<'_>, acts: &mut Activations) {
        let (s, n) = (self.spec, self.n);
        let Activations { input, q, mixed, locals, .. } = acts;
        let query = |t: usize, head: usize| &q[t * s.q_row() + head * s.key_dim()..][..s.key_dim()];
        if let KeyUp::Absorbed(up) = &self.weights.key_up {
            let formats = linear::formats([up.whole()]);
            let size = (n * s.heads, s.plain_dims);
            input.fill((cx.kernels, cx.pool, locals), size, formats, (), |i, (), h| {
                h.copy_from_slice(&query(i % n, i / n)[..s.plain_dims]);
            });
        }
        let (out, cols) = (&mut mixed[..n * s.heads * s.key_row()], s.heads * s.key_row());
        let grid = Grid { out, rows: n, cols, tile_rows: n, tile_cols: s.key_row() };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            if cx.cancelled() {
                return;
            }
            let head = tile.cols.start / s.key_row();
            let mut latent = tile.out.columns(0..s.kv_rank);
            match &self.weights.key_up {
                KeyUp::Absorbed(up) => {
                    let acts = input.acts(up.ty().act_format(), n * s.heads, s.plain_dims);
                    let acts = acts.tokens(head * n..(head + 1) * n);
                    cx.kernels.matmul(up.mat(head, 0..s.kv_rank), &acts, &mut latent, &mut local.scratch);
                }
                KeyUp::Plain(up) => {
                    let (rows, row) = (up.mat(head, 0..s.plain_dims), &mut local.scratch.f32s()[..s.kv_rank]);
                    (0..n).for_each(|t| latent.row(t).fill(0.0));
                    for i in 0..s.plain_dims {
                        rows.dequantize_row(i, row);
                        (0..n).for_each(|t| cx.kernels.add_scaled(latent.row(t), row, query(t, head)[i]));
                    }
                }
            }
            for t in 0..n {
                tile.out.row(t)[s.kv_rank..].copy_from_slice(&query(t, head)[s.plain_dims..]);
            }
        });
    }

    /// The input of the output product, `[n, heads * value_dim]`: each head's sum of latents, in `q`, taken through the
    /// product of its values.
    fn expand(&self, cx: &Context<'_>, acts: &mut Activations) {
        let (s, n, up) = (self.spec, self.n, &self.weights.value_up);
        let Activations { input, q, mixed, locals, .. } = acts;
        let sum = |t: usize, head: usize| &q[(t * s.heads + head) * s.kv_rank..][..s.kv_rank];
        let (size, formats) = ((n * s.heads, s.kv_rank), linear::formats([up.whole()]));
        input.fill((cx.kernels, cx.pool, locals), size, formats, (), |i, (), h| {
            h.copy_from_slice(sum(i % n, i / n));
        });
        let values = &mut mixed[..n * s.out_row()];
        let grid = Grid { out: values, rows: n, cols: s.out_row(), tile_rows: n, tile_cols: s.value_dim };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            if cx.cancelled() {
                return;
            }
            let head = tile.cols.start / s.value_dim;
            let acts = input.acts(up.ty().act_format(), n * s.heads, s.kv_rank);
            let acts = acts.tokens(head * n..(head + 1) * n);
            cx.kernels.matmul(up.mat(head, 0..s.value_dim), &acts, &mut tile.out, &mut local.scratch);
        });
        let (values, formats) = (Rows::new(mixed, s.out_row()), linear::formats([&self.weights.o]));
        input.fill((cx.kernels, cx.pool, locals), (n, s.out_row()), formats, values, |_, values, h| {
            h.copy_from_slice(values);
        });
    }
}
