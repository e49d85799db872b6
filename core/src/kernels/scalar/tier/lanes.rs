//! Sixteen lanes as an array.

use crate::kernels::vector::F32x16;
use half::{bf16, f16};

/// Sixteen `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes([f32; 16]);

impl Lanes {
    #[inline(always)]
    fn zip(self, b: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], b.0[i])))
    }

    /// 16 -> 8 -> 4 -> 2 -> 1, lane `i` with lane `i + half`.
    #[inline(always)]
    fn reduce(mut self, f: impl Fn(f32, f32) -> f32) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                self.0[i] = f(self.0[i], self.0[i + half]);
            }
        }
        self.0[0]
    }
}

impl From<[f32; 16]> for Lanes {
    #[inline(always)]
    fn from(lanes: [f32; 16]) -> Self {
        Self(lanes)
    }
}

// Conversions of 16-bit floats are some twenty instructions a lane here: calls, or attention alone would take 80 KB.
impl F32x16 for Lanes {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 16])
    }

    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        Self(*x)
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        *out = self.0;
    }

    #[inline(never)]
    fn load_f16(x: &[u16; 16]) -> Self {
        Self(x.map(|bits| f16::from_bits(bits).to_f32_const()))
    }

    #[inline(never)]
    fn store_f16(self, out: &mut [u16; 16]) {
        *out = self.0.map(|x| f16::from_f32_const(x).to_bits());
    }

    #[inline(never)]
    fn load_bf16(x: &[u16; 16]) -> Self {
        Self(x.map(|bits| bf16::from_bits(bits).to_f32_const()))
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        self.zip(b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        self.zip(b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        self.zip(b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        self.zip(b, |a, b| a / b)
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        self.zip(b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, b: Self) -> Self {
        self.zip(b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }

    #[inline(always)]
    fn round(self) -> Self {
        Self(self.0.map(f32::round_ties_even))
    }

    #[inline(always)]
    fn exp2i(self) -> Self {
        Self(self.0.map(|n| f32::from_bits(((n as i32).wrapping_add(127) << 23) as u32)))
    }

    #[inline(always)]
    fn reduce_add(self) -> f32 {
        self.reduce(|a, b| a + b)
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        self.reduce(|a, b| if a > b { a } else { b })
    }
}
