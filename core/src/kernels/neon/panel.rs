//! Panels: eight rows of a matrix unpacked to signed bytes, in the order in which a tier's micro-kernel reads them.
//!
//! A panel lives in [`Scratch`] for as long as it meets the tokens of one batch; nothing is kept.

use std::arch::aarch64::*;

use super::simd::{load_i8, store_f32, widen_f16, zero_i8};
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
        for r in 0..ROWS {
            // SAFETY: NEON is always there; 16 bytes inside the array.
            unsafe { vst1q_s8(out[r].as_mut_ptr(), rows[r]) }
        }
    }
}

impl Layout for Fours {
    #[inline(always)]
    fn put(rows: [int8x16_t; ROWS], out: &mut [[i8; 16]; 8]) {
        let [a, b, c, d, e, f, g, h] = rows;
        let (first, second) = out.split_at_mut(4);
        // SAFETY: NEON is always there; ST4 writes 64 bytes, the four arrays of each half.
        unsafe {
            vst4q_s32(first.as_mut_ptr().cast(), words([a, b, c, d]));
            vst4q_s32(second.as_mut_ptr().cast(), words([e, f, g, h]));
        }
    }
}

#[inline(always)]
fn words([a, b, c, d]: [int8x16_t; 4]) -> int32x4x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let (a, b) = (vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b));
        int32x4x4_t(a, b, vreinterpretq_s32_s8(c), vreinterpretq_s32_s8(d))
    }
}

