//! `cargo xtask badfiles`: runs `siskin check` over the reference set's malformed model files.
//!
//! The corpus is made anew for each seed by the reference set's `badfiles/make_bad_gguf.py`; its manifest says what must
//! be refused, what must load, and what may do either. Whatever the outcome, no case may end in a signal, a panic, a
//! silent refusal, or use more time or memory than the manifest allows.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wait4::Wait4;

use crate::{Failure, cargo, workspace_root};

/// Protects the machine; it is no part of the test. Kibibytes of address space, as `ulimit -v` counts.
const ADDRESS_SPACE_KIB: u64 = 8 << 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seed of the corpus; may be given several times
    #[arg(long = "seed", default_values_t = [1u32, 2])]
    seeds: Vec<u32>,
    /// The reference set
    #[arg(long, env = "SISKIN_REFERENCE")]
    reference: Option<PathBuf>,
    /// Kinds of files to run
    #[arg(long, value_delimiter = ',', default_value = "gguf,gguf-lora,safetensors")]
    kind: Vec<String>,
    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Run models up to this stage, instead of the latest at which the manifest lets an error come
    #[arg(long)]
    stage: Option<String>,
    /// Print every case, not only the failed ones
    #[arg(long)]
    all: bool,
    /// The program to test (default: a release build of this tree)
    #[arg(long)]
    siskin: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let root = workspace_root();
    let reference = args.reference.clone().unwrap_or_else(|| root.join("../shared"));
    let maker = reference.join("badfiles/make_bad_gguf.py");
    if !maker.is_file() {
        println!("skipped: malformed files (no {}; give --reference DIR)", maker.display());
        return Ok(());
    }
    let siskin = match &args.siskin {
        Some(path) => fs::canonicalize(path)?,
        None => cargo::siskin()?,
    };
    let (mut passed, mut failed) = (0usize, 0usize);
    for &seed in &args.seeds {
        let mut corpus = Corpus::make(&maker, &root.join("target/badfiles"), seed)?;
        if let Some(stage) = &args.stage {
            corpus.cases.iter_mut().filter(|c| c.kind != "gguf-lora").for_each(|c| c.stage.clone_from(stage));
        }
        let mut table = BTreeMap::<&str, Tally>::new();
        let mut other_kinds = 0;
        for case in &corpus.cases {
            if !case.name.contains(&args.only) {
                continue;
            }
            if !args.kind.contains(&case.kind) {
                other_kinds += 1;
                continue;
            }
            let mut result = corpus.run(&siskin, case)?;
            if result.outcome == Outcome::Hang {
                result = corpus.run(&siskin, case)?; // the machine may have been busy
            }
            let ok = case.expected.admits(&result.outcome);
            if !ok || args.all {
                let verdict = if ok { "ok  " } else { "FAIL" };
                println!("{verdict} {:<31} {} | {}", case.name, result.outcome, result.message);
            }
            table.entry(&case.class).or_default().add(ok, &result);
        }
        println!("seed {seed}     passed  failed  slowest s  largest MiB");
        for (class, t) in &table {
            println!(
                "  {class:<10} {:>6} {:>7} {:>10.2} {:>12}",
                t.passed,
                t.failed,
                t.slowest.as_secs_f32(),
                t.mib
            );
            passed += t.passed;
            failed += t.failed;
        }
        if other_kinds > 0 {
            println!("  skipped: {other_kinds} cases of kinds other than {}", args.kind.join(", "));
        }
    }
    println!("malformed files: {passed} passed, {failed} failed");
    match (passed, failed) {
        (0, 0) => Err("no case was run".into()),
        (_, 0) => Ok(()),
        _ => Err(format!("{failed} malformed files were not handled as they must be").into()),
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    slowest: Duration,
    mib: u64,
}

impl Tally {
    fn add(&mut self, ok: bool, result: &Run) {
        *(if ok { &mut self.passed } else { &mut self.failed }) += 1;
        self.slowest = self.slowest.max(result.time);
        self.mib = self.mib.max(result.mib);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Refused,
    Loaded,
    Either,
}

impl Expected {
    fn admits(self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Refused => self != Self::Loaded,
            Outcome::Loaded => self != Self::Refused,
            _ => false,
        }
    }
}

