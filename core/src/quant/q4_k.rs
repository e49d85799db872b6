//! Q4_K: 256 weights as 4-bit integers, a 6-bit scale and minimum per 32, f16 scales of both.
//! 4.5 bits per weight.
//!
//! ```text
//! byte 0..2      d                   f16
//! byte 2..4      dmin                f16
//! byte 4..16     scales              see `scale_min_k4`
//! byte 16..144   qs[32 c + l]        low nibble = weight 64 c + l, high nibble = weight 64 c + 32 + l
//! weight = d * scale[w / 32] * q - dmin * minimum[w / 32]
//! ```

use super::k_scales::{inverse, nearest, pack_scale_min_k4, range_with_zero, scale_min_k4, sub_dots};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_q4_K`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockQ4K {
    /// Scale of the scales, f16 bits, little-endian.
    pub d: [u8; 2],
    /// Scale of the minimums, f16 bits, little-endian.
    pub dmin: [u8; 2],
    /// Eight packed 6-bit scales and minimums.
    pub scales: [u8; 12],
    /// Nibbles: 32 bytes per 64 weights, low = first half, high = second half.
    pub qs: [u8; 128],
}

impl BlockQ4K {
    /// The scale of the scales.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32_const()
    }

    /// The scale of the minimums.
    #[inline(always)]
    pub fn min_scale(&self) -> f32 {
        f16::from_le_bytes(self.dmin).to_f32_const()
    }

    /// The 256 integers, in 0..16.
    fn ints(&self) -> [i8; 256] {
        std::array::from_fn(|w| {
            let byte = self.qs[w / 64 * 32 + w % 32];
            (if w % 64 < 32 { byte & 15 } else { byte >> 4 }) as i8
        })
    }
}

impl Block for BlockQ4K {
    const LEN: usize = 256;
    const ACT: ActFormat = ActFormat::Q8x256;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, dmin) = (self.scale(), self.min_scale());
        for (w, (o, q)) in out.iter_mut().zip(self.ints()).enumerate() {
            let (scale, min) = scale_min_k4(w / 32, &self.scales);
            *o = d * f32::from(scale) * f32::from(q) - dmin * f32::from(min);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        let ranges: [(f32, f32); 8] = std::array::from_fn(|j| range_with_zero(&x[32 * j..32 * j + 32]));
        let d = ranges.iter().fold(0.0f32, |m, (low, high)| m.max((high - low) / 15.0)) / 63.0;
        let dmin = ranges.iter().fold(0.0f32, |m, (low, _)| m.max(-low)) / 63.0;
        let scales = ranges.map(|(low, high)| nearest((high - low) / 15.0, inverse(d), 0, 63) as u8);
        let mins = ranges.map(|(low, _)| nearest(-low, inverse(dmin), 0, 63) as u8);
        let q = |w: usize| {
            let (scale, min) = (f32::from(scales[w / 32]), f32::from(mins[w / 32]));
            nearest(x[w] + dmin * min, inverse(d * scale), 0, 15) as u8
        };
        Self {
            d: f16::from_f32_const(d).to_le_bytes(),
            dmin: f16::from_f32_const(dmin).to_le_bytes(),
            scales: pack_scale_min_k4(scales, mins),
            qs: std::array::from_fn(|i| {
                let w = i / 32 * 64 + i % 32;
                q(w) | (q(w + 32) << 4)
            }),
        }
    }

    /// sum <= 256 * 63 * 15 * 127 < 2^25, and less for the minimums: no overflow.
    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let dots = sub_dots::<8>(&self.ints(), act.qs);
        let (mut sum, mut mins) = (0, 0);
        for (j, (dot, a)) in dots.iter().zip(act.sums.as_chunks::<2>().0).enumerate() {
            let (scale, min) = scale_min_k4(j, &self.scales);
            sum += dot * i32::from(scale);
            mins += (i32::from(a[0]) + i32::from(a[1])) * i32::from(min);
        }
        let acc = (sum as f32).mul_add(self.scale() * act.scale, acc);
        (mins as f32).mul_add(-(self.min_scale() * act.scale), acc)
    }
}
