//! x86-64 with AVX-512 (F, BW, VL, DQ, VNNI): servers and desktops since Ice Lake and Zen 4.

mod block32;
mod q8x32;
mod rows;
mod vector;

use self::vector::V;
use super::Kernels;
use super::generic;
use super::select::Tier;
use crate::quant::*;

/// The tier. `supported` names what the `target_feature` lists name.
pub(crate) static TIER: Tier = Tier {
    supported: || {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    },
    kernels: Kernels {
        matmul: BASE
            .matmul
            .with(QuantType::Q4_0, q8x32::matmul::<BlockQ4_0>)
            .with(QuantType::Q4_1, q8x32::matmul::<BlockQ4_1>)
            .with(QuantType::Q5_0, q8x32::matmul::<BlockQ5_0>)
            .with(QuantType::Q5_1, q8x32::matmul::<BlockQ5_1>)
            .with(QuantType::Q8_0, q8x32::matmul::<BlockQ8_0>),
        ..BASE
    },
};

const BASE: Kernels = f32_ops::kernels("x86_64-avx512-vnni");

generic::instantiate! { f32_ops: V, "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c" }
