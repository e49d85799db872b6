//! IQ3_S: 256 weights as signed points of a grid of 512, four weights a point, a 4-bit scale per 32, one f16 scale.
//! 3.4375 bits per weight.
//!
//! ```text
//! byte 0..2      d                   f16
//! byte 2..66     qs[n]               lower 8 bits of the index for weights 4 n .. 4 n + 4
//! byte 66..74    qh[n / 8]           bit n % 8 = upper bit of that index
//! byte 74..106   signs[g]            bit i = minus for weight 8 g + i
//! byte 106..110  scales              nibble j = scale of sub-block j of 32, low nibbles first
//! weight = d * (2 scale[j] + 1) * sign * (2 c + 1) for a coordinate c in 0..8
//! ```

use super::coded::{Coded, Codes256, magnitudes, nearest_point, odd_scales};
use super::grids::IQ3_S;
use super::iq3_xxs::values;
use super::k_scales::inverse;
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_iq3_s`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockIQ3S {
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Lower bits of the indices.
    pub qs: [u8; 64],
    /// Upper bit of the indices, eight a byte.
    pub qh: [u8; 8],
    /// Sign bits.
    pub signs: [u8; 32],
    /// Scales of 32 weights, two a byte.
    pub scales: [u8; 4],
}

/// What the largest weight of a sub-block may become. The last is one that all four may be together.
const LARGEST: [f32; 4] = [17.0, 15.0, 13.0, 1.0];

/// Indices of the points for eight weights times `inverse`, their signs, and the squared error.
fn near(x: &[f32], inverse: f32) -> ([usize; 2], u8, f32) {
    let (x, signs) = magnitudes(x);
    let [a, b, c, d, e, f, g, h] = x.map(|x| x * inverse);
    let (first, second) =
        (nearest_point([a, b, c, d], &IQ3_S, values), nearest_point([e, f, g, h], &IQ3_S, values));
    ([first.0, second.0], signs, first.1 + second.1)
}

impl Coded for BlockIQ3S {
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const UNIT: f32 = 1.0;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        for ((out, low), high) in
            out.eights().as_chunks_mut::<4>().0.iter_mut().zip(self.qs.as_chunks::<8>().0).zip(self.qh)
        {
            for (i, out) in out.iter_mut().enumerate() {
                let high = usize::from(high) << (8 - 2 * i);
                let first = IQ3_S[usize::from(low[2 * i]) | high & 256];
                let second = IQ3_S[usize::from(low[2 * i + 1]) | high >> 1 & 256];
                *out = (u64::from(first) | u64::from(second) << 32).to_le_bytes();
            }
        }
        for (out, signs) in out.signs.iter_mut().zip(self.signs.as_chunks().0) {
            *out = u32::from_le_bytes(*signs);
        }
        let [a, b, c, d] = self.scales;
        out.put_scales_of_32([a & 15, a >> 4, b & 15, b >> 4, c & 15, c >> 4, d & 15, d >> 4].map(u32::from));
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let (unit, scales) = odd_scales::<8>(x, 15, &LARGEST, |x, inverse| near(x, inverse).2);
        let (mut qs, mut qh, mut signs) = ([0; 64], [0; 8], [0; 32]);
        for g in 0..32 {
            let inverse = inverse(unit * f32::from(2 * scales[g / 4] + 1));
            let (indices, minus, _) = near(&x[8 * g..], inverse);
            for (n, index) in (2 * g..).zip(indices) {
                qs[n] = index as u8;
                qh[n / 8] |= ((index >> 8) as u8) << (n % 8);
            }
            signs[g] = minus;
        }
        let scales = std::array::from_fn(|i| scales[2 * i] | scales[2 * i + 1] << 4);
        Self { d: f16::from_f32_const(unit).to_le_bytes(), qs, qh, signs, scales }
    }
}
