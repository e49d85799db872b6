//! What cannot be done is refused with one line that says what and where, and with the documented exit code.

#![allow(clippy::print_stdout, reason = "skips must be seen")]

mod common;
use common::{fails, folder, model, output, reference, siskin, succeeds, text, with_template};
use std::fs;

#[test]
fn files_that_are_no_models() {
    let dir = folder("no-models");
    let empty = dir.join("empty.gguf");
    fs::write(&empty, b"").expect("written");
    let junk = dir.join("junk.gguf");
    fs::write(&junk, vec![b'x'; 10_000]).expect("written");
    let (dir, empty, junk) =
        (dir.to_str().expect("UTF-8"), empty.to_str().expect("UTF-8"), junk.to_str().expect("UTF-8"));
    for command in ["info", "check", "fit"] {
        fails(&mut siskin([command, "/no/such/model.gguf"]), 4, &["/no/such/model.gguf", "No such file"]);
        fails(&mut siskin([command, dir]), 3, &[dir, "config.json"]);
        fails(&mut siskin([command, empty]), 3, &[empty]);
        fails(&mut siskin([command, junk]), 3, &[junk]);
    }
    for args in [
        ["run", empty, "hi"],
        ["tokenize", empty, "hi"],
        ["perplexity", empty, junk],
        ["bench", empty, "-r1"],
    ] {
        fails(&mut siskin(args), 3, &[empty]);
    }
}

#[cfg(unix)]
#[test]
fn no_permission() {
    use std::os::unix::fs::PermissionsExt;
    let path = folder("no-permission").join("secret.gguf");
    fs::write(&path, b"GGUF").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("possible");
    if fs::File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    fails(&mut siskin([std::ffi::OsStr::new("info"), path.as_os_str()]), 4, &["secret.gguf", "ermission"]);
}

#[test]
fn unsupported_models_are_refused_but_described() {
    let Some(path) = common::unknown_architecture("unsupported-model") else { return };
    let path = path.to_str().expect("UTF-8");
    fails(&mut siskin(["run", path, "hi"]), 3, &[path, "architecture \"mamba\"", "general.architecture"]);
    fails(&mut siskin(["check", path, "--stage", "load"]), 3, &["mamba"]);
    let shown = succeeds(&mut siskin(["info", path]));
    assert!(shown.contains("architecture") && shown.contains("no: "), "{shown}");
}

#[test]
fn models_that_embed_do_not_generate() {
    let Some(bert) = model("bert") else { return };
    let bert = bert.to_str().expect("UTF-8");
    for args in [&["run", bert, "hi", "--raw"][..], &["bench", bert]] {
        fails(&mut siskin(args), 3, &["embeds texts"]);
    }
    fails(&mut siskin(["pack", bert, "/no/such/place"]), 3, &["no head"]);
    let Some(llama) = model("llama3") else { return };
    let llama = llama.to_str().expect("UTF-8");
    fails(&mut siskin(["embed", llama, "--text", "hi"]), 3, &["pooling"]);
    fails(&mut siskin(["embed", bert]), 2, &["no text"]);
    fails(&mut siskin(["embed", bert, "--text", "hi", "--dimensions", "65"]), 2, &["64"]);
    let long = "a ".repeat(600);
    fails(&mut siskin(["embed", bert, "--text", &long]), 1, &["at most 512"]);
}

#[test]
fn unsupported_tensor_types_are_refused_but_described() {
    let Some(llama) = model("llama3") else { return };
    // Tensor infos are followed by data; the type of a tensor is the u32 after its name and dimensions.
    let mut bytes = fs::read(&llama).expect("readable");
    let name = b"blk.0.attn_q.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).expect("there") + name.len() + 4 + 2 * 8;
    bytes[at..at + 4].copy_from_slice(&16u32.to_le_bytes()); // IQ2_XXS
    let path = folder("unsupported-type").join("model.gguf");
    fs::write(&path, bytes).expect("written");
    let path = path.to_str().expect("UTF-8");
    fails(&mut siskin(["check", path, "--stage", "load"]), 3, &["blk.0.attn_q.weight", path]);
}

