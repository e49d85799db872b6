//! `cargo xtask layering`: the rules of ARCHITECTURE.md that the text of `core/src` shows.
//!
//! Test code is left out (items under `#[cfg(test)]` and the files they declare), except for the rule on `unsafe`.
//! The checks read text, not a syntax tree: see [`scan`](crate::scan) for what that can and cannot see.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::scan::{code_only, line_of, without_comments, without_tests, words};
use crate::{Failure, workspace_root};

/// The modules of `core/src`. Each imports only from those before it.
const ORDER: &[&str] = &[
    "error",
    "cancel",
    "log",
    "json",
    "quant",
    "gguf",
    "tensor",
    "kernels",
    "threads",
    "kv_cache",
    "model",
    "plan",
    "tokenizer",
    "chat",
    "constraint",
    "sampler",
    "governor",
    "hf",
    "engine",
    "fim",
    "vision",
    "session",
    "moderate",
    "job",
];

/// These come after `model` only in the order of use: they know text and numbers, not networks.
const NO_MODEL: &[&str] = &["tokenizer", "chat", "constraint", "sampler"];

/// Where `unsafe` may stand: files, and folders with a slash at the end.
const UNSAFE_HOMES: &[&str] = &["gguf/mmap.rs", "tensor/cast.rs", "tensor/stripe.rs", "kernels/", "threads/"];

/// Names of model families; inside a longer word they count too (`is_gemma3`).
const FAMILIES: &[&str] = &["gemma", "llama", "qwen", "mistral", "mixtral", "deepseek", "smollm"];

/// Code that core must not contain, and why.
const BANNED: &[(&str, &str)] = &[
    ("std::env", "reads the environment"),
    ("env::var", "reads the environment"),
    ("println!", "prints"),
    ("eprintln!", "prints"),
    ("print!", "prints"),
    ("eprint!", "prints"),
    ("stdout()", "prints"),
    ("stderr()", "prints"),
    ("static mut", "global state"),
    ("thread_local!", "global state"),
    ("lazy_static!", "global state"),
    ("process::exit", "ends the host"),
    ("process::abort", "ends the host"),
];

/// Types that make a `static` into state.
const STATEFUL: &[&str] = &["Atomic", "Mutex", "RwLock", "OnceLock", "LazyLock", "OnceCell", "Cell<"];

/// What kernels must not do: they work on slices. `scratch.rs`, which a session allocates once, is exempt.
const BANNED_IN_KERNELS: &[&str] = &[
    "vec!", "Vec<", "Vec::", "Box<", "Box::", "String", ".to_vec(", ".collect", "format!", "thread::",
    "std::fs",
];

pub(crate) fn run() -> Result<(), Failure> {
    let src = workspace_root().join("core/src");
    let mut files = Vec::new();
    collect(&src, &src, &mut files)?;
    let findings = check(&files);
    for f in &findings {
        println!("core/src/{f}");
    }
    println!("layering: {} files, {} findings", files.len(), findings.len());
    if findings.is_empty() { Ok(()) } else { Err("the layering rules do not hold".into()) }
}

/// A source file: its path below `core/src` with `/`, and its text.
struct File {
    path: String,
    text: String,
}

fn collect(root: &Path, folder: &Path, out: &mut Vec<File>) -> Result<(), Failure> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<_, std::io::Error>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, out)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let below = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            out.push(File { path: below, text: fs::read_to_string(&path)? });
        }
    }
    Ok(())
}

