//! Products with activations in blocks of 32.

use std::marker::PhantomData;
use std::ops::Range;

use super::block32::{Block32, Unpacked, offset};
use super::lanes::{Op, RowLanes, SIGNED};
use super::rows::{Ahead, Rows};
use crate::kernels::scratch::{PANEL_ROWS, Scratch};
use crate::quant::ActFormat;
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

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
    let mut ahead = Ahead::new(&w, L::ROWS);
    // SAFETY: the caller's; rows, panel and tokens have `blocks` blocks.
    unsafe {
        if acts.n <= L::FEW {
            let tokens = Tokens::new::<L, B>(acts, 0..acts.n, few_side(scratch, blocks * acts.n));
            for first in Rows::panels(&w, L::ROWS) {
                let rows = Rows::new(&w, first);
                few!(
                    acts.n,
                    L,
                    B,
                    L::EIGHT,
                    Few { rows: &rows, tokens, ahead: &mut ahead, out, block: PhantomData }
                );
            }
            return;
        }
        match L::PANELS {
            1 => many::<L, B, 1>(&w, acts, out, scratch, ahead),
            _ => many::<L, B, 2>(&w, acts, out, scratch, ahead),
        }
    }
}

/// [`matmul`] of many tokens: `P` panels are unpacked to scratch, and meet all of them.
///
/// # Safety
/// - as there.
#[inline(always)]
unsafe fn many<L: RowLanes, B: Block32, const P: usize>(
    w: &QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
    mut ahead: Ahead,
) {
    let blocks = acts.k / 32;
    let (side, panels) = split::<L, P>(scratch, blocks);
    for first in Rows::panels(w, P * L::ROWS) {
        let rows: [Rows; P] = Rows::side_by_side(w, first, L::ROWS);
        for (b, block) in panels.iter_mut().enumerate() {
            ahead.advance(P * L::ROWS * size_of::<B>());
            for (block, rows) in block.iter_mut().zip(&rows) {
                // SAFETY: the caller's; a row has `blocks` blocks.
                *block = unsafe { B::unpack::<L>(rows, b * size_of::<B>()) };
            }
        }
        // SAFETY: the caller's; panels and tokens have `blocks` blocks.
        unsafe { passes!(acts, L, B, P, side, Pass { panels, rows: &rows, out }) }
    }
}

/// Room for a number per token and block, and for `P` panels, side by side.
fn split<L: RowLanes, const P: usize>(
    scratch: &mut Scratch,
    blocks: usize,
) -> (&mut [u32], &mut [[Unpacked<L>; P]]) {
    const { assert!(size_of::<Unpacked<L>>() == L::ROWS * 40 && align_of::<Unpacked<L>>() <= 64) };
    const { assert!(P * L::ROWS <= PANEL_ROWS && L::GROUP <= 8) };
    let lines = scratch.lines();
    let (side, panels) = lines.split_at_mut((8 * blocks).div_ceil(16));
    let (panels, _) = panels.split_at_mut((blocks * size_of::<[Unpacked<L>; P]>()).div_ceil(64));
    // SAFETY: lines are plain initialised bytes, aligned enough for both; the lengths are within the slices; any bits
    // are a valid `u32`, `f32` or integer register.
    unsafe {
        (
            std::slice::from_raw_parts_mut(side.as_mut_ptr().cast(), 8 * blocks),
            std::slice::from_raw_parts_mut(panels.as_mut_ptr().cast(), blocks),
        )
    }
}

/// Room for `n` numbers.
fn few_side(scratch: &mut Scratch, n: usize) -> &mut [u32] {
    let lines = &mut scratch.lines()[..n.div_ceil(16)];
    // SAFETY: lines are plain initialised bytes, aligned enough; any bits are valid.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), n) }
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
        let acts = QuantActs { format: ActFormat::Q8x32, ..*acts }.tokens(range);
        for ((side, &sum), &scale) in side.iter_mut().zip(acts.sums).zip(acts.scales) {
            *side = if B::MIN {
                (scale * f32::from(sum)).to_bits()
            } else {
                (-offset::<B, L>() * i32::from(sum)) as u32
            };
        }
        Self { acts, blocks: acts.k / 32, side }
    }

    /// One block of each row of `P` panels times block `b` of each of the `T` tokens from `first` on.
    ///
    /// # Safety
    /// - there are at least `first + T` tokens and `b + 1` blocks.
    #[inline(always)]
    unsafe fn step<L: RowLanes, B: Block32, const P: usize, const T: usize>(
        &self,
        block: &[Unpacked<L>; P],
        first: usize,
        b: usize,
        sums: &mut [[L::Floats; T]; P],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut q = [std::ptr::null(); T];
            let mut dots = [[L::splat(0); T]; P];
            for t in 0..T {
                let i = (first + t) * self.blocks + b;
                q[t] = self.acts.qs.as_ptr().add(i * 32);
                if !B::MIN {
                    let side = L::splat(*self.side.get_unchecked(i) as i32);
                    for dots in &mut dots {
                        dots[t] = side;
                    }
                }
            }
            let tiles = block.each_ref().map(|block| &block.tile);
            let dots = match B::MAX {
                15 => L::dots::<P, T, 8, 15>(tiles, q, dots),
                31 => L::dots::<P, T, 8, 31>(tiles, q, dots),
                _ => L::dots::<P, T, 8, SIGNED>(tiles, q, dots),
            };
            for t in 0..T {
                let i = (first + t) * self.blocks + b;
                let scale = L::splat_float(*self.acts.scales.get_unchecked(i));
                let side = L::splat_float(f32::from_bits(*self.side.get_unchecked(i)));
                for p in 0..P {
                    let scale = L::mul_floats(block[p].scale, scale);
                    sums[p][t] = L::fma(dots[p][t].to_floats(), scale, sums[p][t]);
                    if B::MIN {
                        sums[p][t] = L::fma(block[p].min, side, sums[p][t]);
                    }
                }
            }
        }
    }
}

