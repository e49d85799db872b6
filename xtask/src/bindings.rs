//! `cargo xtask bindings`: the Swift, Kotlin and Python code that uniffi generates from the crate `siskin-bindings`.
//!
//! The code is committed, so that its users and reviewers see it and building an app needs no generator. `--check` fails
//! when it is not what the crate gives. The generator is uniffi's own, built from the crate, of the same version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, cargo, workspace_root};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a committed file differs
    #[arg(long)]
    check: bool,
}

/// Language, file as the generator writes it, where it is kept.
const FILES: [(&str, &str, &str); 5] = [
    ("swift", "Siskin.swift", "bindings/swift/Sources/Siskin/Siskin.swift"),
    ("swift", "SiskinFFI.h", "bindings/swift/Sources/SiskinFFI/SiskinFFI.h"),
    ("swift", "SiskinFFI.modulemap", "bindings/swift/apple/module.modulemap"),
    ("kotlin", "uniffi/siskin/siskin.kt", "bindings/kotlin/src/uniffi/kotlin/uniffi/siskin/siskin.kt"),
    ("python", "siskin.py", "bindings/python/siskin/_native/siskin.py"),
];

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let root = workspace_root();
    let (generator, library) = build()?;
    let folder = library.with_file_name("generated-bindings");
    for language in ["swift", "kotlin", "python"] {
        let mut command = Command::new(&generator);
        command
            .args(["generate", "--no-format", "--language", language, "--config"])
            .arg(root.join("bindings/uniffi.toml"));
        let status = command.arg("--out-dir").arg(folder.join(language)).arg(&library).status()?;
        if !status.success() {
            return Err(format!("the generator of {language} ended with {status}").into());
        }
    }
    let mut stale = Vec::new();
    for (language, from, to) in FILES {
        let new = tidy(&fs::read_to_string(folder.join(language).join(from))?);
        let path = root.join(to);
        if fs::read_to_string(&path).ok().as_deref() == Some(&new) {
            continue;
        }
        stale.push(to);
        if !args.check {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            fs::write(&path, new)?;
        }
    }
    match (args.check, stale.is_empty()) {
        (true, false) => {
            return Err(format!("stale, run `cargo xtask bindings`: {}", stale.join(", ")).into());
        }
        (false, false) => println!("wrote {}", stale.join(", ")),
        (_, true) => println!("{} generated files are up to date", FILES.len()),
    }
    Ok(())
}

/// The generator, and the library that it reads: unstripped, its symbols hold what is generated from.
fn build() -> Result<(PathBuf, PathBuf), Failure> {
    let built = cargo::build(&["build", "--locked", "--package", "siskin-bindings", "--features", "cli"])?;
    let files = |message: &serde_json::Value| -> Vec<PathBuf> {
        let files = message["filenames"].as_array().map(Vec::as_slice).unwrap_or_default();
        files.iter().filter_map(|f| f.as_str().map(PathBuf::from)).collect()
    };
    let library = built.iter().flat_map(files).find(|f| {
        f.extension().is_some_and(|e| e == "so" || e == "dylib")
            && f.to_string_lossy().contains("siskin_bindings")
    });
    let generator = built.iter().filter_map(|m| m["executable"].as_str()).next_back();
    Ok((generator.ok_or("cargo built no generator")?.into(), library.ok_or("cargo built no library")?))
}

/// No blanks at the ends of lines, one newline at the end: what the generator leaves there depends on its templates.
fn tidy(text: &str) -> String {
    let mut out: String = text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    out.truncate(out.trim_end().len());
    out + "\n"
}
