//! `cargo xtask size`: how large the shared libraries are, and which crates make them so.
//!
//! Reads libraries that have their symbols (`nm --print-size`) and the stripped ones beside them. Code and constants that
//! have a symbol are attributed to the crate that the symbol names: the first path segment of a mangled Rust name, or of
//! the type that an `impl` is for. What is generic counts for the crate whose code it is, not for the one that uses it.
//! The rest (tables of the linker, unwinding, unnamed constants) is one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Failure, workspace_root};

/// What the library for arm64 may have, in bytes.
const BUDGET: u64 = 3 << 20;
/// Growth against the committed file that needs a look, in percent.
const GROWTH: u64 = 3;
const SHOWN: usize = 10;
/// Kept by this command and by CI: see the end of [`run`].
const FILE: &str = "docs/SIZE.md";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A library, as NAME=STRIPPED=WITH_SYMBOLS
    #[arg(long = "library", value_name = "NAME=STRIPPED=WITH_SYMBOLS", required = true)]
    libraries: Vec<String>,
    /// Another thing to list by its size alone, as NAME=FILE
    #[arg(long = "also", value_name = "NAME=FILE")]
    also: Vec<String>,
    /// Write docs/SIZE.md instead of comparing with it
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = workspace_root().join(FILE);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let mut report = String::new();
    let mut sizes = Vec::new();
    for library in &args.libraries {
        let [name, stripped, full] = library.splitn(3, '=').collect::<Vec<_>>()[..] else {
            return Err("--library wants NAME=STRIPPED=WITH_SYMBOLS".into());
        };
        let total = fs::metadata(stripped)?.len();
        sizes.push((name.to_owned(), total));
        section(&mut report, name, total, stripped, full)?;
    }
    for also in &args.also {
        let (name, file) = also.split_once('=').ok_or("--also wants NAME=FILE")?;
        sizes.push((name.to_owned(), fs::metadata(PathBuf::from(file))?.len()));
    }
    let text = document(&sizes, &report, &committed);
    print!("{text}");
    if args.write {
        fs::write(&path, text)?;
        return Ok(());
    }
    let failed = verdicts(&sizes, &committed);
    for failure in &failed {
        println!("{failure}");
    }
    println!("size: {} passed, {} failed", sizes.len() - failed.len().min(sizes.len()), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("see {FILE}").into()) }
}

/// The whole file. A row of the table that was not measured this time stays as it is committed.
fn document(sizes: &[(String, u64)], report: &str, committed: &str) -> String {
    let mut rows: BTreeMap<String, u64> = listed(committed);
    rows.extend(sizes.iter().cloned());
    let mut text = "# Sizes\n\n\
        What ships, in bytes, stripped, profile `dist`. `cargo xtask size` writes and checks this file (`.ci/android`): a library\n\
        that grows by more than 3 %, or an arm64 library of more than 3 MiB, fails. The slices of the XCFramework are in `ios/sizes.txt`.\n\n| what | bytes |\n|---|--:|\n"
        .to_owned();
    for (name, size) in &rows {
        let _ = writeln!(text, "| {name} | {size} |");
    }
    let report =
        if report.is_empty() { committed.split_once("\n## ").map_or("", |(_, r)| r) } else { report };
    let _ = write!(text, "\n{report}");
    text
}

/// The first table of a committed file: what comes behind the next heading is about one library.
fn listed(text: &str) -> BTreeMap<String, u64> {
    let table = text.split_once("\n## ").map_or(text, |(table, _)| table);
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
    });
    rows.collect()
}

/// What is wrong with these sizes.
fn verdicts(sizes: &[(String, u64)], committed: &str) -> Vec<String> {
    let listed = listed(committed);
    let verdict = |(name, size): &(String, u64)| match listed.get(name) {
        _ if name.contains("arm64") && name.contains(".so") && *size > BUDGET => {
            Some(format!("{name}: {size} bytes are more than {BUDGET}"))
        }
        None => None, // measured for the first time: printed, and listed by the next `--write`
        Some(before) if *size * 100 > before * (100 + GROWTH) => Some(format!(
            "{name}: grew from {before} to {size} bytes; if that is meant, `cargo xtask size --write`"
        )),
        Some(_) => None,
    };
    sizes.iter().filter_map(verdict).collect()
}

