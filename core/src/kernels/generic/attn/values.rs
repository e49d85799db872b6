//! Step 4: weighted values of a span of positions, by register tiles of queries and columns.

use super::Block;
use crate::kernels::ATTN_CHUNK;
use crate::kernels::vector::F32x16;

/// Adds `e_p * value[p]` for positions `p..p + len`, whose widened values are in `wide`, to `acc`.
#[inline(always)]
pub(super) fn value_span<V: F32x16, const TILE: usize>(block: &mut Block<'_>, p: usize, len: usize) {
    let (hd, padded, visible) = (block.chunk.head_dim, block.padded, block.visible);
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
            let wide = &block.wide[(from - p) * padded..(to - p) * padded];
            let acc = &mut block.acc[i * hd..(i + queries) * hd];
            let scores = &block.scores[i..i + queries];
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
