//! One step: screen all rows, then compute those that can still be among the best.

use super::{Best, MAX_GROUPS, Screen, Which};
use crate::model::activations::{Input, Local, QuantBuf};
use crate::model::decoder::Context;
use crate::model::weights::Linear;
use crate::quant::ActFormat;
use crate::tensor::{Acts, Stripe};
use crate::threads::Grid;

/// Rows of the head per task.
const TILE: usize = 512;
/// Numbers per tile: `[TILE]` screened logits, `[TILE]` upper bounds of the true ones, and the largest of either.
const TILE_LEN: usize = 2 * TILE + 16;
/// Rows per task when rows here and there are computed.
const RUN: usize = 16;
/// Most rows that are computed to find out how good the best are.
const PICKS: usize = 1024;
/// If more than one in this many rows can be among the best, the whole head is computed.
const ONE_IN: usize = 8;
/// Columns of the rotated activations per task.
const ROTATED: usize = 64;
/// More than the rounding of the few operations on a bound.
const UP: f64 = 1.0 + 1e-5;

/// The sizes that the buffers follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) rows: usize,
    /// Of the table.
    pub(crate) columns: usize,
}

impl Room {
    fn tiles(self) -> usize {
        self.rows.div_ceil(TILE)
    }

    fn candidates(self) -> usize {
        (self.rows / ONE_IN).max(PICKS)
    }

    /// Bytes of a [`ScreenBuf`].
    pub(crate) fn bytes(self) -> usize {
        // Activations are never wider than in blocks of 32.
        let input = QuantBuf::row_bytes(ActFormat::Q8x32, self.columns);
        (self.tiles() * TILE_LEN + 3 * self.columns) * 4 + self.candidates() * 8 + 2 * PICKS * 8 + input
    }
}

/// What a step works in. Allocated once.
#[derive(Debug)]
pub(crate) struct ScreenBuf {
    /// `[width]`: the activations as the head sees them.
    acts: Vec<f32>,
    /// `[columns]`: the same in the basis, the first columns once more behind the others.
    rotated: Vec<f32>,
    /// `[columns]`: what quantising left over.
    rest: Vec<f32>,
    /// One row of `[columns]`.
    input: QuantBuf,
    /// `[tiles, TILE_LEN]`.
    tiles: Vec<f32>,
    /// Screened logits and rows; capacity `2 * PICKS`.
    picks: Vec<(f32, u32)>,
    /// Rows to compute.
    rows: Vec<u32>,
    /// Their logits, `[candidates]`.
    scores: Vec<f32>,
}

impl ScreenBuf {
    pub(crate) fn new(screen: &Screen) -> Self {
        let room = screen.room();
        let zeros = |n: usize| vec![0.0; n];
        Self {
            acts: zeros(screen.basis.cols()),
            rotated: zeros(room.columns),
            rest: zeros(room.columns),
            input: QuantBuf::new(screen.table.ty().act_format(), 1, room.columns),
            tiles: zeros(room.tiles() * TILE_LEN),
            picks: Vec::with_capacity(2 * PICKS),
            rows: Vec::with_capacity(room.candidates()),
            scores: zeros(room.candidates()),
        }
    }
}

/// What the bounds of a step are multiplied with: one number per group, and two for the rows' lengths.
type Factors = [f32; MAX_GROUPS + 2];

