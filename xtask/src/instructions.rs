//! `cargo xtask instructions`: how many instructions a token takes. Unlike time, they repeat exactly.
//!
//! Counted by valgrind, which has no AVX-512, in the AVX2 tier with one thread. What starting takes is subtracted: each
//! figure is the difference between two runs of the `siskin` command, per token. Fails where a count in
//! `benches/instructions.txt` is exceeded by more than [`TOLERANCE`]; `--write` accepts what was counted.
//!
//! The file has lines `name count` and comments behind `#`; names that were not counted here (of other processors)
//! are left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Failure, cargo, workspace_root};

const TOLERANCE: f64 = 0.02;
const KERNELS: &str = "x86_64-avx2";
const MODELS: [(&str, &str); 2] =
    [("smollm2-q4_1", "smollm2-135m-instruct-q4_1.gguf"), ("gemma3-270m-q4_k_m", "gemma-3-270m-q4_k_m.gguf")];
/// Tokens generated in the shorter and in the longer run.
const DECODE: [usize; 2] = [2, 10];
/// Words in the shorter and in the longer prompt.
const PROMPT: [usize; 2] = [16, 80];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that `cargo xtask models` filled
    #[arg(long, env = "SISKIN_MODELS", default_value_os_t = workspace_root().join("models"))]
    models: PathBuf,
    /// Accept the counts
    #[arg(long)]
    write: bool,
}

type Counts = Vec<(String, u64)>;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if !cfg!(target_arch = "x86_64") || !runs("valgrind") {
        return skip("instruction counts need valgrind on x86-64");
    }
    let siskin = cargo::siskin()?;
    let mut counted = Counts::new();
    for (name, file) in MODELS {
        let model = args.models.join(file);
        if !model.exists() {
            skip(&format!("{} is not here (cargo xtask models)", model.display()))?;
            continue;
        }
        let count = |prompt: usize, tokens: usize| count(&siskin, &model, prompt, tokens);
        let (base, more, longer) =
            (count(PROMPT[0], DECODE[0])?, count(PROMPT[0], DECODE[1])?, count(PROMPT[1], DECODE[0])?);
        counted.push((
            format!("{KERNELS}/{name}/decode"),
            per_token(&base, &more, more.generated, base.generated)?,
        ));
        counted.push((
            format!("{KERNELS}/{name}/prefill"),
            per_token(&base, &longer, longer.prompt, base.prompt)?,
        ));
    }
    let path = workspace_root().join("benches/instructions.txt");
    let text = fs::read_to_string(&path)?;
    if args.write {
        return Ok(fs::write(&path, accept(&text, &counted)?)?);
    }
    let worse = compare(&parse(&text)?, &counted);
    if worse == 0 { Ok(()) } else { Err(format!("{worse} counts grew; --write accepts them").into()) }
}

/// On CI nothing may be missing.
fn skip(why: &str) -> Result<(), Failure> {
    println!("skipped: {why}");
    if std::env::var_os("CI").is_some() { Err(why.into()) } else { Ok(()) }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
}

/// One run: instructions from start to exit, and the tokens that it read and wrote.
struct Run {
    instructions: u64,
    prompt: u64,
    generated: u64,
}

fn count(siskin: &Path, model: &Path, prompt: usize, tokens: usize) -> Result<Run, Failure> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    valgrind.arg(siskin).arg("run").arg(model).args(["--raw", "--temp", "0", "--ignore-eos", "--json"]);
    valgrind.args(["--threads", "1", "--kernels", KERNELS, "-n", &tokens.to_string()]);
    let out = valgrind.arg("a bird ".repeat(prompt / 2)).stdin(Stdio::null()).output()?;
    let log = String::from_utf8_lossy(&out.stderr);
    let instructions = read_total(&log).filter(|_| out.status.success());
    let instructions = instructions.ok_or_else(|| format!("valgrind gave no count:\n{log}"))?;
    let report: Value = serde_json::from_slice(&out.stdout)?;
    let field = |name: &str| report[name].as_u64().ok_or_else(|| format!("no {name} in {report}"));
    Ok(Run { instructions, prompt: field("prompt_tokens")?, generated: field("generated_tokens")? })
}