/// Sections and contributors of one library.
fn section(report: &mut String, name: &str, total: u64, stripped: &str, full: &str) -> Result<(), Failure> {
    let _ = writeln!(report, "## {name}\n\n| section | bytes |\n|---|--:|");
    let mut sections: Vec<(String, u64)> = tool("size", &["-A", stripped])?
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, size) = (words.next()?, words.next()?.parse().ok()?);
            name.starts_with('.').then(|| (name.to_owned(), size))
        })
        .collect();
    sections.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    for (name, size) in sections.iter().take(SHOWN).filter(|s| s.1 > 0) {
        let _ = writeln!(report, "| {name} | {size} |");
    }
    let mut crates: BTreeMap<String, u64> = BTreeMap::new();
    for line in tool("nm", &["--print-size", "--defined-only", full])?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, size, kind, symbol] = words[..]
            && !kind.eq_ignore_ascii_case("b")
        {
            *crates.entry(owner(symbol)).or_default() += u64::from_str_radix(size, 16)?;
        }
    }
    let named: u64 = crates.values().sum();
    let mut crates: Vec<_> = crates.into_iter().collect();
    crates.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let _ = writeln!(report, "\n| crate | bytes with a name |\n|---|--:|");
    for (name, size) in crates.iter().take(SHOWN) {
        let _ = writeln!(report, "| {name} | {size} |");
    }
    let others: u64 = crates.iter().skip(SHOWN).map(|c| c.1).sum();
    let _ = writeln!(report, "| {} others | {others} |", crates.len().saturating_sub(SHOWN));
    let _ = writeln!(report, "| without a name | {} |\n", total.saturating_sub(named));
    Ok(())
}

fn tool(name: &str, arguments: &[&str]) -> Result<String, Failure> {
    let candidates = [format!("llvm-{name}-22"), name.to_owned()];
    for program in candidates {
        if let Ok(out) = Command::new(&program).args(arguments).output()
            && out.status.success()
        {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
    }
    Err(format!("neither llvm-{name}-22 nor {name} reads {}", arguments.last().unwrap_or(&"")).into())
}

/// The crate that a symbol belongs to, by its mangled name.
fn owner(symbol: &str) -> String {
    let name = if let Some(rest) = symbol.strip_prefix("_R") {
        v0(rest)
    } else if let Some(rest) = symbol.strip_prefix("_ZN") {
        legacy(rest)
    } else {
        None
    };
    name.unwrap_or_else(|| {
        if symbol.starts_with("uniffi_") {
            "siskin_bindings".to_owned()
        } else {
            "not Rust, or exported".to_owned()
        }
    })
}

/// v0: crate roots are `C s<disambiguator>_ <length><name>`; the first one in the symbol is that of its path.
fn v0(symbol: &str) -> Option<String> {
    let bytes = symbol.as_bytes();
    let mut at = 0;
    loop {
        at += symbol[at..].find("Cs")? + 2;
        let end = symbol[at..].find('_')? + at;
        if bytes[at..end].iter().all(u8::is_ascii_alphanumeric)
            && let Some(name) = counted(&symbol[end + 1..])
        {
            return Some(name.to_owned());
        }
    }
}

/// Legacy: `<length><segment>` in a row. An impl's first segment is `<A as B>` or `_$LT$A..`; its type comes first.
fn legacy(symbol: &str) -> Option<String> {
    let first = counted(symbol)?;
    if !first.contains('$') {
        return Some(first.to_owned());
    }
    // `_$LT$alloc..vec..Vec$LT$T$GT$$u20$as..`: the first name before `..`
    let mut words = first.split("..").map(|w| w.rsplit('$').next().unwrap_or(w));
    words.find(|w| !w.is_empty() && w.chars().all(|c| c.is_alphanumeric() || c == '_')).map(str::to_owned)
}

/// `<length><name>`, as both manglings write a name.
fn counted(text: &str) -> Option<&str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length: usize = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    rest.get(..length).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_names_its_crate() {
        for (symbol, want) in [
            ("_ZN6siskin7session7Session8generate17h0123456789abcdefE", "siskin"),
            ("_ZN4core3fmt5Write10write_char17h0E", "core"),
            ("_ZN50_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str17hE", "alloc"),
            ("_RNvMs_NtCs4fqI2P2rA04_6siskin7sessionNtB4_7Session8generate", "siskin"),
            ("_RNvXs_CsabcDEF_5alloc", "alloc"),
            ("uniffi_siskin_bindings_fn_method_job_cancel", "siskin_bindings"),
            ("memcpy", "not Rust, or exported"),
        ] {
            assert_eq!(owner(symbol), want, "{symbol}");
        }
    }

    #[test]
    fn growth_is_seen_and_the_budget_holds_for_what_is_new() {
        let committed = document(&[("a arm64 .so".into(), 1000), ("b".into(), 5)], "", "");
        let check = |name: &str, size| verdicts(&[(name.to_owned(), size)], &committed).len();
        assert_eq!((check("a arm64 .so", 1030), check("a arm64 .so", 1031)), (0, 1));
        assert_eq!((check("b", 5), check("b", 6), check("c", 1)), (0, 1, 0));
        assert_eq!(check("a arm64 .so", BUDGET + 1), 1);
        assert_eq!(listed(&document(&[("b".into(), 6)], "", &committed))["a arm64 .so"], 1000);
    }
}
