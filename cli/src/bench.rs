//! `siskin bench`: speed and memory of one model on this machine. Every figure is the median of `--repeats`.

use crate::Result;
use crate::args::BenchArgs;
use crate::interrupt::Interrupt;
use crate::output::{Failure, Table, bytes, median, print, print_json};
use crate::progress::Progress;
use crate::run::settings;
use crate::system::{process_memory, read_bandwidth};
use serde_json::{Value as Json, json};
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::TokenId;
use siskin::{Event, Flow, GenerateOptions, KvType, Model, Session, SessionOptions};
use std::time::{Duration, Instant};

/// Tokens of the prompt before the first token that is timed.
const FIRST_PROMPT: usize = 16;

pub(crate) fn run(args: &BenchArgs) -> Result {
    if args.repeats == 0 || args.tokens < 2 || args.prompt.contains(&0) || args.rows.contains(&0) {
        return Err(Failure::Usage(
            "bench needs at least 1 repeat, prompts of 1 token, 2 tokens to generate and passes of 1 row"
                .into(),
        ));
    }
    let interrupt = Interrupt::install()?;
    let before = process_memory("RssAnon:");
    let mut progress = Progress::new();
    let model = args.model.open()?;
    let most_rows = args.rows.iter().copied().max().unwrap_or(1);
    let deepest = args.depths.iter().map(|d| d.max(&1) + args.tokens.max(most_rows)).max().unwrap_or(0);
    let longest = args.prompt.iter().copied().max().unwrap_or(1);
    // The cache grows in steps of this; a context that fills the last one can be compared with the plan.
    let context = deepest.max(longest).next_multiple_of(siskin::kernels::ATTN_CHUNK);
    let options = SessionOptions { logit_rows: most_rows, ..args.pass.options(Some(context)) };
    let mut session = model.session(&options)?;
    interrupt.watch(Some(session.cancel_token()));
    progress.line(|| "measuring memory bandwidth".to_owned());
    let bandwidth = read_bandwidth(model.file(), model.threads(), Duration::from_millis(500));
    let prefill = args
        .prompt
        .iter()
        .map(|&n| Ok((n, prefill(&mut session, n, args.repeats, &mut progress)?)))
        .collect::<Result<Vec<_>>>()?;
    let decode = args
        .depths
        .iter()
        .map(|&depth| {
            let (rate, head) = decode(&mut session, depth, args, &mut progress)?;
            let cache = cache_bytes(&model, args.pass.kv_type(), depth + args.tokens / 2);
            let read = session.fit().bytes_per_token + cache;
            Ok(Decode { depth, rate, head, read, fraction: rate * read as f64 / bandwidth })
        })
        .collect::<Result<Vec<_>>>()?;
    let rows = rows(&mut session, args, &mut progress)?;
    // What a full session really takes: every position of the cache was written once.
    fill(&mut session, context)?;
    let dirty = process_memory("RssAnon:").zip(before).map(|(now, before)| now.saturating_sub(before));
    let peak = process_memory("VmHWM:");
    let fit = *session.fit();
    drop(session);
    // Last, as the allocator may keep what these sessions give back.
    interrupt.watch(None);
    let (load, first) = times_to_first(args, &mut progress)?;
    drop(progress);
    let kv = args.pass.kv_type();
    let report = Report { load, first, bandwidth, prefill, decode, rows, dirty, peak };
    if args.json {
        print_json(&report.json(&model, &fit, kv))?;
    } else {
        print(&report.text(&model, &fit, kv))?;
    }
    Ok(())
}

struct Decode {
    depth: usize,
    /// Tokens per second.
    rate: f64,
    /// Share of the rows of the output matrix that one token computes.
    head: f64,
    /// Bytes of weights and cache that one token reads.
    read: u64,
    /// Of the bandwidth.
    fraction: f64,
}

/// Passes that give several rows of logits.
struct RowsRate {
    depth: usize,
    rows: usize,
    /// Tokens per second.
    rate: f64,
    /// The rate over that of one row.
    ratio: f64,
}

struct Report {
    load: f64,
    first: f64,
    bandwidth: f64,
    prefill: Vec<(usize, f64)>,
    decode: Vec<Decode>,
    rows: Vec<RowsRate>,
    dirty: Option<u64>,
    peak: Option<u64>,
}

