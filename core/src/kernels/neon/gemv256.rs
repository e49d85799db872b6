//! One token times a matrix of blocks of 256: the decode path. Four rows at a time, straight from the file's blocks, one
//! row per lane, so that each output element keeps the canonical order of [`Block::dot`](crate::quant::Block::dot).

use std::arch::aarch64::*;

use super::dot::Dot;
use super::gemm::block_bytes;
use super::gemv::{ROWS, four_rows};
use super::rows256::{Rows256, times_sums};
use super::simd::*;
use crate::kernels::coded::DecodeFn;
use crate::quant::Bytes256;
use crate::tensor::{PlainBlock, QMatRef, QuantActs};

/// Adds to `sum` the dot products of one half of a block, each times its sub-scale, spread over four lanes.
#[inline(always)]
fn add_half<D: Dot, W: Rows256, const HALF: usize>(
    running: &mut D::Running,
    sum: int32x4_t,
    block: &W,
    scales: [int32x4_t; 2],
    [p, q, r, s, t, u, v, y]: [int8x16_t; 8],
) -> int32x4_t {
    let [a, b, c, d, e, f, g, h] = block.raw::<HALF>();
    if W::SUBS == 8 {
        let x = [[p, q], [r, s], [t, u], [v, y]];
        return mla(sum, D::dot32(running, [[a, b], [c, d], [e, f], [g, h]], x, W::MAX), scales[0]);
    }
    let sum = mla(sum, D::dot16(running, [a, b, c, d], [p, q, r, s], W::MAX), scales[0]);
    mla(sum, D::dot16(running, [e, f, g, h], [t, u, v, y], W::MAX), scales[1])
}

/// One half of four blocks. Half after half, so that the activations of one half stay in registers.
#[inline(always)]
fn add_halves<D: Dot, W: Rows256, const HALF: usize>(
    running: &mut D::Running,
    [s0, s1, s2, s3]: [int32x4_t; ROWS],
    [a, b, c, d]: [&W; ROWS],
    heads: &W::Heads<'_>,
    qs: &[[i8; 16]],
) -> [int32x4_t; ROWS] {
    let x = [
        load_i8(&qs[8 * HALF]),
        load_i8(&qs[8 * HALF + 1]),
        load_i8(&qs[8 * HALF + 2]),
        load_i8(&qs[8 * HALF + 3]),
        load_i8(&qs[8 * HALF + 4]),
        load_i8(&qs[8 * HALF + 5]),
        load_i8(&qs[8 * HALF + 6]),
        load_i8(&qs[8 * HALF + 7]),
    ];
    [
        add_half::<D, W, HALF>(running, s0, a, W::row_scales::<HALF, 0>(heads), x),
        add_half::<D, W, HALF>(running, s1, b, W::row_scales::<HALF, 1>(heads), x),
        add_half::<D, W, HALF>(running, s2, c, W::row_scales::<HALF, 2>(heads), x),
        add_half::<D, W, HALF>(running, s3, d, W::row_scales::<HALF, 3>(heads), x),
    ]
}

/// Integer sums of four blocks with one block of activations, lane `r` for block `r`.
#[inline(always)]
fn four_blocks<D: Dot, W: Rows256>(
    running: &mut D::Running,
    blocks: [&W; ROWS],
    heads: &W::Heads<'_>,
    qs: &[i8; 256],
    sums: [int16x8_t; 2],
) -> int32x4_t {
    let qs = qs.as_chunks::<16>().0;
    let dots = add_halves::<D, W, 0>(running, [zero_i32(); ROWS], blocks, heads, qs);
    let mut dots = add_halves::<D, W, 1>(running, dots, blocks, heads, qs);
    if W::OFFSET != 0 {
        for r in 0..ROWS {
            let excess = times_sums(wide(blocks[r].scales()), sums, W::SUBS);
            // SAFETY: NEON is always there.
            dots[r] = unsafe { vmlsq_s32(dots[r], excess, vdupq_n_s32(i32::from(W::OFFSET))) };
        }
    }
    sum_each(dots)
}

/// Four rows on their way through a product, a lane each.
struct Lanes<D: Dot> {
    running: D::Running,
    acc: float32x4_t,
}

impl<D: Dot> Lanes<D> {
    #[inline(always)]
    fn new() -> Self {
        Self { running: D::start(), acc: zero_f32() }
    }

    /// Adds the rows' next blocks times a block of activations.
    #[inline(always)]
    fn add<W: Rows256>(&mut self, blocks: [&W; ROWS], qs: &[i8; 256], s: f32, sums: &[i16; 16]) {
        let (heads, sums) = (W::heads(blocks), sub_sums(sums, W::SUBS));
        let dots = four_blocks::<D, W>(&mut self.running, blocks, &heads, qs, sums);
        self.acc = fma(self.acc, to_f32(dots), scale(<W as Rows256>::d4(&heads), s));
        if W::MIN {
            let dmin = scale(W::dmin4(&heads), s);
            // SAFETY: NEON is always there.
            self.acc = unsafe { vfmsq_f32(self.acc, to_f32(W::mins4(&heads, sums)), dmin) };
        }
    }
}

/// `out[r] = dot(row r, token 0)`, for `out` of `w.rows()`.
#[inline(always)]
pub(in crate::kernels) fn gemv256<D: Dot, W: Rows256 + PlainBlock>(
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
        let mut lanes = Lanes::<D>::new();
        for b in 0..n {
            lanes.add([&r0[b], &r1[b], &r2[b], &r3[b]], &qs[b], scales[b], &sums[b]);
        }
        store_some(out, lanes.acc);
    }
}

/// [`gemv256`] for a coded type, of which `decode` decodes a block.
#[inline(always)]
pub(in crate::kernels) fn gemv_coded<D: Dot>(
    w: QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut [f32],
    decode: DecodeFn,
) {
    let (qs, sums) = (acts.qs.as_chunks::<256>().0, acts.sums.as_chunks::<16>().0);
    let mut decoded = [Bytes256::ZERO; ROWS];
    for (i, out) in out.chunks_mut(ROWS).enumerate() {
        let mut lanes = Lanes::<D>::new();
        for (b, ((qs, &scale), sums)) in qs.iter().zip(acts.scales).zip(sums).enumerate() {
            for (r, decoded) in decoded.iter_mut().enumerate() {
                decode(block_bytes(&w, ROWS * i + r, b), decoded);
            }
            lanes.add(decoded.each_ref(), qs, scale, sums);
        }
        store_some(out, lanes.acc);
    }
}
