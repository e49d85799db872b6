//! Products with activations in blocks of 32.

use std::marker::PhantomData;
use std::ops::Range;

use super::block32::{Block32, Unpacked, offset};
use super::lanes::{Op, RowLanes, SIGNED};
use super::rows::{Ahead, Rows};
use crate::kernels::scratch::Scratch;
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// Up to this many tokens, weights are unpacked into registers at each use instead of into scratch. Where exactly the
/// two are equal was not measured; on Zen 4 with Q4_0, 4 tokens this way reach 285 GOPS, 8 the other way 252.
const DIRECT: usize = 4;

/// `out[t][r] = dot(w row r, acts t)`.
///
/// # Safety
/// - runs inside a function with the instructions of `L`, which the processor has;
/// - `w` holds blocks of type `B`.
#[inline(always)]
pub(in crate::kernels) unsafe fn matmul<L: RowLanes, B: Block32>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    let acts = acts.quantised();
    let blocks = acts.k / 32;
    assert_eq!(w.row_bytes(), blocks * size_of::<B>());
    let (side, panel) = split::<L>(scratch, blocks);
    let mut ahead = Ahead::new(&w, L::ROWS);
    // SAFETY: the caller's; rows, panel and tokens have `blocks` blocks.
    unsafe {
        if acts.n <= DIRECT {
            let tokens = Tokens::new::<L, B>(acts, 0..acts.n, side);
            for first in Rows::panels(&w, L::ROWS) {
                let rows = Rows::new(&w, first);
                match acts.n {
                    0 => {}
                    1 => store::<L, 1>(direct::<L, B, 1>(&rows, &tokens, &mut ahead), &rows, 0, out),
                    2 => store::<L, 2>(direct::<L, B, 2>(&rows, &tokens, &mut ahead), &rows, 0, out),
                    3 => store::<L, 3>(direct::<L, B, 3>(&rows, &tokens, &mut ahead), &rows, 0, out),
                    _ => store::<L, 4>(direct::<L, B, 4>(&rows, &tokens, &mut ahead), &rows, 0, out),
                }
            }
            return;
        }
        for first in Rows::panels(&w, L::ROWS) {
            let rows = Rows::new(&w, first);
            for (b, block) in panel.iter_mut().enumerate() {
                ahead.advance(L::ROWS * size_of::<B>());
                *block = B::unpack::<L>(&rows, b * size_of::<B>());
            }
            let mut t = 0;
            while t < acts.n {
                let n = match acts.n - t {
                    8.. if L::GROUP >= 8 => 8,
                    4.. => 4,
                    2.. => 2,
                    _ => 1,
                };
                let (tokens, block) = (Tokens::new::<L, B>(acts, t..t + n, side), PhantomData);
                match n {
                    8 if L::GROUP >= 8 => {
                        store::<L, 8>(L::run(Pass::<L, B, 8> { panel, tokens, block }), &rows, t, out)
                    }
                    4 => store::<L, 4>(L::run(Pass::<L, B, 4> { panel, tokens, block }), &rows, t, out),
                    2 => store::<L, 2>(L::run(Pass::<L, B, 2> { panel, tokens, block }), &rows, t, out),
                    _ => store::<L, 1>(L::run(Pass::<L, B, 1> { panel, tokens, block }), &rows, t, out),
                }
                t += n;
            }
        }
    }
}

/// Room for a number per token and block, and for one panel.
fn split<L: RowLanes>(scratch: &mut Scratch, blocks: usize) -> (&mut [u32], &mut [Unpacked<L>]) {
    const { assert!(size_of::<Unpacked<L>>() == L::ROWS * 40 && align_of::<Unpacked<L>>() <= 64) };
    let lines = scratch.lines();
    let (side, panel) = lines.split_at_mut((8 * blocks).div_ceil(16));
    let (panel, _) = panel.split_at_mut((blocks * size_of::<Unpacked<L>>()).div_ceil(64));
    // SAFETY: lines are plain initialised bytes, aligned enough for both; the lengths are within the slices; any bits
    // are a valid `u32`, `f32` or integer register.
    unsafe {
        (
            std::slice::from_raw_parts_mut(side.as_mut_ptr().cast(), 8 * blocks),
            std::slice::from_raw_parts_mut(panel.as_mut_ptr().cast(), blocks),
        )
    }
}

