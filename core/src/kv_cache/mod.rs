//! Keys and values of past positions, per layer: the whole context, or a ring where attention has a window.
//!
//! Position `p` lies in slot `p % capacity`. The capacity is a multiple of [`ATTN_CHUNK`], so a chunk of positions never
//! wraps. What attention reads together lies together: a layer's keys are `[chunks][heads][blocks of 16
//! positions][head_dim][16]`, its values `[chunks][heads][256 positions][head_dim]`; bytes are in tiles instead, as
//! [`KvRows::Q8`] says, with their scales beside them. A ring holds the window and one batch: all keys of a batch are
//! written before any of its queries looks.
//!
//! A recurrent layer keeps a state instead.
//!
//! Knows numbers, not models. Memory is reserved at once and touched as positions fill up.

mod state;

use self::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{ATTN_CHUNK, ATTN_LANES, KV_BLOCK, KvRows};
use crate::tensor::{Blocks, Either};

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KvType {
    /// 16-bit floats.
    #[default]
    F16,
    /// 32-bit floats: twice the memory, for comparisons with a reference.
    F32,
    /// Bytes: a little more than half the memory, and fewer to read per token. Keys have a scale per position and 32
    /// elements of a head, values one per position and head; attention multiplies integers. Heads that are not a
    /// multiple of 32 are padded to one. Latents stay 16-bit floats.
    Q8,
}

impl KvType {
    /// As in `f16`.
    pub const fn name(self) -> &'static str {
        match self {
            KvType::F16 => "f16",
            KvType::F32 => "f32",
            KvType::Q8 => "q8",
        }
    }

    /// Bytes of one position's key and value of one head; `None` if that overflows.
    pub fn bytes(self, head_dim: usize) -> Option<usize> {
        match self {
            KvType::F16 => head_dim.checked_mul(2 * 2),
            KvType::F32 => head_dim.checked_mul(2 * 4),
            KvType::Q8 => {
                let blocks = head_dim.div_ceil(KV_BLOCK);
                (2 * KV_BLOCK + 4).checked_mul(blocks).map(|n| n + 4)
            }
        }
    }
}

/// What a layer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerShape {
    /// Keys and values of positions.
    Kv(KvShape),
    /// A state of so many floats.
    State(usize),
}

impl LayerShape {
    /// Bytes; `None` if that overflows.
    pub fn bytes(&self, ty: KvType, context: usize, batch: usize) -> Option<usize> {
        match self {
            LayerShape::Kv(shape) => shape.bytes(ty, context, batch),
            LayerShape::State(len) => len.checked_mul(2 * size_of::<f32>()),
        }
    }
}

/// What a layer keeps per position, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Heads of keys and of values.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Whether values are stored: where they are the first elements of the keys (latent attention) they are not.
    pub values: bool,
    /// Positions that attention looks back on, itself included; `None` for all.
    pub window: Option<usize>,
}

impl KvShape {
    /// Positions that the buffer has room for: the context, or the window and a batch.
    pub fn capacity(&self, context: usize, batch: usize) -> usize {
        let needed = self.window.map_or(context, |w| context.min(w.saturating_add(batch)));
        needed.max(1).next_multiple_of(ATTN_CHUNK)
    }

    /// How they are stored where `ty` is asked for: latents are not stored as bytes, since their elements are values too,
    /// and a value has one scale.
    pub fn stored(&self, ty: KvType) -> KvType {
        if ty == KvType::Q8 && !self.values { KvType::F16 } else { ty }
    }

    /// Bytes of one position of one head; `None` if that overflows.
    pub fn position(&self, ty: KvType) -> Option<usize> {
        let both = self.stored(ty).bytes(self.head_dim)?;
        Some(if self.values { both } else { both / 2 })
    }

    /// Bytes of keys and values; `None` if that overflows.
    pub fn bytes(&self, ty: KvType, context: usize, batch: usize) -> Option<usize> {
        let ty = self.stored(ty);
        let slack = if ty == KvType::Q8 { 2 * LINE } else { 0 };
        let heads = self.position(ty)?.checked_mul(self.heads)?;
        self.capacity(context, batch).checked_mul(heads)?.checked_add(slack)
    }
}

/// One layer's keys and values.
#[derive(Debug)]
pub struct LayerCache {
    k: KvBuf,
    v: Option<KvBuf>,
    shape: KvShape,
    /// Positions with room.
    pub capacity: usize,
}

impl LayerCache {
    /// Elements of a head.
    pub fn head_dim(&self) -> usize {
        self.shape.head_dim
    }

