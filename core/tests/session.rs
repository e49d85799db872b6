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
use siskin::session::{Event, Flow, GenerateOptions, SessionOptions, StopReason};
use siskin::tokenizer::TokenId;

const FAMILIES: [&str; 3] = ["llama", "qwen2", "gemma3"];

fn sizes(context: usize, batch: usize) -> SessionOptions {
    SessionOptions { context: Some(context), batch, kv_type: KvType::F16 }
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
    let mut session = model.session(&sizes(1024, batch)).unwrap();
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
    for arch in FAMILIES {
        // Longer than two chunks of attention and many windows.
        let prompt = prompt(600);
        let want = answer(&tiny(arch, 1), 256, &prompt, 40);
        assert!(want.0.iter().all(|x| x.is_finite()) && want.1.len() == 40);
        for (threads, batch) in [(1, 1), (1, 7), (2, 600), (2, 33), (3, 256), (3, 100), (8, 64)] {
            let got = answer(&tiny(arch, threads), batch, &prompt, 40);
            assert!(got == want, "{arch}: {threads} threads, batches of {batch}");
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "says what was skipped")]
fn same_bits_on_every_tier() {
    for arch in FAMILIES {
        let prompt = prompt(70);
        let want = answer(&tiny_on(arch, 1, Some("scalar")), 64, &prompt, 12);
        for (tier, here) in Kernels::tiers() {
            if here {
                let got = answer(&tiny_on(arch, 2, Some(tier)), 64, &prompt, 12);
                assert!(got == want, "{arch} on {tier}");
            } else {
                eprintln!("skipped: {tier} is not on this processor");
            }
        }
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

#[test]
fn continuing_equals_starting_over() {
    for arch in FAMILIES {
        let model = tiny(arch, 2);
        let whole = prompt(700);
        let mut changed = whole.clone();
        changed[650..].reverse();
        let want = answer(&model, 64, &changed, 1).0;
        // Room to go back 50 tokens: windows of 40 and batches of 64 remember that much.
        let mut session = model.session(&sizes(1024, 64)).unwrap();
        session.prefill(&whole).unwrap();
        let kept = session.reuse_prefix(&changed);
        assert!(kept == 650 || (arch == "gemma3" && kept == 0), "{arch} kept {kept}");
        session.prefill(&changed[kept..]).unwrap();
        assert!(session.logits() == want, "{arch}");
        // The same conversation again: all but the last token is kept.
        assert_eq!(session.reuse_prefix(&changed), 699);
        session.prefill(&changed[699..]).unwrap();
        assert!(session.logits() == want, "{arch}");
    }
}

#[test]
fn cancelling_in_the_middle_of_a_prefill_leaves_the_session_whole() {
    let model = tiny("gemma3", 2);
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
    for (context, batch) in [(Some(0), 1), (Some(8), 0), (Some(usize::MAX), 8)] {
        assert!(model.session(&SessionOptions { context, batch, kv_type: KvType::F16 }).is_err());
    }
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
