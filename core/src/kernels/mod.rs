//! Pure functions on slices: the arithmetic of the runtime, once per instruction set, chosen at run time.
//!
//! Nothing here allocates, spawns, logs or reads the environment, and nothing knows what a layer or a head is called.
//! [`Kernels`] is a table of function pointers that only [`select`] hands out, after it has checked that
//! the processor has the instructions. Its safe methods check lengths and then call.
//!
//! ## One definition, the same bits everywhere
//!
//! - Quantised products follow [`Block::dot`](crate::quant::Block::dot): exact integers inside a block, one fused
//!   multiply-add per term between blocks, in order.
//! - Float reductions run in sixteen lanes (element `i` goes to lane `i % 16`, fused multiply-add in order), and the
//!   lanes are added as a tree: 16 -> 8 -> 4 -> 2 -> 1, lane `i` with lane `i + half`.
//! - `exp` is one polynomial with the same operations in every tier.
//!
//! So the scalar tier is not merely close to the fast ones: it is equal, bit for bit, and the tests say `==`.
//! A batch of tokens gives what the tokens one by one give, and any split of rows over threads gives the same.
#![allow(unsafe_code, reason = "vector intrinsics; tables are selected only after the processor was asked")]

mod coded;
pub(crate) mod generic;
mod scalar;
mod scratch;
mod select;
#[cfg(test)]
mod testing;
pub(crate) mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::quant::{ActFormat, QuantType};
use crate::tensor::{Acts, QMatRef, Stripe};

pub use self::scratch::Scratch;

/// How RoPE pairs the elements of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairing {
    /// Elements `2i` and `2i + 1` (Meta's original order).
    Adjacent,
    /// Elements `i` and `i + dims / 2` (NeoX order).
    Halves,
}

