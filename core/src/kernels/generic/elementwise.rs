//! Functions of each element alone, and RoPE.

use super::exp::{exp, tanh, upper_tail};
use crate::kernels::vector::F32x16;
use crate::kernels::{Activation, RopePairing};

/// `x += y`.
#[inline(always)]
pub(crate) fn add<V: F32x16>(x: &mut [f32], y: &[f32]) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks_mut::<16>(), y.as_chunks::<16>());
    for (x, y) in x.iter_mut().zip(y) {
        V::load(x).add(V::load(y)).store(x);
    }
    if !x_rest.is_empty() {
        V::load_partial(x_rest, 0.0).add(V::load_partial(y_rest, 0.0)).store_partial(x_rest);
    }
}

/// `x += y * s`, each rounded once.
#[inline(always)]
pub(crate) fn add_scaled<V: F32x16>(x: &mut [f32], y: &[f32], s: f32) {
    let s = V::splat(s);
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks_mut::<16>(), y.as_chunks::<16>());
    for (x, y) in x.iter_mut().zip(y) {
        V::load(y).fma(s, V::load(x)).store(x);
    }
    if !x_rest.is_empty() {
        V::load_partial(y_rest, 0.0).fma(s, V::load_partial(x_rest, 0.0)).store_partial(x_rest);
    }
}

/// `x *= s`.
#[inline(always)]
pub(crate) fn scale<V: F32x16>(x: &mut [f32], s: f32) {
    let s = V::splat(s);
    let (x, rest) = x.as_chunks_mut::<16>();
    for x in x {
        V::load(x).mul(s).store(x);
    }
    if !rest.is_empty() {
        V::load_partial(rest, 0.0).mul(s).store_partial(rest);
    }
}

/// `x = act(x)`.
#[inline(always)]
pub(crate) fn act<V: F32x16>(x: &mut [f32], act: Activation) {
    match act {
        Activation::Silu => act_with::<V, Silu>(x),
        Activation::GeluTanh => act_with::<V, GeluTanh>(x),
        Activation::GeluErf => act_with::<V, GeluErf>(x),
        Activation::Sigmoid => act_with::<V, Sigmoid>(x),
        Activation::ClampedSwish => act_with::<V, ClampedSwish>(x),
    }
}

#[inline(always)]
fn act_with<V: F32x16, A: Act>(x: &mut [f32]) {
    // The last, shorter piece in the same loop: an activation is many instructions, here and below.
    for x in x.chunks_mut(16) {
        A::of(V::load_up_to(x)).store_up_to(x);
    }
}

/// `gate = act(gate) * up`.
#[inline(always)]
pub(crate) fn act_mul<V: F32x16>(gate: &mut [f32], up: &[f32], act: Activation) {
    match act {
        Activation::Silu => act_mul_with::<V, Silu>(gate, up),
        Activation::GeluTanh => act_mul_with::<V, GeluTanh>(gate, up),
        Activation::GeluErf => act_mul_with::<V, GeluErf>(gate, up),
        Activation::Sigmoid => act_mul_with::<V, Sigmoid>(gate, up),
        Activation::ClampedSwish => clamped_swish_mul::<V>(gate, up),
    }
}

#[inline(always)]
fn act_mul_with<V: F32x16, A: Act>(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.chunks_mut(16).zip(up.chunks(16)) {
        A::of(V::load_up_to(gate)).mul(V::load_up_to(up)).store_up_to(gate);
    }
}

/// An activation function.
trait Act {
    fn of<V: F32x16>(x: V) -> V;
}

/// `x / (1 + exp(-x))`.
struct Silu;

impl Act for Silu {
    #[inline(always)]
    fn of<V: F32x16>(x: V) -> V {
        x.div(V::splat(1.0).add(exp(V::splat(0.0).sub(x))))
    }
}

/// `x / (1 + exp(-2u))` with `-2u = x (1 + 0.044715 x^2) * -2 sqrt(2 / pi)`.
struct GeluTanh;

impl Act for GeluTanh {
    #[inline(always)]
    fn of<V: F32x16>(x: V) -> V {
        let inner = x.mul(x).fma(V::splat(0.044_715), V::splat(1.0));
        let power = x.mul(inner).mul(V::splat(-1.595_769_2));
        x.div(V::splat(1.0).add(exp(power)))
    }
}

