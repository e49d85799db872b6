//! SDOT micro-kernels: eight rows, a lane each, times up to four tokens.
//!
//! A register of the panel holds four weights of four rows; SDOT by element multiplies it with four activations of
//! one token, so that the sums of eight rows are two registers and never have to be added across lanes.

use std::arch::aarch64::*;

use super::asm::{sdot, sdot_lane};
use crate::kernels::neon::dot::Dot;
use crate::kernels::neon::gemm::{Micro, Outputs, TokenRows, store_token, sub_min};
use crate::kernels::neon::panel::{Fours, Tile32, Tile256};
use crate::kernels::neon::simd::*;
use crate::tensor::QuantActs;

/// The kernels' way to multiply on processors with FEAT_DotProd.
pub(in crate::kernels) struct DotProd;

/// Sums that are never set to zero: a result is what they grew by. Adding wraps around, so the difference is exact
/// however often they overflow, and one subtraction replaces clearing four registers.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Growing {
    sums: [int32x4_t; 4],
    before: int32x4_t,
}

impl Growing {
    /// By how much each sum grew since the last call, lane `i` for sum `i`.
    #[inline(always)]
    fn growth(&mut self) -> int32x4_t {
        let now = sum_each(self.sums);
        // SAFETY: NEON is always there.
        let growth = unsafe { vsubq_s32(now, self.before) };
        self.before = now;
        growth
    }
}

impl Dot for DotProd {
    type Running = Growing;

    #[inline(always)]
    fn start() -> Growing {
        Growing { sums: [zero_i32(); 4], before: zero_i32() }
    }

    #[inline(always)]
    fn dot32(running: &mut Growing, w: [[int8x16_t; 2]; 4], x: [[int8x16_t; 2]; 4], _max: i32) -> int32x4_t {
        for (i, sum) in running.sums.iter_mut().enumerate() {
            // SAFETY: only used by this tier's functions (see `Dot`), which enable `dotprod`.
            *sum = unsafe { sdot(sdot(*sum, w[i][0], x[i][0]), w[i][1], x[i][1]) };
        }
        running.growth()
    }

    #[inline(always)]
    fn dot16(running: &mut Growing, w: [int8x16_t; 4], x: [int8x16_t; 4], _max: i32) -> int32x4_t {
        for (i, sum) in running.sums.iter_mut().enumerate() {
            // SAFETY: as in `dot32`.
            *sum = unsafe { sdot(*sum, w[i], x[i]) };
        }
        running.growth()
    }
}

impl Micro for DotProd {
    type Layout = Fours;

    #[inline(always)]
    fn run32<const MIN: bool>(panel: &[Tile32], acts: &QuantActs<'_>, _max: i32, out: &mut Outputs) {
        // SAFETY: only used by this tier's functions (see `Micro`): the processor has FEAT_DotProd.
        unsafe {
            match acts.n {
                1 => run32::<1, MIN>(panel, acts, out),
                2 => run32::<2, MIN>(panel, acts, out),
                3 => run32::<3, MIN>(panel, acts, out),
                _ => run32::<4, MIN>(panel, acts, out),
            }
        }
    }

    #[inline(always)]
    fn run256<const SUBS: usize, const MIN: bool>(
        panel: &[Tile256],
        acts: &QuantActs<'_>,
        _max: i32,
        out: &mut Outputs,
    ) {
        // SAFETY: as in `run32`.
        unsafe {
            match acts.n {
                1 => run256::<1, SUBS, MIN>(panel, acts, out),
                2 => run256::<2, SUBS, MIN>(panel, acts, out),
                3 => run256::<3, SUBS, MIN>(panel, acts, out),
                _ => run256::<4, SUBS, MIN>(panel, acts, out),
            }
        }
    }
}

