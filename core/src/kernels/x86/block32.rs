//! The types with blocks of 32 weights, as tiles.

use super::lanes::{RowLanes, SIGNED};
use super::rows::Rows;
use crate::quant::*;

/// One block of each row of a panel: what a tile of the module's drawing is, and the scales.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::kernels) struct Unpacked<L: RowLanes> {
    /// Group `c` holds weights `4 c..4 c + 4`, each [`offset`] too large.
    pub(in crate::kernels) tile: [L; 8],
    pub(in crate::kernels) scale: L::Floats,
    /// Zero unless the type has a minimum.
    pub(in crate::kernels) min: L::Floats,
}

/// A type with blocks of 32 weights. [`Block::dot`] in terms of its tiles:
/// `fma(float(tile . q - offset * sum), scale * a, acc)`, and then, for types with a minimum,
/// `fma(min, a * float(sum), .)`, where `a` is the activations' scale and `sum` the sum of their `q`.
pub(in crate::kernels) trait Block32: Block {
    /// The largest byte in a tile, or [`SIGNED`].
    const MAX: u32;
    /// What was added to the weights to make them unsigned. For `SIGNED` types [`RowLanes::SIGNED_OFFSET`] counts.
    const OFFSET: i32;
    /// Has a minimum.
    const MIN: bool;

    /// Unpacks the blocks that start at byte `offset` of each row.
    ///
    /// # Safety
    /// - `offset + size_of::<Self>() <=` the bytes per row.
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L>;
}

/// How much larger than the weights the bytes of type `B`'s tiles are.
pub(super) const fn offset<B: Block32, L: RowLanes>() -> i32 {
    if B::MAX == SIGNED { L::SIGNED_OFFSET } else { B::OFFSET }
}

/// Low nibbles, then high nibbles.
#[inline(always)]
pub(super) fn nibbles<L: RowLanes>([a, b, c, d]: [L; 4]) -> [L; 8] {
    let mask = L::splat(0x0f0f_0f0f);
    [
        a.and(mask),
        b.and(mask),
        c.and(mask),
        d.and(mask),
        a.shr::<4>().and(mask),
        b.shr::<4>().and(mask),
        c.shr::<4>().and(mask),
        d.shr::<4>().and(mask),
    ]
}

/// Adds 16 to weight `i` where bit `i` of the row's lane is set.
#[inline(always)]
fn fifth_bits<L: RowLanes>(mut tile: [L; 8], bits: L) -> [L; 8] {
    let (low, high) = (L::splat(0x0804_0201), L::splat(0x8040_2010_u32 as i32));
    let sixteen = L::splat(0x1010_1010);
    for i in 0..4 {
        // Byte `i`, four times: the bits of weights 8 i..8 i + 8.
        let spread = bits.shuffle([i as i8; 4]);
        tile[2 * i] = tile[2 * i].add_where(spread, low, sixteen);
        tile[2 * i + 1] = tile[2 * i + 1].add_where(spread, high, sixteen);
    }
    tile
}

impl Block32 for BlockQ4_0 {
    const MAX: u32 = 15;
    const OFFSET: i32 = 8;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L> {
        // SAFETY: inside the block.
        unsafe {
            Unpacked {
                tile: nibbles(L::load16(rows, offset + 2)),
                scale: L::load_f16(rows, offset),
                min: L::zero(),
            }
        }
    }
}

impl Block32 for BlockQ4_1 {
    const MAX: u32 = 15;
    const OFFSET: i32 = 0;
    const MIN: bool = true;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L> {
        // SAFETY: inside the block.
        unsafe {
            let scale_min = L::load4(rows, offset);
            Unpacked {
                tile: nibbles(L::load16(rows, offset + 4)),
                scale: scale_min.low_f16(),
                min: scale_min.shr::<16>().low_f16(),
            }
        }
    }
}

impl Block32 for BlockQ5_0 {
    const MAX: u32 = 31;
    const OFFSET: i32 = 16;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L> {
        // SAFETY: inside the block.
        unsafe {
            let low = nibbles(L::load16(rows, offset + 6));
            Unpacked {
                tile: fifth_bits(low, L::load4(rows, offset + 2)),
                scale: L::load_f16(rows, offset),
                min: L::zero(),
            }
        }
    }
}

impl Block32 for BlockQ5_1 {
    const MAX: u32 = 31;
    const OFFSET: i32 = 0;
    const MIN: bool = true;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L> {
        // SAFETY: inside the block.
        unsafe {
            let scale_min = L::load4(rows, offset);
            let low = nibbles(L::load16(rows, offset + 8));
            Unpacked {
                tile: fifth_bits(low, L::load4(rows, offset + 4)),
                scale: scale_min.low_f16(),
                min: scale_min.shr::<16>().low_f16(),
            }
        }
    }
}

impl Block32 for BlockQ8_0 {
    const MAX: u32 = SIGNED;
    const OFFSET: i32 = 0;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L> {
        // SAFETY: inside the block.
        unsafe {
            let [a, b, c, d] = L::load16(rows, offset + 2);
            let [e, f, g, h] = L::load16(rows, offset + 18);
            let mut tile = [a, b, c, d, e, f, g, h];
            for x in &mut tile {
                *x = x.signed();
            }
            Unpacked { tile, scale: L::load_f16(rows, offset), min: L::zero() }
        }
    }
}

/// The scale of [`BlockMXFP4`] whose exponent is the lowest byte of each lane.
#[inline(always)]
fn power_of_two<L: RowLanes>(x: L) -> L::Floats {
    let e = x.and(L::splat(0xff));
    let at_least_1 = e.max(L::splat(1));
    // 2^-128 and 2^-127 are subnormal: 1 << 21 and 2 << 21.
    let subnormal = e.add(L::splat(2)).sub(at_least_1).shl::<21>();
    at_least_1.sub(L::splat(1)).shl::<23>().max(subnormal).as_floats()
}

impl Block32 for BlockMXFP4 {
    const MAX: u32 = 31;
    const OFFSET: i32 = 12;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L> {
        const RAISED: [i8; 16] = {
            let mut raised = FP4_VALUES;
            let mut i = 0;
            while i < 16 {
                raised[i] += 12;
                i += 1;
            }
            raised
        };
        // SAFETY: inside the block.
        unsafe {
            let mut tile = nibbles(L::load16(rows, offset + 1));
            for x in &mut tile {
                *x = x.lookup(&RAISED);
            }
            Unpacked { tile, scale: power_of_two(L::load4(rows, offset)), min: L::zero() }
        }
    }
}

impl Block32 for BlockIQ4NL {
    const MAX: u32 = SIGNED;
    const OFFSET: i32 = 0;
    const MIN: bool = false;

    #[inline(always)]
    unsafe fn unpack<L: RowLanes>(rows: &Rows, offset: usize) -> Unpacked<L> {
        // SAFETY: inside the block.
        unsafe {
            let mut tile = nibbles(L::load16(rows, offset + 2));
            for x in &mut tile {
                *x = x.lookup(&IQ4_VALUES).signed();
            }
            Unpacked { tile, scale: L::load_f16(rows, offset), min: L::zero() }
        }
    }
}