/// All blocks of a panel straight from the file, times the tokens: as many groups of `T` as [`few`] says.
struct Few<'a, 'o, L: RowLanes, B: Block32, const T: usize, const MANY: bool> {
    rows: &'a Rows,
    tokens: Tokens<'a>,
    ahead: &'a mut Ahead,
    out: &'a mut Stripe<'o>,
    block: PhantomData<(L, B)>,
}

impl<L: RowLanes, B: Block32, const T: usize, const MANY: bool> Op for Few<'_, '_, L, B, T, MANY> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let groups = Groups::<T, MANY>(self.tokens.acts.n);
        let mut sums = [[[L::zero(); T]]; FEW_GROUPS];
        for b in 0..self.tokens.blocks {
            self.ahead.advance(L::ROWS * size_of::<B>());
            // SAFETY: rows and tokens have that many blocks, and groups lie within the tokens.
            unsafe {
                let block = [B::unpack::<L>(self.rows, b * size_of::<B>())];
                for g in 0..groups.count() {
                    self.tokens.step::<L, B, 1, T>(&block, groups.first(g), b, &mut sums[g]);
                }
            }
        }
        for g in 0..groups.count() {
            store::<L, T>(sums[g][0], self.rows, groups.first(g), self.out);
        }
    }
}

/// Most groups of few tokens.
pub(super) const FEW_GROUPS: usize = 4;

/// Some tokens, in groups of `T`: `MANY` groups, or one. If they do not divide evenly the last two overlap, and a token is
/// computed twice.
#[derive(Clone, Copy)]
pub(super) struct Groups<const T: usize, const MANY: bool>(pub(super) usize);

impl<const T: usize, const MANY: bool> Groups<T, MANY> {
    #[inline(always)]
    pub(super) fn count(self) -> usize {
        if MANY { self.0.div_ceil(T).min(FEW_GROUPS) } else { 1 }
    }

    /// The first token of group `g`.
    #[inline(always)]
    pub(super) fn first(self, g: usize) -> usize {
        if MANY { (g * T).min(self.0 - T) } else { 0 }
    }
}

/// Runs the operation for `$n` tokens, at most [`FEW`](RowLanes::FEW), in groups of at most four, all of the same size;
/// eight in one if `$wide`.
macro_rules! few {
    ($n:expr, $l:ident, $b:ident, $wide:expr, Few $fields:tt) => {
        match $n {
            0 => {}
            1 => $l::run(Few::<$l, $b, 1, false> $fields),
            2 => $l::run(Few::<$l, $b, 2, false> $fields),
            3 => $l::run(Few::<$l, $b, 3, false> $fields),
            4 => $l::run(Few::<$l, $b, 4, false> $fields),
            8 if $wide => $l::run(Few::<$l, $b, 8, false> $fields),
            5 | 6 | 9 if $l::FEW > 4 => $l::run(Few::<$l, $b, 3, true> $fields),
            _ if $l::FEW > 4 => $l::run(Few::<$l, $b, 4, true> $fields),
            _ => unreachable!("more than few tokens"),
        }
    };
}
pub(super) use few;

/// Runs the operation for all tokens of `$acts`: [`GROUP`](RowLanes::GROUP) at a time as long as there are so many, then 4, 2
/// and 1.
macro_rules! passes {
    ($acts:ident, $l:ident, $b:ty, $p:ident, $side:ident, Pass { $($field:tt)* }) => {{
        let mut t = 0;
        while t < $acts.n {
            let n = match $acts.n - t {
                left if left >= $l::GROUP => $l::GROUP,
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
            let (tokens, block) = (Tokens::new::<$l, $b>($acts, t..t + n, $side), PhantomData);
            match n {
                6 if $l::GROUP >= 6 => $l::run(Pass::<$l, $b, $p, 6> { tokens, block, t, $($field)* }),
                4 => $l::run(Pass::<$l, $b, $p, 4> { tokens, block, t, $($field)* }),
                2 => $l::run(Pass::<$l, $b, $p, 2> { tokens, block, t, $($field)* }),
                _ => $l::run(Pass::<$l, $b, $p, 1> { tokens, block, t, $($field)* }),
            }
            t += n;
        }
    }};
}
pub(super) use passes;

/// `P` unpacked panels times `T` tokens, which are rows `t..` of `out`.
struct Pass<'a, 'o, L: RowLanes, B: Block32, const P: usize, const T: usize> {
    panels: &'a [[Unpacked<L>; P]],
    tokens: Tokens<'a>,
    rows: &'a [Rows; P],
    t: usize,
    out: &'a mut Stripe<'o>,
    block: PhantomData<B>,
}

impl<L: RowLanes, B: Block32, const P: usize, const T: usize> Op for Pass<'_, '_, L, B, P, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let mut sums = [[L::zero(); T]; P];
        for (b, block) in self.panels.iter().enumerate() {
            // SAFETY: the panels have as many blocks as the tokens, of which there are `T`.
            unsafe { self.tokens.step::<L, B, P, T>(block, 0, b, &mut sums) };
        }
        for p in 0..P {
            store::<L, T>(sums[p], &self.rows[p], self.t, self.out);
        }
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
