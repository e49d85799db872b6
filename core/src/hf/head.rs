//! What a folder becomes: metadata as a GGUF file has it, and tensors that are computed.

use std::collections::HashSet;

use crate::gguf::write::{GgufWriter, WriteValue};

/// Collects metadata under an architecture's name, and small tensors that no file has.
pub(super) struct Head<'a> {
    arch: &'a str,
    /// Keys that are set.
    keys: HashSet<String>,
    pub(super) metadata: GgufWriter,
    /// Names, and values.
    pub(super) tensors: Vec<(String, Vec<f32>)>,
}

impl<'a> Head<'a> {
    pub(super) fn new(arch: &'a str) -> Self {
        Self { arch, keys: HashSet::new(), metadata: GgufWriter::new(), tensors: Vec::new() }
    }

    /// Sets `<arch>.<name>`, unless it is set: a family says first what the tables would say otherwise.
    pub(super) fn set<V: WriteValue + ?Sized>(&mut self, name: &str, value: &V) {
        let key = format!("{}.{name}", self.arch);
        if !self.keys.contains(&key) {
            self.metadata.set(&key, value);
            self.keys.insert(key);
        }
    }

    /// Sets a key that has no architecture's name before it.
    pub(super) fn set_global<V: WriteValue + ?Sized>(&mut self, key: &str, value: &V) {
        self.metadata.set(key, value);
    }

    /// Adds a vector.
    pub(super) fn tensor(&mut self, name: &str, values: &[f32]) {
        self.tensors.push((name.to_owned(), values.to_vec()));
    }
}
