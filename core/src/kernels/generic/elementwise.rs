//! Functions of each element alone, and RoPE.

use super::exp::{exp, tanh};
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

/// `gate = act(gate) * up`.
#[inline(always)]
pub(crate) fn act_mul<V: F32x16>(gate: &mut [f32], up: &[f32], act: Activation) {
    match act {
        Activation::Silu => act_mul_with::<V, true>(gate, up),
        Activation::GeluTanh => act_mul_with::<V, false>(gate, up),
    }
}

#[inline(always)]
fn act_mul_with<V: F32x16, const SILU: bool>(gate: &mut [f32], up: &[f32]) {
    let ((gate, gate_rest), (up, up_rest)) = (gate.as_chunks_mut::<16>(), up.as_chunks::<16>());
    for (gate, up) in gate.iter_mut().zip(up) {
        activate::<V, SILU>(V::load(gate)).mul(V::load(up)).store(gate);
    }
    if !gate_rest.is_empty() {
        let y = activate::<V, SILU>(V::load_partial(gate_rest, 0.0));
        y.mul(V::load_partial(up_rest, 0.0)).store_partial(gate_rest);
    }
}

/// `x / (1 + exp(-x))`, or `x / (1 + exp(-2u))` with `-2u = x (1 + 0.044715 x^2) * -2 sqrt(2 / pi)`.
#[inline(always)]
fn activate<V: F32x16, const SILU: bool>(x: V) -> V {
    let one = V::splat(1.0);
    let power = if SILU {
        V::splat(0.0).sub(x)
    } else {
        let inner = x.mul(x).fma(V::splat(0.044_715), one);
        x.mul(inner).mul(V::splat(-1.595_769_2))
    };
    x.div(one.add(exp(power)))
}

/// `x = cap * tanh(x / cap)`.
#[inline(always)]
pub(crate) fn softcap<V: F32x16>(x: &mut [f32], cap: f32) {
    let cap = V::splat(cap);
    let (x, rest) = x.as_chunks_mut::<16>();
    for x in x {
        tanh(V::load(x).div(cap)).mul(cap).store(x);
    }
    if !rest.is_empty() {
        tanh(V::load_partial(rest, 0.0).div(cap)).mul(cap).store_partial(rest);
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
