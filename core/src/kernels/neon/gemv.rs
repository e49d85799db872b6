//! One token times a matrix: the decode path. Four rows at a time, straight from the file's blocks, one row per lane,
//! so that each output element keeps the canonical order of [`Block::dot`](crate::quant::Block::dot).

use std::arch::aarch64::*;

use super::dot::Dot;
use super::simd::*;
use super::weights32::Weights32;
use super::weights256::Weights256;
use crate::tensor::{PlainBlock, QMatRef, QuantActs};

/// Rows at a time: the lanes of a register.
const ROWS: usize = 4;

/// Rows `4 i..4 i + 4` of `w`; beyond the end of the matrix its last row is repeated.
#[inline(always)]
fn four_rows<'a, B: PlainBlock>(w: &QMatRef<'a>, i: usize) -> [&'a [B]; ROWS] {
    let row =
        |r: usize| w.row::<B>(r.min(w.rows() - 1)).expect("the product was chosen by the matrix's type");
    let r = ROWS * i;
    [row(r), row(r + 1), row(r + 2), row(r + 3)]
}

/// `out[r] = dot(row r, token 0)`, for `out` of `w.rows()`.
#[inline(always)]
pub(in crate::kernels) fn gemv32<D: Dot, W: Weights32>(
    w: QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut [f32],
) {
    let (qs, scales, sums) = (acts.qs.as_chunks::<32>().0, acts.scales, acts.sums);
    for (i, out) in out.chunks_mut(ROWS).enumerate() {
        // Equal lengths, said where the compiler sees it: no checks in the loop.
        let rows = four_rows::<W>(&w, i);
        let n = rows[0].len();
        let [r0, r1, r2, r3] = [&rows[0][..n], &rows[1][..n], &rows[2][..n], &rows[3][..n]];
        let (qs, scales, sums) = (&qs[..n], &scales[..n], &sums[..n]);
        let mut acc = zero_f32();
        for b in 0..n {
            let blocks = [&r0[b], &r1[b], &r2[b], &r3[b]];
            let halves = qs[b].as_chunks::<16>().0;
            let x = [load_i8(&halves[0]), load_i8(&halves[1])];
            let raw = [blocks[0].raw(), blocks[1].raw(), blocks[2].raw(), blocks[3].raw()];
            let mut dot = D::dot32(raw, [x; ROWS], W::MAX);
            if W::OFFSET != 0 {
                // SAFETY: NEON is always there.
                dot = unsafe { vmlsl_s16(dot, vdup_n_s16(sums[b]), vdup_n_s16(W::OFFSET)) };
            }
            acc = fma(acc, to_f32(dot), scale(widen_f16(blocks.map(|w| w.d())), scales[b]));
            if W::MIN {
                let m = widen_f16(blocks.map(|w| w.m()));
                // SAFETY: NEON is always there.
                acc = unsafe { vfmaq_n_f32(acc, m, scales[b] * f32::from(sums[b])) };
            }
        }
        store_some(out, acc);
    }
}

/// Bytes as two registers of `i16`.
#[inline(always)]
fn wide(x: int8x16_t) -> [int16x8_t; 2] {
    // SAFETY: NEON is always there.
    unsafe { [vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x)] }
}

/// Products of sub-scales or minimums with sums of activations, spread over four lanes.
#[inline(always)]
fn times_sums([a, b]: [int16x8_t; 2], [x, y]: [int16x8_t; 2], subs: usize) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let low = vmlal_high_s16(vmull_s16(vget_low_s16(a), vget_low_s16(x)), a, x);
        if subs == 8 { low } else { vmlal_high_s16(vmlal_s16(low, vget_low_s16(b), vget_low_s16(y)), b, y) }
    }
}

