//! From the start of the process to its first token and its end, the file in the page cache; a prompt of five tokens.

use std::path::Path;

use super::process::measure;
use super::record::Record;
use super::{Bench, short_name};
use crate::Failure;

const PROMPT: &str = "The capital of France is";

pub(super) fn run(bench: &mut Bench) -> Result<(), Failure> {
    for model in &bench.models.clone() {
        for &threads in &bench.threads.clone() {
            let label = format!("{}, {threads} threads, first token", short_name(model));
            let runs = bench.in_turn(&label, &["siskin", "llama.cpp"], |b, side| {
                let mut command = match side {
                    "siskin" => ours(b, model),
                    _ => theirs(b, model),
                };
                Ok(measure(command.args(["-t", &threads.to_string()]))?.wall * 1e3)
            });
            bench.put(Record {
                table: "start".into(),
                model: short_name(model),
                test: "process start to first token and exit, ms".into(),
                threads,
                sides: runs.into_iter().map(|(s, r)| (s.to_string(), r)).collect(),
                ..Record::default()
            })?;
        }
    }
    bench.print("start");
    Ok(())
}

fn ours(bench: &Bench, model: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(&bench.peers.siskin);
    command.arg("run").arg(model).args(["--raw", "-n", "1", "--temp", "0", PROMPT]);
    command
}

/// Without its warm-up and without fitting parameters to the memory: both would only slow it.
fn theirs(bench: &Bench, model: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(bench.peers.llama_bin.join("llama-completion"));
    command.arg("-m").arg(model).args(["-p", PROMPT, "-n", "1", "--temp", "0", "--no-warmup", "-no-cnv"]);
    command.args(["-fit", "off"]);
    command
}
