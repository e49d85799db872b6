//! `cargo xtask conformance DIR [FAMILY..]`: the library against reference vectors of tiny models.
//!
//! `DIR` holds one folder per family: `model*.gguf`, `hf/`, `expected.safetensors` (what Hugging Face transformers computes in
//! f32), `llama_cpp.json` (what llama.cpp got on the quantised files). Each file is run on three prompts:
//!
//! - `model.gguf` (F32, F16 or BF16): logits at every position given and hidden states layer by layer within
//!   [`BUDGET`]; 32 greedy tokens, up to the first step whose margin is below it.
//! - The same with an image, where the set has one: its pixels, what the tower and the projector make of them, logits.
//! - `hf/`: the folder that it was made from, within the same budget.
//! - embedding models: the states of all tokens and the embeddings of texts, see `embedding`.
//! - `model-<tag>.gguf`: weights are quantised, and so are our activations. The mean KL divergence from transformers on
//!   the dequantised weights may be at most twice llama.cpp's, or [`KL_FLOOR`].
//!
//! A file of an architecture or tensor type that the library does not list is skipped, visibly; anything else that
//! keeps a file from running is a miss.

mod compare;
mod embedding;
mod expected;
mod table;
mod vision;

use std::fs;
use std::path::{Path, PathBuf};

use siskin::ErrorKind;
use siskin::engine::{Model, ModelOptions};
use siskin::gguf::GgufFile;
use siskin::model::supported_architectures;
use siskin::quant::{ActFormat, QuantType};

use self::compare::compare;
use self::expected::Expected;
use crate::Failure;

/// Largest absolute difference of a logit or hidden value on unquantised files.
const BUDGET: f32 = 1e-3;
/// A family's folder of safetensors.
const FOLDER: &str = "hf";
/// Mean KL divergence in nats that quantised files may always have.
const KL_FLOOR: f64 = 1e-3;
/// Largest mean KL divergence of a quantised file that llama.cpp cannot load; its own reaches 1.7e-2 on the others.
const KL_WITHOUT_PEER: f64 = 1e-2;

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
    /// Write the rows as a table of Markdown to this file (docs/MODELS.md)
    #[arg(long)]
    table: Option<PathBuf>,
}

/// How a file fared.
enum Verdict {
    /// What was found, and whether all is well.
    Compared(String, bool),
    Skipped(String),
    Failed(String),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if !args.dir.is_dir() {
        println!("skipped: conformance ({} is not there)", args.dir.display());
        return Ok(());
    }
    let options =
        ModelOptions { threads: args.threads, kernels: args.kernels.clone(), ..ModelOptions::default() };
    let folders = families(&args.dir, &args.family)?;
    println!(
        "{:<18} {:<18} {:>9} {:>9} {:>9} {:>7}  verdict",
        "family", "file", "|dresult|", "|dhidden|", "KL", "greedy"
    );
    let (mut fine, mut skipped, mut missed) = (0, 0, 0);
    let mut table = String::from(table::HEAD);
    for folder in &folders {
        let family = name_of(folder);
        for file in model_files(folder)? {
            let head = format!("{family:<18} {:<18}", name_of(&file).trim_end_matches(".gguf"));
            match check(folder, &file, &options)? {
                Verdict::Compared(row, is_fine) => {
                    println!("{head} {row}");
                    table::push(&mut table, &family, &name_of(&file), &row);
                    if is_fine { fine += 1 } else { missed += 1 }
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
    if let Some(path) = &args.table {
        fs::write(path, table)?;
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
        let weights = ["model.safetensors", "model.safetensors.index.json"];
        let holds_model = name == FOLDER && weights.iter().any(|w| path.join(w).exists());
        if holds_model || name.starts_with("model") && name.ends_with(".gguf") {
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
    let mut expected = Expected::read(folder, &name_of(path))?;
    let file = match siskin::hf::open_any(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::Unsupported && name_of(path) == FOLDER => {
            return Ok(match unknown_type(path)? {
                Some(why) => Verdict::Skipped(why),
                None => Verdict::Failed(e.to_string()),
            });
        }
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
    let quantised = |t: QuantType| t.act_format() != ActFormat::F32;
    expected.quantised = file.tensors().iter().any(|t| t.quant_type().is_ok_and(quantised));
    let compared = if expected.has_embeddings() {
        embedding::compare(&model, &expected).map(|r| Verdict::Compared(r.to_string(), r.misses.is_empty()))
    } else if expected.has_logits() {
        compare(&model, &expected).and_then(|mut report| {
            vision::compare(&mut report, &model, &expected, (folder, path))?;
            Ok(Verdict::Compared(report.to_string(), report.misses.is_empty()))
        })
    } else {
        return Ok(Verdict::Skipped("the set has neither logits nor embeddings for it".into()));
    };
    Ok(compared.unwrap_or_else(|e| Verdict::Failed(e.to_string())))
}

/// The type of a folder's model, if the library does not list it: judged from the folder.
fn unknown_type(path: &Path) -> Result<Option<String>, Failure> {
    let config: serde_json::Value = serde_json::from_slice(&fs::read(path.join("config.json"))?)?;
    let name = config["model_type"].as_str().unwrap_or_default();
    Ok(siskin::hf::model_types().all(|known| known != name).then(|| format!("folders of type {name}")))
}

/// Why the library may refuse this file: judged from the file, not from what the library says.
fn out_of_scope(file: &GgufFile) -> Result<Option<String>, Failure> {
    let arch: String = file.metadata().require("general.architecture")?;
    if supported_architectures().all(|(known, _)| known != arch) {
        return Ok(Some(format!("architecture {arch}")));
    }
    Ok(file
        .tensors()
        .iter()
        .find(|t| t.quant_type().is_err())
        .map(|t| format!("tensor type {}", t.type_name())))
}
