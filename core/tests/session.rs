//! The whole pipeline on tiny models: determinism, cancelling, limits, continuing.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

mod common;

use std::time::{Duration, Instant};

use common::{VOCAB, prompt, tiny, tiny_on};
use siskin::ErrorKind;
use siskin::engine::Model;
use siskin::kernels::Kernels;
use siskin::kv_cache::KvType;
use siskin::sampler::SamplerConfig;
use siskin::session::{Event, Flow, GenerateOptions, Session, SessionOptions, StopReason};
use siskin::tokenizer::TokenId;

const FAMILIES: [&str; 7] = ["llama", "qwen2", "gemma3", "deepseek2", "qwen35", "qwen2moe", "gemma3n"];
/// Those whose sessions go back one pass at most.
const RECURRENT: &str = "qwen35";
/// The family whose cache holds latents.
const LATENT: &str = "deepseek2";

fn sizes(context: usize, batch: usize) -> SessionOptions {
    sizes_in(KvType::F16, context, batch)
}

fn sizes_in(kv_type: KvType, context: usize, batch: usize) -> SessionOptions {
    SessionOptions { context: Some(context), batch, kv_type, ..SessionOptions::default() }
}

/// Each family with each way to store keys and values that people use.
fn kinds() -> impl Iterator<Item = (&'static str, KvType)> {
    FAMILIES.into_iter().flat_map(|arch| [(arch, KvType::F16), (arch, KvType::Q8)])
}

fn options(max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_tokens: Some(max_tokens),
        sampler: SamplerConfig::greedy(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    }
}

/// Logits after `prompt`, and the greedy tokens that follow.
fn answer(model: &Model, batch: usize, prompt: &[TokenId], n: usize) -> (Vec<f32>, Vec<u32>) {
    answer_in(model, &sizes(1024, batch), prompt, n)
}

fn answer_in(model: &Model, sizes: &SessionOptions, prompt: &[TokenId], n: usize) -> (Vec<f32>, Vec<u32>) {
    let mut session = model.session(sizes).unwrap();
    session.prefill(prompt).unwrap();
    let logits = session.logits().to_vec();
    let mut tokens = Vec::new();
    let on_event = &mut |event: Event<'_>| {
        if let Event::Token { id, .. } = event {
            tokens.push(id.0);
        }
        Flow::Continue
    };
    session.generate(&[], &options(n), on_event).unwrap();
    (logits, tokens)
}

