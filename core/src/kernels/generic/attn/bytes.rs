//! Steps 1 and 4 over keys and values that are bytes: the products are sums of integers, and exact.
//!
//! 1. The query is quantised like a key, in blocks of [`KV_BLOCK`]. Score = over the blocks in order, from zero,
//!    a fused multiply-add of (sum of products * the key's scale) with the query's scale.
//! 4. `e_p` times the scale of value `p`, over the visible positions, become integers in 0..=[`UNITS`] that share a
//!    unit (the largest / [`UNITS`]; rounded to nearest even); accumulator element `d` = the sum of their products with
//!    `value[p][d]`, times the unit. If one of them is not finite the unit is NaN.
//!
//! Of a chunk's 256 values no sum can exceed `256 * 32767 * 127`, which is below 2^31.

use std::ptr::null;

use super::{Block, QUERIES, union};
use crate::kernels::generic::quantize;
use crate::kernels::scratch::typed;
use crate::kernels::vector::{F32x16, I32x16};
use crate::kernels::{ATTN_CHUNK, ATTN_LANES, KV_BLOCK, KvRows};

/// The largest weight.
const UNITS: f32 = 32767.0;
/// Steps of 64 bytes in a tile of sixteen positions and [`KV_BLOCK`] elements.
const STEPS: usize = ATTN_LANES * KV_BLOCK / 64;

/// Such a tile: keys are `[8][16 positions][4]`, values `[8][32 elements][2 positions]`.
type Tile = [[i8; 64]; STEPS];

/// Quantised elements of a query, as many as a tile has.
type QueryBlock = [[i8; 4]; STEPS];

/// How far ahead of their use keys are asked for, in bytes.
const AHEAD: usize = 2048;

fn tiles(bytes: &[i8]) -> &[Tile] {
    bytes.as_chunks::<64>().0.as_chunks::<STEPS>().0
}

/// Queries as the scores need them, `[n][blocks]` each.
#[derive(Clone, Copy)]
struct Queries<'a> {
    qs: &'a [QueryBlock],
    scales: &'a [f32],
    sums: &'a [i32],
    blocks: usize,
}

impl<'a> Queries<'a> {
    fn get(&self, i: usize) -> (&'a [QueryBlock], &'a [f32], &'a [i32]) {
        let at = i * self.blocks..(i + 1) * self.blocks;
        (&self.qs[at.clone()], &self.scales[at.clone()], &self.sums[at])
    }
}

/// Step 1: `block.scores`, without the soft cap.
#[inline(always)]
pub(crate) fn scores<I: I32x16>(block: &mut Block<'_>) {
    let Block { chunk, q, visible, positions, memory, scores, .. } = block;
    let (KvRows::Q8 { qs: keys, scales }, Some(KvRows::Q8 { qs: values, scales: value_scales })) =
        (chunk.k, chunk.v)
    else {
        return;
    };
    let (n, blocks) = (visible.len(), chunk.head_dim.div_ceil(KV_BLOCK));
    let (qs, memory) = memory.split_at_mut((n * blocks * KV_BLOCK).div_ceil(64));
    let (q_scales, memory) = memory.split_at_mut((n * blocks).div_ceil(16));
    let (qs, q_scales, sums) = (typed::<i8>(qs), typed::<f32>(q_scales), typed::<i32>(memory));
    for i in 0..n {
        for b in 0..blocks {
            let x = &q[i * chunk.head_dim..(i + 1) * chunk.head_dim][b * KV_BLOCK..];
            let x = &x[..x.len().min(KV_BLOCK)];
            let at = i * blocks + b;
            let qs = &mut qs[at * KV_BLOCK..(at + 1) * KV_BLOCK];
            q_scales[at] = quantize::block::<I::Floats>(x, &mut qs[..x.len()]);
            qs[x.len()..].fill(0);
            sums[at] = qs.iter().map(|&q| i32::from(q)).sum();
        }
    }
    let queries =
        Queries { qs: qs.as_chunks::<4>().0.as_chunks::<STEPS>().0, scales: q_scales, sums, blocks };
    let (keys, values) = (tiles(keys), tiles(values));
    let (scales, _) = scales.as_chunks::<ATTN_LANES>();
    for at in positions.0 / ATTN_LANES..positions.1.div_ceil(ATTN_LANES) {
        I::Floats::prefetch(&raw const value_scales[at * ATTN_LANES]);
        let part = at * blocks..(at + 1) * blocks;
        let (keys, scales) = (&keys[part.clone()], &scales[part.clone()]);
        let mut i = 0;
        while i < n {
            let tile = I::Floats::TILE.min(n - i);
            let (start, end) = union(&visible[i..i + tile]);
            // Keys to come and the values of these positions are asked for meanwhile, once.
            let values = values.get(part.clone()).filter(|_| i == 0);
            if at * ATTN_LANES < end && start < (at + 1) * ATTN_LANES {
                let out = &mut scores[i..i + tile];
                match tile {
                    4 => score_tile::<I, 4>(&queries, i, keys, scales, values, at, out),
                    3 => score_tile::<I, 3>(&queries, i, keys, scales, values, at, out),
                    2 => score_tile::<I, 2>(&queries, i, keys, scales, values, at, out),
                    _ => score_tile::<I, 1>(&queries, i, keys, scales, values, at, out),
                }
            }
            i += tile;
        }
    }
}

