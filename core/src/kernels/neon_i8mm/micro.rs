//! SMMLA micro-kernels: eight rows in pairs times up to four tokens in pairs.
//!
//! A register of the panel holds eight weights of two rows, one of the activations eight values of two tokens; SMMLA
//! makes the four sums `[r0 t0, r0 t1, r1 t0, r1 t1]` of them. They are sorted into a lane per row once per block.

use std::arch::aarch64::*;

use super::asm::smmla;
use crate::kernels::neon::gemm::{Micro, Outputs, TokenRows, store_token, sub_min};
use crate::kernels::neon::panel::{Pairs, Tile32, Tile256};
use crate::kernels::neon::simd::*;
use crate::tensor::QuantActs;

/// The kernels' way to multiply on processors with FEAT_I8MM.
pub(in crate::kernels) struct I8mm;

/// Sums of pairs of rows (`[4]`) and one pair of tokens.
type Squares = [int32x4_t; 4];

impl Micro for I8mm {
    type Layout = Pairs;

    #[inline(always)]
    fn run32<const MIN: bool>(panel: &[Tile32], acts: &QuantActs<'_>, _max: i32, out: &mut Outputs) {
        // SAFETY: only used by this tier's functions (see `Micro`): the processor has FEAT_I8MM.
        unsafe {
            match acts.n {
                1 => run32::<1, 1, MIN>(panel, acts, out),
                2 => run32::<2, 1, MIN>(panel, acts, out),
                3 => run32::<3, 2, MIN>(panel, acts, out),
                _ => run32::<4, 2, MIN>(panel, acts, out),
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
                1 => run256::<1, 1, SUBS, MIN>(panel, acts, out),
                2 => run256::<2, 1, SUBS, MIN>(panel, acts, out),
                3 => run256::<3, 2, SUBS, MIN>(panel, acts, out),
                _ => run256::<4, 2, SUBS, MIN>(panel, acts, out),
            }
        }
    }
}

/// Sixteen values of `T` tokens as `P` pairs: first eight of both, last eight of both. A missing second token is
/// the first once more.
#[inline(always)]
fn pairs<const T: usize, const P: usize>(x: [int8x16_t; T]) -> [[int8x16_t; 2]; P] {
    std::array::from_fn(|p| {
        // SAFETY: NEON is always there.
        unsafe {
            let a = vreinterpretq_s64_s8(x[2 * p]);
            let b = vreinterpretq_s64_s8(x[(2 * p + 1).min(T - 1)]);
            [vreinterpretq_s8_s64(vzip1q_s64(a, b)), vreinterpretq_s8_s64(vzip2q_s64(a, b))]
        }
    })
}

/// Adds the products of sixteen weights of eight rows with `P` pairs of tokens.
///
/// # Safety
/// - the function that this is inlined into enables `i8mm`.
#[inline(always)]
unsafe fn add16<const P: usize>(dots: &mut [Squares; P], q: &[[i8; 16]; 8], x: [[int8x16_t; 2]; P]) {
    for g in 0..2 {
        for r in 0..4 {
            let w = load_i8(&q[2 * r + g]);
            for p in 0..P {
                // SAFETY: as the caller promises.
                dots[p][r] = unsafe { smmla(dots[p][r], w, x[p][g]) };
            }
        }
    }
}

/// The sums of eight rows, a lane each, with the first and with the second token of a pair.
#[inline(always)]
fn by_token([a, b, c, d]: Squares) -> [[int32x4_t; 2]; 2] {
    // SAFETY: NEON is always there.
    unsafe { [[vuzp1q_s32(a, b), vuzp1q_s32(c, d)], [vuzp2q_s32(a, b), vuzp2q_s32(c, d)]] }
}

/// See [`Micro::run32`]. `T` = `acts.n`, `P` = pairs of tokens.
#[inline(never)]
#[target_feature(enable = "i8mm")]
fn run32<const T: usize, const P: usize, const MIN: bool>(
    panel: &[Tile32],
    acts: &QuantActs<'_>,
    out: &mut Outputs,
) {
    let tokens = TokenRows::<T, 32, 1>::new(acts, panel.len());
    let mut acc = [[zero_f32(); 2]; T];
    for (b, tile) in panel.iter().enumerate() {
        let mut dots = [[zero_i32(); 4]; P];
        for (h, q) in tile.q.iter().enumerate() {
            let x = pairs::<T, P>(std::array::from_fn(|t| tokens.sixteen(t, b, h)));
            // SAFETY: this function enables `i8mm`.
            unsafe { add16(&mut dots, q, x) };
        }
        let d = [load_f32(&tile.d[0]), load_f32(&tile.d[1])];
        for t in 0..T {
            let (s, dots) = (tokens.scale(t, b), by_token(dots[t / 2])[t % 2]);
            for i in 0..2 {
                acc[t][i] = fma(acc[t][i], to_f32(dots[i]), scale(d[i], s));
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

/// See [`Micro::run256`]. `T` = `acts.n`, `P` = pairs of tokens.
#[inline(never)]
#[target_feature(enable = "i8mm")]
fn run256<const T: usize, const P: usize, const SUBS: usize, const MIN: bool>(
    panel: &[Tile256],
    acts: &QuantActs<'_>,
    out: &mut Outputs,
) {
    let tokens = TokenRows::<T, 256, 16>::new(acts, panel.len());
    let mut acc = [[zero_f32(); 2]; T];
    for (b, tile) in panel.iter().enumerate() {
        let mut sums = [[zero_i32(); 4]; P];
        for (j, q) in tile.q.chunks_exact(16 / SUBS).enumerate() {
            let mut dots = [[zero_i32(); 4]; P];
            for (i, q) in q.iter().enumerate() {
                let x = std::array::from_fn(|t| tokens.sixteen(t, b, 16 / SUBS * j + i));
                // SAFETY: this function enables `i8mm`.
                unsafe { add16(&mut dots, q, pairs::<T, P>(x)) };
            }
            for r in 0..4 {
                let sub = twice(load_i32(&tile.scales[j][r / 2]), r % 2);
                for p in 0..P {
                    sums[p][r] = mla(sums[p][r], dots[p][r], sub);
                }
            }
        }
        let d = [load_f32(&tile.d[0]), load_f32(&tile.d[1])];
        for t in 0..T {
            let (s, sums) = (tokens.scale(t, b), by_token(sums[t / 2])[t % 2]);
            for i in 0..2 {
                acc[t][i] = fma(acc[t][i], to_f32(sums[i]), scale(d[i], s));
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

/// Half `half` of `x`, each lane twice: a pair of rows as [`Squares`] has it.
#[inline(always)]
fn twice(x: int32x4_t, half: usize) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe { if half == 0 { vzip1q_s32(x, x) } else { vzip2q_s32(x, x) } }
}