struct Limits {
    time: Duration,
    mib: u64,
}

struct Case {
    name: String,
    class: String,
    kind: String,
    stage: String,
    file: PathBuf,
    expected: Expected,
    limits: Limits,
}

struct Corpus {
    dir: PathBuf,
    cases: Vec<Case>,
}

impl Corpus {
    fn make(maker: &Path, parent: &Path, seed: u32) -> Result<Self, Failure> {
        let dir = parent.join(format!("seed-{seed}"));
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let mut python = Command::new("python3");
        python.arg(maker).arg(&dir).args(["--seed", &seed.to_string()]).stdout(Stdio::null());
        if !python.status()?.success() {
            return Err(format!("{} failed", maker.display()).into());
        }
        let manifest: Value = serde_json::from_slice(&fs::read(dir.join("manifest.json"))?)?;
        let cases = manifest["cases"].as_array().ok_or("the manifest has no cases")?;
        let cases =
            cases.iter().map(|c| Case::parse(c, &manifest["limits"], &dir)).collect::<Result<_, _>>()?;
        Ok(Self { dir, cases })
    }

    fn run(&self, siskin: &Path, case: &Case) -> Result<Run, Failure> {
        // Cases run in a folder of their own, so that a file that one of them makes is found.
        let cwd = self.dir.join("cwd");
        fs::create_dir_all(&cwd)?;
        let mut stderr = File::create_new(self.dir.join("stderr")).or_else(|_| {
            fs::remove_file(self.dir.join("stderr"))?;
            File::create_new(self.dir.join("stderr"))
        })?;
        // The shell sets the limits, then becomes the program: what is waited for is the program itself.
        let mut command = Command::new("sh");
        let limit = format!("ulimit -c 0; ulimit -v {ADDRESS_SPACE_KIB} 2>/dev/null; exec \"$@\"");
        command.args(["-c", &limit, "sh"]).arg(siskin);
        command.arg("check").arg(&case.file).args(["--stage", &case.stage]);
        if case.kind == "gguf-lora" {
            command.arg("--base").arg(self.dir.join("gguf/valid.gguf"));
        }
        command.current_dir(&cwd).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.try_clone()?);

