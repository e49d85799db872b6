//! The float kernels, written once over [`F32x16`] and compiled once per instruction set.
//!
//! Every function here is `#[inline(always)]` and generic over the vector type, so that inside a function with a
//! `#[target_feature]` list it becomes code for those features. [`instantiate!`] makes these functions for a tier.
//! Inside the generic functions no vector operation stands in a closure: a closure does not inherit the features.
//!
//! The order of operations is the canonical one of [`crate::kernels`]; which vector type runs it changes no bit.
//!
//! Two rules make the tails agree: a row that is not a multiple of 16 is padded with zeros in reductions, and
//! elementwise functions treat each element alone.

#![allow(clippy::needless_range_loop, reason = "register tiles are clearest by index")]

pub(crate) mod attn;
pub(crate) mod delta;
pub(crate) mod elementwise;
pub(crate) mod exp;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod quantize;
pub(crate) mod weight;

#[cfg(doc)]
use crate::kernels::vector::F32x16;

/// Makes module `$module` with all float kernels of a tier: `instantiate! { f32_ops: V, Ints, "avx2,fma,f16c" }`
/// for vector types `$vector` and `$ints` and the features they need (none: leave the list out).
///
/// `$module::kernels(name)` is a whole [`Kernels`](crate::kernels::Kernels): float kernels and float products from
/// here, quantised products from the scalar tier, to be overlaid:
/// `Kernels { matmul: base.matmul.with(QuantType::Q4_0, q4_0::matmul), ..base }`.
macro_rules! instantiate {
    ($module:ident: $vector:ty, $ints:ty $(, $features:literal)?) => {
        #[allow(unreachable_pub, reason = "the tier decides what it uses")]
        mod $module {
            use super::*;
            use $crate::kernels::{self, generic, AttnChunk, AttnState, Kernels, RopePairing, Scratch};
            use $crate::quant::{self, QuantType};
            use $crate::tensor::{Acts, QMatRef, Stripe};

            $crate::kernels::generic::instantiate! { @entries $vector $(, $features)?;
                rms_norm(out: &mut [f32], x: &[f32], weight: &[f32], eps: f32)
                    = norm::rms_norm;
                rms_norm_inplace(x: &mut [f32], weight: &[f32], eps: f32)
                    = norm::rms_norm_inplace;
                layer_norm(out: &mut [f32], x: &[f32], weight: &[f32], eps: f32)
                    = norm::layer_norm;
                layer_norm_inplace(x: &mut [f32], weight: &[f32], eps: f32)
                    = norm::layer_norm_inplace;
                add(x: &mut [f32], y: &[f32])
                    = elementwise::add;
                add_scaled(x: &mut [f32], y: &[f32], s: f32)
                    = elementwise::add_scaled;
                scale(x: &mut [f32], s: f32)
                    = elementwise::scale;
                act(x: &mut [f32], act: kernels::Activation)
                    = elementwise::act;
                act_mul(gate: &mut [f32], up: &[f32], act: kernels::Activation)
                    = elementwise::act_mul;
                delta_step(
                    state: &mut [f32],
                    q: &[f32],
                    k: &[f32],
                    v: &[f32],
                    gates: (f32, f32),
                    out: &mut [f32]
                ) = delta::delta_step;
                softcap(x: &mut [f32], cap: f32)
                    = elementwise::softcap;
                to_f16(x: &[f32], out: &mut [u16])
                    = elementwise::to_f16;
                from_f16(x: &[u16], out: &mut [f32])
                    = elementwise::from_f16;
                quantize_q8x32(x: &[f32], qs: &mut [i8], scales: &mut [f32], sums: &mut [i16])
                    = quantize::q8x32;
                quantize_q8x256(x: &[f32], qs: &mut [i8], scales: &mut [f32], sums: &mut [i16])
                    = quantize::q8x256;
                attn_merge(state: &mut AttnState<'_>, part: &AttnState<'_>)
                    = attn::attn_merge;
            }

            $crate::kernels::generic::instantiate! { @steps $vector $(, $features)?;
                attn_scores = scores;
                attn_softmax = softmax;
                attn_values = values;
            }
            $crate::kernels::generic::instantiate! { @steps $ints $(, $features)?;
                attn_byte_scores = bytes::scores;
                attn_byte_values = bytes::values;
            }

            /// The steps of attention.
            pub const STEPS: generic::attn::Steps = generic::attn::Steps {
                scores: attn_scores,
                softmax: attn_softmax,
                values: attn_values,
                byte_scores: attn_byte_scores,
                byte_values: attn_byte_values,
            };

            $(#[target_feature(enable = $features)])?
            pub fn attn_chunk(chunk: &AttnChunk<'_>, state: &mut AttnState<'_>, scratch: &mut Scratch) {
                // SAFETY: the steps need the features that this function has.
                unsafe { generic::attn::attn_chunk(chunk, state, scratch, &STEPS) }
            }

            $(#[target_feature(enable = $features)])?
            pub fn quantize_block(x: &[f32], qs: &mut [i8]) -> f32 {
                generic::quantize::block::<$vector>(x, qs)
            }

            // Not over vectors: the loops compile well as they are.
            $(#[target_feature(enable = $features)])?
            pub fn rope(head: &mut [f32], cos_sin: &[f32], pairing: RopePairing) {
                generic::elementwise::rope(head, cos_sin, pairing);
            }

            $(#[target_feature(enable = $features)])?
            pub fn largest(x: &[f32]) -> f32 {
                generic::weight::largest::<$vector>(x)
            }

            $(#[target_feature(enable = $features)])?
            pub fn weights(x: &[f32], max: f32, temperature: f32, out: &mut [u64]) -> u64 {
                generic::weight::weights::<$vector>(x, max, temperature, out)
            }

            $(#[target_feature(enable = $features)])?
            pub fn expected(x: &[f32], max: f32) -> f64 {
                generic::weight::expected::<$vector>(x, max)
            }

            $crate::kernels::generic::instantiate! { @matmul $vector $(, $features)?;
                matmul_f32 = quant::BlockF32;
                matmul_f16 = quant::BlockF16;
                matmul_bf16 = quant::BlockBF16;
                matmul_nvfp4 = quant::BlockNVFP4;
            }

            /// This tier's kernels, before quantised products are overlaid.
            pub const fn kernels(name: &'static str) -> Kernels {
                Kernels {
                    name,
                    matmul: kernels::scalar::MATMUL
                        .with(QuantType::F32, matmul_f32)
                        .with(QuantType::F16, matmul_f16)
                        .with(QuantType::BF16, matmul_bf16)
                        .with(QuantType::NVFP4, matmul_nvfp4),
                    quantize_q8x32,
                    quantize_q8x256,
                    quantize_block,
                    rms_norm,
                    rms_norm_inplace,
                    layer_norm,
                    layer_norm_inplace,
                    add,
                    add_scaled,
                    scale,
                    rope,
                    act,
                    act_mul,
                    delta_step,
                    softcap,
                    to_f16,
                    from_f16,
                    attn_chunk,
                    attn_merge,
                    largest,
                    weights,
                    expected,
                }
            }
        }
    };
    (@entries $vector:ty; $($name:ident($($arg:ident: $ty:ty),*) = $file:ident::$generic:ident;)*) => {
        $(pub fn $name($($arg: $ty),*) {
            generic::$file::$generic::<$vector>($($arg),*)
        })*
    };
    (@entries $vector:ty, $features:literal; $($name:ident($($arg:ident: $ty:ty),*) = $file:ident::$generic:ident;)*) => {
        $(#[target_feature(enable = $features)]
        pub fn $name($($arg: $ty),*) {
            generic::$file::$generic::<$vector>($($arg),*)
        })*
    };
    (@steps $vector:ty; $($name:ident = $($step:ident)::+;)*) => {
        $(#[inline(never)]
        fn $name(block: &mut generic::attn::Block<'_>) {
            generic::attn::$($step::)+<$vector>(block);
        })*
    };
    (@steps $vector:ty, $features:literal; $($name:ident = $($step:ident)::+;)*) => {
        $(#[inline(never)]
        #[target_feature(enable = $features)]
        fn $name(block: &mut generic::attn::Block<'_>) {
            generic::attn::$($step::)+<$vector>(block);
        })*
    };
    (@matmul $vector:ty; $($name:ident = $block:ty;)*) => {
        $(pub fn $name(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, _: &mut Scratch) {
            generic::matmul::matmul::<$vector, $block>(w, acts, out);
        })*
    };
    (@matmul $vector:ty, $features:literal; $($name:ident = $block:ty;)*) => {
        $(#[target_feature(enable = $features)]
        pub fn $name(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, _: &mut Scratch) {
            generic::matmul::matmul::<$vector, $block>(w, acts, out);
        })*
    };
}
pub(crate) use instantiate;
