//! What gpt-oss writes on its channels: the answer alone is text and history, thoughts stand apart. And templates from files.

mod common;
use common::{fails, folder, model, output, siskin, succeeds, text};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A template whose answers begin on this channel.
fn template(folder: &Path, channel: &str) -> PathBuf {
    let path = folder.join(format!("{channel}.jinja"));
    // That the thoughts of an answer are there for the next is checked by the template itself.
    let source = format!(
        "{{% for m in messages %}}{{% if m.role == 'assistant' and not m.thinking %}}{{{{ raise_exception('no thoughts') }}}}\
         {{% endif %}}<|start|>{{{{ m.role }}}}<|message|>{{{{ m.content }}}}<|end|>{{% endfor %}}\
         <|start|>assistant<|channel|>{channel}<|message|>"
    );
    std::fs::write(&path, source).expect("written");
    path
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn thoughts_are_apart_from_the_answer() {
    let Some(gpt) = model("gpt_oss") else { return };
    let folder = folder("channels");
    let (analysis, last) = (template(&folder, "analysis"), template(&folder, "final"));
    let run = |template: &Path, more: &[&str]| {
        let mut command = siskin(["run", gpt.to_str().expect("UTF-8"), "hello", "--temp", "0", "-n", "4"]);
        command.arg("--template").arg(template).args(more);
        command
    };
    let answer = json(&succeeds(&mut run(&last, &["--json"])));
    assert!(answer["reasoning"].is_null() && answer["text"] != "", "{answer}");
    let thought = json(&succeeds(&mut run(&analysis, &["--json"])));
    let reasoning = thought["reasoning"].as_str().expect("text");
    assert!(!reasoning.is_empty() && thought["text"] == "", "{thought}");
    // For people: on standard error if that is wished, or a terminal.
    let shown = output(&mut run(&analysis, &["--reasoning", "show"]));
    assert_eq!((text(&shown.stdout).trim(), text(&shown.stderr).trim()), ("", reasoning.trim()));
    assert!(output(&mut run(&analysis, &[])).stderr.is_empty());
    let hidden = json(&succeeds(&mut run(&analysis, &["--json", "--reasoning", "hide"])));
    assert!(hidden["reasoning"].is_null() && hidden["tokens"] == thought["tokens"], "{hidden}");
}

#[test]
fn a_conversation_keeps_both() {
    let Some(gpt) = model("gpt_oss") else { return };
    let analysis = template(&folder("channels-chat"), "analysis");
    let args =
        ["chat", gpt.to_str().expect("UTF-8"), "--temp", "0", "-n", "4", "--json", "--reasoning", "hide"];
    let mut command = siskin(args);
    command
        .arg("--template")
        .arg(analysis)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(b"hello\nagain\n").expect("read");
    let out = child.wait_with_output().expect("ends");
    let answers: Vec<Value> = text(&out.stdout).lines().map(json).collect();
    assert_eq!(answers.len(), 2, "{}", text(&out.stderr));
    assert!(answers.iter().all(|a| a["reasoning"].is_null() && a["text"] == ""), "{answers:?}");
}

#[test]
fn templates_from_files() {
    let Some(llama) = model("llama3") else { return };
    let folder = folder("templates-from-files");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let llama = llama.to_str().expect("UTF-8");
    let run = |template: &str| siskin(["run", llama, "hi", "--template", template, "-n", "2", "--json"]);
    let tokens = |source: &[u8]| {
        json(&succeeds(&mut run(&write("good.jinja", source))))["prompt_tokens"].as_u64().expect("a number")
    };
    assert!(
        tokens(b"{{ messages[0].content }}\n") < tokens(b"long words before {{ messages[0].content }}\n")
    );
    let broken = write("broken.jinja", b"\n{% for %}");
    fails(&mut run(&broken), 3, &[&broken, "line 2"]);
    fails(&mut siskin(["chat", llama, "--template", &broken]), 3, &[&broken]);
    let binary = write("binary.jinja", b"a\xff");
    fails(&mut run(&binary), 4, &[&binary, "UTF-8"]);
    fails(&mut run("/no/such/template"), 4, &["/no/such/template"]);
}

#[test]
fn that_there_is_no_template_is_said() {
    let Some(llama) = model("llama3") else { return };
    let args = ["run", llama.to_str().expect("UTF-8"), "hi", "-n", "2"];
    let out = output(&mut siskin(args));
    assert!(out.status.success() && text(&out.stderr).contains("no chat template"), "{}", text(&out.stderr));
    assert!(output(siskin(args).arg("--raw")).stderr.is_empty());
}
