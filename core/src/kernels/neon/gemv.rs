//! One token times a matrix: the decode path. Four rows at a time, straight from the file's blocks, one row per lane,
//! so that each output element keeps the canonical order of [`Block::dot`](crate::quant::Block::dot).

use std::arch::aarch64::*;

use super::cursor::Cursor;
use super::dot::Dot;
use super::rows32::{Heads, Rows32};
use super::simd::*;
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

/// Four rows on their way through a product, a lane each.
#[derive(Clone, Copy)]
struct Lanes<D: Dot> {
    rows: [Cursor; ROWS],
    running: D::Running,
    acc: float32x4_t,
}

impl<D: Dot> Lanes<D> {
    #[inline(always)]
    fn new<B: PlainBlock>(w: &QMatRef<'_>, i: usize) -> Self {
        let [a, b, c, d] = four_rows::<B>(w, i);
        Self {
            rows: [Cursor::new(a), Cursor::new(b), Cursor::new(c), Cursor::new(d)],
            running: D::start(),
            acc: zero_f32(),
        }
    }

    /// Adds the rows' next block times block `J` of a pair of activations.
    ///
    /// # Safety
    /// - every row has a block left.
    #[inline(always)]
    unsafe fn add<W: Rows32, const J: usize>(&mut self, x: &[i8; 32], pair: &Pair) {
        let [a, b, c, d] = &mut self.rows;
        let mut heads = Heads::new();
        // SAFETY: as the caller promises.
        let packed = unsafe {
            [
                W::read::<0>(a, &mut heads),
                W::read::<1>(b, &mut heads),
                W::read::<2>(c, &mut heads),
                W::read::<3>(d, &mut heads),
            ]
        };
        let w = [
            W::unpack::<0>(packed[0], &heads),
            W::unpack::<1>(packed[1], &heads),
            W::unpack::<2>(packed[2], &heads),
            W::unpack::<3>(packed[3], &heads),
        ];
        let halves = x.as_chunks::<16>().0;
        let x = [load_i8(&halves[0]), load_i8(&halves[1])];
        let mut dots = D::dot32(&mut self.running, w, [x; ROWS], W::LARGEST);
        if W::EXCESS != 0 {
            // SAFETY: NEON is always there.
            dots = sub_product::<J>(dots, unsafe { vdup_n_s16(W::EXCESS) }, pair.sums);
        }
        if W::MIN {
            let [d, m] = heads.scales_mins();
            self.acc = fma(self.acc, to_f32(dots), pair.times_scale::<J>(d));
            self.acc = pair.add_min::<J>(self.acc, m);
        } else {
            self.acc = fma(self.acc, to_f32(dots), pair.times_scale::<J>(heads.scales()));
        }
    }
}

/// What two blocks of activations have beside their integers.
struct Pair {
    scales: float32x2_t,
    sums: int16x4_t,
    /// Scale times sum.
    sides: float32x2_t,
}

impl Pair {
    #[inline(always)]
    fn new(scales: &[f32; 2], sums: &[i16; 2]) -> Self {
        // SAFETY: NEON is always there; eight and four bytes inside the arrays.
        unsafe {
            let scales = vld1_f32(scales.as_ptr());
            let sums = vreinterpret_s16_s32(vld1_dup_s32(sums.as_ptr().cast()));
            let sides = vmul_f32(scales, vget_low_f32(vcvtq_f32_s32(vmovl_s16(sums))));
            Self { scales, sums, sides }
        }
    }

    /// `d` times the scale of block `J`.
    #[inline(always)]
    fn times_scale<const J: usize>(&self, d: float32x4_t) -> float32x4_t {
        // SAFETY: NEON is always there.
        unsafe {
            if J == 0 { vmulq_lane_f32::<0>(d, self.scales) } else { vmulq_lane_f32::<1>(d, self.scales) }
        }
    }

    /// `acc` plus `m` times scale times sum of block `J`.
    #[inline(always)]
    fn add_min<const J: usize>(&self, acc: float32x4_t, m: float32x4_t) -> float32x4_t {
        // SAFETY: NEON is always there.
        unsafe {
            if J == 0 {
                vfmaq_lane_f32::<0>(acc, m, self.sides)
            } else {
                vfmaq_lane_f32::<1>(acc, m, self.sides)
            }
        }
    }
}

