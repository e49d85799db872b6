//! The types with blocks of 256 weights, as tiles.
//!
//! A header holds the scales; [`Block256::weights`] hands out sixteen weights at a time, to be stored or used at once.

use super::block32::nibbles;
use super::lanes::{RowLanes, SIGNED};
use super::rows::Rows;
use crate::quant::*;
use std::mem::offset_of;

/// One block of each row of a panel, in scratch.
#[repr(C)]
pub(in crate::kernels) struct Packed<L: RowLanes> {
    pub(in crate::kernels) header: Header<L>,
    /// Group `c` holds weights `4 c..4 c + 4`, each [`offset`] too large.
    pub(in crate::kernels) tile: [[L; 4]; 16],
}

/// The scales of one block of each row of a panel.
#[repr(C)]
pub(in crate::kernels) struct Header<L: RowLanes> {
    /// Four signed bytes a lane: scales of 16 weights each, or of 32 (then only the first two).
    pub(in crate::kernels) scales: [L; 4],
    /// The minimums, for types that have them: entry `j` holds those of sub-blocks `2 j` and `2 j + 1` in 16 bits each.
    pub(in crate::kernels) pairs: [L; 8],
    pub(in crate::kernels) scale: L::Floats,
    /// Scale of the minimums. Zero for types without.
    pub(in crate::kernels) min: L::Floats,
}

/// What is done with unpacked weights.
pub(in crate::kernels) trait Sink<L: RowLanes> {
    /// Takes weights `16 sub..16 sub + 16`, `sub < 16`; each comes once, in no order. Must be `#[inline(always)]`.
    fn take(&mut self, sub: usize, tile: [L; 4]);
    /// Takes weights `16 sub..16 sub + 32`, for even `sub`. Must be `#[inline(always)]`.
    fn take_two(&mut self, sub: usize, tile: [L; 8]);
}

/// A type with blocks of 256 weights. [`Block::dot`] in terms of its tiles, with the integer `s` (sum over the sub-blocks
/// of scale times `tile . q - offset * sum`) is `fma(float(s), scale * a, acc)`, and then, for types with minimums,
/// `fma(float(m), -(min * a), .)`, where `a` is the activations' scale and `m` the sum of minimum times sum.
pub(in crate::kernels) trait Block256: Copy {
    /// The largest byte in a tile, or [`SIGNED`].
    const MAX: u32;
    /// What was added to the weights to make them unsigned. For `SIGNED` types [`RowLanes::SIGNED_OFFSET`] counts.
    const OFFSET: i32;
    /// Has minimums.
    const MIN: bool;
    /// Weights per scale: 16 or 32.
    const SUB: usize;

    /// The scales of the blocks that start at byte `offset` of each row.
    ///
    /// # Safety
    /// - `offset + size_of::<Self>() <=` the bytes per row.
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L>;

    /// The weights of those blocks, a sub-block at a time.
    ///
    /// # Safety
    /// - as [`header`](Self::header).
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S);
}

/// How much larger than the weights the bytes of type `B`'s tiles are.
pub(super) const fn offset<B: Block256, L: RowLanes>() -> i32 {
    if B::MAX == SIGNED { L::SIGNED_OFFSET } else { B::OFFSET }
}

/// Bytes, not negative, as pairs of 16 bits.
#[inline(always)]
fn pairs<L: RowLanes, const N: usize>(bytes: [L; N]) -> [L; 8] {
    let mut pairs = [L::splat(0); 8];
    for (pairs, bytes) in pairs.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pairs = [bytes.shuffle([0, -1, 1, -1]), bytes.shuffle([2, -1, 3, -1])];
    }
    pairs
}

/// Bits `2 i..2 i + 2` of byte `i`, as bits 4 and 5 of it.
#[inline(always)]
fn pairs_of_bits<L: RowLanes>(x: L) -> L {
    let first = x.shl::<4>().and(L::splat(0x0000_0030)).or(x.shl::<2>().and(L::splat(0x0000_3000)));
    let last = x.and(L::splat(0x0030_0000)).or(x.shr::<2>().and(L::splat(0x3000_0000)));
    first.or(last)
}

