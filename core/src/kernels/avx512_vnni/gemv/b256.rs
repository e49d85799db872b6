//! Types with blocks of 256: one block of each of four rows at a time.

use std::arch::x86_64::*;

use super::{Ahead, Four, ROWS, across};
use crate::kernels::scratch::Scratch;
use crate::kernels::x86::four::widened;
use crate::quant::*;
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// A type with blocks of 256 weights. [`Block::dot`] with the integers `s` (sum over the sixteens of scale times
/// `w . q`) and `m` (sum of factor times the sixteen's sum) is `fma(float(s - 2^SHIFT m), scale * a, acc)`, the
/// factors being the scales; or with minimums, the factors being these,
/// `fma(float(m), -(min * a), fma(float(s), scale * a, acc))`.
pub(in crate::kernels::avx512_vnni) trait Row256: Block {
    /// The largest unsigned weight.
    const MAX: u32;
    /// Two to this power was added to the weights of types without minimums to make them unsigned.
    const SHIFT: i32;
    /// Where the minimums' scale is, for types that have it.
    const MIN: Option<usize>;
    /// Where the scale is.
    const SCALE: usize;
    /// Which sixteen weights the 128-bit lanes of the four registers hold.
    const ORDER: [u8; 16];

    /// The weights as unsigned bytes, in [`ORDER`](Self::ORDER).
    ///
    /// # Safety
    /// - runs inside a function of the tier; a block lies at `p`.
    unsafe fn weights(p: *const u8) -> [__m512i; 4];

    /// For each sixteen weights in turn: the scale, and the factor of the sum of their activations, as signed bytes.
    ///
    /// # Safety
    /// - as [`weights`](Self::weights).
    unsafe fn scales(p: *const u8) -> [__m128i; 2];
}

/// `out[0][r] = dot(w row r, acts)` for one token.
///
/// # Safety
/// - runs inside a function of the tier; `w` holds blocks of type `B`.
#[inline(always)]
pub(in crate::kernels::avx512_vnni) unsafe fn matmul<B: Row256>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    let acts = acts.quantised();
    assert_eq!(w.row_bytes(), acts.k / 256 * size_of::<B>());
    assert_eq!(acts.n, 1);
    // SAFETY: the caller's.
    unsafe { rows::<B>(&w, acts, out, scratch) }
}

/// Sixteen activations.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Sixteen([i8; 16]);

/// `[k]`: the activations in the order of the weights' registers.
fn prepare<'s, B: Row256>(acts: &QuantActs<'_>, scratch: &'s mut Scratch) -> &'s [Sixteen] {
    let lines = &mut scratch.lines()[..acts.k / 64];
    // SAFETY: lines are plain initialised bytes, aligned enough; any bits are valid.
    let all = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<Sixteen>(), acts.k / 16) };
    let (from, _) = acts.qs.as_chunks::<16>();
    for (to, from) in all.as_chunks_mut::<16>().0.iter_mut().zip(from.as_chunks::<16>().0) {
        for (to, at) in to.iter_mut().zip(B::ORDER) {
            to.0 = from[usize::from(at)];
        }
    }
    all
}

#[inline(always)]
unsafe fn rows<B: Row256>(
    w: &QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    let blocks = acts.k / 256;
    let q = prepare::<B>(acts, scratch);
    let mut ahead = Ahead::onward(w, ROWS);
    for first in (0..w.rows()).step_by(ROWS) {
        let four = Four::new(w, first);
        // SAFETY: only needs SSE.
        let mut sum = unsafe { _mm_setzero_ps() };
        for b in 0..blocks {
            ahead.advance(ROWS * size_of::<B>());
            // SAFETY: the caller's: rows and activations have `blocks` blocks.
            unsafe {
                let p = four.rows.map(|row| row.add(b * size_of::<B>()));
                let (dots, rests) = integers::<B>(p, acts, q, b);
                let a = *acts.scales.get_unchecked(b);
                let scale = _mm_mul_ps(halves(p, B::SCALE), _mm_set1_ps(a));
                sum = _mm_fmadd_ps(_mm_cvtepi32_ps(dots), scale, sum);
                if let Some(at) = B::MIN {
                    let min = _mm_mul_ps(halves(p, at), _mm_set1_ps(-a));
                    sum = _mm_fmadd_ps(_mm_cvtepi32_ps(rests), min, sum);
                }
            }
        }
        four.store(sum, out);
    }
}

/// The f16 `at` bytes into each block.
#[inline(always)]
unsafe fn halves(p: [*const u8; ROWS], at: usize) -> __m128 {
    // SAFETY: the caller's.
    unsafe {
        let mut bits = [0; ROWS];
        for r in 0..ROWS {
            bits[r] = p[r].add(at).cast::<u16>().read_unaligned();
        }
        widened(bits)
    }
}

