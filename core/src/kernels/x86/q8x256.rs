//! Products with activations in blocks of 256.

use std::marker::PhantomData;

use super::block256::{Block256, Packed, offset};
use super::lanes::{Op, RowLanes, SIGNED};
use super::q8x32::store;
use super::rows::{Ahead, Rows};
use crate::kernels::scratch::Scratch;
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// Up to this many tokens, each block is unpacked into the first-level cache and used at once, and no whole panel is
/// kept.
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
    let Acts::Quant(acts) = acts else { unreachable!("the caller checked the format") };
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
                    B::unpack(&rows, b * size_of::<B>(), packed);
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
    panel: &'a mut [Packed<L>],
    tokens: QuantActs<'a>,
    /// If set, blocks are unpacked from there as they are used, all into the panel's first.
    fresh: Option<(&'a Rows, &'a mut Ahead)>,
    block: PhantomData<B>,
}

impl<'a, L: RowLanes, B: Block256, const T: usize> Pass<'a, L, B, T> {
    /// Computes, and writes the results to rows `t..t + T` of `out`.
    #[inline(always)]
    unsafe fn store(
        panel: &'a mut [Packed<L>],
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

    /// One block of each row times block `b` of each token.
    #[inline(always)]
    unsafe fn step(packed: &Packed<L>, tokens: &QuantActs<'_>, b: usize, sums: &mut [L::Floats; T]) {
        let blocks = tokens.k / 256;
        let mut dots = [L::splat(0); T];
        // SAFETY: the caller's: `b < blocks`, and there are `T` tokens.
        unsafe {
            for sub in 0..256 / B::SUB {
                let mut q = [std::ptr::null(); T];
                for t in 0..T {
                    q[t] = tokens.qs.as_ptr().add((t * blocks + b) * 256 + sub * B::SUB);
                }
                let part = dot::<L, B, T>(packed, sub, q);
                let scale = L::from_bytes(&packed.scales[sub]);
                for t in 0..T {
                    dots[t] = dots[t].add(part[t].mul(scale));
                }
            }
            for t in 0..T {
                let i = t * blocks + b;
                let a = *tokens.scales.get_unchecked(i);
                let rest = L::splat(0).dot_pairs(&packed.pairs, tokens.sums.as_ptr().add(i * 16));
                if !B::MIN {
                    dots[t] = dots[t].sub(rest.mul(L::splat(offset::<B, L>())));
                }
                let scale = L::mul_floats(packed.scale, L::splat_float(a));
                sums[t] = L::fma(dots[t].to_floats(), scale, sums[t]);
                if B::MIN {
                    let min = L::mul_floats(packed.min, L::splat_float(-a));
                    sums[t] = L::fma(rest.to_floats(), min, sums[t]);
                }
            }
        }
    }
}

impl<L: RowLanes, B: Block256, const T: usize> Op for Pass<'_, L, B, T> {
    type Output = [L::Floats; T];

    #[inline(always)]
    unsafe fn run(self) -> Self::Output {
        let mut sums = [L::zero(); T];
        // SAFETY: the panel has as many blocks as the tokens, of which there are `T`.
        unsafe {
            if let Some((rows, ahead)) = self.fresh {
                for b in 0..self.panel.len() {
                    ahead.advance(L::ROWS * size_of::<B>());
                    let block = &mut self.panel[0];
                    B::unpack(rows, b * size_of::<B>(), block);
                    Self::step(block, &self.tokens, b, &mut sums);
                }
            } else {
                for (b, block) in self.panel.iter().enumerate() {
                    Self::step(block, &self.tokens, b, &mut sums);
                }
            }
        }
        sums
    }
}

/// Sub-block `sub` times the activations `q`.
#[inline(always)]
unsafe fn dot<L: RowLanes, B: Block256, const T: usize>(
    packed: &Packed<L>,
    sub: usize,
    q: [*const i8; T],
) -> [L; T] {
    let zero = [L::splat(0); T];
    let (sixteen, thirty_two) = (&packed.tile, packed.tile.as_flattened().as_chunks::<8>().0);
    // SAFETY: the caller's.
    unsafe {
        match (B::SUB, B::MAX) {
            (16, 15) => L::dot::<T, 4, 15>(&sixteen[sub], q, zero),
            (16, _) => L::dot::<T, 4, 63>(&sixteen[sub], q, zero),
            (_, 15) => L::dot::<T, 8, 15>(&thirty_two[sub], q, zero),
            (_, 31) => L::dot::<T, 8, 31>(&thirty_two[sub], q, zero),
            (_, _) => L::dot::<T, 8, SIGNED>(&thirty_two[sub], q, zero),
        }
    }
}
