//! What cargo builds, and where it puts it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Failure, workspace_root};

/// Runs `cargo ARGS` and returns its messages, one per thing built.
pub(crate) fn build(args: &[&str]) -> Result<Vec<Value>, Failure> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace_root()).args(args).arg("--message-format=json-render-diagnostics");
    let out = cargo.stderr(Stdio::inherit()).output()?;
    if !out.status.success() {
        return Err(format!("cargo {} failed", args.join(" ")).into());
    }
    let lines = out.stdout.split(|&b| b == b'\n').filter(|l| !l.is_empty());
    Ok(lines.map(serde_json::from_slice).collect::<Result<_, _>>()?)
}

/// Builds the `siskin` command with the release profile and returns its path, wherever the target folder is.
pub(crate) fn siskin() -> Result<PathBuf, Failure> {
    let built = build(&["build", "--locked", "--release", "--package", "siskin-cli"])?;
    let mut programs = built.iter().filter_map(|m| m["executable"].as_str());
    Ok(programs.next_back().ok_or("cargo built no program")?.into())
}