/// Milliseconds from nothing to a model, and to its first token.
fn times_to_first(args: &BenchArgs, progress: &mut Progress) -> Result<(f64, f64)> {
    let (mut load, mut first) = (Vec::new(), Vec::new());
    for i in 0..args.repeats {
        progress.show("loading", i, args.repeats);
        let start = Instant::now();
        let model = args.model.open()?;
        load.push(start.elapsed().as_secs_f64() * 1e3);
        let mut session = model.session(&args.pass.options(None))?;
        let options = generate_options(1);
        session.generate(&tokens(&model, FIRST_PROMPT), &options, &mut |_| Flow::Continue)?;
        first.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(&load), median(&first)))
}

fn generate_options(tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_tokens: Some(tokens),
        sampler: SamplerConfig::greedy(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    }
}

/// Tokens from all over the vocabulary, always the same ones.
fn tokens(model: &Model, n: usize) -> Vec<TokenId> {
    let vocab = model.tokenizer().len().max(1) as u64;
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TokenId(((state >> 33) % vocab) as u32)
    };
    (0..n).map(|_| next()).collect()
}

/// Prompt tokens per second.
fn prefill(session: &mut Session, n: usize, repeats: usize, progress: &mut Progress) -> Result<f64> {
    let prompt = tokens(session.model(), n);
    let mut rates = Vec::new();
    // The first run warms up.
    for i in 0..=repeats {
        progress.show(&format!("prefill {n}"), i, repeats + 1);
        session.truncate(0);
        let start = Instant::now();
        session.prefill(&prompt)?;
        rates.push(n as f64 / start.elapsed().as_secs_f64());
    }
    Ok(median(&rates[1..]))
}

/// Generated tokens per second, and the share of the output matrix that they computed, with `depth` tokens before them.
fn decode(
    session: &mut Session,
    depth: usize,
    args: &BenchArgs,
    progress: &mut Progress,
) -> Result<(f64, f64)> {
    let depth = depth.max(1);
    let prompt = tokens(session.model(), depth);
    let options = generate_options(args.tokens);
    let (mut rates, mut head) = (Vec::new(), 1.0);
    for i in 0..=args.repeats {
        let kept = session.reuse_prefix(&prompt);
        let outcome = session.generate(&prompt[kept..], &options, &mut |event| {
            if let Event::Prefill { done, total } = event
                && total > 1
            {
                progress.show(&format!("filling {depth}"), done, total);
            } else {
                progress.show(&format!("decode at {depth}"), i, args.repeats + 1);
            }
            Flow::Continue
        })?;
        let steps = outcome.stats.generated_tokens.saturating_sub(1);
        rates.push(steps as f64 / outcome.stats.decode_time.as_secs_f64());
        head = outcome.stats.head.share();
    }
    Ok((median(&rates[1..]), head))
}

/// At each depth, tokens per second of passes with each number of rows, and of one row to compare with. The numbers take
/// turns, so that a machine that drifts does so for all.
fn rows(session: &mut Session, args: &BenchArgs, progress: &mut Progress) -> Result<Vec<RowsRate>> {
    let mut all = Vec::new();
    if args.rows.is_empty() {
        return Ok(all);
    }
    let numbers: Vec<usize> = std::iter::once(1).chain(args.rows.iter().copied()).collect();
    for &depth in &args.depths {
        let fed = tokens(session.model(), depth + args.tokens.max(session.fit().logit_rows));
        let mut rates = vec![Vec::new(); numbers.len()];
        // The first round warms up.
        for i in 0..=args.repeats {
            for (&n, rates) in numbers.iter().zip(&mut rates) {
                progress.show(&format!("{n} rows at {depth}"), i, args.repeats + 1);
                let kept = session.reuse_prefix(&fed[..=depth]);
                session.prefill(&fed[kept..depth])?;
                let passes = (args.tokens / n).max(1);
                let start = Instant::now();
                for pass in fed[depth..].chunks_exact(n).take(passes) {
                    session.decode_rows(pass)?;
                }
                rates.push((passes * n) as f64 / start.elapsed().as_secs_f64());
            }
        }
        let rates: Vec<f64> = rates.iter().map(|rates| median(&rates[1..])).collect();
        let measured = args.rows.iter().zip(&rates[1..]);
        all.extend(measured.map(|(&rows, &rate)| RowsRate { depth, rows, rate, ratio: rate / rates[0] }));
    }
    Ok(all)
}

