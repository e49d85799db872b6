//! Panels: eight rows of a matrix unpacked to signed bytes, in the order in which a tier's micro-kernel reads them.
//!
//! A panel lives in [`Scratch`] for as long as it meets the tokens of one batch; nothing is kept.

use std::arch::aarch64::*;

use super::simd::{store_f32, widen_f16};
use super::weights32::Weights32;
use super::weights256::Weights256;
use crate::kernels::Scratch;

/// Rows of a panel.
pub(in crate::kernels) const ROWS: usize = 8;

/// One block of 32 weights of [`ROWS`] rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernels) struct Tile32 {
    /// `[half][..]`: 16 weights of eight rows at a time, in the tier's [`Layout`].
    pub(in crate::kernels) q: [[[i8; 16]; 8]; 2],
    /// Scales of the rows.
    pub(in crate::kernels) d: [[f32; 4]; 2],
    /// Minimums of the rows.
    pub(in crate::kernels) m: [[f32; 4]; 2],
}

/// One block of 256 weights of [`ROWS`] rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernels) struct Tile256 {
    /// `[sixteen][..]`: 16 weights of eight rows at a time, in the tier's [`Layout`].
    pub(in crate::kernels) q: [[[i8; 16]; 8]; 16],
    /// `[sub-block][row]`: sub-scales; the first eight for types with eight sub-blocks.
    pub(in crate::kernels) scales: [[[i32; 4]; 2]; 16],
    /// `[sub-block][row]`: minimums.
    pub(in crate::kernels) mins: [[i16; 8]; 16],
    /// Scales of the sub-scales.
    pub(in crate::kernels) d: [[f32; 4]; 2],
    /// Scales of the minimums.
    pub(in crate::kernels) dmin: [[f32; 4]; 2],
}

/// What scratch memory may be used as.
///
/// # Safety
/// - alignment at most 64, and every bit pattern is a valid value.
pub(in crate::kernels) unsafe trait Tile {}

// SAFETY: aligned to 64; arrays of numbers.
unsafe impl Tile for Tile32 {}
// SAFETY: aligned to 64; arrays of numbers.
unsafe impl Tile for Tile256 {}

// Half of what `Scratch::bytes` promises for sixteen rows, so that a row of any length fits.
const _: () = assert!(size_of::<Tile32>() <= 16 * (32 + 8) && size_of::<Tile256>() <= 16 * (256 + 64));

/// The first `n` tiles of `scratch`. Panics if there are not so many.
pub(in crate::kernels) fn tiles<T: Tile>(scratch: &mut Scratch, n: usize) -> &mut [T] {
    let lines = scratch.lines();
    assert!(n <= size_of_val(lines) / size_of::<T>(), "scratch memory");
    // SAFETY: `n` tiles fit, checked above; lines are aligned to 64 and initialised, and `Tile` promises that this
    // alignment will do and that any bits are a value; the borrow is that of `scratch`.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<T>(), n) }
}

/// The order of a panel's weights.
pub(in crate::kernels) trait Layout {
    /// Writes 16 weights of eight rows.
    fn put(rows: [int8x16_t; ROWS], out: &mut [[i8; 16]; 8]);
}

/// One row after the other: for kernels that multiply along the row.
pub(in crate::kernels) struct Whole;

/// Four weights of four rows in a register: `[4 (row / 4) + k / 4][row % 4][k % 4]`.
pub(in crate::kernels) struct Fours;

/// Eight weights of two rows in a register: `[2 (row / 2) + k / 8][row % 2][k % 8]`.
pub(in crate::kernels) struct Pairs;

impl Layout for Whole {
    #[inline(always)]
    fn put(rows: [int8x16_t; ROWS], out: &mut [[i8; 16]; 8]) {
        for (row, out) in rows.into_iter().zip(out) {
            // SAFETY: NEON is always there; 16 bytes inside the array.
            unsafe { vst1q_s8(out.as_mut_ptr(), row) }
        }
    }
}