impl Screen {
    /// Computes the `best` logits of the one row in `input`, with `head`, and sets the others to -Inf. Says how many rows
    /// were computed; `None` if the table cannot tell (then `logits` hold nothing of use).
    ///
    /// `scale` is what the logits will be multiplied with; above 0.
    pub(crate) fn run(
        &self,
        cx: &Context<'_>,
        (input, locals, buf): (&Input, &mut [Local], &mut ScreenBuf),
        (head, scale): (&Linear, f32),
        logits: &mut [f32],
        best: &Best<'_>,
    ) -> Option<usize> {
        let wanted = match best.which {
            Which::Top(n) => n,
            Which::Within(_) => 1,
        };
        let mut named = 0;
        (best.named)(&mut |_| named += 1);
        let picks = wanted.checked_add(named).filter(|&n| 0 < wanted && n <= PICKS && n < best.rows)?;
        let factors = self.rotate(cx, input, head, locals, buf)?;
        self.screen(cx, locals, buf, &factors, best.rows);

        // The true logits of the rows that look best: at least `wanted` of them are not named.
        pick(&buf.tiles, &mut buf.picks, picks)?;
        buf.rows.clear();
        buf.rows.extend(buf.picks.iter().map(|p| p.1));
        buf.rows.sort_unstable();
        score(cx, locals, input, head, &buf.rows, &mut buf.scores);
        buf.picks.clear();
        buf.picks.extend(buf.scores.iter().copied().zip(buf.rows.iter().copied()));
        (best.named)(&mut |row| {
            buf.picks.iter_mut().filter(|p| p.1 == row).for_each(|p| p.0 = f32::NEG_INFINITY);
        });
        buf.picks.select_nth_unstable_by(wanted - 1, |a, b| b.0.total_cmp(&a.0));
        let threshold = threshold(best.which, buf.picks[wanted - 1].0, scale);
        if !threshold.is_finite() {
            return None;
        }

        // Every row that may reach the worst of these.
        let rows = best.rows;
        (best.named)(&mut |row| {
            if (row as usize) < rows {
                let (tile, at) = (row as usize / TILE * TILE_LEN, row as usize % TILE);
                buf.tiles[tile + TILE + at] = f32::INFINITY;
                buf.tiles[tile + 2 * TILE + 1] = f32::INFINITY;
            }
        });
        collect(&buf.tiles, threshold, &mut buf.rows, buf.scores.len())?;
        score(cx, locals, input, head, &buf.rows, &mut buf.scores);
        logits.fill(f32::NEG_INFINITY);
        for (&row, &score) in buf.rows.iter().zip(&buf.scores) {
            logits[row as usize] = score;
        }
        Some(buf.rows.len())
    }

    /// The activations in the basis, quantised for the bands, and what bounds are multiplied with; `None` if they are no
    /// numbers.
    fn rotate(
        &self,
        cx: &Context<'_>,
        input: &Input,
        head: &Linear,
        locals: &mut [Local],
        buf: &mut ScreenBuf,
    ) -> Option<Factors> {
        let ScreenBuf { acts, rotated, rest, input: quantised, .. } = buf;
        let width = acts.len();
        input.dequantize(head.ty().act_format(), acts);
        let grid =
            Grid { out: &mut rotated[..width], rows: 1, cols: width, tile_rows: 1, tile_cols: ROTATED };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            let rows = self.basis.mat().slice_rows(tile.cols.clone());
            let acts = Acts::F32 { x: acts, n: 1, k: width };
            cx.kernels.matmul(rows, &acts, &mut tile.out, &mut local.scratch);
        });
        let (once, again) = rotated.split_at_mut(width);
        again.copy_from_slice(&once[..self.twice]);
        quantised.quantize_row(cx.kernels, 0, rotated);
        rest.copy_from_slice(rotated);
        quantised.subtract_row(0, rest);
        let (lost_first, lost) =
            (square(&rest[..self.twice]).sqrt(), square(&rest[self.twice..width]).sqrt());
        let mut factors = [0.0; MAX_GROUPS + 2];
        let mut from = 0;
        for (factor, columns) in factors.iter_mut().zip(&self.groups) {
            *factor = (square(&rotated[from..from + columns]).sqrt() * UP) as f32;
            from += columns;
        }
        let length = square(acts).sqrt();
        factors[self.groups.len()] = (lost_first * UP) as f32;
        factors[self.groups.len() + 1] = ((lost + self.slack * length) * UP) as f32;
        factors.iter().all(|f| f.is_finite()).then_some(factors)
    }

    /// Fills the tiles.
    fn screen(
        &self,
        cx: &Context<'_>,
        locals: &mut [Local],
        buf: &mut ScreenBuf,
        factors: &Factors,
        wanted: usize,
    ) {
        let (total, bound) = (self.table.rows(), self.bound.get());
        let ScreenBuf { input, tiles, .. } = buf;
        let acts = input.acts(1, self.table.cols());
        let rows = tiles.len() / TILE_LEN;
        let grid = Grid { out: tiles, rows, cols: TILE_LEN, tile_rows: 1, tile_cols: TILE_LEN };
        cx.pool.tiles(locals, [grid], |local, mut tile| {
            if cx.cancelled() {
                return;
            }
            let first = tile.rows.start * TILE;
            let n = TILE.min(total - first);
            let (screened, rest) = tile.out.row(0).split_at_mut(TILE);
            let (upper, largest) = rest.split_at_mut(TILE);
            let weights = self.table.mat().slice_rows(first..first + n);
            let mut out = Stripe::whole(&mut screened[..n], 1, n);
            cx.kernels.matmul(weights, &acts, &mut out, &mut local.scratch);
            upper[..n].copy_from_slice(&screened[..n]);
            let mut part = [0.0; TILE];
            let kinds = bound.chunks_exact(total).zip(factors);
            for (bound, &factor) in kinds {
                let part = &mut part[..n];
                cx.kernels.from_f16(&bound[first..first + n], part);
                upper.iter_mut().zip(&*part).for_each(|(u, b)| *u += b * factor);
            }
            let n = n.min(wanted.saturating_sub(first));
            screened[n..].fill(f32::NEG_INFINITY);
            upper[n..].fill(f32::NEG_INFINITY);
            largest[0] = largest_or_nan(screened);
            largest[1] = largest_or_nan(upper);
        });
    }
}

