//! The tower's tensors, bound and shape-checked.

use super::spec::{PROJECTION, VisionSpec};
use crate::error::Result;
use crate::gguf::TensorTable;
use crate::kernels::Kernels;
use crate::model::{Bias, Binder, Linear, Vector};
use crate::quant::ActFormat;

/// All of them.
#[derive(Debug)]
pub(super) struct Weights {
    /// `[width, 3 * patch * patch]`: a patch's channels, rows and columns.
    pub(super) patch: Linear,
    /// `[patches, width]`.
    pub(super) positions: Linear,
    pub(super) layers: Vec<Layer>,
    pub(super) post_norm: Norm,
    /// `[width]`: of the RMS norm before the projection.
    pub(super) soft_norm: Vector,
    /// `[projected, width]`: turned round when it was bound, since files keep it the other way.
    pub(super) projection: Linear,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) norm: Norm,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) o: Linear,
    pub(super) ffn_norm: Norm,
    /// `[hidden, width]`.
    pub(super) up: Linear,
    /// `[width, hidden]`.
    pub(super) down: Linear,
}

/// A layer norm with a bias.
#[derive(Debug)]
pub(super) struct Norm {
    factors: Vector,
    summands: Vector,
}

impl Norm {
    fn bind(b: &mut Binder<'_>, name: &str, width: usize) -> Result<Self> {
        let factors = b.vector(&format!("{name}.weight"), width)?;
        Ok(Self { factors, summands: b.vector(&format!("{name}.bias"), width)? })
    }

    /// `out = norm(x)`, both `[width]`.
    pub(super) fn apply(&self, kernels: &Kernels, out: &mut [f32], x: &[f32], eps: f32) {
        kernels.layer_norm(out, x, self.factors.get(), eps);
        kernels.add(out, self.summands.get());
    }

    fn heap_bytes(&self) -> usize {
        self.factors.heap_bytes() + self.summands.heap_bytes()
    }
}

impl Layer {
    fn bind(b: &mut Binder<'_>, spec: &VisionSpec, tensors: &TensorTable, i: usize) -> Result<Self> {
        let (width, hidden) = (spec.width, spec.hidden);
        let name = |part: &str| format!("v.blk.{i}.{part}");
        let mut square = |part: &str| b.linear(&name(part), width, width, Bias::Required);
        let (q, k) = (square("attn_q")?, square("attn_k")?);
        let (v, o) = (square("attn_v")?, square("attn_out")?);
        // The first files called the first matrix "down". Where both are square, names are taken at their word.
        let (mut up, mut down) = (name("ffn_up"), name("ffn_down"));
        let first = tensors.get(&format!("{down}.weight")).map(|t| t.dims());
        if width != hidden && first == Some(&[width, hidden]) {
            std::mem::swap(&mut up, &mut down);
        }
        Ok(Self {
            norm: Norm::bind(b, &name("ln1"), width)?,
            q,
            k,
            v,
            o,
            ffn_norm: Norm::bind(b, &name("ln2"), width)?,
            up: b.linear(&up, hidden, width, Bias::Required)?,
            down: b.linear(&down, width, hidden, Bias::Required)?,
        })
    }

    fn linears(&self) -> [&Linear; 6] {
        [&self.q, &self.k, &self.v, &self.o, &self.up, &self.down]
    }
}

impl Weights {
    /// # Errors
    /// `Missing`, `Shape` or `Unsupported` naming the tensor.
    pub(super) fn bind(spec: &VisionSpec, tensors: &TensorTable) -> Result<Self> {
        let mut binder = Binder::new(tensors);
        let b = &mut binder;
        let (width, patch) = (spec.width, spec.patch_size);
        let mut layers = Vec::with_capacity(spec.layers.min(tensors.len()));
        for i in 0..spec.layers {
            layers.push(Layer::bind(b, spec, tensors, i)?);
        }
        let weights = Self {
            patch: b.kernels("v.patch_embd", width, &[patch, patch, 3])?,
            positions: b.table("v.position_embd", spec.patches(), width, Bias::IfPresent)?,
            layers,
            post_norm: Norm::bind(b, "v.post_ln", width)?,
            soft_norm: b.vector("mm.soft_emb_norm.weight", width)?,
            projection: b.table(PROJECTION, width, spec.projected, Bias::IfPresent)?.transposed(),
        };
        binder.finish()?;
        Ok(weights)
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(Layer::linears).chain([&self.patch, &self.projection])
    }

    /// The widest input that a product needs in `format`; 0 for none.
    pub(super) fn widest(&self, format: ActFormat) -> usize {
        self.linears().filter(|l| l.ty().act_format() == format).map(Linear::cols).max().unwrap_or(0)
    }

    /// Heap bytes of what had to be decoded.
    pub(super) fn heap_bytes(&self) -> usize {
        let norms = self.layers.iter().flat_map(|l| [&l.norm, &l.ffn_norm]).chain([&self.post_norm]);
        let biases = self.linears().filter_map(|l| l.bias.as_ref()).map(Vector::heap_bytes);
        norms.map(Norm::heap_bytes).chain(biases).sum::<usize>()
            + self.soft_norm.heap_bytes()
            + self.projection.byte_len()
    }
}