/// `max(x, 0) - |x| upper_tail(|x|)`: `x P(X <= x)` without a difference of nearly equal numbers on either side of 0.
struct GeluErf;

impl Act for GeluErf {
    #[inline(always)]
    fn of<V: F32x16>(x: V) -> V {
        // The tail is 0 long before 20; the bound keeps infinity out of the product.
        let a = x.abs().min(V::splat(20.0));
        V::splat(0.0).max(x).sub(a.mul(upper_tail(a)))
    }
}

/// `1 / (1 + exp(-x))`.
struct Sigmoid;

impl Act for Sigmoid {
    #[inline(always)]
    fn of<V: F32x16>(x: V) -> V {
        let one = V::splat(1.0);
        one.div(one.add(exp(V::splat(0.0).sub(x))))
    }
}

/// `x / (1 + exp(-1.702 x))` of `min(x, 7)`.
struct ClampedSwish;

impl Act for ClampedSwish {
    #[inline(always)]
    fn of<V: F32x16>(x: V) -> V {
        let x = x.min(V::splat(7.0));
        x.div(V::splat(1.0).add(exp(x.mul(V::splat(-1.702)))))
    }
}

/// `gate = clamped_swish(gate) * (1 + up)`, with `up` kept within -7..=7.
#[inline(always)]
fn clamped_swish_mul<V: F32x16>(gate: &mut [f32], up: &[f32]) {
    let limit = V::splat(7.0);
    for (gate, up) in gate.chunks_mut(16).zip(up.chunks(16)) {
        let up = V::load_up_to(up).min(limit).max(V::splat(-7.0)).add(V::splat(1.0));
        ClampedSwish::of(V::load_up_to(gate)).mul(up).store_up_to(gate);
    }
}

/// `x = cap * tanh(x / cap)`.
#[inline(always)]
pub(crate) fn softcap<V: F32x16>(x: &mut [f32], cap: f32) {
    let cap = V::splat(cap);
    for x in x.chunks_mut(16) {
        tanh(V::load_up_to(x).div(cap)).mul(cap).store_up_to(x);
    }
}

/// Rounds to f16 bits.
#[inline(always)]
pub(crate) fn to_f16<V: F32x16>(x: &[f32], out: &mut [u16]) {
    let ((x, x_rest), (out, out_rest)) = (x.as_chunks::<16>(), out.as_chunks_mut::<16>());
    for (x, out) in x.iter().zip(out) {
        V::load(x).store_f16(out);
    }
    if !x_rest.is_empty() {
        let mut full = [0; 16];
        V::load_partial(x_rest, 0.0).store_f16(&mut full);
        out_rest.copy_from_slice(&full[..out_rest.len()]);
    }
}

/// Widens f16 bits.
#[inline(always)]
pub(crate) fn from_f16<V: F32x16>(x: &[u16], out: &mut [f32]) {
    let ((x, x_rest), (out, out_rest)) = (x.as_chunks::<16>(), out.as_chunks_mut::<16>());
    for (x, out) in x.iter().zip(out) {
        V::load_f16(x).store(out);
    }
    if !x_rest.is_empty() {
        V::load_f16_partial(x_rest).store_partial(out_rest);
    }
}

/// Rotates the first `cos_sin.len()` elements of `head` by pairs: `(a, b) -> (a cos - b sin, a sin + b cos)`, each
/// product rounded. `cos_sin` is `[dims / 2][cos, sin]`.
#[inline(always)]
pub(crate) fn rope(head: &mut [f32], cos_sin: &[f32], pairing: RopePairing) {
    let dims = cos_sin.len();
    let (angles, _) = cos_sin.as_chunks::<2>();
    match pairing {
        RopePairing::Adjacent => {
            let (pairs, _) = head[..dims].as_chunks_mut::<2>();
            for ([a, b], [cos, sin]) in pairs.iter_mut().zip(angles) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
        RopePairing::Halves => {
            let (first, second) = head[..dims].split_at_mut(dims / 2);
            for ((a, b), [cos, sin]) in first.iter_mut().zip(second).zip(angles) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}
