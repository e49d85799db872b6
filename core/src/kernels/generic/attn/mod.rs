//! Attention of several queries over one chunk of at most 256 positions, and the merging of chunks.
//!
//! For each query alone, whatever else is in the batch:
//! 1. score of position `p` = dot of query and key in the sixteen lanes (`head_dim` padded with zeros), then the soft
//!    cap if there is one;
//! 2. `max` over the visible scores (NaN is left out here, and comes back through the sum);
//! 3. `e_p = exp(score - max)`; their sum in sixteen lanes, position `p` in lane `p % 16`, and the tree;
//! 4. accumulator element `d` = fused multiply-adds of `e_p * value[p][d]` over the visible positions in order.
//!
//! Keys and values are widened to f32 once per block of [`QUERIES`] queries, [`SPAN`] positions at a time, so that
//! they are met in the first-level cache.

mod scores;
mod values;

use self::scores::score_span;
use self::values::value_span;
use super::exp::{exp, tanh};
use crate::kernels::vector::F32x16;
use crate::kernels::{ATTN_CHUNK, AttnChunk, AttnState, KvRows, Scratch};

/// Queries that share widened keys and values.
const QUERIES: usize = 16;
/// Positions that are widened at once, at most.
const SPAN: usize = 16;

/// Up to [`QUERIES`] queries on their way through the three [`Steps`].
pub(crate) struct Block<'a> {
    chunk: &'a AttnChunk<'a>,
    q: &'a [f32],                        // [n, head_dim]
    visible: &'a [(u32, u32)],           // [n]
    positions: (usize, usize),           // what any of them sees
    padded: usize,                       // head_dim, next multiple of 16
    span: usize,                         // positions that `wide` holds
    wide: &'a mut [f32],                 // [span, padded] keys, then values
    scores: &'a mut [[f32; ATTN_CHUNK]], // [QUERIES], the first n in use
    acc: &'a mut [f32],                  // [n, head_dim]
    max: &'a mut [f32],                  // [n]
    sum: &'a mut [f32],                  // [n]
}

