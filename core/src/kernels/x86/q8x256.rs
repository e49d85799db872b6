//! Products with activations in blocks of 256.

use std::marker::PhantomData;
use std::ops::Range;

use super::block256::{Block256, Header, Packed, Sink, offset};
use super::lanes::{Op, RowLanes, SIGNED};
use super::q8x32::{FEW_GROUPS, Groups, few, passes, store};
use super::rows::{Ahead, Rows};
use super::source::{Decoded, Plain, Source};
use crate::kernels::coded::DecodeFn;
use crate::kernels::scratch::{Line, PANEL_ROWS, Scratch};
use crate::quant::ActFormat;
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// `out[t][r] = dot(w row r, acts t)`.
///
/// # Safety
/// - runs inside a function with the instructions of `L`, which the processor has;
/// - `w` holds blocks of type `B`.
#[inline(always)]
pub(in crate::kernels) unsafe fn matmul<L: RowLanes, B: Block256>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's.
    unsafe { product::<L, _>(w, acts, out, scratch.lines(), Plain::<B>(PhantomData)) }
}

/// [`matmul`] for a coded type, of which `decode` decodes a block.
///
/// # Safety
/// - runs inside a function with the instructions of `L`, which the processor has.
#[inline(always)]
pub(in crate::kernels) unsafe fn coded<L: RowLanes>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
    decode: DecodeFn,
) {
    let (decoded, lines) = scratch.lines().split_at_mut(Decoded::LINES);
    let source = Decoded::new(w.ty().block_bytes(), decode, decoded);
    // SAFETY: the caller's.
    unsafe { product::<L, _>(w, acts, out, lines, source) }
}

/// [`matmul`] with the blocks that `source` gives.
///
/// # Safety
/// - as [`matmul`], with blocks of the source's type.
#[inline(always)]
unsafe fn product<L: RowLanes, S: Source>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut [Line],
    mut source: S,
) {
    let acts = acts.quantised();
    let blocks = acts.k / 256;
    assert_eq!(w.row_bytes(), blocks * source.bytes());
    let mut ahead = Ahead::new(&w, L::ROWS);
    // SAFETY: the caller's; rows, panel and tokens have `blocks` blocks, and groups of `n` have `n` tokens.
    unsafe {
        if acts.n <= L::FEW {
            let (side, _) = split::<L, 1>(scratch, acts.n * blocks, 0);
            let tokens = Tokens::new::<L, S::Block>(acts, 0..acts.n, side);
            for first in Rows::panels(&w, L::ROWS) {
                let rows = Rows::new(&w, first);
                few!(
                    acts.n,
                    L,
                    S,
                    false,
                    Few {
                        rows: &rows,
                        source: &mut source,
                        tokens,
                        ahead: &mut ahead,
                        out,
                        lanes: PhantomData
                    }
                );
            }
            return;
        }
        match L::PANELS {
            1 => many::<L, S, 1>(&w, acts, out, scratch, source, ahead),
            _ => many::<L, S, 2>(&w, acts, out, scratch, source, ahead),
        }
    }
}

/// [`product`] of many tokens: `P` panels are unpacked to scratch, and meet all of them.
///
/// # Safety
/// - as there.
#[inline(always)]
unsafe fn many<L: RowLanes, S: Source, const P: usize>(
    w: &QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut [Line],
    mut source: S,
    mut ahead: Ahead,
) {
    let blocks = acts.k / 256;
    let (side, panels) = split::<L, P>(scratch, 8 * blocks, blocks);
    for first in Rows::panels(w, P * L::ROWS) {
        let rows: [Rows; P] = Rows::side_by_side(w, first, L::ROWS);
        for (b, packed) in panels.iter_mut().enumerate() {
            ahead.advance(P * L::ROWS * source.bytes());
            for (packed, rows) in packed.iter_mut().zip(&rows) {
                // SAFETY: the caller's; a row has `blocks` blocks.
                unsafe {
                    let (rows, offset) = source.block::<L>(rows, b);
                    packed.header = S::Block::header(rows, offset);
                    S::Block::weights(rows, offset, packed);
                }
            }
        }
        // SAFETY: the caller's; panels and tokens have `blocks` blocks.
        unsafe { passes!(acts, L, S::Block, P, side, Pass { panels, rows: &rows, out }) }
    }
}

/// The sums of one token's block, as [`Tokens::side`] holds them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Side([i32; 16]);

impl Side {
    /// From the sums of sixteen. These come by value, because this happens for each panel, and only what was read before
    /// anything is written is computed in vectors.
    #[inline(always)]
    fn set<L: RowLanes, B: Block256>(&mut self, mut sums: [i16; 16]) {
        if B::SUB == 32 {
            for j in 0..8 {
                sums[j] = sums[2 * j] + sums[2 * j + 1];
            }
        }
        if B::MIN {
            for (side, [a, b]) in self.0[..128 / B::SUB].iter_mut().zip(sums.as_chunks::<2>().0) {
                *side = i32::from(*a) & 0xffff | i32::from(*b) << 16;
            }
        } else {
            for (side, sum) in self.0[..256 / B::SUB].iter_mut().zip(sums) {
                *side = -offset::<B, L>() * i32::from(sum);
            }
        }
    }
}

