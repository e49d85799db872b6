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

use super::exp::{exp, tanh};
use crate::kernels::vector::F32x16;
use crate::kernels::{ATTN_CHUNK, AttnChunk, AttnState, KvRows, Scratch};

/// Queries that share widened keys and values.
const QUERIES: usize = 16;
/// Positions that are widened at once, at most.
const SPAN: usize = 16;

/// Attention over one chunk, from nothing. The shapes were checked by the caller.
#[inline(always)]
pub(crate) fn attn_chunk<V: F32x16>(chunk: &AttnChunk<'_>, state: &mut AttnState<'_>, scratch: &mut Scratch) {
    if V::TILE == 4 {
        chunk_tiled::<V, 4>(chunk, state, scratch);
    } else {
        chunk_tiled::<V, 2>(chunk, state, scratch);
    }
}

#[inline(always)]
fn chunk_tiled<V: F32x16, const TILE: usize>(
    chunk: &AttnChunk<'_>,
    state: &mut AttnState<'_>,
    scratch: &mut Scratch,
) {
    let hd = chunk.head_dim;
    if hd == 0 {
        state.max.fill(f32::NEG_INFINITY);
        state.sum.fill(0.0);
        return;
    }
    let padded = hd.next_multiple_of(16);
    let (scores, wide) = scratch.f32s().split_at_mut(QUERIES * ATTN_CHUNK); // [QUERIES, ATTN_CHUNK], [span, padded]
    let span = SPAN.min(wide.len() / padded); // scratch for rows of `head_dim` holds at least one
    let (scores, _) = scores.as_chunks_mut::<ATTN_CHUNK>();
    let mut first = 0;
    while first < chunk.visible.len() {
        let n = QUERIES.min(chunk.visible.len() - first);
        let visible = &chunk.visible[first..first + n];
        let q = &chunk.q[first * hd..(first + n) * hd];
        let acc = &mut state.acc[first * hd..(first + n) * hd];
        let (start, end) = union(visible);

        let mut p = start;
        while p < end {
            let len = span.min(end - p);
            widen::<V>(chunk.k, chunk, p, len, padded, wide);
            score_span::<V, TILE>(q, hd, visible, wide, padded, p, len, scores);
            p += len;
        }
        for i in 0..n {
            let (max, sum) = softmax::<V>(&mut scores[i], visible[i], chunk.softcap);
            state.max[first + i] = max;
            state.sum[first + i] = sum;
        }
        acc.fill(0.0);
        let mut p = start;
        while p < end {
            let len = span.min(end - p);
            widen::<V>(chunk.v, chunk, p, len, padded, wide);
            value_span::<V, TILE>(acc, hd, visible, wide, padded, p, len, scores);
            p += len;
        }
        first += n;
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

/// Scores of all queries at positions `p..p + len`, whose widened keys are `wide`. Scores of positions that a query
/// does not see may be written as well.
#[inline(always)]
fn score_span<V: F32x16, const TILE: usize>(
    q: &[f32],
    hd: usize,
    visible: &[(u32, u32)],
    wide: &[f32],
    padded: usize,
    p: usize,
    len: usize,
    scores: &mut [[f32; ATTN_CHUNK]],
) {
    let n = visible.len();
    let mut i = 0;
    while i < n {
        let queries = if i + TILE <= n { TILE } else { 1 };
        let (start, end) = union(&visible[i..i + queries]);
        let (from, to) = (start.max(p), end.min(p + len));
        let mut at = from;
        while at < to {
            // Positions that are left over are computed with neighbours that are not needed, if there are any.
            let wide = &wide[(at - p) * padded..];
            let q = &q[i * hd..(i + queries) * hd];
            let scores = &mut scores[i..i + queries];
            at += if queries == TILE && at + TILE <= p + len {
                score_tile::<V, TILE, TILE>(q, hd, wide, padded, at, scores)
            } else if queries == 1 && at + 4 <= p + len {
                score_tile::<V, 1, 4>(q, hd, wide, padded, at, scores)
            } else if queries == 1 {
                score_tile::<V, 1, 1>(q, hd, wide, padded, at, scores)
            } else {
                score_tile::<V, TILE, 1>(q, hd, wide, padded, at, scores)
            };
        }
        i += queries;
    }
}

/// Scores of `Q` queries at positions `at..at + P`. Gives `P`.
#[inline(always)]
fn score_tile<V: F32x16, const Q: usize, const P: usize>(
    q: &[f32],
    hd: usize,
    wide: &[f32],
    padded: usize,
    at: usize,
    scores: &mut [[f32; ATTN_CHUNK]],
) -> usize {
    let mut acc = [[V::splat(0.0); P]; Q];
    let whole = hd / 16;
    let mut keys = [&[] as &[[f32; 16]]; P];
    for (j, keys) in keys.iter_mut().enumerate() {
        *keys = &wide[j * padded..].as_chunks::<16>().0[..padded / 16];
    }
    let mut queries = [&[] as &[[f32; 16]]; Q];
    for (i, queries) in queries.iter_mut().enumerate() {
        *queries = &q[i * hd..].as_chunks::<16>().0[..whole];
    }
    for step in 0..whole {
        let mut k = [V::splat(0.0); P];
        for j in 0..P {
            k[j] = V::load(&keys[j][step]);
        }
        for i in 0..Q {
            let q = V::load(&queries[i][step]);
            for j in 0..P {
                acc[i][j] = q.fma(k[j], acc[i][j]);
            }
        }
    }
    if !hd.is_multiple_of(16) {
        for i in 0..Q {
            let q = V::load_partial(&q[i * hd + whole * 16..(i + 1) * hd], 0.0);
            for j in 0..P {
                acc[i][j] = q.fma(V::load(&keys[j][whole]), acc[i][j]);
            }
        }
    }
    for i in 0..Q {
        let out = &mut scores[i][at..at + P];
        if P == 4 {
            out.copy_from_slice(&V::reduce_add4([acc[i][0], acc[i][1], acc[i][2], acc[i][3]]));
        } else {
            for j in 0..P {
                out[j] = acc[i][j].reduce_add();
            }
        }
    }
    P
}

/// Turns one query's scores into `exp(score - max)` over what it sees; gives the largest score and the sum.
#[inline(always)]
fn softmax<V: F32x16>(
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

/// Adds `e_p * value[p]` for positions `p..p + len`, whose widened values are `wide`, to `acc`, `[n, head_dim]`.
#[inline(always)]
fn value_span<V: F32x16, const TILE: usize>(
    acc: &mut [f32],
    hd: usize,
    visible: &[(u32, u32)],
    wide: &[f32],
    padded: usize,
    p: usize,
    len: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let n = visible.len();
    let mut i = 0;
    while i < n {
        // Queries that all see all of these positions share the loads; `e_p = 0` instead would not do, because zero
        // times an infinite value is NaN.
        let mut together = i + TILE <= n;
        if together {
            for &(a, b) in &visible[i..i + TILE] {
                together &= a as usize <= p && p + len <= b as usize;
            }
        }
        let queries = if together { TILE } else { 1 };
        let (from, to) = (p.max(visible[i].0 as usize), (p + len).min(visible[i].1 as usize));
        if from < to {
            let wide = &wide[(from - p) * padded..(to - p) * padded];
            let acc = &mut acc[i * hd..(i + queries) * hd];
            let scores = &scores[i..i + queries];
            if together {
                value_columns::<V, TILE, TILE>(acc, hd, wide, padded, from, to, scores);
            } else {
                value_columns::<V, 1, 4>(acc, hd, wide, padded, from, to, scores);
            }
        }
        i += queries;
    }
}

/// [`value_span`] for `Q` queries that see exactly `from..to`, by column tiles of `C * 16` and then of 16.
#[inline(always)]
fn value_columns<V: F32x16, const Q: usize, const C: usize>(
    acc: &mut [f32],
    hd: usize,
    wide: &[f32],
    padded: usize,
    from: usize,
    to: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let mut d = 0;
    while d + 16 * C <= hd {
        value_tile::<V, Q, C>(acc, hd, d, 16, wide, padded, from, to, scores);
        d += 16 * C;
    }
    while d < hd {
        value_tile::<V, Q, 1>(acc, hd, d, 16.min(hd - d), wide, padded, from, to, scores);
        d += 16;
    }
}

/// Columns `d..d + 16 C` of `Q` accumulators; `columns < 16`: only so many of the one vector.
#[inline(always)]
fn value_tile<V: F32x16, const Q: usize, const C: usize>(
    acc: &mut [f32],
    hd: usize,
    d: usize,
    columns: usize,
    wide: &[f32],
    padded: usize,
    from: usize,
    to: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let mut sums = [[V::splat(0.0); C]; Q];
    for i in 0..Q {
        let row = &acc[i * hd + d..];
        for c in 0..C {
            sums[i][c] = if columns == 16 {
                V::load(row[16 * c..].first_chunk::<16>().expect("a whole vector"))
            } else {
                V::load_partial(&row[..columns], 0.0)
            };
        }
    }
    for p in from..to {
        let row = &wide[(p - from) * padded + d..].as_chunks::<16>().0[..C];
        let mut v = [V::splat(0.0); C];
        for c in 0..C {
            v[c] = V::load(&row[c]);
        }
        for i in 0..Q {
            let e = V::splat(scores[i][p]);
            for c in 0..C {
                sums[i][c] = e.fma(v[c], sums[i][c]);
            }
        }
    }
    for i in 0..Q {
        let row = &mut acc[i * hd + d..];
        for c in 0..C {
            if columns == 16 {
                sums[i][c].store(row[16 * c..].first_chunk_mut::<16>().expect("a whole vector"));
            } else {
                sums[i][c].store_partial(&mut row[..columns]);
            }
        }
    }
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