/// Adds to `sum` the dot products of one half of a block, each times its sub-scale, spread over four lanes.
/// `scales`: the sub-scales of the whole block.
#[inline(always)]
fn add_half<D: Dot, W: Weights256, const HALF: usize>(
    sum: int32x4_t,
    block: &W,
    scales: [int16x8_t; 2],
    [p, q, r, s, t, u, v, y]: [int8x16_t; 8],
) -> int32x4_t {
    let [a, b, c, d, e, f, g, h] = block.raw::<HALF>();
    // SAFETY: NEON is always there.
    unsafe {
        if W::SUBS == 8 {
            let dots = D::dot32([[a, b], [c, d], [e, f], [g, h]], [[p, q], [r, s], [t, u], [v, y]], W::MAX);
            let scales =
                if HALF == 0 { vmovl_s16(vget_low_s16(scales[0])) } else { vmovl_high_s16(scales[0]) };
            return vmlaq_s32(sum, dots, scales);
        }
        let first = D::dot16([a, b, c, d], [p, q, r, s], W::MAX);
        let second = D::dot16([e, f, g, h], [t, u, v, y], W::MAX);
        let sum = vmlaq_s32(sum, first, vmovl_s16(vget_low_s16(scales[HALF])));
        vmlaq_s32(sum, second, vmovl_high_s16(scales[HALF]))
    }
}

/// Integer sums of four blocks with one block of activations: `(weights, minimums)`, lane `r` for block `r`.
#[inline(always)]
fn four_blocks<D: Dot, W: Weights256>(
    blocks: [&W; ROWS],
    qs: &[i8; 256],
    sums: &[i16; 16],
) -> (int32x4_t, int32x4_t) {
    let asums = sub_sums(sums, W::SUBS);
    let (mut dots, mut mins) = ([zero_i32(); ROWS], [zero_i32(); ROWS]);
    let (qs, _) = qs.as_chunks::<16>();
    // Half after half, so that the activations of one half stay in registers.
    let x = std::array::from_fn(|i| load_i8(&qs[i]));
    for r in 0..ROWS {
        dots[r] = add_half::<D, W, 0>(dots[r], blocks[r], wide(blocks[r].scales()), x);
    }
    let x = std::array::from_fn(|i| load_i8(&qs[8 + i]));
    for r in 0..ROWS {
        let scales = wide(blocks[r].scales());
        dots[r] = add_half::<D, W, 1>(dots[r], blocks[r], scales, x);
        if W::OFFSET != 0 {
            let excess = times_sums(scales, asums, W::SUBS);
            // SAFETY: NEON is always there.
            dots[r] = unsafe { vmlsq_s32(dots[r], excess, vdupq_n_s32(i32::from(W::OFFSET))) };
        }
        if W::MIN {
            mins[r] = times_sums(wide(blocks[r].mins()), asums, W::SUBS);
        }
    }
    (sum_each(dots), sum_each(mins))
}

/// `out[r] = dot(row r, token 0)`, for `out` of `w.rows()`.
#[inline(always)]
pub(in crate::kernels) fn gemv256<D: Dot, W: Weights256>(
    w: QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut [f32],
) {
    let (qs, scales, sums) = (acts.qs.as_chunks::<256>().0, acts.scales, acts.sums.as_chunks::<16>().0);
    for (i, out) in out.chunks_mut(ROWS).enumerate() {
        let rows = four_rows::<W>(&w, i);
        let n = rows[0].len();
        let [r0, r1, r2, r3] = [&rows[0][..n], &rows[1][..n], &rows[2][..n], &rows[3][..n]];
        let (qs, scales, sums) = (&qs[..n], &scales[..n], &sums[..n]);
        let mut acc = zero_f32();
        for b in 0..n {
            let blocks = [&r0[b], &r1[b], &r2[b], &r3[b]];
            let (dots, mins) = four_blocks::<D, W>(blocks, &qs[b], &sums[b]);
            acc = fma(acc, to_f32(dots), scale(widen_f16(blocks.map(|w| w.d())), scales[b]));
            if W::MIN {
                let dmin = scale(widen_f16(blocks.map(|w| w.dmin())), scales[b]);
                // SAFETY: NEON is always there.
                acc = unsafe { vfmsq_f32(acc, to_f32(mins), dmin) };
            }
        }
        store_some(out, acc);
    }
}
