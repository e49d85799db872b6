//! `siskin run`: one prompt, one answer.

use crate::Result;
use crate::answer::Answer;
use crate::args::{Reasoning, RunArgs};
use crate::image::Eyes;
use crate::interrupt::Interrupt;
use crate::output::{CANCELLED, Failure, print, print_json};
use crate::prompt::{conversation, rate, stdin_text, template};
use serde_json::json;
use siskin::chat::Message;
use siskin::{CancelToken, ErrorKind, GenerateOptions, Model, Prompt, SharedSession, StopReason};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

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
    let model = args.model.open_with(args.template.as_deref().map(template).transpose()?)?;
    let load_time = started.elapsed();
    let (prompt, looking) = asked(args, &model, prompt, &interrupt)?;
    let options = GenerateOptions {
        max_tokens: args.max_tokens,
        sampler: args.sampling.config(),
        stop: args.stop.clone(),
        stop_at_end_of_turn: !args.ignore_eos,
        logprobs: args.json,
        reasoning: args.reasoning != Reasoning::Hide,
        ..GenerateOptions::default()
    };
    let session = SharedSession::new(&model, &args.context.options())?;
    let job = session.job(prompt, options.clone())?;
    interrupt.watch(Some(job.cancel_token()));
    let answer = Answer::of(&job, args.json, args.reasoning)?;
    if !answer.at_line_start {
        print("\n")?;
    }
    let outcome = answer.outcome;
    let stats = outcome.stats;
    let decode_rate = answer.decode_rate();
    if args.json {
        print_json(&json!({
            "text": answer.text,
            "reasoning": Some(answer.reasoning).filter(|text| !text.is_empty()),
            "tokens": answer.tokens,
            "logprobs": answer.logprobs,
            "reason": reason(outcome.reason),
            "prompt_tokens": stats.prompt_tokens,
            "generated_tokens": stats.generated_tokens,
            "images_ms": looking.map(|time| time.as_secs_f64() * 1e3),
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
        let looking =
            looking.map_or_else(String::new, |t| format!("images seen in {:.0} ms, ", t.as_secs_f64() * 1e3));
        let line = format!(
            "{looking}{} prompt tokens at {:.1}/s, {} generated at {decode_rate:.1}/s, loaded in {:.0} ms; {}; {}",
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

/// The prompt as the session takes it; with images, what looking at them took.
fn asked(
    args: &RunArgs,
    model: &Model,
    text: String,
    interrupt: &Interrupt,
) -> Result<(Prompt, Option<Duration>)> {
    let missing = model.chat_template().is_err_and(|e| e.kind() == ErrorKind::Missing);
    let raw = args.raw || missing;
    if raw && args.system.is_some() {
        return Err(Failure::Usage(
            "--system: the model has no chat template; --template gives one".to_owned(),
        ));
    }
    if missing && !args.raw {
        eprintln!(
            "siskin: no chat template: the prompt is continued as it is; --raw says so, --template gives one"
        );
    }
    let started = Instant::now();
    let mut eyes = Eyes::new(model, &args.model, &args.images);
    let pictures = args.images.image.iter().map(|path| eyes.picture(path)).collect::<Result<Vec<_>>>()?;
    let cancel = CancelToken::default();
    interrupt.watch(Some(cancel.clone()));
    pictures.iter().try_for_each(|picture| picture.features(&cancel).map(drop))?;
    let looking = (!pictures.is_empty()).then(|| started.elapsed());
    let prompt = if raw {
        Prompt::Text { text, parse_special: true, pictures }
    } else {
        let mut messages: Vec<Message> = args.system.iter().map(|s| Message::new("system", s)).collect();
        messages.push(Message::new("user", text));
        let last = messages.len() - 1;
        let pictures: Vec<_> = pictures.into_iter().map(|picture| (last, picture)).collect();
        conversation(model, &messages, &pictures)?
    };
    Ok((prompt, looking))
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
