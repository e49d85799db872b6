//! The types with blocks of 256 weights, as tiles.

use super::block32::nibbles;
use super::lanes::{RowLanes, SIGNED};
use super::rows::Rows;
use crate::quant::*;

/// One block of each row of a panel, in scratch.
#[repr(C)]
pub(super) struct Packed<L: RowLanes> {
    /// Group `c` holds weights `4 c..4 c + 4`, each [`offset`] too large.
    pub(super) tile: [[L; 4]; 16],
    /// What meets the sums of the activations: entry `j` holds 16-bit factors of sums `2 j` and `2 j + 1`. The factors
    /// are the minimums, if the type has them; otherwise the scales, so that the offset can be taken off again.
    pub(super) pairs: [L; 8],
    /// A scale per row for each 16 weights, or for each 32 (the first eight).
    pub(super) scales: [L::Bytes; 16],
    pub(super) scale: L::Floats,
    /// Scale of the minimums. Not used by types without.
    pub(super) min: L::Floats,
}

/// A type with blocks of 256 weights. [`Block::dot`] in terms of its tiles, with integers `s` (sum over the sub-blocks
/// of scale times `tile . q`) and `m` (sum of factor times sum):
/// `fma(float(s - offset * m), scale * a, acc)`, or for types with minimums
/// `fma(float(m), -(min * a), fma(float(s), scale * a, acc))`, where `a` is the activations' scale.
pub(in crate::kernels) trait Block256: Block {
    /// The largest byte in a tile, or [`SIGNED`].
    const MAX: u32;
    /// What was added to the weights to make them unsigned. For `SIGNED` types [`RowLanes::SIGNED_OFFSET`] counts.
    const OFFSET: i32;
    /// Has minimums.
    const MIN: bool;
    /// Weights per scale: 16 or 32.
    const SUB: usize;

    /// Unpacks the blocks that start at byte `offset` of each row.
    ///
    /// # Safety
    /// - `offset + size_of::<Self>() <=` the bytes per row.
    #[allow(private_interfaces, reason = "called in this module only")]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>);
}

/// How much larger than the weights the bytes of type `B`'s tiles are.
pub(super) const fn offset<B: Block256, L: RowLanes>() -> i32 {
    if B::MAX == SIGNED { L::SIGNED_OFFSET } else { B::OFFSET }
}

/// The scales of four neighbouring sub-blocks, one per byte of each lane, to rows of bytes.
#[inline(always)]
fn put_scales<L: RowLanes>(four: L, out: &mut [L::Bytes]) {
    out[0] = four.low_bytes();
    out[1] = four.shr::<8>().low_bytes();
    out[2] = four.shr::<16>().low_bytes();
    out[3] = four.shr::<24>().low_bytes();
}

/// Factors of the sums of sixteen, from one signed byte per 16 weights.
#[inline(always)]
fn put_pairs_of_16<L: RowLanes>(four: L, out: &mut [L]) {
    out[0] = four.shuffle([-1, 0, -1, 1]).sign_high_bytes();
    out[1] = four.shuffle([-1, 2, -1, 3]).sign_high_bytes();
}

/// Factors of the sums of sixteen, from one signed byte per 32 weights.
#[inline(always)]
fn put_pairs_of_32<L: RowLanes>(four: L, out: &mut [L]) {
    out[0] = four.shuffle([-1, 0, -1, 0]).sign_high_bytes();
    out[1] = four.shuffle([-1, 1, -1, 1]).sign_high_bytes();
    out[2] = four.shuffle([-1, 2, -1, 2]).sign_high_bytes();
    out[3] = four.shuffle([-1, 3, -1, 3]).sign_high_bytes();
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
unsafe fn put_header_k4<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>) {
    // SAFETY: the caller's: inside the block.
    let [d, a, b, c] = unsafe { L::load16(rows, offset) };
    out.scale = d.low_f16();
    out.min = d.shr::<16>().low_f16();
    let (low4, low6, high2) = (L::splat(0x0f0f_0f0f), L::splat(0x3f3f_3f3f), L::splat(0x3030_3030));
    put_scales(a.and(low6), &mut out.scales[..4]);
    put_scales(c.and(low4).or(a.shr::<2>().and(high2)), &mut out.scales[4..8]);
    put_pairs_of_32(b.and(low6), &mut out.pairs[..4]);
    put_pairs_of_32(c.shr::<4>().and(low4).or(b.shr::<2>().and(high2)), &mut out.pairs[4..]);
}

