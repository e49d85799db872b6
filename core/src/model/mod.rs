//! What a transformer is: its specification, its weights, and the forward pass.
//!
//! Knows the kernels' methods, never an instruction set. Knows no tokenizer and no session.

mod activations;
mod block;
mod decoder;
mod families;
mod pooling;
mod screen;
mod slots;
mod spec;
mod weights;

use self::screen::{Screen, ScreenBuf};
use crate::error::Result;
use crate::gguf::GgufFile;
use crate::kv_cache::{KvShape, LayerShape};
use crate::quant::ActFormat;

pub(crate) use self::activations::{Activations, Input, Local, QUERIES, Sizes};
pub(crate) use self::block::{attention, linear, store};
pub(crate) use self::decoder::{Context, Fed, Inputs, Wanted};
pub(crate) use self::screen::{Best, Named, Which};
pub(crate) use self::weights::{Binder, Linear, Vector, Weights};

pub use self::decoder::{Decoder, ProductInput, Tap};
pub use self::families::supported_architectures;
pub use self::screen::{Calibration, Table};
pub use self::spec::{
    AttentionSpec, Bias, DeltaSpec, DenseSpec, EmbedExtra, EmbeddingSpec, ExpertsSpec, FfnSpec, Gating,
    GqaSpec, GroupScore, GroupSpec, HeadSpec, KvSource, LayerSpec, Mask, MlaSpec, ModelSpec, NormKind,
    NormPlacement, NormSpec, Pooling, RopeSpec, RouterSpec, SharedSpec, Temperature, Weighted, Yarn,
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
            && let Ok(head) = decoder.screenable()
        {
            decoder.weights.screen = Screen::bind(companion, head)?;
        }
        Ok(decoder)
    }

    /// The head if it can have a screening table, or why not.
    fn screenable(&self) -> std::result::Result<&Linear, &'static str> {
        let head = &self.spec.head;
        let matrix = self.weights.head.as_ref().ok_or("the model has no head")?;
        if matrix.bias.is_some() {
            Err("the head has a bias")
        } else if matrix.scale.is_some() {
            Err("the head has a scale beside it")
        } else if head.softcap.is_some() || head.scale <= 0.0 {
            Err("the head's logits are capped or turned round")
        } else if matrix.ty().has_minimum() {
            Err("the head's type is one with minimums, for whose rounding no bound is known")
        } else if !matrix.cols().is_multiple_of(32) || matrix.cols() <= 32 {
            Err("the head's rows are not several blocks of 32")
        } else {
            Ok(matrix)
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

    /// Tells the system to read of experts what is touched and nothing around it.
    pub(crate) fn advise_random_experts(&self) {
        self.weights.layers.iter().for_each(|layer| layer.ffn.advise_random());
    }

    /// What each layer's cache keeps. A bidirectional model has one for all layers, as no later batch looks back on it.
    pub(crate) fn cache_shapes(&self) -> impl Iterator<Item = LayerShape> {
        let shared = self.spec.is_bidirectional();
        let layers = self.spec.layers.iter().take(if shared { 1 } else { usize::MAX });
        layers.map(move |layer| match &layer.attention {
            AttentionSpec::Gqa(a) => {
                let heads = if matches!(a.kv, KvSource::Layer(_)) { 0 } else { a.kv_heads };
                let (head_dim, window) = (a.head_dim, a.window.filter(|_| !shared));
                LayerShape::Kv(KvShape { heads, head_dim, values: true, window })
            }
            AttentionSpec::Mla(a) => LayerShape::Kv(a.cache()),
            AttentionSpec::Delta(a) => LayerShape::State(a.state()),
        })
    }

    /// Where layer `i` keeps its keys and values.
    fn cache_slot(&self, i: usize) -> usize {
        if self.spec.is_bidirectional() { 0 } else { self.spec.layers[i].attention.cache_of(i) }
    }

    /// The buffers of a session; for the numbers see [`sizes`](Self::sizes).
    pub(crate) fn activations(&self, sizes: (usize, usize, usize, usize)) -> Activations {
        let mut acts = Activations::new(&self.sizes(sizes));
        acts.screen = self.weights.screen.as_ref().map(ScreenBuf::new);
        acts
    }

    /// The sizes of a session's buffers, for a context, batch, rows of logits and threads.
    pub(crate) fn sizes(&self, sizes: (usize, usize, usize, usize)) -> Sizes {
        let widest = |format| {
            let inputs = self.weights.inputs();
            inputs.filter(|input| input.0 == format).map(|input| input.1).max().unwrap_or(0)
        };
        let widest = (widest(ActFormat::Q8x32), widest(ActFormat::Q8x256));
        let screen = self.weights.screen.as_ref().map(Screen::room);
        let room = (screen, self.weights.stream_room(), self.pool_room());
        Sizes::new(&self.spec, widest, room, sizes)
    }
}
