//! Products with activations in blocks of 256.

use std::marker::PhantomData;

use super::block256::{Block256, Header, Packed, Sink, offset};
use super::lanes::{Op, RowLanes, SIGNED};
use super::q8x32::store;
use super::rows::{Ahead, Rows};
use crate::kernels::scratch::Scratch;
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// Up to this many tokens, weights are unpacked into registers at each use instead of into scratch.
const DIRECT: usize = 4;

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
    let acts = acts.quantised();
    let blocks = acts.k / 256;
    assert_eq!(w.row_bytes(), blocks * size_of::<B>());
    let panel = panel::<L>(scratch, blocks);
    let mut ahead = Ahead::new(&w, L::ROWS);
    for first in Rows::panels(&w, L::ROWS) {
        let rows = Rows::new(&w, first);
        // SAFETY: the caller's; rows, panel and tokens have `blocks` blocks, and groups of `n` have `n` tokens.
        unsafe {
            if acts.n > DIRECT {
                for (b, packed) in panel.iter_mut().enumerate() {
                    ahead.advance(L::ROWS * size_of::<B>());
                    packed.header = B::header(&rows, b * size_of::<B>());
                    B::weights(&rows, b * size_of::<B>(), packed);
                }
            }
            let mut t = 0;
            while t < acts.n {
                let n = match acts.n - t {
                    8.. if L::GROUP >= 8 => 8,
                    4.. => 4,
                    n => n,
                };
                let tokens = acts.tokens(t..t + n);
                let fresh = (acts.n <= DIRECT).then_some((&rows, &mut ahead));
                match n {
                    8 if L::GROUP >= 8 => Pass::<L, B, 8>::store(panel, tokens, fresh, &rows, t, out),
                    4 => Pass::<L, B, 4>::store(panel, tokens, fresh, &rows, t, out),
                    3 => Pass::<L, B, 3>::store(panel, tokens, fresh, &rows, t, out),
                    2 => Pass::<L, B, 2>::store(panel, tokens, fresh, &rows, t, out),
                    _ => Pass::<L, B, 1>::store(panel, tokens, fresh, &rows, t, out),
                }
                t += n;
            }
        }
    }
}

/// Room for one panel.
fn panel<L: RowLanes>(scratch: &mut Scratch, blocks: usize) -> &mut [Packed<L>] {
    const { assert!(size_of::<Packed<L>>() <= L::ROWS * 320 && align_of::<Packed<L>>() <= 64) };
    let (lines, _) = scratch.lines().split_at_mut((blocks * size_of::<Packed<L>>()).div_ceil(64));
    // SAFETY: lines are plain initialised bytes, aligned enough; the length is within the slice; any bits are valid.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), blocks) }
}

/// A panel times `T` tokens.
struct Pass<'a, L: RowLanes, B: Block256, const T: usize> {
    panel: &'a [Packed<L>],
    tokens: QuantActs<'a>,
    /// If set, blocks are unpacked from there as they are used, and the panel is not.
    fresh: Option<(&'a Rows, &'a mut Ahead)>,
    block: PhantomData<B>,
}

impl<'a, L: RowLanes, B: Block256, const T: usize> Pass<'a, L, B, T> {
    /// Computes, and writes the results to rows `t..t + T` of `out`.
    #[inline(always)]
    unsafe fn store(
        panel: &'a [Packed<L>],
        tokens: QuantActs<'a>,
        fresh: Option<(&'a Rows, &'a mut Ahead)>,
        rows: &Rows,
        t: usize,
        out: &mut Stripe<'_>,
    ) {
        // SAFETY: the caller's.
        let sums = unsafe { L::run(Self { panel, tokens, fresh, block: PhantomData }) };
        store::<L, T>(sums, rows, t, out);
    }

    /// Adds what belongs to block `b`: `dots`, the scaled sub-blocks, and the rest.
    #[inline(always)]
    unsafe fn finish(&self, header: &Header<L>, b: usize, mut dots: [L; T], sums: &mut [L::Floats; T]) {
        let blocks = self.tokens.k / 256;
        for t in 0..T {
            let i = t * blocks + b;
            // SAFETY: the caller's: `b < blocks`, and there are `T` tokens.
            let (a, rest) = unsafe {
                (
                    *self.tokens.scales.get_unchecked(i),
                    L::splat(0).dot_pairs(&header.pairs, self.tokens.sums.as_ptr().add(i * 16)),
                )
            };
            if !B::MIN {
                dots[t] = dots[t].sub(rest.mul(L::splat(offset::<B, L>())));
            }
            let scale = L::mul_floats(header.scale, L::splat_float(a));
            sums[t] = L::fma(dots[t].to_floats(), scale, sums[t]);
            if B::MIN {
                let min = L::mul_floats(header.min, L::splat_float(-a));
                sums[t] = L::fma(rest.to_floats(), min, sums[t]);
            }
        }
    }