/// The first 16 bytes of Q4_K and Q5_K: `d`, `dmin`, and [`scale_min_k4`]'s twelve bytes.
#[inline(always)]
unsafe fn header_k4<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
    // SAFETY: the caller's: inside the block.
    let [d, a, b, c] = unsafe { L::load16(rows, offset) };
    let (low4, low6, high2) = (L::splat(0x0f0f_0f0f), L::splat(0x3f3f_3f3f), L::splat(0x3030_3030));
    let first = a.and(low6);
    let last = c.and(low4).or(a.shr::<2>().and(high2));
    let last_min = c.shr::<4>().and(low4).or(b.shr::<2>().and(high2));
    Header {
        scales: [first, last, L::splat(0), L::splat(0)],
        pairs: pairs([b.and(low6), last_min]),
        scale: d.low_f16(),
        min: d.shr::<16>().low_f16(),
    }
}

/// The low nibbles of 32 bytes, then the high ones.
///
/// # Safety
/// - `offset + 32 <=` the bytes per row.
#[inline(always)]
unsafe fn nibbles_of_two<L: RowLanes>(rows: &Rows, offset: usize) -> [[L; 8]; 2] {
    // SAFETY: the caller's.
    let (x, y) = unsafe { (nibbles(L::load16(rows, offset)), nibbles(L::load16(rows, offset + 16))) };
    [[x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]], [x[4], x[5], x[6], x[7], y[4], y[5], y[6], y[7]]]
}

impl Block256 for Bytes256 {
    const MAX: u32 = SIGNED;
    const OFFSET: i32 = 0;
    const MIN: bool = false;
    const SUB: usize = 16;

    #[inline(always)]
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
        // SAFETY: inside the block.
        unsafe {
            let scales = L::load16(rows, offset + offset_of!(Self, scales));
            let scale = L::load4(rows, offset + offset_of!(Self, d)).as_floats();
            Header { scales, pairs: [L::splat(0); 8], scale, min: L::zero() }
        }
    }

    #[inline(always)]
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S) {
        for sub in 0..16 {
            // SAFETY: inside the block.
            let [a, b, c, d] = unsafe { L::load16(rows, offset + offset_of!(Self, q) + 16 * sub) };
            sink.take(sub, [a.signed(), b.signed(), c.signed(), d.signed()]);
        }
    }
}

impl Block256 for BlockQ4K {
    const MAX: u32 = 15;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SUB: usize = 32;

    #[inline(always)]
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
        // SAFETY: inside the block.
        unsafe { header_k4(rows, offset) }
    }

    #[inline(always)]
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S) {
        for c in 0..4 {
            // SAFETY: inside the block.
            let [low, high] = unsafe { nibbles_of_two(rows, offset + 16 + 32 * c) };
            sink.take_two(4 * c, low);
            sink.take_two(4 * c + 2, high);
        }
    }
}

impl Block256 for BlockQ5K {
    const MAX: u32 = 31;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SUB: usize = 32;

    #[inline(always)]
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
        // SAFETY: inside the block.
        unsafe { header_k4(rows, offset) }
    }

    #[inline(always)]
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S) {
        let sixteen = L::splat(0x1010_1010);
        // SAFETY: inside the block.
        let bits = unsafe { [L::load16(rows, offset + 16), L::load16(rows, offset + 32)] };
        for c in 0..4 {
            // SAFETY: inside the block.
            let [mut low, mut high]: [[L; 8]; 2] = unsafe { nibbles_of_two(rows, offset + 48 + 32 * c) };
            // Bits 2 c and 2 c + 1 of each byte.
            let low_bit = L::splat(0x0101_0101 << (2 * c));
            let high_bit = L::splat((0x0202_0202_u32 << (2 * c)) as i32);
            for (i, &bits) in bits.as_flattened().iter().enumerate() {
                low[i] = low[i].add_where(bits, low_bit, sixteen);
                high[i] = high[i].add_where(bits, high_bit, sixteen);
            }
            sink.take_two(4 * c, low);
            sink.take_two(4 * c + 2, high);
        }
    }
}

