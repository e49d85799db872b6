//! Opening a vocabulary, and encoding the first 512 KiB of the Brown corpus with it; one thread.
//!
//! Ours is timed inside this process. llama-tokenize is a program: opening is its run on a few bytes, and encoding what
//! a run on the whole text takes more, printing of the ids included.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use siskin::gguf::GgufFile;
use siskin::tokenizer::{Special, Tokenizer};

use super::process::measure;
use super::record::Record;
use super::{Bench, scratch, short_name};
use crate::Failure;

const BYTES: usize = 512 << 10;

/// Seconds.
struct Run {
    open: f64,
    encode: f64,
}

pub(super) fn run(bench: &mut Bench, folder: &Path) -> Result<(), Failure> {
    let corpus = fs::read_to_string(folder.join("text/brown-corpus-detagged.txt"))?;
    let text = corpus[..corpus.floor_char_boundary(BYTES)].to_string();
    let (small, large) = (scratch("small.txt"), scratch("large.txt"));
    fs::write(&small, "Ten bytes.")?;
    fs::write(&large, &text)?;
    for model in &bench.models.clone() {
        let (_, tokens) = ours(model, &text)?; // and the pages of the file are in memory
        let runs = bench.in_turn(
            &format!("{}, encoding", short_name(model)),
            &["siskin", "llama.cpp"],
            |b, side| {
                if side == "siskin" {
                    return Ok(ours(model, &text)?.0);
                }
                let seconds = |file: &Path| {
                    let mut command = Command::new(b.peers.llama_bin.join("llama-tokenize"));
                    command.arg("-m").arg(model).args(["--ids", "--log-disable", "-f"]).arg(file);
                    Ok::<f64, Failure>(measure(&mut command)?.wall)
                };
                let open = seconds(&small)?;
                Ok(Run { open, encode: seconds(&large)? - open })
            },
        );
        for (test, value) in [
            ("open, ms", &(|r: &Run| r.open * 1e3) as &dyn Fn(&Run) -> f64),
            ("encode, million tokens/s", &|r| tokens as f64 / r.encode / 1e6),
        ] {
            bench.put(Record {
                table: "encode".into(),
                model: short_name(model),
                test: test.into(),
                threads: 1,
                sides: runs.iter().map(|(s, r)| ((*s).to_string(), r.iter().map(value).collect())).collect(),
                ..Record::default()
            })?;
        }
    }
    bench.print("encode");
    Ok(())
}

/// What it took, and the number of tokens.
fn ours(model: &Path, text: &str) -> Result<(Run, usize), Failure> {
    let start = Instant::now();
    let file = GgufFile::open(model)?;
    let tokenizer = Tokenizer::from_metadata(file.metadata())?;
    let open = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let tokens = tokenizer.encode(text, Special { add: true, parse: true })?.len();
    Ok((Run { open, encode: start.elapsed().as_secs_f64() }, tokens))
}