/// Feeds tokens until the context is full.
fn fill(session: &mut Session, context: usize) -> Result {
    let all = tokens(session.model(), context);
    let position = session.position().min(context);
    session.prefill(&all[position..])?;
    Ok(())
}

/// Bytes of keys and values that the token after `depth` others reads.
fn cache_bytes(model: &Model, kv: KvType, depth: usize) -> u64 {
    let layers = model.spec().layers.iter().map(|l| &l.attention);
    layers
        .map(|a| {
            let seen = a.window().unwrap_or(depth).min(depth);
            (a.bytes_per_position(kv).unwrap_or(0) * seen) as u64
        })
        .sum()
}

impl Report {
    fn json(&self, model: &Model, fit: &siskin::Fit, kv: KvType) -> Json {
        let prefill = self.prefill.iter().map(|(n, rate)| json!({ "tokens": n, "tokens_per_second": rate }));
        let decode = self.decode.iter().map(|d| {
            json!({
                "depth": d.depth,
                "tokens_per_second": d.rate,
                "share_of_head": d.head,
                "bytes_per_token": d.read,
                "fraction_of_bandwidth": d.fraction,
            })
        });
        let rows = self.rows.iter().map(|r| {
            json!({ "depth": r.depth, "rows": r.rows, "tokens_per_second": r.rate, "times_one_row": r.ratio })
        });
        json!({
            "model": model.file().path().map(|p| p.display().to_string()),
            "kernels": model.kernels().name(),
            "threads": model.threads(),
            "context": fit.context,
            "batch": fit.batch,
            "kv_type": kv.name(),
            "load_ms": self.load,
            "first_token_ms": self.first,
            "read_bytes_per_second": self.bandwidth,
            "prefill": prefill.collect::<Vec<_>>(),
            "decode": decode.collect::<Vec<_>>(),
            "rows": rows.collect::<Vec<_>>(),
            "memory": {
                "mapped_bytes": fit.mapped,
                "dirty_bytes": self.dirty,
                "dirty_bytes_planned": fit.dirty(),
                "peak_resident_bytes": self.peak,
            },
        })
    }

    fn text(&self, model: &Model, fit: &siskin::Fit, kv: KvType) -> String {
        let mut speed = Table::new(&["test", "tokens/s", "of bandwidth", "of the head"]);
        for (n, rate) in &self.prefill {
            speed.row([format!("prefill {n}"), format!("{rate:.1}"), String::new(), String::new()]);
        }
        for d in &self.decode {
            speed.row([
                format!("decode at {}", d.depth),
                format!("{:.1}", d.rate),
                format!("{:.0} %", d.fraction * 100.0),
                format!("{:.2} %", d.head * 100.0),
            ]);
        }
        let mut rows = Table::new(&["rows of logits", "at", "tokens/s", "times one row"]);
        for r in &self.rows {
            rows.row([
                r.rows.to_string(),
                r.depth.to_string(),
                format!("{:.1}", r.rate),
                format!("{:.2}", r.ratio),
            ]);
        }
        let rows = if self.rows.is_empty() { String::new() } else { format!("{}\n", rows.render()) };
        let size = |n: Option<u64>| n.map_or("unknown".to_owned(), bytes);
        format!(
            "{}\nload {:.1} ms, first token {:.1} ms (after {FIRST_PROMPT} prompt tokens)\n\n{}\n{rows}\
             memory is read at {:.1} GB/s, weights per token {}\n\
             dirty memory {} (planned {}), peak resident {}, mapped {}; context {} in {}\n",
            settings(model),
            self.load,
            self.first,
            speed.render(),
            self.bandwidth / 1e9,
            bytes(fit.bytes_per_token),
            size(self.dirty),
            bytes(fit.dirty()),
            size(self.peak),
            bytes(fit.mapped),
            fit.context,
            kv.name(),
        )
    }
}
