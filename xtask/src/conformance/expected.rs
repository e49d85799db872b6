//! The reference values of one model file or folder: which fields of `expected.safetensors` apply to it.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::Failure;

/// Reference values for one GGUF, or for the folder that the GGUFs were made from.
pub(super) struct Expected {
    bytes: Vec<u8>,
    /// What the file's fields begin with: nothing for `model.gguf` and the folder, `q8_0.` for `model-q8_0.gguf`.
    prefix: String,
    /// Whether weights are quantised in a file that bears no type in its name (experts in MXFP4).
    pub(super) quantised: bool,
    /// The folder says everything that the reference knew.
    folder: bool,
    /// Mean KL divergence that llama.cpp reached on this file.
    pub(super) peer_kl: Option<f64>,
    /// Of 32 greedy tokens, those that llama.cpp chose too when given the reference's tokens.
    pub(super) peer_greedy: Option<u64>,
    /// Largest difference of an element of an embedding that llama.cpp reached on this file.
    pub(super) peer_embedding: Option<f32>,
    /// The texts of an embedding set.
    pub(super) texts: Vec<String>,
}

impl Expected {
    pub(super) fn read(folder: &Path, file: &str) -> Result<Self, Failure> {
        let bytes = std::fs::read(folder.join("expected.safetensors"))?;
        let folder_itself = file == super::FOLDER;
        let file = if folder_itself { "model.gguf" } else { file };
        let tag = file.trim_start_matches("model").trim_start_matches('-').trim_end_matches(".gguf");
        let prefix = if tag.is_empty() { String::new() } else { format!("{tag}.") };
        let peers = std::fs::read(folder.join("llama_cpp.json")).unwrap_or_else(|_| b"{}".to_vec());
        let peers: serde_json::Value = serde_json::from_slice(&peers)?;
        let peer = &peers[file];
        let readable = std::fs::read(folder.join("expected.json")).unwrap_or_else(|_| b"{}".to_vec());
        let readable: serde_json::Value = serde_json::from_slice(&readable)?;
        let texts = readable["texts"].as_array().into_iter().flatten();
        Ok(Self {
            peer_kl: peer["kl_mid"].as_f64(),
            peer_greedy: peer["greedy_teacher_forced"].as_u64(),
            peer_embedding: peer["max_abs"].as_f64().map(|d| d as f32),
            texts: texts.filter_map(|text| text.as_str().map(str::to_owned)).collect(),
            folder: folder_itself,
            ..Self::new(bytes, &prefix)
        })
    }

    pub(super) fn new(bytes: Vec<u8>, prefix: &str) -> Self {
        Self {
            bytes,
            prefix: prefix.to_string(),
            quantised: false,
            folder: false,
            peer_kl: None,
            peer_greedy: None,
            peer_embedding: None,
            texts: Vec::new(),
        }
    }

    /// Whether the file's products are of floats: its weights are stored unquantised.
    pub(super) fn exact(&self) -> bool {
        self.prefix.is_empty() && !self.quantised
    }

    pub(super) fn has_logits(&self) -> bool {
        self.floats("logits_last.short").is_some()
    }

    /// Whether the reference is embeddings of texts.
    pub(super) fn has_embeddings(&self) -> bool {
        self.floats("embedding.t0").is_some()
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

    /// Hidden states, of which a tap shows the first stream where there are several: `[n, width]` of a field of that shape or
    /// `[streams, n, width]`.
    pub(super) fn first_stream(&self, name: &str) -> Option<Vec<f32>> {
        let mut values = self.floats(name)?;
        let tensors = SafeTensors::deserialize(&self.bytes).ok()?;
        if let [streams, _, _] = *tensors.tensor(&format!("{}{name}", self.prefix)).ok()?.shape() {
            values.truncate(values.len() / streams.max(1));
        }
        Some(values)
    }

    /// A field of this file that depends on the prompt being longer than the window. Where the reference applied a
    /// window that GGUF cannot say (`nosw.` fields exist), the result without it counts, or nothing.
    pub(super) fn long_floats(&self, name: &str) -> Option<Vec<f32>> {
        match self.raw(&format!("nosw.{}{name}", self.prefix), Dtype::F32) {
            Some(b) if !self.folder => {
                Some(b.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            }
            None if self.windowless() => None,
            _ => self.floats(name),
        }
    }

    /// [`long_floats`](Self::long_floats) for integers.
    pub(super) fn long_ints(&self, name: &str) -> Option<Vec<i32>> {
        match self.raw(&format!("nosw.{}{name}", self.prefix), Dtype::I32) {
            Some(b) if !self.folder => Some(ints(b)),
            None if self.windowless() => None,
            _ => self.raw(&format!("{}{name}", self.prefix), Dtype::I32).map(ints),
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
