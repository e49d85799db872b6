//! A mixture of experts.
//!
//! A token at one of its experts is a slot. Slots lie in the order of the experts, so that the tokens of one expert
//! are multiplied together; a product's tasks are columns, each walking all experts. Whatever the batch, a token's
//! result is the sum over its experts in the order of their numbers.

mod route;

use std::ops::Range;

use super::{ffn, linear};
use crate::model::activations::{Activations, Input, Local};
use crate::model::decoder::{Context, ProductInput};
use crate::model::slots::{Slots, TILE};
use crate::model::spec::{ExpertsSpec, Weighted};
use crate::model::weights::{Experts, Stack};
use crate::tensor::{Rows, Stripe};
use crate::threads::Grid;

/// `out = sum of experts(input) + shared(input)` for `n` rows of `width`.
pub(crate) fn run(
    cx: &Context<'_>,
    acts: &mut Activations,
    (spec, eps): (&ExpertsSpec, f32),
    w: &Experts,
    (n, width): (usize, usize),
) {
    let mut slots = acts.slots.take().expect("planned for a model with experts");
    choose(cx, acts, &mut slots, (spec, eps), w, (n, width));
    if cx.stream_experts {
        for (expert, _) in &slots.bands {
            w.stacks().iter().for_each(|stack| stack.advise(*expert));
        }
    }
    inner(cx, acts, &mut slots, (spec, eps), w, (n, width));
    if let Some(shared) = &w.shared {
        let hidden = shared.block.gate.rows();
        if let Some(gate) = &shared.gate {
            let products = [(gate, &mut slots.shared[..n])];
            linear::products(cx, &mut acts.locals, &acts.input, (n, width), products);
        }
        ffn::gated(cx, acts, &shared.block, (spec.act, None), (n, width, hidden));
        if shared.gate.is_some() {
            for (out, x) in acts.out.chunks_exact_mut(width).zip(&slots.shared[..n]) {
                cx.kernels.scale(out, route::sigmoid(*x));
            }
        }
    }
    let Activations { out, input, locals, .. } = acts;
    match &w.norms {
        None => {
            let out = &mut out[..n * width];
            if w.shared.is_none() {
                out.fill(0.0);
            }
            outer(cx, locals, &slots, spec, w, (n, width), out);
        }
        // What the shared block read is not needed any more.
        Some(norms) => {
            let sum = &mut input.h[..n * width];
            sum.fill(0.0);
            outer(cx, locals, &slots, spec, w, (n, width), sum);
            cx.pool.rows(locals, n, (Rows::new(out, width), Rows::new(sum, width)), |_, _, (out, sum)| {
                cx.kernels.rms_norm_inplace(sum, norms.after.get(), eps);
                cx.kernels.rms_norm_inplace(out, norms.after_shared.get(), eps);
                cx.kernels.add(out, sum);
            });
        }
    }
    acts.slots = Some(slots);
}

/// Who goes where: fills the slots' order.
fn choose(
    cx: &Context<'_>,
    acts: &mut Activations,
    slots: &mut Slots,
    (spec, eps): (&ExpertsSpec, f32),
    w: &Experts,
    (n, width): (usize, usize),
) {
    let Activations { x, input, locals, .. } = acts;
    let input = match &w.norms {
        None => &*input,
        Some(norms) => {
            let (formats, x) = (linear::formats([&w.router]), Rows::new(x, width));
            slots.input.fill((cx.kernels, cx.pool, locals), (n, width), formats, x, |_, x, h| {
                cx.kernels.rms_norm(h, x, norms.router.get(), eps);
                cx.kernels.scale(h, 1.0 / (width as f32).sqrt());
            });
            &slots.input
        }
    };
    let products = [(&w.router, &mut slots.scores[..n * spec.count])];
    linear::products(cx, locals, input, (n, width), products);
    let correction = w.correction.as_ref().map(|c| c.get());
    let parts = (
        Rows::new(&mut slots.scores, spec.count),
        Rows::new(&mut slots.chosen, spec.used),
        Rows::new(&mut slots.chosen_weights, spec.used),
    );
    cx.pool.rows(locals, n, parts, |_, _, (scores, chosen, weights)| {
        route::route(&spec.router, correction, scores, chosen, weights);
        if let Some(scale) = &w.scale {
            chosen.iter().zip(weights).for_each(|(&e, weight)| *weight *= scale.get()[e as usize]);
        }
    });
    slots.order(n, spec.count, spec.used);
}