impl Block256 for BlockQ6K {
    const MAX: u32 = 63;
    const OFFSET: i32 = 32;
    const MIN: bool = false;
    const SUB: usize = 16;

    #[inline(always)]
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
        // SAFETY: inside the block.
        unsafe {
            let scales = L::load16(rows, offset + 192);
            let scale = L::load_f16(rows, offset + 208);
            Header { scales, pairs: [L::splat(0); 8], scale, min: L::zero() }
        }
    }

    #[inline(always)]
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S) {
        let upper = L::splat(0x3030_3030);
        for h in 0..2 {
            for half in 0..2 {
                // SAFETY: inside the block.
                let (mut a, mut b, high) = unsafe {
                    (
                        nibbles(L::load16(rows, offset + 64 * h + 16 * half)),
                        nibbles(L::load16(rows, offset + 64 * h + 32 + 16 * half)),
                        L::load16(rows, offset + 128 + 32 * h + 16 * half),
                    )
                };
                for i in 0..4 {
                    a[i] = a[i].or(high[i].shl::<4>().and(upper));
                    b[i] = b[i].or(high[i].shl::<2>().and(upper));
                    a[4 + i] = a[4 + i].or(high[i].and(upper));
                    b[4 + i] = b[4 + i].or(high[i].shr::<2>().and(upper));
                }
                sink.take(8 * h + half, [a[0], a[1], a[2], a[3]]);
                sink.take(8 * h + 2 + half, [b[0], b[1], b[2], b[3]]);
                sink.take(8 * h + 4 + half, [a[4], a[5], a[6], a[7]]);
                sink.take(8 * h + 6 + half, [b[4], b[5], b[6], b[7]]);
            }
        }
    }
}

impl Block256 for BlockQ2K {
    const MAX: u32 = 15;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SUB: usize = 16;

    #[inline(always)]
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
        // SAFETY: inside the block.
        let ([a, b, c, d], scale_min) = unsafe { (L::load16(rows, offset), L::load4(rows, offset + 80)) };
        let low = L::splat(0x0f0f_0f0f);
        let mins =
            [a.shr::<4>().and(low), b.shr::<4>().and(low), c.shr::<4>().and(low), d.shr::<4>().and(low)];
        Header {
            scales: [a.and(low), b.and(low), c.and(low), d.and(low)],
            pairs: pairs(mins),
            scale: scale_min.low_f16(),
            min: scale_min.shr::<16>().low_f16(),
        }
    }

    #[inline(always)]
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S) {
        let two = L::splat(0x0303_0303);
        for h in 0..2 {
            for half in 0..2 {
                // SAFETY: inside the block.
                let [a, b, c, d] = unsafe { L::load16(rows, offset + 16 + 32 * h + 16 * half) };
                sink.take(8 * h + half, [a.and(two), b.and(two), c.and(two), d.and(two)]);
                let (a, b, c, d) = (a.shr::<2>(), b.shr::<2>(), c.shr::<2>(), d.shr::<2>());
                sink.take(8 * h + 2 + half, [a.and(two), b.and(two), c.and(two), d.and(two)]);
                let (a, b, c, d) = (a.shr::<2>(), b.shr::<2>(), c.shr::<2>(), d.shr::<2>());
                sink.take(8 * h + 4 + half, [a.and(two), b.and(two), c.and(two), d.and(two)]);
                let (a, b, c, d) = (a.shr::<2>(), b.shr::<2>(), c.shr::<2>(), d.shr::<2>());
                sink.take(8 * h + 6 + half, [a.and(two), b.and(two), c.and(two), d.and(two)]);
            }
        }
    }
}

