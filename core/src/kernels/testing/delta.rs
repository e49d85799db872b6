//! The gated delta rule.

use super::data::{Floats, Rng};
use super::{assert_same, fast_tiers, nmse, oracle};
use crate::kernels::Kernels;

/// Three positions from a random state: what each gives, and the state at the end.
fn run(kernels: &Kernels, (rows, width): (usize, usize), kind: Floats) -> (Vec<f32>, Vec<f32>) {
    let mut rng = Rng((rows * 1000 + width) as u64);
    let mut state = rng.floats(rows * width, kind);
    let mut outs = Vec::new();
    for _ in 0..3 {
        let (q, k, v) = (rng.floats(rows, kind), rng.floats(rows, kind), rng.floats(width, kind));
        let gates = (rng.signed().abs(), rng.signed().abs());
        let mut out = vec![7.0; width];
        kernels.delta_step(&mut state, (&q, &k, &v), gates, &mut out);
        outs.extend(out);
    }
    (outs, state)
}

#[test]
fn tiers_equal_scalar() {
    let shapes = (1..=70).map(|width| (1 + width % 9, width)).chain([(128, 128), (32, 200)]);
    for shape in shapes {
        for kind in [Floats::Plain, Floats::Special, Floats::Wide] {
            let want = run(oracle(), shape, kind);
            for tier in fast_tiers() {
                let got = run(tier, shape, kind);
                assert_same(&got.0, &want.0, || format!("{} {shape:?} {kind:?}", tier.name()));
                assert_same(&got.1, &want.1, || format!("{} {shape:?} {kind:?} state", tier.name()));
            }
        }
    }
}

#[test]
fn close_to_f64() {
    let (rows, width) = (24, 40);
    let mut rng = Rng(3);
    let mut state = rng.floats(rows * width, Floats::Plain);
    let mut wide: Vec<f64> = state.iter().map(|&x| f64::from(x)).collect();
    for _ in 0..5 {
        let unit = |x: Vec<f32>| x.iter().map(|x| x / 10.0).collect::<Vec<f32>>();
        let (q, k) = (unit(rng.floats(rows, Floats::Plain)), unit(rng.floats(rows, Floats::Plain)));
        let (v, decay, rate) = (rng.floats(width, Floats::Plain), 0.75, 0.5);
        let mut out = vec![0.0; width];
        oracle().delta_step(&mut state, (&q, &k, &v), (decay, rate), &mut out);
        let sum = |x: &[f32], wide: &[f64], d: usize| -> f64 {
            x.iter().enumerate().map(|(i, &x)| f64::from(x) * wide[i * width + d]).sum()
        };
        wide.iter_mut().for_each(|x| *x *= f64::from(decay));
        let errors: Vec<f64> =
            (0..width).map(|d| (f64::from(v[d]) - sum(&k, &wide, d)) * f64::from(rate)).collect();
        for (i, &k) in k.iter().enumerate() {
            (0..width).for_each(|d| wide[i * width + d] += f64::from(k) * errors[d]);
        }
        let want: Vec<f64> = (0..width).map(|d| sum(&q, &wide, d)).collect();
        let error = nmse(&out, &want);
        assert!(error < 1e-12, "{error:e}");
    }
}
