//! Perplexity on the first 32 KiB of the Brown corpus, in windows of 512 tokens.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Peers, output, scratch, short_name};
use crate::Failure;

const BYTES: usize = 32 << 10;
/// Largest relative difference: what other rounding of the activations explains.
const TOLERANCE: f64 = 0.005;

/// Prints the table; returns how many models are off.
pub(super) fn run(peers: &Peers, models: &[PathBuf], folder: &Path) -> Result<usize, Failure> {
    let corpus = fs::read(folder.join("text/brown-corpus-detagged.txt"))?;
    let text = scratch("brown-32k.txt");
    fs::write(&text, std::str::from_utf8(corpus.get(..BYTES).ok_or("the corpus is too short")?)?)?;
    println!("\n| model | perplexity | llama.cpp | difference |\n|---|--:|--:|--:|");
    let mut off = 0;
    for model in models {
        let ours = after(&output(peers.siskin("perplexity", model).arg(&text))?.0, "perplexity: ")?;
        let (out, err) = output(peers.llama("llama-perplexity", model).args(["-c", "512", "-f"]).arg(&text))?;
        let theirs = after(&(out + &err), "Final estimate: PPL = ")?;
        let difference = ours / theirs - 1.0;
        println!("| {} | {ours:.4} | {theirs:.4} | {:+.2} % |", short_name(model), difference * 100.0);
        off += usize::from(difference.is_nan() || difference.abs() > TOLERANCE);
    }
    Ok(off)
}

/// The number behind the last `label` in `text`.
fn after(text: &str, label: &str) -> Result<f64, Failure> {
    let (_, rest) =
        text.rsplit_once(label).ok_or_else(|| format!("no \"{label}\" in the output:\n{text}"))?;
    let number = rest.split_whitespace().next().unwrap_or_default();
    number.parse().map_err(|e| format!("\"{number}\" behind \"{label}\": {e}").into())
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn finds_the_last_figure() {
        assert_eq!(after("perplexity: 1\nperplexity: 30.82\n", "perplexity: ").ok(), Some(30.82));
        assert_eq!(after("x PPL = 30.8249 +/- 1.57950\n", "PPL = ").ok(), Some(30.8249));
        assert!(after("nothing", "perplexity: ").is_err() && after("perplexity: x", "perplexity: ").is_err());
    }
}
