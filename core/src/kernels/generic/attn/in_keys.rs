//! Step 4 where values are the first elements of the keys: positions are lanes, so a sum over them is one over lanes.
//!
//! Accumulator element `d`: lane `p % 16` takes the fused multiply-adds of `e_p * key[p][d]` over the visible positions
//! in order, and the lanes are added as a tree.

use super::{Element, TILE};
use crate::kernels::vector::F32x16;
use crate::kernels::{ATTN_CHUNK, ATTN_LANES};

/// Fills `acc`, `[n, value_dim]`, from keys `[blocks][head_dim][16]`.
#[inline(always)]
pub(super) fn values_in_keys<V: F32x16, E: Element>(
    acc: &mut [f32],
    visible: &[(u32, u32)],
    keys: &[E],
    head_dim: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let n = visible.len();
    let dim = acc.len() / n;
    let mut i = 0;
    while i < n {
        // Queries that see the same share the loads.
        let mut queries = 1;
        while queries < TILE && i + queries < n && visible[i + queries] == visible[i] {
            queries += 1;
        }
        let (start, end) = (visible[i].0 as usize, visible[i].1 as usize);
        if start < end {
            let (acc, scores) = (&mut acc[i * dim..(i + queries) * dim], &scores[i..i + queries]);
            let seen = (start, end);
            match (queries, V::TILE) {
                (4, 4) => queries_in_keys::<V, E, 4, 4>(acc, seen, keys, head_dim, scores),
                (3, 4) => queries_in_keys::<V, E, 3, 4>(acc, seen, keys, head_dim, scores),
                (2, 4) => queries_in_keys::<V, E, 2, 4>(acc, seen, keys, head_dim, scores),
                (_, 4) => queries_in_keys::<V, E, 1, 8>(acc, seen, keys, head_dim, scores),
                (4, _) => queries_in_keys::<V, E, 4, 1>(acc, seen, keys, head_dim, scores),
                (3, _) => queries_in_keys::<V, E, 3, 1>(acc, seen, keys, head_dim, scores),
                (2, _) => queries_in_keys::<V, E, 2, 2>(acc, seen, keys, head_dim, scores),
                _ => queries_in_keys::<V, E, 1, 4>(acc, seen, keys, head_dim, scores),
            }
        }
        i += queries;
    }
}

/// [`values_in_keys`] of `Q` queries that see the same positions, by tiles of `D` elements and then one by one.
#[inline(always)]
fn queries_in_keys<V: F32x16, E: Element, const Q: usize, const D: usize>(
    acc: &mut [f32],
    seen: (usize, usize),
    keys: &[E],
    head_dim: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let dim = acc.len() / Q;
    let mut d = 0;
    while d + D <= dim {
        tile_in_keys::<V, E, Q, D>(acc, d, seen, keys, head_dim, scores);
        d += D;
    }
    while d < dim {
        tile_in_keys::<V, E, Q, 1>(acc, d, seen, keys, head_dim, scores);
        d += 1;
    }
}

/// Elements `d..d + D` of `Q` accumulators.
#[inline(always)]
fn tile_in_keys<V: F32x16, E: Element, const Q: usize, const D: usize>(
    acc: &mut [f32],
    d: usize,
    (start, end): (usize, usize),
    keys: &[E],
    head_dim: usize,
    scores: &[[f32; ATTN_CHUNK]],
) {
    let dim = acc.len() / Q;
    let mut sums = [[V::splat(0.0); D]; Q];
    for block in start / ATTN_LANES..end.div_ceil(ATTN_LANES) {
        let elements =
            &keys[(block * head_dim + d) * ATTN_LANES..][..D * ATTN_LANES].as_chunks::<16>().0[..D];
        let first = block * ATTN_LANES;
        let mut k = [V::splat(0.0); D];
        if start <= first && first + ATTN_LANES <= end {
            for j in 0..D {
                k[j] = E::load(&elements[j]);
            }
        } else {
            // What is not visible weighs nothing, but zero times an infinite value is NaN.
            let lanes = start.saturating_sub(first)..(end - first).min(ATTN_LANES);
            for j in 0..D {
                let mut some = [E::default(); 16];
                some[lanes.clone()].copy_from_slice(&elements[j][lanes.clone()]);
                k[j] = E::load(&some);
            }
        }
        for i in 0..Q {
            let e = V::load(&scores[i].as_chunks::<16>().0[block]);
            for j in 0..D {
                sums[i][j] = e.fma(k[j], sums[i][j]);
            }
        }
    }
    for i in 0..Q {
        for j in 0..D {
            acc[i * dim + d + j] = sums[i][j].reduce_add();
        }
    }
}