impl Layout for Fours {
    #[inline(always)]
    fn put(rows: [int8x16_t; ROWS], out: &mut [[i8; 16]; 8]) {
        let [a, b, c, d, e, f, g, h] = rows.map(|x| {
            // SAFETY: NEON is always there.
            unsafe { vreinterpretq_s32_s8(x) }
        });
        let (first, second) = out.split_at_mut(4);
        // SAFETY: NEON is always there; ST4 writes 64 bytes, the four arrays of each half.
        unsafe {
            vst4q_s32(first.as_mut_ptr().cast(), int32x4x4_t(a, b, c, d));
            vst4q_s32(second.as_mut_ptr().cast(), int32x4x4_t(e, f, g, h));
        }
    }
}

impl Layout for Pairs {
    #[inline(always)]
    fn put(rows: [int8x16_t; ROWS], out: &mut [[i8; 16]; 8]) {
        for (pair, out) in rows.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<2>().0) {
            // SAFETY: NEON is always there; ST2 writes 32 bytes, the two arrays.
            unsafe {
                let pair = int64x2x2_t(vreinterpretq_s64_s8(pair[0]), vreinterpretq_s64_s8(pair[1]));
                vst2q_s64(out.as_mut_ptr().cast(), pair);
            }
        }
    }
}

/// Widens the f16 bits of eight rows.
#[inline(always)]
fn put_f16(bits: [u16; ROWS], out: &mut [[f32; 4]; 2]) {
    let [a, b, c, d, e, f, g, h] = bits;
    store_f32(&mut out[0], widen_f16([a, b, c, d]));
    store_f32(&mut out[1], widen_f16([e, f, g, h]));
}

/// Unpacks eight rows of equal length into as many tiles as they have blocks.
#[inline(always)]
pub(in crate::kernels) fn unpack32<L: Layout, W: Weights32>(rows: [&[W]; ROWS], tiles: &mut [Tile32]) {
    let rows = rows.map(|r| &r[..tiles.len()]);
    for (b, tile) in tiles.iter_mut().enumerate() {
        let blocks = rows.map(|r| &r[b]);
        let q = blocks.map(|w| w.signed());
        L::put(q.map(|[a, _]| a), &mut tile.q[0]);
        L::put(q.map(|[_, b]| b), &mut tile.q[1]);
        put_f16(blocks.map(|w| w.d()), &mut tile.d);
        if W::MIN {
            put_f16(blocks.map(|w| w.m()), &mut tile.m);
        }
    }
}

/// Writes half a block, sixteen by sixteen weights. The rows' registers do not fit the processor's; they pass
/// through the tile's own memory eight at a time.
#[inline(always)]
fn put_half<L: Layout, W: Weights256, const HALF: usize>(blocks: [&W; ROWS], q: &mut [[[i8; 16]; 8]; 16]) {
    let mut unpacked = [[[0i8; 16]; 8]; ROWS];
    for (block, out) in blocks.into_iter().zip(&mut unpacked) {
        Whole::put(block.signed::<HALF>(), out);
    }
    for i in 0..8 {
        L::put(std::array::from_fn(|r| super::simd::load_i8(&unpacked[r][i])), &mut q[8 * HALF + i]);
    }
}

/// Unpacks eight rows of equal length into as many tiles as they have blocks.
#[inline(always)]
pub(in crate::kernels) fn unpack256<L: Layout, W: Weights256>(rows: [&[W]; ROWS], tiles: &mut [Tile256]) {
    let rows = rows.map(|r| &r[..tiles.len()]);
    for (b, tile) in tiles.iter_mut().enumerate() {
        let blocks = rows.map(|r| &r[b]);
        put_half::<L, W, 0>(blocks, &mut tile.q);
        put_half::<L, W, 1>(blocks, &mut tile.q);
        put_f16(blocks.map(|w| w.d()), &mut tile.d);
        if W::MIN {
            put_f16(blocks.map(|w| w.dmin()), &mut tile.dmin);
        }
        for (r, block) in blocks.into_iter().enumerate() {
            let (mut scales, mut mins) = ([0i8; 16], [0i8; 16]);
            // SAFETY: NEON is always there; 16 bytes inside each array.
            unsafe {
                vst1q_s8(scales.as_mut_ptr(), block.scales());
                vst1q_s8(mins.as_mut_ptr(), block.mins());
            }
            for j in 0..W::SUBS {
                tile.scales[j][r / 4][r % 4] = i32::from(scales[j]);
                if W::MIN {
                    tile.mins[j][r] = i16::from(mins[j]);
                }
            }
        }
    }
}
