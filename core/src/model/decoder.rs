//! THE forward pass: one loop over layers, for every family, for prefill and decode alike.
//!
//! A batch of `n` tokens goes through all layers together. Shapes are `[n, ...]`, row-major. Everything that differs
//! between models is read from the specification; everything that is computed goes through the kernel table; all
//! memory is in [`Activations`] and the cache.

use super::activations::{Activations, Formats};
use super::block::delta::Delta;
use super::block::gqa::Gqa;
use super::block::mla::Mla;
use super::block::residual::{Entrance, Join};
use super::block::rope::Rotation;
use super::block::{altup, ffn, linear, per_layer};
use super::screen::Best;
use super::spec::{AttentionSpec, ModelSpec, NormPlacement};
use super::weights::{Attention, Linear, Vector, Weights};
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernels;
use crate::kv_cache::KvCache;
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
    /// Shown what every product reads; `None` but when that is measured.
    pub(crate) inputs: Option<&'a Inputs<'a>>,
    /// Whether the system is told which experts come next, see [`crate::ModelOptions`].
    pub(crate) stream_experts: bool,
    /// Whether the positions of the pass see each other both ways: those of an image.
    pub(crate) together: bool,
}

/// What a pass is fed.
#[derive(Clone, Copy)]
pub(crate) enum Fed<'a> {
    /// Tokens, each below `vocab`.
    Tokens(&'a [u32]),
    /// `[n, width]`: embeddings as they are; not for models whose layers have embeddings of their own.
    Rows(&'a [f32]),
}

/// A product's matrix and what it is multiplied with: for tools that measure how much each input matters.
#[derive(Clone, Copy, Debug)]
pub struct ProductInput<'a> {
    /// The matrix as the file has it, or a part of its rows: the bytes lie inside those of a tensor.
    pub weights: &'a [u8],
    /// `[n, columns]`.
    pub input: &'a [f32],
    /// Columns of the matrix.
    pub columns: usize,
}

/// See [`Context::inputs`]. Called by the thread that leads a pass, between products.
pub(crate) type Inputs<'a> = dyn Fn(ProductInput<'_>) + Sync + 'a;

