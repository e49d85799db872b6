//! Types with blocks of 32: four blocks of each of four rows at a time.

use std::arch::x86_64::*;

use super::{Ahead, Four, ROWS, across_small};
use crate::kernels::scratch::Scratch;
use crate::quant::*;
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// Blocks of a row that are taken together.
const BLOCKS: usize = 4;
/// Bytes of the largest four blocks.
const MOST_BYTES: usize = BLOCKS * size_of::<BlockQ8_0>();

/// A type with blocks of 32 weights that begin with an f16 scale and, if it has one, the minimum.
/// [`Block::dot`] is `fma(float(w . q - OFFSET * sum), scale * a, acc)` and then, with a minimum,
/// `fma(min, a * float(sum), .)`.
pub(in crate::kernels::avx512_vnni) trait Row32: Block {
    /// The largest unsigned weight.
    const MAX: u32;
    /// What was added to the weights to make them unsigned.
    const OFFSET: i32;
    /// Has a minimum.
    const MIN: bool;

    /// Four blocks: 128-bit lane `b` holds weights 0..16 of block `b` as unsigned bytes, and in the second register
    /// 16..32. `ends` are the first 64 bytes of the blocks and those at [`second`].
    ///
    /// # Safety
    /// - runs inside a function of the tier; four blocks lie at `p`.
    unsafe fn weights(p: *const u8, ends: Ends) -> [__m512i; 2];
}

/// The first and the last bytes of four blocks of a row, see [`second`].
type Ends = [__m512i; 2];

/// `out[0][r] = dot(w row r, acts)` for one token.
///
/// # Safety
/// - runs inside a function of the tier; `w` holds blocks of type `B`.
#[inline(always)]
pub(in crate::kernels::avx512_vnni) unsafe fn matmul<B: Row32>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    let acts = acts.quantised();
    assert_eq!(w.row_bytes(), acts.k / 32 * size_of::<B>());
    assert_eq!(acts.n, 1);
    // SAFETY: the caller's.
    unsafe { rows::<B>(&w, acts, out, scratch) }
}

/// The activations that meet four blocks, as the products want them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Group {
    /// Values 0..16 of the four blocks, then 16..32.
    q: [[[i8; 16]; BLOCKS]; 2],
    /// `-OFFSET * sum`, or the bits of `scale * sum`, of each block, for each row.
    side: [[u32; ROWS]; BLOCKS],
    /// The scale of each block, for each row.
    scale: [[f32; ROWS]; BLOCKS],
}

/// `[groups]`; blocks that are not there are zero.
fn prepare<'s, B: Row32>(acts: &QuantActs<'_>, scratch: &'s mut Scratch) -> &'s [Group] {
    let blocks = acts.k / 32;
    let groups = blocks.div_ceil(BLOCKS);
    let lines = &mut scratch.lines()[..groups * size_of::<Group>() / 64];
    // SAFETY: lines are plain initialised bytes, aligned enough; any bits are a valid group.
    let all = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<Group>(), groups) };
    for b in 0..groups * BLOCKS {
        let (group, at) = (&mut all[b / BLOCKS], b % BLOCKS);
        let (q, sum, scale) = if b < blocks {
            (&acts.qs[32 * b..32 * b + 32], acts.sums[b], acts.scales[b])
        } else {
            (&[0; 32][..], 0, 0.0)
        };
        group.q[0][at].copy_from_slice(&q[..16]);
        group.q[1][at].copy_from_slice(&q[16..]);
        let side =
            if B::MIN { (scale * f32::from(sum)).to_bits() } else { (-B::OFFSET * i32::from(sum)) as u32 };
        group.side[at] = [side; ROWS];
        group.scale[at] = [scale; ROWS];
    }
    all
}

