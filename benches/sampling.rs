//! From logits to a token, chain by chain: `cargo bench -p siskin-benches --bench sampling [-- FILTER]`.
//!
//! The time is of one token, on one thread, of chains without top-k (and two with it) over 262,144 and 32,000 logits of
//! several shapes:
//!
//! | shape | what it is like |
//! |---|---|
//! | `sure` | a model that knows: thirty tokens above a bell around -20 below the best |
//! | `torn` | a model that does not: one token in a hundred lies in a bell that reaches the best |
//! | `bell` | all tokens in one wide bell: thousands of candidates in every cut |
//! | `flat` | all equal: nothing can be left out |
#![allow(missing_docs, reason = "criterion's macro makes a function")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use siskin::sampler::{Sampler, SamplerConfig};
use siskin::tokenizer::TokenId;
use siskin_benches::noise;

/// Nothing but the draw.
fn plain() -> SamplerConfig {
    SamplerConfig { temperature: 0.8, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerConfig::default() }
}

fn chains() -> [(&'static str, SamplerConfig); 10] {
    [
        ("greedy", SamplerConfig::greedy()),
        ("default", SamplerConfig::default()),
        ("temperature", plain()),
        ("top_p", SamplerConfig { top_p: 0.95, ..plain() }),
        ("min_p", SamplerConfig { min_p: 0.05, ..plain() }),
        ("top_p_min_p", SamplerConfig { top_p: 0.95, min_p: 0.05, ..plain() }),
        ("penalties", SamplerConfig { repeat_penalty: 1.1, frequency_penalty: 0.2, ..plain() }),
        ("typical", SamplerConfig { typical_p: 0.95, ..plain() }),
        (
            "all_but_top_k",
            SamplerConfig { top_p: 0.9, min_p: 0.05, typical_p: 0.9, repeat_penalty: 1.1, ..plain() },
        ),
        ("top_k_20000", SamplerConfig { top_k: 20_000, ..plain() }),
    ]
}

/// Logits `[vocab]` of a shape.
fn shape(name: &str, vocab: usize) -> Vec<f32> {
    let uniform = noise(6 * vocab, 5);
    // A sum of six: a standard deviation of 1.41, nothing beyond 6.
    let bell: Vec<f32> = uniform.chunks(6).map(|six| six.iter().sum()).collect();
    match name {
        "sure" => (0..vocab)
            .map(|i| {
                let top = i % (vocab / 30) == 7;
                if top { 20.0 - (i * 30 / vocab) as f32 * 0.3 } else { bell[i] * 2.0 }
            })
            .collect(),
        "torn" => {
            bell.iter().enumerate().map(|(i, b)| b * 3.0 + if i % 97 == 5 { 12.0 } else { 0.0 }).collect()
        }
        "bell" => bell.iter().map(|b| b * 3.0).collect(),
        _ => vec![1.0; vocab],
    }
}

fn sampling(c: &mut Criterion) {
    for vocab in [262_144, 32_000] {
        for name in ["sure", "torn", "bell", "flat"] {
            let logits = shape(name, vocab);
            let mut group = c.benchmark_group(format!("{vocab}/{name}"));
            let mut row = logits.clone();
            for (chain, config) in chains() {
                let mut sampler = Sampler::new(&config, vocab).expect("a valid chain");
                (0..64).for_each(|i| sampler.accept(TokenId(i * 101)));
                group.bench_function(chain, |b| {
                    b.iter_custom(|n| {
                        let mut time = Duration::ZERO;
                        for _ in 0..n {
                            row.copy_from_slice(&logits); // the sampler overwrites them
                            let start = Instant::now();
                            black_box(sampler.sample(&mut row)).expect("finite");
                            time += start.elapsed();
                        }
                        time
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = chains_and_shapes;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(250))
        .configure_from_args();
    targets = sampling
}
criterion_main!(chains_and_shapes);