#[test]
fn same_bits_for_any_threads_and_batch() {
    for (arch, kv) in kinds() {
        // Longer than two chunks of attention and many windows.
        let prompt = prompt(600);
        let want = answer_in(&tiny(arch, 1), &sizes_in(kv, 1024, 256), &prompt, 40);
        assert!(want.0.iter().all(|x| x.is_finite()) && want.1.len() == 40);
        for (threads, batch) in [(1, 1), (1, 7), (2, 600), (2, 33), (3, 256), (3, 100), (8, 64)] {
            let got = answer_in(&tiny(arch, threads), &sizes_in(kv, 1024, batch), &prompt, 40);
            assert!(got == want, "{arch} {kv:?}: {threads} threads, batches of {batch}");
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "says what was skipped")]
fn same_bits_on_every_tier() {
    for (arch, kv) in kinds() {
        let (prompt, sizes) = (prompt(70), sizes_in(kv, 128, 64));
        let want = answer_in(&tiny_on(arch, 1, Some("scalar")), &sizes, &prompt, 12);
        for (tier, here) in Kernels::tiers() {
            if here {
                let got = answer_in(&tiny_on(arch, 2, Some(tier)), &sizes, &prompt, 12);
                assert!(got == want, "{arch} {kv:?} on {tier}");
            } else {
                eprintln!("skipped: {tier} is not on this processor");
            }
        }
    }
}

#[test]
fn bytes_are_close_to_floats() {
    for arch in FAMILIES {
        let model = tiny(arch, 2);
        let (mut half, mut byte) = (0.0, 0.0);
        let lengths = [100, 300, 450, 600];
        for prompt in lengths.map(prompt) {
            let logits = |kv| answer_in(&model, &sizes_in(kv, 1024, 256), &prompt, 1).0;
            let want = logits(KvType::F32);
            let error = |got: Vec<f32>| {
                let squares = |x: f32| f64::from(x) * f64::from(x);
                let error: f64 = got.iter().zip(&want).map(|(a, b)| squares(a - b)).sum();
                error / want.iter().map(|&x| squares(x)).sum::<f64>()
            };
            half += error(logits(KvType::F16)) / lengths.len() as f64;
            byte += error(logits(KvType::Q8)) / lengths.len() as f64;
        }
        // Rounding alone moves activations over the edges of their 8-bit steps (and a token to other experts): f16 has
        // errors of the same size. Keys or values in a wrong place would give 1. Latents stay in f16.
        assert!(half < 2e-2 && byte < 4.0 * half, "{arch}: errors {half:e} and {byte:e}");
        assert_eq!(byte == half, arch == LATENT, "{arch}: errors {half:e} and {byte:e}");
    }
}

#[test]
fn taps_see_what_prefill_computes() {
    for arch in FAMILIES {
        let model = tiny(arch, 2);
        let prompt = prompt(50);
        let (want, _) = answer(&model, 50, &prompt, 1);
        let mut session = model.session(&sizes(64, 16)).unwrap();
        let (mut last, mut positions, mut layers) = (Vec::new(), 0, 0);
        session
            .prefill_tapped(&prompt, &mut |tap| match tap {
                siskin::model::Tap::Logits(_, logits) => {
                    positions += 1;
                    last = logits.to_vec();
                }
                siskin::model::Tap::Layer(..) => layers += 1,
                _ => {}
            })
            .unwrap();
        assert_eq!((positions, layers), (50, 4 * model.spec().layers.len()));
        assert!(last == want && session.logits() == want, "{arch}");
    }
}

/// Of the last pass, which started at `at`, keeps `tokens`. A recurrent state goes back the whole pass, and takes them again.
fn keep(session: &mut Session, arch: &str, at: usize, tokens: &[TokenId]) {
    if arch == RECURRENT {
        assert_eq!(session.truncate(at), at);
        assert!(session.logits().is_empty(), "{arch}");
        session.decode_rows(tokens).unwrap();
    } else {
        assert_eq!(session.truncate(at + tokens.len()), at + tokens.len());
    }
}

#[test]
fn rows_of_a_pass_equal_one_by_one() {
    for arch in FAMILIES {
        let prompt = prompt(120);
        let mut one = tiny_on(arch, 1, Some("scalar")).session(&sizes(256, 64)).unwrap();
        let mut want = Vec::new();
        for &token in &prompt {
            one.prefill(&[token]).unwrap();
            want.push(one.logits().to_vec());
        }
        for threads in [1, 3] {
            let options = SessionOptions { logit_rows: 16, ..sizes(256, 64) };
            let mut session = tiny(arch, threads).session(&options).unwrap();
            let mut n = 1;
            while session.position() < prompt.len() {
                let at = session.position();
                n = (n % 16 + 1).min(prompt.len() - at);
                let rows = session.decode_rows(&prompt[at..at + n]).unwrap();
                assert!(rows == want[at..at + n].concat(), "{arch}: {n} rows at {at}, {threads} threads");
                assert!(session.logits() == want[at + n - 1], "{arch}");
                // Reject some of what was fed: the logits of what is left are still there.
                let left = at + n.div_ceil(2);
                keep(&mut session, arch, at, &prompt[at..left]);
                assert!(session.logits() == want[left - 1], "{arch}: {left} left of {n} rows at {at}");
            }
        }
    }
}

#[test]
fn generating_goes_on_from_the_last_row_that_was_kept() {
    let prompt = prompt(30);
    for arch in FAMILIES {
        let model = tiny(arch, 2);
        let want = answer(&model, 64, &prompt, 10).1;
        let mut session = model.session(&SessionOptions { logit_rows: 4, ..sizes(256, 64) }).unwrap();
        session.prefill(&prompt[..28]).unwrap();
        session.decode_rows(&[prompt[28], prompt[29], TokenId(3), TokenId(4)]).unwrap();
        keep(&mut session, arch, 28, &prompt[28..]);
        let mut tokens = Vec::new();
        let on_event = &mut |event: Event<'_>| {
            if let Event::Token { id, .. } = event {
                tokens.push(id.0);
            }
            Flow::Continue
        };
        session.generate(&[], &options(10), on_event).unwrap();
        assert_eq!(tokens, want, "{arch}");
    }
}

