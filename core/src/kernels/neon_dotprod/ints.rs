//! Attention over bytes with SDOT, which multiplies keys; the rest is [`neon`](super::super::neon)'s.

use std::arch::aarch64::*;

use super::asm::sdot;
use crate::kernels::neon::ints::{Ints as Base, four_bytes};
use crate::kernels::vector::I32x16;

/// Sixteen lanes. Only made in functions that run after [`TIER`](super::TIER)'s `supported()` said yes.
#[derive(Clone, Copy)]
pub(super) struct Ints(Base);

impl I32x16 for Ints {
    type Floats = <Base as I32x16>::Floats;
    type Keys = <Base as I32x16>::Keys;
    type Values = <Base as I32x16>::Values;

    #[inline(always)]
    fn start(sum: i32) -> Self {
        Self(Base::start(sum))
    }

    #[inline(always)]
    fn zero() -> Self {
        Self(Base::zero())
    }

    #[inline(always)]
    fn keys(x: &[i8; 64]) -> Self::Keys {
        Base::keys(x)
    }

    #[inline(always)]
    fn dot_keys(self, keys: [int8x16_t; 4], q: &[i8; 4]) -> Self {
        let (Base([a, b, c, d]), q) = (self.0, four_bytes(q));
        // SAFETY: only used in this tier's functions (see `Ints`), which enable `dotprod`.
        Self(Base(unsafe {
            [sdot(a, keys[0], q), sdot(b, keys[1], q), sdot(c, keys[2], q), sdot(d, keys[3], q)]
        }))
    }

    #[inline(always)]
    fn values(x: &[i8; 32]) -> Self::Values {
        Base::values(x)
    }

    #[inline(always)]
    fn dot_values(self, values: Self::Values, weights: &[i16; 2]) -> Self {
        Self(self.0.dot_values(values, weights))
    }

    #[inline(always)]
    fn to_floats(self) -> Self::Floats {
        self.0.to_floats()
    }
}
