//! x86-64 with AVX2, FMA and F16C: laptops and desktops since Haswell and Zen.

mod coded;
mod ints;
mod lanes;
mod vector;

use self::ints::Ints;
use self::lanes::I;
use self::vector::V;
use super::select::Tier;
use super::x86::block32::Block32;
use super::x86::block256::Block256;
use super::x86::coded::{CodedType, coded_products};
use super::x86::{self, q8x32, q8x256};
use super::{Kernels, Scratch, generic};
use crate::quant::*;
use crate::tensor::{Acts, PlainBlock, QMatRef, Stripe};

/// The tier. `supported` names what the `target_feature` lists name.
pub(crate) static TIER: Tier = Tier {
    supported: || {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    },
    kernels: Kernels {
        matmul: with_coded_types!(
            BASE.matmul
                .with(QuantType::Q4_0, matmul32::<BlockQ4_0>)
                .with(QuantType::Q4_1, matmul32::<BlockQ4_1>)
                .with(QuantType::Q5_0, matmul32::<BlockQ5_0>)
                .with(QuantType::Q5_1, matmul32::<BlockQ5_1>)
                .with(QuantType::Q8_0, matmul32::<BlockQ8_0>)
                .with(QuantType::IQ4NL, matmul32::<BlockIQ4NL>)
                .with(QuantType::MXFP4, matmul32::<BlockMXFP4>)
                .with(QuantType::Q2K, matmul256::<BlockQ2K>)
                .with(QuantType::Q3K, matmul256::<BlockQ3K>)
                .with(QuantType::Q4K, matmul256::<BlockQ4K>)
                .with(QuantType::Q5K, matmul256::<BlockQ5K>)
                .with(QuantType::Q6K, matmul256::<BlockQ6K>)
                .with(QuantType::IQ4XS, matmul256::<BlockIQ4XS>),
            coded
        ),
        ..BASE
    },
};

const BASE: Kernels = f32_ops::kernels("x86_64-avx2");

generic::instantiate! { f32_ops: V, Ints, "avx2,fma,f16c" }

/// [`MatmulFn`](super::MatmulFn) of a type with blocks of 32.
#[target_feature(enable = "avx2,fma,f16c")]
fn matmul32<B: Block32>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
    // SAFETY: this function has the instructions of `I`; the table gives each type its own block.
    unsafe { q8x32::matmul::<I, B>(w, acts, out, scratch) }
}

/// [`MatmulFn`](super::MatmulFn) of a type with blocks of 256.
#[target_feature(enable = "avx2,fma,f16c")]
fn matmul256<B: Block256>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
    // SAFETY: this function has the instructions of `I`; the table gives each type its own block.
    unsafe { q8x256::matmul::<I, B>(w, acts, out, scratch) }
}

coded_products!("avx2,fma,f16c", coded::Rows, I);
