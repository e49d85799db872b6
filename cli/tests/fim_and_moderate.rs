//! `fim` and `moderate`: what they print, and what they refuse.

mod common;
#[path = "../../core/tests/common/edit.rs"]
mod edit;

use common::{fails, folder, model, output, siskin, succeeds, text};
use edit::{CONTROL, Edit, NORMAL};
use serde_json::Value;
use siskin::gguf::GgufFile;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

/// The tiny Gemma 2 of the reference set as a code model and a classifier.
fn both(test: &str) -> Option<PathBuf> {
    let edit = Edit {
        tokens: vec![
            (600, "<|fim_prefix|>", CONTROL),
            (601, "<|fim_suffix|>", CONTROL),
            (602, "<|fim_middle|>", CONTROL),
            (603, "<|file_separator|>", CONTROL),
            (606, "Yes", NORMAL),
            (607, "No", NORMAL),
        ],
        texts: vec![("general.name", "shieldgemma and code".to_owned())],
        ..Edit::default()
    };
    let file = GgufFile::open(model("gemma2")?).expect("a model");
    let path = folder(test).join("model.gguf");
    std::fs::write(&path, edit.of(&file)).expect("written");
    Some(path)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn with_stdin(args: &[&str], input: &str) -> String {
    let mut child =
        siskin(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    let out = child.wait_with_output().expect("ends");
    assert!(out.status.success(), "{args:?}");
    text(&out.stdout)
}

#[test]
fn a_place_is_given_in_several_ways() {
    let Some(path) = both("fim-places") else { return };
    let dir = path.parent().expect("a folder").to_owned();
    let (path, all) = (path.to_str().expect("UTF-8"), "let ż = 1;\nlet y = x\n;\n");
    let place = all.find(" x").expect("there");
    let named = |name: &str, text: &str| {
        let file = dir.join(name);
        std::fs::write(&file, text).expect("written");
        file.to_str().expect("UTF-8").to_owned()
    };
    let (whole, before, behind) =
        (named("whole", all), named("before", &all[..place]), named("behind", &all[place..]));
    let fim = ["fim", path, "-n", "8", "--json"];
    let answer = |more: &[&str]| {
        let answer = json(&succeeds(siskin(fim).args(more)));
        (answer["tokens"].clone(), answer["text"].clone(), answer["prompt_tokens"].clone())
    };
    let first = answer(&[&whole, "--at", "2:8"]);
    assert!(first.0.as_array().is_some_and(|tokens| (1..=8).contains(&tokens.len())));
    for same in [
        &[whole.as_str(), "--at", &place.to_string()][..],
        &["--prefix-file", &before, "--suffix-file", &behind],
        &["--prefix", "let ż = 1;\\nlet y =", "--suffix-file", &behind],
        &[&whole, "--at", "2:8", "--batch", "3"],
    ] {
        assert_eq!(answer(same), first, "{same:?}");
    }
    let input = json(&with_stdin(&[&fim[..], &["-", "--at", "2:8"]].concat(), all));
    assert_eq!(input["text"], first.1);
    assert_ne!(answer(&[&whole, "--at", "1:1"]).2, Value::Null);
    // A file along with it makes the prompt longer.
    let more = answer(&[&whole, "--at", "2:8", "--with", &before]);
    assert!(more.2.as_u64() > first.2.as_u64());
    // The answer alone, to the byte.
    let plain = succeeds(&mut siskin(["fim", path, "-n", "8", &whole, "--at", "2:8"]));
    assert_eq!(Some(plain.as_str()), first.1.as_str());
}

#[test]
fn what_is_cut_is_said() {
    let Some(path) = both("fim-cut") else { return };
    let (path, long) = (path.to_str().expect("UTF-8"), "let q = 7;\\n".repeat(40));
    let args = ["fim", path, "--prefix", &long, "--suffix", &long, "-c", "64", "-n", "4", "--json"];
    let out = output(&mut siskin(args));
    assert!(out.status.success());
    assert!(
        text(&out.stderr).starts_with("siskin: did not fit and were left out: "),
        "{}",
        text(&out.stderr)
    );
    let answer = json(&text(&out.stdout));
    assert_eq!(answer["prompt_tokens"], 60);
    for key in ["prefix_tokens", "suffix_tokens"] {
        assert!(answer["cut"][key].as_u64().is_some_and(|n| n > 100), "{key}");
    }
    let short = ["fim", path, "--prefix", "x", "-c", "64", "-n", "4", "--json"];
    assert_eq!(json(&succeeds(&mut siskin(short)))["cut"]["prefix_tokens"], 0);
}

#[test]
fn fim_refuses() {
    let (Some(path), Some(other)) = (both("fim-refusals"), model("llama3")) else { return };
    let file = folder("fim-refusals-text").join("text");
    std::fs::write(&file, "one\ntwo\n").expect("written");
    let (path, file) = (path.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    let other = other.to_str().expect("UTF-8");
    fails(&mut siskin(["fim", other, "--prefix", "x"]), 3, &["llama", "prefix, suffix, middle"]);
    fails(&mut siskin(["fim", path]), 2, &["--at"]);
    fails(&mut siskin(["fim", path, file, "--at", "9:1"]), 2, &["3 lines"]);
    fails(&mut siskin(["fim", path, "nowhere", "--at", "1:1"]), 4, &["nowhere"]);
    fails(&mut siskin(["fim", path, "--prefix-file", "-", "--suffix-file", "-"]), 2, &["standard input"]);
    let both_ways = output(&mut siskin(["fim", path, file, "--at", "1:1", "--prefix", "x"]));
    assert_eq!(both_ways.status.code(), Some(2));
    assert_eq!(output(&mut siskin(["fim", path, file, "--at", "0:1"])).status.code(), Some(2));
}

#[test]
fn probabilities_as_a_table_and_as_json() {
    let Some(path) = both("moderate") else { return };
    let path = path.to_str().expect("UTF-8");
    let scores = |args: &[&str]| {
        let shown = json(&succeeds(siskin(["moderate", path, "--json"]).args(args)));
        let list = shown["scores"].as_array().expect("a list").clone();
        let pairs = list.iter().map(|score| {
            let policy = score["policy"].as_str().expect("a name").to_owned();
            (policy, score["probability"].as_f64().expect("a number"))
        });
        (shown["judged"].clone(), pairs.collect::<Vec<_>>())
    };
    let (judged, all) = scores(&["Some text"]);
    assert_eq!(judged, "prompt");
    let names: Vec<&str> = all.iter().map(|score| score.0.as_str()).collect();
    assert_eq!(names, ["dangerous_content", "harassment", "hate_speech", "sexually_explicit"]);
    assert!(all.iter().all(|score| (0.0..=1.0).contains(&score.1)));
    let table = succeeds(&mut siskin(["moderate", path, "Some text"]));
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let want: Vec<[String; 2]> = all.iter().map(|(name, p)| [name.clone(), format!("{p:.4}")]).collect();
    assert_eq!(rows, want);
    // In another order, one by one, from standard input: the same numbers.
    let own = "own=\"No X\": The prompt shall not have x = y.";
    let (_, some) = scores(&["Some text", "--policy", own, "--policy", "harassment"]);
    assert_eq!((some[0].0.as_str(), &some[1]), ("own", &all[1]));
    let piped = json(&with_stdin(&["moderate", path, "--json", "--policy", "harassment", "-"], "Some text"));
    assert_eq!(piped["scores"][0]["probability"].as_f64(), Some(all[1].1));
    let (judged, response) = scores(&["Some text", "--response", "An answer"]);
    assert_eq!(judged, "response");
    assert_ne!(response[1].1, all[1].1);
}

#[test]
fn moderate_refuses() {
    let (Some(path), Some(other)) = (both("moderate-refusals"), model("gemma2")) else { return };
    let (path, other) = (path.to_str().expect("UTF-8"), other.to_str().expect("UTF-8"));
    fails(&mut siskin(["moderate", other, "text"]), 3, &["\"Yes\""]);
    fails(&mut siskin(["moderate", other, "--any-model", "text"]), 3, &["\"Yes\""]);
    fails(&mut siskin(["moderate", path, "text", "--policy", "spam"]), 2, &["spam", "hate_speech"]);
    fails(&mut siskin(["moderate", path, ""]), 2, &["empty"]);
    fails(&mut siskin(["moderate", path, "-", "--response", "-"]), 2, &["standard input"]);
    fails(&mut siskin(["moderate", path, &"many words ".repeat(3000)]), 1, &["2048"]);
}
