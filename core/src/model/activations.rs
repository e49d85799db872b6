//! Every buffer that the forward pass writes, named, shaped, and allocated once.
//!
//! `B` is the batch (most tokens in one pass), `K` the widest input of any product.

use super::screen::{Room, ScreenBuf};
use super::spec::ModelSpec;
use crate::kernels::{ATTN_CHUNK, Kernels, Scratch};
use crate::quant::ActFormat;
use crate::tensor::{Acts, QuantActs, Rows, SplitRows};
use crate::threads::Pool;

/// Queries that attention gathers for one pass over a chunk of keys, unless a key head has more query heads.
const QUERIES: usize = 16;

/// The numbers that the buffers' sizes follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) context: usize,
    pub(crate) batch: usize,
    pub(crate) width: usize,
    pub(crate) q_row: usize,
    pub(crate) kv_row: usize,
    pub(crate) hidden: usize,
    pub(crate) head_dim: usize,
    /// Query heads per key head.
    pub(crate) group: usize,
    pub(crate) vocab: usize,
    pub(crate) rope_dims: usize,
    pub(crate) ropes: usize,
    /// Floats of partial attention results of one token.
    pub(crate) partials: usize,
    /// Widest input that any product of the model needs as `Q8x32`; 0 for none.
    pub(crate) q8x32: usize,
    /// The same for `Q8x256`.
    pub(crate) q8x256: usize,
    /// For the head's screening table, if there is one.
    pub(crate) screen: Option<Room>,
    pub(crate) threads: usize,
}

impl Sizes {
    pub(crate) fn new(
        spec: &ModelSpec,
        (q8x32, q8x256): (usize, usize),
        screen: Option<Room>,
        (context, batch, threads): (usize, usize, usize),
    ) -> Self {
        let most = |f: fn(&super::spec::LayerSpec) -> usize| spec.layers.iter().map(f).max().unwrap_or(1);
        let chunks = context.div_ceil(ATTN_CHUNK) + 1;
        Self {
            context,
            batch,
            width: spec.width,
            q_row: most(|l| l.attention.q_row()),
            kv_row: most(|l| l.attention.kv_row()),
            hidden: most(|l| l.ffn.hidden()),
            head_dim: most(|l| l.attention.head_dim),
            group: most(|l| l.attention.heads / l.attention.kv_heads),
            vocab: spec.vocab,
            rope_dims: spec.ropes.iter().map(|r| r.dims).max().unwrap_or(0),
            ropes: spec.ropes.len(),
            partials: chunks * most(|l| l.attention.heads * (l.attention.head_dim + 2)),
            q8x32,
            q8x256,
            screen,
            threads,
        }
    }

    /// `K`.
    fn widest(&self) -> usize {
        let screen = self.screen.map_or(0, |room| room.columns);
        self.width.max(self.q_row).max(self.hidden).max(screen)
    }

    /// Queries that a thread gathers.
    pub(crate) fn queries(&self) -> usize {
        QUERIES.max(self.group)
    }

    /// Bytes of all buffers; `None` if that overflows.
    pub(crate) fn bytes(&self) -> Option<usize> {
        let k = self.widest();
        let floats =
            [2 * self.width, k, self.q_row, 2 * self.kv_row, 2 * self.hidden, self.ropes * self.rope_dims]
                .into_iter()
                .sum::<usize>();
        let row = floats * 4
            + QuantBuf::row_bytes(ActFormat::Q8x32, self.q8x32)
            + QuantBuf::row_bytes(ActFormat::Q8x256, self.q8x256);
        let queries = self.queries();
        let local = Scratch::bytes(k) + queries * (3 * self.head_dim + 4) * 4;
        row.checked_mul(self.batch)?
            .checked_add(local.checked_mul(self.threads)?)?
            .checked_add((self.vocab + self.partials) * 4 + self.screen.map_or(0, Room::bytes))
    }
}

