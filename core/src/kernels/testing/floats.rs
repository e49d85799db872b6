//! Norms, elementwise functions, RoPE, f16 conversions.

use super::data::{Floats, Rng};
use super::{assert_same, fast_tiers, nmse, oracle};
use crate::kernels::generic::weight::weight;
use crate::kernels::{Activation, Kernels, RopePairing};

fn lengths() -> impl Iterator<Item = usize> {
    (0..=80).chain([127, 128, 129, 255, 256, 257, 576, 1000])
}

/// Runs `f` with every tier and the oracle on the same `inputs` vectors of every length and kind; the results must
/// be the same.
fn compare(seed: u64, name: &str, inputs: usize, f: impl Fn(&Kernels, &mut [Vec<f32>])) {
    let mut rng = Rng(seed);
    for kind in Floats::ALL {
        for len in lengths() {
            let start: Vec<Vec<f32>> = (0..inputs).map(|_| rng.floats(len, kind)).collect();
            let mut want = start.clone();
            f(oracle(), &mut want);
            for tier in fast_tiers() {
                let mut got = start.clone();
                f(tier, &mut got);
                for (got, want) in got.iter().zip(&want) {
                    assert_same(got, want, || format!("{} {name} of {len} {kind:?}", tier.name()));
                }
            }
        }
    }
}

#[test]
fn rms_norm() {
    compare(10, "rms_norm", 3, |k, v| {
        let [x, weight, out] = v else { unreachable!() };
        k.rms_norm(out, x, weight, 1e-6);
        let mut inplace = x.clone();
        k.rms_norm_inplace(&mut inplace, weight, 1e-6);
        assert_same(&inplace, out, || "in place".into());
    });
    let (x, weight) = (Rng(11).floats(640, Floats::Plain), Rng(12).floats(640, Floats::Plain));
    let mut out = vec![0.0; 640];
    oracle().rms_norm(&mut out, &x, &weight, 1e-5);
    let mean = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 640.0;
    let want: Vec<f64> = x
        .iter()
        .zip(&weight)
        .map(|(&x, &w)| f64::from(x) / (mean + f64::from(1e-5f32)).sqrt() * f64::from(w))
        .collect();
    assert!(nmse(&out, &want) < 1e-13);
}

#[test]
fn layer_norm() {
    compare(13, "layer_norm", 3, |k, v| {
        let [x, weight, out] = v else { unreachable!() };
        k.layer_norm(out, x, weight, 1e-6);
        let mut inplace = x.clone();
        k.layer_norm_inplace(&mut inplace, weight, 1e-6);
        assert_same(&inplace, out, || "in place".into());
    });
    for len in [640, 75] {
        let x: Vec<f32> = Rng(14).floats(len, Floats::Plain).iter().map(|x| x + 3.0).collect();
        let weight = Rng(15).floats(len, Floats::Plain);
        let mut out = vec![0.0; len];
        oracle().layer_norm(&mut out, &x, &weight, 1e-5);
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / len as f64;
        let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / len as f64;
        let deviation = (variance + f64::from(1e-5f32)).sqrt();
        let want = x.iter().zip(&weight).map(|(&x, &w)| (f64::from(x) - mean) / deviation * f64::from(w));
        assert!(nmse(&out, &want.collect::<Vec<f64>>()) < 1e-12);
    }
}

#[test]
fn add_and_scale() {
    compare(20, "add", 2, |k, v| {
        let [x, y] = v else { unreachable!() };
        let plain: Vec<f32> = x.iter().zip(y.iter()).map(|(x, y)| x + y).collect();
        k.add(x, y);
        assert_same(x, &plain, || format!("{} add", k.name()));
    });
    compare(22, "add_scaled", 2, |k, v| {
        let [x, y] = v else { unreachable!() };
        let plain: Vec<f32> = x.iter().zip(y.iter()).map(|(x, y)| y.mul_add(1.7, *x)).collect();
        k.add_scaled(x, y, 1.7);
        assert_same(x, &plain, || format!("{} add_scaled", k.name()));
    });
    compare(21, "scale", 1, |k, v| {
        let plain: Vec<f32> = v[0].iter().map(|x| x * 1.7).collect();
        k.scale(&mut v[0], 1.7);
        assert_same(&v[0], &plain, || format!("{} scale", k.name()));
    });
}

