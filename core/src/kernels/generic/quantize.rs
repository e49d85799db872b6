//! Activations to `i8` blocks.
//!
//! With `amax` the largest magnitude of the block: scale = `amax / 127`, and each value is `x * (127 / amax)` rounded to
//! nearest even. A block that is all zero, or so small (below 4e-37) that `127 / amax` is infinite, gets scale 0 and
//! zeros. A block with a value that is not finite gets scale NaN and zeros, so that the product becomes NaN.

use crate::kernels::vector::F32x16;

/// Blocks of 32, one sum each. `qs [k]`, `scales [k / 32]`, `sums [k / 32]`.
#[inline(always)]
pub(crate) fn q8x32<V: F32x16>(x: &[f32], qs: &mut [i8], scales: &mut [f32], sums: &mut [i16]) {
    let (x, qs) =
        (x.as_chunks::<16>().0.as_chunks::<2>().0, qs.as_chunks_mut::<16>().0.as_chunks_mut::<2>().0);
    for (((x, qs), scale), sum) in x.iter().zip(qs).zip(scales).zip(sums) {
        let inverse;
        (*scale, inverse) = block_scale::<V>(x);
        let first = round_16::<V>(&x[0], inverse, &mut qs[0]);
        *sum = first.add(round_16::<V>(&x[1], inverse, &mut qs[1])).reduce_add() as i16;
    }
}

/// Blocks of 256, sixteen sums each. `qs [k]`, `scales [k / 256]`, `sums [k / 16]`.
#[inline(always)]
pub(crate) fn q8x256<V: F32x16>(x: &[f32], qs: &mut [i8], scales: &mut [f32], sums: &mut [i16]) {
    let x = x.as_chunks::<16>().0.as_chunks::<16>().0;
    let qs = qs.as_chunks_mut::<16>().0.as_chunks_mut::<16>().0;
    for (((x, qs), scale), sums) in x.iter().zip(qs).zip(scales).zip(sums.as_chunks_mut::<16>().0) {
        let inverse;
        (*scale, inverse) = block_scale::<V>(x);
        for ((x, qs), sum) in x.iter().zip(qs).zip(sums) {
            *sum = round_16::<V>(x, inverse, qs).reduce_add() as i16;
        }
    }
}

/// One block of any length: `qs` as long as `x`; gives the scale.
#[inline(always)]
pub(crate) fn block<V: F32x16>(x: &[f32], qs: &mut [i8]) -> f32 {
    let ((x, rest), (qs, qs_rest)) = (x.as_chunks::<16>(), qs.as_chunks_mut::<16>());
    let (mut amax, mut finite) = largest::<V>(x);
    let mut tail = [[0.0; 16]];
    if !rest.is_empty() {
        tail[0][..rest.len()].copy_from_slice(rest);
        let (amax_rest, finite_rest) = largest::<V>(&tail);
        amax = if amax > amax_rest { amax } else { amax_rest };
        finite &= finite_rest;
    }
    let (scale, inverse) = scale_of(amax, finite);
    for (x, qs) in x.iter().zip(qs) {
        round_16::<V>(x, inverse, qs);
    }
    if !rest.is_empty() {
        let mut rounded = [0; 16];
        round_16::<V>(&tail[0], inverse, &mut rounded);
        qs_rest.copy_from_slice(&rounded[..rest.len()]);
    }
    scale
}

/// The largest magnitude, and whether all of it is finite (if not, the magnitude is anything).
#[inline(always)]
pub(crate) fn largest<V: F32x16>(x: &[[f32; 16]]) -> (f32, bool) {
    let mut amax = V::splat(0.0);
    let mut finite = V::splat(0.0); // stays 0 while all is finite: 0 * infinity and 0 * NaN are NaN
    for x in x {
        let x = V::load(x);
        amax = x.abs().max(amax);
        finite = x.fma(V::splat(0.0), finite);
    }
    (amax.reduce_max(), !finite.has_nan())
}

/// The scale and its inverse, or NaN and 0, or 0 and 0.
#[inline(always)]
fn block_scale<V: F32x16>(x: &[[f32; 16]]) -> (f32, f32) {
    let (amax, finite) = largest::<V>(x);
    scale_of(amax, finite)
}

#[inline(always)]
fn scale_of(amax: f32, finite: bool) -> (f32, f32) {
    let inverse = 127.0 / amax;
    if !finite {
        (f32::NAN, 0.0)
    } else if inverse.is_infinite() {
        (0.0, 0.0)
    } else {
        (amax / 127.0, inverse)
    }
}

/// Sixteen quantised values, also as floats. An inverse of 0 gives zeros whatever `x` is.
#[inline(always)]
fn round_16<V: F32x16>(x: &[f32; 16], inverse: f32, qs: &mut [i8; 16]) -> V {
    if inverse == 0.0 {
        *qs = [0; 16];
        return V::splat(0.0);
    }
    let rounded = V::load(x).mul(V::splat(inverse)).round();
    rounded.store_i8(qs);
    rounded
}
