//! `cargo xtask compare --llama-bin DIR`: the same files through this library and through llama.cpp.
//!
//! Perplexity, greedy text and speed; prints Markdown tables. `docs/PERFORMANCE.md` tells how to get llama.cpp's
//! programs. Both sides get the same file, text and number of threads; speed is measured in turn, one run of ours and
//! one of theirs, so that a machine that drifts slows both.

mod greedy;
mod perplexity;
mod speed;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Failure, cargo, workspace_root};

const MODELS: [&str; 3] = [
    "smollm2-135m-instruct-q4_1.gguf",
    "gemma-3-270m-q4_k_m.gguf",
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to compare
    #[arg(value_enum, default_values_t = [What::Perplexity, What::Greedy, What::Speed])]
    what: Vec<What>,
    /// The folder of llama-perplexity, llama-completion and llama-bench
    #[arg(long)]
    llama_bin: PathBuf,
    /// The folder that `cargo xtask models` filled
    #[arg(long, default_value_os_t = workspace_root().join("models"))]
    models: PathBuf,
    /// Other model files than the three small ones
    #[arg(long)]
    model: Vec<PathBuf>,
    /// Threads of both sides
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Runs of each speed figure, of which the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum What {
    Perplexity,
    Greedy,
    Speed,
}

/// The two sides.
struct Peers {
    /// Our command, built with the release profile.
    siskin: PathBuf,
    llama_bin: PathBuf,
    threads: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let peers = Peers {
        siskin: cargo::siskin()?,
        llama_bin: args.llama_bin.clone(),
        threads: args.threads.to_string(),
    };
    let models = if args.model.is_empty() {
        MODELS.iter().map(|m| args.models.join(m)).collect()
    } else {
        args.model.clone()
    };
    if let Some(absent) = models.iter().find(|m| !m.exists()) {
        return Err(format!("{} is not there; `cargo xtask models` fetches it", absent.display()).into());
    }
    machine(&peers)?;
    let mut failures = 0;
    if args.what.contains(&What::Perplexity) {
        failures += perplexity::run(&peers, &models, &args.models)?;
    }
    if args.what.contains(&What::Greedy) {
        failures += greedy::run(&peers, &models)?;
    }
    if args.what.contains(&What::Speed) {
        speed::run(&peers, &models, args.runs)?;
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} results differ more than they may").into()) }
}

impl Peers {
    /// One of llama.cpp's programs.
    fn llama(&self, name: &str, model: &Path) -> Command {
        let mut command = Command::new(self.llama_bin.join(name));
        command.arg("-m").arg(model).args(["-t", &self.threads]);
        command
    }

    /// Our command.
    fn siskin(&self, what: &str, model: &Path) -> Command {
        let mut command = Command::new(&self.siskin);
        command.arg(what).arg(model).args(["--threads", &self.threads]);
        command
    }
}

/// Runs to the end; standard output and error as text.
fn output(command: &mut Command) -> Result<(String, String), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        return Err(format!("{name} ended with {}:\n{stderr}", out.status).into());
    }
    Ok((stdout.into_owned(), stderr.into_owned()))
}

/// The machine, in a line under which figures may be quoted.
fn machine(peers: &Peers) -> Result<(), Failure> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("?", |l| l.trim_start_matches([' ', '\t', ':']));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let date = output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?.0;
    let cores = std::thread::available_parallelism()?;
    println!(
        "{name}, {cores} cores, {} threads used, {}, load average before: {load}",
        peers.threads,
        date.trim()
    );
    Ok(())
}

fn short_name(model: &Path) -> String {
    model.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
