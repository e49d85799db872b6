//! `cargo xtask conformance DIR [FAMILY..]`: the library against reference vectors of tiny models.
//!
//! `DIR` holds one folder per family: `model*.gguf`, `expected.safetensors` (what Hugging Face transformers computes in
//! f32), `llama_cpp.json` (what llama.cpp got on the quantised files). Each file is run on three prompts:
//!
//! - `model.gguf` (F32, F16 or BF16): logits at every position given and hidden states layer by layer within
//!   [`BUDGET`]; 32 greedy tokens, up to the first step whose margin is below it.
//! - `model-<tag>.gguf`: weights are quantised, and so are our activations. The mean KL divergence from transformers on
//!   the dequantised weights may be at most twice llama.cpp's, or [`KL_FLOOR`].
//!
//! A file of an architecture or tensor type that the library does not list is skipped, visibly; anything else that
//! keeps a file from running is a miss.

mod compare;
mod expected;

use std::fs;
use std::path::{Path, PathBuf};

use siskin::ErrorKind;
use siskin::engine::{Model, ModelOptions};
use siskin::gguf::GgufFile;
use siskin::model::supported_architectures;

use self::compare::{Report, compare};
use self::expected::Expected;
use crate::Failure;

/// Largest absolute difference of a logit or hidden value on unquantised files.
const BUDGET: f32 = 1e-3;
/// Mean KL divergence in nats that quantised files may always have.
const KL_FLOOR: f64 = 1e-3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder of family folders
    dir: PathBuf,
    /// Only these folders (default: all)
    family: Vec<String>,
    /// Kernel tier (default: the fastest)
    #[arg(long)]
    kernels: Option<String>,
    /// Threads (default: the library's choice)
    #[arg(long)]
    threads: Option<usize>,
}

/// How a file fared.
enum Verdict {
    Compared(Report),
    Skipped(String),
    Failed(String),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if !args.dir.is_dir() {
        println!("skipped: conformance ({} is not there)", args.dir.display());
        return Ok(());
    }
    let options = ModelOptions { threads: args.threads, kernels: args.kernels.clone(), log: None };
    let folders = families(&args.dir, &args.family)?;
    println!(
        "{:<18} {:<18} {:>9} {:>9} {:>9} {:>7}  verdict",
        "family", "file", "|dlogit|", "|dhidden|", "KL", "greedy"
    );
    let (mut fine, mut skipped, mut missed) = (0, 0, 0);
    for folder in &folders {
        let family = name_of(folder);
        for file in model_files(folder)? {
            let head = format!("{family:<18} {:<18}", name_of(&file).trim_end_matches(".gguf"));
            match check(folder, &file, &options)? {
                Verdict::Compared(r) => {
                    println!("{head} {r}");
                    if r.misses.is_empty() { fine += 1 } else { missed += 1 }
                }
                Verdict::Skipped(why) => {
                    println!("{head} skipped: {why}");
                    skipped += 1;
                }
                Verdict::Failed(why) => {
                    println!("{head} MISS: {why}");
                    missed += 1;
                }
            }
        }
    }
    println!("conformance: {fine} files fine, {missed} missed, {skipped} skipped");
    match (fine, missed) {
        (0, 0) => Err("nothing was compared".into()),
        (_, 0) => Ok(()),
        _ => Err("the library misses reference vectors".into()),
    }
}

fn families(dir: &Path, wanted: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = Vec::new();
    if wanted.is_empty() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.join("expected.safetensors").exists() {
                folders.push(path);
            }
        }
        folders.sort();
    }
    for name in wanted {
        let path = dir.join(name);
        if !path.join("expected.safetensors").exists() {
            return Err(format!("{}: no expected.safetensors there", path.display()).into());
        }
        folders.push(path);
    }
    Ok(folders)
}

fn model_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = name_of(&path);
        if name.starts_with("model") && name.ends_with(".gguf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn check(folder: &Path, path: &Path, options: &ModelOptions) -> Result<Verdict, Failure> {
    let expected = Expected::read(folder, &name_of(path))?;
    let file = match GgufFile::open(path) {
        Ok(file) => file,
        Err(e) => return Ok(Verdict::Failed(e.to_string())),
    };
    let model = match Model::from_gguf(file.clone(), options) {
        Ok(model) => model,
        Err(e) if e.kind() == ErrorKind::Unsupported => {
            return Ok(match out_of_scope(&file)? {
                Some(why) => Verdict::Skipped(why),
                None => Verdict::Failed(e.to_string()),
            });
        }
        Err(e) => return Ok(Verdict::Failed(e.to_string())),
    };
    if !expected.has_logits() {
        return Ok(Verdict::Skipped("the set has no logits for it".into()));
    }
    Ok(compare(&model, &expected).map_or_else(|e| Verdict::Failed(e.to_string()), Verdict::Compared))
}

/// Why the library may refuse this file: judged from the file, not from what the library says.
fn out_of_scope(file: &GgufFile) -> Result<Option<String>, Failure> {
    let arch: String = file.metadata().require("general.architecture")?;
    if supported_architectures().all(|(known, _)| known != arch) {
        return Ok(Some(format!("architecture {arch}")));
    }
    if file.metadata().optional::<u32>(&format!("{arch}.expert_count"))?.is_some_and(|n| n > 0) {
        return Ok(Some(format!("{arch} with experts")));
    }
    Ok(file
        .tensors()
        .iter()
        .find(|t| t.quant_type().is_err())
        .map(|t| format!("tensor type {}", t.type_name())))
}