#[test]
fn continuing_equals_starting_over() {
    for (arch, kv) in kinds() {
        let model = tiny(arch, 2);
        let whole = prompt(700);
        let mut changed = whole.clone();
        changed[650..].reverse();
        let want = answer_in(&model, &sizes_in(kv, 1024, 64), &changed, 1).0;
        // Room to go back 50 tokens: windows of 40 and batches of 64 remember that much.
        let mut session = model.session(&sizes_in(kv, 1024, 64)).unwrap();
        session.prefill(&whole).unwrap();
        let kept = session.reuse_prefix(&changed);
        let lost = ["gemma3", RECURRENT].contains(&arch) && kept == 0;
        assert!(kept == 650 || lost, "{arch} {kv:?} kept {kept}");
        session.prefill(&changed[kept..]).unwrap();
        assert!(session.logits() == want, "{arch} {kv:?}");
        // The same conversation again: all but the last token is kept.
        let kept = session.reuse_prefix(&changed);
        assert_eq!(kept, if arch == RECURRENT { 0 } else { 699 });
        session.prefill(&changed[kept..]).unwrap();
        assert!(session.logits() == want, "{arch} {kv:?}");
    }
}

#[test]
fn cancelling_in_the_middle_of_a_prefill_leaves_the_session_whole() {
    for arch in ["gemma3", RECURRENT] {
        cancel_prefills(arch);
    }
}

fn cancel_prefills(arch: &str) {
    let model = tiny(arch, 2);
    let prompt = prompt(900);
    let want = answer(&model, 128, &prompt, 8);
    let mut session = model.session(&sizes(1024, 128)).unwrap();
    let mut slowest = Duration::ZERO;
    let mut cancelled = 0;
    for round in 0..100u32 {
        let token = session.cancel_token();
        let waiter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(u64::from(round) * 300));
            token.cancel();
            Instant::now()
        });
        let result = session.prefill(&prompt);
        let returned = Instant::now();
        let asked = waiter.join().unwrap();
        if let Err(e) = result {
            assert_eq!(e.kind(), ErrorKind::Cancelled);
            slowest = slowest.max(returned.saturating_duration_since(asked));
            cancelled += 1;
        }
        session.cancel_token().reset();
        let kept = session.reuse_prefix(&prompt);
        assert!(kept < prompt.len());
        session.truncate(0);
    }
    assert!(cancelled >= 10, "only {cancelled} of 100 prefills were cancelled in time");
    assert!(slowest < Duration::from_millis(100), "cancelling took {slowest:?}");
    session.prefill(&prompt).unwrap();
    assert!(session.logits() == want.0);
}

#[test]
fn a_cancel_before_the_start_counts_until_it_is_taken_back() {
    let model = tiny("llama", 1);
    let mut session = model.session(&sizes(256, 32)).unwrap();
    session.cancel_token().cancel();
    let outcome = session.generate(&prompt(9), &options(4), &mut |_| Flow::Continue).unwrap();
    assert_eq!((outcome.reason, session.position()), (StopReason::Cancelled, 0));
    session.cancel_token().reset();
    let outcome = session.generate(&prompt(9), &options(4), &mut |_| Flow::Continue).unwrap();
    assert_eq!((outcome.reason, outcome.stats.generated_tokens), (StopReason::MaxTokens, 4));
}

