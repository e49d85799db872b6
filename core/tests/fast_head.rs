//! The exact fast head: with a screening table every sampler that does not look at all logits chooses what it chooses
//! without one.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is a failure; shares are told")]

mod common;

use siskin::gguf::{COMPANION, GgufFile};
use siskin::kernels::Kernels;
use siskin::model::{Calibration, Tap};
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::{Special, TokenId};
use siskin::{ErrorKind, Event, Flow, GenerateOptions, Model, ModelOptions, Session, SessionOptions};

/// `file` with a table for its head, measured on `positions` of `tokens`.
fn packed(file: &[u8], tokens: &[TokenId]) -> Vec<u8> {
    let model = open(file.to_vec(), 2, None);
    assert!(!model.has_screen());
    let mut calibration = Calibration::new(model.spec().width);
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let mut see = |tap: Tap<'_>| {
        if let Tap::FinalNorm(_, h) = tap {
            calibration.add(h);
        }
    };
    session.prefill_tapped(tokens, &mut see).unwrap();
    let mut out = file.to_vec();
    out.resize(usize::try_from(model.file().data_end()).unwrap(), 0);
    model.screen_table(&calibration).unwrap().write(&mut out, &mut |_, _| true).unwrap();
    out
}

fn open(file: Vec<u8>, threads: usize, kernels: Option<&str>) -> Model {
    let options = ModelOptions {
        threads: Some(threads),
        kernels: kernels.map(str::to_owned),
        ..ModelOptions::default()
    };
    Model::from_gguf(GgufFile::from_bytes(file).unwrap(), &options).unwrap()
}

fn greedy() -> SamplerConfig {
    SamplerConfig::greedy()
}

/// Chains that look at some logits only, and one that looks at all.
fn chains() -> Vec<(&'static str, SamplerConfig)> {
    let bias =
        vec![(TokenId(5), 3.0), (TokenId(300), f32::NEG_INFINITY), (TokenId(7), -1.0), (TokenId(261), 40.0)];
    let wild = SamplerConfig { temperature: 1.5, seed: 3, ..SamplerConfig::default() };
    vec![
        ("greedy", greedy()),
        ("greedy, penalties", SamplerConfig { repeat_penalty: 1.3, presence_penalty: 0.5, ..greedy() }),
        ("greedy, a bias", SamplerConfig { logit_bias: bias[..2].to_vec(), ..greedy() }),
        ("default", wild.clone()),
        (
            "penalties and biases",
            SamplerConfig { frequency_penalty: 1.0, logit_bias: bias[..3].to_vec(), ..wild.clone() },
        ),
        ("reward what was there", SamplerConfig { presence_penalty: -4.0, ..wild.clone() }),
        ("one bias above all", SamplerConfig { logit_bias: bias, ..wild.clone() }),
        ("top-k 3, typical", SamplerConfig { top_k: 3, typical_p: 0.7, ..wild.clone() }),
        ("min-p", SamplerConfig { top_k: 0, top_p: 1.0, min_p: 0.1, ..wild.clone() }),
        ("top-p", SamplerConfig { top_k: 0, ..wild }),
    ]
}