/// `act(gate(input)) * up(input)` of every slot, left as the slots' input.
fn inner(
    cx: &Context<'_>,
    acts: &mut Activations,
    slots: &mut Slots,
    (spec, eps): (&ExpertsSpec, f32),
    w: &Experts,
    (n, width): (usize, usize),
) {
    let (hidden, all) = (spec.hidden, n * spec.used);
    let Activations { x, input: from, locals, .. } = acts;
    let Slots { input, gate, up, tokens, weights, bands, .. } = slots;
    let formats = linear::formats([w.gate.whole(), w.up.whole()]);
    input.fill((cx.kernels, cx.pool, locals), (all, width), formats, (), |slot, (), h| {
        let token = tokens[slot] as usize * width;
        match &w.norms {
            None => h.copy_from_slice(&from.h[token..token + width]),
            Some(norms) => cx.kernels.rms_norm(h, &x[token..token + width], norms.before.get(), eps),
        }
        if spec.weighted == Weighted::Input {
            cx.kernels.scale(h, weights[slot]);
        }
    });

    for stack in [&w.gate, &w.up] {
        show(cx, stack, input, width, bands);
    }
    let (gate, up) = (&mut gate[..all * hidden], &mut up[..all * hidden]);
    let grid = |stack: &Stack, out| {
        let tile_cols = task_rows(cx, stack, bands.len());
        Grid { out, rows: all, cols: hidden, tile_rows: all, tile_cols }
    };
    cx.pool.tiles(locals, [grid(&w.gate, &mut *gate), grid(&w.up, &mut *up)], |local, mut tile| {
        let stack = [&w.gate, &w.up][tile.grid];
        let acts = input.acts(stack.ty().act_format(), all, width);
        for (expert, range) in bands.iter() {
            if cx.cancelled() {
                return;
            }
            let (acts, mut out) = (acts.tokens(range.clone()), tile.out.rows(range.clone()));
            cx.kernels.matmul(stack.mat(*expert, tile.cols.clone()), &acts, &mut out, &mut local.scratch);
            if let Some(scale) = stack.scale(*expert) {
                (0..out.n()).for_each(|t| cx.kernels.scale(out.row(t), scale));
            }
            if let Some(bias) = stack.bias(*expert, tile.cols.clone()) {
                (0..out.n()).for_each(|t| cx.kernels.add(out.row(t), bias));
            }
        }
    });

    let parts = (Rows::new(gate, hidden), Rows::new(up, hidden));
    let formats = linear::formats([w.down.whole()]);
    input.fill((cx.kernels, cx.pool, locals), (all, hidden), formats, parts, |_, (gate, up), h| {
        h.copy_from_slice(gate);
        cx.kernels.act_mul(h, up, spec.act);
    });
    show(cx, &w.down, input, hidden, bands);
}

/// Shows what each expert's product reads to whoever measures that.
fn show(cx: &Context<'_>, stack: &Stack, input: &Input, columns: usize, bands: &[(usize, Range<usize>)]) {
    let Some(inputs) = cx.inputs else { return };
    for (expert, slots) in bands {
        let weights = stack.mat(*expert, 0..stack.rows()).bytes();
        inputs(ProductInput {
            weights,
            input: &input.h[slots.start * columns..slots.end * columns],
            columns,
        });
    }
}

/// Adds `down` of every slot to its token's row of `out`, `[n, width]`.
fn outer(
    cx: &Context<'_>,
    locals: &mut [Local],
    slots: &Slots,
    spec: &ExpertsSpec,
    w: &Experts,
    (n, width): (usize, usize),
    out: &mut [f32],
) {
    let Slots { input, tokens, weights, bands, .. } = slots;
    let input = input.acts(w.down.ty().act_format(), n * spec.used, spec.hidden);
    let tile_cols = task_rows(cx, &w.down, bands.len());
    let grid = Grid { out, rows: n, cols: width, tile_rows: n, tile_cols };
    cx.pool.tiles(locals, [grid], |local, mut tile| {
        let cols = tile.cols.clone();
        for (expert, range) in bands.iter() {
            if cx.cancelled() {
                return;
            }
            let part = &mut local.row[..range.len() * cols.len()];
            let mut part = Stripe::whole(part, range.len(), cols.len());
            let rows = w.down.mat(*expert, cols.clone());
            cx.kernels.matmul(rows, &input.tokens(range.clone()), &mut part, &mut local.scratch);
            let bias = w.down.bias(*expert, cols.clone());
            let scale = w.down.scale(*expert);
            for (i, slot) in range.clone().enumerate() {
                let part = part.row(i);
                if let Some(scale) = scale {
                    cx.kernels.scale(part, scale);
                }
                if let Some(bias) = bias {
                    cx.kernels.add(part, bias);
                }
                if spec.weighted == Weighted::Output {
                    cx.kernels.scale(part, weights[slot]);
                }
                cx.kernels.add(tile.out.row(tokens[slot] as usize), part);
            }
        }
    });
}

/// Rows of each expert's matrix per task.
fn task_rows(cx: &Context<'_>, stack: &Stack, experts: usize) -> usize {
    linear::task_rows(stack.row_bytes() * experts, stack.rows(), cx.pool.threads()).min(TILE)
}
