//! The forward pass of a vision tower.
//!
//! Patches go through a layer in blocks of [`BLOCK`]: first the keys and values of all of them, then block by block
//! everything else. So only the residual stream and one layer's keys and values are kept for all patches; scores exist
//! for a few queries and a chunk of keys at a time, as in the decoder.

use super::VisionTower;
use super::spec::VisionSpec;
use super::weights::{Layer, Weights};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{ATTN_CHUNK, Activation};
use crate::kv_cache::{KvCache, KvShape, KvType, LayerCache, LayerShape};
use crate::model::attention::{Attention, Heads};
use crate::model::store::Store;
use crate::model::{Context, Input, Local, QUERIES, linear};
use crate::quant::ActFormat;
use crate::tensor::Rows;

/// Patches that go through the products together; a multiple of what the cache stores together.
const BLOCK: usize = 256;

/// Every buffer of a pass.
pub(super) struct Buffers {
    /// `[patches, width]`: the residual stream.
    x: Vec<f32>,
    /// One layer's keys and values of all patches.
    cache: KvCache,
    /// `[BLOCK, widest]`.
    input: Input,
    /// `[BLOCK, width]`: queries, or keys.
    q: Vec<f32>,
    /// `[BLOCK, width]`: values, or a block's output.
    out: Vec<f32>,
    /// `[BLOCK, hidden]`.
    up: Vec<f32>,
    /// `[hidden]` ones: what the feed-forward block's activation is multiplied with.
    ones: Vec<f32>,
    /// `[positions, projected]`.
    features: Vec<f32>,
    partials: Vec<f32>,
    locals: Vec<Local>,
}

/// The numbers that the buffers' sizes follow from.
struct Sizes<'a> {
    spec: &'a VisionSpec,
    /// Rows that a product takes at most.
    rows: usize,
    /// Widest input of a product: as floats, and in the two formats.
    widest: usize,
    formats: (usize, usize),
}

impl<'a> Sizes<'a> {
    fn new(spec: &'a VisionSpec, weights: &Weights) -> Self {
        Self {
            spec,
            rows: spec.patches().min(BLOCK),
            widest: spec.width.max(spec.hidden).max(spec.patch_values()),
            formats: (weights.widest(ActFormat::Q8x32), weights.widest(ActFormat::Q8x256)),
        }
    }

    fn shape(&self) -> KvShape {
        KvShape { heads: self.spec.heads, head_dim: self.spec.head_dim(), values: true, window: None }
    }

    fn partials(&self) -> usize {
        Heads::plain(self.spec.heads, self.spec.head_dim()).partials()
            * (self.spec.patches().div_ceil(ATTN_CHUNK) + 1)
    }

    fn dims(&self) -> (usize, usize) {
        (self.spec.head_dim(), self.spec.head_dim())
    }
}

impl Buffers {
    /// Bytes of all buffers and of the pixels; `None` if that overflows.
    pub(super) fn bytes(tower: &VisionTower, threads: usize) -> Option<usize> {
        let (spec, s) = (&tower.spec, Sizes::new(&tower.spec, &tower.weights));
        let row = Input::row_bytes(s.widest, s.formats) + 4 * (2 * spec.width + spec.hidden);
        let floats = spec.patches().checked_mul(spec.width)?.checked_add(spec.hidden)?.checked_add(
            spec.positions() * spec.projected + s.partials() + 3 * spec.image_size * spec.image_size,
        )?;
        let local = Local::bytes(s.widest, QUERIES, s.dims(), 0);
        s.shape()
            .bytes(KvType::F32, spec.patches(), s.rows)?
            .checked_add(floats.checked_mul(4)?)?
            .checked_add(row.checked_mul(s.rows)?)?
            .checked_add(local.checked_mul(threads)?)
    }

