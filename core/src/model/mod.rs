//! What a transformer is: its specification, its weights, and the forward pass.
//!
//! Knows the kernels' methods, never an instruction set. Knows no tokenizer and no session.

mod activations;
mod block;
mod decoder;
mod families;
mod spec;
mod weights;

use self::weights::Linear;
use crate::error::Result;
use crate::gguf::GgufFile;
use crate::kv_cache::KvShape;
use crate::quant::ActFormat;

pub(crate) use self::activations::{Activations, Sizes};
pub(crate) use self::decoder::{Context, Wanted};
pub(crate) use self::weights::Weights;

pub use self::decoder::{Decoder, Tap};
pub use self::families::supported_architectures;
pub use self::spec::{
    AttentionSpec, Bias, FfnSpec, HeadSpec, LayerSpec, ModelSpec, NormPlacement, NormSpec, RopeSpec,
};

impl Decoder {
    /// Reads the specification of `file` and binds its weights, which stay where they are.
    ///
    /// # Errors
    /// `Unsupported`, `Missing`, `Shape` or `Limit`, naming the key or tensor.
    pub fn load(file: &GgufFile) -> Result<Self> {
        families::find(file.metadata())?;
        let vocab = weights::vocab(file.tensors())?;
        let spec = families::spec(file.metadata(), vocab)?;
        let weights = Weights::bind(&spec, file.tensors())?;
        Ok(Self::new(spec, weights))
    }

    /// The specification.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Bytes of weights that decoding one token reads.
    pub fn bytes_per_token(&self) -> usize {
        self.weights.bytes_per_token()
    }

    /// Heap bytes of the model itself: small vectors that had to be decoded.
    pub fn heap_bytes(&self) -> usize {
        self.weights.heap_bytes()
    }

    /// What each layer's cache keeps.
    pub(crate) fn kv_shapes(&self) -> impl Iterator<Item = KvShape> {
        let shape = |a: &AttentionSpec| KvShape { heads: a.kv_heads, head_dim: a.head_dim, window: a.window };
        self.spec.layers.iter().map(move |l| shape(&l.attention))
    }

    /// The sizes of a session's buffers.
    pub(crate) fn sizes(&self, context: usize, batch: usize, threads: usize) -> Sizes {
        let widest = |format| {
            let linears = self.weights.linears().chain([&self.weights.head]);
            linears.filter(|l| l.ty().act_format() == format).map(Linear::cols).max().unwrap_or(0)
        };
        let widest = (widest(ActFormat::Q8x32), widest(ActFormat::Q8x256));
        Sizes::new(&self.spec, widest, context, batch, threads)
    }
}