/// Scores of `Q` queries from `first` on at the sixteen positions of `keys`, `[blocks]`, which are block `at` of the
/// chunk.
#[inline(always)]
fn score_tile<I: I32x16, const Q: usize>(
    queries: &Queries<'_>,
    first: usize,
    keys: &[Tile],
    scales: &[[f32; ATTN_LANES]],
    values: Option<&[Tile]>,
    at: usize,
    out: &mut [[f32; ATTN_CHUNK]],
) {
    let mut rows: [(&[QueryBlock], &[f32], &[i32]); Q] = [(&[], &[], &[]); Q];
    for i in 0..Q {
        rows[i] = queries.get(first + i);
    }
    let mut acc = [I::Floats::splat(0.0); Q];
    for b in 0..queries.blocks {
        let mut sums = [I::zero(); Q];
        for i in 0..Q {
            sums[i] = I::start(rows[i].2[b]);
        }
        for (step, keys) in keys[b].iter().enumerate() {
            if let Some(values) = values {
                I::Floats::prefetch(keys.as_ptr().wrapping_add(AHEAD));
                I::Floats::prefetch(&raw const values[b][step]);
            }
            let keys = I::keys(keys);
            for i in 0..Q {
                sums[i] = sums[i].dot_keys(keys, &rows[i].0[b][step]);
            }
        }
        let scale = I::Floats::load(&scales[b]);
        for i in 0..Q {
            let products = sums[i].to_floats().mul(scale);
            acc[i] = products.fma(I::Floats::splat(rows[i].1[b]), acc[i]);
        }
    }
    for i in 0..Q {
        acc[i].store(&mut out[i].as_chunks_mut::<16>().0[at]);
    }
}

/// Step 4.
#[inline(always)]
pub(crate) fn values<I: I32x16>(block: &mut Block<'_>) {
    let Block { chunk, visible, memory, scores, acc, .. } = block;
    let Some(KvRows::Q8 { qs: values, scales }) = chunk.v else {
        return;
    };
    let (n, hd, blocks) = (visible.len(), chunk.value_dim, chunk.value_dim.div_ceil(KV_BLOCK));
    let weights = typed::<i16>(&mut memory[..QUERIES * ATTN_CHUNK / 32]);
    let (weights, _) = weights.as_chunks_mut::<ATTN_CHUNK>();
    let mut units = [0.0; QUERIES];
    for i in 0..n {
        units[i] = weigh::<I::Floats>(&mut scores[i], visible[i], scales, &mut weights[i]);
    }
    let values = tiles(values);
    let next = match chunk.next {
        Some(KvRows::Q8 { qs, scales }) => (qs.as_ptr(), scales.as_ptr()),
        _ => (null(), null()),
    };
    for b in 0..blocks {
        let mut i = 0;
        while i < n {
            let tile = I::Floats::TILE.min(n - i);
            let (start, end) = union(&visible[i..i + tile]);
            let range = if start < end { (start / ATTN_LANES, end.div_ceil(ATTN_LANES)) } else { (0, 0) };
            let part = (blocks, b);
            let (weights, units) = (&weights[i..i + tile], &units[i..i + tile]);
            let acc = &mut acc[i * hd..(i + tile) * hd];
            match tile {
                4 => value_tile::<I, 4>(values, next, part, range, weights, units, acc),
                3 => value_tile::<I, 3>(values, next, part, range, weights, units, acc),
                2 => value_tile::<I, 2>(values, next, part, range, weights, units, acc),
                _ => value_tile::<I, 1>(values, next, part, range, weights, units, acc),
            }
            i += tile;
        }
    }
}

