//! Keys and values of a batch on their way into the cache.

use crate::kernels::{ATTN_LANES, Kernels};
use crate::kv_cache::LayerCache;
use crate::model::activations::Local;
use crate::tensor::{Either, Stripe};
use crate::threads::Pool;

/// Writes a batch of `n` positions from `start` on.
pub(crate) struct Store<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) start: usize,
    pub(crate) n: usize,
    pub(crate) head_dim: usize,
}

impl Store<'_> {
    /// `k` and `v` are `[n, kv_heads * head_dim]`. Tasks: blocks of positions.
    pub(crate) fn run(
        &self,
        pool: &Pool,
        locals: &mut [Local],
        cache: &mut LayerCache,
        (k, v): (&[f32], &[f32]),
    ) {
        let before = self.start % ATTN_LANES; // positions that the first block holds already
        let (end, row) = (before + self.n, k.len() / self.n);
        pool.rows(
            locals,
            end.div_ceil(ATTN_LANES),
            cache.blocks_mut(self.start),
            |_, i, (mut to_k, mut to_v)| {
                let first = i * ATTN_LANES;
                for slot in first.max(before)..end.min(first + ATTN_LANES) {
                    let at = (slot - before) * row..(slot - before + 1) * row;
                    let (lane, hd) = (slot - first, self.head_dim);
                    let heads = k[at.clone()].chunks_exact(hd).zip(v[at].chunks_exact(hd));
                    for (head, (k, v)) in heads.enumerate() {
                        self.key(k, lane, &mut to_k, head);
                        self.value(v, lane, &mut to_v, head);
                    }
                }
            },
        );
    }

    /// One key: its elements 16 apart.
    fn key(&self, key: &[f32], lane: usize, to: &mut Block<'_>, head: usize) {
        match to {
            Either::A(to) => {
                let mut bits = [0; 64];
                let parts = to.row(head).chunks_mut(64 * ATTN_LANES);
                for (key, to) in key.chunks(64).zip(parts) {
                    let bits = &mut bits[..key.len()];
                    self.kernels.to_f16(key, bits);
                    spread(bits, lane, to);
                }
            }
            Either::B(to) => spread(key, lane, to.row(head)),
        }
    }

    fn value(&self, value: &[f32], lane: usize, to: &mut Block<'_>, head: usize) {
        let at = lane * self.head_dim..(lane + 1) * self.head_dim;
        match to {
            Either::A(to) => self.kernels.to_f16(value, &mut to.row(head)[at]),
            Either::B(to) => to.row(head)[at].copy_from_slice(value),
        }
    }
}

/// `[heads, 16 * head_dim]`.
type Block<'a> = Either<Stripe<'a, u16>, Stripe<'a, f32>>;

/// Writes `x` to one lane of `to`, `[x.len()][16]`.
fn spread<T: Copy>(x: &[T], lane: usize, to: &mut [T]) {
    for (x, to) in x.iter().zip(to.as_chunks_mut::<ATTN_LANES>().0) {
        to[lane] = *x;
    }
}