/// Room for `sides` blocks of activations and for `P` panels of `blocks` blocks, side by side.
fn split<L: RowLanes, const P: usize>(
    scratch: &mut [Line],
    sides: usize,
    blocks: usize,
) -> (&mut [Side], &mut [[Packed<L>; P]]) {
    const { assert!(size_of::<Packed<L>>() <= L::ROWS * 320 && align_of::<Packed<L>>() <= 64) };
    const { assert!(P * L::ROWS <= PANEL_ROWS && L::GROUP <= 8) };
    let (side, lines) = scratch.split_at_mut(sides);
    let (panels, _) = lines.split_at_mut((blocks * size_of::<[Packed<L>; P]>()).div_ceil(64));
    // SAFETY: lines are plain initialised bytes, aligned enough for both; the lengths are within the slices; any bits
    // are valid.
    unsafe {
        (
            std::slice::from_raw_parts_mut(side.as_mut_ptr().cast(), sides),
            std::slice::from_raw_parts_mut(panels.as_mut_ptr().cast(), blocks),
        )
    }
}

/// Activations of some neighbouring tokens.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    acts: QuantActs<'a>,
    blocks: usize,
    /// `[n, blocks]`: of each sub-block `-offset * sum`, or for types with minimums, two a number, its sum.
    side: &'a [Side],
}

impl<'a> Tokens<'a> {
    #[inline(always)]
    fn new<L: RowLanes, B: Block256>(
        acts: &QuantActs<'a>,
        range: Range<usize>,
        side: &'a mut [Side],
    ) -> Self {
        let acts = QuantActs { format: ActFormat::Q8x256, ..*acts }.tokens(range);
        for (side, sums) in side.iter_mut().zip(acts.sums.as_chunks::<16>().0) {
            side.set::<L, B>(*sums);
        }
        Self { acts, blocks: acts.k / 256, side }
    }

    /// Adds sub-blocks of each row of `P` panels, from weight `at` of block `b` on, times the `T` tokens from `first` on.
    ///
    /// # Safety
    /// - there are at least `first + T` tokens and `b + 1` blocks; the weights are inside the block.
    #[inline(always)]
    unsafe fn step<L: RowLanes, B: Block256, const P: usize, const T: usize, const W: usize>(
        &self,
        tiles: [&[L; W]; P],
        scales: [L; P],
        (first, b, at): (usize, usize, usize),
        dots: [&mut [L; T]; P],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut q = [std::ptr::null(); T];
            let mut part = [[L::splat(0); T]; P];
            for t in 0..T {
                let i = (first + t) * self.blocks + b;
                q[t] = self.acts.qs.as_ptr().add(i * 256 + at);
                // The offset of a whole sub-block, with its first weights.
                if !B::MIN && offset::<B, L>() != 0 && at % B::SUB == 0 {
                    let side = L::splat(self.side.get_unchecked(i).0[at / B::SUB]);
                    for part in &mut part {
                        part[t] = side;
                    }
                }
            }
            let part = match B::MAX {
                15 => L::dots::<P, T, W, 15>(tiles, q, part),
                31 => L::dots::<P, T, W, 31>(tiles, q, part),
                63 => L::dots::<P, T, W, 63>(tiles, q, part),
                _ => L::dots::<P, T, W, SIGNED>(tiles, q, part),
            };
            for ((dots, part), scale) in dots.into_iter().zip(part).zip(scales) {
                for t in 0..T {
                    dots[t] = dots[t].add(part[t].mul(scale));
                }
            }
        }
    }

    /// Adds what belongs to block `b`: `dots`, the scaled sub-blocks, and the minimums.
    #[inline(always)]
    unsafe fn finish<L: RowLanes, B: Block256, const T: usize>(
        &self,
        header: &Header<L>,
        (first, b): (usize, usize),
        dots: &[L; T],
        sums: &mut [L::Floats; T],
    ) {
        for t in 0..T {
            let i = (first + t) * self.blocks + b;
            // SAFETY: the caller's: `b < blocks`, and there are `first + T` tokens.
            let (a, side) = unsafe { (*self.acts.scales.get_unchecked(i), self.side.get_unchecked(i)) };
            let scale = L::mul_floats(header.scale, L::splat_float(a));
            sums[t] = L::fma(dots[t].to_floats(), scale, sums[t]);
            if B::MIN {
                let mut rest = L::splat(0);
                for j in 0..128 / B::SUB {
                    rest = rest.dot_pairs(header.pairs[j], side.0[j]);
                }
                let min = L::mul_floats(header.min, L::splat_float(-a));
                sums[t] = L::fma(rest.to_floats(), min, sums[t]);
            }
        }
    }
}

/// All blocks of a panel as the source gives them, times the tokens: as many groups of `T` as [`few`] says.
struct Few<'a, 'o, L: RowLanes, S: Source, const T: usize, const MANY: bool> {
    rows: &'a Rows,
    source: &'a mut S,
    tokens: Tokens<'a>,
    ahead: &'a mut Ahead,
    out: &'a mut Stripe<'o>,
    lanes: PhantomData<L>,
}