    /// The slot of position `p`.
    pub fn slot(&self, p: usize) -> usize {
        p % self.capacity
    }

    /// Keys and values of a head from position `first`, a multiple of [`ATTN_CHUNK`], to the end of its chunk.
    pub fn chunk(&self, first: usize, head: usize) -> (KvRows<'_>, Option<KvRows<'_>>) {
        let at = self.slot(first) / ATTN_CHUNK * self.shape.heads + head;
        (self.k.part(at), self.v.as_ref().map(|v| v.part(at)))
    }

    /// The blocks of [`ATTN_LANES`] keys and values that a batch starting at position `start` fills; block 0 holds
    /// `start`.
    pub fn blocks_mut(&mut self, start: usize) -> (KvBlocksMut<'_>, Option<KvBlocksMut<'_>>) {
        let (slot, shape) = (self.slot(start), self.shape);
        (self.k.blocks(shape.heads, slot), self.v.as_mut().map(|v| v.blocks(shape.heads, slot)))
    }
}

/// Blocks of f16 bits, of floats, or of bytes and their scales, each a stripe `[heads, what a block of 16 positions has]`.
pub type KvBlocksMut<'a> =
    Either<Blocks<'a, u16>, Either<Blocks<'a, f32>, (Blocks<'a, i8>, Blocks<'a, f32>)>>;

/// Keys or values of all positions.
#[derive(Debug)]
enum KvBuf {
    F16(Chunks<u16>),
    F32(Chunks<f32>),
    Q8(Chunks<i8>, Chunks<f32>),
}

impl KvBuf {
    /// For `chunks` chunks of one head each, with `scales` scales for a position's bytes.
    fn new(ty: KvType, chunks: usize, head_dim: usize, scales: usize) -> Option<Self> {
        Some(match ty {
            KvType::F16 => KvBuf::F16(Chunks::new(chunks, head_dim, 0, |n| vec![0; n])?),
            KvType::F32 => KvBuf::F32(Chunks::new(chunks, head_dim, 0, |n| vec![0.0; n])?),
            KvType::Q8 => {
                let bytes = head_dim.checked_next_multiple_of(KV_BLOCK)?;
                // Aligned to lines, since a tile is read by lines.
                let mut bytes = Chunks::new(chunks, bytes, LINE, |n| vec![0; n])?;
                bytes.start = bytes.data.as_ptr().align_offset(LINE).min(LINE);
                KvBuf::Q8(bytes, Chunks::new(chunks, scales, 0, |n| vec![0.0; n])?)
            }
        })
    }

    /// Chunk `at`, counted over chunks and heads.
    fn part(&self, at: usize) -> KvRows<'_> {
        match self {
            KvBuf::F16(x) => KvRows::F16(x.part(at)),
            KvBuf::F32(x) => KvRows::F32(x.part(at)),
            KvBuf::Q8(qs, scales) => KvRows::Q8 { qs: qs.part(at), scales: scales.part(at) },
        }
    }

    fn blocks(&mut self, heads: usize, slot: usize) -> KvBlocksMut<'_> {
        match self {
            KvBuf::F16(x) => Either::A(x.blocks(heads, slot)),
            KvBuf::F32(x) => Either::B(Either::A(x.blocks(heads, slot))),
            KvBuf::Q8(qs, scales) => {
                Either::B(Either::B((qs.blocks(heads, slot), scales.blocks(heads, slot))))
            }
        }
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// `[chunks][256 positions, so many elements each]`, in an order that others know, from element `start` on.
#[derive(Debug)]
struct Chunks<T> {
    data: Vec<T>,
    start: usize,
    /// Elements of a chunk.
    len: usize,
}

impl<T> Chunks<T> {
    fn new(chunks: usize, row: usize, slack: usize, zeroed: fn(usize) -> Vec<T>) -> Option<Self> {
        let len = row.checked_mul(ATTN_CHUNK)?;
        let data = try_zeros(chunks.checked_mul(len)?.checked_add(slack)?, zeroed)?;
        Some(Self { data, start: 0, len })
    }

    fn part(&self, at: usize) -> &[T] {
        &self.data[self.start..][at * self.len..(at + 1) * self.len]
    }

    fn blocks(&mut self, heads: usize, slot: usize) -> Blocks<'_, T> {
        let sizes = (heads, ATTN_CHUNK / ATTN_LANES, self.len / (ATTN_CHUNK / ATTN_LANES));
        let data = &mut self.data[self.start..];
        let whole = data.len() - data.len() % self.len;
        Blocks::ring(&mut data[..whole], sizes, slot / ATTN_LANES)
    }
}

