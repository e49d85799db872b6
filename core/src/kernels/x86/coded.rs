//! Coded types: how their blocks are written out, compiled once for both tiers, and the product with one token.
//!
//! With one token writing blocks out is most of the work. It is done for four rows at a time, and these are multiplied
//! after that: what was written last is read last, when it has reached the cache and can be read in larger pieces than it
//! was written in. Where weights have signs these go over to the activations, as instructions want unsigned weights.
//!
//! The functions have AVX2 but not AVX-512, with which the compiler would make gathers of the look-ups: these are slower.

use std::arch::x86_64::*;

use super::four::{Four, ROWS, widened};
use super::rows::Ahead;
use crate::kernels::coded::{self, DecodeFn};
use crate::quant::{Bytes256, Coded, Codes256};
use crate::tensor::{Acts, PlainBlock, QMatRef, QuantActs, Stripe};

/// A coded type.
pub(in crate::kernels) struct CodedType {
    bytes: usize,
    /// Needs AVX2, and a block at the address.
    codes: unsafe fn(*const u8, &mut Codes256),
    /// For processors with AVX2.
    pub(in crate::kernels) decode: DecodeFn,
    signed: bool,
    pub(in crate::kernels) offset: i32,
    unit: f32,
}

impl CodedType {
    /// Of blocks of type `B`, for a tier that has AVX2.
    pub(in crate::kernels) const fn of<B: PlainBlock + Coded>() -> Self {
        let (bytes, signed, offset, unit) = (size_of::<B>(), B::SIGNED, B::OFFSET, B::UNIT);
        Self { bytes, codes: codes::<B>, decode: decode::<B>, signed, offset, unit }
    }
}

/// [`Coded::codes`] of the block at `block`.
///
/// # Safety
/// - a block of type `B` lies there.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn codes<B: PlainBlock + Coded>(block: *const u8, out: &mut Codes256) {
    // SAFETY: the caller's; a block may be at any address and is made of any bits.
    unsafe { &*block.cast::<B>() }.codes(out);
}

fn decode<B: PlainBlock + Coded>(block: &[u8], out: &mut Bytes256) {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn with_instructions<B: PlainBlock + Coded>(block: &[u8], out: &mut Bytes256) {
        coded::decode::<B>(block, out);
    }
    // SAFETY: only the tables of tiers that have AVX2 lead here (`CodedType::of`).
    unsafe { with_instructions::<B>(block, out) }
}

/// What a tier does with blocks that were written out.
pub(in crate::kernels) trait Products {
    /// A register of sums.
    type Sums;
    /// Block `b` of the activations of one token times this one, with scales and signs, or less `offset`, spread over the
    /// lanes.
    ///
    /// # Safety
    /// - runs inside a function of the tier; the activations have block `b`.
    unsafe fn block<const SIGNED: bool>(
        codes: &Codes256,
        acts: &QuantActs<'_>,
        b: usize,
        offset: i32,
    ) -> Self::Sums;
    /// The sums of all lanes of each.
    ///
    /// # Safety
    /// - runs inside a function of the tier.
    unsafe fn across(sums: [Self::Sums; ROWS]) -> __m128i;
}

/// The functions of a tier's table for coded types: `coded::<B>`, and one behind it for all types.
macro_rules! coded_products {
    ($features:literal, $rows:ty, $lanes:ty) => {
        /// [`MatmulFn`](crate::kernels::MatmulFn) of a coded type.
        fn coded<B: PlainBlock + Coded>(
            w: QMatRef<'_>,
            acts: &Acts<'_>,
            out: &mut Stripe<'_>,
            scratch: &mut Scratch,
        ) {
            // SAFETY: only the tier's table has this function: the processor has the instructions. It gives each type its
            // own block.
            unsafe { coded_by(w, acts, out, scratch, const { &CodedType::of::<B>() }) }
        }

        /// The product of every coded type.
        ///
        /// # Safety
        /// - `w` holds blocks of type `ty`.
        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn coded_by(
            w: QMatRef<'_>,
            acts: &Acts<'_>,
            out: &mut Stripe<'_>,
            scratch: &mut Scratch,
            ty: &CodedType,
        ) {
            // SAFETY: this function has the instructions of the tier; the caller's.
            unsafe {
                match acts.n() {
                    1 => x86::coded::gemv::<$rows>(w, acts, out, ty),
                    _ => q8x256::coded::<$lanes>(w, acts, out, scratch, ty.decode),
                }
            }
        }
    };
}
pub(in crate::kernels) use coded_products;

/// `out[0][r] = dot(w row r, acts)` for one token.
///
/// # Safety
/// - runs inside a function of the tier of `P`; `w` holds blocks of type `ty`.
#[inline(always)]
pub(in crate::kernels) unsafe fn gemv<P: Products>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    ty: &CodedType,
) {
    // SAFETY: the caller's.
    unsafe {
        if ty.signed {
            rows::<P, true>(&w, acts.quantised(), out, ty);
        } else {
            rows::<P, false>(&w, acts.quantised(), out, ty);
        }
    }
}

#[inline(always)]
unsafe fn rows<P: Products, const SIGNED: bool>(
    w: &QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    ty: &CodedType,
) {
    let blocks = acts.k / 256;
    assert_eq!(w.row_bytes(), blocks * ty.bytes);
    assert_eq!(acts.n, 1);
    let mut codes = [Codes256::ZERO; ROWS];
    let mut ahead = Ahead::onward(w, ROWS);
    for first in (0..w.rows()).step_by(ROWS) {
        let four = Four::new(w, first);
        // SAFETY: only needs SSE.
        let mut sum = unsafe { _mm_setzero_ps() };
        for b in 0..blocks {
            ahead.advance(ROWS * ty.bytes);
            // SAFETY: the caller's: rows and activations have `blocks` blocks.
            unsafe {
                for (row, codes) in four.rows.iter().zip(&mut codes) {
                    (ty.codes)(row.add(b * ty.bytes), codes);
                }
                let dots = P::across([
                    P::block::<SIGNED>(&codes[0], acts, b, ty.offset),
                    P::block::<SIGNED>(&codes[1], acts, b, ty.offset),
                    P::block::<SIGNED>(&codes[2], acts, b, ty.offset),
                    P::block::<SIGNED>(&codes[3], acts, b, ty.offset),
                ]);
                let d = widened([codes[0].d, codes[1].d, codes[2].d, codes[3].d]);
                let d = _mm_mul_ps(d, _mm_set1_ps(ty.unit));
                let scale = _mm_mul_ps(d, _mm_set1_ps(*acts.scales.get_unchecked(b)));
                sum = _mm_fmadd_ps(_mm_cvtepi32_ps(dots), scale, sum);
            }
        }
        four.store(sum, out);
    }
}
