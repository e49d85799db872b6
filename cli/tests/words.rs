//! What the command says of itself, of files, and of requests that make no sense.

mod common;
use common::{fails, folder, model, output, siskin, succeeds, text};

#[test]
fn long_help_has_the_paragraphs() {
    for (command, word) in [
        ("embed", "EmbeddingGemma"),
        ("fim", "far ends are cut"),
        ("moderate", "0.5 is where"),
        ("pack", "byte for byte"),
    ] {
        assert!(succeeds(&mut siskin([command, "--help"])).contains(word), "{command}");
        assert!(!succeeds(&mut siskin([command, "-h"])).contains(word), "{command}");
        // The list of commands has a line for each.
        let list = succeeds(&mut siskin(["--help"]));
        let line = list.lines().find(|line| line.trim_start().starts_with(command)).expect("listed");
        assert!(line.split_whitespace().count() > 3, "{line}");
    }
    assert!(succeeds(&mut siskin(["tokenize", "--help"])).contains("folder"));
}

#[test]
fn nothing_is_not_generated() {
    for args in [&["run", "m", "hi"][..], &["chat", "m"], &["fim", "m", "--prefix", "a"]] {
        let out = output(siskin(args).args(["-n", "0"]));
        assert_eq!(out.status.code(), Some(2));
        assert!(text(&out.stderr).contains("at least 1 token"), "{}", text(&out.stderr));
    }
}

#[test]
fn a_small_file_says_nothing_of_speed() {
    let Some(llama) = model("llama3") else { return };
    let shown = succeeds(siskin(["fit"]).arg(&llama));
    assert!(shown.contains("fits: ") && !shown.contains("GB/s"), "{shown}");
}

#[test]
fn a_tower_is_called_one() {
    let Some(path) = model("gemma3_mm") else { return };
    let shown = succeeds(siskin(["info"]).arg(path.with_file_name("mmproj.gguf")));
    assert!(shown.contains("vision tower") && !shown.contains("chat template"), "{shown}");
}

#[test]
fn places_and_patterns_that_are_wrong() {
    let Some(llama) = model("llama3") else { return };
    let folder = folder("wrong-places");
    let (llama, dir) = (llama.to_str().expect("UTF-8"), folder.to_str().expect("UTF-8"));
    let quantize = |out: &str| siskin(["quantize", llama, out, "--type", "Q8_0", "--requantize"]);
    let nowhere = format!("{dir}/nowhere");
    let out = output(&mut quantize(&format!("{nowhere}/x.gguf")));
    let stderr = text(&out.stderr);
    assert!(!out.status.success() && stderr.contains(&nowhere) && !stderr.contains(".part"), "{stderr}");
    fails(&mut quantize(dir), 2, &[dir, "is a folder"]);
    let out = format!("{dir}/x.gguf");
    fails(quantize(&out).args(["--tensor", "blk.*.nothing=Q8_0"]), 2, &["blk.*.nothing"]);
    assert!(!std::path::Path::new(&out).exists());
}
