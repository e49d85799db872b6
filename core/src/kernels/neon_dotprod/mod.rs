//! ARM with FEAT_DotProd (Cortex-A55, A75 and later): [`neon`](super::neon) with SDOT.
#![allow(clippy::needless_range_loop, reason = "register tiles are clearest by index")]

mod asm;
mod micro;

use self::micro::DotProd;
use super::neon::{self, Rows32, Rows256, gemm32, gemm256, gemv32, gemv256, with_products};
use super::select::Tier;
use super::{Kernels, Scratch};
use crate::quant::{self, QuantType};
use crate::tensor::{Acts, QMatRef, Stripe};

pub(super) static TIER: Tier = Tier {
    supported: || std::arch::is_aarch64_feature_detected!("dotprod"),
    kernels: Kernels {
        name: "aarch64-neon-dotprod",
        matmul: with_products!(neon::KERNELS.matmul, q32, q256),
        ..neon::KERNELS
    },
};

#[target_feature(enable = "dotprod")]
pub(in crate::kernels) fn q32<W: Rows32>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    match acts.n() {
        1 => gemv32::<DotProd, W>(w, acts.quantised(), out.row(0)),
        _ => gemm32::<DotProd, W>(w, acts.quantised(), out, scratch),
    }
}

#[target_feature(enable = "dotprod")]
pub(in crate::kernels) fn q256<W: Rows256>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    match acts.n() {
        1 => gemv256::<DotProd, W>(w, acts.quantised(), out.row(0)),
        _ => gemm256::<DotProd, W>(w, acts.quantised(), out, scratch),
    }
}
