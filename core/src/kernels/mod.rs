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

/// The function applied to the gate of a gated feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// GELU by tanh: `x / (1 + exp(-2u))`, `u = sqrt(2/pi) (x + 0.044715 x^3)`.
    GeluTanh,
}

/// Positions in one chunk of attention: partial results are formed per chunk and merged in order, wherever the
/// chunk was computed, so the result does not depend on how chunks are spread over threads.
pub const ATTN_CHUNK: usize = 256;

/// Positions whose keys lie side by side, element by element, so that one vector holds one element of each.
pub const ATTN_LANES: usize = 16;

/// Keys or values as a cache holds them.
#[derive(Clone, Copy, Debug)]
pub enum KvRows<'a> {
    /// f16 bits.
    F16(&'a [u16]),
    /// As they are.
    F32(&'a [f32]),
}

impl<'a> KvRows<'a> {
    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            KvRows::F16(x) => x.len(),
            KvRows::F32(x) => x.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One chunk of keys and values met by several queries.
#[derive(Clone, Copy, Debug)]
pub struct AttnChunk<'a> {
    /// `[n_q, head_dim]` queries, already rotated and scaled.
    pub q: &'a [f32],
    /// Elements per head.
    pub head_dim: usize,
    /// Keys, [`ATTN_LANES`] positions side by side: `[len / 16, rounded up][head_dim][16]`.
    pub k: KvRows<'a>,
    /// Values: `[len][head_dim]`.
    pub v: KvRows<'a>,
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
    /// `[n_q, head_dim]`: sum of `exp(score - max) * value`.
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
    rms_norm: unsafe fn(&mut [f32], &[f32], &[f32], f32),
    rms_norm_inplace: unsafe fn(&mut [f32], &[f32], f32),
    add: unsafe fn(&mut [f32], &[f32]),
    scale: unsafe fn(&mut [f32], f32),
    rope: unsafe fn(&mut [f32], &[f32], RopePairing),
    act_mul: unsafe fn(&mut [f32], &[f32], Activation),
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

    /// `x += y`, elementwise.
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.add)(x, y) }
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

    /// `gate = act(gate) * up`, elementwise.
    pub fn act_mul(&self, gate: &mut [f32], up: &[f32], act: Activation) {
        assert_eq!(gate.len(), up.len(), "lengths");
        // SAFETY: this table was selected after `supported()`; the lengths were checked above.
        unsafe { (self.act_mul)(gate, up, act) }
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
        assert!(chunk.q.len() == n * chunk.head_dim && state.acc.len() == chunk.q.len(), "queries");
        assert!(state.max.len() == n && state.sum.len() == n, "state");
        assert!(chunk.len <= ATTN_CHUNK, "chunk");
        assert_eq!(chunk.k.len(), chunk.len.next_multiple_of(ATTN_LANES) * chunk.head_dim, "keys");
        assert_eq!(chunk.v.len(), chunk.len * chunk.head_dim, "values");
        assert!(chunk.visible.iter().all(|&(a, b)| a <= b && b as usize <= chunk.len), "visible range");
        scratch.reserve_check(chunk.head_dim);
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
