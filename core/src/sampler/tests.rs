//! The chain against a naive oracle (sort everything, follow the definition), against distributions, and against
//! hostile values.

use super::*;
use crate::kernels::generic::weight::weight;

fn sampler(config: SamplerConfig, vocab: usize) -> Sampler {
    Sampler::new(&config, vocab).expect("a valid configuration")
}

/// Everything off but the draw.
fn plain() -> SamplerConfig {
    SamplerConfig { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerConfig::default() }
}

/// The chain by sorting: returns the candidates left, in token order, with their weights at the temperature.
fn oracle(config: &SamplerConfig, logits: &[f32]) -> Vec<(u32, u64)> {
    let mut left: Vec<(u32, f32)> =
        (0..).zip(logits.iter().copied()).filter(|c| c.1 > f32::NEG_INFINITY).collect();
    left.sort_by(|a, b| b.1.partial_cmp(&a.1).expect("no NaN").then(a.0.cmp(&b.0)));
    let share = |p: f32, total: u64| ((f64::from(p) * total as f64).ceil() as u64).clamp(1, total);
    let take = |left: &mut Vec<(u32, f32)>, max: f32, target: u64| {
        let mut sum = 0;
        let n = left.iter().take_while(|c| (sum < target, sum += weight(c.1 - max)).0).count();
        left.truncate(n);
    };
    if config.top_k > 0 {
        left.truncate(config.top_k);
    }
    if config.typical_p < 1.0 {
        let max = left[0].1;
        let total: u64 = left.iter().map(|c| weight(c.1 - max)).sum();
        let logits: Vec<f32> = left.iter().map(|c| c.1).collect();
        let mean = Kernels::best().expected(&logits, max); // the kernels' tests say that it is the mean
        let score = |c: &(u32, f32)| (c.1 - max - mean as f32).abs();
        left.sort_by(|a, b| score(a).total_cmp(&score(b)).then(a.0.cmp(&b.0)));
        take(&mut left, max, share(config.typical_p, total));
        left.sort_by(|a, b| b.1.partial_cmp(&a.1).expect("no NaN").then(a.0.cmp(&b.0)));
    }
    if config.top_p < 1.0 {
        let max = left[0].1;
        let total: u64 = left.iter().map(|c| weight(c.1 - max)).sum();
        take(&mut left, max, share(config.top_p, total));
    }
    if config.min_p > 0.0 {
        let floor = left[0].1 + libm::logf(config.min_p);
        left.retain(|c| c.1 >= floor);
    }
    let max = left[0].1;
    left.sort_by_key(|c| c.0);
    left.into_iter().map(|(id, l)| (id, weight((l - max) / config.temperature))).collect()
}

fn oracle_draw(left: &[(u32, u64)], rng: &mut Rng) -> u32 {
    let mut rest = rng.below(left.iter().map(|c| c.1).sum());
    for &(id, w) in left {
        if rest < w {
            return id;
        }
        rest -= w;
    }
    panic!("beyond the total")
}

/// Logits of several shapes: like a model's, flat, few values (many ties), masked, extreme.
fn shape(kind: usize, vocab: usize, rng: &mut Rng) -> Vec<f32> {
    let mut uniform = || (rng.next_u64() >> 40) as f32 / (1 << 24) as f32;
    let mut bell = || (0..6).map(|_| uniform()).sum::<f32>() * 2.0 - 6.0;
    (0..vocab)
        .map(|i| match kind {
            0 => bell() * 3.0,
            1 => bell() * 3.0 + if i % 97 == 5 { 12.0 } else { 0.0 },
            2 => 0.0,
            3 => (bell() * 2.0).round(),
            4 if bell() > 0.5 => f32::NEG_INFINITY,
            5 => bell() * 1e37,
            6 => bell() * 1e-3 - 1000.0,
            7 => i as f32 * 1e-3,
            _ => -(bell().abs()),
        })
        .collect()
}