#[allow(private_interfaces, reason = "as in the trait")]
impl Block256 for BlockQ4K {
    const MAX: u32 = 15;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SUB: usize = 32;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>) {
        // SAFETY: inside the block.
        unsafe {
            put_header_k4(rows, offset, out);
            for (c, tile) in out.tile.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                for half in 0..2 {
                    let x = nibbles(L::load16(rows, offset + 16 + 32 * c + 16 * half));
                    tile[half] = [x[0], x[1], x[2], x[3]];
                    tile[2 + half] = [x[4], x[5], x[6], x[7]];
                }
            }
        }
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl Block256 for BlockQ5K {
    const MAX: u32 = 31;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SUB: usize = 32;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>) {
        // SAFETY: inside the block.
        unsafe {
            put_header_k4(rows, offset, out);
            let sixteen = L::splat(0x1010_1010);
            for half in 0..2 {
                let high = L::load16(rows, offset + 16 + 16 * half);
                for (c, tile) in out.tile.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let x = nibbles(L::load16(rows, offset + 48 + 32 * c + 16 * half));
                    // Bits 2 c and 2 c + 1 of each byte.
                    let low_bit = L::splat(0x0101_0101 << (2 * c));
                    let high_bit = L::splat((0x0202_0202_u32 << (2 * c)) as i32);
                    for i in 0..4 {
                        tile[half][i] = x[i].add_where(high[i], low_bit, sixteen);
                        tile[2 + half][i] = x[4 + i].add_where(high[i], high_bit, sixteen);
                    }
                }
            }
        }
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl Block256 for BlockQ6K {
    const MAX: u32 = 63;
    const OFFSET: i32 = 32;
    const MIN: bool = false;
    const SUB: usize = 16;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>) {
        // SAFETY: inside the block.
        unsafe {
            let scales = L::load16(rows, offset + 192);
            for i in 0..4 {
                put_scales(scales[i], &mut out.scales[4 * i..4 * i + 4]);
                put_pairs_of_16(scales[i], &mut out.pairs[2 * i..2 * i + 2]);
            }
            out.scale = L::load_f16(rows, offset + 208);
            out.min = L::zero();
            let upper = L::splat(0x3030_3030);
            for (h, tile) in out.tile.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                for half in 0..2 {
                    let a = nibbles(L::load16(rows, offset + 64 * h + 16 * half));
                    let b = nibbles(L::load16(rows, offset + 64 * h + 32 + 16 * half));
                    let high = L::load16(rows, offset + 128 + 32 * h + 16 * half);
                    for i in 0..4 {
                        tile[half][i] = a[i].or(high[i].shl::<4>().and(upper));
                        tile[2 + half][i] = b[i].or(high[i].shl::<2>().and(upper));
                        tile[4 + half][i] = a[4 + i].or(high[i].and(upper));
                        tile[6 + half][i] = b[4 + i].or(high[i].shr::<2>().and(upper));
                    }
                }
            }
        }
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl Block256 for BlockQ2K {
    const MAX: u32 = 15;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SUB: usize = 16;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>) {
        // SAFETY: inside the block.
        unsafe {
            let scales = L::load16(rows, offset);
            let low = L::splat(0x0f0f_0f0f);
            for i in 0..4 {
                put_scales(scales[i].and(low), &mut out.scales[4 * i..4 * i + 4]);
                put_pairs_of_16(scales[i].shr::<4>().and(low), &mut out.pairs[2 * i..2 * i + 2]);
            }
            let scale_min = L::load4(rows, offset + 80);
            out.scale = scale_min.low_f16();
            out.min = scale_min.shr::<16>().low_f16();
            let two = L::splat(0x0303_0303);
            for (h, tile) in out.tile.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                for half in 0..2 {
                    let x = L::load16(rows, offset + 16 + 32 * h + 16 * half);
                    for i in 0..4 {
                        tile[half][i] = x[i].and(two);
                        tile[2 + half][i] = x[i].shr::<2>().and(two);
                        tile[4 + half][i] = x[i].shr::<4>().and(two);
                        tile[6 + half][i] = x[i].shr::<6>().and(two);
                    }
                }
            }
        }
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl Block256 for BlockQ3K {
    const MAX: u32 = 15;
    const OFFSET: i32 = 4;
    const MIN: bool = false;
    const SUB: usize = 16;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>) {
        // SAFETY: inside the block.
        unsafe {
            // Bytes 96..108 are the scales (see `scales_q3_k`).
            let [_, a, b, c] = L::load16(rows, offset + 92);
            let (low, high) = (L::splat(0x0f0f_0f0f), L::splat(0x3030_3030));
            let minus_32 = L::splat(0xe0e0_e0e0_u32 as i32);
            let scales = [
                a.and(low).or(c.shl::<4>().and(high)).add_bytes(minus_32),
                b.and(low).or(c.shl::<2>().and(high)).add_bytes(minus_32),
                a.shr::<4>().and(low).or(c.and(high)).add_bytes(minus_32),
                b.shr::<4>().and(low).or(c.shr::<2>().and(high)).add_bytes(minus_32),
            ];
            for i in 0..4 {
                put_scales(scales[i], &mut out.scales[4 * i..4 * i + 4]);
                put_pairs_of_16(scales[i], &mut out.pairs[2 * i..2 * i + 2]);
            }
            out.scale = L::load_f16(rows, offset + 108);
            out.min = L::zero();
            let (two, four) = (L::splat(0x0303_0303), L::splat(0x0404_0404));
            for half in 0..2 {
                let mask = L::load16(rows, offset + 16 * half);
                for (h, tile) in out.tile.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                    let x = L::load16(rows, offset + 32 + 32 * h + 16 * half);
                    for i in 0..4 {
                        let low = [x[i], x[i].shr::<2>(), x[i].shr::<4>(), x[i].shr::<6>()];
                        for j in 0..4 {
                            let bit = L::splat((0x0101_0101_u32 << (4 * h + j)) as i32);
                            tile[2 * j + half][i] = low[j].and(two).add_where(mask[i], bit, four);
                        }
                    }
                }
            }
        }
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl Block256 for BlockIQ4XS {
    const MAX: u32 = SIGNED;
    const OFFSET: i32 = 0;
    const MIN: bool = false;
    const SUB: usize = 32;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize, out: &mut Packed<L>) {
        // SAFETY: inside the block.
        unsafe {
            let [d, low, _, _] = L::load16(rows, offset);
            out.scale = d.low_f16();
            out.min = L::zero();
            // Scale j is nibble j of `low`, and above it bits 2 j..2 j + 2 of the upper half of `d`; less 32.
            let mask = L::splat(0x0f0f_0f0f);
            let (even, odd) = (low.and(mask), low.shr::<4>().and(mask));
            let minus_32 = L::splat(0xe0e0_e0e0_u32 as i32);
            let first = even.shuffle([0, -1, 1, -1]).or(odd.shuffle([-1, 0, -1, 1]));
            let first = first.or(pairs_of_bits(d.shuffle([2; 4]))).add_bytes(minus_32);
            let last = even.shuffle([2, -1, 3, -1]).or(odd.shuffle([-1, 2, -1, 3]));
            let last = last.or(pairs_of_bits(d.shuffle([3; 4]))).add_bytes(minus_32);
            put_scales(first, &mut out.scales[..4]);
            put_scales(last, &mut out.scales[4..8]);
            put_pairs_of_32(first, &mut out.pairs[..4]);
            put_pairs_of_32(last, &mut out.pairs[4..]);
            for (j, tile) in out.tile.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let x = nibbles(L::load16(rows, offset + 8 + 16 * j));
                for i in 0..4 {
                    tile[0][i] = x[i].lookup(&IQ4_VALUES).signed();
                    tile[1][i] = x[4 + i].lookup(&IQ4_VALUES).signed();
                }
            }
        }
    }
}
