//! Baseline micro-kernels: four rows at a time along the row with SMULL, times up to four tokens.

use std::arch::aarch64::*;

use super::dot::{Baseline, Dot};
use super::gemm::{Micro, Outputs, TokenRows, store_token, sub_min};
use super::panel::{Tile32, Tile256, Whole};
use super::simd::*;
use crate::tensor::QuantActs;

impl Micro for Baseline {
    type Layout = Whole;

    #[inline(always)]
    fn run32<const MIN: bool>(panel: &[Tile32], acts: &QuantActs<'_>, max: i32, out: &mut Outputs) {
        match acts.n {
            1 => by_max32::<1, MIN>(panel, acts, max, out),
            2 => by_max32::<2, MIN>(panel, acts, max, out),
            3 => by_max32::<3, MIN>(panel, acts, max, out),
            _ => by_max32::<4, MIN>(panel, acts, max, out),
        }
    }

    #[inline(always)]
    fn run256<const SUBS: usize, const MIN: bool>(
        panel: &[Tile256],
        acts: &QuantActs<'_>,
        max: i32,
        out: &mut Outputs,
    ) {
        match acts.n {
            1 => by_max256::<1, SUBS, MIN>(panel, acts, max, out),
            2 => by_max256::<2, SUBS, MIN>(panel, acts, max, out),
            3 => by_max256::<3, SUBS, MIN>(panel, acts, max, out),
            _ => by_max256::<4, SUBS, MIN>(panel, acts, max, out),
        }
    }
}

/// Panels of small weights, up to 16 in magnitude, of 5 bits, and of bytes are multiplied by code of their own: how
/// many products fit sixteen bits depends on it.
#[inline(always)]
fn by_max32<const T: usize, const MIN: bool>(
    panel: &[Tile32],
    acts: &QuantActs<'_>,
    max: i32,
    out: &mut Outputs,
) {
    match max {
        ..=16 => run32::<T, MIN, 16>(panel, acts, out),
        ..=32 => run32::<T, MIN, 32>(panel, acts, out),
        _ => run32::<T, MIN, 128>(panel, acts, out),
    }
}

/// As [`by_max32`].
#[inline(always)]
fn by_max256<const T: usize, const SUBS: usize, const MIN: bool>(
    panel: &[Tile256],
    acts: &QuantActs<'_>,
    max: i32,
    out: &mut Outputs,
) {
    match max {
        ..=16 => run256::<T, SUBS, MIN, 16>(panel, acts, out),
        ..=32 => run256::<T, SUBS, MIN, 32>(panel, acts, out),
        _ => run256::<T, SUBS, MIN, 128>(panel, acts, out),
    }
}

/// 16 weights of rows `4 i..4 i + 4`.
#[inline(always)]
fn rows(q: &[[i8; 16]; 8], i: usize) -> [int8x16_t; 4] {
    [load_i8(&q[4 * i]), load_i8(&q[4 * i + 1]), load_i8(&q[4 * i + 2]), load_i8(&q[4 * i + 3])]
}

/// Both halves of the 32 weights of rows `4 i..4 i + 4`.
#[inline(always)]
fn rows32(first: &[[i8; 16]; 8], second: &[[i8; 16]; 8], i: usize) -> [[int8x16_t; 2]; 4] {
    let ([a, b, c, d], [e, f, g, h]) = (rows(first, i), rows(second, i));
    [[a, e], [b, f], [c, g], [d, h]]
}

/// See [`Micro::run32`]. `T` = `acts.n`.
#[inline(never)]
fn run32<const T: usize, const MIN: bool, const MAX: i32>(
    panel: &[Tile32],
    acts: &QuantActs<'_>,
    out: &mut Outputs,
) {
    let tokens = TokenRows::<T, 32, 1>::new(acts, panel.len());
    let mut acc = [[zero_f32(); 2]; T];
    for (b, tile) in panel.iter().enumerate() {
        for i in 0..2 {
            let w = rows32(&tile.q[0], &tile.q[1], i);
            let d = load_f32(&tile.d[i]);
            for t in 0..T {
                let x = [tokens.sixteen(t, b, 0), tokens.sixteen(t, b, 1)];
                let s = tokens.scale(t, b);
                acc[t][i] = fma(acc[t][i], to_f32(Baseline::dot32(&mut (), w, [x; 4], MAX)), scale(d, s));
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

/// Sums of one sub-block of rows `4 i..4 i + 4` with each of `T` tokens.
#[inline(always)]
fn sub_block<const T: usize, const SUBS: usize, const MAX: i32>(
    tile: &Tile256,
    tokens: &TokenRows<'_, T, 256, 16>,
    b: usize,
    j: usize,
    i: usize,
) -> [int32x4_t; T] {
    let mut dots = [zero_i32(); T];
    if SUBS == 8 {
        let w = rows32(&tile.q[2 * j], &tile.q[2 * j + 1], i);
        for t in 0..T {
            let x = [tokens.sixteen(t, b, 2 * j), tokens.sixteen(t, b, 2 * j + 1)];
            dots[t] = Baseline::dot32(&mut (), w, [x; 4], MAX);
        }
    } else {
        let w = rows(&tile.q[j], i);
        for t in 0..T {
            dots[t] = Baseline::dot16(&mut (), w, [tokens.sixteen(t, b, j); 4], MAX);
        }
    }
    dots
}

/// See [`Micro::run256`]. `T` = `acts.n`.
#[inline(never)]
fn run256<const T: usize, const SUBS: usize, const MIN: bool, const MAX: i32>(
    panel: &[Tile256],
    acts: &QuantActs<'_>,
    out: &mut Outputs,
) {
    let tokens = TokenRows::<T, 256, 16>::new(acts, panel.len());
    let mut acc = [[zero_f32(); 2]; T];
    for (b, tile) in panel.iter().enumerate() {
        let mut sums = [[zero_i32(); 2]; T];
        for j in 0..SUBS {
            for i in 0..2 {
                let sub = load_i32(&tile.scales[j][i]);
                let dots = sub_block::<T, SUBS, MAX>(tile, &tokens, b, j, i);
                for t in 0..T {
                    sums[t][i] = mla(sums[t][i], dots[t], sub);
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
