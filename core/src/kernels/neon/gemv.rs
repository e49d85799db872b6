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

/// Integer sums of four blocks with one block of activations, lane `r` for block `r`.
#[inline(always)]
fn four_dots<D: Dot, W: Weights32>(blocks: [&W; ROWS], qs: &[i8; 32], sum: i16) -> int32x4_t {
    let [a, b, c, d] = blocks;
    let halves = qs.as_chunks::<16>().0;
    let x = [load_i8(&halves[0]), load_i8(&halves[1])];
    let dots = D::dot32([a.raw(), b.raw(), c.raw(), d.raw()], [x; ROWS], W::MAX);
    if W::OFFSET == 0 {
        return dots;
    }
    // SAFETY: NEON is always there.
    sub_product(dots, unsafe { vdup_n_s16(sum) }, unsafe { vdup_n_s16(W::OFFSET) })
}

/// `acc` plus four blocks with sums `dots` times one block of activations with scale `s` and sum `sum`.
#[inline(always)]
fn add_blocks<W: Weights32>(
    acc: float32x4_t,
    [a, b, c, d]: [&W; ROWS],
    dots: int32x4_t,
    s: f32,
    sum: i16,
) -> float32x4_t {
    let acc = fma(acc, to_f32(dots), scale(widen_f16([a.d(), b.d(), c.d(), d.d()]), s));
    if W::MIN { fma_n(acc, widen_f16([a.m(), b.m(), c.m(), d.m()]), s * f32::from(sum)) } else { acc }
}

/// The first `pairs` pairs of `x`.
#[inline(always)]
fn two<T>(x: &[T], pairs: usize) -> &[[T; 2]] {
    &x.as_chunks::<2>().0[..pairs]
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
        let rows = four_rows::<W>(&w, i);
        let n = rows[0].len();
        let mut acc = zero_f32();
        // Two blocks at a time: their sums do not wait for each other, which in-order processors need. Slices of
        // lengths that the compiler sees to be equal need no checks in the loop.
        let pairs = n / 2;
        let [r0, r1, r2, r3] =
            [two(rows[0], pairs), two(rows[1], pairs), two(rows[2], pairs), two(rows[3], pairs)];
        let (q2, scales2, sums2) = (two(qs, pairs), two(scales, pairs), two(sums, pairs));
        for b in 0..pairs {
            let ([a0, a1], [b0, b1], [c0, c1], [d0, d1]) = (&r0[b], &r1[b], &r2[b], &r3[b]);
            let ([q0, q1], [s0, s1], [t0, t1]) = (&q2[b], scales2[b], sums2[b]);
            let first = four_dots::<D, W>([a0, b0, c0, d0], q0, t0);
            let second = four_dots::<D, W>([a1, b1, c1, d1], q1, t1);
            acc = add_blocks(acc, [a0, b0, c0, d0], first, s0, t0);
            acc = add_blocks(acc, [a1, b1, c1, d1], second, s1, t1);
        }
        if n % 2 == 1 {
            let (last, b) = ([&rows[0][n - 1], &rows[1][n - 1], &rows[2][n - 1], &rows[3][n - 1]], n - 1);
            let dots = four_dots::<D, W>(last, &qs[b], sums[b]);
            acc = add_blocks(acc, last, dots, scales[b], sums[b]);
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
