//! One position of the gated delta rule (Yang et al., "Gated Delta Networks", 2024).
//!
//! Every column of the state is on its own: sums over rows are fused multiply-adds from zero, rows in order.

use crate::kernels::vector::F32x16;

/// `state *= decay; error = (v - k state) * rate; state += k error; out = q state`, where `state` is
/// `[k.len(), v.len()]`, row-major, and `gates` are `(decay, rate)`.
#[inline(always)]
pub(crate) fn delta_step<V: F32x16>(
    state: &mut [f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    gates: (f32, f32),
    out: &mut [f32],
) {
    let width = v.len();
    let mut d = 0;
    while d + 64 <= width {
        columns::<V, 4>(state, (q, k, v), gates, (d, 16), out);
        d += 64;
    }
    while d < width {
        columns::<V, 1>(state, (q, k, v), gates, (d, 16.min(width - d)), out);
        d += 16;
    }
}

/// Columns `d..d + 16 C`; `count < 16`: only so many of the one vector.
#[inline(always)]
fn columns<V: F32x16, const C: usize>(
    state: &mut [f32],
    (q, k, v): (&[f32], &[f32], &[f32]),
    (decay, rate): (f32, f32),
    (d, count): (usize, usize),
    out: &mut [f32],
) {
    let width = v.len();
    let (decay, rate) = (V::splat(decay), V::splat(rate));
    let mut known = [V::splat(0.0); C];
    for (row, &k) in state.chunks_exact_mut(width).zip(k) {
        for c in 0..C {
            let part = &mut row[d + 16 * c..];
            let x = load::<V>(part, count).mul(decay);
            store(x, part, count);
            known[c] = x.fma(V::splat(k), known[c]);
        }
    }
    let mut error = [V::splat(0.0); C];
    for c in 0..C {
        error[c] = load::<V>(&v[d + 16 * c..], count).sub(known[c]).mul(rate);
    }
    let mut sum = [V::splat(0.0); C];
    for (row, (&k, &q)) in state.chunks_exact_mut(width).zip(k.iter().zip(q)) {
        for c in 0..C {
            let part = &mut row[d + 16 * c..];
            let x = V::splat(k).fma(error[c], load::<V>(part, count));
            store(x, part, count);
            sum[c] = x.fma(V::splat(q), sum[c]);
        }
    }
    for c in 0..C {
        store(sum[c], &mut out[d + 16 * c..], count);
    }
}

#[inline(always)]
fn load<V: F32x16>(x: &[f32], count: usize) -> V {
    match x.first_chunk::<16>() {
        Some(x) if count == 16 => V::load(x),
        _ => V::load_partial(&x[..count], 0.0),
    }
}

#[inline(always)]
fn store<V: F32x16>(value: V, x: &mut [f32], count: usize) {
    match x.first_chunk_mut::<16>() {
        Some(x) if count == 16 => value.store(x),
        _ => value.store_partial(&mut x[..count]),
    }
}