/// Every breach, as `path:line: what`.
fn check(files: &[File]) -> Vec<String> {
    let test_files = test_files(files);
    let exports = root_exports(files);
    let mut out = Vec::new();
    for file in files {
        let code = code_only(&file.text);
        let mut say =
            |at: usize, what: String| out.push(format!("{}:{}: {what}", file.path, line_of(&file.text, at)));
        if !in_any(&file.path, UNSAFE_HOMES) {
            for (at, _) in words(&code).filter(|(_, w)| *w == "unsafe") {
                say(at, "`unsafe` outside its homes".into());
            }
        }
        if test_files
            .iter()
            .any(|t| file.path == format!("{t}.rs") || file.path.starts_with(&format!("{t}/")))
        {
            continue;
        }
        let (product, _) = without_tests(&code, &code);
        let module = module_path(&file.path);
        match module.first() {
            Some(top) if !ORDER.contains(top) => say(0, format!("`{top}` is not in the module order")),
            Some(top) => check_imports(top, &module, &product, &exports, &mut say),
            None => {} // lib.rs sees everything
        }
        check_state(&product, &mut say);
        if module.first() == Some(&"kernels") && file.path != "kernels/scratch.rs" {
            for &word in BANNED_IN_KERNELS {
                find_all(&product, word)
                    .for_each(|at| say(at, format!("a kernel must not allocate or spawn: `{word}`")));
            }
        }
        check_family_names(file, &module, &mut say);
    }
    out.sort();
    out
}

fn in_any(path: &str, places: &[&str]) -> bool {
    places.iter().any(|p| if p.ends_with('/') { path.starts_with(p) } else { path == *p })
}

/// The modules that a file is: `kernels/avx2/mod.rs` is `[kernels, avx2]`, `lib.rs` is the root, `[]`.
fn module_path(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

/// Files (without `.rs`) that are declared as modules under `#[cfg(test)]`.
fn test_files(files: &[File]) -> Vec<String> {
    let mut out = Vec::new();
    for file in files {
        let code = code_only(&file.text);
        for name in without_tests(&code, &code).1 {
            let mut parts = module_path(&file.path);
            parts.push(&name);
            out.push(parts.join("/"));
        }
    }
    out
}

/// Which module a name at the crate root comes from: `pub use error::{Error, ..}` in lib.rs, and macros by file.
fn root_exports(files: &[File]) -> HashMap<String, String> {
    let mut out = HashMap::new();
    for file in files {
        let code = code_only(&file.text);
        if file.path == "lib.rs" {
            for at in find_all(&code, "use ") {
                let path = code[at + 4..].split(';').next().unwrap_or_default();
                let path = path.trim().trim_start_matches("self::").trim_start_matches("crate::");
                if let Some((module, names)) = path.split_once("::") {
                    out.extend(words(names).map(|(_, n)| (n.to_string(), module.to_string())));
                }
            }
        } else if let Some(top) = module_path(&file.path).first() {
            for at in find_all(&code, "macro_rules!") {
                if let Some((_, name)) = words(&code[at + 12..]).next() {
                    out.insert(name.to_string(), (*top).to_string());
                }
            }
        }
    }
    out
}

/// Rule 1: each path that starts at the crate's root, or climbs there by `super`, ends in an earlier module.
fn check_imports(
    top: &str,
    module: &[&str],
    code: &str,
    exports: &HashMap<String, String>,
    say: &mut impl FnMut(usize, String),
) {
    let rank = |m: &str| ORDER.iter().position(|o| *o == m);
    for (at, name) in root_paths(code, module.len()) {
        let target = if ORDER.contains(&name) { Some(name) } else { exports.get(name).map(String::as_str) };
        let Some(target) = target else {
            say(at, format!("`crate::{name}` is no module of the order and no name exported at the root"));
            continue;
        };
        if rank(target) > rank(top) {
            say(at, format!("`{top}` imports `{target}`, which comes later"));
        } else if NO_MODEL.contains(&top)
            && (matches!(target, "model" | "plan" | "kv_cache") || (target == "kernels" && top != "sampler"))
        {
            // The sampler passes over every logit of a large vocabulary: arithmetic on slices, which is what kernels are.
            say(at, format!("`{top}` imports `{target}`: it must not know the network"));
        }
    }
}

/// The first segments of all paths from the crate's root, with their positions; groups are opened.
fn root_paths(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    for (at, word) in words(code) {
        let mut rest = match word {
            "crate" => at + 5,
            "super" if !code[..at].trim_end().ends_with("super::") => {
                let mut i = at + 5;
                let mut climbed = 1;
                while code[i..].starts_with("::super") {
                    (i, climbed) = (i + 7, climbed + 1);
                }
                if climbed < depth {
                    continue; // stays inside the module
                }
                i
            }
            _ => continue,
        };
        if !code[rest..].starts_with("::") {
            continue; // pub(crate)
        }
        rest += 2;
        if code[rest..].starts_with('{') {
            out.extend(group_heads(code, rest));
        } else if let Some((offset, name)) = words(&code[rest..]).next() {
            out.push((rest + offset, name));
        }
    }
    out
}

/// The first segment of each element of the `{a::b, c::{d}}` that starts at `open`.
fn group_heads(code: &str, open: usize) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let (mut depth, mut expecting) = (0, false);
    for (i, c) in code[open..].char_indices() {
        match c {
            '{' => (depth, expecting) = (depth + 1, depth == 0),
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => expecting = true,
            c if c.is_whitespace() => {}
            _ if expecting => {
                expecting = false;
                out.extend(words(&code[open + i..]).next().map(|(o, w)| (open + i + o, w)));
            }
            _ => {}
        }
    }
    out
}

