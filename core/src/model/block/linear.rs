//! Matrix products spread over threads.

use crate::model::activations::{Formats, Input, Local};
use crate::model::decoder::{Context, ProductInput};
use crate::model::weights::Linear;
use crate::threads::Grid;

/// Bytes of weights in one task: some ten microseconds of reading, so that claiming tasks costs nothing and the last
/// task does not keep the others waiting.
const TASK_BYTES: usize = 192 << 10;
/// Tasks per thread that a small product is cut into at least.
const TASKS_PER_THREAD: usize = 4;
/// Rows of weights that kernels take together; tasks are multiples of it.
const ROW_UNIT: usize = 32;

/// `out[i][t] = weights[i] * input[t] * scale[i] + bias[i]` for products that share their input.
///
/// `input` holds `n` rows of `k` values in the formats that the weights need; each `out` is `[n, rows]`.
pub(crate) fn products<const N: usize>(
    cx: &Context<'_>,
    locals: &mut [Local],
    input: &Input,
    (n, k): (usize, usize),
    products: [(&Linear, &mut [f32]); N],
) {
    if let Some(inputs) = cx.inputs {
        for (linear, _) in &products {
            inputs(ProductInput { weights: linear.mat().bytes(), input: &input.h[..n * k], columns: k });
        }
    }
    let weights = products.each_ref().map(|(linear, _)| *linear);
    let grids = products.map(|(linear, out)| {
        let tile_cols = task_rows(linear.mat().row_bytes(), linear.rows(), cx.pool.threads());
        Grid { out, rows: n, cols: linear.rows(), tile_rows: n, tile_cols }
    });
    cx.pool.tiles(locals, grids, |local, mut tile| {
        if cx.cancelled() {
            return;
        }
        let linear = weights[tile.grid];
        let rows = linear.mat().slice_rows(tile.cols.clone());
        let acts = input.acts(linear.ty().act_format(), n, k);
        cx.kernels.matmul(rows, &acts, &mut tile.out, &mut local.scratch);
        if let Some(scale) = linear.scale {
            (0..n).for_each(|t| cx.kernels.scale(tile.out.row(t), scale));
        }
        if let Some(bias) = &linear.bias {
            for t in 0..n {
                cx.kernels.add(tile.out.row(t), &bias.get()[tile.cols.clone()]);
            }
        }
    });
}

/// Rows of weights per task, where a row takes `row_bytes`.
pub(crate) fn task_rows(row_bytes: usize, rows: usize, threads: usize) -> usize {
    let by_bytes = TASK_BYTES / row_bytes.max(1);
    let by_threads = rows / (threads * TASKS_PER_THREAD);
    by_bytes.min(by_threads).next_multiple_of(ROW_UNIT).max(ROW_UNIT)
}

/// The formats that `linears` need their shared input in.
pub(crate) fn formats<'a>(linears: impl IntoIterator<Item = &'a Linear>) -> Formats {
    Formats::of(linears.into_iter().map(|l| l.ty().act_format()))
}