#[test]
fn settings_out_of_range() {
    let Some(llama) = model("llama3") else { return };
    let llama = llama.to_str().expect("UTF-8");
    for (args, word) in [
        (&["--temp", "-1"][..], "temperature"),
        (&["--temp", "nan"], "temperature"),
        (&["--top-p", "1.5"], "top_p"),
        (&["--min-p", "-0.1"], "min_p"),
        (&["--repeat-penalty", "0"], "repeat_penalty"),
        (&["--repeat-last-n", "99999999"], "penalty_last_n"),
        (&["--stop", ""], "stop string"),
        (&["--threads", "0"], "threads"),
        (&["--kernels", "nosuch"], "nosuch"),
        (&["--ctx", "0"], "context"),
        (&["--batch", "0"], "batch"),
    ] {
        fails(siskin(["run", llama, "hi", "--raw"]).args(args), 2, &[word]);
    }
    fails(&mut siskin(["run", llama, "--raw"]), 2, &["prompt is empty"]);
    fails(&mut siskin(["run", llama, "a long prompt indeed", "--raw", "--ctx", "4"]), 1, &["context"]);
    fails(&mut siskin(["chat", llama]), 2, &["no chat template"]);
    fails(&mut siskin(["run", llama, "hi", "--system", "x"]), 2, &["no chat template"]);
    fails(&mut siskin(["tokenize", llama, "--decode", "1 x"]), 2, &["\"x\""]);
    fails(&mut siskin(["tokenize", llama, "--decode", "1 4000000000"]), 3, &["4000000000"]);
}

#[test]
fn usage_errors_have_code_2() {
    for args in [
        &["frobnicate"][..],
        &[],
        &["run"],
        &["check", "x", "--stage", "later"],
        &["run", "m", "p", "--temp", "warm"],
    ] {
        let out = output(&mut siskin(args));
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(out.stdout.is_empty() && !out.stderr.is_empty(), "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["help", "bench"]] {
        assert!(succeeds(&mut siskin(args)).len() > 5);
    }
    assert!(succeeds(&mut siskin(["--help"])).contains("Exit codes:"));
}

#[test]
fn bad_templates() {
    let Some(llama) = model("llama3") else { return };
    let path = folder("bad-templates").join("model.gguf");
    let file = path.to_str().expect("UTF-8");
    with_template(
        &llama,
        &path,
        "{{ messages[0].content }}\n{% for x in range(999) %}{% for y in range(999) %}{% for z in range(999) %}a{% endfor %}{% endfor %}{% endfor %}",
    );
    fails(&mut siskin(["check", file, "--stage", "render"]), 3, &[file, "line 2", "the template"]);
    fails(&mut siskin(["run", file, "hi"]), 3, &["line 2"]);
    assert!(output(&mut siskin(["run", file, "hi", "--raw", "-n", "2"])).status.success());
}

#[test]
fn checks_of_good_files() {
    for family in ["llama3", "gemma3", "qwen2"] {
        let Some(path) = model(family) else { return };
        let path = path.to_str().expect("UTF-8");
        for (stage, lines) in [("load", 1), ("tokenize", 2), ("render", 3), ("generate", 4)] {
            let shown = succeeds(&mut siskin(["check", path, "--stage", stage]));
            assert_eq!(shown.lines().count(), lines, "{shown}");
        }
    }
    let Some(adapter) = reference("conformance/public/llama3/lora/adapter.gguf") else { return };
    let base = model("llama3").expect("beside the adapter");
    let shown = succeeds(siskin(["check", "--stage", "load", "--base"]).arg(&base).arg(&adapter));
    assert!(shown.contains("an adapter of "), "{shown}");
    // Nothing can be done with an adapter yet, and that is said.
    let out = output(siskin(["check", "--base"]).arg(&base).arg(&adapter));
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("cannot be applied yet"), "{}", text(&out.stderr));
}

#[cfg(feature = "image")]
#[test]
fn pictures_without_eyes() {
    let (Some(path), Some(llama)) = (model("gemma3_mm"), model("llama3")) else { return };
    let folder = path.parent().expect("a folder");
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (gguf, tower, picture) = (file("model.gguf"), file("mmproj.gguf"), file("image.png"));
    let llama = llama.to_str().expect("UTF-8");
    let run = |model: &str, more: &[&str]| {
        let mut command = siskin(["run", model, "--raw", "x"]);
        command.args(more);
        command
    };
    fails(&mut run(llama, &["--mmproj", &tower, "--image", &picture]), 3, &["llama", "gemma3", &tower]);
    fails(&mut run(&gguf, &["--image", &picture]), 2, &["--mmproj"]);
    fails(&mut run(&gguf, &["--mmproj", &gguf, "--image", &picture]), 3, &["no vision tower", &gguf]);
    fails(&mut run(&gguf, &["--mmproj", &tower, "--image", &tower]), 4, &[&tower]);
    fails(&mut run(&gguf, &["--mmproj", &tower, "--image", "/no/such.png"]), 4, &["/no/such.png"]);
    fails(
        &mut run(&gguf, &["--mmproj", &tower, "--image", &picture, "-b", "2"]),
        2,
        &["4 positions", "batch"],
    );
    fails(&mut run(&tower, &[]), 3, &["companion", "mmproj"]);
}