#[test]
fn equals_the_oracle() {
    let mut rng = Rng::new(7);
    let pick = |rng: &mut Rng, choices: &[f32]| choices[rng.below(choices.len() as u64) as usize];
    let mut cases = 0;
    for &vocab in &[1usize, 2, 15, 16, 17, 300, 5000, 40_000] {
        for kind in 0..9 {
            for _ in 0..if vocab > 1000 { 6 } else { 30 } {
                let mut logits = shape(kind, vocab, &mut rng);
                if logits.iter().all(|&l| l == f32::NEG_INFINITY) {
                    logits[0] = 1.0;
                }
                let config = SamplerConfig {
                    temperature: pick(&mut rng, &[0.1, 0.8, 1.0, 1.7]),
                    top_k: pick(&mut rng, &[0.0, 0.0, 0.0, 1.0, 2.0, 40.0, 1000.0, 3000.0, 20_000.0])
                        as usize,
                    top_p: pick(&mut rng, &[1.0, 1.0, 0.95, 0.5, 0.999, 0.0]),
                    min_p: pick(&mut rng, &[0.0, 0.0, 0.05, 1.0, 1e-6]),
                    typical_p: pick(&mut rng, &[1.0, 1.0, 0.95, 0.2, 0.0]),
                    seed: rng.next_u64(),
                    ..SamplerConfig::default()
                };
                let left = oracle(&config, &logits);
                let mut expected_rng = Rng::new(config.seed);
                let mut sampler = sampler(config.clone(), vocab);
                for _ in 0..3 {
                    let expected = oracle_draw(&left, &mut expected_rng);
                    let got = sampler.sample(&mut logits.clone()).expect("finite logits").0;
                    assert_eq!(got, expected, "vocab {vocab} shape {kind} {config:?}");
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 5000);
}

#[test]
fn draws_follow_the_distribution() {
    // Chi-square with 7 degrees of freedom: 24.3 is exceeded with probability 0.001, and the seed is fixed.
    let logits = [0.5f32, -1.0, 2.0, 0.0, 1.0, -3.0, 1.5, 0.25];
    for (temperature, seed) in [(1.0f32, 1), (0.5, 2), (2.0, 3)] {
        let mut sampler = sampler(SamplerConfig { temperature, seed, ..plain() }, 8);
        let mut seen = [0u32; 8];
        const DRAWS: u32 = 200_000;
        for _ in 0..DRAWS {
            seen[sampler.sample(&mut logits.clone()).expect("finite").0 as usize] += 1;
        }
        let exp = logits.map(|l| libm::exp(f64::from(l / temperature)));
        let sum: f64 = exp.iter().sum();
        let chi: f64 = (0..8)
            .map(|i| {
                let expected = exp[i] / sum * f64::from(DRAWS);
                (f64::from(seen[i]) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi < 24.3, "temperature {temperature}: chi-square {chi}, {seen:?}");
    }
}

#[test]
fn filters_bound_what_is_drawn() {
    let logits = [0.0f32, 1.0, 2.0, 3.0, 4.0]; // probabilities 0.0117 0.0317 0.0861 0.2341 0.6364
    let drawn = |config: SamplerConfig| {
        let mut s = sampler(config, 5);
        let mut seen = [false; 5];
        (0..5000).for_each(|_| seen[s.sample(&mut logits.clone()).expect("finite").0 as usize] = true);
        seen
    };
    assert_eq!(drawn(SamplerConfig { top_k: 2, ..plain() }), [false, false, false, true, true]);
    assert_eq!(drawn(SamplerConfig { top_p: 0.87, ..plain() }), [false, false, false, true, true]);
    assert_eq!(drawn(SamplerConfig { top_p: 0.88, ..plain() }), [false, false, true, true, true]);
    assert_eq!(drawn(SamplerConfig { min_p: 0.13, ..plain() }), [false, false, true, true, true]);
    assert_eq!(drawn(SamplerConfig { min_p: 0.14, ..plain() }), [false, false, false, true, true]);
    // Entropy 0.995: surprises 4.45 3.45 2.45 1.45 0.45, so token 3 is the most typical, then 4.
    assert_eq!(drawn(SamplerConfig { typical_p: 0.2, ..plain() }), [false, false, false, true, false]);
    assert_eq!(drawn(SamplerConfig { typical_p: 0.5, ..plain() }), [false, false, false, true, true]);
    assert_eq!(drawn(plain()), [true; 5]);
}

#[test]
fn penalties_and_bias_come_before_the_filters() {
    let mut s = sampler(SamplerConfig { top_k: 1, repeat_penalty: 2.0, ..plain() }, 3);
    let logits = [1.0f32, 3.0, 2.0];
    assert_eq!(s.sample(&mut logits.clone()).expect("finite"), TokenId(1));
    s.accept(TokenId(1));
    assert_eq!(s.sample(&mut logits.clone()).expect("finite"), TokenId(2), "3 / 2 < 2 before the top-1 cut");
    let bias = vec![(TokenId(1), f32::NEG_INFINITY), (TokenId(0), 1.5)];
    let mut s = sampler(SamplerConfig { top_k: 1, logit_bias: bias, ..plain() }, 3);
    assert_eq!(s.sample(&mut logits.clone()).expect("finite"), TokenId(0));
}

#[test]
fn temperature_comes_after_the_filters() {
    // At temperature 10 the three are nearly equal, yet top-p is taken at temperature 1, where the first holds 0.95.
    let mut s = sampler(SamplerConfig { temperature: 10.0, top_p: 0.9, ..plain() }, 3);
    for _ in 0..500 {
        assert_eq!(s.sample(&mut [5.0, 1.0, 1.0]).expect("finite"), TokenId(0));
    }
}

#[test]
fn greedy_takes_the_lowest_id_of_the_largest() {
    let mut s = sampler(SamplerConfig::greedy(), 40);
    let mut logits = [-1.0f32; 40];
    (logits[33], logits[37]) = (0.0, 0.0);
    assert_eq!(s.sample(&mut logits).expect("finite"), TokenId(33));
    (logits[33], logits[37]) = (-0.0, 0.0);
    assert_eq!(s.sample(&mut logits).expect("finite"), TokenId(33), "-0 equals 0");
    assert_eq!(s.sample(&mut [f32::MIN; 40]).expect("finite"), TokenId(0));
}

#[test]
fn a_seed_repeats_and_reset_rewinds() {
    let mut rng = Rng::new(1);
    let logits: Vec<f32> = shape(0, 1000, &mut rng);
    let run = |s: &mut Sampler| -> Vec<u32> {
        (0..50)
            .map(|_| {
                let id = s.sample(&mut logits.clone()).expect("finite");
                s.accept(id);
                id.0
            })
            .collect()
    };
    let config = SamplerConfig { repeat_penalty: 1.3, seed: 42, ..SamplerConfig::default() };
    let mut a = sampler(config.clone(), 1000);
    let first = run(&mut a);
    a.reset();
    assert_eq!(first, run(&mut a));
    assert_eq!(first, run(&mut sampler(config.clone(), 1000)));
    assert_ne!(first, run(&mut sampler(SamplerConfig { seed: 43, ..config }, 1000)));
    // Recorded once: a change of these is a change of every user's seeded output.
    let mut s = sampler(SamplerConfig { seed: 42, ..plain() }, 8);
    let fixed: Vec<u32> = (0..12)
        .map(|_| s.sample(&mut [0.5, -1.0, 2.0, 0.0, 1.0, -3.0, 1.5, 0.25]).expect("finite").0)
        .collect();
    assert_eq!(fixed, RECORDED);
}

const RECORDED: [u32; 12] = [6, 2, 7, 6, 6, 4, 2, 4, 2, 7, 4, 6];

#[test]
fn hostile_logits_are_refused() {
    for config in [SamplerConfig::greedy(), SamplerConfig::default(), plain()] {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
            for at in [0, 15, 16, 99] {
                let mut logits = [1.0f32; 100];
                logits[at] = bad;
                let e = sampler(config.clone(), 100).sample(&mut logits).expect_err("a bad logit");
                assert_eq!(e.kind(), ErrorKind::Numeric);
                assert!(e.message().contains(&format!("token {at}")), "{e}");
            }
        }
        let e = sampler(config.clone(), 4).sample(&mut [f32::NEG_INFINITY; 4]).expect_err("all masked");
        assert_eq!((e.kind(), e.message()), (ErrorKind::Numeric, "every token is masked"));
        let mut one = [f32::NEG_INFINITY; 100];
        one[77] = -1e30;
        assert_eq!(sampler(config, 100).sample(&mut one).expect("one is left"), TokenId(77));
    }
    // A penalty that overflows is caught too.
    let mut s = sampler(SamplerConfig { repeat_penalty: 1e-30, ..SamplerConfig::greedy() }, 2);
    s.accept(TokenId(0));
    assert_eq!(s.sample(&mut [1e30, 1.0]).expect_err("overflow").kind(), ErrorKind::Numeric);
}

#[test]
fn settings_out_of_range_name_the_field() {
    type Edit = fn(&mut SamplerConfig);
    let cases: [(&str, Edit); 15] = [
        ("temperature", |c| c.temperature = -0.1),
        ("temperature", |c| c.temperature = f32::NAN),
        ("temperature", |c| c.temperature = f32::INFINITY),
        ("top_p", |c| c.top_p = 1.01),
        ("min_p", |c| c.min_p = -1.0),
        ("min_p", |c| c.min_p = f32::NAN),
        ("typical_p", |c| c.typical_p = 2.0),
        ("repeat_penalty", |c| c.repeat_penalty = 0.0),
        ("repeat_penalty", |c| c.repeat_penalty = f32::INFINITY),
        ("frequency_penalty", |c| c.frequency_penalty = 1e9),
        ("presence_penalty", |c| c.presence_penalty = f32::NAN),
        ("penalty_last_n", |c| c.penalty_last_n = usize::MAX),
        ("logit_bias", |c| c.logit_bias = vec![(TokenId(10), 0.0)]),
        ("logit_bias", |c| c.logit_bias = vec![(TokenId(0), f32::NAN)]),
        ("logit_bias", |c| c.logit_bias = vec![(TokenId(0), f32::INFINITY)]),
    ];
    for (field, edit) in cases {
        let mut config = SamplerConfig::default();
        edit(&mut config);
        let e = Sampler::new(&config, 10).expect_err(field);
        assert_eq!(e.kind(), ErrorKind::Argument);
        assert!(e.message().starts_with(field), "{e}");
    }
    assert_eq!(Sampler::new(&plain(), 0).expect_err("no tokens").kind(), ErrorKind::Argument);
    let mut s = sampler(plain(), 10);
    assert_eq!(s.sample(&mut [0.0; 9]).expect_err("too few").kind(), ErrorKind::Argument);
}
