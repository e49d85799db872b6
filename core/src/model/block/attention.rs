//! Attention over the KV cache, in chunks of positions whose partial results are merged in order.
//!
//! Work is cut in two ways that give the same bits: many tokens are spread over threads by group of heads and block of
//! queries, each task walking its chunks; a single token, which has too few heads for that, by group and chunk,
//! with a merge afterwards.

use std::ops::Range;

use crate::kernels::{ATTN_CHUNK, AttnChunk, AttnState};
use crate::kv_cache::LayerCache;
use crate::model::activations::{AttnBuf, Local};
use crate::model::decoder::Context;
use crate::model::spec::{GqaSpec, Mask, MlaSpec};
use crate::tensor::Stripe;
use crate::threads::Grid;

/// Runs of chunks that a thread gets of a single token's attention, at least.
const RUNS: usize = 3;

/// The heads that meet in attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// Of queries.
    pub(crate) queries: usize,
    /// Of keys and values; divides `queries`.
    pub(crate) keys: usize,
    /// Elements of a query or key.
    pub(crate) head_dim: usize,
    /// Elements of a value.
    pub(crate) value_dim: usize,
    /// Query heads of one key head that a task takes, if halving can give as few.
    most: usize,
    pub(crate) mask: Mask,
    /// Positions looked back on, itself included; `None` for all. See [`Mask`].
    pub(crate) window: Option<usize>,
    /// Whether windows lie side by side instead of sliding.
    pub(crate) chunked: bool,
    /// Scores are squashed to `cap * tanh(s / cap)`.
    pub(crate) softcap: Option<f32>,
}

impl Heads {
    pub(crate) fn of_gqa(a: &GqaSpec) -> Self {
        let &GqaSpec { heads, kv_heads, head_dim, mask, window, chunked, softcap, .. } = a;
        let (queries, keys, value_dim, most) = (heads, kv_heads, head_dim, 16);
        Self { queries, keys, head_dim, value_dim, most, mask, window, chunked, softcap }
    }

    /// Those of attention in which every position sees every other one.
    pub(crate) fn plain(heads: usize, head_dim: usize) -> Self {
        let (queries, keys, value_dim, most) = (heads, heads, head_dim, 1);
        let (mask, window) = (Mask::Bidirectional, None);
        Self { queries, keys, head_dim, value_dim, most, mask, window, chunked: false, softcap: None }
    }

    /// Those over latents: one key head, so smaller tasks leave more threads something to do.
    pub(crate) fn of_mla(a: &MlaSpec) -> Self {
        let (head_dim, value_dim) = (a.key_row(), a.kv_rank);
        let (queries, keys, most, window) = (a.heads, 1, 4, None);
        let mask = Mask::Causal;
        Self { queries, keys, head_dim, value_dim, most, mask, window, chunked: false, softcap: None }
    }

    /// Query heads of a task; they share a key head.
    pub(crate) fn group(&self) -> usize {
        let mut group = self.queries / self.keys;
        while group > self.most && group.is_multiple_of(2) {
            group /= 2;
        }
        group
    }

    /// How many groups there are.
    fn groups(&self) -> usize {
        self.queries / self.group()
    }

    /// The key head of a group.
    fn key_head(&self, group: usize) -> usize {
        group / (self.groups() / self.keys)
    }

    /// Elements of a row of queries.
    fn q_row(&self) -> usize {
        self.queries * self.head_dim
    }

    /// Elements of a row of results.
    fn out_row(&self) -> usize {
        self.queries * self.value_dim
    }

    /// Floats of a token's partial results for one chunk.
    pub(crate) fn partials(&self) -> usize {
        self.queries * (self.value_dim + 2)
    }
}

/// One layer's attention for a batch at positions `start..start + n`.
pub(crate) struct Attention<'a> {
    pub(crate) heads: Heads,
    pub(crate) cache: &'a LayerCache,
    /// `[queries]`: scores that take a share and give nothing.
    pub(crate) sinks: Option<&'a [f32]>,
    /// `[n, q_row]`: rotated and scaled queries.
    pub(crate) q: &'a [f32],
    pub(crate) start: usize,
    pub(crate) n: usize,
    /// Positions that see each other both ways, those of an image: to each of them, besides what it sees anyway.
    pub(crate) together: Option<Range<usize>>,
}

