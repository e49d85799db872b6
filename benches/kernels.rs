//! Kernels, tier by tier: `cargo bench -p siskin-benches --bench kernels [-- FILTER]`.
//!
//! Below each of criterion's results stands its best sample as GB/s or GOPS (two operations per multiplication and
//! addition) and as a fraction of what the same run measures as the limit of one core: reading from memory for products
//! with one token, the tier's best `int8` instruction for those with more, its fused multiply-add for attention.
//! Every result is compared with the scalar tier before it is timed. `--bench table` prints a short table of the same
//! in under a minute.
#![allow(missing_docs, reason = "criterion's macro makes a function")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use siskin::kernels::{Activation, Kernels, RopePairing};
use siskin::quant::{ActFormat, QuantType};
use siskin_benches::{Attention, Product, noise, note, peak, tiers};

/// Bytes of the weights that are read from memory, not from a cache.
const FROM_MEMORY: usize = 80 << 20;

/// Times `f`, which does `work` (bytes or operations), and says what part of `limit` per second that is.
fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    work: &Throughput,
    limit: Option<f64>,
    mut f: impl FnMut(),
) {
    let mut best = f64::INFINITY;
    group.throughput(work.clone());
    group.bench_function(name, |b| {
        b.iter_custom(|rounds| {
            let start = Instant::now();
            for _ in 0..rounds {
                f();
            }
            let time = start.elapsed();
            best = best.min(time.as_secs_f64() / rounds as f64);
            time
        });
    });
    let (amount, unit) = match *work {
        Throughput::Bytes(n) => (n, "GB/s"),
        Throughput::Elements(n) => (n, "GOPS"),
        _ => return,
    };
    if best.is_finite() {
        let rate = amount as f64 / best;
        let share = limit.map(|l| format!(", {:.2} of the limit", rate / l)).unwrap_or_default();
        note(&format!("{:24}best: {:.1} {unit}{share}", "", rate / 1e9));
    }
}

fn products(c: &mut Criterion) {
    let bandwidth = peak::read_bandwidth();
    let peaks: HashMap<&str, f64> =
        tiers().iter().filter_map(|t| Some((t.name(), peak::int8(t.name())?.1))).collect();
    const COLUMNS: usize = 2048;
    for n in [1, 2, 4, 8, 32] {
        let mut group = c.benchmark_group(format!("matmul-{n}"));
        for &ty in QuantType::ALL {
            let row = COLUMNS / ty.block_len() * ty.block_bytes();
            let rows = if n == 1 { (FROM_MEMORY / row).next_multiple_of(16) } else { 512 };
            let mut product = Product::new(ty, rows, n, COLUMNS);
            for tier in tiers() {
                if n == 1 && tier.name() == "scalar" {
                    continue; // never bound by memory
                }
                product.verify(tier);
                let peak = (ty.act_format() != ActFormat::F32).then(|| peaks.get(tier.name()).copied());
                let (work, limit) = match n {
                    1 => (Throughput::Bytes(product.bytes() as u64), Some(bandwidth)),
                    _ => (Throughput::Elements(product.ops() as u64), peak.flatten()),
                };
                time(&mut group, &format!("{ty}/{}", tier.name()), &work, limit, || product.run(tier));
            }
        }
    }
}

fn attention(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    for (head_dim, n) in [(64, 3), (64, 192), (256, 4), (256, 256)] {
        let mut attention = Attention::new(head_dim, n);
        let work = Throughput::Elements(attention.ops() as u64);
        for tier in tiers() {
            attention.verify(tier);
            let name = format!("{head_dim}x{n}/{}", tier.name());
            time(&mut group, &name, &work, peak::fma(tier.name()), || attention.run(tier));
        }
    }
}

/// Elements of rows that fit the first cache: there is no limit to compare with but more of the same.
fn floats(c: &mut Criterion) {
    const LEN: usize = 2048;
    let (x, y) = (noise(LEN, 6), noise(LEN, 7));
    let mut out = x.clone();
    let mut half = vec![0; LEN];
    let mut group = c.benchmark_group("floats");
    for tier in tiers() {
        let mut one = |name: &str, f: &mut dyn FnMut(&Kernels, &mut [f32])| {
            let (mut got, mut want) = (x.clone(), x.clone());
            f(tier, &mut got);
            f(Kernels::by_name("scalar").expect("always there"), &mut want);
            assert_eq!(got, want, "{} {name}", tier.name());
            let name = format!("{name}/{}", tier.name());
            time(&mut group, &name, &Throughput::Elements(LEN as u64), None, || f(tier, &mut out));
        };
        one("rms_norm", &mut |k, out| k.rms_norm(out, &x, &y, 1e-6));
        one("add", &mut |k, out| k.add(out, &y));
        one("silu", &mut |k, out| k.act_mul(out, &y, Activation::Silu));
        one("gelu", &mut |k, out| k.act_mul(out, &y, Activation::GeluTanh));
        one("softcap", &mut |k, out| k.softcap(out, 30.0));
        one("rope_adjacent", &mut |k, out| k.rope(out, &y, RopePairing::Adjacent));
        one("rope_halves", &mut |k, out| k.rope(out, &y, RopePairing::Halves));
        one("f16_and_back", &mut |k, out| {
            k.to_f16(&x, &mut half);
            k.from_f16(&half, out);
        });
        for format in [ActFormat::Q8x32, ActFormat::Q8x256] {
            let (mut qs, mut scales) = (vec![0; LEN], vec![0.0; LEN / format.block_len()]);
            let mut sums = vec![0; LEN / format.sum_len()];
            one(&format!("quantize_{format:?}").to_lowercase(), &mut |k, out| {
                k.quantize(format, &x, &mut qs, &mut scales, &mut sums);
                out.iter_mut().zip(&scales).for_each(|(out, s)| *out = *s); // for the comparison
            });
        }
    }
}

criterion_group! {
    name = kernels;
    // Short: hundreds of measurements. Give `--measurement-time 5` for a careful one.
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .configure_from_args();
    targets = products, attention, floats
}
criterion_main!(kernels);
