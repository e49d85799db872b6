//! From the states of a text's tokens to its embedding: pooling, then the matrices behind it.

use super::activations::{Activations, Input};
use super::block::linear;
use super::decoder::{Context, Decoder};
use super::spec::Pooling;
use super::weights::Linear;
use crate::quant::ActFormat;
use crate::tensor::Rows;

/// The numbers that the buffers' sizes follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolRoom {
    /// The longest vector on the way.
    pub(crate) k: usize,
    /// The longest that is quantised to `Q8x32`, and to `Q8x256`.
    quantised: (usize, usize),
}

impl PoolRoom {
    /// Bytes of a [`PoolBuf`].
    pub(crate) fn bytes(&self) -> usize {
        2 * self.k * 4 + Input::row_bytes(self.k, self.quantised)
    }
}

/// The buffers.
#[derive(Debug)]
pub(crate) struct PoolBuf {
    /// `[k]`: the pooled state, then what the last matrix made of it.
    x: Vec<f32>,
    /// `[k]`: what a matrix makes.
    out: Vec<f32>,
    /// The input of a matrix.
    input: Input,
}

impl PoolBuf {
    pub(crate) fn new(room: &PoolRoom) -> Self {
        let input = Input::new(1, room.k, room.quantised);
        Self { x: vec![0.0; room.k], out: vec![0.0; room.k], input }
    }
}

impl Decoder {
    pub(crate) fn pool_room(&self) -> PoolRoom {
        let dense = &self.weights.dense;
        let widest = |format| {
            dense.iter().filter(|l| l.ty().act_format() == format).map(Linear::cols).max().unwrap_or(0)
        };
        let quantised = (widest(ActFormat::Q8x32), widest(ActFormat::Q8x256));
        PoolRoom { k: dense.iter().map(Linear::rows).fold(self.spec.width, usize::max), quantised }
    }

    /// Takes in the `n` states of a pass, which belong to positions from `start` on of a text of `total` tokens. The
    /// states are summed in order, so the mean does not depend on how the text was cut into passes.
    pub(crate) fn pool(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        pooling: Pooling,
        (start, n, total): (usize, usize, usize),
    ) {
        let width = self.spec.width;
        let (states, pooled) = (&acts.out[..n * width], &mut acts.pool.x[..width]);
        let is_last = start + n == total;
        match pooling {
            Pooling::Mean => {
                if start == 0 {
                    pooled.fill(0.0);
                }
                states.chunks_exact(width).for_each(|state| cx.kernels.add(pooled, state));
                if is_last {
                    cx.kernels.scale(pooled, 1.0 / total as f32);
                }
            }
            Pooling::Cls if start == 0 => pooled.copy_from_slice(&states[..width]),
            Pooling::Last if is_last => pooled.copy_from_slice(&states[(n - 1) * width..]),
            Pooling::Cls | Pooling::Last => {}
        }
    }

    /// The embedding of the text whose states were pooled.
    pub(crate) fn embedding<'a>(&self, cx: &Context<'_>, acts: &'a mut Activations) -> &'a [f32] {
        let Activations { pool: PoolBuf { x, out, input }, locals, .. } = acts;
        let mut k = self.spec.width;
        for dense in &self.weights.dense {
            let formats = linear::formats([dense]);
            input.fill((cx.kernels, cx.pool, locals), (1, k), formats, Rows::new(x, k), |_, x, h| {
                h.copy_from_slice(x);
            });
            linear::products(cx, locals, input, (1, k), [(dense, &mut out[..dense.rows()])]);
            std::mem::swap(x, out);
            k = dense.rows();
        }
        &x[..k]
    }
}
