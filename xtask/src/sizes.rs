//! `cargo xtask sizes`: the largest source files. A long file is a file that knows too much.
//!
//! Over 300 lines is listed, over 500 needs a line `Over 500 lines: <reason>` in its first forty, over 1,000 fails.

use std::path::Path;
use std::process::Command;

use crate::{Failure, workspace_root};

const LISTED: usize = 300;
const NEEDS_REASON: usize = 500;
const LIMIT: usize = 1000;
const HEAD: usize = 40; // lines in which the reason must stand
const REASON: &str = "Over 500 lines:";

pub(crate) fn run() -> Result<(), Failure> {
    let root = workspace_root();
    let mut files = Vec::new();
    for name in tracked(&root)? {
        let Ok(text) = std::fs::read_to_string(root.join(&name)) else { continue }; // deleted, not committed yet
        files.push((text.lines().count(), name, text));
    }
    files.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let total: usize = files.iter().map(|f| f.0).sum();
    println!(
        "{} Rust files, {total} lines, median {}",
        files.len(),
        files.get(files.len() / 2).map_or(0, |f| f.0)
    );
    let mut failed = 0;
    for (i, (lines, name, text)) in files.iter().enumerate() {
        let note = verdict(*lines, text);
        if i < 10 || *lines > LISTED {
            println!("{lines:6}  {name}{}", note.as_deref().map(|n| format!("  {n}")).unwrap_or_default());
        }
        failed += usize::from(note.is_some_and(|n| n.starts_with("FAIL")));
    }
    if failed > 0 { Err(format!("{failed} files are too long").into()) } else { Ok(()) }
}

/// What is to be said of a file of `lines` lines.
fn verdict(lines: usize, text: &str) -> Option<String> {
    let reason = text.lines().take(HEAD).find_map(|l| l.split_once(REASON)).map(|(_, r)| r.trim());
    match (lines, reason) {
        (n, _) if n > LIMIT => Some(format!("FAIL: over {LIMIT}, split it")),
        (n, Some(r)) if n > NEEDS_REASON && !r.is_empty() => Some(format!("({r})")),
        (n, _) if n > NEEDS_REASON => {
            Some(format!("FAIL: over {NEEDS_REASON} with no `{REASON}` line at the head"))
        }
        _ => None,
    }
}

fn tracked(root: &Path) -> Result<Vec<String>, Failure> {
    let out = Command::new("git").current_dir(root).args(["ls-files", "*.rs"]).output()?;
    if !out.status.success() {
        return Err("git ls-files failed".into());
    }
    Ok(String::from_utf8(out.stdout)?.lines().map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn long_files_need_a_reason_and_very_long_ones_fail() {
        assert!(verdict(500, "").is_none());
        assert!(verdict(501, "//! A table.").is_some_and(|v| v.starts_with("FAIL")));
        assert!(verdict(501, "//! Over 500 lines:").is_some_and(|v| v.starts_with("FAIL")));
        assert!(verdict(501, "//! Over 500 lines: a table.").is_some_and(|v| v == "(a table.)"));
        assert!(verdict(1001, "//! Over 500 lines: a table.").is_some_and(|v| v.starts_with("FAIL")));
    }
}