#[inline(always)]
unsafe fn rows<B: Row32>(w: &QMatRef<'_>, acts: &QuantActs<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
    let (groups, rest) = (acts.k / 32 / BLOCKS, acts.k / 32 % BLOCKS);
    let acts = prepare::<B>(acts, scratch);
    let mut ahead = Ahead::onward(w, ROWS);
    let mut terms = Terms::NONE;
    let mut last = [[0u8; MOST_BYTES]; ROWS];
    for first in (0..w.rows()).step_by(ROWS) {
        let four = Four::new(w, first);
        // SAFETY: the caller's; rows have `groups` times four blocks and then `rest`.
        unsafe {
            let mut sum = _mm_setzero_ps();
            for (g, acts) in acts.iter().take(groups).enumerate() {
                ahead.advance(ROWS * BLOCKS * size_of::<B>());
                let at = g * BLOCKS * size_of::<B>();
                let p = four.rows.map(|row| row.add(at));
                terms.multiply::<B>(p, acts);
                sum = terms.add::<B>(sum, acts, BLOCKS);
            }
            if rest > 0 {
                let at = groups * BLOCKS * size_of::<B>();
                ahead.advance(ROWS * rest * size_of::<B>());
                terms.multiply::<B>(whole::<B>(w, &four, at, &mut last), &acts[groups]);
                sum = terms.add::<B>(sum, &acts[groups], rest);
            }
            four.store(sum, out);
        }
    }
}

/// Four blocks of each row that begin `at` bytes into it, of which the row has only the first: what follows is the next
/// row, whose blocks meet activations that are zero and are not added. Rows that end where the matrix does are copied.
///
/// # Safety
/// - `at` lies in the row.
#[inline(always)]
unsafe fn whole<B: Row32>(
    w: &QMatRef<'_>,
    four: &Four,
    at: usize,
    last: &mut [[u8; MOST_BYTES]; ROWS],
) -> [*const u8; ROWS] {
    let end = w.bytes().as_ptr_range().end;
    let mut from = four.rows;
    for r in 0..ROWS {
        // SAFETY: the caller's.
        unsafe {
            from[r] = from[r].add(at);
            let left = end.offset_from_unsigned(from[r]);
            if left < BLOCKS * size_of::<B>() {
                from[r].copy_to_nonoverlapping(last[r].as_mut_ptr(), left);
                from[r] = last[r].as_ptr();
            }
        }
    }
    from
}

/// What four blocks of four rows add to the sums: `[block][row]`.
///
/// In memory, not in a register: taking registers apart needs the same units as the permutations before, and they are
/// what these products wait for.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Terms {
    dots: [[f32; ROWS]; BLOCKS],
    scale: [[f32; ROWS]; BLOCKS],
    min: [[f32; ROWS]; BLOCKS],
}

impl Terms {
    const NONE: Self =
        Self { dots: [[0.0; ROWS]; BLOCKS], scale: [[0.0; ROWS]; BLOCKS], min: [[0.0; ROWS]; BLOCKS] };

    /// `acc` plus the first `blocks` blocks, in order.
    #[inline(always)]
    unsafe fn add<B: Row32>(&self, mut acc: __m128, acts: &Group, blocks: usize) -> __m128 {
        // SAFETY: reads the terms and `acts`.
        unsafe {
            for b in 0..blocks {
                let (dots, scale) = (_mm_load_ps(self.dots[b].as_ptr()), _mm_load_ps(self.scale[b].as_ptr()));
                acc = _mm_fmadd_ps(dots, scale, acc);
                if B::MIN {
                    let (min, side) = (_mm_load_ps(self.min[b].as_ptr()), acts.side[b].as_ptr().cast());
                    acc = _mm_fmadd_ps(min, _mm_load_ps(side), acc);
                }
            }
            acc
        }
    }

    /// Makes them the terms of the four blocks at each `p`.
    #[inline(always)]
    unsafe fn multiply<B: Row32>(&mut self, p: [*const u8; ROWS], acts: &Group) {
        // SAFETY: the caller's: four blocks lie at each `p`.
        unsafe {
            let at = _mm512_loadu_si512(const { &scale_places(size_of::<B>()) }.as_ptr().cast());
            let mut dots = [_mm512_setzero_si512(); ROWS];
            let mut words = _mm512_setzero_si512();
            for r in 0..ROWS {
                let last = _mm512_loadu_si512(p[r].add(const { second(size_of::<B>()) }).cast());
                let ends = [_mm512_loadu_si512(p[r].cast()), last];
                let own = _mm512_maskz_permutex2var_epi16(0x1111_1111 << r, ends[0], at, ends[1]);
                words = _mm512_or_si512(words, own);
                let [low, high] = B::weights(p[r], ends);
                let q = acts.q.as_ptr().cast::<__m512i>();
                let dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), low, _mm512_load_si512(q));
                dots[r] = _mm512_dpbusd_epi32(dot, high, _mm512_load_si512(q.add(1)));
            }
            // Eight products a lane.
            let mut sum = match B::MAX {
                15 => across_small::<{ 8 * 15 * 127 }>(dots),
                31 => across_small::<{ 8 * 31 * 127 }>(dots),
                _ => across_small::<{ u32::MAX }>(dots),
            };
            if !B::MIN {
                sum = _mm512_add_epi32(sum, _mm512_load_si512(acts.side.as_ptr().cast()));
            }
            let scale = _mm512_cvtph_ps(_mm512_castsi512_si256(words));
            let scale = _mm512_mul_ps(scale, _mm512_load_ps(acts.scale.as_ptr().cast()));
            _mm512_store_ps(self.dots.as_mut_ptr().cast(), _mm512_cvtepi32_ps(sum));
            _mm512_store_ps(self.scale.as_mut_ptr().cast(), scale);
            if B::MIN {
                let min = _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(words));
                _mm512_store_ps(self.min.as_mut_ptr().cast(), min);
            }
        }
    }
}

