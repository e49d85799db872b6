//! Model folders of the Hugging Face Hub: safetensors files, `config.json`, a tokenizer, a chat template.
//!
//! A folder becomes what a GGUF file is, a [`GgufFile`]: metadata with GGUF's keys, tensors with GGUF's names. So
//! everything behind it is the same. Weights (BF16, F16, F32) stay in the mapped files; the metadata, with the
//! vocabulary, are made in memory. `docs/huggingface.md` says which files are read and what becomes of them.

mod chat;
mod config;
mod convert;
mod embedding;
mod families;
mod head;
mod parts;
mod pre;
mod rope;
mod safetensors;
mod specials;
mod tensors;
mod tokenizer;
mod vision;

use std::path::Path;

use self::config::Config;
use self::head::Head;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::GgufFile;
use crate::tokenizer::Tokenizer;

pub use self::vision::open_vision;

/// Opens a model, whatever it is: a GGUF file, a folder, or one of a folder's `.safetensors` files.
///
/// # Errors
/// Names the file and the key, tensor and offset that it fails on.
pub fn open_any(path: impl AsRef<Path>) -> Result<GgufFile> {
    let path = path.as_ref();
    if path.is_dir() {
        return open(path);
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("safetensors") => {
            // Of a file that stands alone, what is wrong with it is said first.
            safetensors::open(path)?;
            open(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
        }
        _ => GgufFile::open(path),
    }
}

/// Opens the model in `folder`.
///
/// # Errors
/// Names the file and the key, tensor and offset that it fails on.
pub fn open(folder: impl AsRef<Path>) -> Result<GgufFile> {
    let folder = folder.as_ref();
    let config = Config::read(folder, "config.json")?.ok_or_else(|| {
        Error::new(ErrorKind::Missing, "the folder has no config.json: it is no model").with_file(folder)
    })?;
    let family = families::find(&config)?;
    let config = family.settled(config);
    let mut head = Head::new(family.arch);
    head.set_global("general.architecture", family.arch);
    head.set_global("general.type", "model");
    if let Some(name) = folder.canonicalize().ok().and_then(|p| Some(p.file_name()?.to_str()?.to_owned())) {
        head.set_global("general.name", &name);
    }
    family.write(&config, &mut head)?;
    tokenizer::write(folder, &config, &mut head)?;
    let dense = embedding::write(folder, &mut head)?;
    let (mut sources, mut tensors) = tensors::open(folder, family, &config, &head)?;
    for dense in dense {
        tensors.push(dense.info(sources.len())?);
        sources.push(dense.source);
    }
    GgufFile::assemble(folder.to_path_buf(), &head.metadata, tensors, sources)
        .map_err(|e| e.with_file(folder))
}

/// The tokenizer of a folder, which needs neither weights nor a model that can be opened.
///
/// # Errors
/// As for [`open`].
pub fn tokenizer(folder: impl AsRef<Path>) -> Result<Tokenizer> {
    let folder = folder.as_ref();
    let config = Config::read(folder, "config.json")?.unwrap_or_else(|| Config::empty(folder, "config.json"));
    let (arch, config) = match families::find(&config) {
        Ok(family) => (family.arch, family.settled(config)),
        Err(_) => ("unknown", config),
    };
    let mut head = Head::new(arch);
    head.set_global("general.architecture", arch);
    tokenizer::write(folder, &config, &mut head)?;
    let file = GgufFile::assemble(folder.to_path_buf(), &head.metadata, Vec::new(), Vec::new());
    file.and_then(|file| Tokenizer::from_metadata(file.metadata())).map_err(|e| e.with_file(folder))
}

/// The values of `model_type` that can be opened.
pub fn model_types() -> impl Iterator<Item = &'static str> {
    families::types()
}
