//! From text to tokens, vocabulary by vocabulary: `cargo bench -p siskin-benches --bench encoding [-- FILTER]`.
//!
//! First a table of tokens/s and MB/s, then criterion's timings of the same, and of opening the vocabularies. The files
//! are those of `cargo xtask models`; prose is the Brown corpus, code is the source of this project. The rest are texts
//! that are hard on some step: one long run, ideographs without a space, emoji, words that never repeat.
#![allow(clippy::print_stdout, reason = "prints a table")]
#![allow(missing_docs, reason = "criterion's macro makes a function")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siskin::gguf::GgufFile;
use siskin::tokenizer::{Special, Tokenizer};
use siskin_benches::{best_of, note};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const VOCABULARIES: [(&str, &str); 5] = [
    ("gemma3", "gemma-3-270m-q4_k_m.gguf"),
    ("gemma4", "vocab/ggml-vocab-gemma-4.gguf"),
    ("smollm2", "smollm2-135m-instruct-q4_1.gguf"),
    ("qwen2", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
    ("llama3", "vocab/ggml-vocab-llama-bpe.gguf"),
];

const SPECIAL: Special = Special { add: true, parse: true };

/// The file, and the metadata in it that is the vocabulary.
fn vocabularies() -> Vec<(&'static str, GgufFile)> {
    let folder =
        std::env::var_os("SISKIN_MODELS").map_or_else(|| Path::new(WORKSPACE).join("models"), PathBuf::from);
    let open = |(name, file): (&'static str, &str)| match GgufFile::open(folder.join(file)) {
        Ok(file) => Some((name, file)),
        Err(e) => {
            note(&format!("skipped: {name}: {e} (cargo xtask models)"));
            None
        }
    };
    VOCABULARIES.into_iter().filter_map(open).collect()
}

/// The Rust sources of the library, one after the other.
fn code(folder: &Path, out: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            code(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push_str(&std::fs::read_to_string(path).unwrap_or_default());
        }
    }
}

/// `count` times a character or word that `pick` chooses from random bits.
fn random(count: usize, pick: impl Fn(u32) -> String) -> String {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    (0..count).map(|_| pick(next())).collect()
}

fn texts() -> Vec<(&'static str, String)> {
    let folder =
        std::env::var_os("SISKIN_MODELS").map_or_else(|| Path::new(WORKSPACE).join("models"), PathBuf::from);
    let mut all = Vec::new();
    match std::fs::read_to_string(folder.join("text/brown-corpus-detagged.txt")) {
        Ok(text) => {
            let cut = |at: usize| (at..).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len());
            all.push(("prose", text[..cut(2_000_000)].to_owned()));
            all.push(("prose_4k", text[..cut(4_000)].to_owned()));
            all.push(("prose_100", text[..cut(100)].to_owned()));
        }
        Err(e) => note(&format!("skipped: prose: {e} (cargo xtask models)")),
    }
    let mut source = String::new();
    code(&Path::new(WORKSPACE).join("core/src"), &mut source);
    let cut = (4_000..).find(|&i| source.is_char_boundary(i)).unwrap_or(0);
    all.push(("code_4k", source[..cut].to_owned()));
    all.push(("code", source));
    let char = |code: u32| char::from_u32(code).unwrap_or(' ').to_string();
    all.push(("spaces", " ".repeat(1_000_000)));
    all.push(("letter", "a".repeat(1_000_000)));
    all.push(("newlines", "\n".repeat(1_000_000)));
    all.push(("digits", random(1_000_000, |r| (r % 10).to_string())));
    all.push(("letters", random(1_000_000, |r| char(0x61 + r % 26))));
    all.push((
        "new_words",
        random(150_000, |r| {
            let letters = |r: u32| (0..6).map(move |i| char(0x61 + (r >> (5 * i)) % 26)).collect::<String>();
            format!(" {}", letters(r))
        }),
    ));
    all.push(("ideographs", random(300_000, |r| char(if r % 20 == 0 { 0x3002 } else { 0x4E00 + r % 3000 }))));
    all.push(("emoji", random(200_000, |r| char(0x1F600 + r % 80))));
    all
}

fn encoding(c: &mut Criterion) {
    let (vocabularies, texts) = (vocabularies(), texts());
    println!("{:10} {:12} {:>9} {:>10} {:>8}", "", "text", "tokens", "Mtokens/s", "MB/s");
    for (name, file) in &vocabularies {
        let tokenizer = Tokenizer::from_metadata(file.metadata()).expect("a tokenizer");
        for (what, text) in &texts {
            let mut out = Vec::new();
            let mut encode = || {
                out.clear();
                tokenizer.encode_into(text, SPECIAL, &mut out).expect("it can be encoded");
                out.len()
            };
            let tokens = encode();
            let time = best_of(Duration::from_millis(150), || _ = encode());
            let (speed, bytes) = (tokens as f64 / time / 1e6, text.len() as f64 / time / 1e6);
            println!("{name:10} {what:12} {tokens:9} {speed:10.2} {bytes:8.1}");
        }
    }
    println!();
    for (name, file) in &vocabularies {
        let mut group = c.benchmark_group(format!("encoding/{name}"));
        let tokenizer = Tokenizer::from_metadata(file.metadata()).expect("a tokenizer");
        for (what, text) in &texts {
            let mut out = Vec::new();
            tokenizer.encode_into(text, SPECIAL, &mut out).expect("it can be encoded");
            group.throughput(Throughput::ElementsAndBytes {
                elements: out.len() as u64,
                bytes: text.len() as u64,
            });
            group.bench_function(*what, |b| {
                b.iter(|| {
                    out.clear();
                    tokenizer.encode_into(text, SPECIAL, &mut out)
                });
            });
        }
    }
    let mut group = c.benchmark_group("opening");
    for (name, file) in &vocabularies {
        group.bench_function(*name, |b| b.iter(|| Tokenizer::from_metadata(file.metadata())));
    }
}

criterion_group! {
    name = texts_and_vocabularies;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    targets = encoding
}
criterion_main!(texts_and_vocabularies);