#[test]
fn activations() {
    for act in [
        Activation::Silu,
        Activation::GeluTanh,
        Activation::GeluErf,
        Activation::Sigmoid,
        Activation::ClampedSwish,
    ] {
        compare(30, "act_mul", 2, |k, v| {
            let [gate, up] = v else { unreachable!() };
            k.act_mul(gate, up, act);
        });
        compare(31, "act", 1, |k, v| {
            let mut gated = v[0].clone();
            let one = if act == Activation::ClampedSwish { 0.0 } else { 1.0 };
            k.act_mul(&mut gated, &vec![one; v[0].len()], act);
            k.act(&mut v[0], act);
            assert_same(&v[0], &gated, || format!("{} {act:?} without a gate", k.name()));
        });
        let x: Vec<f32> = (-2000..=2000).map(|i| i as f32 / 100.0).collect();
        let mut got = x.clone();
        oracle().act_mul(&mut got, &vec![1.0; x.len()], act);
        for (&x, got) in x.iter().zip(got) {
            let x = f64::from(x);
            let want = match act {
                Activation::ClampedSwish => {
                    let x = x.min(7.0);
                    2.0 * x / (1.0 + (-1.702 * x).exp())
                }
                Activation::Silu => x / (1.0 + (-x).exp()),
                Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Activation::GeluTanh => {
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                    0.5 * x * (1.0 + u.tanh())
                }
                Activation::GeluErf => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            };
            assert!(
                (f64::from(got) - want).abs() <= 1e-6 * want.abs().max(0.05),
                "{act:?}({x}) = {got}, not {want}"
            );
        }
    }
}

#[test]
fn softcap() {
    compare(40, "softcap", 1, |k, v| k.softcap(&mut v[0], 30.0));
    let x: Vec<f32> = (-3000..=3000).map(|i| i as f32 / 20.0).collect();
    let mut got = x.clone();
    oracle().softcap(&mut got, 30.0);
    for (&x, got) in x.iter().zip(got) {
        let want = 30.0 * (f64::from(x) / 30.0).tanh();
        assert!((f64::from(got) - want).abs() < 30.0 * 2.5e-7, "softcap({x}) = {got}, not {want}");
    }
}

#[test]
fn rope() {
    for pairing in [RopePairing::Adjacent, RopePairing::Halves] {
        compare(50, "rope", 2, |k, v| {
            let [head, cos_sin] = v else { unreachable!() };
            let dims = cos_sin.len() / 4 * 2; // the rest of the head stays as it is
            let before = head.clone();
            k.rope(head, &cos_sin[..dims], pairing);
            assert_same(&head[dims..], &before[dims..], || format!("{} beyond the rotated", k.name()));
            for i in 0..dims / 2 {
                let (a, b) = match pairing {
                    RopePairing::Adjacent => (2 * i, 2 * i + 1),
                    RopePairing::Halves => (i, i + dims / 2),
                };
                let (cos, sin) = (cos_sin[2 * i], cos_sin[2 * i + 1]);
                let want = [before[a] * cos - before[b] * sin, before[a] * sin + before[b] * cos];
                assert_same(&[head[a], head[b]], &want, || format!("{} {pairing:?} pair {i}", k.name()));
            }
        });
    }
}