impl Block256 for BlockQ3K {
    const MAX: u32 = 15;
    const OFFSET: i32 = 4;
    const MIN: bool = false;
    const SUB: usize = 16;

    #[inline(always)]
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
        // SAFETY: inside the block. Bytes 96..108 are the scales (see `scales_q3_k`).
        let ([_, a, b, c], scale) =
            unsafe { (L::load16(rows, offset + 92), L::load_f16(rows, offset + 108)) };
        let (low, high) = (L::splat(0x0f0f_0f0f), L::splat(0x3030_3030));
        let minus_32 = L::splat(0xe0e0_e0e0_u32 as i32);
        let scales = [
            a.and(low).or(c.shl::<4>().and(high)).add_bytes(minus_32),
            b.and(low).or(c.shl::<2>().and(high)).add_bytes(minus_32),
            a.shr::<4>().and(low).or(c.and(high)).add_bytes(minus_32),
            b.shr::<4>().and(low).or(c.shr::<2>().and(high)).add_bytes(minus_32),
        ];
        Header { scales, pairs: [L::splat(0); 8], scale, min: L::zero() }
    }

    #[inline(always)]
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S) {
        let (two, four) = (L::splat(0x0303_0303), L::splat(0x0404_0404));
        for half in 0..2 {
            // SAFETY: inside the block.
            let mask = unsafe { L::load16(rows, offset + 16 * half) };
            for h in 0..2 {
                // SAFETY: inside the block.
                let mut x = unsafe { L::load16(rows, offset + 32 + 32 * h + 16 * half) };
                for j in 0..4 {
                    let bit = L::splat((0x0101_0101_u32 << (4 * h + j)) as i32);
                    let mut tile = x;
                    for i in 0..4 {
                        tile[i] = x[i].and(two).add_where(mask[i], bit, four);
                        x[i] = x[i].shr::<2>();
                    }
                    sink.take(8 * h + 2 * j + half, tile);
                }
            }
        }
    }
}

impl Block256 for BlockIQ4XS {
    const MAX: u32 = SIGNED;
    const OFFSET: i32 = 0;
    const MIN: bool = false;
    const SUB: usize = 32;

    #[inline(always)]
    unsafe fn header<L: RowLanes>(rows: &Rows, offset: usize) -> Header<L> {
        // SAFETY: inside the block.
        let [d, low, _, _] = unsafe { L::load16(rows, offset) };
        // Scale j is nibble j of `low`, and above it bits 2 j..2 j + 2 of the upper half of `d`; less 32.
        let mask = L::splat(0x0f0f_0f0f);
        let (even, odd) = (low.and(mask), low.shr::<4>().and(mask));
        let minus_32 = L::splat(0xe0e0_e0e0_u32 as i32);
        let first = even.shuffle([0, -1, 1, -1]).or(odd.shuffle([-1, 0, -1, 1]));
        let first = first.or(pairs_of_bits(d.shuffle([2; 4]))).add_bytes(minus_32);
        let last = even.shuffle([2, -1, 3, -1]).or(odd.shuffle([-1, 2, -1, 3]));
        let last = last.or(pairs_of_bits(d.shuffle([3; 4]))).add_bytes(minus_32);
        Header {
            scales: [first, last, L::splat(0), L::splat(0)],
            pairs: [L::splat(0); 8],
            scale: d.low_f16(),
            min: L::zero(),
        }
    }

    #[inline(always)]
    unsafe fn weights<L: RowLanes, S: Sink<L>>(rows: &Rows, offset: usize, sink: &mut S) {
        for j in 0..8 {
            // SAFETY: inside the block.
            let mut x = nibbles(unsafe { L::load16(rows, offset + 8 + 16 * j) });
            for x in &mut x {
                *x = x.lookup(&IQ4_VALUES).signed();
            }
            sink.take_two(2 * j, x);
        }
    }
}
