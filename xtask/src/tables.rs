//! `cargo xtask tables [--write]`: the tables of README.md that follow from code.
//!
//! Each stands between `<!-- table: NAME -->` and `<!-- end -->`. Without `--write` a table that differs is a failure.

use std::fmt::Write;
use std::fs;

use siskin::model::supported_architectures;
use siskin::quant::QuantType;

use crate::{Failure, workspace_root};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bring README.md up to date
    #[arg(long)]
    write: bool,
}

type Table = fn() -> String;
const TABLES: &[(&str, Table)] = &[("models", models), ("types", types)];

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = workspace_root().join("README.md");
    let old = fs::read_to_string(&path)?;
    let mut new = old.clone();
    for (name, table) in TABLES {
        new = replace(&new, name, &table())?;
    }
    if new == old {
        println!("tables: README.md is up to date");
        return Ok(());
    }
    if !args.write {
        return Err("the tables of README.md do not follow the code: `cargo xtask tables --write`".into());
    }
    Ok(fs::write(&path, new)?)
}

/// `text` with the table `name` replaced.
fn replace(text: &str, name: &str, table: &str) -> Result<String, Failure> {
    let begin = format!("<!-- table: {name} -->\n");
    let (before, rest) =
        text.split_once(&begin).ok_or_else(|| format!("README.md has no table \"{name}\""))?;
    let (_, after) = rest.split_once("<!-- end -->").ok_or_else(|| format!("table \"{name}\" has no end"))?;
    Ok(format!("{before}{begin}{table}<!-- end -->{after}"))
}

fn models() -> String {
    let mut out = String::from("| `general.architecture` | models |\n|---|---|\n");
    for (arch, serves) in supported_architectures() {
        writeln!(out, "| `{arch}` | {serves} |").expect("writing to a String");
    }
    out
}

fn types() -> String {
    let mut out = String::from("| type | bits per weight |\n|---|--:|\n");
    let mut types = QuantType::ALL.to_vec();
    types.sort_by_key(|t| std::cmp::Reverse((t.block_bytes() * 1000 / t.block_len(), *t)));
    for ty in types {
        let bits = ty.block_bytes() as f64 * 8.0 / ty.block_len() as f64;
        writeln!(out, "| {} | {bits} |", ty.name()).expect("writing to a String");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_table_changes() {
        let text = "a\n<!-- table: x -->\nold\n<!-- end -->\nb\n<!-- table: y -->\nkeep\n<!-- end -->\n";
        let new = replace(text, "x", "new\n").expect("has it");
        assert_eq!(new, text.replace("old", "new"));
        assert!(replace(text, "z", "").is_err());
        assert!(types().contains("| Q4_K | 4.5 |"), "{}", types());
    }
}
