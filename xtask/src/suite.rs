//! `cargo xtask test`: every test of the workspace, the slowest of them, and the counts on the last line.
//!
//! Builds once with `cargo test --no-run`, then runs each test program itself, so that the time of every test is known
//! without another tool. Lines with `skipped: ` that tests print are shown: a skipped test is never silent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, cargo};

const SLOWEST: usize = 15; // listed

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Only this package (default: all)
    #[arg(long, short)]
    package: Option<String>,
}

#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
    times: Vec<(Duration, String)>,
    skipped: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let (programs, libraries) = build(args)?;
    for (name, program, folder) in programs {
        let started = Instant::now();
        println!("running {name}");
        let mut command = Command::new(&program);
        command.current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder).stdin(Stdio::null());
        // The time of each test is printed only where unstable options are allowed; the tests themselves are the same.
        command.env("RUSTC_BOOTSTRAP", "1").args(["-Zunstable-options", "--report-time", "--show-output"]);
        command.args(&args.filter);
        let out = command.stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&out.stdout);
        let before = (tally.passed, tally.failed);
        tally.read(&name, &text);
        let (passed, failed) = (tally.passed - before.0, tally.failed - before.1);
        println!("  {passed} passed, {failed} failed, {:.1} s", started.elapsed().as_secs_f32());
        if !out.status.success() {
            println!("{text}");
            if failed == 0 {
                tally.failed += 1; // it died: a crash is a failure even if no test says so
                println!("{name} ended with {}", out.status);
            }
        }
    }
    for manifest in &libraries {
        doc_tests(manifest, args, &mut tally)?;
    }
    report(&mut tally)
}

/// A test program: name, path and the folder to run it in.
type Program = (String, PathBuf, PathBuf);

/// Builds the test programs; also says which packages have a library, by manifest: those may have doc tests.
fn build(args: &Args) -> Result<(Vec<Program>, Vec<PathBuf>), Failure> {
    let mut command = vec!["test", "--no-run"];
    match &args.package {
        Some(p) => command.extend(["--package", p]),
        None => command.push("--workspace"),
    }
    let (mut programs, mut libraries) = (Vec::new(), Vec::new());
    for message in cargo::build(&command)? {
        let (Some(program), Some(manifest)) =
            (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        if message["profile"]["test"] == true {
            let folder = PathBuf::from(manifest).parent().map(PathBuf::from).unwrap_or_default();
            let target = message["target"]["name"].as_str().unwrap_or("?");
            let kind = message["target"]["kind"][0].as_str().unwrap_or("?");
            if kind == "lib" {
                libraries.push(PathBuf::from(manifest));
            }
            programs.push((format!("{target} ({kind})"), PathBuf::from(program), folder));
        }
    }
    Ok((programs, libraries))
}

fn doc_tests(manifest: &Path, args: &Args, tally: &mut Tally) -> Result<(), Failure> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--doc", "--manifest-path"]).arg(manifest);
    if let Some(filter) = &args.filter {
        cargo.args(["--", filter]);
    }
    println!("running doc tests");
    let out = cargo.output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let before = tally.failed;
    tally.read("doc", &text);
    if !out.status.success() {
        println!("{text}{}", String::from_utf8_lossy(&out.stderr));
        tally.failed += usize::from(tally.failed == before);
    }
    Ok(())
}

impl Tally {
    /// Reads what one test program printed: lines such as `test a::b ... ok <0.123s>`.
    fn read(&mut self, program: &str, text: &str) {
        for line in text.lines() {
            if let Some((before, after)) = line.split_once("skipped: ") {
                self.skipped.push(format!("{}{}", before.trim_start(), after.trim_end()));
            }
            let Some((name, result)) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... ")) else {
                continue;
            };
            match result.split([' ', ',', '<']).next() {
                Some("ok") => self.passed += 1,
                Some("FAILED") => self.failed += 1,
                Some("ignored") => self.ignored += 1,
                _ => continue,
            }
            let seconds =
                result.rsplit_once('<').and_then(|(_, t)| t.strip_suffix("s>")).and_then(|t| t.parse().ok());
            if let Some(time) = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()) {
                self.times.push((time, format!("{program} {name}")));
            }
        }
    }
}

fn report(tally: &mut Tally) -> Result<(), Failure> {
    tally.times.sort_by(|a, b| b.cmp(a));
    println!("\nslowest tests:");
    for (time, name) in tally.times.iter().take(SLOWEST) {
        println!("{:9.2} s  {name}", time.as_secs_f64());
    }
    if !tally.skipped.is_empty() {
        println!("\nskipped:");
        tally.skipped.sort();
        tally.skipped.dedup();
        tally.skipped.iter().for_each(|s| println!("  {s}"));
    }
    println!("\n{} passed, {} failed, {} ignored", tally.passed, tally.failed, tally.ignored);
    match (tally.passed, tally.failed) {
        (0, 0) => Err("no test ran".into()),
        (_, 0) => Ok(()),
        (_, n) => Err(format!("{n} tests failed").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_the_test_harness() {
        let mut t = Tally::default();
        t.read(
            "core",
            "running 4 tests\ntest a::b ... ok <1.250s>\ntest c ... FAILED <0.001s>\ntest d ... ignored, slow\n\
             skipped: neon (not this processor)\ntest src/lib.rs - x (line 3) ... ok\ntest result: FAILED. 1 passed",
        );
        assert_eq!((t.passed, t.failed, t.ignored), (2, 1, 1));
        assert_eq!(t.times[0], (Duration::from_millis(1250), "core a::b".into()));
        assert_eq!(t.skipped, ["neon (not this processor)"]);
        assert!(report(&mut t).is_err());
        assert!(report(&mut Tally::default()).is_err(), "nothing run is a failure");
    }
}