/// One step for one block of queries, compiled for a tier.
pub(crate) type Step = unsafe fn(&mut Block<'_>);

/// The steps as functions of their own: in one function their loops compete for registers. With AVX2 on a Zen 4 core
/// at `head_dim` 256, 49 GFLOPS became 68.
pub(crate) struct Steps {
    pub(crate) scores: Step,
    pub(crate) softmax: Step,
    pub(crate) values: Step,
}

/// Attention over one chunk, from nothing. The shapes were checked by the caller.
///
/// # Safety
/// - this processor may run `steps`.
#[inline(always)]
pub(crate) unsafe fn attn_chunk(
    chunk: &AttnChunk<'_>,
    state: &mut AttnState<'_>,
    scratch: &mut Scratch,
    steps: &Steps,
) {
    let hd = chunk.head_dim;
    let padded = hd.next_multiple_of(16);
    let (scores, wide) = scratch.f32s().split_at_mut(QUERIES * ATTN_CHUNK);
    let span = SPAN.min(wide.len().checked_div(padded).unwrap_or(SPAN)); // scratch for `head_dim` holds at least one
    let (scores, _) = scores.as_chunks_mut::<ATTN_CHUNK>();
    let mut first = 0;
    while first < chunk.visible.len() {
        let n = QUERIES.min(chunk.visible.len() - first);
        let visible = &chunk.visible[first..first + n];
        let mut block = Block {
            chunk,
            q: &chunk.q[first * hd..(first + n) * hd],
            visible,
            positions: union(visible),
            padded,
            span,
            wide,
            scores,
            acc: &mut state.acc[first * hd..(first + n) * hd],
            max: &mut state.max[first..first + n],
            sum: &mut state.sum[first..first + n],
        };
        // SAFETY: as the caller promised.
        unsafe {
            (steps.scores)(&mut block);
            (steps.softmax)(&mut block);
            (steps.values)(&mut block);
        }
        first += n;
    }
}

/// Step 1: `block.scores`, without the soft cap.
#[inline(always)]
pub(crate) fn scores<V: F32x16>(block: &mut Block<'_>) {
    let (mut p, end) = block.positions;
    while p < end {
        let len = block.span.min(end - p);
        widen::<V>(block.chunk.k, block.chunk, p, len, block.padded, block.wide);
        if V::TILE == 4 {
            score_span::<V, 4>(block, p, len);
        } else {
            score_span::<V, 2>(block, p, len);
        }
        p += len;
    }
}

/// Steps 2 and 3.
#[inline(always)]
pub(crate) fn softmax<V: F32x16>(block: &mut Block<'_>) {
    for (i, &visible) in block.visible.iter().enumerate() {
        (block.max[i], block.sum[i]) = softmax_row::<V>(&mut block.scores[i], visible, block.chunk.softcap);
    }
}

/// Step 4.
#[inline(always)]
pub(crate) fn values<V: F32x16>(block: &mut Block<'_>) {
    block.acc.fill(0.0);
    let (mut p, end) = block.positions;
    while p < end {
        let len = block.span.min(end - p);
        widen::<V>(block.chunk.v, block.chunk, p, len, block.padded, block.wide);
        if V::TILE == 4 {
            value_span::<V, 4>(block, p, len);
        } else {
            value_span::<V, 2>(block, p, len);
        }
        p += len;
    }
}

/// The positions that any of the queries sees.
#[inline(always)]
fn union(visible: &[(u32, u32)]) -> (usize, usize) {
    let (mut start, mut end) = (u32::MAX, 0);
    for &(a, b) in visible {
        if a < b {
            (start, end) = (start.min(a), end.max(b));
        }
    }
    (start as usize, end as usize)
}

/// Rows `p..p + len` of keys or values as `f32`, `[len, padded]`, zeros beyond `head_dim`.
#[inline(always)]
fn widen<V: F32x16>(
    rows: KvRows<'_>,
    chunk: &AttnChunk<'_>,
    p: usize,
    len: usize,
    padded: usize,
    wide: &mut [f32],
) {
    for i in 0..len {
        let at = (p + i) * chunk.stride;
        let out = &mut wide[i * padded..(i + 1) * padded];
        let rows = match rows {
            KvRows::F16(rows) => rows,
            KvRows::F32(rows) => {
                out[..chunk.head_dim].copy_from_slice(&rows[at..at + chunk.head_dim]);
                out[chunk.head_dim..].fill(0.0);
                continue;
            }
        };
        let (row, rest) = rows[at..at + chunk.head_dim].as_chunks::<16>();
        let (out, _) = out.as_chunks_mut::<16>();
        for (row, out) in row.iter().zip(out.iter_mut()) {
            V::load_f16(row).store(out);
        }
        if !rest.is_empty() {
            V::load_f16_partial(rest).store(&mut out[row.len()]);
        }
    }
}

/// Turns one query's scores into `exp(score - max)` over what it sees; gives the largest score and the sum.
#[inline(always)]
fn softmax_row<V: F32x16>(
    scores: &mut [f32; ATTN_CHUNK],
    visible: (u32, u32),
    softcap: Option<f32>,
) -> (f32, f32) {
    let (start, end) = (visible.0 as usize, visible.1 as usize);
    if start == end {
        return (f32::NEG_INFINITY, 0.0);
    }
    let (low, high) = (start / 16, end.div_ceil(16));
    scores[low * 16..start].fill(f32::NEG_INFINITY);
    scores[end..high * 16].fill(f32::NEG_INFINITY);
    let groups = &mut scores.as_chunks_mut::<16>().0[low..high];
    if let Some(cap) = softcap {
        let cap = V::splat(cap);
        for group in groups.iter_mut() {
            tanh(V::load(group).div(cap)).mul(cap).store(group);
        }
        // Capped, what is not visible became -cap.
        scores[low * 16..start].fill(f32::NEG_INFINITY);
        scores[end..high * 16].fill(f32::NEG_INFINITY);
    }
    let groups = &mut scores.as_chunks_mut::<16>().0[low..high];
    let mut max = V::splat(f32::NEG_INFINITY);
    for group in groups.iter() {
        max = V::load(group).max(max);
    }
    let max = max.reduce_max();
    let mut sum = V::splat(0.0);
    for group in groups {
        let e = exp(V::load(group).sub(V::splat(max)));
        e.store(group);
        sum = sum.add(e);
    }
    (max, sum.reduce_add())
}

/// Adds `part` to `state`: both scaled to the common maximum, `part` by a fused multiply-add. A part that saw nothing
/// (sum 0) changes nothing; into a state that saw nothing a part is copied.
#[inline(always)]
pub(crate) fn attn_merge<V: F32x16>(state: &mut AttnState<'_>, part: &AttnState<'_>) {
    let n = state.max.len();
    if n == 0 {
        return;
    }
    let hd = state.acc.len() / n;
    for i in 0..n {
        let acc = &mut state.acc[i * hd..(i + 1) * hd];
        let other = &part.acc[i * hd..(i + 1) * hd];
        if part.sum[i] == 0.0 {
            continue;
        }
        if state.sum[i] == 0.0 {
            acc.copy_from_slice(other);
            (state.max[i], state.sum[i]) = (part.max[i], part.sum[i]);
            continue;
        }
        let max = if state.max[i] > part.max[i] { state.max[i] } else { part.max[i] };
        let old = exp(V::splat(state.max[i] - max));
        let new = exp(V::splat(part.max[i] - max));
        state.max[i] = max;
        state.sum[i] = V::splat(part.sum[i]).fma(new, V::splat(state.sum[i]).mul(old)).first();
        let ((acc, acc_rest), (other, other_rest)) = (acc.as_chunks_mut::<16>(), other.as_chunks::<16>());
        for (acc, other) in acc.iter_mut().zip(other) {
            V::load(other).fma(new, V::load(acc).mul(old)).store(acc);
        }
        if !acc_rest.is_empty() {
            let scaled = V::load_partial(acc_rest, 0.0).mul(old);
            V::load_partial(other_rest, 0.0).fma(new, scaled).store_partial(acc_rest);
        }
    }
}
