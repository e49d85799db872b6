//! Alternating updates: several residual streams of which the blocks of a layer see one (Baykal et al. 2023), and the
//! low-rank path beside attention that comes with them (Gemma 3n).
//!
//! Before a layer every stream is predicted from all of them; behind it they are corrected by how far the first one, which
//! the blocks have seen, came off its prediction. What mixes the streams are coefficients that a small router gives for
//! each token.

use super::linear;
use super::residual::{Entrance, Join};
use crate::kernels::Kernels;
use crate::model::activations::{Activations, Input};
use crate::model::decoder::Context;
use crate::model::spec::LayerSpec;
use crate::model::weights::{AltUp, AltUpEnds, Linear, Norm};
use crate::tensor::Rows;

/// Least mean square that a new stream is divided by the root of.
const LEAST: f32 = 1e-5;

/// The buffers of a session; `S` is the number of streams.
#[derive(Debug)]
pub(crate) struct Streams {
    /// `[B, S - 1, width]`: all but the first, which is the usual residual stream.
    others: Vec<f32>,
    /// `[B, width]`: the first one's prediction.
    predicted: Vec<f32>,
    /// `[B, width]`: the low-rank path's output.
    low_rank: Vec<f32>,
    /// `[B, rank]`.
    narrow: Vec<f32>,
    /// Rows of `rank`.
    input: Input,
    /// `[B, S]`: what the router gives.
    routed: Vec<f32>,
}

/// The numbers that the sizes follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) streams: usize,
    pub(crate) rank: usize,
    pub(crate) width: usize,
}

impl Room {
    /// Bytes for each token of a batch; `None` if that overflows.
    pub(crate) fn row_bytes(self, formats: (usize, usize)) -> Option<usize> {
        let floats = (self.streams + 1).checked_mul(self.width)?.checked_add(self.rank + self.streams)?;
        floats.checked_mul(4)?.checked_add(Input::row_bytes(self.rank, self.narrowed(formats)))
    }

    fn narrowed(self, (q8x32, q8x256): (usize, usize)) -> (usize, usize) {
        (q8x32.min(self.rank), q8x256.min(self.rank))
    }
}

impl Streams {
    pub(crate) fn new(room: Room, batch: usize, formats: (usize, usize)) -> Self {
        let zeros = |row: usize| vec![0.0; batch * row];
        Self {
            others: zeros((room.streams - 1) * room.width),
            predicted: zeros(room.width),
            low_rank: zeros(room.width),
            narrow: zeros(room.rank),
            input: Input::new(batch, room.rank, room.narrowed(formats)),
            routed: zeros(room.streams),
        }
    }
}

/// Makes the other streams from the first: `proj(x)`, as large as `x` is.
pub(crate) fn open(cx: &Context<'_>, acts: &mut Activations, ends: &AltUpEnds, (n, width): (usize, usize)) {
    let Activations { x, out, input, streams, locals, .. } = acts;
    let streams = streams.as_mut().expect("planned for a model with streams");
    let formats = linear::formats(&ends.open);
    input.fill((cx.kernels, cx.pool, locals), (n, width), formats, Rows::new(x, width), |_, x, h| {
        h.copy_from_slice(x);
    });
    for (i, proj) in ends.open.iter().enumerate() {
        linear::products(cx, locals, input, (n, width), [(proj, &mut out[..n * width])]);
        let all = ends.open.len() * width;
        let parts = (Rows::new(x, width), Rows::new(out, width), Rows::new(&mut streams.others, all));
        cx.pool.rows(locals, n, parts, |_, _, (x, y, others)| {
            resize(cx.kernels, y, mean_square(x));
            others[i * width..(i + 1) * width].copy_from_slice(y);
        });
    }
}

