//! Attention of several queries over one chunk of at most 256 positions, and the merging of chunks.
//!
//! For each query alone, whatever else is in the batch:
//! 1. score of position `p` = fused multiply-adds of query and key elements from zero, elements in order (positions are
//!    lanes, so nothing is added across lanes), then the soft cap if there is one;
//! 2. `max` over the visible scores (NaN is left out here, and comes back through the sum);
//! 3. `e_p = exp(score - max)`; their sum in sixteen lanes, position `p` in lane `p % 16`, and the tree;
//! 4. accumulator element `d` = fused multiply-adds of `e_p * value[p][d]` over the visible positions in order; in
//!    another order where values are part of the keys: [`in_keys`].
//!
//! Few queries read keys and values as they are stored. Many share them widened to f32, as many positions at a time
//! as scratch memory holds. Keys and values that are bytes have steps 1 and 4 of their own: [`bytes`].

pub(crate) mod bytes;
mod in_keys;
mod scores;
mod values;

use std::ptr::null;

use self::in_keys::values_in_keys;
use self::scores::score_span;
use self::values::value_span;
use super::exp::{exp, tanh};
use crate::kernels::scratch::{Line, typed};
use crate::kernels::vector::F32x16;
use crate::kernels::{ATTN_CHUNK, ATTN_LANES, AttnChunk, AttnState, KvRows, Scratch};

/// Queries that share widened keys and values.
const QUERIES: usize = 16;
/// Queries of a register tile, at most.
const TILE: usize = 4;
/// Positions whose values are met by all queries in turn, at most: their tiles of columns come from the first-level
/// cache.
const SPAN: usize = 32;

/// Up to [`QUERIES`] queries on their way through the three [`Steps`].
pub(crate) struct Block<'a> {
    chunk: &'a AttnChunk<'a>,
    q: &'a [f32],                        // [n, head_dim]
    visible: &'a [(u32, u32)],           // [n]
    positions: (usize, usize),           // what any of them sees
    memory: &'a mut [Line],              // for what a step likes
    scores: &'a mut [[f32; ATTN_CHUNK]], // [QUERIES], the first n in use
    acc: &'a mut [f32],                  // [n, value_dim]
    max: &'a mut [f32],                  // [n]
    sum: &'a mut [f32],                  // [n]
}

impl Block<'_> {
    /// Whether widening pays, and there is room (there is for all but absurd heads).
    fn widens(&self) -> bool {
        let dim = self.chunk.head_dim.max(self.chunk.value_dim);
        self.visible.len() > 2 * TILE && self.memory.len() * 16 >= SPAN * dim
    }
}

/// An element of a cache.
pub(super) trait Element: Copy + Default {
    /// Whether it comes from a cache that is larger than the processor's.
    const FROM_MEMORY: bool;
    /// Sixteen of them as `f32`.
    fn load<V: F32x16>(x: &[Self; 16]) -> V;
    /// Fewer than sixteen; zeros beyond.
    fn load_partial<V: F32x16>(x: &[Self]) -> V;
}

/// f16 bits.
impl Element for u16 {
    const FROM_MEMORY: bool = true;

    #[inline(always)]
    fn load<V: F32x16>(x: &[Self; 16]) -> V {
        V::load_f16(x)
    }

    #[inline(always)]
    fn load_partial<V: F32x16>(x: &[Self]) -> V {
        V::load_f16_partial(x)
    }
}

/// Mostly what was widened.
impl Element for f32 {
    const FROM_MEMORY: bool = false;

    #[inline(always)]
    fn load<V: F32x16>(x: &[Self; 16]) -> V {
        V::load(x)
    }

    #[inline(always)]
    fn load_partial<V: F32x16>(x: &[Self]) -> V {
        V::load_partial(x, 0.0)
    }
}

