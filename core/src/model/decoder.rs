//! THE forward pass: one loop over layers, for every family, for prefill and decode alike.
//!
//! A batch of `n` tokens goes through all layers together. Shapes are `[n, ...]`, row-major. Everything that differs
//! between models is read from the specification; everything that is computed goes through the kernel table; all
//! memory is in [`Activations`] and the cache.

use super::activations::{Activations, Formats};
use super::block::attention::Attention;
use super::block::linear;
use super::block::rope::Rotation;
use super::block::store::Store;
use super::screen::Best;
use super::spec::{AttentionSpec, FfnSpec, LayerSpec, ModelSpec, QkNorm};
use super::weights::{Layer, Linear, Vector, Weights};
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{Kernels, RopePairing};
use crate::kv_cache::{KvCache, LayerCache};
use crate::tensor::Rows;
use crate::threads::Pool;
use std::time::Instant;

/// A bound model: what it is, and its numbers.
#[derive(Debug)]
pub struct Decoder {
    pub(crate) spec: ModelSpec,
    pub(crate) weights: Weights,
    /// `[ropes]`.
    rotations: Vec<Rotation>,
}

/// What one pass runs on.
pub(crate) struct Context<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) pool: &'a Pool,
    pub(crate) cancel: &'a CancelToken,
}

impl Context<'_> {
    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.cancelled() { Err(Error::new(ErrorKind::Cancelled, "cancelled")) } else { Ok(()) }
    }
}