#[test]
fn largest() {
    compare(70, "largest", 1, |k, v| v[0].push(k.largest(&v[0])));
    for tier in fast_tiers().chain([oracle()]) {
        for len in lengths() {
            let mut x: Vec<f32> = Rng(71).floats(len, Floats::Plain);
            let want = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(tier.largest(&x), want, "{} of {len}", tier.name());
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
                for at in (0..len).step_by(7) {
                    let before = std::mem::replace(&mut x[at], bad);
                    assert_eq!(tier.largest(&x), f32::INFINITY, "{} of {len}: {bad} at {at}", tier.name());
                    x[at] = before;
                }
            }
            assert_eq!(tier.largest(&vec![f32::NEG_INFINITY; len]), f32::NEG_INFINITY);
        }
    }
}

#[test]
fn weights() {
    let mut rng = Rng(72);
    for len in lengths() {
        let mut x: Vec<f32> = (0..len).map(|_| rng.signed() * 20.0).collect();
        x.iter_mut().step_by(11).for_each(|x| *x = f32::NEG_INFINITY);
        x.iter_mut().skip(5).step_by(13).for_each(|x| *x = f32::MIN);
        x.push(19.5);
        let max = oracle().largest(&x);
        let plain = |t: f32| x.iter().map(move |&x| weight((x - max) / t)).collect::<Vec<u64>>();
        let mean = x.iter().map(|&x| weight(x - max) as f64 * f64::from(x - max).max(-64.0)).sum::<f64>()
            / plain(1.0).iter().sum::<u64>() as f64;
        let want_mean = oracle().expected(&x, max);
        assert!((want_mean - mean).abs() <= 1e-6 * mean.abs().max(1.0), "{want_mean}, not {mean}");
        for tier in fast_tiers().chain([oracle()]) {
            for t in [1.0, 0.7, 3.0] {
                let mut got = vec![7; x.len()];
                let sum = tier.weights(&x, max, t, &mut got);
                assert_eq!(got, plain(t), "{} of {len} at {t}", tier.name());
                assert_eq!(sum, got.iter().sum::<u64>(), "{} of {len} at {t}", tier.name());
            }
            let mean = tier.expected(&x, max);
            assert_eq!(mean.to_bits(), want_mean.to_bits(), "{} of {len}", tier.name());
        }
    }
}

#[test]
fn every_f16_widens() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for tier in fast_tiers().chain([oracle()]) {
        let mut out = vec![0.0; all.len()];
        tier.from_f16(&all, &mut out);
        let want: Vec<f32> = all.iter().map(|&b| half::f16::from_bits(b).to_f32_const()).collect();
        assert_same(&out, &want, || format!("{} from_f16", tier.name()));
        let mut back = vec![0; all.len()];
        tier.to_f16(&out, &mut back);
        for (&b, back) in all.iter().zip(back) {
            let nan = |b: u16| half::f16::from_bits(b).is_nan();
            assert!(b == back || (nan(b) && nan(back)), "{}: {b:#x} came back as {back:#x}", tier.name());
        }
    }
}

#[test]
fn f16_of_any_length_and_value() {
    let mut rng = Rng(60);
    for kind in Floats::ALL {
        for len in lengths() {
            // Also values on both sides of every rounding boundary: f16 midpoints and their neighbours.
            let mut x = rng.floats(len, kind);
            for v in x.iter_mut().step_by(2) {
                let bits = (rng.bits() as u16) & 0xfbff;
                let (a, b) =
                    (half::f16::from_bits(bits), half::f16::from_bits(bits.wrapping_add(1) & 0xfbff));
                let middle = (a.to_f32_const() + b.to_f32_const()) / 2.0;
                *v = f32::from_bits(middle.to_bits().wrapping_add(rng.below(3) as u32).wrapping_sub(1));
            }
            let want: Vec<f32> = x.iter().map(|&v| half::f16::from_f32_const(v).to_f32_const()).collect();
            for tier in fast_tiers().chain([oracle()]) {
                let (mut bits, mut got) = (vec![0; len], vec![0.0; len]);
                tier.to_f16(&x, &mut bits);
                tier.from_f16(&bits, &mut got);
                assert_same(&got, &want, || format!("{} f16 of {len} {kind:?}", tier.name()));
            }
        }
    }
}
