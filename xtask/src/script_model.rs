//! `cargo xtask script-model OUT`: a tiny model that always says the same, for tests of what lies around the model.
//!
//! Its weights let attention and feed-forward add nothing, so the next token follows from the last one alone: after any
//! prompt comes [`SCRIPT`], token by token, and after its end token the script again. The script cuts an emoji over four
//! tokens and holds bytes that are no UTF-8, so that a test of any language knows which text it must get. A token costs
//! some tens of microseconds: it also shows what a layer around the library adds to each token.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use siskin::gguf::write::GgufWriter;
use siskin::quant::QuantType::F32;

use crate::Failure;

/// What the model says: a word, four bytes of an emoji, a byte that never occurs in UTF-8, the first bytes of a "€" that
/// does not come whole, at the end the first byte of an "é", and the end token. Each token occurs once.
pub(crate) const SCRIPT: [&str; 15] = [
    "▁Hello", "▁", "<0xF0>", "<0x9F>", "<0x90>", "<0xA6>", ",", "<0xFF>", "▁and", "<0xE2>", "<0x82>", "▁bye",
    "!", "<0xC3>", "</s>",
];
/// The text of that: U+FFFD for each piece that is no character.
pub(crate) const TEXT: &str = " Hello 🐦,\u{FFFD} and\u{FFFD} bye!\u{FFFD}";

const TEMPLATE: &str = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}\
                        {% if add_generation_prompt %}<|assistant|>{% endif %}";
/// Control tokens for fill in the middle and for turns, behind the vocabulary that the script needs.
const MARKS: [&str; 6] = [
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|file_sep|>",
    "<start_of_turn>",
    "<end_of_turn>",
];
/// Behind any prompt "Yes" has a tenth of the logit of the script's first token, and "No" has 0: a classifier asked for a
/// word says yes with a probability of 1 / (1 + exp(-0.1 sqrt(128))), which is 0.7561.
const YES: f32 = 0.1;
const WIDTH: usize = 128;
const HEADS: usize = 2;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to write
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    File::create(&args.out).map(BufWriter::new)?.write_all(&file()?)?;
    let vocab = vocabulary();
    let ids: Vec<String> = SCRIPT.iter().map(|t| position(&vocab, t).to_string()).collect();
    println!("tokens: {}", ids.join(","));
    println!("text: {TEXT}");
    Ok(())
}

/// The whole file.
pub(crate) fn file() -> Result<Vec<u8>, Failure> {
    let vocab = vocabulary();
    let mut w = GgufWriter::new();
    w.set("general.architecture", "llama").set("general.name", "A script for tests");
    for (key, value) in [
        ("block_count", 1),
        ("context_length", 8192),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", WIDTH as u32),
        ("attention.head_count", HEADS as u32),
        ("attention.head_count_kv", HEADS as u32),
    ] {
        w.set(&format!("llama.{key}"), &value);
    }
    w.set("llama.attention.layer_norm_rms_epsilon", &1e-6f32);
    let texts: Vec<&str> = vocab.iter().map(|(text, _)| text.as_str()).collect();
    let kinds: Vec<i32> = vocab.iter().map(|&(_, kind)| kind).collect();
    let scores: Vec<f32> = (0..vocab.len()).map(|i| -(i as f32)).collect();
    w.set("tokenizer.ggml.model", "llama")
        .set("tokenizer.ggml.tokens", texts.as_slice())
        .set("tokenizer.ggml.scores", scores.as_slice())
        .set("tokenizer.ggml.token_type", kinds.as_slice())
        .set("tokenizer.ggml.bos_token_id", &1u32)
        .set("tokenizer.ggml.eos_token_id", &2u32)
        .set("tokenizer.ggml.unknown_token_id", &0u32)
        .set("tokenizer.ggml.fim_pre_token_id", &id(&vocab, MARKS[0]))
        .set("tokenizer.ggml.fim_suf_token_id", &id(&vocab, MARKS[1]))
        .set("tokenizer.ggml.fim_mid_token_id", &id(&vocab, MARKS[2]))
        .set("tokenizer.ggml.fim_sep_token_id", &id(&vocab, MARKS[3]))
        .set("tokenizer.chat_template", TEMPLATE);
    let square = [WIDTH, WIDTH];
    w.tensor("token_embd.weight", F32, &[WIDTH, vocab.len()])?.tensor(
        "output.weight",
        F32,
        &[WIDTH, vocab.len()],
    )?;
    w.tensor("output_norm.weight", F32, &[WIDTH])?;
    for name in ["attn_norm", "ffn_norm"] {
        w.tensor(&format!("blk.0.{name}.weight"), F32, &[WIDTH])?;
    }
    for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        w.tensor(&format!("blk.0.{name}.weight"), F32, &square)?;
    }
    Ok(w.to_bytes(|plan| {
        let n: usize = plan.dims.iter().product();
        let ones = |rows: &dyn Fn(usize) -> Option<usize>| {
            let mut values = vec![0f32; n];
            for (row, column) in (0..vocab.len()).filter_map(|row| Some((row, rows(row)?))) {
                values[row * WIDTH + column] = 1.0;
            }
            values
        };
        let yes = position(&vocab, "Yes");
        let script = |row: usize| SCRIPT.iter().position(|t| *t == vocab[row].0);
        let mut values = match plan.name.as_str() {
            // A token of the script has a direction of its own; all others share the end's, after which it starts.
            "token_embd.weight" => ones(&|row| Some(script(row).unwrap_or(SCRIPT.len() - 1))),
            "output.weight" => ones(&|row| Some((script(row)? + SCRIPT.len() - 1) % SCRIPT.len())),
            _ if plan.dims.len() == 1 => vec![1.0; n],
            _ => vec![0.0; n],
        };
        if plan.name == "output.weight" {
            values[yes * WIDTH + SCRIPT.len() - 1] = YES;
        }
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    })?)
}

