//! Keys and values of a batch on their way into the cache.

use crate::kernels::{ATTN_LANES, KV_BLOCK, Kernels};
use crate::kv_cache::LayerCache;
use crate::model::activations::Local;
use crate::tensor::{Either, Stripe};
use crate::threads::Pool;

/// Writes a batch of `n` positions from `start` on.
pub(crate) struct Store<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) start: usize,
    pub(crate) n: usize,
}

impl Store<'_> {
    /// `k` and `v` are `[n, kv_heads * head_dim]`; no `v` if keys hold the values. Tasks: blocks of positions.
    pub(crate) fn run(
        &self,
        pool: &Pool,
        locals: &mut [Local],
        cache: &mut LayerCache,
        (k, v): (&[f32], Option<&[f32]>),
    ) {
        let before = self.start % ATTN_LANES; // positions that the first block holds already
        let (end, row, hd) = (before + self.n, k.len() / self.n, cache.head_dim());
        pool.rows(
            locals,
            end.div_ceil(ATTN_LANES),
            cache.blocks_mut(self.start),
            |local, i, (mut to_k, mut to_v)| {
                let first = i * ATTN_LANES;
                for slot in first.max(before)..end.min(first + ATTN_LANES) {
                    let at = (slot - before) * row..(slot - before + 1) * row;
                    let lane = slot - first;
                    for (head, k) in k[at.clone()].chunks_exact(hd).enumerate() {
                        self.key(k, lane, &mut to_k, head);
                    }
                    if let (Some(v), Some(to_v)) = (v, &mut to_v) {
                        for (head, v) in v[at].chunks_exact(hd).enumerate() {
                            self.value(v, lane, to_v, head, local.scratch.i8s());
                        }
                    }
                }
            },
        );
    }

    /// One key: its elements 16 apart, or its fours.
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
            Either::B(Either::A(to)) => spread(key, lane, to.row(head)),
            Either::B(Either::B((to, scales))) => {
                let tiles = to.row(head).chunks_exact_mut(KV_BLOCK * ATTN_LANES);
                let scales = scales.row(head).as_chunks_mut::<ATTN_LANES>().0;
                for ((key, to), scales) in key.chunks(KV_BLOCK).zip(tiles).zip(scales) {
                    let mut qs = [0; KV_BLOCK];
                    scales[lane] = self.kernels.quantize_block(key, &mut qs[..key.len()]);
                    spread(qs.as_chunks::<4>().0, lane, to.as_chunks_mut::<4>().0);
                }
            }
        }
    }

    fn value(&self, value: &[f32], lane: usize, to: &mut Block<'_>, head: usize, room: &mut [i8]) {
        let at = lane * value.len()..(lane + 1) * value.len();
        match to {
            Either::A(to) => self.kernels.to_f16(value, &mut to.row(head)[at]),
            Either::B(Either::A(to)) => to.row(head)[at].copy_from_slice(value),
            Either::B(Either::B((to, scales))) => {
                let qs = &mut room[..value.len()];
                scales.row(head)[lane] = self.kernels.quantize_block(value, qs);
                let tiles = to.row(head).chunks_exact_mut(KV_BLOCK * ATTN_LANES);
                for (qs, to) in qs.chunks(KV_BLOCK).zip(tiles) {
                    // A tile is `[8 pairs of positions][32][2]`; its other elements, beyond the head, stay zero.
                    let pair = &mut to[lane / 2 * 2 * KV_BLOCK..][..2 * KV_BLOCK];
                    for (q, to) in qs.iter().zip(pair.as_chunks_mut::<2>().0) {
                        to[lane % 2] = *q;
                    }
                }
            }
        }
    }
}

/// A block of sixteen positions of all heads.
type Block<'a> = Either<Stripe<'a, u16>, Either<Stripe<'a, f32>, (Stripe<'a, i8>, Stripe<'a, f32>)>>;

/// Writes `x` to one lane of `to`, `[x.len()][16]`.
fn spread<T: Copy>(x: &[T], lane: usize, to: &mut [T]) {
    for (x, to) in x.iter().zip(to.as_chunks_mut::<ATTN_LANES>().0) {
        to[lane] = *x;
    }
}