fn square(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// The largest, or NaN if one is NaN.
fn largest_or_nan(x: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; 16];
    let mut nan = [false; 16];
    for chunk in x.as_chunks::<16>().0 {
        for i in 0..16 {
            most[i] = if chunk[i] > most[i] { chunk[i] } else { most[i] };
            nan[i] |= chunk[i].is_nan();
        }
    }
    if nan.contains(&true) { f32::NAN } else { most.into_iter().fold(f32::NEG_INFINITY, f32::max) }
}

/// The `n` rows with the largest screened logits; `None` if one is not a number.
fn pick(tiles: &[f32], picks: &mut Vec<(f32, u32)>, n: usize) -> Option<()> {
    let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let mut floor = f32::NEG_INFINITY;
    picks.clear();
    for (tile, first) in tiles.chunks_exact(TILE_LEN).zip((0u32..).step_by(TILE)) {
        let largest = tile[2 * TILE];
        if largest.is_nan() {
            return None;
        }
        if largest <= floor {
            continue;
        }
        for (&logit, row) in tile[..TILE].iter().zip(first..) {
            if logit > floor {
                picks.push((logit, row));
                if picks.len() == 2 * PICKS {
                    picks.select_nth_unstable_by(n - 1, order);
                    picks.truncate(n);
                    floor = picks[n - 1].0;
                }
            }
        }
        if picks.len() >= 2 * n {
            picks.select_nth_unstable_by(n - 1, order);
            picks.truncate(n);
            floor = picks[n - 1].0;
        }
    }
    (picks.len() >= n).then(|| {
        picks.select_nth_unstable_by(n - 1, order);
        picks.truncate(n);
    })
}

/// The smallest logit, before scaling, that can matter when the worst of the wanted ones is at least `worst`.
fn threshold(which: Which, worst: f32, scale: f32) -> f32 {
    let (worst, scale) = (f64::from(worst), f64::from(scale));
    let least = match which {
        Which::Top(_) => worst,
        Which::Within(distance) => worst - f64::from(distance) / scale,
    };
    // Rounding when logits are scaled makes equal what was not, and the distance is taken in f32. Without either, this
    // costs a few rows.
    let slack = 1e-6 * (least.abs() + worst.abs());
    (least - slack) as f32
}

/// The rows that can reach `threshold`, in order; `None` if there are more than `most`.
fn collect(tiles: &[f32], threshold: f32, rows: &mut Vec<u32>, most: usize) -> Option<()> {
    rows.clear();
    for (tile, first) in tiles.chunks_exact(TILE_LEN).zip((0u32..).step_by(TILE)) {
        let largest = tile[2 * TILE + 1];
        if largest.is_nan() {
            return None;
        }
        if largest < threshold {
            continue;
        }
        for (&upper, row) in tile[TILE..2 * TILE].iter().zip(first..) {
            if upper >= threshold {
                if rows.len() == most {
                    return None;
                }
                rows.push(row);
            }
        }
    }
    Some(())
}

/// `scores[i] = ` the true logit of row `rows[i]`. `rows` ascend.
fn score(
    cx: &Context<'_>,
    locals: &mut [Local],
    input: &Input,
    head: &Linear,
    rows: &[u32],
    scores: &mut [f32],
) {
    let grid =
        Grid { out: &mut scores[..rows.len()], rows: 1, cols: rows.len(), tile_rows: 1, tile_cols: RUN };
    let mat = head.mat();
    cx.pool.tiles(locals, [grid], |local, mut tile| {
        if cx.cancelled() {
            return;
        }
        let acts = input.acts(head.ty().act_format(), 1, head.cols());
        let (rows, mut out) = (&rows[tile.cols.clone()], tile.out.row(0));
        // Neighbours together.
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let (part, rest) = out.split_at_mut(run.len());
            out = rest;
            let first = run[0] as usize;
            let weights = mat.slice_rows(first..first + run.len());
            cx.kernels.matmul(weights, &acts, &mut Stripe::whole(part, 1, run.len()), &mut local.scratch);
        }
    });
}
