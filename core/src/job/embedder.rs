//! An embedder that several owners may hold.

use std::sync::Arc;

use super::exclusive::Exclusive;
use crate::engine::Model;
use crate::error::Result;
use crate::session::{EmbedOptions, Embedder};

/// An embedder that several owners and threads may hold. Clones are the same embedder; one call at a time has it, and
/// another meanwhile gets [`Busy`](crate::ErrorKind::Busy), never a wait.
#[derive(Clone, Debug)]
pub struct SharedEmbedder {
    embedder: Arc<Exclusive<Embedder>>,
    dimensions: usize,
}

impl SharedEmbedder {
    /// An embedder of `model`.
    ///
    /// # Errors
    /// As [`Model::embedder`].
    pub fn new(model: &Model, options: &EmbedOptions) -> Result<Self> {
        let embedder = model.embedder(options)?;
        let dimensions = embedder.dimensions();
        Ok(Self { embedder: Arc::new(Exclusive::new("embedder", embedder)), dimensions })
    }

    /// Elements of each vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The embedding of `text`, as [`Embedder::embed`].
    ///
    /// # Errors
    /// `Busy` while another call runs.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        self.embedder.call(|embedder, cancel| {
            embedder.set_cancel_token(cancel);
            embedder.embed(text)
        })
    }

    /// Cancels the call that runs, if one does; the next is not touched.
    pub fn cancel(&self) {
        self.embedder.cancel();
    }
}
