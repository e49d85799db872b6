//! Under load: decode while a busy program runs on each core, all at normal priority.
//!
//! Processor time per token is the difference between a long and a short run, so that starting costs nothing.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::process::{Load, Usage, at, measure};
use super::record::{Record, Spread};
use super::{Bench, Peers, process, short_name};
use crate::Failure;

/// Tokens of the two runs.
const SHORT: usize = 8;
const LONG: usize = 40;
const RATE: &str = "tokens/s";
const PROCESSOR: &str = "processor ms per token";
/// What a real-time process starts its children through.
const NORMAL: &[&str] = &["chrt", "-o", "0"];

/// What one pair of runs gave.
struct Run {
    /// Tokens per second.
    rate: f64,
    /// Processor time per token, milliseconds.
    cpu: f64,
}

/// A side, alone or under load.
#[derive(Clone, Copy, PartialEq)]
struct Case {
    side: &'static str,
    loaded: bool,
}

impl Case {
    fn state(self) -> &'static str {
        if self.loaded { "loaded" } else { "alone" }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.side, self.state())
    }
}

pub(super) fn run(bench: &mut Bench) -> Result<(), Failure> {
    let normal = if process::real_time() { NORMAL } else { &[] };
    let cases = [("siskin", false), ("llama.cpp", false), ("siskin", true), ("llama.cpp", true)]
        .map(|(side, loaded)| Case { side, loaded });
    bench.run = bench.run.replace("real-time", "normal");
    for model in &bench.models.clone() {
        for &threads in &bench.threads.clone() {
            let label = format!("{}, {threads} threads", short_name(model));
            let runs = bench.in_turn(&label, &cases, |b, case| {
                let _load = if case.loaded { Some(Load::start(normal)?) } else { None };
                pair(&b.peers, case.side, model, threads, normal)
            });
            for (loaded, state) in [(false, "alone"), (true, "loaded")] {
                for (test, value) in
                    [(RATE, &(|r: &Run| r.rate) as &dyn Fn(&Run) -> f64), (PROCESSOR, &|r| r.cpu)]
                {
                    let these = runs.iter().filter(|r| r.0.loaded == loaded);
                    let sides = these.map(|(c, r)| (c.side.to_string(), r.iter().map(value).collect()));
                    bench.put(Record {
                        table: "load".into(),
                        model: short_name(model),
                        test: format!("{state}: {test}"),
                        threads,
                        sides: sides.collect(),
                        ..Record::default()
                    })?;
                }
            }
        }
    }
    bench.print("load");
    Ok(())
}

fn pair(peers: &Peers, side: &str, model: &Path, threads: usize, normal: &[&str]) -> Result<Run, Failure> {
    let run = if side == "siskin" { siskin } else { llama };
    let (short, _) = run(peers, model, threads, SHORT, normal)?;
    let (long, rate) = run(peers, model, threads, LONG, normal)?;
    Ok(Run { rate, cpu: (long.cpu - short.cpu) * 1e3 / (LONG - SHORT) as f64 })
}

fn siskin(
    peers: &Peers,
    model: &Path,
    threads: usize,
    tokens: usize,
    normal: &[&str],
) -> Result<(Usage, f64), Failure> {
    let mut command = at(normal, &peers.siskin);
    command.arg("run").arg(model).args(["--raw", "--temp", "0", "--ignore-eos", "--json"]);
    // One token fewer is timed than is generated: the first comes from the prompt.
    command.args(["-n", &(tokens + 1).to_string(), "--threads", &threads.to_string(), "The"]);
    let usage = measure(&mut command)?;
    let report: Value = serde_json::from_str(&usage.stdout)?;
    let rate = report["decode_tokens_per_second"].as_f64().ok_or("no speed in the report")?;
    Ok((usage, rate))
}

fn llama(
    peers: &Peers,
    model: &Path,
    threads: usize,
    tokens: usize,
    normal: &[&str],
) -> Result<(Usage, f64), Failure> {
    let mut command = at(normal, &peers.llama_bin.join("llama-bench"));
    command.arg("-m").arg(model).args(["-t", &threads.to_string(), "-o", "json", "-r", "1", "-p", "0"]);
    let usage = measure(command.args(["-n", &tokens.to_string()]))?;
    let report: Value = serde_json::from_str(&usage.stdout)?;
    let rate = report[0]["avg_ts"].as_f64().ok_or("no speed in the report")?;
    Ok((usage, rate))
}

/// A side's figures at one number of threads.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) model: String,
    pub(super) threads: usize,
    pub(super) side: String,
    pub(super) alone: Spread,
    pub(super) loaded: Spread,
    /// Processor milliseconds per token, alone and loaded.
    pub(super) cpu: (f64, f64),
}

/// The rows that are complete.
pub(super) fn rows(records: &[&Record]) -> Vec<Row> {
    let find = |like: &Record, test: &str, side: &str| {
        let same = |r: &&&Record| r.model == like.model && r.threads == like.threads && r.test == test;
        records.iter().find(same)?.side(side)
    };
    let row = |r: &Record, side: &str| {
        Some(Row {
            model: r.model.clone(),
            threads: r.threads,
            side: side.to_string(),
            alone: r.side(side)?,
            loaded: find(r, "loaded: tokens/s", side)?,
            cpu: (
                find(r, "alone: processor ms per token", side)?.median,
                find(r, "loaded: processor ms per token", side)?.median,
            ),
        })
    };
    let all = records.iter().filter(|r| r.test == "alone: tokens/s");
    all.flat_map(|r| r.sides.iter().filter_map(|s| row(r, &s.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_join_four_records() {
        let record = |test: &str, value: f64| Record {
            model: "m".into(),
            test: test.into(),
            threads: 2,
            sides: vec![("siskin".into(), vec![value]), ("gone".into(), vec![])],
            ..Record::default()
        };
        let all = [
            record("alone: tokens/s", 50.0),
            record("loaded: tokens/s", 20.0),
            record("alone: processor ms per token", 10.0),
            record("loaded: processor ms per token", 11.0),
        ];
        let got = rows(&all.iter().collect::<Vec<_>>());
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].alone.median, got[0].loaded.median, got[0].cpu), (50.0, 20.0, (10.0, 11.0)));
        assert!(rows(&all[..3].iter().collect::<Vec<_>>()).is_empty());
    }
}