/// Activations of some neighbouring tokens.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    acts: QuantActs<'a>,
    blocks: usize,
    /// `[n, blocks]`: `-offset * sum` as an integer, or `scale * sum`'s bits for types with a minimum.
    side: &'a [u32],
}

impl<'a> Tokens<'a> {
    #[inline(always)]
    fn new<L: RowLanes, B: Block32>(acts: &QuantActs<'a>, range: Range<usize>, side: &'a mut [u32]) -> Self {
        let acts = acts.tokens(range);
        for ((side, &sum), &scale) in side.iter_mut().zip(acts.sums).zip(acts.scales) {
            *side = if B::MIN {
                (scale * f32::from(sum)).to_bits()
            } else {
                (-offset::<B, L>() * i32::from(sum)) as u32
            };
        }
        Self { acts, blocks: acts.k / 32, side }
    }

    /// One block of each row of a panel times block `b` of each of `T` tokens.
    ///
    /// # Safety
    /// - there are at least `T` tokens and `b + 1` blocks.
    #[inline(always)]
    unsafe fn step<L: RowLanes, B: Block32, const T: usize>(
        &self,
        block: &Unpacked<L>,
        b: usize,
        sums: &mut [L::Floats; T],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut q = [std::ptr::null(); T];
            let mut dots = [L::splat(0); T];
            for t in 0..T {
                let i = t * self.blocks + b;
                q[t] = self.acts.qs.as_ptr().add(i * 32);
                if !B::MIN {
                    dots[t] = L::splat(*self.side.get_unchecked(i) as i32);
                }
            }
            let dots = match B::MAX {
                15 => L::dot::<T, 8, 15>(&block.tile, q, dots),
                31 => L::dot::<T, 8, 31>(&block.tile, q, dots),
                _ => L::dot::<T, 8, SIGNED>(&block.tile, q, dots),
            };
            for t in 0..T {
                let i = t * self.blocks + b;
                let scale = L::mul_floats(block.scale, L::splat_float(*self.acts.scales.get_unchecked(i)));
                sums[t] = L::fma(dots[t].to_floats(), scale, sums[t]);
                if B::MIN {
                    let side = L::splat_float(f32::from_bits(*self.side.get_unchecked(i)));
                    sums[t] = L::fma(block.min, side, sums[t]);
                }
            }
        }
    }
}

/// All blocks of a panel straight from the file, times `T` tokens.
#[inline(always)]
unsafe fn direct<L: RowLanes, B: Block32, const T: usize>(
    rows: &Rows,
    tokens: &Tokens<'_>,
    ahead: &mut Ahead,
) -> [L::Floats; T] {
    let mut sums = [L::zero(); T];
    for b in 0..tokens.blocks {
        ahead.advance(L::ROWS * size_of::<B>());
        // SAFETY: the caller's.
        unsafe {
            let block = B::unpack::<L>(rows, b * size_of::<B>());
            tokens.step::<L, B, T>(&block, b, &mut sums);
        }
    }
    sums
}

/// An unpacked panel times `T` tokens.
struct Pass<'a, L: RowLanes, B: Block32, const T: usize> {
    panel: &'a [Unpacked<L>],
    tokens: Tokens<'a>,
    block: PhantomData<B>,
}

impl<L: RowLanes, B: Block32, const T: usize> Op for Pass<'_, L, B, T> {
    type Output = [L::Floats; T];

    #[inline(always)]
    unsafe fn run(self) -> Self::Output {
        let mut sums = [L::zero(); T];
        for (b, block) in self.panel.iter().enumerate() {
            // SAFETY: the panel has as many blocks as the tokens, of which there are `T`.
            unsafe { self.tokens.step::<L, B, T>(block, b, &mut sums) };
        }
        sums
    }
}

/// Writes the results of `T` tokens to rows `t..t + T` of `out`.
#[inline(always)]
pub(super) fn store<L: RowLanes, const T: usize>(
    sums: [L::Floats; T],
    rows: &Rows,
    t: usize,
    out: &mut Stripe<'_>,
) {
    for i in 0..T {
        let mut lanes = [0.0; 16];
        L::store(sums[i], &mut lanes[..L::ROWS]);
        rows.scatter(&lanes[..L::ROWS], out.row(t + i));
    }
}
