//! Kernels, tier by tier: `cargo bench -p siskin-benches --bench kernels [-- FILTER]`.
//!
//! Throughput is GB/s of weights for `gemv`, and arithmetic operations (two per multiplication and addition) for
//! `gemm` and `attention`. Every result is compared with the scalar tier before it is timed. `--bench table` prints
//! a short table of the same in under a minute, with the fraction of the measured peak.
#![allow(missing_docs, reason = "criterion's macro makes a function")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siskin::kernels::{Activation, Kernels, RopePairing};
use siskin::quant::QuantType;
use siskin_benches::{Attention, Product, noise, tiers};

fn products(c: &mut Criterion) {
    for (name, rows, n, k) in [("gemv", 2048, 1, 2048), ("gemm", 512, 64, 2048)] {
        let mut group = c.benchmark_group(name);
        for &ty in QuantType::ALL {
            let mut product = Product::new(ty, rows, n, k);
            group.throughput(match n {
                1 => Throughput::Bytes(product.bytes() as u64),
                _ => Throughput::Elements(product.ops() as u64),
            });
            for tier in tiers() {
                product.verify(tier);
                group.bench_function(format!("{ty}/{}", tier.name()), |b| b.iter(|| product.run(tier)));
            }
        }
    }
}

fn attention(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    for (head_dim, n) in [(64, 3), (64, 192), (256, 4), (256, 256)] {
        let mut attention = Attention::new(head_dim, n);
        group.throughput(Throughput::Elements(attention.ops() as u64));
        for tier in tiers() {
            attention.verify(tier);
            let name = format!("{head_dim}x{n}/{}", tier.name());
            group.bench_function(name, |b| b.iter(|| attention.run(tier)));
        }
    }
}

fn floats(c: &mut Criterion) {
    const LEN: usize = 2048;
    let (x, y) = (noise(LEN, 6), noise(LEN, 7));
    let mut out = x.clone();
    let mut half = vec![0; LEN];
    let mut group = c.benchmark_group("floats");
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in tiers() {
        let mut time = |name: &str, f: &mut dyn FnMut(&Kernels, &mut [f32])| {
            let (mut got, mut want) = (x.clone(), x.clone());
            f(tier, &mut got);
            f(Kernels::by_name("scalar").expect("always there"), &mut want);
            assert_eq!(got, want, "{} {name}", tier.name());
            group.bench_function(format!("{name}/{}", tier.name()), |b| b.iter(|| f(tier, &mut out)));
        };
        time("rms_norm", &mut |k, out| k.rms_norm(out, &x, &y, 1e-6));
        time("add", &mut |k, out| k.add(out, &y));
        time("silu", &mut |k, out| k.act_mul(out, &y, Activation::Silu));
        time("gelu", &mut |k, out| k.act_mul(out, &y, Activation::GeluTanh));
        time("softcap", &mut |k, out| k.softcap(out, 30.0));
        time("rope_adjacent", &mut |k, out| k.rope(out, &y, RopePairing::Adjacent));
        time("rope_halves", &mut |k, out| k.rope(out, &y, RopePairing::Halves));
        time("f16_and_back", &mut |k, out| {
            k.to_f16(&x, &mut half);
            k.from_f16(&half, out);
        });
    }
}

criterion_group! {
    name = kernels;
    // Short: over a hundred measurements. Give `--measurement-time 5` for a careful one.
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .configure_from_args();
    targets = products, attention, floats
}
criterion_main!(kernels);
