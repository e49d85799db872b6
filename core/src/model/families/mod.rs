//! THE LIST of model families: from metadata to a [`ModelSpec`].
//!
//! A family is one file here and one line in [`FAMILIES`]. It states facts of its architecture; behaviour lives in
//! the blocks. See `docs/adding-a-model.md`.

mod exaone4;
mod gemma;
mod gemma2;
mod gemma3;
mod glm4;
mod granite;
mod hparams;
mod hunyuan;
mod internlm2;
mod llama;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;

use self::hparams::Hparams;
use super::spec::ModelSpec;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Metadata;

/// One architecture as GGUF files name it.
pub(crate) struct Family {
    /// Values of `general.architecture`.
    arch: &'static [&'static str],
    /// What people call the models, for listings.
    serves: &'static str,
    /// Reads the specification.
    spec: fn(&Hparams<'_>) -> Result<ModelSpec>,
}

/// Every family, alphabetically.
static FAMILIES: &[&Family] = &[
    &exaone4::FAMILY,
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &glm4::FAMILY,
    &granite::FAMILY,
    &hunyuan::FAMILY,
    &internlm2::FAMILY,
    &llama::FAMILY,
    &olmo2::FAMILY,
    &phi3::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &smollm3::FAMILY,
];

/// The architectures that this version runs, with the models that use them.
pub fn supported_architectures() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAMILIES.iter().flat_map(|f| f.arch.iter().map(|&a| (a, f.serves)))
}

/// The specification of the model that `metadata` describes; `vocab` is the number of rows of its embedding.
///
/// # Errors
/// `Missing` or `Shape` naming the key; `Unsupported` naming the architecture; `Limit` for absurd sizes.
pub(crate) fn spec(metadata: &Metadata, vocab: usize) -> Result<ModelSpec> {
    let (arch, family) = find(metadata)?;
    let spec = (family.spec)(&Hparams::new(metadata, &arch, vocab))?;
    hparams::check(&spec)?;
    Ok(spec)
}

/// The architecture that `metadata` names, and its family.
///
/// # Errors
/// `Missing`, or `Unsupported` naming what the file is instead of a model that this version runs.
pub(crate) fn find(metadata: &Metadata) -> Result<(String, &'static Family)> {
    let kind: Option<String> = metadata.optional("general.type")?;
    if let Some(kind) = kind.filter(|kind| kind == "adapter" || kind == "mmproj") {
        let message =
            format!("the file is no model but its companion (\"{kind}\"), which cannot be used alone");
        return Err(Error::new(ErrorKind::Unsupported, message).with_key("general.type"));
    }
    let key = "general.architecture";
    let arch: String = metadata.require(key)?;
    let family = *FAMILIES.iter().find(|f| f.arch.contains(&arch.as_str())).ok_or_else(|| {
        let known: Vec<_> = supported_architectures().map(|(a, _)| a).collect();
        let message = format!("architecture \"{arch}\" is not supported; supported are {}", known.join(", "));
        Error::new(ErrorKind::Unsupported, message).with_key(key)
    })?;
    Ok((arch, family))
}
