//! Speed: prefill of 512 tokens, decode of 64 at several depths.
//!
//! One run of a side is a process of its own that warms up first. Our side also measures, in the same process, how fast
//! the mapped file can be read with as many threads.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::limits::{Work, int8_peak};
use super::record::{Record, Spread};
use super::{Bench, Peers, process, short_name};
use crate::Failure;

const PREFILL: usize = 512;
const DECODE: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Siskin,
    /// Ours without AVX-512.
    Avx2,
    /// Ours with the file that `siskin pack` makes of the model, where there is one beside it.
    Packed,
    Llama,
    Ik,
    Candle,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Siskin => "siskin",
            Self::Avx2 => "siskin (AVX2)",
            Self::Packed => "siskin (packed)",
            Self::Llama => "llama.cpp",
            Self::Ik => "ik_llama.cpp",
            Self::Candle => "candle",
        })
    }
}

/// What one process measures: the prompt only at depth 0.
#[derive(Clone, Copy)]
struct Test {
    depth: usize,
    threads: usize,
}

/// What one run of one side gave.
#[derive(Debug, Default, PartialEq)]
struct Run {
    prefill: Option<f64>,
    decode: f64,
    /// Bytes per token and bytes per second: of ours only.
    read: Option<(f64, f64)>,
}

pub(super) fn run(bench: &mut Bench, depths: &[usize]) -> Result<(), Failure> {
    for model in &bench.models.clone() {
        let work = Work::of(model)?;
        for &threads in &bench.threads.clone() {
            for &depth in depths {
                let test = Test { depth, threads };
                let label = format!("{}, {threads} threads, depth {depth}", short_name(model));
                let sides = sides(&bench.peers, model, depth);
                let peak = if depth == 0 { int8_peak(threads) } else { 0.0 };
                let runs = bench.in_turn(&label, &sides, |b, side| one(&b.peers, side, model, test));
                for record in records(model, test, work, peak, &runs) {
                    bench.put(record)?;
                }
            }
        }
    }
    bench.print("speed");
    Ok(())
}

/// Where `benches/compare` puts the packed file of a model.
fn packed(model: &Path) -> PathBuf {
    model.with_extension("packed.gguf")
}

/// Those that are there. Candle reads long texts too slowly, and all at once.
fn sides(peers: &Peers, model: &Path, depth: usize) -> Vec<Side> {
    let all = [Side::Siskin, Side::Avx2, Side::Packed, Side::Llama, Side::Ik, Side::Candle];
    let there = |side: &Side| match side {
        Side::Siskin => true,
        Side::Avx2 => siskin::kernels::Kernels::tiers()
            .any(|t| t == ("x86_64-avx2", true) && t.0 != siskin::kernels::Kernels::best().name()),
        Side::Packed => packed(model).exists(),
        Side::Llama => peers.llama_bin.join("llama-bench").exists(),
        Side::Ik => peers.ik_bin.join("llama-bench").exists(),
        Side::Candle => peers.candle.exists() && depth == 0,
    };
    all.into_iter().filter(there).collect()
}

/// The results of one test: prefill, if there is one, and decode.
fn records(model: &Path, test: Test, work: Work, peak: f64, runs: &[(Side, Vec<Run>)]) -> Vec<Record> {
    let sides = |value: &dyn Fn(&Run) -> Option<f64>| {
        let of = |r: &Vec<Run>| r.iter().filter_map(value).collect::<Vec<f64>>();
        runs.iter().map(|(s, r)| (s.to_string(), of(r))).filter(|s| !s.1.is_empty()).collect::<Vec<_>>()
    };
    let ours = runs.iter().find(|r| r.0 == Side::Siskin).map_or(&[][..], |r| &r.1);
    let median = |values: Vec<f64>| if values.is_empty() { 0.0 } else { Spread::of(values).median };
    let bytes = median(ours.iter().filter_map(|r| Some(r.read?.0)).collect());
    let base = Record {
        table: "speed".into(),
        model: short_name(model),
        threads: test.threads,
        ..Record::default()
    };
    let prefill = Record {
        test: format!("prefill {PREFILL}"),
        sides: sides(&|r| r.prefill),
        ops: work.inner,
        bytes: bytes / PREFILL as f64, // weights are read once per batch
        limit: peak,
        ..base.clone()
    };
    let decode = Record {
        test: decode_name(test.depth),
        sides: sides(&|r| Some(r.decode)),
        ops: work.all,
        bytes,
        limit: median(ours.iter().filter_map(|r| Some(r.read?.1)).collect()),
        ..base
    };
    [prefill, decode].into_iter().filter(|r| !r.sides.is_empty()).collect()
}

pub(super) fn decode_name(depth: usize) -> String {
    if depth == 0 { format!("decode {DECODE}") } else { format!("decode {DECODE} at {depth}") }
}

fn one(peers: &Peers, side: Side, model: &Path, test: Test) -> Result<Run, Failure> {
    let command = command(peers, side, model, test);
    let report = process::measure(&mut { command })?.stdout;
    // ik_llama.cpp prints a line of its own before the JSON.
    let json = report.find(['[', '{']).map_or("", |start| &report[start..]);
    let report: Value = serde_json::from_str(json).map_err(|e| format!("{e} in:\n{report}"))?;
    let run = match side {
        Side::Siskin | Side::Avx2 | Side::Packed => read_siskin(&report, test.depth),
        Side::Llama | Side::Ik => read_llama(&report, test.depth),
        Side::Candle => read_candle(&report, test.depth),
    };
    run.ok_or_else(|| format!("a figure is missing in {report}").into())
}