/// The buffers of one session.
#[derive(Debug)]
pub(crate) struct Activations {
    /// Tokens that the session may hold.
    pub(crate) context: usize,
    /// `[B, width]`: the residual stream.
    pub(crate) x: Vec<f32>,
    /// `[B, width]`: a block's output before it joins the stream.
    pub(crate) out: Vec<f32>,
    /// The input of the next products.
    pub(crate) input: Input,
    /// `[B, q_row]`.
    pub(crate) q: Vec<f32>,
    /// `[B, kv_row]`.
    pub(crate) k: Vec<f32>,
    /// `[B, kv_row]`.
    pub(crate) v: Vec<f32>,
    /// `[B, hidden]`.
    pub(crate) gate: Vec<f32>,
    /// `[B, hidden]`.
    pub(crate) up: Vec<f32>,
    /// `[ropes][B, dims]`: cos and sin in turn for the positions of the batch.
    pub(crate) rope: Vec<Vec<f32>>,
    /// Partial attention results of a single token, see `block::attention`.
    pub(crate) partials: Vec<f32>,
    /// `[vocab]`.
    pub(crate) logits: Vec<f32>,
    /// Rows of the head that the last pass computed.
    pub(crate) head_rows: usize,
    /// For the head's screening table.
    pub(crate) screen: Option<ScreenBuf>,
    /// One per thread.
    pub(crate) locals: Vec<Local>,
}

/// One thread's own buffers.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) scratch: Scratch,
    /// `[queries, head_dim]`: queries gathered from the batch.
    pub(crate) q: Vec<f32>,
    /// One chunk's result.
    pub(crate) part: AttnBuf,
    /// The merged result.
    pub(crate) state: AttnBuf,
    /// `[queries]`: what each query sees of a chunk.
    pub(crate) visible: Vec<(u32, u32)>,
}

/// Attention results of several queries.
#[derive(Debug)]
pub(crate) struct AttnBuf {
    /// `[queries, head_dim]`.
    pub(crate) acc: Vec<f32>,
    /// `[queries]`.
    pub(crate) max: Vec<f32>,
    /// `[queries]`.
    pub(crate) sum: Vec<f32>,
}

impl AttnBuf {
    fn new(queries: usize, head_dim: usize) -> Self {
        Self { acc: vec![0.0; queries * head_dim], max: vec![0.0; queries], sum: vec![0.0; queries] }
    }
}

impl Activations {
    pub(crate) fn new(s: &Sizes) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        let queries = s.queries();
        let local = || Local {
            scratch: Scratch::new(s.widest()),
            q: zeros(queries * s.head_dim),
            part: AttnBuf::new(queries, s.head_dim),
            state: AttnBuf::new(queries, s.head_dim),
            visible: vec![(0, 0); queries],
        };
        Self {
            context: s.context,
            x: zeros(s.batch * s.width),
            out: zeros(s.batch * s.width),
            input: Input::new(s),
            q: zeros(s.batch * s.q_row),
            k: zeros(s.batch * s.kv_row),
            v: zeros(s.batch * s.kv_row),
            gate: zeros(s.batch * s.hidden),
            up: zeros(s.batch * s.hidden),
            rope: (0..s.ropes).map(|_| zeros(s.batch * s.rope_dims)).collect(),
            partials: zeros(s.partials),
            logits: zeros(s.vocab),
            head_rows: 0,
            screen: None,
            locals: (0..s.threads).map(|_| local()).collect(),
        }
    }
}

/// The formats that a group of products needs its shared input in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Formats {
    q8x32: bool,
    q8x256: bool,
}

impl Formats {
    pub(crate) fn of(formats: impl IntoIterator<Item = ActFormat>) -> Self {
        let mut all = Self::default();
        for format in formats {
            all.q8x32 |= format == ActFormat::Q8x32;
            all.q8x256 |= format == ActFormat::Q8x256;
        }
        all
    }
}

/// The input of products: as floats, and quantised once for all products that share it.
#[derive(Debug)]
pub(crate) struct Input {
    /// `[B, K]`, used as `[n, k]`.
    pub(crate) h: Vec<f32>,
    q8x32: QuantBuf,
    q8x256: QuantBuf,
}

/// Rows of quantised activations.
#[derive(Debug)]
pub(crate) struct QuantBuf {
    format: ActFormat,
    qs: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i16>,
}

impl QuantBuf {
    pub(crate) fn new(format: ActFormat, batch: usize, k: usize) -> Self {
        let (scales, sums) = (k.div_ceil(format.block_len()), k.div_ceil(format.sum_len()));
        Self {
            format,
            qs: vec![0; batch * k],
            scales: vec![0.0; batch * scales],
            sums: vec![0; batch * sums],
        }
    }

    pub(crate) const fn row_bytes(format: ActFormat, k: usize) -> usize {
        k + k.div_ceil(format.block_len()) * 4 + k.div_ceil(format.sum_len()) * 2
    }

    /// Whether rows of `k` can be quantised to this format.
    fn fits(&self, k: usize) -> bool {
        k.is_multiple_of(self.format.block_len())
    }

