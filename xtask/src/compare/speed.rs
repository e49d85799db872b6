//! Speed, run in turn: prefill of 512 tokens, decode of 64 at an empty context and behind 2,048 tokens.
//!
//! One run of each side is a process of its own that warms up first. The medians of all runs are compared; the ratio
//! is ours to theirs, above 1 where we are faster.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Peers, output, short_name};
use crate::Failure;

const PREFILL: u64 = 512;
const DECODE: u64 = 64;
const DEPTHS: [u64; 2] = [0, 2048];

/// Tokens per second, in the order of [`TESTS`].
type Rates = [f64; 3];
const TESTS: [&str; 3] = ["prefill 512", "decode 64", "decode 64 at 2048"];

pub(super) fn run(peers: &Peers, models: &[PathBuf], runs: usize) -> Result<(), Failure> {
    println!("\ntokens per second, medians of {runs} runs in turn (lowest to highest)\n");
    println!("| model | test | siskin | llama.cpp | ratio |\n|---|---|--:|--:|--:|");
    for model in models {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for i in 1..=runs {
            eprint!("\r{}: run {i} of {runs} ", short_name(model));
            ours.push(siskin(peers, model)?);
            theirs.push(llama(peers, model)?);
        }
        eprint!("\r");
        for (i, test) in TESTS.iter().enumerate() {
            let spread = |rates: &[Rates]| Spread::of(rates.iter().map(|r| r[i]).collect());
            let (ours, theirs) = (spread(&ours), spread(&theirs));
            println!(
                "| {} | {test} | {ours} | {theirs} | {:.2} |",
                short_name(model),
                ours.median / theirs.median
            );
        }
    }
    Ok(())
}

fn siskin(peers: &Peers, model: &Path) -> Result<Rates, Failure> {
    let mut bench = peers.siskin("bench", model);
    bench.args([
        "--json",
        "--repeats",
        "1",
        "--prompt",
        &PREFILL.to_string(),
        "--tokens",
        &DECODE.to_string(),
    ]);
    bench.args(["--depths", &DEPTHS.map(|d| d.to_string()).join(",")]);
    let report: Value = serde_json::from_str(&output(&mut bench)?.0)?;
    read_siskin(&report).ok_or_else(|| format!("a figure is missing in {report}").into())
}

fn read_siskin(report: &Value) -> Option<Rates> {
    let rate = |list: &str, key: &str, value: u64| {
        let entry = report[list].as_array()?.iter().find(|e| e[key] == value)?;
        entry["tokens_per_second"].as_f64()
    };
    Some([
        rate("prefill", "tokens", PREFILL)?,
        rate("decode", "depth", DEPTHS[0])?,
        rate("decode", "depth", DEPTHS[1])?,
    ])
}

fn llama(peers: &Peers, model: &Path) -> Result<Rates, Failure> {
    let mut rates = Vec::new();
    // Depth applies to prompts too, so the deep run has none.
    for (prompt, depth) in [(PREFILL, DEPTHS[0]), (0, DEPTHS[1])] {
        let mut bench = peers.llama("llama-bench", model);
        bench.args(["-o", "json", "-r", "1", "-p", &prompt.to_string(), "-n", &DECODE.to_string()]);
        bench.args(["-d", &depth.to_string()]);
        let report: Value = serde_json::from_str(&output(&mut bench)?.0)?;
        rates.extend(read_llama(&report).ok_or_else(|| format!("a figure is missing in {report}"))?);
    }
    rates.try_into().map_err(|r| format!("llama-bench gave other figures than asked for: {r:?}").into())
}

fn read_llama(report: &Value) -> Option<Vec<f64>> {
    report.as_array()?.iter().map(|test| test["avg_ts"].as_f64()).collect()
}

struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        let median =
            if n.is_multiple_of(2) { (at(n / 2) + at((n / 2).wrapping_sub(1))) / 2.0 } else { at(n / 2) };
        Self { low: at(0), median, high: at(n.wrapping_sub(1)) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ({:.1} to {:.1})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_both_reports() {
        let ours = json!({
            "prefill": [{ "tokens": 128, "tokens_per_second": 1.0 }, { "tokens": 512, "tokens_per_second": 2.0 }],
            "decode": [{ "depth": 0, "tokens_per_second": 3.0 }, { "depth": 2048, "tokens_per_second": 4.0 }],
        });
        assert_eq!(read_siskin(&ours), Some([2.0, 3.0, 4.0]));
        assert_eq!(read_siskin(&json!({ "prefill": [] })), None);
        assert_eq!(read_llama(&json!([{ "avg_ts": 1.5 }, { "avg_ts": 2.5 }])), Some(vec![1.5, 2.5]));
        assert_eq!(read_llama(&json!([{}])), None);
    }

    #[test]
    fn medians() {
        let s = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((s.low, s.median, s.high), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).median, 2.5);
        assert!(Spread::of(vec![]).median.is_nan());
    }
}