fn command(peers: &Peers, side: Side, model: &Path, test: Test) -> Command {
    let (depth, threads) = (test.depth.to_string(), test.threads.to_string());
    let (prefill, decode) = (PREFILL.to_string(), DECODE.to_string());
    let mut command = peers.timed(&match side {
        Side::Siskin | Side::Avx2 | Side::Packed => peers.siskin.clone(),
        Side::Llama => peers.llama_bin.join("llama-bench"),
        Side::Ik => peers.ik_bin.join("llama-bench"),
        Side::Candle => peers.candle.clone(),
    });
    match side {
        Side::Siskin | Side::Avx2 | Side::Packed => {
            let packed = (side == Side::Packed).then(|| packed(model));
            command.arg("bench").arg(packed.as_deref().unwrap_or(model)).args([
                "--json",
                "--repeats",
                "1",
                "--threads",
                &threads,
            ]);
            // A prompt has to be given; a deep run measures a short one for nothing.
            command.args(["--prompt", if test.depth == 0 { &prefill } else { "16" }]);
            command.args(["--tokens", &decode, "--depths", &depth]);
            if side == Side::Avx2 {
                command.args(["--kernels", "x86_64-avx2"]);
            }
        }
        Side::Llama | Side::Ik => {
            command.arg("-m").arg(model).args(["-t", &threads, "-o", "json", "-r", "1"]);
            match (test.depth, side) {
                (0, _) => command.args(["-p", &prefill, "-n", &decode]),
                (_, Side::Llama) => command.args(["-p", "0", "-n", &decode, "-d", &depth]),
                _ => command.args(["-p", "0", "-n", "0", "-gp", &format!("{depth},{decode}")]),
            };
        }
        Side::Candle => {
            command.env("RAYON_NUM_THREADS", &threads).arg(model).args([&prefill, &decode, &depth]);
        }
    }
    command
}

fn read_siskin(report: &Value, depth: usize) -> Option<Run> {
    let entry = |list: &str, key: &str, value: usize| {
        report[list].as_array()?.iter().find(|e| e[key] == value).cloned()
    };
    let decode = entry("decode", "depth", depth)?;
    let prefill = if depth == 0 {
        Some(entry("prefill", "tokens", PREFILL)?["tokens_per_second"].as_f64()?)
    } else {
        None
    };
    let read = (decode["bytes_per_token"].as_f64()?, report["read_bytes_per_second"].as_f64()?);
    Some(Run { prefill, decode: decode["tokens_per_second"].as_f64()?, read: Some(read) })
}

fn read_llama(report: &Value, depth: usize) -> Option<Run> {
    let rates = report.as_array()?.iter().map(|test| test["avg_ts"].as_f64()).collect::<Option<Vec<_>>>()?;
    match (rates.as_slice(), depth) {
        (&[prefill, decode], 0) => Some(Run { prefill: Some(prefill), decode, read: None }),
        (&[decode], 1..) => Some(Run { prefill: None, decode, read: None }),
        _ => None,
    }
}

fn read_candle(report: &Value, depth: usize) -> Option<Run> {
    let prefill = if depth == 0 { Some(report["prefill"].as_f64()?) } else { None };
    Some(Run { prefill, decode: report["decode"][0].as_f64()?, read: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_all_reports() {
        let ours = json!({
            "read_bytes_per_second": 9.0,
            "prefill": [{ "tokens": 128, "tokens_per_second": 1.0 }, { "tokens": 512, "tokens_per_second": 2.0 }],
            "decode": [{ "depth": 0, "tokens_per_second": 3.0, "bytes_per_token": 5 }],
        });
        let run = Run { prefill: Some(2.0), decode: 3.0, read: Some((5.0, 9.0)) };
        assert_eq!(read_siskin(&ours, 0), Some(run));
        assert_eq!(read_siskin(&ours, 2048), None);
        let two = json!([{ "avg_ts": 1.5 }, { "avg_ts": 2.5 }]);
        assert_eq!(read_llama(&two, 0), Some(Run { prefill: Some(1.5), decode: 2.5, read: None }));
        assert_eq!(read_llama(&two, 2048), None, "a deep run has one figure");
        assert_eq!(read_llama(&json!([{ "avg_ts": 2.5 }]), 2048).map(|r| r.decode), Some(2.5));
        assert_eq!(read_llama(&json!([{}]), 0), None);
        let candle = json!({ "prefill": 1.0, "decode": [2.0] });
        assert_eq!(read_candle(&candle, 0), Some(Run { prefill: Some(1.0), decode: 2.0, read: None }));
    }

    #[test]
    fn limits_come_from_our_runs() {
        let work = Work { inner: 10.0, all: 12.0 };
        let run = |rate: f64, read| Run { prefill: Some(rate * 10.0), decode: rate, read };
        let ours =
            vec![run(1.0, Some((6.0, 24.0))), run(2.0, Some((6.0, 24.0))), run(3.0, Some((6.0, 20.0)))];
        let runs = [(Side::Siskin, ours), (Side::Llama, vec![run(1.0, None)])];
        let records = records(Path::new("a/m.gguf"), Test { depth: 0, threads: 2 }, work, 400.0, &runs);
        let [prefill, decode] = records.as_slice() else { panic!("two tests") };
        assert_eq!((prefill.test.as_str(), decode.test.as_str()), ("prefill 512", "decode 64"));
        assert_eq!(prefill.side("siskin").map(|s| s.median), Some(20.0));
        assert_eq!(prefill.share(20.0), Some(0.5));
        assert_eq!(decode.share(2.0), Some(0.5));
        assert_eq!(decode.sides[1], ("llama.cpp".to_string(), vec![1.0]));
    }
}