/// What one layer keeps.
#[derive(Debug)]
enum Layer {
    Kv(LayerCache),
    State(State),
}

/// The keys and values of one session.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    /// The copy of states that counts, and the positions of the other one, if it holds any that can be gone back to.
    now: usize,
    before: Option<usize>,
    context: usize,
    /// Positions that are valid.
    len: usize,
    /// Positions that were ever written since the cache was last empty: what rings may have overwritten.
    written: usize,
}

impl KvCache {
    /// An empty cache for `context` positions that are fed in batches of at most `batch`.
    ///
    /// # Errors
    /// `Limit` if the sizes overflow or the system has no such memory.
    pub fn new(
        shapes: impl Iterator<Item = LayerShape>,
        ty: KvType,
        context: usize,
        batch: usize,
    ) -> Result<Self> {
        let layers = shapes
            .map(|shape| {
                let no_memory = || {
                    let message = format!("no memory for a context of {context} positions");
                    Error::new(ErrorKind::Limit, message)
                };
                let shape = match shape {
                    LayerShape::Kv(shape) => shape,
                    LayerShape::State(len) => {
                        return State::new(len).map(Layer::State).ok_or_else(no_memory);
                    }
                };
                let capacity = shape.capacity(context, batch);
                let KvShape { heads, head_dim, .. } = shape;
                let chunks = (capacity / ATTN_CHUNK).checked_mul(heads);
                let buf = |scales| {
                    chunks
                        .and_then(|n| KvBuf::new(shape.stored(ty), n, head_dim, scales))
                        .ok_or_else(no_memory)
                };
                let k = buf(head_dim.div_ceil(KV_BLOCK))?;
                let v = shape.values.then(|| buf(1)).transpose()?;
                Ok(Layer::Kv(LayerCache { k, v, shape, capacity }))
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers, now: 0, before: None, context, len: 0, written: 0 })
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Positions that fit.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Layer `i`'s keys and values, to write a batch into. Panics if it keeps a state.
    pub fn layer_mut(&mut self, i: usize) -> &mut LayerCache {
        match &mut self.layers[i] {
            Layer::Kv(layer) => layer,
            Layer::State(_) => panic!("layer {i} keeps a state"),
        }
    }

    /// Layer `i`'s state before a pass, and room for the one after it. Panics if it keeps keys and values.
    pub fn state_mut(&mut self, i: usize) -> (&[f32], &mut [f32]) {
        match &mut self.layers[i] {
            Layer::State(state) => state.turn(self.now),
            Layer::Kv(_) => panic!("layer {i} keeps keys and values"),
        }
    }

    /// Says that a batch of `n` positions is about to be written behind [`len`](Self::len). They count only after
    /// [`commit`](Self::commit).
    pub fn begin(&mut self, n: usize) {
        self.written = self.written.max(self.len + n);
        self.before = None;
    }

    /// Counts the `n` positions that were written.
    pub fn commit(&mut self, n: usize) {
        self.before = Some(self.len);
        self.now = 1 - self.now;
        self.len += n;
    }

    /// Whether the first `n` positions can still be continued from: every ring still holds its window before `n`, and
    /// every state is the one after `n`, or was before the last pass.
    pub fn can_truncate(&self, n: usize) -> bool {
        n <= self.len
            && self.layers.iter().all(|layer| match layer {
                _ if n == 0 => true,
                Layer::State(_) => n == self.len || Some(n) == self.before,
                Layer::Kv(layer) => layer.shape.window.is_none_or(|window| {
                    let oldest_needed = (n + 1).saturating_sub(window);
                    oldest_needed + layer.capacity >= self.written
                }),
            })
    }

    /// Forgets all positions from `n` on; `false` (and nothing done) if a ring has lost what `n` would need.
    pub fn truncate(&mut self, n: usize) -> bool {
        let can = self.can_truncate(n);
        if can {
            if n < self.len {
                self.now = 1 - self.now;
                self.before = None;
            }
            self.len = n;
            if n == 0 {
                self.written = 0;
                self.clear_states();
            }
        }
        can
    }
}

impl KvCache {
    fn clear_states(&mut self) {
        for layer in &mut self.layers {
            if let Layer::State(state) = layer {
                state.clear(self.now);
            }
        }
    }
}

/// Zeros without aborting when there is no memory, and without touching the pages.
fn try_zeros<T>(len: usize, zeroed: fn(usize) -> Vec<T>) -> Option<Vec<T>> {
    // `try_reserve` alone would leave memory uninitialised and filling it would touch every page; asking the allocator
    // for zeroed memory is what `vec!` does. So: probe that the size can be had, give it back, take it zeroed.
    let mut probe: Vec<T> = Vec::new();
    probe.try_reserve_exact(len).ok()?;
    drop(probe);
    Some(zeroed(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(window: Option<usize>, context: usize, batch: usize) -> KvCache {
        let shape = LayerShape::Kv(KvShape { heads: 2, head_dim: 2, values: true, window });
        KvCache::new([shape].into_iter(), KvType::F16, context, batch).expect("small")
    }

    fn fill(cache: &mut KvCache, n: usize) {
        cache.begin(n);
        cache.commit(n);
    }

    #[test]
    fn windows_cost_their_window_only() {
        let full = KvShape { heads: 4, head_dim: 64, values: true, window: None };
        let ring = KvShape { heads: 4, head_dim: 64, values: true, window: Some(512) };
        assert_eq!(full.bytes(KvType::F16, 8192, 512), Some(8192 * 256 * 4));
        assert_eq!(ring.bytes(KvType::F16, 8192, 512), Some(1024 * 256 * 4));
        assert_eq!(ring.bytes(KvType::F16, 300, 512), Some(512 * 256 * 4));
        assert_eq!(full.bytes(KvType::F16, usize::MAX - 600, 1), None);
        let latent = KvShape { heads: 1, head_dim: 576, values: false, window: None };
        assert_eq!(latent.bytes(KvType::F16, 8192, 512), Some(8192 * 576 * 2));
        assert_eq!(latent.bytes(KvType::Q8, 8192, 512), latent.bytes(KvType::F16, 8192, 512));
        // Keys 64 + 2 scales, values 64 + 1, and the room to align both.
        assert_eq!(full.bytes(KvType::Q8, 8192, 512), Some(8192 * 4 * (72 + 68) + 128));
        let odd = KvShape { heads: 1, head_dim: 40, values: true, window: None };
        assert_eq!(odd.bytes(KvType::Q8, 256, 512), Some(256 * (72 + 68) + 128));
    }

    #[test]
    fn full_caches_go_back_anywhere() {
        let mut c = cache(None, 1000, 64);
        fill(&mut c, 900);
        assert!(c.truncate(3) && c.len() == 3);
        assert!(!c.truncate(4));
    }

    #[test]
    fn rings_go_back_as_far_as_they_remember() {
        let mut c = cache(Some(100), 10_000, 156); // capacity 256
        for _ in 0..10 {
            fill(&mut c, 100);
        }
        // Position n needs n - 99 .. n; slots hold 744..1000.
        assert!(!c.can_truncate(842));
        assert!(c.can_truncate(843));
        assert!(c.truncate(900) && c.len() == 900);
        // What was overwritten stays overwritten.
        assert!(!c.can_truncate(842));
        assert!(c.truncate(0) && c.is_empty());
        fill(&mut c, 50);
        assert!(c.can_truncate(1));
    }

    #[test]
    fn states_go_back_one_pass_or_to_the_start() {
        let mut c = KvCache::new([LayerShape::State(3)].into_iter(), KvType::F16, 100, 10).expect("small");
        let pass = |c: &mut KvCache, n: usize, value: f32| {
            c.begin(n);
            let (before, after) = c.state_mut(0);
            let seen = before[0];
            after.fill(value);
            c.commit(n);
            seen
        };
        assert_eq!((pass(&mut c, 10, 1.0), pass(&mut c, 1, 2.0)), (0.0, 1.0));
        assert!(!c.can_truncate(5) && c.can_truncate(10) && c.truncate(11));
        assert!(c.truncate(10) && c.len() == 10 && !c.can_truncate(9));
        assert_eq!(pass(&mut c, 1, 3.0), 1.0, "as if the last pass had not been");
        c.begin(1);
        c.state_mut(0).1.fill(9.0); // a pass that fails
        assert!(c.can_truncate(11) && !c.can_truncate(10));
        assert_eq!(pass(&mut c, 1, 4.0), 3.0, "it changed nothing");
        assert!(c.truncate(0));
        assert_eq!(pass(&mut c, 1, 5.0), 0.0, "from the start");
    }

    #[test]
    fn absurd_contexts_are_refused() {
        let shapes =
            [LayerShape::Kv(KvShape { heads: 1 << 10, head_dim: 1 << 10, values: true, window: None })];
        let error = KvCache::new(shapes.into_iter(), KvType::F32, usize::MAX / 4, 1).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
