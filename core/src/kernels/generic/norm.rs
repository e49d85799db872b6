//! RMS norm and layer norm.

use crate::kernels::vector::F32x16;

/// `1 / sqrt(mean(x^2) + eps)`: squares summed in the sixteen lanes.
#[inline(always)]
fn inverse_rms<V: F32x16>(x: &[f32], eps: f32) -> f32 {
    let (whole, rest) = x.as_chunks::<16>();
    let mut sum = V::splat(0.0);
    for x in whole {
        let x = V::load(x);
        sum = x.fma(x, sum);
    }
    if !rest.is_empty() {
        let x = V::load_partial(rest, 0.0);
        sum = x.fma(x, sum);
    }
    1.0 / (sum.reduce_add() / x.len() as f32 + eps).sqrt()
}

/// `out = x * inverse_rms * weight`, multiplied in that order; all `[k]`.
#[inline(always)]
pub(crate) fn rms_norm<V: F32x16>(out: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let inverse = V::splat(inverse_rms::<V>(x, eps));
    let ((out, out_rest), (x, x_rest)) = (out.as_chunks_mut::<16>(), x.as_chunks::<16>());
    let (weight, weight_rest) = weight.as_chunks::<16>();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        V::load(x).mul(inverse).mul(V::load(weight)).store(out);
    }
    if !out_rest.is_empty() {
        let x = V::load_partial(x_rest, 0.0).mul(inverse);
        x.mul(V::load_partial(weight_rest, 0.0)).store_partial(out_rest);
    }
}

/// [`rms_norm`] of `x` into itself.
#[inline(always)]
pub(crate) fn rms_norm_inplace<V: F32x16>(x: &mut [f32], weight: &[f32], eps: f32) {
    let inverse = V::splat(inverse_rms::<V>(x, eps));
    let ((x, x_rest), (weight, weight_rest)) = (x.as_chunks_mut::<16>(), weight.as_chunks::<16>());
    for (x, weight) in x.iter_mut().zip(weight) {
        V::load(x).mul(inverse).mul(V::load(weight)).store(x);
    }
    if !x_rest.is_empty() {
        let y = V::load_partial(x_rest, 0.0).mul(inverse);
        y.mul(V::load_partial(weight_rest, 0.0)).store_partial(x_rest);
    }
}

/// The mean of `x` and `1 / sqrt(mean((x - mean)^2) + eps)`: both sums in the sixteen lanes.
#[inline(always)]
fn moments<V: F32x16>(x: &[f32], eps: f32) -> (f32, f32) {
    let (whole, rest) = x.as_chunks::<16>();
    let mut sum = V::splat(0.0);
    for x in whole {
        sum = sum.add(V::load(x));
    }
    if !rest.is_empty() {
        sum = sum.add(V::load_partial(rest, 0.0));
    }
    let mean = sum.reduce_add() / x.len() as f32;
    let mut squares = V::splat(0.0);
    for x in whole {
        let x = V::load(x).sub(V::splat(mean));
        squares = x.fma(x, squares);
    }
    if !rest.is_empty() {
        let x = V::load_partial(rest, mean).sub(V::splat(mean));
        squares = x.fma(x, squares);
    }
    (mean, 1.0 / (squares.reduce_add() / x.len() as f32 + eps).sqrt())
}

/// `out = (x - mean) * inverse_deviation * weight`, in that order; all `[k]`.
#[inline(always)]
pub(crate) fn layer_norm<V: F32x16>(out: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let (mean, inverse) = moments::<V>(x, eps);
    let (mean, inverse) = (V::splat(mean), V::splat(inverse));
    let ((out, out_rest), (x, x_rest)) = (out.as_chunks_mut::<16>(), x.as_chunks::<16>());
    let (weight, weight_rest) = weight.as_chunks::<16>();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        V::load(x).sub(mean).mul(inverse).mul(V::load(weight)).store(out);
    }
    if !out_rest.is_empty() {
        let x = V::load_partial(x_rest, 0.0).sub(mean).mul(inverse);
        x.mul(V::load_partial(weight_rest, 0.0)).store_partial(out_rest);
    }
}

/// [`layer_norm`] of `x` into itself.
#[inline(always)]
pub(crate) fn layer_norm_inplace<V: F32x16>(x: &mut [f32], weight: &[f32], eps: f32) {
    let (mean, inverse) = moments::<V>(x, eps);
    let (mean, inverse) = (V::splat(mean), V::splat(inverse));
    let ((x, x_rest), (weight, weight_rest)) = (x.as_chunks_mut::<16>(), weight.as_chunks::<16>());
    for (x, weight) in x.iter_mut().zip(weight) {
        V::load(x).sub(mean).mul(inverse).mul(V::load(weight)).store(x);
    }
    if !x_rest.is_empty() {
        let y = V::load_partial(x_rest, 0.0).sub(mean).mul(inverse);
        y.mul(V::load_partial(weight_rest, 0.0)).store_partial(x_rest);
    }
}
