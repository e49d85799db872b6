//! Step 1: scores of a span of positions, by register tiles of queries and blocks of sixteen positions.

use super::{Element, TILE, union};
use crate::kernels::vector::F32x16;
use crate::kernels::{ATTN_CHUNK, ATTN_LANES};

/// Scores of all queries, `[n, head_dim]`, at blocks `first..first + blocks` of the chunk, whose keys are
/// `[blocks][head_dim][16]`. Scores of positions that a query does not see may be written as well.
///
/// Meanwhile the keys that follow are asked for, and the values, those of block `first` at `values`: the arithmetic
/// takes about as long as the memory, and neither should wait for the other.
#[inline(always)]
pub(super) fn score_span<V: F32x16, E: Element>(
    q: &[f32],
    visible: &[(u32, u32)],
    keys: &[E],
    values: *const E,
    (first, blocks): (usize, usize),
    scores: &mut [[f32; ATTN_CHUNK]],
) {
    let n = visible.len();
    let hd = q.len() / n;
    let mut i = 0;
    while i < n {
        let queries = TILE.min(n - i);
        let (start, end) = union(&visible[i..i + queries]);
        let (from, to) = (first.max(start / ATTN_LANES), end.div_ceil(ATTN_LANES).min(first + blocks));
        if from < to {
            let span = (first, from - first, to - first);
            let (q, scores) = (&q[i * hd..(i + queries) * hd], &mut scores[i..i + queries]);
            // As many accumulators as there are registers for, and enough to hide the latency of an addition.
            match (queries, V::TILE) {
                (4, 4) => score_queries::<V, E, 4, 4>(q, keys, values, span, scores),
                (3, 4) => score_queries::<V, E, 3, 4>(q, keys, values, span, scores),
                (2, 4) => score_queries::<V, E, 2, 4>(q, keys, values, span, scores),
                (_, 4) => score_queries::<V, E, 1, 8>(q, keys, values, span, scores),
                (4, _) => score_queries::<V, E, 4, 1>(q, keys, values, span, scores),
                (3, _) => score_queries::<V, E, 3, 1>(q, keys, values, span, scores),
                (2, _) => score_queries::<V, E, 2, 2>(q, keys, values, span, scores),
                _ => score_queries::<V, E, 1, 4>(q, keys, values, span, scores),
            }
        }
        i += queries;
    }
}

/// Scores of `Q` queries at blocks `from..to` of `keys`, the first of which is block `first` of the chunk.
#[inline(always)]
fn score_queries<V: F32x16, E: Element, const Q: usize, const P: usize>(
    q: &[f32],
    keys: &[E],
    values: *const E,
    (first, from, to): (usize, usize, usize),
    scores: &mut [[f32; ATTN_CHUNK]],
) {
    let row = q.len() / Q * ATTN_LANES;
    let mut at = from;
    while at < to {
        if at + P > to && to < P {
            score_tile::<V, E, Q, 1>(q, &keys[at * row..], values.wrapping_add(at * row), first + at, scores);
            at += 1;
        } else {
            // What is left over is computed with neighbours that are known or not needed.
            at = at.min(to - P);
            score_tile::<V, E, Q, P>(q, &keys[at * row..], values.wrapping_add(at * row), first + at, scores);
            at += P;
        }
    }
}

/// Scores of `Q` queries at `P` blocks, which are blocks `at..at + P` of the chunk.
#[inline(always)]
fn score_tile<V: F32x16, E: Element, const Q: usize, const P: usize>(
    q: &[f32],
    keys: &[E],
    values: *const E,
    at: usize,
    scores: &mut [[f32; ATTN_CHUNK]],
) {
    let hd = q.len() / Q;
    let mut blocks = [&[] as &[[E; 16]]; P];
    for j in 0..P {
        blocks[j] = &keys.as_chunks::<16>().0[j * hd..][..hd];
    }
    let mut queries = [&[] as &[f32]; Q];
    for i in 0..Q {
        queries[i] = &q[i * hd..][..hd];
    }
    let mut acc = [[V::splat(0.0); P]; Q];
    let next = keys.as_ptr().wrapping_add(P * hd * 16);
    for d in 0..hd {
        if E::FROM_MEMORY {
            for line in 0..P.div_ceil(2) {
                V::prefetch(next.wrapping_add(d * P * 16 + line * 32));
                V::prefetch(values.wrapping_add(d * P * 16 + line * 32));
            }
        }
        let mut k = [V::splat(0.0); P];
        for j in 0..P {
            k[j] = E::load(&blocks[j][d]);
        }
        for i in 0..Q {
            let q = V::splat(queries[i][d]);
            for j in 0..P {
                acc[i][j] = q.fma(k[j], acc[i][j]);
            }
        }
    }
    for i in 0..Q {
        for j in 0..P {
            acc[i][j].store(&mut scores[i].as_chunks_mut::<16>().0[at + j]);
        }
    }
}
