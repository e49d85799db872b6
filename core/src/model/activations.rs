//! Every buffer that the forward pass writes, named, shaped, and allocated once.
//!
//! `B` is the batch (most tokens in one pass), `K` the widest input of any product.

use super::block::altup::{self, Streams};
use super::block::attention::Heads;
use super::pooling::{PoolBuf, PoolRoom};
use super::screen::{Room, ScreenBuf};
use super::slots::{self, Slots, TILE};
use super::spec::{AttentionSpec, ModelSpec};
use crate::kernels::{ATTN_CHUNK, Kernels, Scratch};
use crate::quant::ActFormat;
use crate::tensor::{Acts, QuantActs, Rows, SplitRows};
use crate::threads::Pool;

/// Queries that attention gathers for one pass over a chunk of keys, unless a key head has more query heads.
pub(crate) const QUERIES: usize = 16;

/// The numbers that the buffers' sizes follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) context: usize,
    pub(crate) batch: usize,
    pub(crate) width: usize,
    pub(crate) q_row: usize,
    pub(crate) k_row: usize,
    pub(crate) v_row: usize,
    pub(crate) mixed_row: usize,
    /// Widest input of a product inside attention.
    pub(crate) attn_input: usize,
    pub(crate) hidden: usize,
    pub(crate) head_dim: usize,
    pub(crate) value_dim: usize,
    /// Query heads that attention takes together.
    pub(crate) group: usize,
    pub(crate) vocab: usize,
    /// Positions whose logits one pass can give.
    pub(crate) logit_rows: usize,
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
    /// For experts, if there are any.
    pub(crate) slots: Option<slots::Room>,
    /// Embeddings of a token that layers have of their own.
    pub(crate) per_layer: usize,
    /// For several residual streams, if there are.
    pub(crate) streams: Option<altup::Room>,
    /// For a text's embedding.
    pub(crate) pool: PoolRoom,
    pub(crate) threads: usize,
}

impl Sizes {
    pub(crate) fn new(
        spec: &ModelSpec,
        (q8x32, q8x256): (usize, usize),
        (screen, streams, pool): (Option<Room>, Option<altup::Room>, PoolRoom),
        (context, batch, logit_rows, threads): (usize, usize, usize, usize),
    ) -> Self {
        let most = |f: fn(&super::spec::LayerSpec) -> usize| spec.layers.iter().map(f).max().unwrap_or(1);
        let chunks = context.div_ceil(ATTN_CHUNK) + 1;
        Self {
            context,
            batch,
            width: spec.width,
            q_row: most(|l| AttnRows::of(&l.attention).q),
            k_row: most(|l| AttnRows::of(&l.attention).k),
            v_row: most(|l| AttnRows::of(&l.attention).v),
            mixed_row: most(|l| AttnRows::of(&l.attention).mixed),
            attn_input: most(|l| AttnRows::of(&l.attention).input),
            hidden: most(|l| l.ffn.hidden()).max(spec.per_layer.map_or(0, |p| p.size)),
            head_dim: most(|l| AttnRows::of(&l.attention).heads.map_or(0, |h| h.head_dim)),
            value_dim: most(|l| AttnRows::of(&l.attention).heads.map_or(0, |h| h.value_dim)),
            group: most(|l| AttnRows::of(&l.attention).heads.map_or(0, |h| h.group())),
            vocab: if spec.generates { spec.vocab } else { 0 },
            logit_rows,
            rope_dims: spec.ropes.iter().map(|r| r.dims).max().unwrap_or(0),
            ropes: spec.ropes.len(),
            partials: chunks * most(|l| AttnRows::of(&l.attention).heads.map_or(0, |h| h.partials())),
            q8x32,
            q8x256,
            screen,
            slots: slots::Room::new(spec),
            streams,
            per_layer: spec.per_layer.map_or(0, |p| p.size * spec.layers.len()),
            pool,
            threads,
        }
    }

    /// `K`.
    fn widest(&self) -> usize {
        let screen = self.screen.map_or(0, |room| room.columns);
        self.width.max(self.attn_input).max(self.hidden).max(screen)
    }

