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
        *sum = (first + round_16::<V>(&x[1], inverse, &mut qs[1])) as i16;
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
            *sum = round_16::<V>(x, inverse, qs) as i16;
        }
    }
}

/// The scale and its inverse, or NaN and 0, or 0 and 0.
#[inline(always)]
fn block_scale<V: F32x16>(x: &[[f32; 16]]) -> (f32, f32) {
    let mut amax = V::splat(0.0);
    let mut finite = V::splat(0.0); // stays 0 while all is finite: 0 * infinity and 0 * NaN are NaN
    for x in x {
        let x = V::load(x);
        amax = x.abs().max(amax);
        finite = x.fma(V::splat(0.0), finite);
    }
    let amax = amax.reduce_max();
    let inverse = 127.0 / amax;
    if finite.reduce_add() != 0.0 {
        (f32::NAN, 0.0)
    } else if inverse.is_infinite() {
        (0.0, 0.0)
    } else {
        (amax / 127.0, inverse)
    }
}

/// Sixteen quantised values and their sum (exact). An inverse of 0 gives zeros whatever `x` is.
#[inline(always)]
fn round_16<V: F32x16>(x: &[f32; 16], inverse: f32, qs: &mut [i8; 16]) -> i32 {
    if inverse == 0.0 {
        *qs = [0; 16];
        return 0;
    }
    let rounded = V::load(x).mul(V::splat(inverse)).round();
    // Adding 1.5 * 2^23 to an integer below 2^22 puts it, in two's complement, into the lowest bits.
    let mut shifted = [0.0; 16];
    rounded.add(V::splat(12_582_912.0)).store(&mut shifted);
    for (q, x) in qs.iter_mut().zip(&shifted) {
        *q = x.to_bits() as i8;
    }
    rounded.reduce_add() as i32
}
