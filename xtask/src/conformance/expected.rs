//! The reference values of one model file: which fields of `expected.safetensors` apply to it.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::Failure;

/// Reference values for one GGUF.
pub(super) struct Expected {
    bytes: Vec<u8>,
    /// What the file's fields begin with: nothing for `model.gguf`, `q8_0.` for `model-q8_0.gguf`.
    prefix: String,
    /// Mean KL divergence that llama.cpp reached on this file.
    pub(super) peer_kl: Option<f64>,
    /// Of 32 greedy tokens, those that llama.cpp chose too when given the reference's tokens.
    pub(super) peer_greedy: Option<u64>,
}

impl Expected {
    pub(super) fn read(folder: &Path, file: &str) -> Result<Self, Failure> {
        let bytes = std::fs::read(folder.join("expected.safetensors"))?;
        let tag = file.trim_start_matches("model").trim_start_matches('-').trim_end_matches(".gguf");
        let prefix = if tag.is_empty() { String::new() } else { format!("{tag}.") };
        let peers = std::fs::read(folder.join("llama_cpp.json")).unwrap_or_else(|_| b"{}".to_vec());
        let peers: serde_json::Value = serde_json::from_slice(&peers)?;
        let peer = &peers[file];
        Ok(Self {
            peer_kl: peer["kl_mid"].as_f64(),
            peer_greedy: peer["greedy_teacher_forced"].as_u64(),
            ..Self::new(bytes, &prefix)
        })
    }

    pub(super) fn new(bytes: Vec<u8>, prefix: &str) -> Self {
        Self { bytes, prefix: prefix.to_string(), peer_kl: None, peer_greedy: None }
    }

    /// Whether the file's weights are stored unquantised.
    pub(super) fn exact(&self) -> bool {
        self.prefix.is_empty()
    }

    pub(super) fn has_logits(&self) -> bool {
        self.floats("logits_last.short").is_some()
    }

    /// A prompt.
    pub(super) fn ids(&self, prompt: &str) -> Option<Vec<i32>> {
        self.raw(&format!("ids.{prompt}"), Dtype::I32).map(ints)
    }

    /// A field of this file.
    pub(super) fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let bytes = self.raw(&format!("{}{name}", self.prefix), Dtype::F32)?;
        Some(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// A field of this file that depends on the prompt being longer than the window. Where the reference applied a
    /// window that GGUF cannot say (`nosw.` fields exist), the result without it counts, or nothing.
    pub(super) fn long_floats(&self, name: &str) -> Option<Vec<f32>> {
        match self.raw(&format!("nosw.{}{name}", self.prefix), Dtype::F32) {
            Some(b) => Some(b.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            None if self.windowless() => None,
            None => self.floats(name),
        }
    }

    /// [`long_floats`](Self::long_floats) for integers.
    pub(super) fn long_ints(&self, name: &str) -> Option<Vec<i32>> {
        match self.raw(&format!("nosw.{}{name}", self.prefix), Dtype::I32) {
            Some(b) => Some(ints(b)),
            None if self.windowless() => None,
            None => self.raw(&format!("{}{name}", self.prefix), Dtype::I32).map(ints),
        }
    }

    fn windowless(&self) -> bool {
        self.raw("nosw.logits_last.long", Dtype::F32).is_some()
    }

    fn raw(&self, name: &str, dtype: Dtype) -> Option<Vec<u8>> {
        let tensors = SafeTensors::deserialize(&self.bytes).ok()?;
        let tensor = tensors.tensor(name).ok()?;
        (tensor.dtype() == dtype).then(|| tensor.data().to_vec())
    }
}

fn ints(bytes: Vec<u8>) -> Vec<i32> {
    bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
}
