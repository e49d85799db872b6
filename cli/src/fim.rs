//! `siskin fim`: what goes between two texts, or at a place in a file.

use crate::Result;
use crate::answer::Answer;
use crate::args::{ContextArgs, ModelArgs, Reasoning, SamplingArgs, at_least_one};
use crate::interrupt::Interrupt;
use crate::output::{CANCELLED, FAILED, Failure, UNREADABLE, print, print_json};
use crate::place::{Place, offset, place, unescape};
use crate::prompt::{rate, stdin_text};
use crate::run::{reason, settings};
use clap::Args;
use serde_json::json;
use siskin::fim::DEFAULT_MAX_TOKENS;
use siskin::{FimCut, FimFile, FimRequest, GenerateOptions, Model, SharedSession, StopReason};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The most bytes that a file may have.
const MAX_FILE: u64 = 256 << 20;

#[derive(Args, Debug)]
#[command(mut_arg("temp", |temp| temp.default_value("0")))]
pub(crate) struct FimArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The file to complete; "-" for standard input
    #[arg(requires = "at", conflicts_with_all = ["prefix", "prefix_file", "suffix", "suffix_file"])]
    file: Option<PathBuf>,
    /// The place in FILE: LINE:COLUMN, both from 1, columns in characters; or the bytes before it
    #[arg(long, value_name = "PLACE", requires = "file", value_parser = place)]
    at: Option<Place>,
    /// The text before the place; \n, \t and \\ in it are a line end, a tab and a backslash
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "prefix_file")]
    prefix: Option<String>,
    /// The text behind the place, in the same way
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "suffix_file")]
    suffix: Option<String>,
    /// The file with the text before the place; "-" for standard input
    #[arg(long, value_name = "FILE")]
    prefix_file: Option<PathBuf>,
    /// The file with the text behind the place; "-" for standard input
    #[arg(long, value_name = "FILE")]
    suffix_file: Option<PathBuf>,
    /// Another file of the project to know about; may be given several times, the most important one last
    #[arg(long = "with", value_name = "FILE")]
    others: Vec<PathBuf>,
    /// Name of the project, for models that know repositories
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
    /// Path of the text within the project [default: FILE, along with --with or --repo]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Most tokens to generate; so many are kept free
    #[arg(short = 'n', long, value_name = "N", default_value_t = DEFAULT_MAX_TOKENS, value_parser = at_least_one)]
    max_tokens: usize,
    /// End the answer before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Print one JSON object with text, tokens, reason, what was cut and times instead of streaming text
    #[arg(long)]
    json: bool,
    /// Say on standard error how fast it went
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
}

pub(crate) fn run(args: &FimArgs) -> Result {
    let request = request(args)?;
    let interrupt = Interrupt::install()?;
    let started = Instant::now();
    let model = args.model.open()?;
    let load_time = started.elapsed();
    let session = SharedSession::new(&model, &args.context.options())?;
    let options = GenerateOptions {
        max_tokens: Some(args.max_tokens),
        sampler: args.sampling.config(),
        stop: args.stop.clone(),
        logprobs: args.json,
        ..GenerateOptions::default()
    };
    let (job, cut) = session.fim(&request, options.clone())?;
    say_cut(&cut);
    interrupt.watch(Some(job.cancel_token()));
    let answer = Answer::of(&job, args.json, Reasoning::Hide)?;
    if !answer.at_line_start && std::io::stdout().is_terminal() {
        print("\n")?;
    }
    let (reason, stats) = (answer.outcome.reason, answer.outcome.stats);
    let prefill_rate = rate(stats.prompt_tokens, stats.prefill_time);
    if args.json {
        print_json(&json!({
            "text": answer.text,
            "tokens": answer.tokens,
            "logprobs": answer.logprobs,
            "reason": self::reason(reason),
            "cut": {
                "prefix_tokens": cut.prefix_tokens,
                "suffix_tokens": cut.suffix_tokens,
                "files": cut.files,
            },
            "prompt_tokens": stats.prompt_tokens,
            "generated_tokens": stats.generated_tokens,
            "load_ms": load_time.as_secs_f64() * 1e3,
            "prefill_ms": stats.prefill_time.as_secs_f64() * 1e3,
            "decode_ms": stats.decode_time.as_secs_f64() * 1e3,
            "prefill_tokens_per_second": prefill_rate,
            "decode_tokens_per_second": answer.decode_rate(),
            "seed": options.sampler.seed,
            "kernels": model.kernels().name(),
            "threads": model.threads(),
        }))?;
    }
    if args.stats {
        say_stats(&model, &answer, load_time.as_secs_f64() * 1e3);
    }
    match reason {
        StopReason::Cancelled => Err(Failure::Quiet(CANCELLED)),
        _ => Ok(()),
    }
}