/// Makes one of the streams of token `t`: the mean of the first and of `proj` of each other one, as large as the first is.
pub(crate) fn close(cx: &Context<'_>, acts: &mut Activations, ends: &AltUpEnds, t: usize, width: usize) {
    let Activations { x, out, input, streams, locals, .. } = acts;
    let streams = streams.as_mut().expect("planned for a model with streams");
    let x = &mut x[t * width..(t + 1) * width];
    let size = mean_square(x);
    for (i, proj) in ends.close.iter().enumerate() {
        let at = (t * ends.close.len() + i) * width;
        let other = Rows::new(&mut streams.others[at..at + width], width);
        let formats = linear::formats([proj]);
        input.fill((cx.kernels, cx.pool, locals), (1, width), formats, other, |_, other, h| {
            h.copy_from_slice(other);
        });
        let y = &mut out[..width];
        linear::products(cx, locals, input, (1, width), [(proj, &mut *y)]);
        resize(cx.kernels, y, size);
        cx.kernels.add(x, y);
    }
    cx.kernels.scale(x, 1.0 / (ends.close.len() + 1) as f32);
}

/// Predicts every stream: `x[k] += sum over j of coefficient[k][j] * x[j]`.
pub(crate) fn predict(cx: &Context<'_>, acts: &mut Activations, w: &AltUp, shape: (usize, usize)) {
    let ((n, width), s) = (shape, w.router.rows());
    route(cx, acts, w, None, shape);
    let Activations { x, streams, locals, .. } = acts;
    let Streams { others, predicted, routed, .. } = streams.as_mut().expect("routed");
    let all = (s - 1) * width;
    let parts =
        (Rows::new(x, width), Rows::new(others, all), Rows::new(predicted, width), Rows::new(routed, s));
    cx.pool.rows(locals, n, parts, |local, _, (x, others, predicted, routed)| {
        let new = &mut local.row[..s * width];
        for (k, new) in new.chunks_exact_mut(width).enumerate() {
            new.copy_from_slice(if k == 0 { x } else { &others[(k - 1) * width..k * width] });
            for j in 0..s {
                let row = &w.predict.get()[(k * s + j) * s..(k * s + j + 1) * s];
                let coefficient = dot(row, routed);
                let from = if j == 0 { &*x } else { &others[(j - 1) * width..j * width] };
                new.iter_mut().zip(from).for_each(|(new, x)| *new += coefficient * x);
            }
        }
        x.copy_from_slice(&new[..width]);
        predicted.copy_from_slice(x);
        others.copy_from_slice(&new[width..]);
    });
}

/// The low-rank path: keeps `input + norm(right(left(input)))`.
pub(crate) fn low_rank(cx: &Context<'_>, acts: &mut Activations, w: &AltUp, shape: (usize, usize), eps: f32) {
    let ((n, width), rank) = (shape, w.left.rows());
    let Activations { out, input: from, streams, locals, .. } = acts;
    let Streams { low_rank, narrow, input, .. } = streams.as_mut().expect("predicted");
    linear::products(cx, locals, from, shape, [(&w.left, &mut narrow[..n * rank])]);
    let formats = linear::formats([&w.right]);
    input.fill((cx.kernels, cx.pool, locals), (n, rank), formats, Rows::new(narrow, rank), |_, x, h| {
        h.copy_from_slice(x);
    });
    linear::products(cx, locals, input, (n, rank), [(&w.right, &mut out[..n * width])]);
    let parts = (Rows::new(out, width), Rows::new(&mut from.h, width), Rows::new(low_rank, width));
    cx.pool.rows(locals, n, parts, |_, _, (out, h, low_rank)| {
        cx.kernels.rms_norm_inplace(out, w.low_rank_norm.get(), eps);
        low_rank.copy_from_slice(h);
        cx.kernels.add(low_rank, out);
    });
}

