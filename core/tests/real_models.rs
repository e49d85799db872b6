//! SmolLM2-135M-Instruct, as `cargo xtask models` fetches it: the same tokens everywhere.
//!
//! The folder is `models/` in the workspace, or what `SISKIN_MODELS` says. Also run under ARM emulation by `.ci/arm`.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is a failure; skips are told")]

use std::path::PathBuf;

use siskin::kernels::Kernels;
use siskin::tokenizer::Special;
use siskin::{Event, Flow, GenerateOptions, Model, ModelOptions, SamplerConfig, SessionOptions};

const FILE: &str = "smollm2-135m-instruct-q4_1.gguf";
const PROMPT: &str = "The capital of France is";
/// " Paris.\n\nThe United States has": llama.cpp's greedy tokens for the same file and prompt.
const FIRST_TOKENS: [u32; 8] = [7042, 30, 198, 198, 504, 1797, 1918, 553];

fn file() -> Option<PathBuf> {
    let folder = std::env::var_os("SISKIN_MODELS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models")), PathBuf::from);
    let file = folder.join(FILE);
    if !file.exists() {
        eprintln!("skipped: {} is not there (cargo xtask models)", file.display());
        return None;
    }
    Some(file)
}

fn greedy(threads: usize, batch: usize, tier: Option<&str>) -> Option<Vec<u32>> {
    let options =
        ModelOptions { threads: Some(threads), kernels: tier.map(str::to_owned), ..ModelOptions::default() };
    let model = Model::open(file()?, &options).unwrap();
    let prompt = model.tokenizer().encode(PROMPT, Special { add: true, parse: false }).unwrap();
    let options = SessionOptions { context: Some(64), batch, ..SessionOptions::default() };
    let mut session = model.session(&options).unwrap();
    let options = GenerateOptions {
        max_tokens: Some(FIRST_TOKENS.len()),
        sampler: SamplerConfig::greedy(),
        ..GenerateOptions::default()
    };
    let mut tokens = Vec::new();
    session
        .generate(&prompt, &options, &mut |event| {
            if let Event::Token { id, .. } = event {
                tokens.push(id.0);
            }
            Flow::Continue
        })
        .unwrap();
    Some(tokens)
}

#[test]
fn smollm2_first_tokens() {
    eprintln!("kernels: {}", Kernels::best().name());
    if let Some(tokens) = greedy(1, 256, None) {
        assert_eq!(tokens, FIRST_TOKENS);
    }
}

#[test]
fn smollm2_on_every_tier_of_this_processor() {
    for (tier, here) in Kernels::tiers() {
        // The scalar tier is checked against the others on tiny models; here it would take minutes.
        if !here || tier == "scalar" {
            eprintln!("skipped: {tier}");
        } else if let Some(tokens) = greedy(2, 3, Some(tier)) {
            assert_eq!(tokens, FIRST_TOKENS, "{tier}");
        }
    }
}

#[test]
fn smollm2_on_three_threads_and_in_batches_of_one() {
    if let Some(tokens) = greedy(3, 1, None) {
        assert_eq!(tokens, FIRST_TOKENS);
    }
}
