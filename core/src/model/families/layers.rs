//! What layers share, and what each has of its own, in metadata (Gemma 3n and 4).

use super::hparams::Hparams;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Activation;
use crate::model::spec::{KvSource, PerLayerSpec};

impl Hparams<'_> {
    /// Embeddings of each layer's own: `embedding_length_per_layer_input`, 0 for none.
    pub(super) fn per_layer(&self) -> Result<Option<PerLayerSpec>> {
        let size: Option<usize> = self.optional("embedding_length_per_layer_input")?;
        Ok(size.filter(|&size| size > 0).map(|size| PerLayerSpec { size, act: Activation::GeluTanh }))
    }

    /// The last `attention.shared_kv_layers` use the keys and values of the last layer before them that has a window or
    /// none as they do; the others are `own`.
    pub(super) fn kv_sources(&self, windows: &[Option<usize>], own: KvSource) -> Result<Vec<KvSource>> {
        let name = "attention.shared_kv_layers";
        let shared: usize = self.optional(name)?.unwrap_or(0);
        let fail = |what: String| Error::new(ErrorKind::Shape, what).with_key(self.key(name));
        let first = windows.len().checked_sub(shared).filter(|&first| first > 0).ok_or_else(|| {
            fail(format!("{shared} of {} layers cannot share keys and values", windows.len()))
        })?;
        let source = |i: usize| {
            let like = |&from: &usize| windows[from].is_some() == windows[i].is_some();
            match i < first {
                true => Ok(own),
                false => (0..first).rev().find(like).map(KvSource::Layer).ok_or_else(|| {
                    fail(format!("layer {i} has no earlier one to share keys and values with"))
                }),
            }
        };
        (0..windows.len()).map(source).collect()
    }
}
