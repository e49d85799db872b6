//! ARM with NEON and nothing more (Cortex-A53, A72): the tier that every 64-bit ARM processor runs, and what the
//! other ARM tiers share with it.
//!
//! - One token ([`gemv`]): four rows at a time straight from the file's blocks.
//! - Several tokens ([`gemm`]): eight rows are unpacked to a [`panel`] of signed bytes, which then meets the tokens four
//!   at a time in a micro-kernel; one micro-kernel per activation format serves all types.
//!
//! A tier is a way to multiply bytes ([`dot::Dot`]), a micro-kernel ([`gemm::Micro`]) and the panel's order. What a
//! type is to the kernels is said once, in [`weights32`] and [`weights256`].
//!
//! Generic code here is `#[inline(always)]`, so that it becomes part of a tier's function with its features.
#![allow(clippy::needless_range_loop, reason = "register tiles are clearest by index")]

mod cursor;
pub(in crate::kernels) mod dot;
mod f32x16;
pub(in crate::kernels) mod gemm;
mod gemv;
mod gemv256;
pub(in crate::kernels) mod ints;
mod micro;
pub(in crate::kernels) mod panel;
mod rows256;
mod rows32;
pub(in crate::kernels) mod simd;
mod weights256;
mod weights256_rare;
mod weights32;

use self::dot::Baseline;
pub(in crate::kernels) use self::gemm::{gemm_coded, gemm32, gemm256};
pub(in crate::kernels) use self::gemv::gemv32;
pub(in crate::kernels) use self::gemv256::{gemv_coded, gemv256};
pub(in crate::kernels) use self::rows32::Rows32;
pub(in crate::kernels) use self::rows256::Rows256;
use super::coded::{DecodeFn, decode};
use super::select::Tier;
use super::{Kernels, Scratch, generic};
use crate::quant::{self, Coded, QuantType};
use crate::tensor::{Acts, PlainBlock, QMatRef, Stripe};

generic::instantiate! { f32_ops: f32x16::Neon, ints::Ints }

pub(super) use self::f32_ops::STEPS;

/// The tier's kernels; the float part serves all ARM tiers.
pub(super) const KERNELS: Kernels = {
    let base = f32_ops::kernels("aarch64-neon");
    Kernels { matmul: with_products!(base.matmul, q32, q256, coded), ..base }
};

pub(super) static TIER: Tier =
    Tier { supported: || std::arch::is_aarch64_feature_detected!("neon"), kernels: KERNELS };

/// A table with the quantised products of a tier: `$q32`, `$q256` and `$coded` are generic over the block type.
macro_rules! with_products {
    ($table:expr, $q32:ident, $q256:ident, $coded:ident) => {
        quant::with_coded_types!($table, $coded)
            .with(QuantType::Q4_0, $q32::<quant::BlockQ4_0>)
            .with(QuantType::Q4_1, $q32::<quant::BlockQ4_1>)
            .with(QuantType::Q5_0, $q32::<quant::BlockQ5_0>)
            .with(QuantType::Q5_1, $q32::<quant::BlockQ5_1>)
            .with(QuantType::Q8_0, $q32::<quant::BlockQ8_0>)
            .with(QuantType::IQ4NL, $q32::<quant::BlockIQ4NL>)
            .with(QuantType::MXFP4, $q32::<quant::BlockMXFP4>)
            .with(QuantType::Q2K, $q256::<quant::BlockQ2K>)
            .with(QuantType::Q3K, $q256::<quant::BlockQ3K>)
            .with(QuantType::Q4K, $q256::<quant::BlockQ4K>)
            .with(QuantType::Q5K, $q256::<quant::BlockQ5K>)
            .with(QuantType::Q6K, $q256::<quant::BlockQ6K>)
            .with(QuantType::IQ4XS, $q256::<quant::BlockIQ4XS>)
    };
}
pub(in crate::kernels) use with_products;

fn q32<W: Rows32>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
    match acts.n() {
        1 => gemv32::<Baseline, W>(w, acts.quantised(), out.row(0)),
        _ => gemm32::<Baseline, W>(w, acts.quantised(), out, scratch),
    }
}

/// The product of a coded type.
fn coded<B: PlainBlock + Coded>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    coded_by(w, acts, out, scratch, decode::<B>);
}

/// The product of every coded type.
#[inline(never)]
fn coded_by(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch, decode: DecodeFn) {
    match acts.n() {
        1 => gemv_coded::<Baseline>(w, acts.quantised(), out.row(0), decode),
        _ => gemm_coded::<Baseline>(w, acts.quantised(), out, scratch, decode),
    }
}

fn q256<W: Rows256 + PlainBlock>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    match acts.n() {
        1 => gemv256::<Baseline, W>(w, acts.quantised(), out.row(0)),
        _ => gemm256::<Baseline, W>(w, acts.quantised(), out, scratch),
    }
}