/// Rule 8: no globals, no environment, no printing.
fn check_state(code: &str, say: &mut impl FnMut(usize, String)) {
    for (pattern, why) in BANNED {
        for at in find_all(code, pattern) {
            say(at, format!("`{pattern}`: core {why}"));
        }
    }
    for at in find_all(code, "static ").filter(|&at| !code[..at].ends_with('\'')) {
        let declared = code[at..].split(['=', ';', '{']).next().unwrap_or_default();
        if let Some(state) = STATEFUL.iter().find(|s| declared.contains(**s)) {
            say(at, format!("a static with `{state}` is global state"));
        }
    }
}

/// Where `pattern` stands as whole words (a letter before or after its own letters does not match).
fn find_all<'a>(code: &'a str, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(pattern).map(|(at, _)| at).filter(move |&at| {
        let before = word(code[..at].chars().next_back()) && word(pattern.chars().next());
        let after = word(code[at + pattern.len()..].chars().next()) && word(pattern.chars().next_back());
        !before && !after
    })
}

/// Rule 2: left of `model`, and in the forward pass, no family has a name; the forward pass asks no architecture.
fn check_family_names(file: &File, module: &[&str], say: &mut impl FnMut(usize, String)) {
    let decoder = file.path == "model/decoder.rs" || file.path.starts_with("model/decoder/");
    let left = ORDER.iter().take_while(|m| **m != "model").any(|m| module.first() == Some(m));
    if !left && !decoder {
        return;
    }
    let (text, _) = without_tests(&without_comments(&file.text), &code_only(&file.text));
    for (at, word) in words(&text) {
        let lower = word.to_lowercase();
        if let Some(family) = FAMILIES.iter().find(|f| lower.contains(**f)) {
            say(at, format!("`{word}` spells a model family (`{family}`)"));
        } else if decoder && matches!(lower.as_str(), "arch" | "architecture") {
            say(at, format!("`{word}`: the forward pass asks the spec, not the architecture"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in one file beside a lib.rs that exports `Error` and `Session`.
    fn findings(path: &str, text: &str) -> Vec<String> {
        let lib = File {
            path: "lib.rs".into(),
            text: "pub use error::{Error, Result};\npub use session::Session;".into(),
        };
        check(&[lib, File { path: path.into(), text: text.into() }])
    }

    #[track_caller]
    fn bad(path: &str, text: &str, what: &str) {
        let f = findings(path, text);
        assert!(f.len() == 1 && f[0].contains(what), "{path}: {text}: {f:?}");
    }

    #[track_caller]
    fn good(path: &str, text: &str) {
        assert_eq!(findings(path, text), Vec::<String>::new(), "{path}: {text}");
    }

    #[test]
    fn imports_go_one_way() {
        good("gguf/mod.rs", "use crate::error::Error; use crate::quant::QuantType; use super::quant::x;");
        bad("gguf/mod.rs", "use crate::tensor::View;", "later");
        bad("gguf/reader.rs", "fn f(x: crate::model::Spec) {}", "later");
        bad("gguf/reader.rs", "use super::super::model::Spec;", "later");
        bad("gguf/mod.rs", "use super::model::Spec;", "later");
        good("gguf/reader.rs", "use super::model_name; use super::{engine, session};");
        bad("kernels/mod.rs", "use crate::{error::Result, quant::{self, Block}, session::Session};", "later");
        good("session/mod.rs", "use crate::{engine::Model, sampler};");
        bad("kernels/mod.rs", "use crate::Session;", "later");
        good("kernels/mod.rs", "use crate::Error;");
        bad("kernels/mod.rs", "use crate::Unheard;", "no name exported");
        bad("chat/mod.rs", "use crate::model::ModelSpec;", "must not know");
        bad("helpers.rs", "fn f() {}", "not in the module order");
    }

    #[test]
    fn the_line_is_named() {
        let f = findings("gguf/mod.rs", "//! Doc.\n\nuse crate::tensor::View;\n");
        assert!(f[0].starts_with("gguf/mod.rs:3: "), "{f:?}");
    }

    #[test]
    fn comments_strings_and_tests_do_not_count() {
        good(
            "gguf/mod.rs",
            "//! See [`crate::session`].\n/* crate::model */ const A: &str = \"crate::model env::var\";",
        );
        good(
            "gguf/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::session::Session; fn f() { println!(); } }",
        );
        let parent = File { path: "gguf/mod.rs".into(), text: "#[cfg(test)]\nmod tests;".into() };
        let tests = File { path: "gguf/tests.rs".into(), text: "use crate::session::Session;".into() };
        assert!(check(&[parent, tests]).is_empty());
        bad("gguf/tests.rs", "use crate::session::Session;", "later"); // no parent says that it is test code
    }

    #[test]
    fn unsafe_has_its_homes() {
        good("kernels/avx2/dot.rs", "unsafe fn f() {}");
        good("gguf/mmap.rs", "fn f() { unsafe { g() } }");
        good("gguf/mod.rs", "//! unsafe\nfn not_unsafe() {}");
        bad("gguf/reader.rs", "fn f() { unsafe { g() } }", "unsafe");
        bad("gguf/reader.rs", "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }", "unsafe");
    }

    #[test]
    fn core_keeps_no_state_and_does_not_print() {
        bad("engine.rs", "fn f() { let _ = env::var(\"X\"); }", "environment");
        bad("engine.rs", "fn f() { println!(\"x\"); }", "prints");
        bad("engine.rs", "fn f() { std::process::exit(1); }", "ends the host");
        bad("engine.rs", "static COUNT: AtomicUsize = AtomicUsize::new(0);", "global state");
        bad("engine.rs", "static mut X: u32 = 0;", "global state");
        good("engine.rs", "static TIERS: &[&Tier] = &[]; fn f(x: &'static str, y: AtomicUsize) {}");
    }

    #[test]
    fn kernels_work_on_slices() {
        bad("kernels/scalar/dot.rs", "fn f() { let v = vec![0; 4]; }", "allocate");
        bad("kernels/scalar/dot.rs", "fn f() { std::thread::spawn(g); }", "allocate or spawn");
        good("kernels/scratch.rs", "fn f() { let v = vec![0; 4]; }");
    }

    #[test]
    fn families_have_no_name_before_model() {
        bad("tensor/view.rs", "fn is_gemma3() {}", "spells");
        bad("gguf/mod.rs", "const K: &str = \"llama.block_count\";", "spells");
        good("gguf/mod.rs", "// as llama.cpp does\nfn f() {}");
        good("model/families/gemma3.rs", "const ARCH: &str = \"gemma3\";");
        bad("model/decoder.rs", "fn f() { if arch == 3 {} }", "asks the spec");
        bad("model/decoder.rs", "fn f() { qwen2_bias(); }", "spells");
    }
}
