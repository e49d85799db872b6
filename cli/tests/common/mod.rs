//! Helpers of the command's tests: the reference set's small models, copies of them, and running the program.
#![allow(dead_code, clippy::print_stdout, reason = "each test file uses a part; skips must be seen")]

use siskin::gguf::GgufFile;
use siskin::gguf::write::GgufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file of the reference set, or `None` with a visible word.
pub(crate) fn reference(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SISKIN_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = root.join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// A small model of this family.
pub(crate) fn model(family: &str) -> Option<PathBuf> {
    reference(&format!("conformance/public/{family}/model.gguf"))
}

/// A folder of this test's own, emptied.
pub(crate) fn folder(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder for the test");
    path
}

/// A copy of `model` that has this chat template.
pub(crate) fn with_template(model: &Path, to: &Path, template: &str) {
    let file = GgufFile::open(model).expect("a model");
    let mut writer = GgufWriter::new();
    for (key, value) in file.metadata().iter() {
        writer.set(key, value);
    }
    writer.set("tokenizer.chat_template", template);
    for t in file.tensors().iter() {
        writer.tensor(t.name(), t.quant_type().expect("known"), t.dims()).expect("a valid tensor");
    }
    let bytes = writer.to_bytes(|plan| file.tensors().get(&plan.name).expect("there").bytes().to_vec());
    std::fs::write(to, bytes.expect("sizes match")).expect("written");
}

/// A copy of a small model whose file names an architecture that nobody runs.
pub(crate) fn unknown_architecture(test: &str) -> Option<PathBuf> {
    let mut bytes = std::fs::read(model("llama3")?).expect("readable");
    let key = b"general.architecture";
    let at = bytes.windows(key.len()).position(|w| w == key).expect("there") + key.len() + 4 + 8;
    assert_eq!(&bytes[at..at + 5], b"llama");
    bytes[at..at + 5].copy_from_slice(b"mamba");
    let path = folder(test).join("model.gguf");
    std::fs::write(&path, bytes).expect("written");
    Some(path)
}

pub(crate) const TEMPLATE: &str =
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]";

pub(crate) fn siskin<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siskin"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs to the end.
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Checks the exit code and that standard error is one line which begins with `siskin: error: ` and contains `words`.
#[track_caller]
pub(crate) fn fails(command: &mut Command, code: i32, words: &[&str]) {
    let out = output(command);
    let stderr = text(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{command:?}: {stderr}");
    assert!(stderr.starts_with("siskin: error: "), "{command:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{command:?}: {word:?} is not in {stderr}");
    }
}

/// Runs to the end without failing, and gives standard output.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) -> String {
    let out = output(command);
    assert!(out.status.success(), "{command:?}: {:?} {}", out.status, text(&out.stderr));
    text(&out.stdout)
}
