//! Step 4: weighted values of a span of positions, by register tiles of queries and columns.

use super::{Element, TILE};
use crate::kernels::ATTN_CHUNK;
use crate::kernels::vector::F32x16;

/// Adds `e_p * value[p]` for positions `p..p + len`, whose values are `[len, head_dim]`, to `acc`, `[n, head_dim]`.
/// As much memory at `next` is asked for meanwhile, unless that is null.
#[inline(always)]
pub(super) fn value_span<V: F32x16, E: Element>(
    acc: &mut [f32],
    visible: &[(u32, u32)],
    values: &[E],
    next: *const E,
    (p, len): (usize, usize),
    scores: &[[f32; ATTN_CHUNK]],
) {
    let n = visible.len();
    let hd = acc.len() / n;
    // What a query sees of the span.
    let seen = |&(a, b): &(u32, u32)| (p.max(a as usize), (p + len).min(b as usize));
    let mut i = 0;
    while i < n {
        // Queries that see the same share the loads; `e_p = 0` for what one does not see would not do, because zero
        // times an infinite value is NaN.
        let (from, to) = seen(&visible[i]);
        let mut queries = 1;
        while queries < TILE && i + queries < n && seen(&visible[i + queries]) == (from, to) {
            queries += 1;
        }
        if from < to {
            let next = next.wrapping_add((from - p) * hd);
            let values = &values[(from - p) * hd..(to - p) * hd];
            let (acc, scores) = (&mut acc[i * hd..(i + queries) * hd], &scores[i..i + queries]);
            match (queries, V::TILE) {
                (4, 4) => value_queries::<V, E, 4, 4>(acc, values, next, from, scores),
                (3, 4) => value_queries::<V, E, 3, 4>(acc, values, next, from, scores),
                (2, 4) => value_queries::<V, E, 2, 4>(acc, values, next, from, scores),
                (_, 4) => value_queries::<V, E, 1, 4>(acc, values, next, from, scores),
                (4, _) => value_queries::<V, E, 4, 1>(acc, values, next, from, scores),
                (3, _) => value_queries::<V, E, 3, 1>(acc, values, next, from, scores),
                (2, _) => value_queries::<V, E, 2, 2>(acc, values, next, from, scores),
                _ => value_queries::<V, E, 1, 4>(acc, values, next, from, scores),
            }
        }
        i += queries;
    }
}

/// [`value_span`] for `Q` queries that see all of `values`, by column tiles of `C * 16` and then of 16.
#[inline(always)]
fn value_queries<V: F32x16, E: Element, const Q: usize, const C: usize>(
    acc: &mut [f32],
    values: &[E],
    next: *const E,
    from: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let hd = acc.len() / Q;
    let mut d = 0;
    while d + 16 * C <= hd {
        value_tile::<V, E, Q, C>(acc, d, 16, values, next, from, scores);
        d += 16 * C;
    }
    while d < hd {
        value_tile::<V, E, Q, 1>(acc, d, 16.min(hd - d), values, next, from, scores);
        d += 16;
    }
}

/// Columns `d..d + 16 C` of `Q` accumulators; `columns < 16`: only so many of the one vector.
#[inline(always)]
fn value_tile<V: F32x16, E: Element, const Q: usize, const C: usize>(
    acc: &mut [f32],
    d: usize,
    columns: usize,
    values: &[E],
    next: *const E,
    from: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let hd = acc.len() / Q;
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
    let mut weights = [&[] as &[f32]; Q];
    for i in 0..Q {
        weights[i] = &scores[i][from..from + values.len() / hd];
    }
    for (p, row) in values.chunks_exact(hd).enumerate() {
        if E::FROM_MEMORY {
            for line in 0..C.div_ceil(2) {
                V::prefetch(next.wrapping_add(p * hd + d + line * 32));
            }
        }
        let mut v = [V::splat(0.0); C];
        if columns == 16 {
            let row = &row[d..].as_chunks::<16>().0[..C];
            for c in 0..C {
                v[c] = E::load(&row[c]);
            }
        } else {
            v[0] = E::load_partial(&row[d..]);
        }
        for i in 0..Q {
            let e = V::splat(weights[i][p]);
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
