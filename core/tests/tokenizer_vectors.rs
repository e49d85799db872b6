//! Tokenizers against recorded results of other implementations: the conformance set, llama.cpp's golden files, and
//! real vocabularies.
#![allow(clippy::print_stderr, reason = "skipped and counted cases are shown")]

#[path = "tokenizer_support/real.rs"]
mod real;
#[path = "tokenizer_support/mod.rs"]
mod support;
#[path = "tokenizer_support/vectors.rs"]
mod vectors;

use std::path::Path;

use siskin::gguf::GgufFile;
use siskin::tokenizer::{Special, TokenId, Tokenizer};
use siskin::{Error, ErrorKind};

use vectors::Vectors;

fn open(path: &Path) -> Result<Tokenizer, Error> {
    Tokenizer::from_metadata(GgufFile::open(path)?.metadata())
}

/// Every `tokenizer_cases.json` beside a model file.
#[test]
fn conformance_set() {
    let Some(set) = support::reference("conformance/public") else { return };
    let mut families = 0;
    let mut failures = Vec::new();
    for cases in support::files(&set, "").iter().map(|folder| folder.join("tokenizer_cases.json")) {
        if !cases.exists() {
            continue;
        }
        let folder = cases.parent().expect("it is in a folder");
        let name = folder.file_name().expect("it has a name").to_string_lossy();
        let Some(model) = support::files(folder, ".gguf")
            .into_iter()
            .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("model")))
        else {
            eprintln!("skipped: {name} has no model file");
            continue;
        };
        let tokenizer = match open(&model) {
            Ok(tokenizer) => tokenizer,
            Err(e) => panic!("{name}: {e}"),
        };
        families += 1;
        let vectors = Vectors::read(&cases);
        let alternatives = vectors.check(&tokenizer, &mut |what| failures.push(format!("{name}: {what}")));
        if alternatives > 0 {
            eprintln!("{name}: {alternatives} cases equal only a recorded alternative");
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(families >= 42, "only {families} families were checked");
}