/// `out[r] = dot(row r, token 0)`, for `out` of `w.rows()`.
#[inline(always)]
pub(in crate::kernels) fn gemv32<D: Dot, W: Rows32>(w: QMatRef<'_>, acts: &QuantActs<'_>, out: &mut [f32]) {
    let (eights, rest) = out.as_chunks_mut::<{ 2 * ROWS }>();
    for (i, out) in eights.iter_mut().enumerate() {
        let [a, b] = rows_at_once::<D, W, 2>(&w, 2 * i, acts);
        let halves = out.as_chunks_mut::<ROWS>().0;
        store_f32(&mut halves[0], a);
        store_f32(&mut halves[1], b);
    }
    for (i, out) in rest.chunks_mut(ROWS).enumerate() {
        let [a] = rows_at_once::<D, W, 1>(&w, 2 * eights.len() + i, acts);
        store_some(out, a);
    }
}

/// The products of `G` times four rows, beginning with row `4 i`.
#[inline(always)]
fn rows_at_once<D: Dot, W: Rows32, const G: usize>(
    w: &QMatRef<'_>,
    i: usize,
    acts: &QuantActs<'_>,
) -> [float32x4_t; G] {
    let mut lanes: [Lanes<D>; G] = std::array::from_fn(|g| Lanes::new::<W>(w, i + g));
    let n = w.cols() / 32;
    let (qs, scales, sums) = (&acts.qs.as_chunks::<32>().0[..n], &acts.scales[..n], &acts.sums[..n]);
    let ((qs, last), (scales, last_scale)) = (qs.as_chunks::<2>(), scales.as_chunks::<2>());
    let (sums, last_sum) = sums.as_chunks::<2>();
    // Two blocks at a time: their sums do not wait for each other, which in-order processors need.
    for (([x0, x1], scales), sums) in qs.iter().zip(scales).zip(sums) {
        let pair = Pair::new(scales, sums);
        for lanes in &mut lanes {
            // SAFETY: rows have as many blocks as the activations, and each is read once.
            unsafe { lanes.add::<W, 0>(x0, &pair) };
        }
        for lanes in &mut lanes {
            // SAFETY: as above.
            unsafe { lanes.add::<W, 1>(x1, &pair) };
        }
    }
    if let ([x], [scale], [sum]) = (last, last_scale, last_sum) {
        let pair = Pair::new(&[*scale, 0.0], &[*sum, 0]);
        for lanes in &mut lanes {
            // SAFETY: as above.
            unsafe { lanes.add::<W, 0>(x, &pair) };
        }
    }
    lanes.map(|lanes| lanes.acc)
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
    running: &mut D::Running,
    sum: int32x4_t,
    block: &W,
    scales: [int16x8_t; 2],
    [p, q, r, s, t, u, v, y]: [int8x16_t; 8],
) -> int32x4_t {
    let [a, b, c, d, e, f, g, h] = block.raw::<HALF>();
    // SAFETY: NEON is always there.
    unsafe {
        if W::SUBS == 8 {
            let dots = D::dot32(running, [[a, b], [c, d], [e, f], [g, h]], [[p, q], [r, s], [t, u], [v, y]], W::MAX);
            let scales =
                if HALF == 0 { vmovl_s16(vget_low_s16(scales[0])) } else { vmovl_high_s16(scales[0]) };
            return vmlaq_s32(sum, dots, scales);
        }
        let first = D::dot16(running, [a, b, c, d], [p, q, r, s], W::MAX);
        let second = D::dot16(running, [e, f, g, h], [t, u, v, y], W::MAX);
        let sum = vmlaq_s32(sum, first, vmovl_s16(vget_low_s16(scales[HALF])));
        vmlaq_s32(sum, second, vmovl_high_s16(scales[HALF]))
    }
}

/// Integer sums of four blocks with one block of activations: `(weights, minimums)`, lane `r` for block `r`.
#[inline(always)]
fn four_blocks<D: Dot, W: Weights256>(
    running: &mut D::Running,
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
        dots[r] = add_half::<D, W, 0>(running, dots[r], blocks[r], wide(blocks[r].scales()), x);
    }
    let x = std::array::from_fn(|i| load_i8(&qs[8 + i]));
    for r in 0..ROWS {
        let scales = wide(blocks[r].scales());
        dots[r] = add_half::<D, W, 1>(running, dots[r], blocks[r], scales, x);
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
        let (mut acc, mut running) = (zero_f32(), D::start());
        for b in 0..n {
            let blocks = [&r0[b], &r1[b], &r2[b], &r3[b]];
            let (dots, mins) = four_blocks::<D, W>(&mut running, blocks, &qs[b], &sums[b]);
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