/// Texts and kinds: control tokens, the 256 bytes, letters, what the script adds.
fn vocabulary() -> Vec<(String, i32)> {
    let (normal, unknown, control, byte) = (1, 2, 3, 6);
    let mut out = vec![("<unk>".to_owned(), unknown)];
    out.extend(["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"].map(|t| (t.to_owned(), control)));
    out.extend((0..256).map(|b| (format!("<0x{b:02X}>"), byte)));
    out.extend(('a'..='z').map(|c| (c.to_string(), normal)));
    for text in SCRIPT {
        if out.iter().all(|(t, _)| t != text) {
            out.push((text.to_owned(), normal));
        }
    }
    out.extend(MARKS.map(|t| (t.to_owned(), control)));
    out.extend(["Yes", "No"].map(|t| (t.to_owned(), normal)));
    out
}

fn id(vocab: &[(String, i32)], text: &str) -> u32 {
    position(vocab, text) as u32
}

fn position(vocab: &[(String, i32)], text: &str) -> usize {
    vocab.iter().position(|(t, _)| t == text).expect("the vocabulary holds the script")
}

#[cfg(test)]
mod tests {
    use super::*;
    use siskin::chat::{Message, RenderOptions};
    use siskin::gguf::GgufFile;
    use siskin::sampler::SamplerConfig;
    use siskin::{Event, Flow, GenerateOptions, Model, ModelOptions, SessionOptions, StopReason};

    #[test]
    fn says_its_script_after_any_prompt() {
        let file = GgufFile::from_bytes(file().expect("writes")).expect("opens");
        let model = Model::from_gguf(file, &ModelOptions::default()).expect("loads");
        for question in ["hello", "Ünï 🐦 </s>", ""] {
            let render = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
            let prompt = model.conversation(&[Message::new("user", question)], &render).expect("renders");
            let options = GenerateOptions { sampler: SamplerConfig::greedy(), ..GenerateOptions::default() };
            let mut session = model.session(&SessionOptions::default()).expect("fits");
            let (mut text, mut ids) = (String::new(), Vec::new());
            let outcome = session.generate(&prompt, &options, &mut |event| {
                match event {
                    Event::Text(piece) => text.push_str(piece),
                    Event::Token { id, .. } => ids.push(id.0 as usize),
                    Event::Prefill { .. } | Event::Reasoning(_) => {}
                }
                Flow::Continue
            });
            assert_eq!(outcome.expect("runs").reason, StopReason::EndOfTurn);
            assert_eq!(text, TEXT);
            let vocab = vocabulary();
            assert_eq!(ids, SCRIPT.map(|t| position(&vocab, t)));
        }
    }
}
