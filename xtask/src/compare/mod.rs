//! `cargo xtask compare WHAT..`: the same files through this library and through its peers.
//!
//! Prints Markdown tables, keeps figures in a file (`--json`) and writes them to `docs/PERFORMANCE.md` (`report`).
//! `cargo xtask peers` builds the peers. All sides get the same file and number of threads, and what is timed is run in
//! turn, one run of ours and one of each peer, so that a machine that drifts slows all of them. What a peer cannot do,
//! or a peer that is not there, is left out and named on standard error.

mod encode;
mod greedy;
mod limits;
mod load;
mod memory;
mod perplexity;
mod plot;
mod process;
mod record;
mod report;
mod speed;
mod start;
mod table;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::record::{Record, Results};
use crate::{Failure, cargo, workspace_root};

pub(crate) use self::process::busy_loop;

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
    /// The folder that `cargo xtask peers` filled
    #[arg(long, default_value_os_t = workspace_root().join("target/peers"))]
    peers: PathBuf,
    /// The folder of llama.cpp's programs, if they come from elsewhere
    #[arg(long)]
    llama_bin: Option<PathBuf>,
    /// The folder that `cargo xtask models` filled
    #[arg(long, default_value_os_t = workspace_root().join("models"))]
    models: PathBuf,
    /// Other model files than the three small ones
    #[arg(long)]
    model: Vec<PathBuf>,
    /// Threads of all sides
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Runs of each figure, of which the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Tokens before those that `speed` generates; its prefill belongs to 0
    #[arg(long, value_delimiter = ',', default_values_t = [0, 2048])]
    depths: Vec<usize>,
    /// Keep the figures in this file, adding to what it holds
    #[arg(long)]
    json: Option<PathBuf>,
    /// Run at real-time priority (by `chrt`), as little disturbed by other programs as can be; `load` never does
    #[arg(long)]
    priority: bool,
    /// Run each program that is timed through this command, such as "flock FILE"
    #[arg(long, default_value = "")]
    through: String,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum What {
    /// How well a text is predicted, beside llama-perplexity
    Perplexity,
    /// 64 tokens of the most probable text
    Greedy,
    /// Prefill and decode, at several depths
    Speed,
    /// Decode while other programs keep every core busy
    Load,
    /// From the start of the process to its first token
    Start,
    /// Memory at 2,048 tokens
    Memory,
    /// Text to tokens
    Encode,
    /// Write the tables and plots of docs/PERFORMANCE.md from the file of `--json`
    Report,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.priority {
        let me = std::process::id().to_string();
        output(Command::new("chrt").args(["-f", "-p", "1", &me])).map_err(|e| format!("--priority: {e}"))?;
    }
    let mut bench = Bench::new(args)?;
    let mut failures = 0;
    for what in &args.what {
        match what {
            What::Perplexity => failures += perplexity::run(&bench.peers, &bench.models, &args.models)?,
            What::Greedy => failures += greedy::run(&bench.peers, &bench.models)?,
            What::Speed => speed::run(&mut bench, &args.depths)?,
            What::Load => load::run(&mut bench)?,
            What::Start => start::run(&mut bench)?,
            What::Memory => memory::run(&mut bench, &args.models)?,
            What::Encode => encode::run(&mut bench, &args.models)?,
            What::Report => report::run(&bench.results)?,
        }
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} results differ more than they may").into()) }
}

/// A comparison: its sides, its models, and what was found so far.
struct Bench {
    peers: Peers,
    models: Vec<PathBuf>,
    threads: Vec<usize>,
    runs: usize,
    /// Date and priority.
    run: String,
    json: Option<PathBuf>,
    results: Results,
}

impl Bench {
    fn new(args: &Args) -> Result<Self, Failure> {
        let models = if args.model.is_empty() {
            MODELS.iter().map(|m| args.models.join(m)).collect()
        } else {
            args.model.clone()
        };
        let measures = args.what.iter().any(|w| *w != What::Report);
        if measures && let Some(absent) = models.iter().find(|m| !m.exists()) {
            return Err(format!("{} is not there; `cargo xtask models` fetches it", absent.display()).into());
        }
        let mut results = args.json.as_deref().map(Results::open).transpose()?.unwrap_or_default();
        let date = output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.0;
        let priority = if process::real_time() { "real-time" } else { "normal" };
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let machine = machine()?;
        if measures {
            println!("{machine}, {priority} priority, load average before: {load}");
            results.machine = machine;
        }
        let dir = &args.peers;
        let peers = Peers {
            siskin: if measures { cargo::siskin()? } else { PathBuf::new() },
            llama_bin: args.llama_bin.clone().unwrap_or_else(|| dir.join("llama.cpp/build/bin")),
            ik_bin: dir.join("ik_llama.cpp/build/bin"),
            candle: dir.join("candle/release/candle-bench"),
            through: args.through.split_whitespace().map(String::from).collect(),
            threads: args.threads.iter().max().copied().unwrap_or(2).to_string(),
        };
        Ok(Self {
            peers,
            models,
            threads: args.threads.clone(),
            runs: args.runs.max(1),
            run: format!("{}, {priority} priority", date.trim()),
            json: args.json.clone(),
            results,
        })
    }

    /// Runs each of `sides` in turn, as often as was asked for. A side that fails is named and left out from then on.
    fn in_turn<S: Copy + std::fmt::Display, T>(
        &self,
        label: &str,
        sides: &[S],
        mut one: impl FnMut(&Self, S) -> Result<T, Failure>,
    ) -> Vec<(S, Vec<T>)> {
        let mut all: Vec<(S, Vec<T>)> = sides.iter().map(|&s| (s, Vec::new())).collect();
        let terminal = std::io::stderr().is_terminal();
        if !terminal {
            eprintln!("{label}");
        }
        for i in 0..self.runs {
            for (side, values) in &mut all {
                if values.len() < i {
                    continue; // it failed
                }
                if terminal {
                    eprint!("\r{label}: {side}, run {} of {}          ", i + 1, self.runs);
                }
                match one(self, *side) {
                    Ok(value) => values.push(value),
                    Err(e) => eprintln!("\n{label}: {side} left out: {e}"),
                }
            }
        }
        if terminal {
            eprint!("\r{:100}\r", "");
        }
        all.retain(|(_, values)| values.len() == self.runs);
        all
    }

    /// Keeps a result, also on disk.
    fn put(&mut self, record: Record) -> Result<(), Failure> {
        self.results.put(Record { run: self.run.clone(), ..record });
        self.json.as_deref().map_or(Ok(()), |path| self.results.save(path))
    }

    /// Prints what this comparison knows of one table.
    fn print(&self, name: &str) {
        println!("\n{}", table::render(&self.results, name));
    }
}

/// The programs.
struct Peers {
    /// Our command, built with the release profile.
    siskin: PathBuf,
    llama_bin: PathBuf,
    ik_bin: PathBuf,
    candle: PathBuf,
    through: Vec<String>,
    /// For what runs at one number of threads only.
    threads: String,
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

    /// A program that is timed.
    fn timed(&self, program: &Path) -> Command {
        process::at(&self.through.iter().map(String::as_str).collect::<Vec<_>>(), program)
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
fn machine() -> Result<String, Failure> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("?", |l| l.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{name}, {cores} cores, {}", siskin::kernels::Kernels::best().name()))
}

/// A file for the programs to read.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("siskin-compare-{name}"))
}

fn short_name(model: &Path) -> String {
    model.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
