//! Baseline micro-kernels: four rows at a time along the row with SMULL, times up to four tokens.

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

/// See [`Micro::run32`]. `T` = `acts.n`.
fn run32<const T: usize, const MIN: bool, const MAX: i32>(
    panel: &[Tile32],
    acts: &QuantActs<'_>,
    out: &mut Outputs,
) {
    let tokens = TokenRows::<T, 32, 1>::new(acts, panel.len());
    let mut acc = [[zero_f32(); 2]; T];
    for (b, tile) in panel.iter().enumerate() {
        for i in 0..2 {
            let w = [0, 1, 2, 3].map(|r| [0, 1].map(|h: usize| load_i8(&tile.q[h][4 * i + r])));
            let d = load_f32(&tile.d[i]);
            for t in 0..T {
                let x = [tokens.sixteen(t, b, 0), tokens.sixteen(t, b, 1)];
                let s = tokens.scale(t, b);
                acc[t][i] = fma(acc[t][i], to_f32(Baseline::dot32(w, [x; 4], MAX)), scale(d, s));
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
                if SUBS == 8 {
                    let w =
                        [0, 1, 2, 3].map(|r| [0, 1].map(|h: usize| load_i8(&tile.q[2 * j + h][4 * i + r])));
                    for t in 0..T {
                        let x = [tokens.sixteen(t, b, 2 * j), tokens.sixteen(t, b, 2 * j + 1)];
                        sums[t][i] = mla(sums[t][i], Baseline::dot32(w, [x; 4], MAX), sub);
                    }
                } else {
                    let w = [0, 1, 2, 3].map(|r| load_i8(&tile.q[j][4 * i + r]));
                    for t in 0..T {
                        let x = tokens.sixteen(t, b, j);
                        sums[t][i] = mla(sums[t][i], Baseline::dot16(w, [x; 4], MAX), sub);
                    }
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