fn say_stats(model: &Model, answer: &Answer, load_ms: f64) {
    let stats = answer.outcome.stats;
    let line = format!(
        "{} prompt tokens at {:.1}/s, {} generated at {:.1}/s, loaded in {load_ms:.0} ms; {}; {}",
        stats.prompt_tokens,
        rate(stats.prompt_tokens, stats.prefill_time),
        stats.generated_tokens,
        answer.decode_rate(),
        reason(answer.outcome.reason),
        settings(model),
    );
    let _ = writeln!(std::io::stderr(), "siskin: {line}");
}

/// Says what did not fit, if anything.
fn say_cut(cut: &FimCut) {
    let parts: Vec<String> = [
        (cut.prefix_tokens, "tokens at the start"),
        (cut.suffix_tokens, "tokens at the end"),
        (cut.files, "of the other files"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, what)| format!("{n} {what}"))
    .collect();
    if !parts.is_empty() {
        let line = format!("did not fit and were left out: {}; --ctx makes room", parts.join(", "));
        let _ = writeln!(std::io::stderr(), "siskin: {line}");
    }
}

fn request(args: &FimArgs) -> Result<FimRequest> {
    let stdins = [&args.file, &args.prefix_file, &args.suffix_file].into_iter().flatten();
    if stdins.chain(&args.others).filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::Usage("standard input can be one of the texts only".to_owned()));
    }
    let (prefix, suffix) = match (&args.file, args.at) {
        (Some(file), Some(at)) => {
            let mut text = read(file)?;
            let suffix = text.split_off(offset(&text, at).map_err(Failure::Usage)?);
            (text, suffix)
        }
        _ => {
            let given = |text: &Option<String>, file: &Option<PathBuf>| match (text, file) {
                (Some(text), _) => Ok(Some(unescape(text))),
                (None, Some(file)) => read(file).map(Some),
                (None, None) => Ok(None),
            };
            let (prefix, suffix) =
                (given(&args.prefix, &args.prefix_file)?, given(&args.suffix, &args.suffix_file)?);
            if prefix.is_none() && suffix.is_none() {
                let message = "nothing to complete: give a file and --at, or --prefix and --suffix";
                return Err(Failure::Usage(message.to_owned()));
            }
            (prefix.unwrap_or_default(), suffix.unwrap_or_default())
        }
    };
    let files = args
        .others
        .iter()
        .map(|path| Ok(FimFile { path: path.to_string_lossy().into_owned(), text: read(path)? }))
        .collect::<Result<Vec<_>>>()?;
    let in_project = args.repo.is_some() || !files.is_empty();
    let of_file = || args.file.as_ref().filter(|path| in_project && path.as_os_str() != "-");
    let path = args.path.clone().or_else(|| of_file().map(|path| path.to_string_lossy().into_owned()));
    Ok(FimRequest { prefix, suffix, path, repo: args.repo.clone(), files })
}

/// A text file, or standard input.
fn read(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return stdin_text();
    }
    let unreadable = |e: std::io::Error| Failure::Other(format!("{}: {e}", path.display()), UNREADABLE);
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE {
        return Err(Failure::Other(format!("{} has more than {MAX_FILE} bytes", path.display()), FAILED));
    }
    String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::Other(format!("{} is not UTF-8 (at byte {at})", path.display()), FAILED)
    })
}
