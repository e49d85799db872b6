//! Attention over the KV cache, in chunks of positions whose partial results are merged in order.
//!
//! Work is cut in two ways that give the same bits: many tokens are spread over threads by key head and block of
//! queries, each task walking its chunks; a single token, which has too few heads for that, by key head and chunk,
//! with a merge afterwards.

use crate::kernels::{ATTN_CHUNK, AttnChunk, AttnState};
use crate::kv_cache::LayerCache;
use crate::model::activations::{AttnBuf, Local};
use crate::model::decoder::Context;
use crate::model::spec::AttentionSpec;
use crate::tensor::Stripe;
use crate::threads::Grid;

/// Runs of chunks that a thread gets of a single token's attention, at least.
const RUNS: usize = 3;

/// One layer's attention for a batch at positions `start..start + n`.
pub(crate) struct Attention<'a> {
    pub(crate) spec: &'a AttentionSpec,
    pub(crate) cache: &'a LayerCache,
    /// `[n, q_row]`: rotated and scaled queries.
    pub(crate) q: &'a [f32],
    pub(crate) start: usize,
    pub(crate) n: usize,
}

impl Attention<'_> {
    /// Fills `out`, `[n, q_row]`. `partials` is room for a single token's partial results.
    pub(crate) fn run(&self, cx: &Context<'_>, locals: &mut [Local], partials: &mut [f32], out: &mut [f32]) {
        let chunks = self.chunks(0, self.n);
        if self.n == 1 && chunks.len() > 1 {
            self.by_chunk(cx, locals, partials, out);
        } else {
            self.by_query(cx, locals, out);
        }
    }

    fn group(&self) -> usize {
        self.spec.heads / self.spec.kv_heads
    }

    /// First position that the query at `position` sees.
    fn oldest(&self, position: usize) -> usize {
        self.spec.window.map_or(0, |w| (position + 1).saturating_sub(w))
    }

    /// The chunks that tokens `first..end` of the batch see.
    fn chunks(&self, first: usize, end: usize) -> std::ops::Range<usize> {
        self.oldest(self.start + first) / ATTN_CHUNK..(self.start + end - 1) / ATTN_CHUNK + 1
    }

    /// Tasks: key head x block of tokens.
    fn by_query(&self, cx: &Context<'_>, locals: &mut [Local], out: &mut [f32]) {
        let (group, head_dim) = (self.group(), self.spec.head_dim);
        let block = (locals[0].visible.len() / group).max(1);
        let grid = Grid {
            out,
            rows: self.n,
            cols: self.spec.q_row(),
            tile_rows: block,
            tile_cols: group * head_dim,
        };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            if cx.cancelled() {
                return;
            }
            let (first, tokens) = (tile.rows.start, tile.rows.len());
            let kv_head = tile.cols.start / (group * head_dim);
            let n_q = tokens * group;
            for t in 0..tokens {
                let at = (first + t) * self.spec.q_row() + tile.cols.start;
                let to = t * group * head_dim;
                local.q[to..to + group * head_dim].copy_from_slice(&self.q[at..at + group * head_dim]);
            }
            let Local { scratch, q, part, state, visible } = local;
            let mut state = state.first(n_q, head_dim);
            clear(&mut state);
            for chunk in self.chunks(first, tile.rows.end) {
                for t in 0..tokens {
                    visible[t * group..(t + 1) * group].fill(self.visible(first + t, chunk));
                }
                let mut part = part.first(n_q, head_dim);
                let chunk = self.chunk(kv_head, chunk, &q[..n_q * head_dim], &visible[..n_q]);
                cx.kernels.attn_chunk(&chunk, &mut part, scratch);
                cx.kernels.attn_merge(&mut state, &part);
            }
            for t in 0..tokens {
                let queries = t * group..(t + 1) * group;
                let acc = &state.acc[queries.start * head_dim..queries.end * head_dim];
                finish(cx, acc, &state.sum[queries], head_dim, tile.out.row(t));
            }
        });
    }

    /// Tasks: runs of (chunk, key head), in the order in which they lie in memory; then key heads merge.
    fn by_chunk(&self, cx: &Context<'_>, locals: &mut [Local], partials: &mut [f32], out: &mut [f32]) {
        let (group, head_dim, kv_heads) = (self.group(), self.spec.head_dim, self.spec.kv_heads);
        let all = self.chunks(0, 1);
        let cell = group * (head_dim + 2); // a partial result: accumulators, then maxima, then sums
        let cells = kv_heads * all.len();
        let partials = &mut partials[..cells * cell];
        // Runs as long as leave each thread several, so that a slow one does not hold the others up.
        let tile_rows = (cells / (cx.pool.threads() * RUNS)).max(1);
        let grid = Grid { out: partials, rows: cells, cols: cell, tile_rows, tile_cols: cell };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            for (i, row) in tile.rows.clone().enumerate() {
                if cx.cancelled() {
                    return;
                }
                let (chunk, kv_head) = (all.start + row / kv_heads, row % kv_heads);
                local.visible[..group].fill(self.visible(0, chunk));
                let q = &self.q[kv_head * group * head_dim..(kv_head + 1) * group * head_dim];
                let mut chunk = self.chunk(kv_head, chunk, q, &local.visible[..group]);
                if row + 1 < tile.rows.end {
                    let (chunk_after, head_after) = (all.start + (row + 1) / kv_heads, (row + 1) % kv_heads);
                    chunk.next = Some(self.cache.chunk(chunk_after * ATTN_CHUNK, head_after).0);
                }
                let mut part = split(tile.out.row(i), group, head_dim);
                cx.kernels.attn_chunk(&chunk, &mut part, &mut local.scratch);
            }
        });
        let (partials, mut out) = (&*partials, Stripe::whole(out, 1, self.spec.q_row()));
        let Local { state, part, .. } = &mut locals[0];
        for kv_head in 0..kv_heads {
            let mut state = state.first(group, head_dim);
            clear(&mut state);
            for chunk in 0..all.len() {
                let cell = &partials[(chunk * kv_heads + kv_head) * cell..][..cell];
                let part = part.first(group, head_dim);
                let (acc, rest) = cell.split_at(group * head_dim);
                part.acc.copy_from_slice(acc);
                part.max.copy_from_slice(&rest[..group]);
                part.sum.copy_from_slice(&rest[group..]);
                cx.kernels.attn_merge(&mut state, &part);
            }
            let columns = kv_head * group * head_dim..(kv_head + 1) * group * head_dim;
            finish(cx, state.acc, state.sum, head_dim, &mut out.row(0)[columns]);
        }
    }

    /// What token `t` of the batch sees of `chunk`, relative to the chunk's start.
    fn visible(&self, t: usize, chunk: usize) -> (u32, u32) {
        let position = self.start + t;
        let base = chunk * ATTN_CHUNK;
        let within = |p: usize| p.saturating_sub(base).min(ATTN_CHUNK) as u32;
        let (from, to) = (within(self.oldest(position)), within(position + 1));
        (from.min(to), to)
    }

    fn chunk<'b>(
        &'b self,
        kv_head: usize,
        chunk: usize,
        q: &'b [f32],
        visible: &'b [(u32, u32)],
    ) -> AttnChunk<'b> {
        let (k, v) = self.cache.chunk(chunk * ATTN_CHUNK, kv_head);
        AttnChunk {
            q,
            head_dim: self.spec.head_dim,
            k,
            v,
            len: ATTN_CHUNK,
            visible,
            next: None,
            softcap: self.spec.softcap,
        }
    }
}

impl AttnBuf {
    /// The first `n` queries of `head_dim`.
    fn first(&mut self, n: usize, head_dim: usize) -> AttnState<'_> {
        AttnState { acc: &mut self.acc[..n * head_dim], max: &mut self.max[..n], sum: &mut self.sum[..n] }
    }
}

fn split(cell: &mut [f32], n: usize, head_dim: usize) -> AttnState<'_> {
    let (acc, rest) = cell.split_at_mut(n * head_dim);
    let (max, sum) = rest.split_at_mut(n);
    AttnState { acc, max, sum }
}

fn clear(state: &mut AttnState<'_>) {
    state.acc.fill(0.0);
    state.max.fill(f32::NEG_INFINITY);
    state.sum.fill(0.0);
}

/// Divides each query's accumulator by its sum.
fn finish(cx: &Context<'_>, acc: &[f32], sums: &[f32], head_dim: usize, out: &mut [f32]) {
    out.copy_from_slice(acc);
    for (head, sum) in out.chunks_exact_mut(head_dim).zip(sums) {
        cx.kernels.scale(head, 1.0 / sum);
    }
}
