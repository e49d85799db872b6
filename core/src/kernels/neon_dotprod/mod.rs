//! ARM with FEAT_DotProd (Cortex-A55, A75 and later): [`neon`](super::neon) with SDOT.
#![allow(clippy::needless_range_loop, reason = "register tiles are clearest by index")]

mod asm;
mod ints;
mod micro;

use self::ints::Ints;
use self::micro::DotProd;
use super::coded::{DecodeFn, decode};
use super::generic::attn::{Block, Steps};
use super::neon::{
    self, Rows32, Rows256, gemm_coded, gemm32, gemm256, gemv_coded, gemv32, gemv256, with_products,
};
use super::select::Tier;
use super::{AttnChunk, AttnState, Kernels, Scratch, generic};
use crate::quant::{self, Coded, QuantType};
use crate::tensor::{Acts, PlainBlock, QMatRef, Stripe};

pub(super) static TIER: Tier = Tier {
    supported: || std::arch::is_aarch64_feature_detected!("dotprod"),
    kernels: Kernels {
        name: "aarch64-neon-dotprod",
        matmul: with_products!(neon::KERNELS.matmul, q32, q256, coded),
        attn_chunk,
        ..neon::KERNELS
    },
};

/// Attention with the scores of bytes by SDOT.
#[target_feature(enable = "dotprod")]
pub(in crate::kernels) fn attn_chunk(
    chunk: &AttnChunk<'_>,
    state: &mut AttnState<'_>,
    scratch: &mut Scratch,
) {
    const STEPS: Steps = Steps { byte_scores, ..neon::STEPS };
    // SAFETY: the steps need the features that this function has.
    unsafe { generic::attn::attn_chunk(chunk, state, scratch, &STEPS) }
}

#[inline(never)]
#[target_feature(enable = "dotprod")]
fn byte_scores(block: &mut Block<'_>) {
    generic::attn::bytes::scores::<Ints>(block);
}

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
pub(in crate::kernels) fn q256<W: Rows256 + PlainBlock>(
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
#[target_feature(enable = "dotprod")]
pub(in crate::kernels) fn coded_by(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
    decode: DecodeFn,
) {
    match acts.n() {
        1 => gemv_coded::<DotProd>(w, acts.quantised(), out.row(0), decode),
        _ => gemm_coded::<DotProd>(w, acts.quantised(), out, scratch, decode),
    }
}
