//! `siskin perplexity`: e to the mean negative log-likelihood of a text, counted as llama.cpp's `llama-perplexity`
//! does.
//!
//! The whole text is tokenized (with a begin token if the model wants one, special-token text taken literally) and
//! cut into windows of `--ctx` tokens; a rest shorter than a window is dropped. In each window the first token is
//! replaced by the begin token if the model wants one, and only the tokens after the middle one count, so that each
//! counted token has at least half a window before it.

use crate::Result;
use crate::args::PerplexityArgs;
use crate::interrupt::Interrupt;
use crate::output::{FAILED, Failure, UNREADABLE, print, print_json};
use crate::progress::Progress;
use crate::prompt::stdin_text;
use serde_json::json;
use siskin::Model;
use siskin::model::Tap;
use siskin::tokenizer::{Special, TokenId};
use std::time::Instant;

pub(crate) fn run(args: &PerplexityArgs) -> Result {
    if args.ctx < 4 {
        return Err(Failure::Usage("--ctx must be at least 4".to_owned()));
    }
    let text = read(args)?;
    let interrupt = Interrupt::install()?;
    let model = args.model.open()?;
    let tokenizer = model.tokenizer();
    let special = Special { add: true, parse: false };
    let tokens = tokenizer.encode(&text, special)?;
    let begin = tokenizer.bos().filter(|bos| tokens.first() == Some(bos));
    let windows = (tokens.len() / args.ctx).min(args.chunks.unwrap_or(usize::MAX));
    if windows == 0 {
        let message = format!("the text has {} tokens, less than one window of {}", tokens.len(), args.ctx);
        return Err(Failure::Other(message, FAILED));
    }
    let mut session = model.session(&args.pass.options(Some(args.ctx)))?;
    interrupt.watch(Some(session.cancel_token()));
    let started = Instant::now();
    let mut progress = Progress::new();
    let mut total = Total::default();
    for (i, window) in tokens.chunks_exact(args.ctx).take(windows).enumerate() {
        progress.show("windows", i, windows);
        let mut window = window.to_vec();
        if let Some(begin) = begin {
            window[0] = begin;
        }
        score(&model, &mut session, &window, &mut total)?;
        progress.clear();
        if !args.json {
            print(&format!("[{}/{windows}] {:.4}\n", i + 1, total.perplexity()))?;
        }
    }
    drop(progress);
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        print_json(&json!({
            "perplexity": total.perplexity(),
            "standard_error": total.standard_error(),
            "windows": windows,
            "window": args.ctx,
            "tokens": tokens.len(),
            "tokens_scored": total.count,
            "seconds": seconds,
            "kernels": model.kernels().name(),
            "kv_type": args.pass.kv_type().name(),
            "threads": model.threads(),
        }))?;
        return Ok(());
    }
    print(&format!("{windows} windows of {} tokens, {} scored, in {seconds:.1} s\n", args.ctx, total.count))?;
    print(&format!("standard error: {:.5}\n", total.standard_error()))?;
    print(&format!("perplexity: {:.4}\n", total.perplexity()))?;
    Ok(())
}

fn read(args: &PerplexityArgs) -> Result<String> {
    let mut text = if args.text.as_os_str() == "-" {
        stdin_text()?
    } else {
        let name = args.text.display();
        let bytes =
            std::fs::read(&args.text).map_err(|e| Failure::Other(format!("{name}: {e}"), UNREADABLE))?;
        String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Failure::Other(format!("{name}: not UTF-8 (at byte {at})"), FAILED)
        })?
    };
    if let Some(most) = args.bytes {
        let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    Ok(text)
}

/// Sums over the scored tokens.
#[derive(Default)]
struct Total {
    /// Of the negative natural logarithms of the probabilities.
    nll: f64,
    squares: f64,
    count: usize,
}

impl Total {
    fn perplexity(&self) -> f64 {
        (self.nll / self.count as f64).exp()
    }

    fn standard_error(&self) -> f64 {
        let n = self.count as f64;
        let mean = self.nll / n;
        let variance = self.squares / n - mean * mean;
        (variance.max(0.0) / (n - 1.0).max(1.0)).sqrt() * mean.exp()
    }
}

/// Scores the second half of a window.
fn score(model: &Model, session: &mut siskin::Session, window: &[TokenId], total: &mut Total) -> Result {
    session.truncate(0);
    let middle = window.len() / 2;
    session.prefill(&window[..middle])?;
    // Logits of position i are about token i + 1; those of the last position are about none of the window's.
    let mut next = window[middle + 1..].iter();
    let known = model.tokenizer().len();
    session.prefill_tapped(&window[middle..window.len() - 1], &mut |tap| {
        if let Tap::Logits(_, logits) = tap
            && let Some(token) = next.next()
        {
            let nll = -log_softmax(&logits[..known.min(logits.len())], token.0 as usize);
            total.nll += nll;
            total.squares += nll * nll;
            total.count += 1;
        }
    })?;
    Ok(())
}

/// The natural logarithm of the probability of `token`.
fn log_softmax(logits: &[f32], token: usize) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from((l - max).exp())).sum();
    f64::from(logits[token] - max) - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals() {
        let mut total = Total::default();
        for nll in [1.0f64, 3.0] {
            total.nll += nll;
            total.squares += nll * nll;
            total.count += 1;
        }
        assert!((total.perplexity() - 2f64.exp()).abs() < 1e-12);
        assert!((total.standard_error() - 2f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn log_softmax_of_equal_logits() {
        assert!((log_softmax(&[7.0; 8], 3) + 8f64.ln()).abs() < 1e-6);
    }
}
