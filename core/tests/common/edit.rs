//! Copies of model files with other tokens and other words in them.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs; a panic is a failure")]

use siskin::gguf::write::GgufWriter;
use siskin::gguf::{GgufFile, I32Array, StrArray};
use siskin::quant::QuantType;

pub(crate) const NORMAL: i32 = 1;
pub(crate) const CONTROL: i32 = 3;
pub(crate) const USER_DEFINED: i32 = 4;

/// What becomes different.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edit {
    /// Token, its text, its kind.
    pub(crate) tokens: Vec<(u32, &'static str, i32)>,
    pub(crate) texts: Vec<(&'static str, String)>,
    pub(crate) numbers: Vec<(&'static str, u32)>,
    /// Names of further tensors, of one number.
    pub(crate) tensors: Vec<&'static str>,
}

impl Edit {
    /// A copy of `file`.
    pub(crate) fn of(&self, file: &GgufFile) -> Vec<u8> {
        const TOKENS: &str = "tokenizer.ggml.tokens";
        const TYPES: &str = "tokenizer.ggml.token_type";
        let meta = file.metadata();
        let mut tokens: Vec<Vec<u8>> =
            meta.require::<StrArray>(TOKENS).unwrap().iter().map(<[u8]>::to_vec).collect();
        let mut kinds: Vec<i32> = meta.require::<I32Array>(TYPES).unwrap().iter().collect();
        for &(id, text, kind) in &self.tokens {
            tokens[id as usize] = text.into();
            kinds[id as usize] = kind;
        }
        let mut w = GgufWriter::new();
        w.set(TOKENS, &tokens[..]).set(TYPES, &kinds[..]);
        for (key, text) in &self.texts {
            w.set(key, text.as_str());
        }
        for (key, number) in &self.numbers {
            w.set(key, number);
        }
        let changed = |key: &str| {
            let texts = self.texts.iter().map(|t| t.0);
            [TOKENS, TYPES].into_iter().chain(texts).chain(self.numbers.iter().map(|n| n.0)).any(|k| k == key)
        };
        for (key, value) in meta.iter().filter(|(key, _)| !changed(key)) {
            w.set(key, value);
        }
        for t in file.tensors().iter() {
            w.tensor(t.name(), t.quant_type().unwrap(), t.dims()).unwrap();
        }
        for name in &self.tensors {
            w.tensor(name, QuantType::F32, &[1]).unwrap();
        }
        let bytes = |name: &str| file.tensors().get(name).map_or(vec![0; 4], |t| t.bytes().to_vec());
        w.to_bytes(|plan| bytes(&plan.name)).unwrap()
    }
}
