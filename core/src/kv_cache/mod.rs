//! Keys and values of past positions, per layer: the whole context, or a ring where attention has a window.
//!
//! Position `p` lies in slot `p % capacity`. The capacity is a multiple of [`ATTN_CHUNK`], so a chunk of positions never
//! wraps. What attention reads together lies together: a layer's keys are `[chunks][heads][blocks of 16
//! positions][head_dim][16]`, its values `[chunks][heads][256 positions][head_dim]`. A ring holds the window and one
//! batch: all keys of a batch are written before any of its queries looks.
//!
//! Knows numbers, not models. Memory is reserved at once and touched as positions fill up.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{ATTN_CHUNK, ATTN_LANES, KvRows};
use crate::tensor::{Blocks, Either};

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KvType {
    /// 16-bit floats.
    #[default]
    F16,
    /// 32-bit floats: twice the memory, for comparisons with a reference.
    F32,
}

impl KvType {
    /// Bytes per element.
    pub const fn bytes(self) -> usize {
        match self {
            KvType::F16 => 2,
            KvType::F32 => 4,
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
    /// Positions that attention looks back on, itself included; `None` for all.
    pub window: Option<usize>,
}

impl KvShape {
    /// Elements of a position's keys or values.
    pub fn row(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Positions that the buffer has room for: the context, or the window and a batch.
    pub fn capacity(&self, context: usize, batch: usize) -> usize {
        let needed = self.window.map_or(context, |w| context.min(w.saturating_add(batch)));
        needed.max(1).next_multiple_of(ATTN_CHUNK)
    }

    /// Bytes of keys and values; `None` if that overflows.
    pub fn bytes(&self, ty: KvType, context: usize, batch: usize) -> Option<usize> {
        self.capacity(context, batch).checked_mul(self.row())?.checked_mul(2 * ty.bytes())
    }
}

/// One layer's keys and values.
#[derive(Debug)]
pub struct LayerCache {
    k: KvBuf,
    v: KvBuf,
    shape: KvShape,
    /// Positions with room.
    pub capacity: usize,
}

impl LayerCache {
    /// The slot of position `p`.
    pub fn slot(&self, p: usize) -> usize {
        p % self.capacity
    }

    /// Keys and values of a head from position `first`, a multiple of [`ATTN_CHUNK`], to the end of its chunk.
    pub fn chunk(&self, first: usize, head: usize) -> (KvRows<'_>, KvRows<'_>) {
        let len = ATTN_CHUNK * self.shape.head_dim;
        let at = (self.slot(first) / ATTN_CHUNK * self.shape.heads + head) * len;
        (self.k.part(at, at + len), self.v.part(at, at + len))
    }

    /// The blocks of [`ATTN_LANES`] keys and values that a batch starting at position `start` fills; block 0 holds
    /// `start`.
    pub fn blocks_mut(&mut self, start: usize) -> (KvBlocksMut<'_>, KvBlocksMut<'_>) {
        let (slot, shape) = (self.slot(start), self.shape);
        (self.k.blocks(shape, slot), self.v.blocks(shape, slot))
    }
}

/// Blocks of f16 bits or of floats, each a stripe `[heads, 16 * head_dim]`.
pub type KvBlocksMut<'a> = Either<Blocks<'a, u16>, Blocks<'a, f32>>;

/// Keys or values of all positions.
#[derive(Debug)]
enum KvBuf {
    F16(Vec<u16>),
    F32(Vec<f32>),
}

impl KvBuf {
    fn new(ty: KvType, len: usize) -> Option<Self> {
        match ty {
            KvType::F16 => try_zeros(len, |n| vec![0; n]).map(KvBuf::F16),
            KvType::F32 => try_zeros(len, |n| vec![0.0; n]).map(KvBuf::F32),
        }
    }

    fn part(&self, start: usize, end: usize) -> KvRows<'_> {
        match self {
            KvBuf::F16(x) => KvRows::F16(&x[start..end]),
            KvBuf::F32(x) => KvRows::F32(&x[start..end]),
        }
    }

    fn blocks(&mut self, shape: KvShape, slot: usize) -> KvBlocksMut<'_> {
        let sizes = (shape.heads, ATTN_CHUNK / ATTN_LANES, ATTN_LANES * shape.head_dim);
        match self {
            KvBuf::F16(x) => Either::A(Blocks::ring(x, sizes, slot / ATTN_LANES)),
            KvBuf::F32(x) => Either::B(Blocks::ring(x, sizes, slot / ATTN_LANES)),
        }
    }
}

/// The keys and values of one session.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
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
        shapes: impl Iterator<Item = KvShape>,
        ty: KvType,
        context: usize,
        batch: usize,
    ) -> Result<Self> {
        let layers = shapes
            .map(|shape| {
                let capacity = shape.capacity(context, batch);
                let len = capacity.checked_mul(shape.row());
                let zeros = || len.and_then(|len| KvBuf::new(ty, len));
                let (k, v) = zeros().zip(zeros()).ok_or_else(|| {
                    Error::new(ErrorKind::Limit, format!("no memory for a context of {context} positions"))
                })?;
                Ok(LayerCache { k, v, shape, capacity })
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers, context, len: 0, written: 0 })
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

    /// Layer `i`'s buffers.
    pub fn layer(&self, i: usize) -> &LayerCache {
        &self.layers[i]
    }

    /// Layer `i`'s buffers, to write a batch into.
    pub fn layer_mut(&mut self, i: usize) -> &mut LayerCache {
        &mut self.layers[i]
    }

    /// Says that a batch of `n` positions is about to be written behind [`len`](Self::len). They count only after
    /// [`commit`](Self::commit).
    pub fn begin(&mut self, n: usize) {
        self.written = self.written.max(self.len + n);
    }

    /// Counts the `n` positions that were written.
    pub fn commit(&mut self, n: usize) {
        self.len += n;
    }

    /// Whether the first `n` positions can still be continued from: every ring still holds its window before `n`.
    pub fn can_truncate(&self, n: usize) -> bool {
        n <= self.len
            && self.layers.iter().all(|layer| match layer.shape.window {
                Some(window) if n > 0 => {
                    let oldest_needed = (n + 1).saturating_sub(window);
                    oldest_needed + layer.capacity >= self.written
                }
                _ => true,
            })
    }

    /// Forgets all positions from `n` on; `false` (and nothing done) if a ring has lost what `n` would need.
    pub fn truncate(&mut self, n: usize) -> bool {
        let can = self.can_truncate(n);
        if can {
            self.len = n;
            if n == 0 {
                self.written = 0;
            }
        }
        can
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
        KvCache::new([KvShape { heads: 2, head_dim: 2, window }].into_iter(), KvType::F16, context, batch)
            .expect("small")
    }

    fn fill(cache: &mut KvCache, n: usize) {
        cache.begin(n);
        cache.commit(n);
    }

    #[test]
    fn windows_cost_their_window_only() {
        let full = KvShape { heads: 4, head_dim: 64, window: None };
        let ring = KvShape { heads: 4, head_dim: 64, window: Some(512) };
        assert_eq!(full.bytes(KvType::F16, 8192, 512), Some(8192 * 256 * 4));
        assert_eq!(ring.bytes(KvType::F16, 8192, 512), Some(1024 * 256 * 4));
        assert_eq!(ring.bytes(KvType::F16, 300, 512), Some(512 * 256 * 4));
        assert_eq!(full.bytes(KvType::F16, usize::MAX - 600, 1), None);
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
    fn absurd_contexts_are_refused() {
        let shapes = [KvShape { heads: 1 << 10, head_dim: 1 << 10, window: None }];
        let error = KvCache::new(shapes.into_iter(), KvType::F32, usize::MAX / 4, 1).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
