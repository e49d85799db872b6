//! Where the tests of the tokenizer find their data.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};

use siskin::tokenizer::TokenId;

/// The directory that `variable` names; else the first of `places`, relative to the workspace, that exists. Says so
/// and gives `None` if there is none.
pub(crate) fn directory(variable: &str, places: &[&str], what: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = match std::env::var_os(variable) {
        Some(path) => Some(PathBuf::from(path)),
        None => places.iter().map(|p| root.join(p)).find(|p| p.is_dir()),
    };
    if found.is_none() {
        eprintln!("skipped: {what} (set {variable})");
    }
    found
}

/// The reference set's folder `part`.
pub(crate) fn reference(part: &str) -> Option<PathBuf> {
    let root = directory("SISKIN_REFERENCE", &["../shared"], "the reference set is not here")?;
    let path = root.join(part);
    if !path.exists() {
        eprintln!("skipped: the reference set has no {part}");
        return None;
    }
    Some(path)
}

/// The folder `part` of the real models.
pub(crate) fn models(part: &str) -> Option<PathBuf> {
    let root = directory("SISKIN_MODELS", &["../models", "models"], "the real models are not here")?;
    let path = root.join(part);
    if !path.exists() {
        eprintln!("skipped: there is no {part} with the models");
        return None;
    }
    Some(path)
}

/// The files of a folder whose names end in `end`, sorted.
pub(crate) fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    found.sort();
    found
}

/// A list of ids in JSON; `None` if it is not there.
pub(crate) fn ids(value: &serde_json::Value) -> Option<Vec<TokenId>> {
    let list = value.as_array()?;
    Some(list.iter().map(|v| TokenId(v.as_u64().expect("an id") as u32)).collect())
}
