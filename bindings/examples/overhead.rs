//! What a token costs through the Rust API, for `benches/languages/overhead`: MODEL TOKENS -> lines `label microseconds`.
//!
//! With the model of `cargo xtask script-model` a token takes tens of microseconds, so what a layer adds shows.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use siskin::{
    Batch, Event, Flow, GenerateOptions, Model, ModelOptions, Prompt, SamplerConfig, SharedSession,
};

fn main() -> siskin::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(Ok(tokens))) = (args.next(), args.next().map(|n| n.parse::<usize>())) else {
        return Err(siskin::Error::new(siskin::ErrorKind::Argument, "usage: overhead MODEL TOKENS"));
    };
    let model = Model::open(path, &ModelOptions { threads: Some(1), ..ModelOptions::default() })?;
    let session = SharedSession::new(&model, &siskin::SessionOptions::default())?;
    let job = |n| {
        session.truncate(0)?;
        let options = GenerateOptions {
            max_tokens: Some(n),
            sampler: SamplerConfig::greedy(),
            stop_at_end_of_turn: false,
            ..GenerateOptions::default()
        };
        session
            .job(Prompt::Text { text: "hi".to_owned(), parse_special: false, pictures: Vec::new() }, options)
    };
    let mut batch = Batch::default();
    for n in [tokens / 10, tokens] {
        let (job_pushed, started) = (job(n)?, Instant::now());
        let mut seen = 0;
        job_pushed.run(&mut |event| {
            seen += usize::from(matches!(event, Event::Token { .. }));
            Flow::Continue
        })?;
        let pushed = started.elapsed();
        drop(job_pushed);

        let (job_pulled, started) = (job(n)?, Instant::now());
        loop {
            let outcome = job_pulled.next(&mut batch, None)?;
            seen += batch.events().filter(|event| matches!(event, Event::Token { .. })).count();
            if outcome.is_some() {
                break;
            }
        }
        let pulled = started.elapsed();
        assert_eq!(seen, 2 * n, "every token is told, both ways");
        if n == tokens {
            println!("rust-pushed {:.3}", pushed.as_secs_f64() * 1e6 / n as f64);
            println!("rust-pulled {:.3}", pulled.as_secs_f64() * 1e6 / n as f64);
        }
    }
    Ok(())
}
