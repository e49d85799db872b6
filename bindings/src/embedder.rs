//! Texts to vectors.

use std::sync::Arc;

use siskin::SharedEmbedder;

use crate::{Model, SiskinError, wide};

/// How the states of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
    /// The last token's.
    Last,
}

impl From<siskin::Pooling> for Pooling {
    fn from(pooling: siskin::Pooling) -> Self {
        match pooling {
            siskin::Pooling::Mean => Self::Mean,
            siskin::Pooling::Cls => Self::Cls,
            siskin::Pooling::Last => Self::Last,
        }
    }
}

/// How texts become vectors.
#[derive(Clone, Debug, uniffi::Record)]
pub struct EmbedOptions {
    /// How the states of the tokens become one; by default what the file says. A model whose file does not say (it was
    /// not made for this) needs one that is named.
    #[uniffi(default = None)]
    pub pooling: Option<Pooling>,
    /// Whether vectors have length 1, so that the product of two is their cosine.
    #[uniffi(default = true)]
    pub normalize: bool,
    /// Only the first so many numbers, for models that were trained for that; by default all.
    #[uniffi(default = None)]
    pub dimensions: Option<u32>,
    /// Whether a text that is too long is cut instead of refused.
    #[uniffi(default = false)]
    pub truncate: bool,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self { pooling: None, normalize: true, dimensions: None, truncate: false }
    }
}

impl From<EmbedOptions> for siskin::EmbedOptions {
    fn from(o: EmbedOptions) -> Self {
        Self {
            pooling: o.pooling.map(|pooling| match pooling {
                Pooling::Mean => siskin::Pooling::Mean,
                Pooling::Cls => siskin::Pooling::Cls,
                Pooling::Last => siskin::Pooling::Last,
            }),
            normalize: o.normalize,
            dimensions: o.dimensions.map(|n| n as usize),
            truncate: o.truncate,
            ..Self::default()
        }
    }
}

/// Turns texts into vectors. Any thread may use it; one call at a time, another meanwhile fails as busy.
#[derive(Debug, uniffi::Object)]
pub struct Embedder(SharedEmbedder);

impl Embedder {
    pub(crate) fn new(model: &Model, options: EmbedOptions) -> Result<Arc<Self>, SiskinError> {
        Ok(Arc::new(Self(SharedEmbedder::new(model.inner(), &options.into())?)))
    }
}

#[uniffi::export]
impl Embedder {
    /// How many numbers a vector has.
    pub fn dimensions(&self) -> u64 {
        wide(self.0.dimensions())
    }

    /// The vector of `text`; computes on this thread and the model's. Words that the model expects before a text are the
    /// caller's to write; what looks like a special token in it is taken literally.
    pub fn embed(&self, text: String) -> Result<Vec<f32>, SiskinError> {
        Ok(self.0.embed(&text)?)
    }

    /// Cancels the call that runs, if one does; from any thread.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}
