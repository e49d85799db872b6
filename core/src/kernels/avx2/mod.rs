//! x86-64 with AVX2, FMA and F16C: laptops and desktops since Haswell and Zen.

mod vector;

use self::vector::V;
use super::generic;
use super::select::Tier;

/// The tier. `supported` names what the `target_feature` lists name.
pub(crate) static TIER: Tier = Tier {
    supported: || {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    },
    kernels: f32_ops::kernels("x86_64-avx2"),
};

generic::instantiate! { f32_ops: V, "avx2,fma,f16c" }
