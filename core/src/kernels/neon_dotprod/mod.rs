//! ARM with FEAT_DotProd (Cortex-A55, A75 and later): [`neon`](super::neon) with SDOT.

pub(in crate::kernels) mod asm;
mod micro;

pub(in crate::kernels) use self::micro::DotProd;
use super::neon::{self, Weights32, Weights256, product32, product256, with_products};
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
fn q32<W: Weights32>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
    product32::<DotProd, DotProd, W>(w, acts, out, scratch);
}

#[target_feature(enable = "dotprod")]
fn q256<W: Weights256>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
    product256::<DotProd, DotProd, W>(w, acts, out, scratch);
}
