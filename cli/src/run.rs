//! `siskin run`: one prompt, one answer.

use crate::Result;
use crate::args::RunArgs;
use crate::interrupt::Interrupt;
use crate::output::{CANCELLED, Failure, print, print_json};
use crate::progress::Progress;
use crate::prompt::{continuation, conversation, rate, stdin_text};
use serde_json::json;
use siskin::chat::Message;
use siskin::{ErrorKind, Event, Flow, GenerateOptions, Model, StopReason};
use std::io::{IsTerminal, Write};
use std::time::Instant;

pub(crate) fn run(args: &RunArgs) -> Result {
    let prompt = match args.prompt.as_deref() {
        Some(text) if text != "-" => text.to_owned(),
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::Usage("no prompt: give one, or pipe it in".to_owned()));
        }
        _ => stdin_text()?,
    };
    if prompt.is_empty() {
        return Err(Failure::Usage("the prompt is empty".to_owned()));
    }
    let interrupt = Interrupt::install()?;
    let started = Instant::now();
    let model = args.model.open()?;
    let load_time = started.elapsed();
    let tokens = if args.raw || model.chat_template().is_err_and(|e| e.kind() == ErrorKind::Missing) {
        if args.system.is_some() {
            return Err(Failure::Usage("--system: the model has no chat template".to_owned()));
        }
        continuation(&model, &prompt)?
    } else {
        let mut messages: Vec<Message> = args.system.iter().map(|s| Message::new("system", s)).collect();
        messages.push(Message::new("user", prompt));
        conversation(&model, &messages)?
    };
    let mut session = model.session(&args.context.options())?;
    interrupt.watch(Some(session.cancel_token()));
    let options = GenerateOptions {
        max_tokens: args.max_tokens,
        sampler: args.sampling.config(),
        stop: args.stop.clone(),
        stop_at_end_of_turn: !args.ignore_eos,
        logprobs: args.json,
        ..GenerateOptions::default()
    };
    let mut progress = Progress::new();
    let (mut text, mut generated, mut logprobs) = (String::new(), Vec::new(), Vec::new());
    let mut broken = None;
    let mut ended = true; // whether the output is at the start of a line
    let outcome = session.generate(&tokens, &options, &mut |event| {
        match event {
            Event::Prefill { done, total } => progress.show("reading", done, total),
            Event::Token { id, logprob } => {
                progress.clear();
                generated.push(id.0);
                logprobs.extend(logprob);
            }
            Event::Text(piece) => {
                if args.json {
                    text.push_str(piece);
                } else if let Err(e) = print(piece) {
                    broken = Some(e);
                    return Flow::Stop;
                } else {
                    ended = piece.ends_with('\n');
                }
            }
        }
        Flow::Continue
    });
    drop(progress);
    if let Some(e) = broken {
        return Err(e.into());
    }
    if !ended {
        print("\n")?;
    }
    let outcome = outcome?;
    let stats = outcome.stats;
    let decode_rate = rate(stats.generated_tokens.saturating_sub(1), stats.decode_time);
    if args.json {
        print_json(&json!({
            "text": text,
            "tokens": generated,
            "logprobs": logprobs,
            "reason": reason(outcome.reason),
            "prompt_tokens": stats.prompt_tokens,
            "generated_tokens": stats.generated_tokens,
            "load_ms": load_time.as_secs_f64() * 1e3,
            "prefill_ms": stats.prefill_time.as_secs_f64() * 1e3,
            "decode_ms": stats.decode_time.as_secs_f64() * 1e3,
            "prefill_tokens_per_second": rate(stats.prompt_tokens, stats.prefill_time),
            "decode_tokens_per_second": decode_rate,
            "seed": options.sampler.seed,
            "kernels": model.kernels().name(),
            "threads": model.threads(),
        }))?;
    }
    if args.stats {
        let line = format!(
            "{} prompt tokens at {:.1}/s, {} generated at {decode_rate:.1}/s, loaded in {:.0} ms; {}; {}",
            stats.prompt_tokens,
            rate(stats.prompt_tokens, stats.prefill_time),
            stats.generated_tokens,
            load_time.as_secs_f64() * 1e3,
            reason(outcome.reason),
            settings(&model),
        );
        let _ = writeln!(std::io::stderr(), "siskin: {line}");
    }
    match outcome.reason {
        StopReason::Cancelled => Err(Failure::Quiet(CANCELLED)),
        _ => Ok(()),
    }
}

/// The name of a reason in JSON and messages.
pub(crate) fn reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndOfTurn => "end_of_turn",
        StopReason::StopString => "stop_string",
        StopReason::MaxTokens => "max_tokens",
        StopReason::ContextFull => "context_full",
        StopReason::Cancelled => "cancelled",
        StopReason::Caller => "caller",
        _ => "other",
    }
}

/// Kernels and threads, for messages.
pub(crate) fn settings(model: &Model) -> String {
    format!("{} kernels, {} threads", model.kernels().name(), model.threads())
}
