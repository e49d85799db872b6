//! Sixteen `i32` lanes as an array.

use super::Lanes;
use crate::kernels::vector::I32x16;

/// Sixteen `i32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ints([i32; 16]);

impl I32x16 for Ints {
    type Floats = Lanes;
    type Keys = [[i8; 4]; 16];
    type Values = [[i8; 2]; 16];

    #[inline(always)]
    fn start(_sum: i32) -> Self {
        Self::zero()
    }

    #[inline(always)]
    fn zero() -> Self {
        Self([0; 16])
    }

    #[inline(always)]
    fn keys(x: &[i8; 64]) -> Self::Keys {
        std::array::from_fn(|p| std::array::from_fn(|d| x[4 * p + d]))
    }

    #[inline(always)]
    fn dot_keys(mut self, keys: Self::Keys, q: &[i8; 4]) -> Self {
        for (sum, key) in self.0.iter_mut().zip(&keys) {
            *sum += key.iter().zip(q).map(|(&k, &q)| i32::from(k) * i32::from(q)).sum::<i32>();
        }
        self
    }

    #[inline(always)]
    fn values(x: &[i8; 32]) -> Self::Values {
        std::array::from_fn(|d| [x[2 * d], x[2 * d + 1]])
    }

    #[inline(always)]
    fn dot_values(mut self, values: Self::Values, weights: &[i16; 2]) -> Self {
        for (sum, value) in self.0.iter_mut().zip(&values) {
            *sum += value.iter().zip(weights).map(|(&v, &w)| i32::from(v) * i32::from(w)).sum::<i32>();
        }
        self
    }

    #[inline(always)]
    fn to_floats(self) -> Lanes {
        Lanes::from(self.0.map(|x| x as f32))
    }
}