    /// Floats that a thread needs besides.
    fn local_row(&self) -> usize {
        let expert = if self.slots.is_some() { self.batch * TILE } else { 0 };
        let streams = self.streams.map_or(0, |s| s.streams * s.width);
        expert.max(self.per_layer).max(streams)
    }

    /// Widest row that a thread's scratch memory must take.
    fn scratch(&self) -> usize {
        self.widest().max(self.pool.k)
    }

    /// Queries that a thread gathers.
    pub(crate) fn queries(&self) -> usize {
        QUERIES.max(self.group)
    }

    /// Bytes of all buffers; `None` if that overflows.
    pub(crate) fn bytes(&self) -> Option<usize> {
        let k = self.widest();
        let attention = self.q_row + self.k_row + self.v_row + self.mixed_row;
        let floats =
            2 * self.width + attention + 2 * self.hidden + self.ropes * self.rope_dims + self.per_layer;
        let formats = (self.q8x32, self.q8x256);
        let streams = self.streams.map_or(Some(0), |room| room.row_bytes(formats))?;
        let row = floats * 4 + Input::row_bytes(k, formats) + streams;
        let (queries, dims) = (self.queries(), (self.head_dim, self.value_dim));
        let local = Local::bytes(self.scratch(), queries, dims, self.local_row());
        row.checked_mul(self.batch)?
            .checked_add(local.checked_mul(self.threads)?)?
            .checked_add(self.slots.map_or(Some(0), |room| room.bytes(self))?)?
            .checked_add(
                self.vocab.checked_mul(self.logit_rows)?.checked_add(self.partials)?.checked_mul(4)?,
            )?
            .checked_add(self.screen.map_or(0, Room::bytes))?
            .checked_add(self.pool.bytes())
    }
}

/// What a token takes while attention runs: elements of the rows, and the heads.
struct AttnRows {
    q: usize,
    k: usize,
    v: usize,
    mixed: usize,
    /// Of a product's input, or of what a kernel puts into scratch memory.
    input: usize,
    heads: Option<Heads>,
}

impl AttnRows {
    fn of(attention: &AttentionSpec) -> Self {
        match attention {
            AttentionSpec::Gqa(a) => {
                let (kv, mixed) = (a.kv_row(), if a.gated { a.q_row() } else { 0 });
                Self {
                    q: a.q_product(),
                    k: kv,
                    v: kv,
                    mixed,
                    input: a.q_row(),
                    heads: Some(Heads::of_gqa(a)),
                }
            }
            AttentionSpec::Mla(a) => {
                let (latents, rank) = (a.heads * a.kv_rank, a.q_rank.unwrap_or(0));
                Self {
                    q: a.q_row().max(latents),
                    k: a.key_row(),
                    v: rank,
                    mixed: (a.heads * a.key_row()).max(a.out_row()),
                    input: latents.max(a.heads * a.plain_dims).max(a.out_row()).max(rank).max(a.key_row()),
                    heads: Some(Heads::of_mla(a)),
                }
            }
            AttentionSpec::Delta(a) => {
                let (channels, values) = (a.channels(), a.value_row());
                // A row of all channels is put into scratch memory, which has four floats for each of an input.
                Self {
                    q: channels,
                    k: values,
                    v: 2 * a.value_heads,
                    mixed: channels,
                    input: values.max(channels.div_ceil(4)),
                    heads: None,
                }
            }
        }
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
    /// `[B, k_row]`.
    pub(crate) k: Vec<f32>,
    /// `[B, v_row]`.
    pub(crate) v: Vec<f32>,
    /// `[B, mixed_row]`: what kinds of attention other than the plainest make of queries, see `block`.
    pub(crate) mixed: Vec<f32>,
    /// `[B, hidden]`.
    pub(crate) gate: Vec<f32>,
    /// `[B, hidden]`.
    pub(crate) up: Vec<f32>,
    /// `[ropes][B, dims]`: cos and sin in turn for the positions of the batch.
    pub(crate) rope: Vec<Vec<f32>>,
    /// Partial attention results of a single token, see `block::attention`.
    pub(crate) partials: Vec<f32>,
    /// `[R, vocab]`, `R` the most positions whose logits one pass can give.
    pub(crate) logits: Vec<f32>,
    /// Rows of the head that the last pass computed.
    pub(crate) head_rows: usize,
    /// For the head's screening table.
    pub(crate) screen: Option<ScreenBuf>,
    /// `[B, layers * size]`: embeddings that layers have of their own.
    pub(crate) per_layer: Vec<f32>,
    /// For several residual streams, if there are.
    pub(crate) streams: Option<Streams>,
    /// For experts, if there are any; taken out while they run.
    pub(crate) slots: Option<Slots>,
    /// For a text's embedding.
    pub(crate) pool: PoolBuf,
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
    /// `[B, TILE]` for a part of one expert's result, or a row of a token's embeddings for all layers.
    pub(crate) row: Vec<f32>,
}

/// Attention results of several queries.
#[derive(Debug)]
pub(crate) struct AttnBuf {
    /// `[queries, value_dim]`.
    pub(crate) acc: Vec<f32>,
    /// `[queries]`.
    pub(crate) max: Vec<f32>,
    /// `[queries]`.
    pub(crate) sum: Vec<f32>,
}

impl Local {
    /// For products of at most `k` columns, attention of `queries` heads of these sizes, and a row of `row`.
    pub(crate) fn new(k: usize, queries: usize, (head_dim, value_dim): (usize, usize), row: usize) -> Self {
        Self {
            scratch: Scratch::new(k),
            q: vec![0.0; queries * head_dim],
            part: AttnBuf::new(queries, value_dim),
            state: AttnBuf::new(queries, value_dim),
            visible: vec![(0, 0); queries],
            row: vec![0.0; row],
        }
    }