/// The function inside a feed-forward block: on the gate if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// GELU by tanh: `x / (1 + exp(-2u))`, `u = sqrt(2/pi) (x + 0.044715 x^3)`.
    GeluTanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-1.702 x))` of `x = min(gate, 7)`, times 1 more than what it multiplies, which is kept within -7..=7
    /// (gpt-oss).
    ClampedSwish,
    /// GELU as it is defined: `x * P(X <= x)` for a standard normal `X`.
    GeluErf,
}

/// Positions in one chunk of attention: partial results are formed per chunk and merged in order, wherever the
/// chunk was computed, so the result does not depend on how chunks are spread over threads.
pub const ATTN_CHUNK: usize = 256;

/// Positions whose keys lie side by side, element by element, so that one vector holds one element of each.
pub const ATTN_LANES: usize = 16;

/// Elements of a key that share a scale where keys are bytes. A head is padded with zeros to a multiple of it.
pub const KV_BLOCK: usize = 32;

/// Keys or values as a cache holds them.
#[derive(Clone, Copy, Debug)]
pub enum KvRows<'a> {
    /// f16 bits.
    F16(&'a [u16]),
    /// As they are.
    F32(&'a [f32]),
    /// Bytes in -127..=127, in tiles of [`ATTN_LANES`] positions and [`KV_BLOCK`] elements (the head padded with zeros),
    /// `[positions / 16][head_dim / 32]` of them, rounded up.
    Q8 {
        /// Keys: a tile is `[8][16 positions][4]`. Values: `[8][32 elements][2 positions]`.
        qs: &'a [i8],
        /// Keys: `[positions / 16][head_dim / 32][16]`. Values, whose scale is for the whole head: `[positions / 16][16]`.
        scales: &'a [f32],
    },
}

impl<'a> KvRows<'a> {
    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            KvRows::F16(x) => x.len(),
            KvRows::F32(x) => x.len(),
            KvRows::Q8 { qs, .. } => qs.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether these are `len` keys (or values) of `head_dim` elements: see [`AttnChunk`].
    fn fits(&self, keys: bool, len: usize, head_dim: usize) -> bool {
        let groups = len.div_ceil(ATTN_LANES);
        match self {
            KvRows::Q8 { qs, scales } => {
                let blocks = head_dim.div_ceil(KV_BLOCK);
                let per_group = if keys { blocks } else { 1 };
                qs.len() == groups * blocks * KV_BLOCK * ATTN_LANES
                    && scales.len() == groups * per_group * ATTN_LANES
            }
            _ if keys => self.len() == groups * ATTN_LANES * head_dim,
            _ => self.len() == len * head_dim,
        }
    }
}

/// One chunk of keys and values met by several queries.
#[derive(Clone, Copy, Debug)]
pub struct AttnChunk<'a> {
    /// `[n_q, head_dim]` queries, already rotated and scaled.
    pub q: &'a [f32],
    /// Elements of a key.
    pub head_dim: usize,
    /// Elements of a value.
    pub value_dim: usize,
    /// Keys, [`ATTN_LANES`] positions side by side: `[len / 16, rounded up][head_dim][16]`; bytes as
    /// [`KvRows::Q8`] says.
    pub k: KvRows<'a>,
    /// Values, of the same kind: `[len][value_dim]`; bytes as [`KvRows::Q8`] says. `None` if they are the first elements of
    /// the keys, which are no bytes then.
    pub v: Option<KvRows<'a>>,
    /// Positions in the chunk, at most [`ATTN_CHUNK`].
    pub len: usize,
    /// `[n_q]`: for each query the positions `start..end` of the chunk that it sees; may be empty.
    pub visible: &'a [(u32, u32)],
    /// The keys that the caller will come with next, if it knows: they may be fetched meanwhile.
    pub next: Option<KvRows<'a>>,
    /// Scores are passed through `cap * tanh(s / cap)` if set.
    pub softcap: Option<f32>,
}

/// Running or partial results of attention for several queries.
#[derive(Debug)]
pub struct AttnState<'a> {
    /// `[n_q, value_dim]`: sum of `exp(score - max) * value`.
    pub acc: &'a mut [f32],
    /// `[n_q]`: largest score; `-inf` if nothing was visible.
    pub max: &'a mut [f32],
    /// `[n_q]`: sum of `exp(score - max)`.
    pub sum: &'a mut [f32],
}

/// A product: `out[t][r] = dot(weights row r, activations t)`. All lengths are checked before a kernel sees it.
pub(crate) type MatmulFn = unsafe fn(QMatRef<'_>, &Acts<'_>, &mut Stripe<'_>, &mut Scratch);

/// Quantises one row: `x [k]` to `qs [k]`, scales and sums.
pub(crate) type QuantizeFn = unsafe fn(&[f32], &mut [i8], &mut [f32], &mut [i16]);

/// One position of the gated delta rule: state, query, key, value, gates, result.
pub(crate) type DeltaStepFn = unsafe fn(&mut [f32], &[f32], &[f32], &[f32], (f32, f32), &mut [f32]);

/// One product per weight type, indexed by [`QuantType`].
#[derive(Clone, Copy)]
pub(crate) struct MatmulTable([MatmulFn; QuantType::COUNT]);

impl MatmulTable {
    /// The same function for every type, to be overlaid by [`with`](Self::with).
    pub(crate) const fn all(f: MatmulFn) -> Self {
        Self([f; QuantType::COUNT])
    }

    /// This table with `f` for type `ty`.
    #[must_use]
    pub(crate) const fn with(mut self, ty: QuantType, f: MatmulFn) -> Self {
        self.0[ty as usize] = f;
        self
    }
}

/// The kernels of one instruction set. A tier fills what it does better and takes the rest from the tier below.
#[derive(Clone, Copy)]
pub struct Kernels {
    name: &'static str,
    /// Which types `matmul` has fast code for (for listings).
    matmul: MatmulTable,
    quantize_q8x32: QuantizeFn,
    quantize_q8x256: QuantizeFn,
    quantize_block: unsafe fn(&[f32], &mut [i8]) -> f32,
    rms_norm: unsafe fn(&mut [f32], &[f32], &[f32], f32),
    rms_norm_inplace: unsafe fn(&mut [f32], &[f32], f32),
    layer_norm: unsafe fn(&mut [f32], &[f32], &[f32], f32),
    layer_norm_inplace: unsafe fn(&mut [f32], &[f32], f32),
    add: unsafe fn(&mut [f32], &[f32]),
    add_scaled: unsafe fn(&mut [f32], &[f32], f32),
    scale: unsafe fn(&mut [f32], f32),
    rope: unsafe fn(&mut [f32], &[f32], RopePairing),
    act: unsafe fn(&mut [f32], Activation),
    act_mul: unsafe fn(&mut [f32], &[f32], Activation),
    delta_step: DeltaStepFn,
    softcap: unsafe fn(&mut [f32], f32),
    to_f16: unsafe fn(&[f32], &mut [u16]),
    from_f16: unsafe fn(&[u16], &mut [f32]),
    attn_chunk: unsafe fn(&AttnChunk<'_>, &mut AttnState<'_>, &mut Scratch),
    attn_merge: unsafe fn(&mut AttnState<'_>, &AttnState<'_>),
    largest: unsafe fn(&[f32]) -> f32,
    weights: unsafe fn(&[f32], f32, f32, &mut [u64]) -> u64,
    expected: unsafe fn(&[f32], f32) -> f64,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernels").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The safe face of the table. Every method panics if lengths do not fit each other: they come from the model's
/// checked specification, never from data.
impl Kernels {
    /// The fastest tier that this processor runs.
    pub fn best() -> &'static Kernels {
        select::best()
    }

    /// The tier called `name`; `None` if there is none or the processor lacks it.
    pub fn by_name(name: &str) -> Option<&'static Kernels> {
        select::by_name(name)
    }

    /// The names of the tiers compiled in, fastest first, and whether this processor runs them.
    pub fn tiers() -> impl Iterator<Item = (&'static str, bool)> {
        select::tiers()
    }

    /// The tier's name, as in `x86_64-avx512-vnni`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `out[t][r] = dot(w row r, acts t)`. `out` is `[acts.n, w.rows]`; `acts` in the format of the weight type.
    pub fn matmul(&self, w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, scratch: &mut Scratch) {
        assert_eq!(w.cols(), acts.k(), "inner dimension");
        assert_eq!((out.n(), out.width()), (acts.n(), w.rows()), "output shape");
        assert_eq!(acts.format(), w.ty().act_format(), "activation format");
        scratch.reserve_check(w.cols());
        // SAFETY: this table was selected after `supported()`; the shapes were checked above.
        unsafe { (self.matmul.0[w.ty() as usize])(w, acts, out, scratch) }
    }

    /// Quantises one row `x`, `[k]`, to `format`: `qs [k]`, `scales [k / block]`, `sums [k / sum_len]`.
    /// scale = max|x| / 127, rounding to nearest even; a block with a value that is not finite gets scale NaN.
    pub fn quantize(
        &self,
        format: ActFormat,
        x: &[f32],
        qs: &mut [i8],
        scales: &mut [f32],
        sums: &mut [i16],
    ) {
        let f = match format {
            ActFormat::F32 => return,
            ActFormat::Q8x32 => self.quantize_q8x32,
            ActFormat::Q8x256 => self.quantize_q8x256,
        };
        assert!(x.len().is_multiple_of(format.block_len()) && qs.len() == x.len(), "row length");
        assert_eq!(scales.len(), x.len() / format.block_len(), "scales");
        assert_eq!(sums.len(), x.len() / format.sum_len(), "sums");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { f(x, qs, scales, sums) }
    }

    /// Quantises `x`, of any length, as one block: like [`quantize`](Self::quantize), but gives the scale.
    pub fn quantize_block(&self, x: &[f32], qs: &mut [i8]) -> f32 {
        assert_eq!(x.len(), qs.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.quantize_block)(x, qs) }
    }

    /// `out = x / sqrt(mean(x^2) + eps) * weight`, all `[k]`.
    pub fn rms_norm(&self, out: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
        assert!(out.len() == x.len() && weight.len() == x.len(), "norm lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.rms_norm)(out, x, weight, eps) }
    }

    /// [`rms_norm`](Self::rms_norm) of `x` into itself.
    pub fn rms_norm_inplace(&self, x: &mut [f32], weight: &[f32], eps: f32) {
        assert_eq!(weight.len(), x.len(), "norm lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.rms_norm_inplace)(x, weight, eps) }
    }

    /// `out = (x - mean) / sqrt(mean((x - mean)^2) + eps) * weight`, all `[k]`.
    pub fn layer_norm(&self, out: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
        assert!(out.len() == x.len() && weight.len() == x.len(), "norm lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.layer_norm)(out, x, weight, eps) }
    }

    /// [`layer_norm`](Self::layer_norm) of `x` into itself.
    pub fn layer_norm_inplace(&self, x: &mut [f32], weight: &[f32], eps: f32) {
        assert_eq!(weight.len(), x.len(), "norm lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.layer_norm_inplace)(x, weight, eps) }
    }

    /// `x += y`, elementwise.
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.add)(x, y) }
    }

    /// `x += y * s`, elementwise, each rounded once.
    pub fn add_scaled(&self, x: &mut [f32], y: &[f32], s: f32) {
        assert_eq!(x.len(), y.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.add_scaled)(x, y, s) }
    }

    /// `x *= s`.
    pub fn scale(&self, x: &mut [f32], s: f32) {
        // SAFETY: this table was selected after `supported()`; any length will do.
        unsafe { (self.scale)(x, s) }
    }

    /// Rotates the first `cos_sin.len()` elements of one head. `cos_sin` is `[dims / 2][cos, sin]`.
    pub fn rope(&self, head: &mut [f32], cos_sin: &[f32], pairing: RopePairing) {
        assert!(cos_sin.len() <= head.len() && cos_sin.len().is_multiple_of(2), "rope dimensions");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.rope)(head, cos_sin, pairing) }
    }

    /// `x = act(x)`, elementwise; what [`act_mul`](Self::act_mul) multiplies something with.
    pub fn act(&self, x: &mut [f32], act: Activation) {
        // SAFETY: this table was selected after `supported()`; any length will do.
        unsafe { (self.act)(x, act) }
    }

    /// `gate = act(gate) * up`, elementwise.
    pub fn act_mul(&self, gate: &mut [f32], up: &[f32], act: Activation) {
        assert_eq!(gate.len(), up.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.act_mul)(gate, up, act) }
    }

    /// One position of the gated delta rule on `state`, `[k.len(), v.len()]`: `state *= decay`, `state += k (v - k state)
    /// rate`, `out = q state`. `q` is as long as `k`, `out` as `v`; `gates` are `(decay, rate)`.
    pub fn delta_step(
        &self,
        state: &mut [f32],
        (q, k, v): (&[f32], &[f32], &[f32]),
        gates: (f32, f32),
        out: &mut [f32],
    ) {
        assert!(q.len() == k.len() && v.len() == out.len() && !v.is_empty(), "lengths");
        assert_eq!(Some(state.len()), k.len().checked_mul(v.len()), "state");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.delta_step)(state, q, k, v, gates, out) }
    }

    /// `x = cap * tanh(x / cap)`, elementwise.
    pub fn softcap(&self, x: &mut [f32], cap: f32) {
        // SAFETY: this table was selected after `supported()`; any length will do.
        unsafe { (self.softcap)(x, cap) }
    }

    /// Rounds to f16 bits, to nearest even.
    pub fn to_f16(&self, x: &[f32], out: &mut [u16]) {
        assert_eq!(x.len(), out.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.to_f16)(x, out) }
    }

    /// Widens f16 bits.
    pub fn from_f16(&self, x: &[u16], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.from_f16)(x, out) }
    }

    /// Attention of several queries over one chunk, from nothing: overwrites `state`. A query that sees no position
    /// gets max `-inf`, sum 0 and a zero accumulator.
    pub fn attn_chunk(&self, chunk: &AttnChunk<'_>, state: &mut AttnState<'_>, scratch: &mut Scratch) {
        let n = chunk.visible.len();
        assert!(chunk.q.len() == n * chunk.head_dim && state.acc.len() == n * chunk.value_dim, "queries");
        assert!(state.max.len() == n && state.sum.len() == n, "state");
        assert!(chunk.len <= ATTN_CHUNK, "chunk");
        assert!(chunk.k.fits(true, chunk.len, chunk.head_dim), "keys");
        match chunk.v {
            Some(v) => {
                assert_eq!(std::mem::discriminant(&chunk.k), std::mem::discriminant(&v), "kinds");
                assert!(v.fits(false, chunk.len, chunk.value_dim), "values");
            }
            None => {
                let floats = !matches!(chunk.k, KvRows::Q8 { .. });
                assert!(floats && chunk.value_dim <= chunk.head_dim, "values in keys");
            }
        }
        assert!(chunk.visible.iter().all(|&(a, b)| a <= b && b as usize <= chunk.len), "visible range");
        scratch.reserve_check(chunk.head_dim.max(chunk.value_dim));
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.attn_chunk)(chunk, state, scratch) }
    }

    /// Adds the partial result `part` to `state`, query by query.
    pub fn attn_merge(&self, state: &mut AttnState<'_>, part: &AttnState<'_>) {
        assert!(state.acc.len() == part.acc.len() && state.max.len() == part.max.len(), "lengths");
        assert!(state.max.len() == state.sum.len() && part.max.len() == part.sum.len(), "lengths");
        assert!(state.max.is_empty() || state.acc.len().is_multiple_of(state.max.len()), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.attn_merge)(state, part) }
    }

    /// The largest of `x`, -infinity if there are none; infinity if one of them is NaN or infinity.
    pub fn largest(&self, x: &[f32]) -> f32 {
        // SAFETY: this table was selected after `supported()`; any length will do.
        unsafe { (self.largest)(x) }
    }

    /// Probabilities as integers: `out = exp((x - max) / temperature)` in units of 2^-40, rounded, both `[n]`; returns
    /// their sum. `x` holds no NaN and nothing above `max`, which is finite; `n` is below 2^24.
    pub fn weights(&self, x: &[f32], max: f32, temperature: f32, out: &mut [u64]) -> u64 {
        assert!(x.len() == out.len() && x.len() < 1 << 24, "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.weights)(x, max, temperature, out) }
    }

    /// The mean of `x - max` over the probabilities `exp(x - max)`. `x`, `[n]`, as for [`weights`](Self::weights), and one
    /// of them is `max`.
    pub fn expected(&self, x: &[f32], max: f32) -> f64 {
        assert!(x.len() < 1 << 24, "length");
        // SAFETY: this table was selected after `supported()`; the length was checked above.
        unsafe { (self.expected)(x, max) }
    }
}