/// Where the second of the [`Ends`] begins: 64 bytes before the end of four blocks of `bytes`, or earlier if that would
/// cut the third block's scale off.
const fn second(bytes: usize) -> usize {
    if BLOCKS * bytes - 64 <= 2 * bytes { BLOCKS * bytes - 64 } else { 2 * bytes }
}

/// Where byte `at` of four blocks of `bytes` is among the words of the [`Ends`].
const fn place(bytes: usize, at: usize) -> i16 {
    (if at < 64 { at / 2 } else { 32 + (at - second(bytes)) / 2 }) as i16
}

/// Where the first word of each block is, once for each row; then the second word of each.
const fn scale_places(bytes: usize) -> [i16; 32] {
    let mut places = [0; 32];
    let mut i = 0;
    while i < 32 {
        places[i] = place(bytes, i % 16 / ROWS * bytes + i / 16 * 2);
        i += 1;
    }
    places
}

/// The sixteen bytes `FROM` bytes into each of four blocks of type `B`, one block per 128-bit lane. For types whose
/// [`Ends`] hold all of it.
#[inline(always)]
unsafe fn sixteens<B: Row32, const FROM: usize>(ends: Ends) -> __m512i {
    const fn places(bytes: usize, from: usize) -> [i16; 32] {
        assert!(BLOCKS * bytes <= 128);
        let mut places = [0; 32];
        let mut i = 0;
        while i < 32 {
            places[i] = place(bytes, i / 8 * bytes + from + i % 8 * 2);
            i += 1;
        }
        places
    }
    // SAFETY: only needs the instructions.
    unsafe {
        let at = _mm512_loadu_si512(const { &places(size_of::<B>(), FROM) }.as_ptr().cast());
        _mm512_permutex2var_epi16(ends[0], at, ends[1])
    }
}

/// Sixteen bytes at `p` and at three more places, one block of type `B` apart, one per 128-bit lane.
#[inline(always)]
unsafe fn far_sixteens<B: Row32>(p: *const u8) -> __m512i {
    // SAFETY: the caller's: the bytes are there.
    unsafe {
        let stride = size_of::<B>();
        let x = _mm512_castsi128_si512(_mm_loadu_si128(p.cast()));
        let x = _mm512_mask_broadcast_i32x4(x, 0x00f0, _mm_loadu_si128(p.add(stride).cast()));
        let x = _mm512_mask_broadcast_i32x4(x, 0x0f00, _mm_loadu_si128(p.add(2 * stride).cast()));
        _mm512_mask_broadcast_i32x4(x, 0xf000, _mm_loadu_si128(p.add(3 * stride).cast()))
    }
}

/// Low nibbles, high nibbles.
#[inline(always)]
pub(super) unsafe fn nibbles(x: __m512i) -> [__m512i; 2] {
    // SAFETY: only needs the instructions.
    unsafe {
        let mask = _mm512_set1_epi8(15);
        [_mm512_and_si512(x, mask), _mm512_and_si512(_mm512_srli_epi16::<4>(x), mask)]
    }
}