    /// # Errors
    /// `Limit` if the system has no such memory.
    pub(super) fn new(tower: &VisionTower, threads: usize) -> Result<Self> {
        let (spec, s) = (&tower.spec, Sizes::new(&tower.spec, &tower.weights));
        let shape = std::iter::once(LayerShape::Kv(s.shape()));
        let zeros = |n: usize| vec![0.0; n];
        Ok(Self {
            cache: KvCache::new(shape, KvType::F32, spec.patches(), s.rows)?,
            x: zeros(spec.patches() * spec.width),
            input: Input::new(s.rows, s.widest, s.formats),
            q: zeros(s.rows * spec.width),
            out: zeros(s.rows * spec.width),
            up: zeros(s.rows * spec.hidden),
            ones: vec![1.0; spec.hidden],
            features: zeros(spec.positions() * spec.projected),
            partials: zeros(s.partials()),
            locals: (0..threads).map(|_| Local::new(s.widest, QUERIES, s.dims(), 0)).collect(),
        })
    }

    /// The embeddings, `[positions, projected]`, of `pixels`, `[3, size, size]`; `tap` is shown the tower's own output,
    /// `[patches, width]`.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(super) fn run(
        mut self,
        cx: &Context<'_>,
        tower: &VisionTower,
        pixels: &[f32],
        tap: &mut dyn FnMut(&[f32]),
    ) -> Result<Vec<f32>> {
        let (spec, weights) = (&tower.spec, &tower.weights);
        self.patches(cx, spec, weights, pixels);
        for layer in &weights.layers {
            for first in (0..spec.patches()).step_by(BLOCK) {
                self.keys(cx, spec, layer, first);
            }
            for first in (0..spec.patches()).step_by(BLOCK) {
                if cx.cancelled() {
                    return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
                }
                self.layer(cx, spec, layer, first);
            }
        }
        let (kernels, width) = (cx.kernels, spec.width);
        cx.pool.rows(&mut self.locals, spec.patches(), Rows::new(&mut self.x, width), |local, _, x| {
            let normed = &mut local.scratch.f32s()[..width];
            weights.post_norm.apply(kernels, normed, x, spec.eps);
            x.copy_from_slice(normed);
        });
        tap(&self.x);
        self.project(cx, spec, weights);
        if cx.cancelled() { Err(Error::new(ErrorKind::Cancelled, "cancelled")) } else { Ok(self.features) }
    }

    /// `x = patch embedding + position embedding`.
    fn patches(&mut self, cx: &Context<'_>, spec: &VisionSpec, weights: &Weights, pixels: &[f32]) {
        let Self { x, input, locals, out, .. } = self;
        let (width, side, size, patch) = (spec.width, spec.side(), spec.image_size, spec.patch_size);
        let table = weights.positions.mat();
        for (x, first) in x.chunks_mut(BLOCK * width).zip((0..).step_by(BLOCK)) {
            let n = x.len() / width;
            let formats = linear::formats([&weights.patch]);
            input.fill((cx.kernels, cx.pool, locals), (n, spec.patch_values()), formats, (), |i, (), h| {
                let (top, left) = ((first + i) / side * patch, (first + i) % side * patch);
                for (line, h) in h.chunks_exact_mut(patch).enumerate() {
                    let (channel, y) = (line / patch, top + line % patch);
                    let at = (channel * size + y) * size + left;
                    h.copy_from_slice(&pixels[at..at + patch]);
                }
            });
            let out = &mut out[..n * width];
            linear::products(cx, locals, input, (n, spec.patch_values()), [(&weights.patch, &mut *out)]);
            cx.pool.rows(locals, n, (Rows::new(x, width), Rows::new(out, width)), |_, i, (x, out)| {
                table.dequantize_row(first + i, x);
                cx.kernels.add(x, out);
            });
        }
    }

    /// Keys and values of the block of patches that begins at `first`.
    fn keys(&mut self, cx: &Context<'_>, spec: &VisionSpec, layer: &Layer, first: usize) {
        let Self { x, cache, input, q, out, locals, .. } = self;
        let (width, n) = (spec.width, (spec.patches() - first).min(BLOCK));
        let x = Rows::new(&mut x[first * width..(first + n) * width], width);
        let formats = linear::formats([&layer.k, &layer.v]);
        input.fill((cx.kernels, cx.pool, locals), (n, width), formats, x, |_, x, h| {
            layer.norm.apply(cx.kernels, h, x, spec.eps);
        });
        let (k, v) = (&mut q[..n * width], &mut out[..n * width]);
        linear::products(cx, locals, input, (n, width), [(&layer.k, &mut *k), (&layer.v, &mut *v)]);
        let store = Store { kernels: cx.kernels, start: first, n };
        store.run(cx.pool, locals, cache.layer_mut(0), (k, Some(v)));
    }

    /// What else the layer does with that block.
    fn layer(&mut self, cx: &Context<'_>, spec: &VisionSpec, layer: &Layer, first: usize) {
        let Self { x, cache, input, q, out, up, ones, partials, locals, .. } = self;
        let (kernels, pool, width, hidden) = (cx.kernels, cx.pool, spec.width, spec.hidden);
        let n = (spec.patches() - first).min(BLOCK);
        let x = &mut x[first * width..(first + n) * width];
        let (q, out, up) = (&mut q[..n * width], &mut out[..n * width], &mut up[..n * hidden]);

        // Attention.
        let formats = linear::formats([&layer.q]);
        input.fill((kernels, pool, locals), (n, width), formats, Rows::new(x, width), |_, x, h| {
            layer.norm.apply(kernels, h, x, spec.eps);
        });
        linear::products(cx, locals, input, (n, width), [(&layer.q, &mut *q)]);
        let scale = 1.0 / (spec.head_dim() as f32).sqrt();
        pool.rows(locals, n, Rows::new(q, width), |_, _, q| kernels.scale(q, scale));
        let cache: &LayerCache = cache.layer_mut(0);
        let attention = Attention {
            heads: Heads::plain(spec.heads, spec.head_dim()),
            cache,
            sinks: None,
            q,
            start: first,
            n,
            together: Some(0..spec.patches()),
        };
        attention.run(cx, locals, partials, &mut input.h[..n * width]);
        input.fill((kernels, pool, locals), (n, width), linear::formats([&layer.o]), (), |_, (), _| {});
        linear::products(cx, locals, input, (n, width), [(&layer.o, &mut *out)]);

        // The feed-forward block.
        let parts = (Rows::new(x, width), Rows::new(out, width));
        let formats = linear::formats([&layer.up]);
        input.fill((kernels, pool, locals), (n, width), formats, parts, |_, (x, out), h| {
            kernels.add(x, out);
            layer.ffn_norm.apply(kernels, h, x, spec.eps);
        });
        linear::products(cx, locals, input, (n, width), [(&layer.up, &mut *up)]);
        let formats = linear::formats([&layer.down]);
        input.fill((kernels, pool, locals), (n, hidden), formats, Rows::new(up, hidden), |_, up, h| {
            h.copy_from_slice(up);
            kernels.act_mul(h, ones, Activation::GeluTanh);
        });
        linear::products(cx, locals, input, (n, hidden), [(&layer.down, &mut *out)]);
        let parts = (Rows::new(x, width), Rows::new(out, width));
        pool.rows(locals, n, parts, |_, _, (x, out)| kernels.add(x, out));
    }

    /// `features = projection(rms_norm(mean of pool x pool neighbours))`.
    fn project(&mut self, cx: &Context<'_>, spec: &VisionSpec, weights: &Weights) {
        let Self { x, input, features, locals, .. } = self;
        let (width, side, pool, projected) = (spec.width, spec.side(), spec.pool, spec.projected);
        let formats = linear::formats([&weights.projection]);
        for (features, first) in features.chunks_mut(BLOCK * projected).zip((0..).step_by(BLOCK)) {
            let n = features.len() / projected;
            let x = &*x;
            input.fill((cx.kernels, cx.pool, locals), (n, width), formats, (), |i, (), h| {
                let (top, left) = ((first + i) / (side / pool) * pool, (first + i) % (side / pool) * pool);
                h.fill(0.0);
                for row in top..top + pool {
                    for patch in row * side + left..row * side + left + pool {
                        cx.kernels.add(h, &x[patch * width..(patch + 1) * width]);
                    }
                }
                cx.kernels.scale(h, 1.0 / (pool * pool) as f32);
                cx.kernels.rms_norm_inplace(h, weights.soft_norm.get(), spec.eps);
            });
            linear::products(cx, locals, input, (n, width), [(&weights.projection, features)]);
        }
    }
}
