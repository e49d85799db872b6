//! THE LIST of model families: from metadata to a [`ModelSpec`].
//!
//! A family is one file here and one line in [`FAMILIES`]. It states facts of its architecture; behaviour lives in
//! the blocks. See `docs/adding-a-model.md`.

mod bert;
mod cohere2;
mod deepseek2;
mod exaone4;
mod experts;
mod gemma;
mod gemma2;
mod gemma3;
mod gemma3n;
mod gemma4;
mod gemma_embedding;
mod glm4;
mod gpt_oss;
mod granite;
mod hparams;
mod hunyuan;
mod internlm2;
mod layers;
mod llama;
mod llama4;
mod mistral3;
mod olmo2;
mod phi3;
mod positions;
mod qwen2;
mod qwen2moe;
mod qwen3;
mod qwen35;
mod qwen3moe;
mod smollm3;
#[cfg(test)]
mod tests;

use self::hparams::Hparams;
use super::spec::{AttentionSpec, Mask, ModelSpec};
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
    &bert::FAMILY,
    &cohere2::FAMILY,
    &deepseek2::FAMILY,
    &exaone4::FAMILY,
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &gemma3n::FAMILY,
    &gemma4::FAMILY,
    &gemma_embedding::FAMILY,
    &glm4::FAMILY,
    &gpt_oss::FAMILY,
    &granite::FAMILY,
    &hunyuan::FAMILY,
    &internlm2::FAMILY,
    &llama::FAMILY,
    &llama4::FAMILY,
    &mistral3::FAMILY,
    &olmo2::FAMILY,
    &phi3::FAMILY,
    &qwen2::FAMILY,
    &qwen2moe::FAMILY,
    &qwen3::FAMILY,
    &qwen35::FAMILY,
    &qwen3moe::FAMILY,
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
    let h = Hparams::new(metadata, &arch, vocab);
    let mut spec = (family.spec)(&h)?;
    spec.predictors = h.predictors()?;
    // Decoders that were turned into encoders say so.
    if h.optional("attention.causal")? == Some(false) {
        for layer in &mut spec.layers {
            if let AttentionSpec::Gqa(gqa) = &mut layer.attention {
                gqa.mask = Mask::Bidirectional;
            }
        }
        spec.generates = false;
    }
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
    if arch == "clip" {
        // The first of these files do not say so in `general.type`.
        let message = "the file is no model but a vision tower, which is used beside its model";
        return Err(Error::new(ErrorKind::Unsupported, message).with_key(key));
    }
    let family = *FAMILIES.iter().find(|f| f.arch.contains(&arch.as_str())).ok_or_else(|| {
        let known: Vec<_> = supported_architectures().map(|(a, _)| a).collect();
        let message = format!("architecture \"{arch}\" is not supported; supported are {}", known.join(", "));
        Error::new(ErrorKind::Unsupported, message).with_key(key)
    })?;
    Ok((arch, family))
}
