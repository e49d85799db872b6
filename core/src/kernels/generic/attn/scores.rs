//! Step 1: scores of a span of positions whose keys are widened, by register tiles of queries and positions.

use super::{Block, union};
use crate::kernels::ATTN_CHUNK;
use crate::kernels::vector::F32x16;

/// Scores of all queries at positions `p..p + len`, whose widened keys are in `wide`. Scores of positions that a query
/// does not see may be written as well.
#[inline(always)]
pub(super) fn score_span<V: F32x16, const TILE: usize>(block: &mut Block<'_>, p: usize, len: usize) {
    let (hd, padded, visible) = (block.chunk.head_dim, block.padded, block.visible);
    let n = visible.len();
    let mut i = 0;
    while i < n {
        let queries = if i + TILE <= n { TILE } else { 1 };
        let (start, end) = union(&visible[i..i + queries]);
        let (from, to) = (start.max(p), end.min(p + len));
        let mut at = from;
        while at < to {
            // Positions that are left over are computed with neighbours that are not needed, if there are any.
            let wide = &block.wide[(at - p) * padded..];
            let q = &block.q[i * hd..(i + queries) * hd];
            let scores = &mut block.scores[i..i + queries];
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
    if P == 2 && Q == 2 {
        let sums = V::reduce_add4([acc[0][0], acc[0][1], acc[1][0], acc[1][1]]);
        scores[0][at..at + 2].copy_from_slice(&sums[..2]);
        scores[1][at..at + 2].copy_from_slice(&sums[2..]);
        return P;
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
