//! What the program gives when all is well: streams, JSON, conversations, cancelling.

mod common;
use common::{TEMPLATE, folder, model, output, siskin, succeeds, text, with_template};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A small model with a chat template.
fn chat_model(test: &str) -> Option<PathBuf> {
    let path = folder(test).join("model.gguf");
    with_template(&model("llama3")?, &path, TEMPLATE);
    Some(path)
}

#[test]
fn prompts_from_arguments_and_pipes_give_the_same() {
    let Some(path) = model("llama3") else { return };
    let path = path.to_str().expect("UTF-8");
    let args = ["run", path, "--raw", "--temp", "0", "-n", "16"];
    let from_argument = succeeds(siskin(args).arg("Once upon"));
    assert!(!from_argument.trim().is_empty());
    let mut child =
        siskin(args).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(b"Once upon").expect("read");
    let out = child.wait_with_output().expect("ends");
    assert_eq!(text(&out.stdout), from_argument);
    // And for any batch and thread count.
    for more in [["--batch", "1"], ["--threads", "1"], ["--threads", "3"], ["--kernels", "scalar"]] {
        assert_eq!(succeeds(siskin(args).arg("Once upon").args(more)), from_argument, "{more:?}");
    }
}

#[test]
fn seeds_repeat() {
    let Some(path) = model("llama3") else { return };
    let path = path.to_str().expect("UTF-8");
    let run = |seed| {
        succeeds(&mut siskin(["run", path, "--raw", "x", "--temp", "1.5", "-n", "24", "--seed", seed]))
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

#[test]
fn run_as_json() {
    let Some(path) = chat_model("run-json") else { return };
    let path = path.to_str().expect("UTF-8");
    let out = output(&mut siskin([
        "run",
        path,
        "hello",
        "--json",
        "--stats",
        "--temp",
        "0",
        "-n",
        "8",
        "--ignore-eos",
    ]));
    let object = json(&text(&out.stdout));
    assert_eq!(object["tokens"].as_array().expect("a list").len(), 8);
    assert_eq!(object["logprobs"].as_array().expect("a list").len(), 8);
    assert!(object["logprobs"][0].as_f64().expect("a number") <= 0.0);
    assert_eq!(object["reason"], "max_tokens");
    assert_eq!(object["generated_tokens"], 8);
    for key in ["text", "prompt_tokens", "load_ms", "prefill_ms", "decode_ms", "seed", "kernels", "threads"] {
        assert!(!object[key].is_null(), "{key}");
    }
    assert!(text(&out.stderr).starts_with("siskin: "), "stats go to standard error");
    // The same without JSON.
    let plain = succeeds(&mut siskin(["run", path, "hello", "--temp", "0", "-n", "8", "--ignore-eos"]));
    assert_eq!(plain.trim_end_matches('\n'), object["text"].as_str().expect("text").trim_end_matches('\n'));
}

#[test]
fn the_template_and_the_system_message_are_used() {
    let Some(path) = chat_model("template") else { return };
    let path = path.to_str().expect("UTF-8");
    let tokens = |more: &[&str]| {
        let shown = succeeds(siskin(["run", path, "hello", "--json", "-n", "1", "--ignore-eos"]).args(more));
        json(&shown)["prompt_tokens"].as_u64().expect("a number")
    };
    let raw = tokens(&["--raw"]);
    let plain = tokens(&[]);
    assert!(raw < plain && plain < tokens(&["--system", "be brief"]));
}

#[test]
fn stop_strings_end_the_answer() {
    let Some(path) = model("llama3") else { return };
    let path = path.to_str().expect("UTF-8");
    let args = ["run", path, "--raw", "Once upon", "--temp", "0", "-n", "32", "--ignore-eos", "--json"];
    let whole = json(&succeeds(&mut siskin(args)))["text"].as_str().expect("text").to_owned();
    let letters: Vec<char> = whole.chars().collect();
    let stop: String = letters[letters.len() / 2..letters.len() / 2 + 3].iter().collect();
    let stopped = json(&succeeds(siskin(args).args(["--stop", "no such text", "--stop", &stop])));
    assert_eq!(stopped["reason"], "stop_string");
    assert_eq!(stopped["text"], whole[..whole.find(&stop).expect("there")]);
}

#[test]
fn a_conversation_as_json() {
    let Some(path) = chat_model("chat-json") else { return };
    let args = ["chat", path.to_str().expect("UTF-8"), "--temp", "0", "-n", "8", "--json"];
    let mut child = siskin(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all("hello\nagain\n".as_bytes()).expect("read");
    let shown = text(&child.wait_with_output().expect("ends").stdout);
    let answers: Vec<Value> = shown.lines().map(json).collect();
    assert_eq!(answers.len(), 2, "{shown}");
    assert!(answers.iter().all(|a| a["tokens"].as_array().is_some_and(|t| !t.is_empty() && t.len() <= 8)));
    let args = ["run", args[1], "hello", "--temp", "0", "-n", "8", "--json"];
    let alone = json(&succeeds(&mut siskin(args)));
    assert_eq!((&alone["tokens"], &alone["text"]), (&answers[0]["tokens"], &answers[0]["text"]));
}

#[test]
fn info_as_table_and_json() {
    let Some(unknown) = common::unknown_architecture("info") else { return };
    let Some(llama) = model("llama3") else { return };
    for (path, runs) in [(llama, true), (unknown, false)] {
        let path = path.to_str().expect("UTF-8");
        let shown = succeeds(&mut siskin(["info", path, "--metadata", "--tensors"]));
        assert!(shown.contains("architecture") && shown.contains("general.architecture"), "{shown}");
        let object = json(&succeeds(&mut siskin(["info", path, "--json"])));
        assert_eq!(object["runs"], runs);
        assert_eq!(object["refused_because"].is_null(), runs);
        let tensors = object["tensors"].as_array().expect("a list");
        assert!(
            tensors.iter().all(|t| t["name"].is_string() && t["shape"].is_array() && t["bytes"].is_u64())
        );
        let tokens = &object["metadata"]["tokenizer.ggml.tokens"];
        assert!(tokens["length"].as_u64().expect("a number") > 100);
    }
}

#[test]
fn texts_become_lines_of_numbers() {
    let Some(path) = model("embeddinggemma") else { return };
    let path = path.to_str().expect("UTF-8");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let plain = lines(&succeeds(&mut siskin(["embed", path, "--text", "hello", "--text", "a cat"])));
    assert!(plain.len() == 2 && plain.iter().all(|line| line.split(' ').count() == 64), "{plain:?}");
    // The same from standard input, where a line's end is no part of it, with a text before.
    let mut child = siskin(["embed", path, "--json", "--text", "first", "--text", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(b"hello\r\na cat").expect("read");
    let out = lines(&text(&child.wait_with_output().expect("ends").stdout));
    let objects: Vec<Value> = out.iter().map(|line| json(line)).collect();
    let numbers = |value: &Value| {
        let list = value["embedding"].as_array().expect("a list").clone();
        list.iter().map(|x| x.as_f64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!((objects.len(), &objects[1]["text"]), (3, &"hello".into()));
    for (line, object) in plain.iter().zip(&objects[1..]) {
        let line: Vec<f64> = line.split(' ').map(|x| x.parse().expect("a number")).collect();
        assert_eq!(line, numbers(object));
        assert!((line.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-6);
    }
    // A prefix is a part of the text; short vectors; cosines.
    let with = ["embed", path, "--prefix", "hel", "--text", "lo"];
    assert_eq!(lines(&succeeds(&mut siskin(with))), plain[..1]);
    let short =
        succeeds(&mut siskin(["embed", path, "--text", "x", "--dimensions", "3", "--normalize", "false"]));
    assert_eq!(short.split_whitespace().count(), 3);
    let alike = succeeds(&mut siskin(["embed", path, "--text", "x", "--text", "x", "--similarity"]));
    assert_eq!(alike, "1.000000\n1.000000\n");
}

#[test]
fn fit_as_table_and_json() {
    let Some(path) = model("gemma3") else { return };
    let path = path.to_str().expect("UTF-8");
    let fit = |ctx: &str| json(&succeeds(&mut siskin(["fit", path, "--ctx", ctx, "--json"])));
    let (small, large) = (fit("512"), fit("1024"));
    assert_eq!((&small["context"], &large["context"]), (&512.into(), &1024.into()));
    assert!(small["kv_cache_bytes"].as_u64() < large["kv_cache_bytes"].as_u64());
    for key in ["mapped_bytes", "dirty_bytes", "peak_bytes", "weight_bytes_per_token", "fits"] {
        assert!(!small[key].is_null(), "{key}");
    }
    assert!(succeeds(&mut siskin(["fit", path])).lines().last().expect("lines").starts_with("fits: "));
}

#[test]
fn tokens_and_back() {
    let Some(path) = model("llama3") else { return };
    let path = path.to_str().expect("UTF-8");
    let sample = "Hello, wörld 👋";
    let object = json(&succeeds(&mut siskin(["tokenize", path, sample, "--no-special", "--json"])));
    let ids: Vec<String> = object["ids"].as_array().expect("a list").iter().map(Value::to_string).collect();
    assert_eq!(ids.len(), object["pieces"].as_array().expect("a list").len());
    assert_eq!(succeeds(&mut siskin(["tokenize", path, "--decode", &ids.join(", ")])), format!("{sample}\n"));
    let with_begin = json(&succeeds(&mut siskin(["tokenize", path, sample, "--json"])));
    assert_eq!(with_begin["ids"].as_array().expect("a list").len(), ids.len() + 1, "a begin token");
    let shown = succeeds(&mut siskin(["tokenize", path, sample, "--no-special"]));
    assert!(shown.ends_with(&format!("{} tokens\n", ids.len())), "{shown}");
}

/// A text that any tokenizer cuts into some thousands of tokens.
fn long_text(path: &Path, repeats: usize) {
    let text: String = (0..repeats)
        .map(|i| format!("Line {i} of a text about nothing, with numbers like {}.\n", i * 7))
        .collect();
    std::fs::write(path, text).expect("written");
}

#[test]
fn perplexity_of_a_text() {
    let Some(path) = model("llama3") else { return };
    let path = path.to_str().expect("UTF-8");
    let file = folder("perplexity").join("text.txt");
    long_text(&file, 100);
    let file = file.to_str().expect("UTF-8");
    let args = ["perplexity", path, file, "--ctx", "64", "--chunks", "5"];
    let shown = succeeds(&mut siskin(args));
    let last = shown.lines().last().expect("lines");
    let value: f64 = last.strip_prefix("perplexity: ").expect("the last line").parse().expect("a number");
    assert!(value > 1.0);
    assert_eq!(shown.lines().filter(|l| l.starts_with('[')).count(), 5);
    let object = json(&succeeds(siskin(args).arg("--json")));
    assert!((object["perplexity"].as_f64().expect("a number") - value).abs() < 1e-3);
    assert_eq!(object["tokens_scored"], 5 * 31, "the second half of each window but for its first token");
    // The batch does not matter.
    let object = json(&succeeds(siskin(args).args(["--json", "--batch", "7"])));
    assert!((object["perplexity"].as_f64().expect("a number") - value).abs() < 1e-3);
}

#[test]
fn bench_as_json() {
    let Some(path) = model("llama3") else { return };
    let path = path.to_str().expect("UTF-8");
    let args = ["bench", path, "-p", "8,16", "-n", "4", "--depths", "0,16", "-r", "1"];
    let object = json(&succeeds(siskin(args).arg("--json")));
    assert_eq!(object["prefill"].as_array().expect("a list").len(), 2);
    assert_eq!(object["decode"].as_array().expect("a list").len(), 2);
    for key in ["load_ms", "first_token_ms", "read_bytes_per_second"] {
        assert!(object[key].as_f64().expect("a number") > 0.0, "{key}");
    }
    assert!(object["decode"][1]["tokens_per_second"].as_f64().expect("a number") > 0.0);
    assert!(succeeds(&mut siskin(args)).contains("decode at 16"));
}

#[test]
fn a_conversation_reuses_what_was_read() {
    let Some(path) = chat_model("conversation") else { return };
    let mut child = siskin([Path::new("chat"), &path])
        .args(["--temp", "0", "-n", "6", "--system", "s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = "one two three four five six seven eight\n/stats\nagain\n/stats\n/regenerate\n/reset\n/help\n/exit\nnot read\n";
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("read");
    let out = child.wait_with_output().expect("ends");
    assert!(out.status.success());
    let shown = text(&out.stdout);
    let stats: Vec<Vec<u64>> = shown
        .lines()
        .filter(|l| l.contains("prompt tokens were new"))
        .map(|l| l.split(' ').filter_map(|w| w.parse().ok()).collect())
        .collect();
    assert_eq!(stats[0][0], stats[0][1], "at first all is new: {shown}");
    assert!(stats[1][0] < stats[1][1] / 2, "then only the end: {shown}");
    assert!(shown.contains("/regenerate"), "{shown}");
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    // SAFETY: a plain system call; the child has not been waited for, so the number is still its own.
    #[allow(unsafe_code, reason = "signals have no safe interface in std")]
    let sent = unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    assert_eq!(sent, 0);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_run_with_130() {
    let Some(path) = model("llama3") else { return };
    let mut child = siskin([Path::new("run"), &path])
        .args(["--raw", "x", "--ignore-eos", "--ctx", "200000", "--seed", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0; 8]).expect("an answer begins");
    interrupt(&child);
    let asked = Instant::now();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("readable");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_chat_cancels_the_answer_only() {
    let Some(path) = chat_model("cancel") else { return };
    let mut child = siskin([Path::new("chat"), &path])
        .args(["--ctx", "100000", "--seed", "1", "--repeat-penalty", "1.5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"hello\n").expect("read");
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0; 1]).expect("an answer begins");
    interrupt(&child);
    stdin.write_all(b"/stats\n/exit\n").expect("read");
    let mut shown = String::new();
    stdout.read_to_string(&mut shown).expect("readable");
    assert!(child.wait().expect("ends").success());
    assert!(shown.contains("tokens of context used"), "{shown}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let Some(path) = model("llama3") else { return };
    let mut child = siskin([Path::new("run"), &path])
        .args(["--raw", "x", "--ignore-eos", "--ctx", "200000", "--seed", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0; 8]).expect("an answer begins");
    drop(stdout);
    let out = child.wait_with_output().expect("ends");
    assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(0), ""));
}

#[test]
fn truncating_the_file_under_a_running_session_is_an_error() {
    let Some(source) = model("llama3") else { return };
    let dir = folder("truncated");
    let (path, file) = (dir.join("model.gguf"), dir.join("text.txt"));
    std::fs::copy(source, &path).expect("copied");
    long_text(&file, 40_000);
    let mut child = siskin([Path::new("perplexity"), &path, &file])
        .args(["--ctx", "128"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.next().expect("a window is scored").expect("readable");
    std::fs::OpenOptions::new().write(true).open(&path).expect("there").set_len(4096).expect("truncated");
    let last = lines.map_while(Result::ok).last().unwrap_or_default();
    assert!(!last.starts_with("perplexity:"), "it went on to the end: {last}");
    let out = child.wait_with_output().expect("ends");
    let stderr = text(&out.stderr);
    assert_eq!(out.status.code(), Some(5), "{:?} {stderr}", out.status);
    assert!(stderr.starts_with("siskin: error: ") && stderr.contains("model.gguf"), "{stderr}");
}

#[cfg(feature = "image")]
#[test]
fn pictures_are_seen() {
    let Some(path) = model("gemma3_mm") else { return };
    let folder = path.parent().expect("a folder");
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (gguf, tower, picture) = (file("model.gguf"), file("mmproj.gguf"), file("image.png"));
    let run = |model: &str, more: &[&str]| {
        let args = ["run", model, "--raw", "What is this?", "--temp", "0", "-n", "8", "--json"];
        json(&succeeds(siskin(args).args(more)))
    };
    let blind = run(&gguf, &[]);
    let seeing = run(&gguf, &["--mmproj", &tower, "--image", &picture]);
    let count = |answer: &Value| answer["prompt_tokens"].as_u64().expect("a number");
    // Two gaps, two marks, four positions.
    assert_eq!(count(&seeing), count(&blind) + 8);
    assert!(seeing["images_ms"].is_number() && blind["images_ms"].is_null());
    assert_ne!(seeing["logprobs"], blind["logprobs"]);
    // In a folder the tower is beside the model; and a picture may stand anywhere.
    assert_eq!(run(&file("hf"), &["--image", &picture])["tokens"], seeing["tokens"]);
    let args = ["run", &gguf, "--raw", "<start_of_image>What is this?", "--temp", "0", "-n", "8", "--json"];
    let placed = json(&succeeds(siskin(args).args(["--mmproj", &tower, "--image", &picture])));
    assert_eq!(placed["logprobs"], seeing["logprobs"]);
    let shown = succeeds(&mut siskin(["info", &tower]));
    assert!(shown.contains("vision tower") && shown.contains("4 rows of 64"), "{shown}");
}

#[cfg(feature = "image")]
#[test]
fn long_pictures_are_seen_in_parts() {
    let Some(path) = model("gemma3_mm") else { return };
    let (gguf, hf) = (path.to_str().expect("UTF-8"), path.with_file_name("hf"));
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/pictures/picture.png"); // 64 x 48
    // A folder that cuts smaller pictures than others do.
    let folder = folder("parts");
    for name in ["config.json", "model.safetensors"] {
        std::fs::write(folder.join(name), std::fs::read(hf.join(name)).expect("there")).expect("written");
    }
    let numbers = r#"{"do_pan_and_scan": true, "pan_and_scan_min_crop_size": 8}"#;
    std::fs::write(folder.join("preprocessor_config.json"), numbers).expect("written");
    let tower = folder.to_str().expect("UTF-8");
    let run = |prompt: &str, more: &[&str]| {
        let args = ["run", gguf, "--mmproj", tower, "--raw", "--temp", "0", "-n", "4", "--json", prompt];
        json(&succeeds(siskin(args).args(more)))
    };
    let whole = run("What is this?", &["--image", picture]);
    let parts = run("What is this?", &["--image", picture, "--pan-and-scan"]);
    // By hand, with the whole in the place of its two parts: the same words, and as many positions.
    let mark = "<start_of_image>";
    let words = "and here are some crops to help you see better";
    let by_hand = format!("Here is the original image {mark} {words} {mark} {mark}What is this?");
    let thrice = run(&by_hand, &["--image", picture, "--image", picture, "--image", picture]);
    assert_eq!(parts["prompt_tokens"], thrice["prompt_tokens"]);
    assert_ne!(parts["prompt_tokens"], whole["prompt_tokens"]);
    assert_ne!(parts["logprobs"], thrice["logprobs"]);
    let chat = siskin(["chat", gguf, "--help"]).output().expect("runs");
    assert!(text(&chat.stdout).contains("--pan-and-scan"));
}