/// The integers of block `b` of four rows: `s` (less the offset) and `m` of [`Row256`].
#[inline(always)]
unsafe fn integers<B: Row256>(
    p: [*const u8; ROWS],
    acts: &QuantActs<'_>,
    q: &[Sixteen],
    b: usize,
) -> (__m128i, __m128i) {
    // SAFETY: the caller's: a block lies at each `p`, and the activations have block `b`.
    unsafe {
        let zero = _mm512_setzero_si512();
        let (mut dots, mut rests) = ([zero; ROWS], [zero; ROWS]);
        let q = q.as_ptr().add(16 * b).cast::<__m512i>();
        let sums = _mm256_loadu_si256(acts.sums.as_ptr().add(16 * b).cast());
        for r in 0..ROWS {
            let weights = B::weights(p[r]);
            let [scales, factors] = B::scales(p[r]);
            let factors = _mm256_cvtepi8_epi16(factors);
            let scales = in_order::<B>(scales);
            let mut parts = [zero; 4];
            for i in 0..4 {
                parts[i] = _mm512_dpbusd_epi32(zero, weights[i], _mm512_load_si512(q.add(i)));
            }
            let rest = _mm512_zextsi256_si512(_mm256_madd_epi16(factors, sums));
            let mut sum = zero;
            if small::<B>() {
                sum = _mm512_dpwssd_epi32(sum, _mm512_packs_epi32(parts[0], parts[1]), scales[0]);
                sum = _mm512_dpwssd_epi32(sum, _mm512_packs_epi32(parts[2], parts[3]), scales[1]);
            } else {
                for i in 0..4 {
                    sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(parts[i], scales[i]));
                }
            }
            if B::MIN.is_none() {
                sum = _mm512_sub_epi32(sum, _mm512_sll_epi32(rest, _mm_cvtsi32_si128(B::SHIFT)));
            } else {
                rests[r] = rest;
            }
            dots[r] = sum;
        }
        let m = if B::MIN.is_some() { all(rests) } else { _mm_setzero_si128() };
        (all(dots), m)
    }
}

/// Whether four products of weights and activations, a lane, fit into 16 bits.
const fn small<B: Row256>() -> bool {
    4 * B::MAX * 127 <= 32767
}

/// The sums of all lanes of four registers.
#[inline(always)]
pub(super) unsafe fn all(x: [__m512i; ROWS]) -> __m128i {
    // SAFETY: only needs the instructions.
    unsafe {
        let x = across(x);
        let x = _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
        _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x))
    }
}

/// The scales beside the sums that they meet. If the sums fit into 16 bits, two registers of words for registers 0
/// and 1, 2 and 3 of [`Row256::ORDER`], packed; otherwise four of 32-bit numbers.
#[inline(always)]
unsafe fn in_order<B: Row256>(scales: __m128i) -> [__m512i; 4] {
    /// For word `8 l + i` of pair `pair`: the scale of lane `l`, of the first register for `i < 4`.
    const fn words(order: [u8; 16], pair: usize) -> [i16; 32] {
        let mut at = [0; 32];
        let mut i = 0;
        while i < 32 {
            at[i] = order[4 * (2 * pair + i % 8 / 4) + i / 8] as i16;
            i += 1;
        }
        at
    }
    const fn lanes(order: [u8; 16], register: usize) -> [i32; 16] {
        let mut at = [0; 16];
        let mut i = 0;
        while i < 16 {
            at[i] = order[4 * register + i / 4] as i32;
            i += 1;
        }
        at
    }
    // SAFETY: reads the tables.
    unsafe {
        let mut result = [_mm512_setzero_si512(); 4];
        if small::<B>() {
            let scales = _mm512_castsi256_si512(_mm256_cvtepi8_epi16(scales));
            let at = const { &[words(B::ORDER, 0), words(B::ORDER, 1)] };
            for i in 0..2 {
                let at = _mm512_loadu_si512(at[i].as_ptr().cast());
                result[i] = _mm512_permutexvar_epi16(at, scales);
            }
        } else {
            let scales = _mm512_cvtepi8_epi32(scales);
            let at =
                const { &[lanes(B::ORDER, 0), lanes(B::ORDER, 1), lanes(B::ORDER, 2), lanes(B::ORDER, 3)] };
            for i in 0..4 {
                let at = _mm512_loadu_si512(at[i].as_ptr().cast());
                result[i] = _mm512_permutexvar_epi32(at, scales);
            }
        }
        result
    }
}