impl Context<'_> {
    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
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
    /// Nobody's, but every token's state, `[n, width]`, left in [`Activations::out`].
    States,
    /// Every token's, one row each of [`Activations::logits`], which has as many.
    Rows,
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

    /// Runs what is `fed` (at most a batch) at the end of `cache`. After an error the cache holds what it held before.
    pub(crate) fn forward(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        cache: &mut KvCache,
        fed: Fed<'_>,
        mut wanted: Wanted<'_>,
    ) -> Result<()> {
        let started = Instant::now();
        let n = match fed {
            Fed::Tokens(tokens) => tokens.len(),
            Fed::Rows(rows) => rows.len() / self.spec.width,
        };
        cache.begin(n);
        match fed {
            Fed::Tokens(tokens) => self.embed(cx, acts, cache.len(), tokens),
            Fed::Rows(rows) => acts.x[..rows.len()].copy_from_slice(rows),
        }
        self.rotations(cx, acts, cache.len(), n);
        if let Wanted::All(tap) = &mut wanted {
            tap(Tap::Embed(&acts.x[..n * self.spec.width]));
        }
        if let (Some(spec), Some(weights), Fed::Tokens(tokens)) =
            (&self.spec.per_layer, &self.weights.per_layer, fed)
        {
            per_layer::prepare(cx, acts, spec, weights, tokens, (n, self.spec.width));
        }
        if let Some(ends) = &self.weights.streams {
            altup::open(cx, acts, ends, (n, self.spec.width));
        }
        let mut pending = None;
        for i in 0..self.spec.layers.len() {
            cx.check_cancelled()?;
            pending = self.layer(cx, acts, cache, i, pending, n);
            if let Wanted::All(tap) = &mut wanted {
                self.join(cx, acts, pending.take(), 0..n);
                tap(Tap::Layer(i, &acts.x[..n * self.spec.width]));
            }
        }
        match wanted {
            Wanted::None => {}
            Wanted::States => self.states(cx, acts, pending, n),
            Wanted::Last => self.head(cx, acts, pending, n - 1..n, None, &mut |_| {}),
            Wanted::Best(best) => self.head(cx, acts, pending, n - 1..n, Some(&best), &mut |_| {}),
            Wanted::Rows => self.head(cx, acts, pending, 0..n, None, &mut |_| {}),
            Wanted::All(tap) => (0..n).for_each(|t| self.head(cx, acts, pending, t..t + 1, None, tap)),
        }
        cx.check_cancelled()?;
        cache.commit(n);
        if n == 1 {
            cx.pool.observe_pass(started.elapsed());
        } else {
            cx.pool.forget_waiting();
        }
        Ok(())
    }

    /// `x = embedding[token] * scale`, and what is added to it.
    fn embed(&self, cx: &Context<'_>, acts: &mut Activations, start: usize, tokens: &[u32]) {
        let (table, extra, width) = (self.weights.embed.mat(), &self.weights.embed_extra, self.spec.width);
        let Activations { x, out, locals, .. } = acts;
        let parts = (Rows::new(x, width), Rows::new(out, width));
        cx.pool.rows(locals, tokens.len(), parts, |_, t, (x, spare)| {
            table.dequantize_row(tokens[t] as usize, x);
            if self.spec.embed_scale != 1.0 {
                cx.kernels.scale(x, self.spec.embed_scale);
            }
            if let Some(extra) = extra {
                let mut add = |table: &Linear, row| {
                    table.mat().dequantize_row(row, spare);
                    cx.kernels.add(x, spare);
                };
                extra.types.iter().for_each(|types| add(types, 0));
                add(&extra.positions, start + t);
                extra.norm.apply_inplace(cx.kernels, x);
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

    /// The blocks of layer `i`; what the last one gives is left pending.
    fn layer(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        cache: &mut KvCache,
        i: usize,
        pending: Option<Join<'_>>,
        n: usize,
    ) -> Option<Join<'_>> {
        let (spec, layer, width) = (&self.spec.layers[i], &self.weights.layers[i], self.spec.width);
        let (start, eps) = (cache.len(), spec.norm.eps);

        if let Some(altup) = &layer.altup {
            altup::predict(cx, acts, altup, (n, width));
        }
        let formats = linear::formats(layer.attention.first());
        let entrance = Entrance { norm: layer.attn_norm.as_ref(), parallel: false, formats };
        entrance.fill(cx, acts, pending, (n, width));
        if let Some(altup) = &layer.altup {
            altup::low_rank(cx, acts, altup, (n, width), eps);
        }
        let (ropes, source) = (&self.spec.ropes, self.cache_slot(i));
        match (&spec.attention, &layer.attention) {
            (AttentionSpec::Gqa(spec), Attention::Gqa(weights)) => {
                Gqa { spec, weights, ropes, eps, start, n }.run(cx, acts, cache.layer_mut(source), width);
            }
            (AttentionSpec::Mla(spec), Attention::Mla(weights)) => {
                Mla { spec, weights, ropes, eps, start, n }.run(cx, acts, cache.layer_mut(source), width);
            }
            (AttentionSpec::Delta(spec), Attention::Delta(weights)) => {
                Delta { spec, weights, eps, n }.run(cx, acts, cache.state_mut(source), width);
            }
            _ => unreachable!("weights are bound by their specification"),
        }
        let post = layer.post_attn_norm.as_ref();
        let join = match &layer.altup {
            Some(_) => altup::join(cx, acts, spec, post, (n, width)),
            None => Join::new(spec, post),
        };

        let formats = linear::formats(layer.ffn.first());
        let parallel = spec.norm.placement == NormPlacement::Parallel;
        let entrance = Entrance { norm: layer.ffn_norm.as_ref(), parallel, formats };
        entrance.fill(cx, acts, Some(join), (n, width));
        ffn::run(cx, acts, spec, &layer.ffn, (n, width));
        let join = Join::new(spec, layer.post_ffn_norm.as_ref());

        let join = match (&self.spec.per_layer, &layer.per_layer, &layer.altup) {
            (Some(embeddings), Some(w), Some(altup)) => {
                altup::correct(cx, acts, altup, join, &w.gate, (n, width));
                per_layer::run(cx, acts, embeddings, w, i, (n, width));
                altup::spread(cx, acts, &w.post_norm, (n, width));
                return None;
            }
            (Some(embeddings), Some(w), None) => {
                let formats = linear::formats([&w.gate]);
                let entrance = Entrance { norm: None, parallel: false, formats };
                entrance.fill(cx, acts, Some(join), (n, width));
                per_layer::run(cx, acts, embeddings, w, i, (n, width));
                Join::new(spec, Some(&w.post_norm))
            }
            _ => join,
        };
        Some(layer.output_scale.as_ref().map_or(join, |scale| join.then_scale(scale.get()[0])))
    }

    /// `out = norm(x + pending)` of the whole batch.
    fn states(&self, cx: &Context<'_>, acts: &mut Activations, pending: Option<Join<'_>>, n: usize) {
        let width = self.spec.width;
        self.join(cx, acts, pending, 0..n);
        if let Some(ends) = &self.weights.streams {
            (0..n).for_each(|t| altup::close(cx, acts, ends, t, width));
        }
        let Activations { x, out, locals, .. } = acts;
        let parts = (Rows::new(x, width), Rows::new(out, width));
        cx.pool.rows(locals, n, parts, |_, _, (x, out)| self.final_norm(cx.kernels, out, x));
    }

    /// `out = norm(x)`, or `x` if the model has no norm there.
    fn final_norm(&self, kernels: &Kernels, out: &mut [f32], x: &[f32]) {
        match &self.weights.final_norm {
            Some(norm) => norm.apply(kernels, out, x),
            None => out.copy_from_slice(x),
        }
    }

    /// Logits of the tokens `range` of the batch, if the model has any: `logits = cap(head(norm(x + pending)) * scale)`. The
    /// tap sees the first.
    fn head(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        pending: Option<Join<'_>>,
        range: std::ops::Range<usize>,
        best: Option<&Best<'_>>,
        tap: &mut dyn FnMut(Tap<'_>),
    ) {
        let (width, n, t) = (self.spec.width, range.len(), range.start);
        self.join(cx, acts, pending, range.clone());
        if let Some(ends) = &self.weights.streams {
            range.clone().for_each(|t| altup::close(cx, acts, ends, t, width));
        }
        let Activations { x, input, locals, .. } = acts;
        let x = Rows::new(&mut x[t * width..range.end * width], width);
        let formats = self.weights.head.as_ref().map_or(Formats::default(), |head| linear::formats([head]));
        input.fill((cx.kernels, cx.pool, locals), (n, width), formats, x, |_, x, h| {
            self.final_norm(cx.kernels, h, x);
        });
        tap(Tap::FinalNorm(t, &input.h[..width]));
        if self.weights.head.is_some() {
            self.logits(cx, acts, n, best);
            tap(Tap::Logits(t, &acts.logits[..self.spec.vocab]));
        }
    }

    /// Logits of the `n` positions whose final activations are in [`Activations::input`]: all of them, or of a single
    /// position the `best`. None if the model has none.
    pub(crate) fn logits(&self, cx: &Context<'_>, acts: &mut Activations, n: usize, best: Option<&Best<'_>>) {
        let Some(matrix) = &self.weights.head else {
            return;
        };
        let (head, vocab) = (&self.spec.head, self.spec.vocab);
        let Activations { input, logits, locals, screen, head_rows, .. } = acts;
        let logits = &mut logits[..n * vocab];
        let screened = match (&self.weights.screen, screen, best) {
            (Some(screen), Some(buf), Some(best)) => {
                screen.run(cx, (input, locals, buf), (matrix, head.scale), logits, best)
            }
            _ => None,
        };
        *head_rows = screened.unwrap_or(matrix.rows());
        if screened.is_none() {
            linear::products(cx, locals, input, (n, self.spec.width), [(matrix, &mut *logits)]);
        }
        if head.scale == 1.0 && head.softcap.is_none() {
            return;
        }
        cx.pool.rows(locals, n, Rows::new(logits, vocab), |_, _, logits| {
            if head.scale != 1.0 {
                cx.kernels.scale(logits, head.scale);
            }
            if let Some(cap) = head.softcap {
                cx.kernels.softcap(logits, cap);
            }
        });
    }
}