    /// Activations `16 sub..` of block `b` of each token.
    #[inline(always)]
    fn q(&self, b: usize, sub: usize) -> [*const i8; T] {
        let mut q = [std::ptr::null(); T];
        for t in 0..T {
            q[t] = self.tokens.qs.as_ptr().wrapping_add(t * self.tokens.k + b * 256 + sub * 16);
        }
        q
    }
}

impl<L: RowLanes, B: Block256, const T: usize> Op for Pass<'_, L, B, T> {
    type Output = [L::Floats; T];

    #[inline(always)]
    unsafe fn run(mut self) -> Self::Output {
        let mut sums = [L::zero(); T];
        // SAFETY: the panel has as many blocks as the tokens, of which there are `T`.
        unsafe {
            if let Some((rows, ahead)) = self.fresh.take() {
                for b in 0..self.tokens.k / 256 {
                    ahead.advance(L::ROWS * size_of::<B>());
                    let header = B::header::<L>(rows, b * size_of::<B>());
                    let (scales, q) = (header.scales, self.q(b, 0));
                    let mut used = Used::<L, B, T> { scales, q, dots: [L::splat(0); T], block: PhantomData };
                    B::weights(rows, b * size_of::<B>(), &mut used);
                    self.finish(&header, b, used.dots, &mut sums);
                }
            } else {
                for (b, packed) in self.panel.iter().enumerate() {
                    let mut dots = [L::splat(0); T];
                    for sub in 0..256 / B::SUB {
                        let part = dot::<L, B, T>(&packed.tile, sub, self.q(b, sub * (B::SUB / 16)));
                        let scale = packed.header.scales[sub / 4].byte(sub as u32 % 4);
                        for t in 0..T {
                            dots[t] = dots[t].add(part[t].mul(scale));
                        }
                    }
                    self.finish(&packed.header, b, dots, &mut sums);
                }
            }
        }
        sums
    }
}

/// Stores weights.
impl<L: RowLanes> Sink<L> for Packed<L> {
    #[inline(always)]
    fn take(&mut self, sub: usize, tile: [L; 4]) {
        self.tile[sub] = tile;
    }
}

/// Multiplies weights with the activations of `T` tokens at once.
struct Used<L, B, const T: usize> {
    scales: [L; 4],
    q: [*const i8; T],
    dots: [L; T],
    block: PhantomData<B>,
}

impl<L: RowLanes, B: Block256, const T: usize> Sink<L> for Used<L, B, T> {
    #[inline(always)]
    fn take(&mut self, sub: usize, tile: [L; 4]) {
        let mut q = self.q;
        for q in &mut q {
            *q = q.wrapping_add(16 * sub);
        }
        let zero = [L::splat(0); T];
        // SAFETY: `sub < 16`, and `q` are a block's 256 activations (`Pass::run`).
        let part = unsafe {
            match B::MAX {
                15 => L::dot::<T, 4, 15>(&tile, q, zero),
                31 => L::dot::<T, 4, 31>(&tile, q, zero),
                63 => L::dot::<T, 4, 63>(&tile, q, zero),
                _ => L::dot::<T, 4, SIGNED>(&tile, q, zero),
            }
        };
        let index = sub / (B::SUB / 16);
        let scale = self.scales[index / 4].byte(index as u32 % 4);
        for t in 0..T {
            self.dots[t] = self.dots[t].add(part[t].mul(scale));
        }
    }
}

/// Sub-block `sub`, of `B::SUB` weights, times the activations `q`.
#[inline(always)]
unsafe fn dot<L: RowLanes, B: Block256, const T: usize>(
    tile: &[[L; 4]; 16],
    sub: usize,
    q: [*const i8; T],
) -> [L; T] {
    let zero = [L::splat(0); T];
    let double = tile.as_flattened().as_chunks::<8>().0;
    // SAFETY: the caller's.
    unsafe {
        match (B::SUB, B::MAX) {
            (16, 15) => L::dot::<T, 4, 15>(&tile[sub], q, zero),
            (16, _) => L::dot::<T, 4, 63>(&tile[sub], q, zero),
            (_, 15) => L::dot::<T, 8, 15>(&double[sub], q, zero),
            (_, 31) => L::dot::<T, 8, 31>(&double[sub], q, zero),
            (_, _) => L::dot::<T, 8, SIGNED>(&double[sub], q, zero),
        }
    }
}
