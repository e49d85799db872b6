//! ARM with FEAT_I8MM (Cortex-A510, A710, X2, Neoverse V1, Apple M2 and later): SMMLA for several tokens; one token is
//! multiplied as by [`neon_dotprod`](super::neon_dotprod), because half of every SMMLA would be wasted on it.
#![allow(clippy::needless_range_loop, reason = "register tiles are clearest by index")]

mod asm;
mod micro;

use self::micro::I8mm;
use super::coded::{DecodeFn, decode};
use super::neon::{self, Rows32, Rows256, gemm_coded, gemm32, gemm256, with_products};
use super::neon_dotprod;
use super::select::Tier;
use super::{Kernels, Scratch};
use crate::quant::{self, Coded, QuantType};
use crate::tensor::{Acts, PlainBlock, QMatRef, Stripe};

pub(super) static TIER: Tier = Tier {
    supported: || {
        std::arch::is_aarch64_feature_detected!("dotprod") && std::arch::is_aarch64_feature_detected!("i8mm")
    },
    kernels: Kernels {
        name: "aarch64-neon-i8mm",
        matmul: with_products!(neon::KERNELS.matmul, q32, q256, coded),
        attn_chunk: neon_dotprod::attn_chunk,
        ..neon::KERNELS
    },
};

#[target_feature(enable = "dotprod,i8mm")]
fn q32<W: Rows32>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
    match acts.n() {
        1 => neon_dotprod::q32::<W>(w, acts, out, scratch),
        _ => gemm32::<I8mm, W>(w, acts.quantised(), out, scratch),
    }
}

#[target_feature(enable = "dotprod,i8mm")]
fn q256<W: Rows256 + PlainBlock>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    match acts.n() {
        1 => neon_dotprod::q256::<W>(w, acts, out, scratch),
        _ => gemm256::<I8mm, W>(w, acts.quantised(), out, scratch),
    }
}

/// The product of a coded type.
fn coded<B: PlainBlock + Coded>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    // SAFETY: only the tier's table has this function: the processor has the instructions.
    unsafe { coded_by(w, acts, out, scratch, decode::<B>) }
}

/// The product of every coded type.
#[inline(never)]
#[target_feature(enable = "dotprod,i8mm")]
fn coded_by(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch, decode: DecodeFn) {
    match acts.n() {
        1 => neon_dotprod::coded_by(w, acts, out, scratch, decode),
        _ => gemm_coded::<I8mm>(w, acts.quantised(), out, scratch, decode),
    }
}