        let started = Instant::now();
        let mut child = command.spawn()?;
        let mut late = false;
        let end = loop {
            if let Some(end) = child.try_wait4()? {
                break end;
            }
            if !late && started.elapsed() > case.limits.time {
                late = true;
                child.kill()?; // not waited for yet, so its number is still its own
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let time = started.elapsed();
        let mib = end.rusage.maxrss >> 20;

        let mut text = Vec::new();
        stderr.rewind()?;
        stderr.take(64 << 10).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let message: String = text.trim().lines().last().unwrap_or_default().chars().take(200).collect();
        let mut outcome = if late { Outcome::Hang } else { Outcome::of(end.status, &message) };
        if matches!(outcome, Outcome::Refused | Outcome::Loaded) && mib > case.limits.mib {
            outcome = Outcome::Memory(mib);
        }
        if fs::read_dir(&cwd)?.next().is_some() {
            fs::remove_dir_all(&cwd)?;
            outcome = Outcome::WroteFile;
        }
        Ok(Run { outcome, message, time, mib })
    }
}

impl Case {
    fn parse(case: &Value, common: &Value, dir: &Path) -> Result<Self, Failure> {
        let text = |key: &str| -> Result<String, Failure> {
            Ok(case[key].as_str().ok_or_else(|| format!("a case of the manifest has no {key}"))?.to_owned())
        };
        let limit = |key: &str| {
            let own = case["limits"][key].as_u64();
            own.or_else(|| common[key].as_u64()).ok_or_else(|| format!("the manifest has no limit {key}"))
        };
        let expected = match text("expected")?.as_str() {
            "must be refused with an error" => Expected::Refused,
            "must load" => Expected::Loaded,
            "may load or be refused, must not crash" => Expected::Either,
            other => return Err(format!("unknown expectation \"{other}\"").into()),
        };
        Ok(Self {
            name: text("name")?,
            class: text("class")?,
            kind: text("kind")?,
            stage: text("stage")?,
            file: dir.join(text("file")?),
            expected,
            limits: Limits { time: Duration::from_secs(limit("timeout_s")?), mib: limit("max_rss_mib")? },
        })
    }
}

struct Run {
    outcome: Outcome,
    message: String,
    time: Duration,
    mib: u64,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Loaded,
    Refused,
    /// Exit status 1-99 and nothing on standard error.
    Silent,
    Hang,
    Signal(i32),
    Panic,
    Exit(i32),
    /// More than the limit, MiB.
    Memory(u64),
    /// It left a file where it ran.
    WroteFile,
}

impl Outcome {
    fn of(status: ExitStatus, message: &str) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(0), _) => Self::Loaded,
            (Some(1..=99), _) if message.is_empty() => Self::Silent,
            (Some(1..=99), _) => Self::Refused,
            (Some(101), _) => Self::Panic,
            (Some(other), _) => Self::Exit(other),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loaded => f.write_str("loaded"),
            Self::Refused => f.write_str("refused"),
            Self::Silent => f.write_str("refused without a message"),
            Self::Hang => f.write_str("did not end in time"),
            Self::Signal(s) => write!(f, "ended by signal {s}"),
            Self::Panic => f.write_str("panicked"),
            Self::Exit(c) => write!(f, "exit status {c}"),
            Self::Memory(mib) => write!(f, "used {mib} MiB"),
            Self::WroteFile => f.write_str("wrote a file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell script in place of the command.
    fn outcome(script: &str, limits: Limits) -> Outcome {
        let dir =
            std::env::temp_dir().join(format!("siskin-badfiles-{}-{}", std::process::id(), script.len()));
        fs::create_dir_all(&dir).expect("a folder in the temporary one");
        let program = dir.join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("ours");
        let case = Case {
            name: "a.b".into(),
            class: "a".into(),
            kind: "gguf".into(),
            stage: "load".into(),
            file: dir.join("f"),
            expected: Expected::Either,
            limits,
        };
        let corpus = Corpus { dir: dir.clone(), cases: vec![] };
        let outcome = corpus.run(&program, &case).expect("run").outcome;
        fs::remove_dir_all(dir).expect("ours");
        outcome
    }

    fn plain(script: &str) -> Outcome {
        outcome(script, Limits { time: Duration::from_secs(20), mib: 512 })
    }

    #[test]
    fn every_outcome_is_told_apart() {
        assert_eq!(plain("test \"$1 $3 $4\" = 'check --stage load'"), Outcome::Loaded);
        assert_eq!(plain("echo no >&2; exit 3"), Outcome::Refused);
        assert_eq!(plain("exit 3"), Outcome::Silent);
        assert_eq!(plain("echo panicked >&2; exit 101"), Outcome::Panic);
        assert_eq!(plain("exit 134"), Outcome::Exit(134));
        assert_eq!(plain("kill -SEGV $$"), Outcome::Signal(11));
        assert_eq!(plain("touch ssti_was_here"), Outcome::WroteFile);
        let short = Limits { time: Duration::from_millis(50), mib: 512 };
        assert_eq!(outcome("exec sleep 30", short), Outcome::Hang);
        let small = Limits { time: Duration::from_secs(20), mib: 0 };
        assert!(matches!(outcome("exit 0", small), Outcome::Memory(1..)));
    }

    #[test]
    fn what_each_expectation_admits() {
        for (expected, loaded, refused) in [
            (Expected::Loaded, true, false),
            (Expected::Refused, false, true),
            (Expected::Either, true, true),
        ] {
            assert_eq!(
                (expected.admits(&Outcome::Loaded), expected.admits(&Outcome::Refused)),
                (loaded, refused)
            );
            assert!(!expected.admits(&Outcome::Panic) && !expected.admits(&Outcome::Silent));
        }
    }
}