/// The number behind `I refs:`.
fn read_total(log: &str) -> Option<u64> {
    let line = log.lines().find_map(|l| l.split_once("I refs:").or_else(|| l.split_once("I   refs:")))?;
    line.1.trim().replace(',', "").parse().ok()
}

fn per_token(base: &Run, more: &Run, tokens: u64, before: u64) -> Result<u64, Failure> {
    let tokens = tokens.checked_sub(before).filter(|&n| n > 0).ok_or("the longer run has no more tokens")?;
    let instructions = more.instructions.checked_sub(base.instructions).ok_or("the longer run took fewer")?;
    Ok(instructions / tokens)
}

fn parse(text: &str) -> Result<Counts, Failure> {
    let lines =
        text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty());
    let read = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_string(), count.trim().parse().ok()?))
    };
    lines.map(|l| read(l).ok_or_else(|| format!("not `name count`: {l}").into())).collect()
}

/// Prints both counts of each name; returns how many are worse than they may be, or unknown.
fn compare(accepted: &Counts, counted: &Counts) -> usize {
    let mut worse = 0;
    for (name, now) in counted {
        let before = accepted.iter().find(|a| a.0 == *name).map(|a| a.1);
        let note = match before {
            None => "not in the file".to_string(),
            Some(before) => format!("{:+.2} %", (*now as f64 / before as f64 - 1.0) * 100.0),
        };
        let fine = before.is_some_and(|before| *now as f64 <= before as f64 * (1.0 + TOLERANCE));
        worse += usize::from(!fine);
        println!("{name}: {now} instructions per token, {note}{}", if fine { "" } else { " FAIL" });
    }
    worse
}

/// `text` with the counts of `counted`; its other lines stay.
fn accept(text: &str, counted: &Counts) -> Result<String, Failure> {
    parse(text)?;
    let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_string();
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for (n, count) in counted {
        let new = format!("{n} {count}");
        match lines.iter_mut().find(|l| name(l) == *n) {
            Some(line) => *line = new,
            None => lines.push(new),
        }
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# per token\na/decode 1000\narm/decode 7 # elsewhere\n";

    fn counts(list: &[(&str, u64)]) -> Counts {
        list.iter().map(|(n, c)| ((*n).to_string(), *c)).collect()
    }

    #[test]
    fn counts_may_fall_but_not_grow() {
        let accepted = parse(FILE).expect("well formed");
        assert_eq!(accepted, counts(&[("a/decode", 1000), ("arm/decode", 7)]));
        assert_eq!(compare(&accepted, &counts(&[("a/decode", 1020)])), 0);
        assert_eq!(compare(&accepted, &counts(&[("a/decode", 10)])), 0);
        assert_eq!(compare(&accepted, &counts(&[("a/decode", 1021), ("new", 1)])), 2);
        assert!(parse("a one").is_err() && parse("alone").is_err());
    }

    #[test]
    fn accepting_leaves_other_lines() {
        let got = accept(FILE, &counts(&[("a/decode", 900), ("b", 5)])).expect("well formed");
        assert_eq!(got, "# per token\na/decode 900\narm/decode 7 # elsewhere\nb 5\n");
    }

    #[test]
    fn reads_what_valgrind_prints() {
        assert_eq!(read_total("==1== \n==1== I   refs:      311,250,598\n"), Some(311_250_598));
        assert_eq!(read_total("==1== I refs:        1,024\n"), Some(1024));
        assert_eq!(read_total("nothing"), None);
        let run = |instructions, generated| Run { instructions, prompt: 1, generated };
        assert_eq!(per_token(&run(100, 2), &run(500, 10), 10, 2).expect("more"), 50);
        assert!(per_token(&run(100, 2), &run(500, 2), 2, 2).is_err());
    }
}