impl<L: RowLanes, S: Source, const T: usize, const MANY: bool> Op for Few<'_, '_, L, S, T, MANY> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let groups = Groups::<T, MANY>(self.tokens.acts.n);
        let mut sums = [[L::zero(); T]; FEW_GROUPS];
        for b in 0..self.tokens.blocks {
            self.ahead.advance(L::ROWS * self.source.bytes());
            // SAFETY: rows and tokens have that many blocks, and groups lie within the tokens.
            unsafe {
                let (rows, offset) = self.source.block::<L>(self.rows, b);
                let header = S::Block::header::<L>(rows, offset);
                let (tokens, scales, dots) = (self.tokens, header.scales, [[L::splat(0); T]; FEW_GROUPS]);
                let mut used =
                    Used::<L, S::Block, T, MANY> { tokens, groups, b, scales, dots, block: PhantomData };
                S::Block::weights(rows, offset, &mut used);
                for g in 0..groups.count() {
                    let at = (groups.first(g), b);
                    self.tokens.finish::<L, S::Block, T>(&header, at, &used.dots[g], &mut sums[g]);
                }
            }
        }
        for g in 0..groups.count() {
            store::<L, T>(sums[g], self.rows, groups.first(g), self.out);
        }
    }
}

/// Multiplies weights of block `b` with the activations of groups of `T` tokens.
struct Used<'a, L, B, const T: usize, const MANY: bool> {
    tokens: Tokens<'a>,
    groups: Groups<T, MANY>,
    b: usize,
    scales: [L; 4],
    dots: [[L; T]; FEW_GROUPS],
    block: PhantomData<B>,
}

impl<L: RowLanes, B: Block256, const T: usize, const MANY: bool> Used<'_, L, B, T, MANY> {
    #[inline(always)]
    fn step<const W: usize>(&mut self, sub: usize, tile: &[L; W]) {
        let index = sub / (B::SUB / 16);
        let scale = self.scales[index / 4].byte(index as u32 % 4);
        for g in 0..self.groups.count() {
            let at = (self.groups.first(g), self.b, 16 * sub);
            // SAFETY: `sub < 16`; the block and the tokens are there (`Few::run`).
            unsafe { self.tokens.step::<L, B, 1, T, W>([tile], [scale], at, [&mut self.dots[g]]) };
        }
    }
}

impl<L: RowLanes, B: Block256, const T: usize, const MANY: bool> Sink<L> for Used<'_, L, B, T, MANY> {
    #[inline(always)]
    fn take(&mut self, sub: usize, tile: [L; 4]) {
        self.step(sub, &tile);
    }

    #[inline(always)]
    fn take_two(&mut self, sub: usize, tile: [L; 8]) {
        self.step(sub, &tile);
    }
}

/// `P` unpacked panels times `T` tokens, which are rows `t..` of `out`.
struct Pass<'a, 'o, L: RowLanes, B: Block256, const P: usize, const T: usize> {
    panels: &'a [[Packed<L>; P]],
    tokens: Tokens<'a>,
    rows: &'a [Rows; P],
    t: usize,
    out: &'a mut Stripe<'o>,
    block: PhantomData<B>,
}

impl<L: RowLanes, B: Block256, const P: usize, const T: usize> Op for Pass<'_, '_, L, B, P, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let mut sums = [[L::zero(); T]; P];
        for (b, packed) in self.panels.iter().enumerate() {
            let mut dots = [[L::splat(0); T]; P];
            for sub in 0..256 / B::SUB {
                let mut scales = [L::splat(0); P];
                for (scale, packed) in scales.iter_mut().zip(packed) {
                    *scale = packed.header.scales[sub / 4].byte(sub as u32 % 4);
                }
                let at = (0, b, sub * B::SUB);
                // SAFETY: the panels have as many blocks as the tokens, of which there are `T`.
                unsafe {
                    if B::SUB == 16 {
                        let tiles = packed.each_ref().map(|p| &p.tile[sub]);
                        self.tokens.step::<L, B, P, T, 4>(tiles, scales, at, dots.each_mut());
                    } else {
                        let tiles = packed.each_ref().map(|p| &p.tile.as_flattened().as_chunks::<8>().0[sub]);
                        self.tokens.step::<L, B, P, T, 8>(tiles, scales, at, dots.each_mut());
                    }
                }
            }
            for p in 0..P {
                // SAFETY: as above.
                unsafe { self.tokens.finish::<L, B, T>(&packed[p].header, (0, b), &dots[p], &mut sums[p]) };
            }
        }
        for p in 0..P {
            store::<L, T>(sums[p], &self.rows[p], self.t, self.out);
        }
    }
}

/// Stores weights.
impl<L: RowLanes> Sink<L> for Packed<L> {
    #[inline(always)]
    fn take(&mut self, sub: usize, tile: [L; 4]) {
        self.tile[sub] = tile;
    }

    #[inline(always)]
    fn take_two(&mut self, sub: usize, tile: [L; 8]) {
        self.tile.as_flattened_mut().as_chunks_mut::<8>().0[sub / 2] = tile;
    }
}
