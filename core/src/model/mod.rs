//! What a transformer is: its specification, its weights, and the forward pass.
//!
//! Knows the kernels' methods, never an instruction set. Knows no tokenizer and no session.

mod activations;
mod block;
mod decoder;
mod families;
mod screen;
mod spec;
mod weights;

use self::screen::{Screen, ScreenBuf};
use self::weights::Linear;
use crate::error::Result;
use crate::gguf::GgufFile;
use crate::kv_cache::KvShape;
use crate::quant::ActFormat;

pub(crate) use self::activations::{Activations, Sizes};
pub(crate) use self::decoder::{Context, Wanted};
pub(crate) use self::screen::{Best, Named, Which};
pub(crate) use self::weights::Weights;

pub use self::decoder::{Decoder, Tap};
pub use self::families::supported_architectures;
pub use self::screen::{Calibration, Table};
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
        let mut decoder = Self::new(spec, weights);
        if let Some(companion) = file.companion()
            && decoder.screenable().is_ok()
        {
            decoder.weights.screen = Screen::bind(companion, &decoder.weights.head)?;
        }
        Ok(decoder)
    }

    /// Whether the head can have a screening table, or why not.
    fn screenable(&self) -> std::result::Result<(), &'static str> {
        let (matrix, head) = (&self.weights.head, &self.spec.head);
        if matrix.bias.is_some() {
            Err("the head has a bias")
        } else if head.softcap.is_some() || head.scale <= 0.0 {
            Err("the head's logits are capped or turned round")
        } else if matrix.ty().has_minimum() {
            Err("the head's type is one with minimums, for whose rounding no bound is known")
        } else if !matrix.cols().is_multiple_of(32) || matrix.cols() <= 32 {
            Err("the head's rows are not several blocks of 32")
        } else {
            Ok(())
        }
    }

    /// Whether the file has a screening table for the head.
    pub fn has_screen(&self) -> bool {
        self.weights.screen.is_some()
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

    /// The buffers of a session.
    pub(crate) fn activations(&self, context: usize, batch: usize, threads: usize) -> Activations {
        let mut acts = Activations::new(&self.sizes(context, batch, threads));
        acts.screen = self.weights.screen.as_ref().map(ScreenBuf::new);
        acts
    }

    /// The sizes of a session's buffers.
    pub(crate) fn sizes(&self, context: usize, batch: usize, threads: usize) -> Sizes {
        let widest = |format| {
            let linears = self.weights.linears().chain([&self.weights.head]);
            linears.filter(|l| l.ty().act_format() == format).map(Linear::cols).max().unwrap_or(0)
        };
        let widest = (widest(ActFormat::Q8x32), widest(ActFormat::Q8x256));
        let screen = self.weights.screen.as_ref().map(Screen::room);
        Sizes::new(&self.spec, widest, screen, (context, batch, threads))
    }
}
