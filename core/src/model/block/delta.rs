//! Gated delta-net attention (Yang et al., "Gated Delta Networks", 2024) as a block: a state of fixed size that each
//! position decays, corrects and reads, instead of keys and values of all positions.
//!
//! Queries, keys and values first pass a causal convolution over the last few positions, channel by channel. Value heads
//! go round the key heads in GGUF files, and lie key head by key head in checkpoints ([`DeltaSpec::key_head`]).

use super::linear;
use crate::kernels::Activation;
use crate::model::activations::Activations;
use crate::model::decoder::Context;
use crate::model::spec::DeltaSpec;
use crate::model::weights::Delta as Weights;
use crate::tensor::Rows;

/// Added to the squared length of queries and keys, which become unit vectors.
const LENGTH_EPS: f32 = 1e-6;

/// One layer's attention for a batch of `n` positions.
pub(crate) struct Delta<'a> {
    pub(crate) spec: &'a DeltaSpec,
    pub(crate) weights: &'a Weights,
    /// Of the norm of what heads give.
    pub(crate) eps: f32,
    pub(crate) n: usize,
}

impl Delta<'_> {
    /// `out = out(attention(input))`; the input has rows of `width`. `state` is the one before the batch, and room for
    /// the one after it: `[conv - 1, channels]` inputs of the convolution and `[value_heads, key_dim, value_dim]`.
    pub(crate) fn run(
        &self,
        cx: &Context<'_>,
        acts: &mut Activations,
        state: (&[f32], &mut [f32]),
        width: usize,
    ) {
        let (kernels, s, w, n) = (cx.kernels, self.spec, self.weights, self.n);
        let (channels, values, heads, key_dim) = (s.channels(), s.value_row(), s.value_heads, s.key_dim);
        let (seen, before) = state.0.split_at(s.seen());
        let (seen_after, after) = state.1.split_at_mut(s.seen());
        let Activations { out, input, q, k, v, mixed, locals, .. } = acts;
        let (raw, gate) = (&mut q[..n * channels], &mut k[..n * values]);
        let (decay, rate) = v[..2 * n * heads].split_at_mut(n * heads);

        let products =
            [(&w.qkv, &mut *raw), (&w.gate, &mut *gate), (&w.decay, &mut *decay), (&w.rate, &mut *rate)];
        linear::products(cx, locals, input, (n, width), products);

        // Per position: convolve, scale queries and keys to length 1, make gates of numbers.
        let row = |t: usize| match t.checked_sub(s.conv - 1) {
            Some(t) => &raw[t * channels..(t + 1) * channels],
            None => &seen[t * channels..(t + 1) * channels],
        };
        let parts = (Rows::new(mixed, channels), Rows::new(decay, heads), Rows::new(rate, heads));
        cx.pool.rows(locals, n, parts, |local, t, (mixed, decay, rate)| {
            mixed.fill(0.0);
            for (tap, factors) in w.conv.get().chunks_exact(channels).enumerate() {
                for ((y, x), factor) in mixed.iter_mut().zip(row(t + tap)).zip(factors) {
                    *y += x * factor;
                }
            }
            let ones = &mut local.scratch.f32s()[..channels];
            ones.fill(1.0);
            kernels.act_mul(mixed, ones, Activation::Silu);
            let (queries, keys) = mixed[..2 * s.key_row()].split_at_mut(s.key_row());
            for (rows, factors) in [(queries, &w.q_length), (keys, &w.k_length)] {
                let heads = rows.chunks_exact_mut(key_dim);
                heads.for_each(|h| kernels.rms_norm_inplace(h, factors, LENGTH_EPS / key_dim as f32));
            }
            for ((x, a), bias) in decay.iter_mut().zip(w.a.get()).zip(w.decay_bias.get()) {
                *x = libm::expf(a * softplus(*x + bias));
            }
            rate.iter_mut().for_each(|x| *x = 1.0 / (1.0 + libm::expf(-*x)));
        });
        for (i, to) in seen_after.chunks_exact_mut(channels).enumerate() {
            to.copy_from_slice(row(n + i));
        }

        // Per head: all positions in turn. Results are [heads, n, value_dim].
        let (mixed, head_state) = (&mixed[..n * channels], key_dim * s.value_dim);
        let parts = (Rows::new(raw, n * s.value_dim), Rows::new(after, head_state));
        cx.pool.rows(locals, heads, parts, |_, head, (results, state)| {
            if cx.cancelled() {
                return;
            }
            state.copy_from_slice(&before[head * head_state..(head + 1) * head_state]);
            let at = s.key_head(head) * key_dim;
            for (t, result) in results.chunks_exact_mut(s.value_dim).enumerate() {
                let row = &mixed[t * channels..(t + 1) * channels];
                let (q, k) = (&row[at..at + key_dim], &row[s.key_row() + at..][..key_dim]);
                let v = &row[2 * s.key_row() + head * s.value_dim..][..s.value_dim];
                let gates = (decay[t * heads + head], rate[t * heads + head]);
                kernels.delta_step(state, (q, k, v), gates, result);
            }
        });

        // input = norm(results) * silu(gate), quantised for the output product.
        let results = &q[..n * values];
        let (gates, formats) = (Rows::new(gate, values), linear::formats([&w.out]));
        input.fill((kernels, cx.pool, locals), (n, values), formats, gates, |t, gate, h| {
            for (head, h) in h.chunks_exact_mut(s.value_dim).enumerate() {
                h.copy_from_slice(&results[(head * n + t) * s.value_dim..][..s.value_dim]);
                kernels.rms_norm_inplace(h, w.norm.get(), self.eps);
            }
            kernels.act_mul(gate, h, Activation::Silu);
            h.copy_from_slice(gate);
        });
        linear::products(cx, locals, input, (n, values), [(&w.out, &mut out[..n * width])]);
    }
}

/// `ln(1 + exp(x))`.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { libm::log1pf(libm::expf(x)) }
}