/// Adds the low-rank path's output to the attention's, and says how both join the stream.
pub(crate) fn join<'a>(
    cx: &Context<'_>,
    acts: &mut Activations,
    spec: &LayerSpec,
    post: Option<&Norm>,
    (n, width): (usize, usize),
) -> Join<'a> {
    let Activations { out, streams, locals, .. } = acts;
    let low_rank = &mut streams.as_mut().expect("predicted").low_rank;
    cx.pool.rows(locals, n, (Rows::new(out, width), Rows::new(low_rank, width)), |_, _, (out, low_rank)| {
        if let Some(post) = post {
            post.apply_inplace(cx.kernels, out);
        }
        cx.kernels.add(out, low_rank);
    });
    Join::new(spec, None).then_scale(std::f32::consts::FRAC_1_SQRT_2)
}

/// Corrects every stream, `x[i] = predicted[i] + (coefficient[i] + 1) * (x - predicted[0])`, after `pending` has joined the
/// first; leaves `x[0] * scale` as the input of a product that needs `next`.
pub(crate) fn correct(
    cx: &Context<'_>,
    acts: &mut Activations,
    w: &AltUp,
    pending: Join<'_>,
    next: &Linear,
    shape: (usize, usize),
) {
    let ((n, width), s) = (shape, w.router.rows());
    route(cx, acts, w, Some(pending), shape);
    let Activations { x, input, streams, locals, .. } = acts;
    let Streams { others, predicted, routed, .. } = streams.as_mut().expect("predicted");
    let parts = (
        Rows::new(x, width),
        Rows::new(others, (s - 1) * width),
        Rows::new(predicted, width),
        Rows::new(routed, s),
    );
    let formats = linear::formats([next]);
    input.fill(
        (cx.kernels, cx.pool, locals),
        (n, width),
        formats,
        parts,
        |_, (x, others, old, routed), h| {
            let coefficient = |i: usize| dot(&w.correct.get()[i * s..(i + 1) * s], routed) + 1.0;
            for (i, other) in others.chunks_exact_mut(width).enumerate() {
                let c = coefficient(i + 1);
                other.iter_mut().zip(&*x).zip(&*old).for_each(|((other, x), old)| *other += c * (x - old));
            }
            let c = coefficient(0);
            x.iter_mut().zip(old).for_each(|(x, old)| *x = *old + c * (*x - *old));
            h.iter_mut().zip(x).zip(w.correct_scale.get()).for_each(|((h, x), scale)| *h = *x * scale);
        },
    );
}

/// Adds the norm of a block's output to all streams but the first.
pub(crate) fn spread(cx: &Context<'_>, acts: &mut Activations, norm: &Norm, (n, width): (usize, usize)) {
    let Activations { out, streams, locals, .. } = acts;
    let others = &mut streams.as_mut().expect("predicted").others;
    let all = others.len() / (out.len() / width);
    cx.pool.rows(locals, n, (Rows::new(out, width), Rows::new(others, all)), |_, _, (out, others)| {
        norm.apply_inplace(cx.kernels, out);
        others.chunks_exact_mut(width).for_each(|other| cx.kernels.add(other, out));
    });
}

/// `routed = tanh(router(norm(x)) / width)`, after `pending` has joined the stream.
fn route(
    cx: &Context<'_>,
    acts: &mut Activations,
    w: &AltUp,
    pending: Option<Join<'_>>,
    (n, width): (usize, usize),
) {
    let formats = linear::formats([&w.router]);
    let entrance = Entrance { norm: Some(&w.router_norm), parallel: false, formats };
    entrance.fill(cx, acts, pending, (n, width));
    let Activations { input, streams, locals, .. } = acts;
    let routed = &mut streams.as_mut().expect("planned for a model with streams").routed;
    let routed = &mut routed[..n * w.router.rows()];
    linear::products(cx, locals, input, (n, width), [(&w.router, &mut *routed)]);
    routed.iter_mut().for_each(|x| *x = libm::tanhf(*x / width as f32));
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Multiplies `y` so that its mean square is `size`.
fn resize(kernels: &Kernels, y: &mut [f32], size: f32) {
    let own = mean_square(y).max(LEAST);
    kernels.scale(y, size.sqrt() / own.sqrt());
}

fn mean_square(x: &[f32]) -> f32 {
    let sum: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / x.len() as f64) as f32
}