/// Adds 16 to weight `i` of block `b` where bit `i` of the 32 bits `FROM` bytes into the block is set.
#[inline(always)]
unsafe fn fifth_bits<B: Row32, const FROM: usize>([low, high]: [__m512i; 2], ends: Ends) -> [__m512i; 2] {
    /// The 32 bits of block `b` in the four lanes of 32 bits of 128-bit lane `b`.
    const fn places(bytes: usize, from: usize) -> [i16; 32] {
        let mut places = [0; 32];
        let mut i = 0;
        while i < 32 {
            places[i] = place(bytes, i / 8 * bytes + from + i % 2 * 2);
            i += 1;
        }
        places
    }
    /// Four bits as four bytes, 16 for each that is set.
    const SPREAD: [u32; 16] = {
        let mut spread = [0; 16];
        let mut i = 0;
        while i < 16 {
            spread[i as usize] = (i & 1) << 4 | (i & 2) << 11 | (i & 4) << 18 | (i & 8) << 25;
            i += 1;
        }
        spread
    };
    // SAFETY: reads the tables.
    unsafe {
        let at = _mm512_loadu_si512(const { &places(size_of::<B>(), FROM) }.as_ptr().cast());
        let bits = _mm512_permutex2var_epi16(ends[0], at, ends[1]);
        let spread = _mm512_loadu_si512(SPREAD.as_ptr().cast());
        // The permutation looks at the lowest four bits of its indices.
        let first = _mm512_srlv_epi32(bits, _mm512_broadcast_i32x4(_mm_setr_epi32(0, 4, 8, 12)));
        let last = _mm512_srlv_epi32(bits, _mm512_broadcast_i32x4(_mm_setr_epi32(16, 20, 24, 28)));
        [
            _mm512_or_si512(low, _mm512_permutexvar_epi32(first, spread)),
            _mm512_or_si512(high, _mm512_permutexvar_epi32(last, spread)),
        ]
    }
}

impl Row32 for BlockQ4_0 {
    const MAX: u32 = 15;
    const OFFSET: i32 = 8;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn weights(_: *const u8, ends: Ends) -> [__m512i; 2] {
        // SAFETY: inside the four blocks.
        unsafe { nibbles(sixteens::<Self, 2>(ends)) }
    }
}

impl Row32 for BlockQ4_1 {
    const MAX: u32 = 15;
    const OFFSET: i32 = 0;
    const MIN: bool = true;

    #[inline(always)]
    unsafe fn weights(_: *const u8, ends: Ends) -> [__m512i; 2] {
        // SAFETY: inside the four blocks.
        unsafe { nibbles(sixteens::<Self, 4>(ends)) }
    }
}

impl Row32 for BlockQ5_0 {
    const MAX: u32 = 31;
    const OFFSET: i32 = 16;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn weights(_: *const u8, ends: Ends) -> [__m512i; 2] {
        // SAFETY: inside the four blocks.
        unsafe {
            let low = nibbles(sixteens::<Self, 6>(ends));
            fifth_bits::<Self, 2>(low, ends)
        }
    }
}

impl Row32 for BlockQ5_1 {
    const MAX: u32 = 31;
    const OFFSET: i32 = 0;
    const MIN: bool = true;

    #[inline(always)]
    unsafe fn weights(_: *const u8, ends: Ends) -> [__m512i; 2] {
        // SAFETY: inside the four blocks.
        unsafe {
            let low = nibbles(sixteens::<Self, 8>(ends));
            fifth_bits::<Self, 4>(low, ends)
        }
    }
}

impl Row32 for BlockQ8_0 {
    const MAX: u32 = 255;
    const OFFSET: i32 = 128;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn weights(p: *const u8, _: Ends) -> [__m512i; 2] {
        // SAFETY: inside the four blocks.
        unsafe {
            let top = _mm512_set1_epi8(-128);
            let (low, high) = (far_sixteens::<Self>(p.add(2)), far_sixteens::<Self>(p.add(18)));
            [_mm512_xor_si512(low, top), _mm512_xor_si512(high, top)]
        }
    }
}

impl Row32 for BlockIQ4NL {
    const MAX: u32 = 255;
    const OFFSET: i32 = 128;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn weights(_: *const u8, ends: Ends) -> [__m512i; 2] {
        // SAFETY: inside the four blocks.
        unsafe {
            let values = iq4_values();
            let [low, high] = nibbles(sixteens::<Self, 2>(ends));
            [_mm512_shuffle_epi8(values, low), _mm512_shuffle_epi8(values, high)]
        }
    }
}

/// [`IQ4_VALUES`] plus 128, in each 128-bit lane.
#[inline(always)]
pub(super) unsafe fn iq4_values() -> __m512i {
    // SAFETY: reads the table.
    unsafe {
        let table = _mm512_broadcast_i32x4(_mm_loadu_si128(IQ4_VALUES.as_ptr().cast()));
        _mm512_xor_si512(table, _mm512_set1_epi8(-128))
    }
}