impl Attention<'_> {
    /// Fills `out`, `[n, queries * value_dim]`. `partials` is room for a single token's partial results.
    pub(crate) fn run(&self, cx: &Context<'_>, locals: &mut [Local], partials: &mut [f32], out: &mut [f32]) {
        let chunks = self.chunks(0, self.n);
        if self.n == 1 && chunks.len() > 1 {
            self.by_chunk(cx, locals, partials, out);
        } else {
            self.by_query(cx, locals, out);
        }
    }

    /// The state of a group's queries before any position.
    fn clear(&self, unit: usize, state: &mut AttnState<'_>) {
        state.acc.fill(0.0);
        match self.sinks {
            None => {
                state.max.fill(f32::NEG_INFINITY);
                state.sum.fill(0.0);
            }
            Some(sinks) => {
                let group = self.heads.group();
                let sinks = &sinks[unit * group..(unit + 1) * group];
                state.max.iter_mut().zip(sinks.iter().cycle()).for_each(|(max, sink)| *max = *sink);
                state.sum.fill(1.0);
            }
        }
    }

    /// First position that the query at `position` sees.
    fn oldest(&self, position: usize) -> usize {
        let oldest = match (self.heads.window, self.heads.mask) {
            (None, _) => 0,
            (Some(w), _) if self.heads.chunked => position / w * w,
            (Some(w), Mask::Causal) => (position + 1).saturating_sub(w),
            (Some(w), Mask::Bidirectional) => position.saturating_sub(w / 2),
        };
        self.together_with(position).map_or(oldest, |all| oldest.min(all.start))
    }

    /// The position behind the last one that the query at `position` sees.
    fn end(&self, position: usize) -> usize {
        let all = self.start + self.n;
        let end = match (self.heads.window, self.heads.mask) {
            (_, Mask::Causal) => position + 1,
            (None, Mask::Bidirectional) => all,
            (Some(w), Mask::Bidirectional) if self.heads.chunked => all.min(position / w * w + w),
            (Some(w), Mask::Bidirectional) => all.min(position + w / 2 + 1),
        };
        self.together_with(position).map_or(end, |all| end.max(all.end))
    }

    /// The image that the position is in, whose positions see each other.
    fn together_with(&self, position: usize) -> Option<&Range<usize>> {
        self.together.as_ref().filter(|all| all.contains(&position))
    }

    /// The chunks that tokens `first..end` of the batch see.
    fn chunks(&self, first: usize, end: usize) -> Range<usize> {
        self.oldest(self.start + first) / ATTN_CHUNK..self.end(self.start + end - 1).div_ceil(ATTN_CHUNK)
    }

    /// Tasks: group of heads x block of tokens.
    fn by_query(&self, cx: &Context<'_>, locals: &mut [Local], out: &mut [f32]) {
        let Heads { head_dim, value_dim, .. } = self.heads;
        let (group, q_row) = (self.heads.group(), self.heads.q_row());
        let block = (locals[0].visible.len() / group).max(1);
        let grid = Grid {
            out,
            rows: self.n,
            cols: self.heads.out_row(),
            tile_rows: block,
            tile_cols: group * value_dim,
        };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            if cx.cancelled() {
                return;
            }
            let (first, tokens) = (tile.rows.start, tile.rows.len());
            let unit = tile.cols.start / (group * value_dim);
            let n_q = tokens * group;
            for t in 0..tokens {
                let at = (first + t) * q_row + unit * group * head_dim;
                let to = t * group * head_dim;
                local.q[to..to + group * head_dim].copy_from_slice(&self.q[at..at + group * head_dim]);
            }
            let Local { scratch, q, part, state, visible, .. } = local;
            let mut state = state.first(n_q, value_dim);
            self.clear(unit, &mut state);
            for chunk in self.chunks(first, tile.rows.end) {
                for t in 0..tokens {
                    visible[t * group..(t + 1) * group].fill(self.visible(first + t, chunk));
                }
                let mut part = part.first(n_q, value_dim);
                let chunk = self.chunk(unit, chunk, &q[..n_q * head_dim], &visible[..n_q]);
                cx.kernels.attn_chunk(&chunk, &mut part, scratch);
                cx.kernels.attn_merge(&mut state, &part);
            }
            for t in 0..tokens {
                let queries = t * group..(t + 1) * group;
                let acc = &state.acc[queries.start * value_dim..queries.end * value_dim];
                finish(cx, acc, &state.sum[queries], value_dim, tile.out.row(t));
            }
        });
    }

    /// Tasks: runs of (chunk, group of heads), in the order in which they lie in memory; then groups merge.
    fn by_chunk(&self, cx: &Context<'_>, locals: &mut [Local], partials: &mut [f32], out: &mut [f32]) {
        let Heads { head_dim, value_dim, .. } = self.heads;
        let (group, groups) = (self.heads.group(), self.heads.groups());
        let all = self.chunks(0, 1);
        let cell = group * (value_dim + 2); // a partial result: accumulators, then maxima, then sums
        let cells = groups * all.len();
        let partials = &mut partials[..cells * cell];
        // Runs as long as leave each thread several, so that a slow one does not hold the others up.
        let tile_rows = (cells / (cx.pool.threads() * RUNS)).max(1);
        let grid = Grid { out: partials, rows: cells, cols: cell, tile_rows, tile_cols: cell };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            for (i, row) in tile.rows.clone().enumerate() {
                if cx.cancelled() {
                    return;
                }
                let (chunk, unit) = (all.start + row / groups, row % groups);
                local.visible[..group].fill(self.visible(0, chunk));
                let q = &self.q[unit * group * head_dim..(unit + 1) * group * head_dim];
                let mut chunk = self.chunk(unit, chunk, q, &local.visible[..group]);
                if row + 1 < tile.rows.end {
                    let (chunk_after, unit_after) = (all.start + (row + 1) / groups, (row + 1) % groups);
                    let head_after = self.heads.key_head(unit_after);
                    chunk.next = Some(self.cache.chunk(chunk_after * ATTN_CHUNK, head_after).0);
                }
                let mut part = split(tile.out.row(i), group, value_dim);
                cx.kernels.attn_chunk(&chunk, &mut part, &mut local.scratch);
            }
        });
        let (partials, mut out) = (&*partials, Stripe::whole(out, 1, self.heads.out_row()));
        let Local { state, part, .. } = &mut locals[0];
        for unit in 0..groups {
            let mut state = state.first(group, value_dim);
            self.clear(unit, &mut state);
            for chunk in 0..all.len() {
                let cell = &partials[(chunk * groups + unit) * cell..][..cell];
                let part = part.first(group, value_dim);
                let (acc, rest) = cell.split_at(group * value_dim);
                part.acc.copy_from_slice(acc);
                part.max.copy_from_slice(&rest[..group]);
                part.sum.copy_from_slice(&rest[group..]);
                cx.kernels.attn_merge(&mut state, &part);
            }
            let columns = unit * group * value_dim..(unit + 1) * group * value_dim;
            finish(cx, state.acc, state.sum, value_dim, &mut out.row(0)[columns]);
        }
    }

    /// What token `t` of the batch sees of `chunk`, relative to the chunk's start.
    fn visible(&self, t: usize, chunk: usize) -> (u32, u32) {
        let position = self.start + t;
        let base = chunk * ATTN_CHUNK;
        let within = |p: usize| p.saturating_sub(base).min(ATTN_CHUNK) as u32;
        let (from, to) = (within(self.oldest(position)), within(self.end(position)));
        (from.min(to), to)
    }

    fn chunk<'b>(
        &'b self,
        unit: usize,
        chunk: usize,
        q: &'b [f32],
        visible: &'b [(u32, u32)],
    ) -> AttnChunk<'b> {
        let (k, v) = self.cache.chunk(chunk * ATTN_CHUNK, self.heads.key_head(unit));
        AttnChunk {
            q,
            head_dim: self.heads.head_dim,
            value_dim: self.heads.value_dim,
            k,
            v,
            len: ATTN_CHUNK,
            visible,
            next: None,
            softcap: self.heads.softcap,
        }
    }
}

impl AttnBuf {
    /// The first `n` queries, of values of `head_dim`.
    fn first(&mut self, n: usize, head_dim: usize) -> AttnState<'_> {
        AttnState { acc: &mut self.acc[..n * head_dim], max: &mut self.max[..n], sum: &mut self.sum[..n] }
    }
}

fn split(cell: &mut [f32], n: usize, head_dim: usize) -> AttnState<'_> {
    let (acc, rest) = cell.split_at_mut(n * head_dim);
    let (max, sum) = rest.split_at_mut(n);
    AttnState { acc, max, sum }
}

/// Divides each query's accumulator by its sum.
fn finish(cx: &Context<'_>, acc: &[f32], sums: &[f32], head_dim: usize, out: &mut [f32]) {
    out.copy_from_slice(acc);
    for (head, sum) in out.chunks_exact_mut(head_dim).zip(sums) {
        cx.kernels.scale(head, 1.0 / sum);
    }
}