    /// Rows of values, scales and sums, for rows of `k` values.
    fn rows(&mut self, k: usize) -> (Rows<'_, i8>, Rows<'_, f32>, Rows<'_, i16>) {
        let (block, sum) = (self.format.block_len(), self.format.sum_len());
        (
            Rows::new(&mut self.qs, k),
            Rows::new(&mut self.scales, k / block),
            Rows::new(&mut self.sums, k / sum),
        )
    }

    /// Quantises `x` to row `row` of rows as long.
    pub(crate) fn quantize_row(&mut self, kernels: &Kernels, row: usize, x: &[f32]) {
        let (format, k) = (self.format, x.len());
        let (blocks, sums) = (k / format.block_len(), k / format.sum_len());
        kernels.quantize(
            format,
            x,
            &mut self.qs[row * k..(row + 1) * k],
            &mut self.scales[row * blocks..(row + 1) * blocks],
            &mut self.sums[row * sums..(row + 1) * sums],
        );
    }

    /// Subtracts the values of row `row` from `x`, which is as long.
    pub(crate) fn subtract_row(&self, row: usize, x: &mut [f32]) {
        let (k, len) = (x.len(), self.format.block_len());
        let (qs, scales) = (&self.qs[row * k..(row + 1) * k], &self.scales[row * k / len..]);
        for ((x, qs), scale) in x.chunks_exact_mut(len).zip(qs.chunks_exact(len)).zip(scales) {
            x.iter_mut().zip(qs).for_each(|(x, &q)| *x = (-f32::from(q)).mul_add(*scale, *x));
        }
    }

    pub(crate) fn acts(&self, n: usize, k: usize) -> Acts<'_> {
        let (scales, sums) = (n * k / self.format.block_len(), n * k / self.format.sum_len());
        Acts::Quant(QuantActs::new(
            self.format,
            n,
            k,
            &self.qs[..n * k],
            &self.scales[..scales],
            &self.sums[..sums],
        ))
    }
}

impl Input {
    fn new(s: &Sizes) -> Self {
        Self {
            h: vec![0.0; s.batch * s.widest()],
            q8x32: QuantBuf::new(ActFormat::Q8x32, s.batch, s.q8x32),
            q8x256: QuantBuf::new(ActFormat::Q8x256, s.batch, s.q8x256),
        }
    }

    /// Makes `n` rows of `k` values with `make(i, row i of extra, h row)` and quantises each to `formats`.
    pub(crate) fn fill<P: SplitRows>(
        &mut self,
        (kernels, pool, locals): (&Kernels, &Pool, &mut [Local]),
        (n, k): (usize, usize),
        formats: Formats,
        extra: P,
        make: impl Fn(usize, P::Row, &mut [f32]) + Sync,
    ) {
        let Self { h, q8x32, q8x256 } = self;
        let do32 = formats.q8x32 && q8x32.fits(k);
        let do256 = formats.q8x256 && q8x256.fits(k);
        // A format that is not wanted gives empty rows.
        let parts = (
            extra,
            Rows::new(h, k),
            q8x32.rows(if do32 { k } else { 0 }),
            q8x256.rows(if do256 { k } else { 0 }),
        );
        pool.rows(locals, n, parts, |_, i, (extra, h, (qs, scales, sums), (qs2, scales2, sums2))| {
            make(i, extra, h);
            if do32 {
                kernels.quantize(ActFormat::Q8x32, h, qs, scales, sums);
            }
            if do256 {
                kernels.quantize(ActFormat::Q8x256, h, qs2, scales2, sums2);
            }
        });
    }

    /// The values of the first row, `[k]`, as they are in `format`: what products see.
    pub(crate) fn dequantize(&self, format: ActFormat, out: &mut [f32]) {
        let buf = match format {
            ActFormat::F32 => return out.copy_from_slice(&self.h[..out.len()]),
            ActFormat::Q8x32 => &self.q8x32,
            ActFormat::Q8x256 => &self.q8x256,
        };
        let len = format.block_len();
        for ((out, qs), &scale) in out.chunks_exact_mut(len).zip(buf.qs.chunks_exact(len)).zip(&buf.scales) {
            out.iter_mut().zip(qs).for_each(|(x, &q)| *x = f32::from(q) * scale);
        }
    }

    /// The `n` rows of `k` values in `format`.
    pub(crate) fn acts(&self, format: ActFormat, n: usize, k: usize) -> Acts<'_> {
        match format {
            ActFormat::F32 => Acts::F32 { x: &self.h[..n * k], n, k },
            ActFormat::Q8x32 => self.q8x32.acts(n, k),
            ActFormat::Q8x256 => self.q8x256.acts(n, k),
        }
    }
}
