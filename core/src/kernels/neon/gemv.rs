//! One token times a matrix of blocks of 32: the decode path. Four or eight rows at a time, straight from the file's blocks, one row per lane,
//! so that each output element keeps the canonical order of [`Block::dot`](crate::quant::Block::dot).

use std::arch::aarch64::*;

use super::cursor::Cursor;
use super::dot::Dot;
use super::rows32::{Heads, Rows32};
use super::simd::*;
use crate::tensor::{PlainBlock, QMatRef, QuantActs};

/// Rows at a time: the lanes of a register.
pub(super) const ROWS: usize = 4;

/// Rows `4 i..4 i + 4` of `w`; beyond the end of the matrix its last row is repeated.
#[inline(always)]
pub(super) fn four_rows<'a, B: PlainBlock>(w: &QMatRef<'a>, i: usize) -> [&'a [B]; ROWS] {
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
            self.acc = fma(self.acc, to_f32(dots), pair.times_scale::<J>(W::scales(&heads)));
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
    let (eights, rest) =
        if W::EIGHT_ROWS { out.as_chunks_mut::<{ 2 * ROWS }>() } else { ([].as_mut_slice(), out) };
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

/// [`Lanes::add`] for each; written out, so that all stay in registers.
///
/// # Safety
/// - every row has a block left.
#[inline(always)]
unsafe fn add_to_all<D: Dot, W: Rows32, const J: usize, const G: usize>(
    lanes: &mut [Lanes<D>; G],
    x: &[i8; 32],
    pair: &Pair,
) {
    // SAFETY: as the caller promises.
    unsafe {
        lanes[0].add::<W, J>(x, pair);
        if G == 2 {
            lanes[G - 1].add::<W, J>(x, pair);
        }
    }
}

/// The products of `G` (one or two) times four rows, beginning with row `4 i`.
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
        // SAFETY: rows have as many blocks as the activations, and each is read once.
        unsafe {
            add_to_all::<D, W, 0, G>(&mut lanes, x0, &pair);
            add_to_all::<D, W, 1, G>(&mut lanes, x1, &pair);
        }
    }
    if let ([x], [scale], [sum]) = (last, last_scale, last_sum) {
        let pair = Pair::new(&[*scale, 0.0], &[*sum, 0]);
        // SAFETY: as above.
        unsafe { add_to_all::<D, W, 0, G>(&mut lanes, x, &pair) };
    }
    lanes.map(|lanes| lanes.acc)
}
