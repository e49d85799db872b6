//! What stands behind a model that embeds texts, in folders of their own as the package sentence-transformers writes them:
//! `1_Pooling`, then `2_Dense` and `3_Dense`.

use std::path::Path;

use super::config::Config;
use super::head::Head;
use super::safetensors::{self, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Bytes, TensorInfo};

/// Ways of pooling with GGUF's numbers.
const POOLING: [(&str, u32); 3] =
    [("pooling_mode_mean_tokens", 1), ("pooling_mode_cls_token", 2), ("pooling_mode_lasttoken", 3)];
/// The activation that is none.
const IDENTITY: &str = "torch.nn.modules.linear.Identity";

/// A matrix behind pooling.
pub(super) struct Dense {
    name: String,
    tensor: Tensor,
    /// Its file.
    pub(super) source: Bytes,
}

impl Dense {
    /// As a tensor of the file number `part`.
    pub(super) fn info(&self, part: usize) -> Result<TensorInfo> {
        let tensor = &self.tensor;
        let ggml = tensor.dtype.ggml.ok_or_else(|| {
            let message = format!("tensors of type {} are not supported", tensor.dtype.name);
            Error::new(ErrorKind::Unsupported, message).with_tensor(&*self.name)
        })?;
        let dims: Vec<u64> = tensor.shape.iter().rev().copied().collect();
        TensorInfo::new(&self.name, &dims, ggml, tensor.bytes.clone(), tensor.offset, part as u32)
    }
}

/// Writes how texts become vectors, if the folder says so, and opens the matrices for that.
///
/// # Errors
/// Names the file and the key or tensor.
pub(super) fn write(folder: &Path, head: &mut Head<'_>) -> Result<Vec<Dense>> {
    let Some(pooling) = Config::read(&folder.join("1_Pooling"), "config.json")? else {
        return Ok(Vec::new());
    };
    for (key, number) in POOLING {
        if pooling.flag(key)? == Some(true) {
            head.set("pooling_type", &number);
        }
    }
    let mut all = Vec::new();
    for n in [2, 3] {
        let part = folder.join(format!("{n}_Dense"));
        let Some(c) = Config::read(&part, "config.json")? else { break };
        let act = c.text("activation_function")?.unwrap_or(IDENTITY);
        if act != IDENTITY || c.flag("bias")? == Some(true) {
            let message = format!("a matrix behind pooling with a bias, or with {act}, is not supported");
            return Err(c.error(ErrorKind::Unsupported, "activation_function", message));
        }
        for (key, side) in [("in_features", "in"), ("out_features", "out")] {
            head.set(&format!("dense_{n}_feat_{side}"), &c.need(key, c.integer(key)?)?);
        }
        let path = part.join("model.safetensors");
        let (source, tensors) = safetensors::open(&path)?;
        let tensor = tensors.into_iter().find(|t| &*t.name == "linear.weight").ok_or_else(|| {
            let missing = Error::new(ErrorKind::Missing, "required tensor is absent");
            missing.with_tensor("linear.weight").with_file(&path)
        })?;
        all.push(Dense { name: format!("dense_{n}.weight"), tensor, source });
    }
    Ok(all)
}