/// The same cases through the `tokenizer.json` of each family.
#[test]
fn conformance_set_from_folders() {
    let Some(set) = support::reference("conformance/public") else { return };
    let (mut families, mut skipped) = (0, Vec::new());
    let mut failures = Vec::new();
    for folder in support::files(&set, "") {
        let (cases, hf) = (folder.join("tokenizer_cases.json"), folder.join("hf"));
        if !cases.exists() || !hf.join("tokenizer.json").exists() {
            continue;
        }
        let name = folder.file_name().expect("it has a name").to_string_lossy().into_owned();
        let tokenizer = match siskin::hf::tokenizer(&hf) {
            Ok(tokenizer) => tokenizer,
            Err(e) if e.kind() == ErrorKind::Unsupported && e.key() == Some("model.type") => {
                skipped.push(name);
                continue;
            }
            Err(e) => panic!("{name}: {e}"),
        };
        families += 1;
        let vectors = Vectors::read(&cases);
        let alternatives = vectors.check(&tokenizer, &mut |what| failures.push(format!("{name}: {what}")));
        if alternatives > 0 {
            eprintln!("{name}: {alternatives} cases equal only a recorded alternative");
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(families >= 40, "only {families} families were checked");
    assert!(skipped.len() <= 2, "only the two BERT families may be skipped, not {skipped:?}");
}

/// llama.cpp's `ggml-vocab-*.gguf` with `.inp` and `.out`.
#[test]
fn golden_files_of_llama_cpp() {
    let Some(folder) = support::models("vocab") else { return };
    let mut checked = 0;
    let mut failures = Vec::new();
    for path in support::files(&folder, ".gguf") {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let input = folder.join(format!("{name}.inp"));
        let tokenizer = match open(&path) {
            Ok(tokenizer) => tokenizer,
            Err(e) if e.kind() == ErrorKind::Unsupported && e.key() == Some("tokenizer.ggml.model") => {
                eprintln!("skipped: {name}: {e}");
                continue;
            }
            Err(e) => panic!("{name}: {e}"),
        };
        if !input.exists() {
            eprintln!("skipped: {name} opens, but has no recorded results");
            continue;
        }
        let input = std::fs::read_to_string(input).expect("text");
        let output = std::fs::read_to_string(folder.join(format!("{name}.out"))).expect("text");
        // A separator follows the last text as well.
        let texts: Vec<&str> = input.split_terminator("\n__ggml_vocab_test__\n").collect();
        let lines: Vec<&str> = output.lines().collect();
        assert!(
            texts.len() == lines.len() && texts.len() > 40,
            "{name}: {} and {}",
            texts.len(),
            lines.len()
        );
        for (text, line) in texts.iter().zip(lines) {
            let expected: Vec<TokenId> =
                line.split_whitespace().map(|id| TokenId(id.parse().expect("an id"))).collect();
            let found = tokenizer.encode(text, Special { add: false, parse: false }).expect("encodes");
            if found != expected {
                failures.push(format!("{name}: {text:?}\n  expected {expected:?}\n  found    {found:?}"));
            }
            checked += 1;
        }
    }
    assert!(failures.is_empty(), "{} of {checked} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > 600, "only {checked} cases");
}

/// Published vocabularies of up to 262,144 tokens, in the form that the converters give them.
#[test]
fn real_vocabularies() {
    let (Some(set), Some(folder)) = (support::reference("conformance/public"), support::models("tokenizers"))
    else {
        return;
    };
    let all: serde_json::Value =
        serde_json::from_slice(&std::fs::read(set.join("tokenizers_real.json")).expect("readable"))
            .expect("JSON");
    let mut failures = Vec::new();
    for (name, pre) in [
        ("gemma3", None),
        ("llama2", None),
        ("llama3_1", Some("llama-bpe")),
        ("qwen3", Some("qwen2")),
        ("deepseek_v3", Some("deepseek-v3")),
        ("gpt4o", Some("gpt-4o")),
        ("gptoss", Some("gpt-4o")),
    ] {
        let path = folder.join(name).join("tokenizer.json");
        if !path.exists() {
            eprintln!("skipped: {name} is not with the models");
            continue;
        }
        let cases = &all[name];
        let empty =
            support::ids(&cases["cases"][0]["ids_special"]).expect("the first case is the empty text");
        let file = real::gguf_of(&path, pre, empty.first().map(|id| id.0));
        let tokenizer = Tokenizer::from_metadata(file.metadata()).expect("opens");
        let from_folder = siskin::hf::tokenizer(folder.join(name)).expect("opens");
        Vectors::new(cases)
            .check(&from_folder, &mut |what| failures.push(format!("{name}, from its folder: {what}")));
        let alternatives =
            Vectors::new(cases).check(&tokenizer, &mut |what| failures.push(format!("{name}: {what}")));
        eprintln!(
            "{name}: {} tokens, {alternatives} cases equal only a recorded alternative",
            tokenizer.len()
        );
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The same cases through a published GGUF file, and what ends an answer there.
#[test]
fn gemma_as_published() {
    let (Some(set), Some(path)) =
        (support::reference("conformance/public"), support::models("gemma-3-270m-q4_k_m.gguf"))
    else {
        return;
    };
    let tokenizer = open(&path).expect("opens");
    let all: serde_json::Value =
        serde_json::from_slice(&std::fs::read(set.join("tokenizers_real.json")).expect("readable"))
            .expect("JSON");
    let mut failures = Vec::new();
    Vectors::new(&all["gemma3"]).check(&tokenizer, &mut |what| failures.push(what));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(tokenizer.end_tokens(), [TokenId(1), TokenId(106)]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(TokenId(2)), Some(TokenId(1))));
    assert_eq!(tokenizer.token_id("▁the".as_bytes()), Some(TokenId(506)));
    assert!(tokenizer.heap_bytes() < 3 << 20, "{}", tokenizer.heap_bytes());
}