    /// Bytes that [`new`](Self::new) takes.
    pub(crate) const fn bytes(
        k: usize,
        queries: usize,
        (head_dim, value_dim): (usize, usize),
        row: usize,
    ) -> usize {
        Scratch::bytes(k) + (queries * (head_dim + 2 * value_dim + 6) + row) * 4
    }
}

impl AttnBuf {
    fn new(queries: usize, value_dim: usize) -> Self {
        Self { acc: vec![0.0; queries * value_dim], max: vec![0.0; queries], sum: vec![0.0; queries] }
    }
}

impl Activations {
    pub(crate) fn new(s: &Sizes) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        let local = || Local::new(s.scratch(), s.queries(), (s.head_dim, s.value_dim), s.local_row());
        Self {
            context: s.context,
            x: zeros(s.batch * s.width),
            out: zeros(s.batch * s.width),
            input: Input::new(s.batch, s.widest(), (s.q8x32, s.q8x256)),
            q: zeros(s.batch * s.q_row),
            k: zeros(s.batch * s.k_row),
            v: zeros(s.batch * s.v_row),
            mixed: zeros(s.batch * s.mixed_row),
            gate: zeros(s.batch * s.hidden),
            up: zeros(s.batch * s.hidden),
            rope: (0..s.ropes).map(|_| zeros(s.batch * s.rope_dims)).collect(),
            partials: zeros(s.partials),
            logits: zeros(s.logit_rows * s.vocab),
            head_rows: 0,
            screen: None,
            per_layer: zeros(s.batch * s.per_layer),
            streams: s.streams.map(|room| Streams::new(room, s.batch, (s.q8x32, s.q8x256))),
            slots: s.slots.map(|room| Slots::new(room, s)),
            pool: PoolBuf::new(&s.pool),
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
    /// Room for `rows` rows of at most `k` values, of which `q8x32` and `q8x256` in these formats.
    pub(crate) fn new(rows: usize, k: usize, (q8x32, q8x256): (usize, usize)) -> Self {
        Self {
            h: vec![0.0; rows * k],
            q8x32: QuantBuf::new(ActFormat::Q8x32, rows, q8x32),
            q8x256: QuantBuf::new(ActFormat::Q8x256, rows, q8x256),
        }
    }

    /// Bytes of one such row.
    pub(crate) fn row_bytes(k: usize, (q8x32, q8x256): (usize, usize)) -> usize {
        4 * k + QuantBuf::row_bytes(ActFormat::Q8x32, q8x32) + QuantBuf::row_bytes(ActFormat::Q8x256, q8x256)
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