/// A look inside a pass, for tests and tools: the residual stream of the whole batch.
#[derive(Clone, Copy, Debug)]
pub enum Tap<'a> {
    /// `[n, width]`: input of the first layer.
    Embed(&'a [f32]),
    /// `[n, width]`: output of the layer with this index.
    Layer(usize, &'a [f32]),
    /// `[width]` of the position with this index in the batch: input of the head.
    FinalNorm(usize, &'a [f32]),
    /// `[vocab]` of the position with this index in the batch.
    Logits(usize, &'a [f32]),
}

/// Whose logits a pass computes.
pub(crate) enum Wanted<'a> {
    /// Nobody's: more of the prompt follows.
    None,
    /// The last token's, left in [`Activations::logits`].
    Last,
    /// Those of the last token's that somebody will look at; the others may be -Inf.
    Best(Best<'a>),
    /// Every token's, shown to the observer one by one, with all that is inside.
    All(&'a mut dyn FnMut(Tap<'_>)),
}

impl Decoder {
    pub(crate) fn new(spec: ModelSpec, weights: Weights) -> Self {
        let (usual, long) = (weights.rope_factors.as_ref(), weights.long_rope_factors.as_ref());
        let rotation = |r| Rotation::new(r, usual.map(Vector::get), long.map(Vector::get));
        let rotations = spec.ropes.iter().map(rotation).collect();
        Self { spec, weights, rotations }
    }

    /// Runs `tokens` (at most a batch, each below `vocab`) at the end of `cache`. After an error the cache holds what
    /// it held before.
    pub(crate) fn forward(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        cache: &mut KvCache,
        tokens: &[u32],
        mut wanted: Wanted<'_>,
    ) -> Result<()> {
        let (n, started) = (tokens.len(), Instant::now());
        cache.begin(n);
        self.embed(cx, acts, tokens);
        self.rotations(cx, acts, cache.len(), n);
        if let Wanted::All(tap) = &mut wanted {
            tap(Tap::Embed(&acts.x[..n * self.spec.width]));
        }
        let mut pending = None;
        for (i, (spec, layer)) in self.spec.layers.iter().zip(&self.weights.layers).enumerate() {
            cx.check_cancelled()?;
            let start = cache.len();
            self.attend(cx, acts, cache.layer_mut(i), spec, layer, pending, (start, n));
            self.feed_forward(cx, acts, spec, layer, n);
            pending = Some(Join::new(spec, layer.post_ffn_norm.as_ref()));
            if let Wanted::All(tap) = &mut wanted {
                self.join(cx, acts, pending.take(), 0..n);
                tap(Tap::Layer(i, &acts.x[..n * self.spec.width]));
            }
        }
        match wanted {
            Wanted::None => {}
            Wanted::Last => self.head(cx, acts, pending, n - 1, None, &mut |_| {}),
            Wanted::Best(best) => self.head(cx, acts, pending, n - 1, Some(&best), &mut |_| {}),
            Wanted::All(tap) => (0..n).for_each(|t| self.head(cx, acts, pending, t, None, tap)),
        }
        cx.check_cancelled()?;
        cache.commit(n);
        if n == 1 {
            cx.pool.observe_pass(started.elapsed());
        }
        Ok(())
    }

    /// `x = embedding[token] * scale`.
    fn embed(&self, cx: &Context<'_>, acts: &mut Activations, tokens: &[u32]) {
        let table = self.weights.embed.mat();
        let x = Rows::new(&mut acts.x, self.spec.width);
        cx.pool.rows(&mut acts.locals, tokens.len(), x, |_, t, x| {
            table.dequantize_row(tokens[t] as usize, x);
            if self.spec.embed_scale != 1.0 {
                cx.kernels.scale(x, self.spec.embed_scale);
            }
        });
    }

    /// Cosines and sines of the batch's positions, for each distinct rotary encoding.
    fn rotations(&self, cx: &Context<'_>, acts: &mut Activations, start: usize, n: usize) {
        let context = acts.context;
        for (rotation, table) in self.rotations.iter().zip(&mut acts.rope) {
            let rows = Rows::new(table, rotation.dims());
            cx.pool.rows(&mut acts.locals, n, rows, |_, t, row| rotation.angles(context, start + t, row));
        }
    }

    /// Adds the pending output of the last block to the residual stream, if there is one.
    fn join(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        pending: Option<Join<'_>>,
        range: std::ops::Range<usize>,
    ) {
        let (Some(join), width) = (pending, self.spec.width) else {
            return;
        };
        let at = range.start * width..range.end * width;
        let parts = (Rows::new(&mut acts.x[at.clone()], width), Rows::new(&mut acts.out[at], width));
        cx.pool.rows(&mut acts.locals, range.len(), parts, |_, _, (x, out)| join.add(cx.kernels, x, out));
    }

    /// Attention: `out = o(attention(norm(x)))`, after adding what the previous layer left pending.
    fn attend(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        cache: &mut LayerCache,
        spec: &LayerSpec,
        layer: &Layer,
        pending: Option<Join<'_>>,
        (start, n): (usize, usize),
    ) {
        let (kernels, width, eps, a) = (cx.kernels, self.spec.width, spec.norm.eps, &spec.attention);
        let Activations { x, out, input, q, k, v, rope, partials, locals, .. } = acts;

        // x += previous output; h = norm(x), quantised for q, k and v together.
        let parts = (Rows::new(x, width), Rows::new(out, width));
        let formats = formats(&[&layer.q, &layer.k, &layer.v]);
        input.fill((kernels, cx.pool, locals), (n, width), formats, parts, |_, (x, out), h| {
            if let Some(join) = pending {
                join.add(kernels, x, out);
            }
            norm(kernels, h, x, layer.attn_norm.as_ref(), eps);
        });

        // q, k, v = products of h.
        let (q, k, v) = (&mut q[..n * a.q_row()], &mut k[..n * a.kv_row()], &mut v[..n * a.kv_row()]);
        let qkv = [(&layer.q, &mut *q), (&layer.k, &mut *k), (&layer.v, &mut *v)];
        linear::products(cx, locals, input, (n, width), qkv);

        // Per position: norm, rotate and scale queries; norm and rotate keys.
        let parts = (Rows::new(q, a.q_row()), Rows::new(k, a.kv_row()));
        let turning = a.rope.map(|i| (&rope[i], self.spec.ropes[i]));
        cx.pool.rows(locals, n, parts, |_, t, (q, k)| {
            let turn = turning.map(|(table, r)| (&table[t * r.dims..(t + 1) * r.dims], r.pairing));
            let norms = layer.qk_norm.as_ref();
            prepare_heads(kernels, spec, q, norms.map(|n| n.0.get()), turn);
            kernels.scale(q, a.scale);
            prepare_heads(kernels, spec, k, norms.map(|n| n.1.get()), turn);
        });
        Store { kernels, start, n, head_dim: a.head_dim }.run(cx.pool, locals, cache, (k, v));

        // h = attention over the cache, quantised for o.
        let attention = Attention { spec: a, cache, q, start, n };
        attention.run(cx, locals, partials, &mut input.h[..n * a.q_row()]);
        input.fill((kernels, cx.pool, locals), (n, a.q_row()), self::formats(&[&layer.o]), (), |_, (), _| {});

        // out = o(h).
        let out = &mut out[..n * width];
        linear::products(cx, locals, input, (n, a.q_row()), [(&layer.o, out)]);
    }

    /// Feed-forward block: `x += attention's output; out = down(act(gate(norm(x))) * up(norm(x)))`.
    fn feed_forward(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        spec: &LayerSpec,
        layer: &Layer,
        n: usize,
    ) {
        let (kernels, width, eps) = (cx.kernels, self.spec.width, spec.norm.eps);
        let FfnSpec::Gated { hidden, act } = spec.ffn;
        let Activations { x, out, input, gate, up, locals, .. } = acts;

        // x += attention's output; h = norm(x), quantised for gate and up together.
        let parts = (Rows::new(x, width), Rows::new(out, width));
        let shared = formats(&[&layer.gate, &layer.up]);
        let join = Join::new(spec, layer.post_attn_norm.as_ref());
        input.fill((kernels, cx.pool, locals), (n, width), shared, parts, |_, (x, out), h| {
            join.add(kernels, x, out);
            norm(kernels, h, x, layer.ffn_norm.as_ref(), eps);
        });

        // gate, up = products of h.
        let (gate, up) = (&mut gate[..n * hidden], &mut up[..n * hidden]);
        linear::products(cx, locals, input, (n, width), [(&layer.gate, &mut *gate), (&layer.up, &mut *up)]);

        // h = act(gate) * up, quantised for down.
        let parts = (Rows::new(gate, hidden), Rows::new(up, hidden));
        let shape = (n, hidden);
        input.fill((kernels, cx.pool, locals), shape, formats(&[&layer.down]), parts, |_, (gate, up), h| {
            h.copy_from_slice(gate);
            kernels.act_mul(h, up, act);
        });

        // out = down(h).
        let out = &mut out[..n * width];
        linear::products(cx, locals, input, (n, hidden), [(&layer.down, out)]);
    }

    /// Logits of token `t` of the batch: `logits = cap(head(norm(x + pending)) * scale)`.
    fn head(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        pending: Option<Join<'_>>,
        t: usize,
        best: Option<&Best<'_>>,
        tap: &mut dyn FnMut(Tap<'_>),
    ) {
        let (width, head) = (self.spec.width, &self.spec.head);
        self.join(cx, acts, pending, t..t + 1);
        let Activations { x, input, locals, .. } = acts;
        let x = Rows::new(&mut x[t * width..(t + 1) * width], width);
        let matrix = &self.weights.head;
        input.fill((cx.kernels, cx.pool, locals), (1, width), formats(&[matrix]), x, |_, x, h| {
            cx.kernels.rms_norm(h, x, self.weights.final_norm.get(), head.eps);
        });
        tap(Tap::FinalNorm(t, &input.h[..width]));
        self.logits(cx, acts, best);
        tap(Tap::Logits(t, &acts.logits));
    }

    /// Logits of the position whose final activations are in [`Activations::input`]: all of them, or the `best`.
    pub(crate) fn logits(&self, cx: &Context<'_>, acts: &mut Activations, best: Option<&Best<'_>>) {
        let (head, matrix) = (&self.spec.head, &self.weights.head);
        let Activations { input, logits, locals, screen, head_rows, .. } = acts;
        let screened = match (&self.weights.screen, screen, best) {
            (Some(screen), Some(buf), Some(best)) => {
                screen.run(cx, (input, locals, buf), (matrix, head.scale), logits, best)
            }
            _ => None,
        };
        *head_rows = screened.unwrap_or(matrix.rows());
        if screened.is_none() {
            linear::products(cx, locals, input, (1, self.spec.width), [(matrix, &mut *logits)]);
        }
        if head.scale != 1.0 {
            cx.kernels.scale(logits, head.scale);
        }
        if let Some(cap) = head.softcap {
            cx.kernels.softcap(logits, cap);
        }
    }
}

/// How a block's output joins the residual stream.
#[derive(Clone, Copy)]
struct Join<'a> {
    post: Option<&'a Vector>,
    eps: f32,
    scale: f32,
}

impl<'a> Join<'a> {
    fn new(spec: &LayerSpec, post: Option<&'a Vector>) -> Self {
        Self { post, eps: spec.norm.eps, scale: spec.residual_scale }
    }

    /// `x += norm(out) * scale`, without the norm if the model has none there.
    fn add(self, kernels: &Kernels, x: &mut [f32], out: &mut [f32]) {
        if let Some(post) = self.post {
            kernels.rms_norm_inplace(out, post.get(), self.eps);
        }
        if self.scale != 1.0 {
            kernels.scale(out, self.scale);
        }
        kernels.add(x, out);
    }
}

/// `h = norm(x)`, or `x` itself if the model has no norm there.
fn norm(kernels: &Kernels, h: &mut [f32], x: &[f32], weight: Option<&Vector>, eps: f32) {
    match weight {
        Some(weight) => kernels.rms_norm(h, x, weight.get(), eps),
        None => h.copy_from_slice(x),
    }
}

/// Norms and rotates the heads of a row of queries or keys, as far as the model does that. `turn` holds the position's
/// cosines and sines.
fn prepare_heads(
    kernels: &Kernels,
    spec: &LayerSpec,
    row: &mut [f32],
    norm: Option<&[f32]>,
    turn: Option<(&[f32], RopePairing)>,
) {
    let AttentionSpec { head_dim, qk_norm, .. } = spec.attention;
    if let (QkNorm::Row, Some(norm)) = (qk_norm, norm) {
        kernels.rms_norm_inplace(row, norm, spec.norm.eps);
    }
    for head in row.chunks_exact_mut(head_dim) {
        if let (QkNorm::Head, Some(norm)) = (qk_norm, norm) {
            kernels.rms_norm_inplace(head, norm, spec.norm.eps);
        }
        if let Some((angles, pairing)) = turn {
            kernels.rope(head, angles, pairing);
        }
        if let (QkNorm::HeadRotated, Some(norm)) = (qk_norm, norm) {
            kernels.rms_norm_inplace(head, norm, spec.norm.eps);
        }
    }
}

/// The formats that `linears` need their shared input in.
fn formats(linears: &[&Linear]) -> Formats {
    Formats::of(linears.iter().map(|l| l.ty().act_format()))
}