/// One step for one block of queries, compiled for a tier.
pub(crate) type Step = unsafe fn(&mut Block<'_>);

/// The steps as functions of their own: in one function their loops compete for registers. With AVX2 on a Zen 4 core
/// at `head_dim` 256, 49 GFLOPS became 68.
pub(crate) struct Steps {
    pub(crate) scores: Step,
    pub(crate) softmax: Step,
    pub(crate) values: Step,
    /// `scores` of keys that are bytes.
    pub(crate) byte_scores: Step,
    /// `values` that are bytes.
    pub(crate) byte_values: Step,
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
    let (hd, vd) = (chunk.head_dim, chunk.value_dim);
    let (scores, memory) = scratch.lines().split_at_mut(QUERIES * ATTN_CHUNK / 16);
    let (scores, _) = typed::<f32>(scores).as_chunks_mut::<ATTN_CHUNK>();
    let (score, value) = match chunk.k {
        KvRows::Q8 { .. } => (steps.byte_scores, steps.byte_values),
        _ => (steps.scores, steps.values),
    };
    let mut first = 0;
    while first < chunk.visible.len() {
        let n = QUERIES.min(chunk.visible.len() - first);
        let visible = &chunk.visible[first..first + n];
        let mut block = Block {
            chunk,
            q: &chunk.q[first * hd..(first + n) * hd],
            visible,
            positions: union(visible),
            memory,
            scores,
            acc: &mut state.acc[first * vd..(first + n) * vd],
            max: &mut state.max[first..first + n],
            sum: &mut state.sum[first..first + n],
        };
        // SAFETY: as the caller promised.
        unsafe {
            score(&mut block);
            (steps.softmax)(&mut block);
            value(&mut block);
        }
        first += n;
    }
}

/// Step 1: `block.scores`, without the soft cap.
#[inline(always)]
pub(crate) fn scores<V: F32x16>(block: &mut Block<'_>) {
    let row = block.chunk.head_dim * ATTN_LANES;
    let (mut at, end) = (block.positions.0 / ATTN_LANES, block.positions.1.div_ceil(ATTN_LANES));
    let step = if block.widens() { block.memory.len() * 16 / row } else { ATTN_CHUNK / ATTN_LANES };
    while at < end {
        let blocks = step.min(end - at);
        let (part, widens) = (at * row..(at + blocks) * row, block.widens());
        let Block { chunk, q, visible, memory, scores, .. } = block;
        match chunk.k {
            KvRows::F16(k) if widens => {
                let wide = &mut typed(memory)[..part.len()];
                widen::<V>(&k[part], wide);
                score_span::<V, f32>(q, visible, wide, null(), (at, blocks), scores);
            }
            KvRows::F16(k) => {
                let values = chunk.v.map_or(null(), |v| ahead(v, part.start));
                score_span::<V, u16>(q, visible, &k[part], values, (at, blocks), scores);
            }
            KvRows::F32(k) => score_span::<V, f32>(q, visible, &k[part], null(), (at, blocks), scores),
            KvRows::Q8 { .. } => return,
        }
        at += blocks;
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
    let Some(values) = block.chunk.v else {
        let Block { chunk, visible, scores, acc, .. } = block;
        return match chunk.k {
            KvRows::F16(k) => values_in_keys::<V, u16>(acc, visible, k, chunk.head_dim, scores),
            KvRows::F32(k) => values_in_keys::<V, f32>(acc, visible, k, chunk.head_dim, scores),
            KvRows::Q8 { .. } => {}
        };
    };
    let hd = block.chunk.value_dim;
    let (mut p, end) = block.positions;
    while p < end {
        // Spans end at multiples, so that queries see whole ones.
        let next = (p / SPAN + 1) * SPAN;
        let len = next.min(end) - p;
        let (part, widens) = (p * hd..(p + len) * hd, block.widens());
        let Block { chunk, visible, memory, scores, acc, .. } = block;
        let next = ahead(chunk.next.unwrap_or(values), p * hd);
        match values {
            KvRows::F16(v) if widens => {
                let wide = &mut typed(memory)[..part.len()];
                widen::<V>(&v[part], wide);
                value_span::<V, f32>(acc, visible, wide, null(), (p, len), scores);
            }
            KvRows::F16(v) => value_span::<V, u16>(acc, visible, &v[part], next, (p, len), scores),
            KvRows::F32(v) => value_span::<V, f32>(acc, visible, &v[part], null(), (p, len), scores),
            KvRows::Q8 { .. } => return,
        }
        p += len;
    }
}

/// Where element `at` of f16 `rows` is, to be fetched ahead of its use.
#[inline(always)]
fn ahead(rows: KvRows<'_>, at: usize) -> *const u16 {
    match rows {
        KvRows::F16(x) => x.as_ptr().wrapping_add(at),
        _ => null(),
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

/// The f16 values as `f32`.
#[inline(always)]
fn widen<V: F32x16>(x: &[u16], wide: &mut [f32]) {
    let ((x, rest), (wide, wide_rest)) = (x.as_chunks::<16>(), wide.as_chunks_mut::<16>());
    for (x, wide) in x.iter().zip(wide) {
        V::load_f16(x).store(wide);
    }
    if !rest.is_empty() {
        V::load_f16_partial(rest).store_partial(wide_rest);
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