/// Adds to `dots[token][row / 4]` the products of four weights of eight rows, number `G` of sixteen.
///
/// # Safety
/// - the function that this is inlined into enables `dotprod`.
#[inline(always)]
unsafe fn add4<const T: usize, const G: usize>(
    dots: &mut [[int32x4_t; 2]; T],
    q: &[[i8; 16]; 8],
    x: &[int8x16_t; T],
) {
    let (w0, w1) = (load_i8(&q[G]), load_i8(&q[4 + G]));
    for t in 0..T {
        // SAFETY: as the caller promises.
        unsafe {
            dots[t][0] = sdot_lane::<G>(dots[t][0], w0, x[t]);
            dots[t][1] = sdot_lane::<G>(dots[t][1], w1, x[t]);
        }
    }
}

/// Adds to `dots[token][row / 4]` the products of sixteen weights of eight rows.
///
/// # Safety
/// - as for [`add4`].
#[inline(always)]
unsafe fn add16<const T: usize>(dots: &mut [[int32x4_t; 2]; T], q: &[[i8; 16]; 8], x: [int8x16_t; T]) {
    // SAFETY: as the caller promises.
    unsafe {
        add4::<T, 0>(dots, q, &x);
        add4::<T, 1>(dots, q, &x);
        add4::<T, 2>(dots, q, &x);
        add4::<T, 3>(dots, q, &x);
    }
}

/// See [`Micro::run32`]. `T` = `acts.n`.
#[inline(never)]
#[target_feature(enable = "dotprod")]
fn run32<const T: usize, const MIN: bool>(panel: &[Tile32], acts: &QuantActs<'_>, out: &mut Outputs) {
    let n = panel.len();
    let tokens = TokenRows::<T, 32, 1>::new(acts, n);
    let mut acc = [[zero_f32(); 2]; T];
    for (b, tile) in panel.iter().enumerate() {
        let mut dots = [[zero_i32(); 2]; T];
        for (h, q) in tile.q.iter().enumerate() {
            // SAFETY: this function enables `dotprod`.
            unsafe { add16(&mut dots, q, std::array::from_fn(|t| tokens.sixteen(t, b, h))) };
        }
        let d = [load_f32(&tile.d[0]), load_f32(&tile.d[1])];
        for t in 0..T {
            let s = tokens.scale(t, b);
            for i in 0..2 {
                acc[t][i] = fma(acc[t][i], to_f32(dots[t][i]), scale(d[i], s));
                if MIN {
                    acc[t][i] = fma_n(acc[t][i], load_f32(&tile.m[i]), s * f32::from(tokens.sums(t, b)[0]));
                }
            }
        }
    }
    for t in 0..T {
        store_token(out, t, acc[t]);
    }
}

/// See [`Micro::run256`]. `T` = `acts.n`.
#[inline(never)]
#[target_feature(enable = "dotprod")]
fn run256<const T: usize, const SUBS: usize, const MIN: bool>(
    panel: &[Tile256],
    acts: &QuantActs<'_>,
    out: &mut Outputs,
) {
    let n = panel.len();
    let tokens = TokenRows::<T, 256, 16>::new(acts, n);
    let mut acc = [[zero_f32(); 2]; T];
    for (b, tile) in panel.iter().enumerate() {
        let mut sums = [[zero_i32(); 2]; T];
        for (j, q) in tile.q.chunks_exact(16 / SUBS).enumerate() {
            let mut dots = [[zero_i32(); 2]; T];
            for (i, q) in q.iter().enumerate() {
                let x = std::array::from_fn(|t| tokens.sixteen(t, b, 16 / SUBS * j + i));
                // SAFETY: this function enables `dotprod`.
                unsafe { add16(&mut dots, q, x) };
            }
            let sub = [load_i32(&tile.scales[j][0]), load_i32(&tile.scales[j][1])];
            for t in 0..T {
                for i in 0..2 {
                    sums[t][i] = mla(sums[t][i], dots[t][i], sub[i]);
                }
            }
        }
        let d = [load_f32(&tile.d[0]), load_f32(&tile.d[1])];
        for t in 0..T {
            let s = tokens.scale(t, b);
            for i in 0..2 {
                acc[t][i] = fma(acc[t][i], to_f32(sums[t][i]), scale(d[i], s));
            }
            if MIN {
                acc[t] = sub_min::<SUBS>(acc[t], tile, tokens.sums(t, b), s);
            }
        }
    }
    for t in 0..T {
        store_token(out, t, acc[t]);
    }
}