#[test]
fn every_stop_reason_is_given() {
    let model = tiny("llama", 1);
    let run = |context, options: &GenerateOptions, flow: Flow| {
        let mut session = model.session(&sizes(context, 32)).unwrap();
        let mut text = String::new();
        let outcome = session.generate(&prompt(20), options, &mut |event| {
            if let Event::Text(t) = event {
                text.push_str(t);
                return flow;
            }
            Flow::Continue
        });
        (outcome.unwrap(), text)
    };
    let (outcome, whole) = run(256, &options(30), Flow::Continue);
    assert_eq!(outcome.reason, StopReason::MaxTokens);
    assert!(!whole.is_empty());
    // The last token that fits is fed; the one after it is still told.
    let (outcome, _) = run(40, &options(500), Flow::Continue);
    assert_eq!((outcome.reason, outcome.stats.generated_tokens), (StopReason::ContextFull, 21));
    assert_eq!(run(256, &options(30), Flow::Stop).0.reason, StopReason::Caller);
    // A stop text from the middle of the answer cuts it there.
    let middle: String = whole.chars().skip(3).take(4).collect();
    let with_stop = GenerateOptions { stop: vec![middle.clone()], ..options(30) };
    let (outcome, text) = run(256, &with_stop, Flow::Continue);
    assert_eq!(outcome.reason, StopReason::StopString);
    assert_eq!(text, whole[..whole.find(&middle).unwrap()]);
    assert_eq!(run(256, &options(0), Flow::Continue).0.stats.generated_tokens, 0);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let model = tiny("llama", 1);
    let mut session = model.session(&sizes(64, 16)).unwrap();
    let kind = |r: siskin::Result<()>| r.unwrap_err().kind();
    assert_eq!(kind(session.prefill(&prompt(65))), ErrorKind::ContextFull);
    assert_eq!(session.position(), 0);
    assert_eq!(kind(session.prefill(&[TokenId(VOCAB as u32)])), ErrorKind::Argument);
    let nothing = session.generate(&[], &options(1), &mut |_| Flow::Continue);
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::Argument);
    for (context, batch, logit_rows) in
        [(Some(0), 1, 1), (Some(8), 0, 1), (Some(usize::MAX), 8, 1), (Some(8), 8, 0), (Some(8), 8, 17)]
    {
        let options = SessionOptions { context, batch, logit_rows, ..SessionOptions::default() };
        assert_eq!(model.session(&options).unwrap_err().kind(), ErrorKind::Argument);
    }
    // Without rows asked for, a pass gives one token's logits.
    assert_eq!(kind(session.decode_rows(&prompt(2)).map(|_| ())), ErrorKind::Argument);
    assert_eq!(kind(session.decode_rows(&[]).map(|_| ())), ErrorKind::Argument);
    assert_eq!(session.decode_rows(&prompt(1)).unwrap().len(), VOCAB);
}

#[test]
fn logprobs_are_those_of_the_model() {
    let model = tiny("qwen2", 1);
    let mut session = model.session(&sizes(64, 16)).unwrap();
    let with = GenerateOptions { logprobs: true, ..options(5) };
    let mut seen = Vec::new();
    session
        .generate(&prompt(5), &with, &mut |event| {
            if let Event::Token { id, logprob } = event {
                seen.push((id, logprob.unwrap()));
            }
            Flow::Continue
        })
        .unwrap();
    let mut again = model.session(&sizes(64, 16)).unwrap();
    again.prefill(&prompt(5)).unwrap();
    for (id, logprob) in seen {
        let total: f64 = again.logits().iter().map(|&l| f64::from(l).exp()).sum();
        let want = f64::from(again.logits()[id.0 as usize]) - total.ln();
        assert!((f64::from(logprob) - want).abs() < 1e-4, "{logprob} is not {want}");
        again.prefill(&[id]).unwrap();
    }
}

#[test]
fn a_file_that_shrinks_under_a_session_is_an_error() {
    let path = std::env::temp_dir().join(format!("siskin-shrinks-{}.gguf", std::process::id()));
    let bytes = common::tiny_file("llama");
    std::fs::write(&path, &bytes).unwrap();
    let model = Model::open(&path, &siskin::ModelOptions::default()).unwrap();
    let mut session = model.session(&sizes(64, 16)).unwrap();
    session.prefill(&prompt(5)).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(bytes.len() as u64 / 2).unwrap();
    let error = session.prefill(&prompt(5)).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error.kind(), ErrorKind::FileChanged);
    let text = error.to_string();
    assert!(text.contains("siskin-shrinks") && text.contains(&bytes.len().to_string()), "{text}");
}