fn answer(session: &mut Session, prompt: &[TokenId], sampler: &SamplerConfig, n: usize) -> (Vec<u32>, f64) {
    session.truncate(0);
    let options = GenerateOptions {
        max_tokens: Some(n),
        sampler: sampler.clone(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    };
    let mut tokens = Vec::new();
    let outcome = session.generate(prompt, &options, &mut |event| {
        if let Event::Token { id, .. } = event {
            tokens.push(id.0);
        }
        Flow::Continue
    });
    (tokens, outcome.unwrap().stats.head.share())
}

/// Logits of the last position of `prompt` with a screening step for `sampler`, against all of them: those that are there
/// are equal, and they are at least the `top` largest.
fn check_logits(
    session: &mut Session,
    whole: &mut Session,
    prompt: &[TokenId],
    sampler: &SamplerConfig,
    top: usize,
) {
    let options =
        GenerateOptions { max_tokens: Some(1), sampler: sampler.clone(), ..GenerateOptions::default() };
    session.truncate(0);
    session.generate(prompt, &options, &mut |_| Flow::Continue).unwrap();
    whole.truncate(0);
    whole.prefill(prompt).unwrap();
    let (some, all) = (session.logits(), whole.logits());
    let mut sorted = all.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let least = sorted[top - 1];
    for (id, (&s, &a)) in some.iter().zip(all).enumerate() {
        let there = s != f32::NEG_INFINITY;
        assert!(there || a < least, "token {id} of {a} is missing; the least of {top} is {least}");
        assert!(!there || s.to_bits() == a.to_bits(), "token {id}: {s} is not {a}");
    }
}

#[test]
fn tiny_models_choose_the_same_on_every_tier_and_number_of_threads() {
    for arch in ["gemma3", "llama"] {
        let file = common::tiny_file(arch);
        let with = packed(&file, &common::prompt(64));
        let prompt = common::prompt(20);
        let plain = open(file, 1, None);
        let mut plain = plain.session(&SessionOptions::default()).unwrap();
        for (name, sampler) in chains() {
            let (expected, share) = answer(&mut plain, &prompt, &sampler, 60);
            assert_eq!(share, 1.0);
            for (tier, _) in Kernels::tiers().filter(|t| t.1) {
                for threads in 1..=3 {
                    let model = open(with.clone(), threads, Some(tier));
                    assert!(model.has_screen());
                    let mut session = model.session(&SessionOptions::default()).unwrap();
                    let (tokens, share) = answer(&mut session, &prompt, &sampler, 60);
                    assert_eq!(tokens, expected, "{arch}, {name}, {tier}, {threads} threads");
                    if name == "greedy" {
                        assert!(share < 0.5, "{arch}: {share} of the rows");
                    }
                    if name == "top-p" {
                        assert_eq!(share, 1.0, "all logits are looked at");
                    }
                }
            }
        }
        let model = open(with, 2, None);
        let mut session = model.session(&SessionOptions::default()).unwrap();
        for n in [1, 2, 9, 30] {
            let prompt = common::prompt(n);
            check_logits(&mut session, &mut plain, &prompt, &greedy(), 1);
            check_logits(&mut session, &mut plain, &prompt, &SamplerConfig::default(), 40);
            check_logits(
                &mut session,
                &mut plain,
                &prompt,
                &SamplerConfig { top_k: 319, ..SamplerConfig::default() },
                319,
            );
        }
    }
}

/// An answer that is stopped before its first token leaves logits for its own sampler; the next one's may need more.
#[test]
fn what_a_sampler_did_not_need_is_made_up_for() {
    let file = common::tiny_file("gemma3");
    let model = open(packed(&file, &common::prompt(64)), 2, None);
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let stop = &mut |_: Event<'_>| Flow::Stop;
    session
        .generate(
            &common::prompt(9),
            &GenerateOptions { sampler: greedy(), ..GenerateOptions::default() },
            stop,
        )
        .unwrap();
    assert!(session.logits().contains(&f32::NEG_INFINITY));
    let (_, wide) = chains().pop().unwrap();
    let options = GenerateOptions { max_tokens: Some(1), sampler: wide, ..GenerateOptions::default() };
    session.generate(&[], &options, &mut |_| Flow::Continue).unwrap();
    let some = session.logits().to_vec();
    session.truncate(0);
    session.prefill(&common::prompt(9)).unwrap();
    assert_eq!(some, session.logits());
}

/// Rows that are equal, zero, or much larger than others: in the tiny Gemma's head, which is its embedding too.
#[test]
fn equal_and_extreme_rows() {
    let mut file = common::tiny_file("gemma3");
    let (start, row) = {
        let opened = GgufFile::from_bytes(file.clone()).unwrap();
        let embed = opened.tensors().get("token_embd.weight").unwrap();
        (usize::try_from(embed.offset()).unwrap(), embed.bytes().len() / common::VOCAB)
    };
    let mut copy = |from: usize, to: usize| {
        let bytes = file[start + from * row..start + (from + 1) * row].to_vec();
        file[start + to * row..start + (to + 1) * row].copy_from_slice(&bytes);
    };
    (270..319).for_each(|to| copy(319, to));
    (3..60).for_each(|to| copy(60, to));
    file[start + 100 * row..start + 103 * row].fill(0);
    for block in 0..row / 34 {
        let at = start + 200 * row + block * 34;
        file[at..at + 2].copy_from_slice(&half::f16::from_f32(3.0).to_le_bytes());
    }
    let with = packed(&file, &common::prompt(64));
    let (plain, fast) = (open(file, 1, None), open(with, 2, None));
    let mut plain = plain.session(&SessionOptions::default()).unwrap();
    let mut fast = fast.session(&SessionOptions::default()).unwrap();
    for (name, sampler) in chains() {
        for n in [1, 5, 33] {
            let expected = answer(&mut plain, &common::prompt(n), &sampler, 40).0;
            assert_eq!(answer(&mut fast, &common::prompt(n), &sampler, 40).0, expected, "{name}, {n}");
        }
    }
}

/// Every lie that can be told about the table is refused by name, or gives wrong tokens and nothing worse.
#[test]
fn hostile_tables() {
    let file = common::tiny_file("gemma3");
    let with = packed(&file, &common::prompt(8));
    let open = |bytes: &[u8]| {
        GgufFile::from_bytes(bytes.to_vec()).and_then(|f| Model::from_gguf(f, &ModelOptions::default()))
    };
    let start = usize::try_from(GgufFile::from_bytes(file.clone()).unwrap().data_end()).unwrap();
    let (offset, len) = {
        let whole = GgufFile::from_bytes(with.clone()).unwrap();
        let bound = whole.companion().unwrap().tensors().get("head.bound.weight").unwrap();
        (start + usize::try_from(bound.offset()).unwrap(), bound.bytes().len())
    };
    for (what, bits) in [("infinity", 0x7c00u16), ("NaN", 0x7e00), ("negative", 0x8001)] {
        let mut bad = with.clone();
        bad[offset + len - 2..offset + len].copy_from_slice(&bits.to_le_bytes());
        let e = open(&bad).expect_err(what);
        assert_eq!((e.kind(), e.tensor()), (ErrorKind::Shape, Some("head.bound.weight")), "{what}: {e}");
    }
    // Another head.
    let mut bad = with.clone();
    bad[start - 4096..start - 2048].iter_mut().for_each(|b| *b ^= 1);
    let embed = usize::try_from(
        GgufFile::from_bytes(with.clone()).unwrap().tensors().get("token_embd.weight").unwrap().offset(),
    );
    bad[embed.unwrap() + 3] ^= 1;
    assert_eq!(open(&bad).expect_err("another head").key(), Some("siskin.head.sample"));
    // Something else behind the tensors is nobody's business.
    let mut other = file.clone();
    other.resize(start, 0);
    other.extend(b"not a companion");
    assert!(!open(&other).unwrap().has_screen());
    let name = with.windows(COMPANION.len()).rposition(|w| w == COMPANION.as_bytes()).unwrap();
    let mut other = with.clone();
    other[name] = b'S';
    assert!(!open(&other).unwrap().has_screen());
    // Bytes changed anywhere: an error, or an answer.
    let mut rng = common::Rng(11);
    for round in 0..300 {
        let mut bad = with.clone();
        let header = round % 2 == 0;
        for _ in 0..1 + rng.below(3) {
            let range = if header { 900 } else { bad.len() - start };
            bad[start + rng.below(range)] = rng.next() as u8;
        }
        if let Ok(model) = open(&bad) {
            let mut session =
                model.session(&SessionOptions { context: Some(64), ..SessionOptions::default() }).unwrap();
            let options =
                GenerateOptions { max_tokens: Some(3), sampler: greedy(), ..GenerateOptions::default() };
            let _ = session.generate(&common::prompt(4), &options, &mut |_| Flow::Continue);
        }
    }
}

/// A real model over hundreds of positions of real text.
#[test]
fn gemma_chooses_the_same() {
    let Some(folder) = std::env::var_os("SISKIN_MODELS").map(std::path::PathBuf::from) else {
        eprintln!("skipped: SISKIN_MODELS is not set");
        return;
    };
    let file = std::fs::read(folder.join("gemma-3-270m-q4_k_m.gguf")).unwrap();
    let text = std::fs::read_to_string(folder.join("text/brown-corpus-detagged.txt")).unwrap();
    let plain = open(file.clone(), 2, None);
    let tokens = plain.tokenizer().encode(&text[..20_000], Special { add: true, parse: false }).unwrap();
    let (first, second) = tokens.split_at(512);
    let fast = open(packed(&file, first), 2, None);
    let options = SessionOptions { context: Some(1024), ..SessionOptions::default() };
    let (mut plain, mut fast) = (plain.session(&options).unwrap(), fast.session(&options).unwrap());
    for (name, sampler) in chains().into_iter().take(9) {
        let expected = answer(&mut plain, &second[..100], &sampler, 48).0;
        let (tokens, share) = answer(&mut fast, &second[..100], &sampler, 48);
        assert_eq!(tokens, expected, "{name}");
        eprintln!("{name}: {:.2} % of the rows", share * 100.0);
    }
    // Teacher-forced: each position continues the text.
    let (mut steps, mut rows, mut whole) = ([0; 2], [0; 2], 0);
    let kinds = [greedy(), SamplerConfig::default()];
    for (i, sampler) in kinds.iter().enumerate() {
        fast.truncate(0);
        plain.truncate(0);
        let once =
            GenerateOptions { max_tokens: Some(1), sampler: sampler.clone(), ..GenerateOptions::default() };
        for token in &second[..200] {
            // The token that was chosen is dropped: the text goes on with its own.
            fast.truncate(fast.position());
            let outcome = fast.generate(&[*token], &once, &mut |_| Flow::Continue).unwrap();
            plain.prefill(&[*token]).unwrap();
            let head = outcome.stats.head;
            (steps[i], rows[i], whole) =
                (steps[i] + head.rows_at_most, rows[i] + head.rows, whole + head.whole);
            let (some, all) = (fast.logits(), plain.logits());
            let mut sorted = all.to_vec();
            let top = if i == 0 { 1 } else { 40 };
            let least = *sorted.select_nth_unstable_by(top - 1, |a, b| b.total_cmp(a)).1;
            assert!(
                some.iter()
                    .zip(all)
                    .all(|(s, a)| s.to_bits() == a.to_bits() || (s.is_infinite() && *a < least))
            );
        }
        eprintln!("text, top {}: {:.3} %", [1, 40][i], 100.0 * rows[i] as f64 / steps[i] as f64);
    }
    eprintln!("whole heads: {whole}");
    assert!(rows[0] * 50 < steps[0] && rows[1] * 8 < steps[1]);
}