impl Layout for Pairs {
    #[inline(always)]
    fn put(rows: [int8x16_t; ROWS], out: &mut [[i8; 16]; 8]) {
        let (out, _) = out.as_chunks_mut::<2>();
        for i in 0..ROWS / 2 {
            // SAFETY: NEON is always there; ST2 writes 32 bytes, the two arrays.
            unsafe {
                let pair =
                    int64x2x2_t(vreinterpretq_s64_s8(rows[2 * i]), vreinterpretq_s64_s8(rows[2 * i + 1]));
                vst2q_s64(out[i].as_mut_ptr().cast(), pair);
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
        let [r0, r1, r2, r3, r4, r5, r6, r7] = &rows;
        let (r0, r1, r2, r3) = (&r0[b], &r1[b], &r2[b], &r3[b]);
        let (r4, r5, r6, r7) = (&r4[b], &r5[b], &r6[b], &r7[b]);
        // Written out: a loop is not always unrolled, and then its registers pass through memory.
        let [a0, b0] = r0.signed();
        let [a1, b1] = r1.signed();
        let [a2, b2] = r2.signed();
        let [a3, b3] = r3.signed();
        let [a4, b4] = r4.signed();
        let [a5, b5] = r5.signed();
        let [a6, b6] = r6.signed();
        let [a7, b7] = r7.signed();
        L::put([a0, a1, a2, a3, a4, a5, a6, a7], &mut tile.q[0]);
        L::put([b0, b1, b2, b3, b4, b5, b6, b7], &mut tile.q[1]);
        store_f32(&mut tile.d[0], W::scales4([r0.d(), r1.d(), r2.d(), r3.d()]));
        store_f32(&mut tile.d[1], W::scales4([r4.d(), r5.d(), r6.d(), r7.d()]));
        if W::MIN {
            put_f16([r0.m(), r1.m(), r2.m(), r3.m(), r4.m(), r5.m(), r6.m(), r7.m()], &mut tile.m);
        }
    }
}

/// Writes half a block, sixteen by sixteen weights. The rows' registers do not fit the processor's; they pass
/// through the tile's own memory eight at a time.
#[inline(always)]
fn put_half<L: Layout, W: Weights256, const HALF: usize>(blocks: [&W; ROWS], q: &mut [[[i8; 16]; 8]; 16]) {
    let mut unpacked = [[[0i8; 16]; 8]; ROWS];
    for r in 0..ROWS {
        Whole::put(blocks[r].signed::<HALF>(), &mut unpacked[r]);
    }
    for i in 0..8 {
        let mut rows = [zero_i8(); ROWS];
        for r in 0..ROWS {
            rows[r] = load_i8(&unpacked[r][i]);
        }
        L::put(rows, &mut q[8 * HALF + i]);
    }
}

/// Unpacks eight rows of equal length into as many tiles as they have blocks.
#[inline(always)]
pub(in crate::kernels) fn unpack256<L: Layout, W: Weights256>(rows: [&[W]; ROWS], tiles: &mut [Tile256]) {
    let rows = rows.map(|r| &r[..tiles.len()]);
    for (b, tile) in tiles.iter_mut().enumerate() {
        let mut blocks = [&rows[0][b]; ROWS];
        for r in 0..ROWS {
            blocks[r] = &rows[r][b];
        }
        unpack_tile::<L, W>(blocks, tile);
    }
}

/// Unpacks one block of eight rows.
#[inline(always)]
pub(in crate::kernels) fn unpack_tile<L: Layout, W: Weights256>(blocks: [&W; ROWS], tile: &mut Tile256) {
    let (mut scales, mut mins) = ([zero_i8(); ROWS], [zero_i8(); ROWS]);
    let mut dmin = [0; ROWS];
    for r in 0..ROWS {
        (scales[r], mins[r]) = (blocks[r].scales(), blocks[r].mins());
        dmin[r] = blocks[r].dmin();
    }
    put_half::<L, W, 0>(blocks, &mut tile.q);
    put_half::<L, W, 1>(blocks, &mut tile.q);
    let [a, b, c, d, e, f, g, h] = blocks;
    store_f32(&mut tile.d[0], W::d4([a, b, c, d]));
    store_f32(&mut tile.d[1], W::d4([e, f, g, h]));
    put_scales(scales, W::SUBS, &mut tile.scales);
    if W::MIN {
        put_f16(dmin, &mut tile.dmin);
        put_mins(mins, W::SUBS, &mut tile.mins);
    }
}

/// Bytes `[row][sub-block]` as `[sub-block][row]`, two sub-blocks in a register.
#[inline(always)]
fn transposed([a, b, c, d, e, f, g, h]: [int8x16_t; ROWS]) -> [int8x16_t; 8] {
    // SAFETY: NEON is always there.
    unsafe {
        // Rows 0, 4, 1, 5, .. side by side, then their pairs, then all eight: each step doubles the group.
        let low = [vzip1q_s8(a, e), vzip1q_s8(b, f), vzip1q_s8(c, g), vzip1q_s8(d, h)];
        let high = [vzip2q_s8(a, e), vzip2q_s8(b, f), vzip2q_s8(c, g), vzip2q_s8(d, h)];
        let ([p, q, r, s], [t, u, v, w]) = (woven(low), woven(high));
        [p, q, r, s, t, u, v, w]
    }
}

/// The second and third step of [`transposed`].
#[inline(always)]
fn woven([a, b, c, d]: [int8x16_t; 4]) -> [int8x16_t; 4] {
    // SAFETY: NEON is always there.
    unsafe {
        let (x0, x1, y0, y1) = (vzip1q_s8(a, c), vzip2q_s8(a, c), vzip1q_s8(b, d), vzip2q_s8(b, d));
        [vzip1q_s8(x0, y0), vzip2q_s8(x0, y0), vzip1q_s8(x1, y1), vzip2q_s8(x1, y1)]
    }
}

/// Sub-scales of eight rows, widened.
#[inline(always)]
fn put_scales(rows: [int8x16_t; ROWS], subs: usize, out: &mut [[[i32; 4]; 2]; 16]) {
    let two = transposed(rows);
    for j in 0..subs / 2 {
        // SAFETY: NEON is always there; four values inside each array.
        unsafe {
            let (a, b) = (vmovl_s8(vget_low_s8(two[j])), vmovl_high_s8(two[j]));
            vst1q_s32(out[2 * j][0].as_mut_ptr(), vmovl_s16(vget_low_s16(a)));
            vst1q_s32(out[2 * j][1].as_mut_ptr(), vmovl_high_s16(a));
            vst1q_s32(out[2 * j + 1][0].as_mut_ptr(), vmovl_s16(vget_low_s16(b)));
            vst1q_s32(out[2 * j + 1][1].as_mut_ptr(), vmovl_high_s16(b));
        }
    }
}

/// Minimums of eight rows, widened.
#[inline(always)]
fn put_mins(rows: [int8x16_t; ROWS], subs: usize, out: &mut [[i16; 8]; 16]) {
    let two = transposed(rows);
    for j in 0..subs / 2 {
        // SAFETY: NEON is always there; eight values inside each array.
        unsafe {
            vst1q_s16(out[2 * j].as_mut_ptr(), vmovl_s8(vget_low_s8(two[j])));
            vst1q_s16(out[2 * j + 1].as_mut_ptr(), vmovl_high_s8(two[j]));
        }
    }
}
