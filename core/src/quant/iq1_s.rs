//! IQ1_S: 256 weights as points of a grid of 2048, eight weights a point, a 3-bit scale and a shift per 32, one f16
//! scale. 1.5625 bits per weight.
//!
//! ```text
//! byte 0..2     d                    f16
//! byte 2..34    qs[g]                lower 8 bits of the index for weights 8 g .. 8 g + 8
//! byte 34..50   qh[j]                u16 for sub-block j of 32: bits 3 i .. 3 i + 3 = upper bits of the index for
//!                                    g = 4 j + i; bits 12..15 = scale j; bit 15 = shift down instead of up
//! weight = d / 8 * (2 scale[j] + 1) * (8 (c - 1) +- 1) for a coordinate c in 0..3
//! ```

use super::coded::{Coded, Codes256, nearest_point, odd_scales};
use super::grids::{EACH, IQ1, coordinates};
use super::k_scales::inverse;
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq1_s`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ1S {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Lower bits of the indices.
    pub qs: [u8; 32],
    /// Upper bits of the indices, scales and shifts, 16 bits for 32 weights, little-endian.
    pub qh: [u8; 16],
}

/// Eight weights plus [`OFFSET`]: 8 (c - 1), plus 1, or minus 1 if `down` is 1.
#[inline(always)]
pub(super) fn bytes(index: u32, down: u32) -> [u8; 8] {
    let up = u64::from(1 ^ down) * (EACH * 2);
    (coordinates(IQ1[(index & 2047) as usize]) * 8 + up).to_le_bytes()
}

/// How much larger than weights the bytes are.
pub(super) const OFFSET: i32 = 9;

/// Index of the point for eight weights times `inverse` that are to be shifted so, and the squared error.
pub(super) fn near(x: &[f32], inverse: f32, down: bool) -> (u16, f32) {
    let x: [f32; 8] = std::array::from_fn(|i| x[i] * inverse);
    let shift = if down { -9 } else { -7 };
    let values = |point| coordinates(point).to_le_bytes().map(|c| 8 * c as i8 + shift);
    let (index, error) = nearest_point(x, &IQ1, values);
    (index as u16, error)
}

/// Whether weights are better shifted down.
pub(super) fn shifts_down(x: &[f32]) -> bool {
    x.iter().sum::<f32>() < 0.0
}

/// What the largest weight of a sub-block may become: 9 is the most there is, and all may be that; but three steps are so
/// few that those around the middle count more.
pub(super) const LARGEST: [f32; 4] = [18.0, 14.0, 11.0, 9.0];

impl Coded for BlockIQ1S {
    const SIGNED: bool = false;
    const OFFSET: i32 = OFFSET;
    const UNIT: f32 = 0.125;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        let mut scales = [0; 8];
        for (j, out) in out.eights().as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let high = u32::from(u16::from_le_bytes(self.qh.as_chunks().0[j]));
            for (i, out) in out.iter_mut().enumerate() {
                let index = u32::from(self.qs[4 * j + i]) | (high >> (3 * i) & 7) << 8;
                *out = bytes(index, high >> 15);
            }
            scales[j] = high >> 12 & 7;
        }
        out.put_scales_of_32(scales);
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let (unit, scales) = odd_scales::<8>(x, 7, &LARGEST, |x, inverse| near(x, inverse, shifts_down(x)).1);
        let (mut qs, mut qh) = ([0; 32], [0; 16]);
        for (j, qh) in qh.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let x = &x[32 * j..32 * j + 32];
            let (down, inverse) = (shifts_down(x), inverse(unit * f32::from(2 * scales[j] + 1)));
            let mut bits = u16::from(down) << 15 | u16::from(scales[j]) << 12;
            for i in 0..4 {
                let (index, _) = near(&x[8 * i..], inverse, down);
                qs[4 * j + i] = index as u8;
                bits |= index >> 8 << (3 * i);
            }
            *qh = bits.to_le_bytes();
        }
        Self { d: f16::from_f32_const(8.0 * unit).to_le_bytes(), qs, qh }
    }
}
