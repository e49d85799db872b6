//! Greedy text: 64 tokens on each prompt, ours against llama-completion's.
//!
//! Both sides round activations to eight bits in different ways, so two candidates that are nearly equal may change
//! places. Where the texts part, the gap between our two best logits tells whether that explains it.

use std::path::{Path, PathBuf};

use siskin::engine::{Model, ModelOptions};
use siskin::session::SessionOptions;
use siskin::tokenizer::{Special, TokenId, Tokenizer};

use super::{Peers, output, short_name};
use crate::Failure;

const TOKENS: usize = 64;
/// The largest gap between our two best logits that rounding may bridge: both sides are off by a few tenths on
/// 4-bit weights (`llama_cpp.json` of the reference set).
const TOLERANCE: f32 = 0.5;

const PROMPTS: [&str; 6] = [
    "The capital of France is",
    "Once upon a time, a small bird flew over the sea and",
    "def fibonacci(n):",
    "Water boils at a temperature of",
    "The three primary colors are",
    "A list of the planets, from the sun outwards:",
];

/// Prints the table; returns how many texts part without an explanation.
pub(super) fn run(peers: &Peers, models: &[PathBuf]) -> Result<usize, Failure> {
    println!("\n| model | prompt | equal tokens | where they part |\n|---|---|--:|---|");
    let mut unexplained = 0;
    for path in models {
        let options = ModelOptions { threads: Some(peers.threads.parse()?), ..ModelOptions::default() };
        let model = Model::open(path, &options)?;
        for prompt in PROMPTS {
            let theirs = completion(peers, path, prompt)?;
            let steps = generate(&model, prompt)?;
            let (equal, parted) = compare(&model, &steps, theirs.as_bytes())?;
            let note = match parted {
                None => String::new(),
                Some(step) => {
                    let explained = step.gap <= TOLERANCE;
                    unexplained += usize::from(!explained);
                    let verdict = if explained { "" } else { " **unexplained**" };
                    format!("our best two are {:.3} apart{verdict}", step.gap)
                }
            };
            println!("| {} | {prompt} | {equal}/{} | {note} |", short_name(path), steps.len());
        }
    }
    Ok(unexplained)
}

fn completion(peers: &Peers, model: &Path, prompt: &str) -> Result<String, Failure> {
    let mut command = peers.llama("llama-completion", model);
    command.args(["-p", prompt, "-n", &TOKENS.to_string(), "--temp", "0", "-c", "512", "-no-cnv"]);
    command.args(["--no-display-prompt", "--no-warmup", "--no-escape", "-fit", "off"]);
    let text = output(&mut command)?.0;
    Ok(text.trim_end().trim_end_matches("[end of text]").trim_end().to_string())
}

/// One token of ours.
struct Step {
    token: TokenId,
    /// Best logit less second best.
    gap: f32,
}

fn generate(model: &Model, prompt: &str) -> Result<Vec<Step>, Failure> {
    let ids = model.tokenizer().encode(prompt, Special { add: true, parse: true })?;
    let mut session = model.session(&SessionOptions { context: Some(512), ..SessionOptions::default() })?;
    session.prefill(&ids)?;
    let mut steps = Vec::new();
    while steps.len() < TOKENS {
        let step = best_two(session.logits())?;
        let end = model.tokenizer().is_end(step.token);
        if !end {
            session.prefill(&[step.token])?;
        }
        steps.push(step);
        if end {
            break;
        }
    }
    Ok(steps)
}

fn best_two(logits: &[f32]) -> Result<Step, Failure> {
    let mut best = (0, f32::NEG_INFINITY);
    let mut second = f32::NEG_INFINITY;
    for (i, &x) in logits.iter().enumerate() {
        if x > best.1 {
            (second, best) = (best.1, (i, x));
        } else if x > second {
            second = x;
        }
    }
    Ok(Step { token: TokenId(u32::try_from(best.0)?), gap: best.1 - second })
}

/// How many of our tokens spell the beginning of `theirs`, and the first that does not.
fn compare<'a>(
    model: &Model,
    steps: &'a [Step],
    theirs: &[u8],
) -> Result<(usize, Option<&'a Step>), Failure> {
    let tokenizer: &Tokenizer = model.tokenizer();
    let mut ours = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        tokenizer.append_token_bytes(step.token, &mut ours, false)?;
        // What they printed has lost its white space at the end.
        let all = ours.trim_ascii_end() == theirs;
        let fits = if tokenizer.is_end(step.token) { all } else { all || theirs.starts_with(&ours) };
        if !fits {
            return Ok((i, Some(step)));
        }
    }
    Ok((steps.len(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_between_the_best_two() {
        let step = best_two(&[1.0, 4.0, 3.5, -2.0]).expect("small");
        assert_eq!((step.token, step.gap), (TokenId(1), 0.5));
        let step = best_two(&[4.0, 3.0, 4.0]).expect("small");
        assert_eq!((step.token, step.gap), (TokenId(0), 0.0));
    }
}