/// Elements `b * KV_BLOCK..` of the accumulators of `Q` queries, from the blocks of positions in `range`.
#[inline(always)]
fn value_tile<I: I32x16, const Q: usize>(
    values: &[Tile],
    next: (*const i8, *const f32),
    (blocks, b): (usize, usize),
    (from, to): (usize, usize),
    weights: &[[i16; ATTN_CHUNK]],
    units: &[f32],
    acc: &mut [f32],
) {
    let mut sums = [[I::zero(); 2]; Q];
    for at in from..to {
        let tile = at * blocks + b;
        // The next keys and their scales are asked for meanwhile.
        I::Floats::prefetch(next.1.wrapping_add(tile * ATTN_LANES));
        let values = &values[tile];
        for (step, values) in values.iter().enumerate() {
            I::Floats::prefetch(next.0.wrapping_add((tile * STEPS + step) * 64));
            let [low, high] = values.as_chunks::<32>().0 else { unreachable!("64 bytes") };
            let (low, high) = (I::values(low), I::values(high));
            for i in 0..Q {
                let pair = &weights[i].as_chunks::<2>().0[at * STEPS + step];
                sums[i] = [sums[i][0].dot_values(low, pair), sums[i][1].dot_values(high, pair)];
            }
        }
    }
    let hd = acc.len() / Q;
    for i in 0..Q {
        let row = &mut acc[i * hd..(i + 1) * hd][b * KV_BLOCK..];
        for (half, out) in row.chunks_mut(16).take(2).enumerate() {
            let x = sums[i][half].to_floats().mul(I::Floats::splat(units[i]));
            match out.as_chunks_mut::<16>().0 {
                [out] => x.store(out),
                _ => x.store_partial(out),
            }
        }
    }
}

/// Turns one query's `exp(score - max)` and the values' scales into weights; gives their unit. Overwrites the scores.
#[inline(always)]
fn weigh<V: F32x16>(
    scores: &mut [f32; ATTN_CHUNK],
    visible: (u32, u32),
    scales: &[f32],
    weights: &mut [i16; ATTN_CHUNK],
) -> f32 {
    let (start, end) = (visible.0 as usize, visible.1 as usize);
    weights.fill(0);
    if start == end {
        return 0.0;
    }
    let (low, high) = (start / 16, end.div_ceil(16));
    let groups = &mut scores.as_chunks_mut::<16>().0[low..high];
    for (group, scales) in groups.iter_mut().zip(&scales.as_chunks::<16>().0[low..high]) {
        V::load(group).mul(V::load(scales)).store(group);
    }
    // A scale that is not seen may be NaN.
    scores[low * 16..start].fill(0.0);
    scores[end..high * 16].fill(0.0);
    let groups = &scores.as_chunks::<16>().0[low..high];
    let (largest, finite) = quantize::largest::<V>(groups);
    let inverse = UNITS / largest;
    if !finite {
        return f32::NAN;
    } else if inverse.is_infinite() {
        return 0.0;
    }
    for (group, weights) in groups.iter().zip(&mut weights.as_chunks_mut::<16>().0[low..high]) {
        V::load(group).mul(V::splat(inverse)).round().store_i16(weights);
    }
    largest / UNITS
}
