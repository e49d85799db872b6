//! What callers hear of a model that writes on channels, on its small copy of the reference set.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

mod tokenizer_support;

use siskin::engine::{Model, ModelOptions};
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::{Special, TokenId};
use siskin::{Event, Flow, GenerateOptions, SessionOptions, StopReason};

/// Text and reasoning of some letters `a` after `prompt`.
fn heard(model: &Model, prompt: &str, letter: TokenId, options: GenerateOptions) -> (String, String) {
    let prompt = model.tokenizer().encode(prompt, Special { add: false, parse: true }).unwrap();
    let sampler = SamplerConfig { logit_bias: vec![(letter, 1e4)], ..SamplerConfig::greedy() };
    let options = GenerateOptions { max_tokens: Some(3), sampler, ..options };
    let mut session =
        model.session(&SessionOptions { context: Some(64), ..SessionOptions::default() }).unwrap();
    let (mut text, mut reasoning) = (String::new(), String::new());
    let outcome = session.generate(&prompt, &options, &mut |event| {
        match event {
            Event::Text(piece) => text.push_str(piece),
            Event::Reasoning(piece) => reasoning.push_str(piece),
            _ => {}
        }
        Flow::Continue
    });
    assert_eq!(outcome.unwrap().reason, StopReason::MaxTokens);
    (text, reasoning)
}

#[test]
fn text_is_the_answer_alone() {
    let Some(folder) = tokenizer_support::reference("conformance/public/gpt_oss") else { return };
    let model = Model::open(folder.join("model.gguf"), &ModelOptions::default()).unwrap();
    let letter = model.tokenizer().token_id(b"a").unwrap();
    let default = GenerateOptions::default;
    let on_request = || GenerateOptions { reasoning: true, ..default() };
    let pair = |text: &str, reasoning: &str| (text.to_owned(), reasoning.to_owned());
    let analysis = "<|start|>assistant<|channel|>analysis<|message|>";
    assert_eq!(heard(&model, analysis, letter, default()), pair("", ""));
    assert_eq!(heard(&model, analysis, letter, on_request()), pair("", "aaa"));
    // Stop texts are for the answer.
    let stopping = GenerateOptions { stop: vec!["aa".to_owned()], ..on_request() };
    assert_eq!(heard(&model, analysis, letter, stopping), pair("", "aaa"));
    // All that is written, on request.
    let all = GenerateOptions { show_special: true, ..on_request() };
    assert_eq!(heard(&model, analysis, letter, all), pair("aaa", ""));
    for prompt in ["b", "<|start|>assistant<|channel|>final<|message|>", "<|start|>assistant"] {
        assert_eq!(heard(&model, prompt, letter, on_request()), pair("aaa", ""), "{prompt}");
    }
}
