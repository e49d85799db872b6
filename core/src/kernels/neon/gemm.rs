//! Several tokens times a matrix: the prefill path. Eight rows are unpacked once and meet many tokens, four at a time.

use std::arch::aarch64::*;

use super::panel::{Layout, ROWS, Tile32, Tile256, tiles, unpack_tile, unpack32, unpack256};
use super::simd::{load_f32, load_i8, load_i16, scale, store_f32, sub_sums, to_f32, zero_i32};
use super::weights32::Weights32;
use super::weights256::Weights256;
use crate::kernels::Scratch;
use crate::kernels::coded::DecodeFn;
use crate::quant::Bytes256;
use crate::tensor::{PlainBlock, QMatRef, QuantActs, Stripe};

/// Tokens that a micro-kernel takes at most.
pub(in crate::kernels) const TOKENS: usize = 4;

/// Bytes of activations that a panel meets before the next panel comes: they should stay in a second-level cache.
const CHUNK_BYTES: usize = 256 << 10;
/// Tokens that a panel meets at least, however long they are, so that unpacking it costs little.
const CHUNK_TOKENS: usize = 32;

/// Results of one panel for up to [`TOKENS`] tokens.
pub(in crate::kernels) type Outputs = [[f32; ROWS]; TOKENS];

/// A tier's micro-kernels: a panel times 1..=[`TOKENS`] tokens. Only that tier's functions, which run after its
/// `supported()` said yes, may use it.
pub(in crate::kernels) trait Micro {
    /// In which order the panel is.
    type Layout: Layout;

    /// `out[t][r] = dot(row r, token t)`. Weights are in `-max..=max`.
    fn run32<const MIN: bool>(panel: &[Tile32], acts: &QuantActs<'_>, max: i32, out: &mut Outputs);

    /// `out[t][r] = dot(row r, token t)`. Weights are in `-max..=max`.
    fn run256<const SUBS: usize, const MIN: bool>(
        panel: &[Tile256],
        acts: &QuantActs<'_>,
        max: i32,
        out: &mut Outputs,
    );
}

/// Rows `r..r + 8` of `w`; beyond the end of the matrix its last row is repeated.
fn panel_rows<'a, B: PlainBlock>(w: &QMatRef<'a>, r: usize) -> [&'a [B]; ROWS] {
    std::array::from_fn(|i| {
        w.row::<B>((r + i).min(w.rows() - 1)).expect("the product was chosen by the matrix's type")
    })
}

/// Block `b` of row `r` of `w`, or of its last row if there are fewer.
#[inline(always)]
pub(super) fn block_bytes<'a>(w: &QMatRef<'a>, r: usize, b: usize) -> &'a [u8] {
    let bytes = w.ty().block_bytes();
    &w.bytes()[r.min(w.rows() - 1) * w.row_bytes() + b * bytes..][..bytes]
}

/// The tokens `0..n` in chunks for rows of `k`.
fn chunks(n: usize, k: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let len = (CHUNK_BYTES / k.max(1)).next_multiple_of(TOKENS).max(CHUNK_TOKENS);
    (0..n).step_by(len).map(move |t| t..n.min(t + len))
}

/// Runs `micro` for `tokens` and stores its results in columns `r..` of `out`.
#[inline(always)]
fn all_tokens(
    acts: &QuantActs<'_>,
    tokens: std::ops::Range<usize>,
    r: usize,
    out: &mut Stripe<'_>,
    micro: impl Fn(&QuantActs<'_>, &mut Outputs),
) {
    let width = ROWS.min(out.width() - r);
    for t in tokens.clone().step_by(TOKENS) {
        let some = acts.tokens(t..tokens.end.min(t + TOKENS));
        let mut results = [[0.0; ROWS]; TOKENS];
        micro(&some, &mut results);
        for (i, results) in results.iter().enumerate().take(some.n) {
            out.row(t + i)[r..r + width].copy_from_slice(&results[..width]);
        }
    }
}

/// Largest magnitude in a panel.
const fn panel_max(max: i32, offset: i16) -> i32 {
    if offset == 0 { max } else { offset as i32 }
}

/// `out[t][r] = dot(row r, token t)`.
#[inline(always)]
pub(in crate::kernels) fn gemm32<M: Micro, W: Weights32>(
    w: QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    let panel = tiles::<Tile32>(scratch, w.cols() / 32);
    let max = panel_max(W::MAX, W::OFFSET);
    for tokens in chunks(acts.n, w.cols()) {
        for r in (0..w.rows()).step_by(ROWS) {
            unpack32::<M::Layout, W>(panel_rows(&w, r), panel);
            all_tokens(acts, tokens.clone(), r, out, |acts, results| {
                if W::MIN {
                    M::run32::<true>(panel, acts, max, results)
                } else {
                    M::run32::<false>(panel, acts, max, results)
                }
            });
        }
    }
}

/// `out[t][r] = dot(row r, token t)`.
#[inline(always)]
pub(in crate::kernels) fn gemm256<M: Micro, W: Weights256 + PlainBlock>(
    w: QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    panels256::<M, W>(w, acts, out, scratch, |r, panel| {
        unpack256::<M::Layout, W>(panel_rows(&w, r), panel);
    });
}

/// [`gemm256`] for a coded type, of which `decode` decodes a block.
#[inline(always)]
pub(in crate::kernels) fn gemm_coded<M: Micro>(
    w: QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
    decode: DecodeFn,
) {
    let mut decoded = [Bytes256::ZERO; ROWS];
    panels256::<M, Bytes256>(w, acts, out, scratch, |r, panel| {
        for (b, tile) in panel.iter_mut().enumerate() {
            for (i, decoded) in decoded.iter_mut().enumerate() {
                decode(block_bytes(&w, r + i, b), decoded);
            }
            unpack_tile::<M::Layout, Bytes256>(decoded.each_ref(), tile);
        }
    });
}

/// `out[t][r] = dot(row r, token t)`, where `unpack` unpacks the rows from `r` on.
#[inline(always)]
fn panels256<M: Micro, W: Weights256>(
    w: QMatRef<'_>,
    acts: &QuantActs<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
    mut unpack: impl FnMut(usize, &mut [Tile256]),
) {
    let panel = tiles::<Tile256>(scratch, w.cols() / 256);
    let max = panel_max(W::MAX, W::OFFSET);
    for tokens in chunks(acts.n, w.cols()) {
        for r in (0..w.rows()).step_by(ROWS) {
            unpack(r, panel);
            all_tokens(acts, tokens.clone(), r, out, |acts, results| match (W::SUBS, W::MIN) {
                (8, false) => M::run256::<8, false>(panel, acts, max, results),
                (8, true) => M::run256::<8, true>(panel, acts, max, results),
                (_, false) => M::run256::<16, false>(panel, acts, max, results),
                (_, true) => M::run256::<16, true>(panel, acts, max, results),
            });
        }
    }
}

/// What a micro-kernel reads of `T` tokens, cut to `n` blocks of `LEN` values with `SUMS` sums each.
pub(in crate::kernels) struct TokenRows<'a, const T: usize, const LEN: usize, const SUMS: usize> {
    qs: [&'a [[i8; LEN]]; T],
    scales: [&'a [f32]; T],
    sums: [&'a [[i16; SUMS]]; T],
}

impl<'a, const T: usize, const LEN: usize, const SUMS: usize> TokenRows<'a, T, LEN, SUMS> {
    /// The rows of `acts`; panics unless it has `T` tokens of `n` blocks.
    #[inline(always)]
    pub(in crate::kernels) fn new(acts: &QuantActs<'a>, n: usize) -> Self {
        let (qs, sums) = (acts.qs.as_chunks::<LEN>().0, acts.sums.as_chunks::<SUMS>().0);
        Self {
            qs: std::array::from_fn(|t| &qs[t * n..(t + 1) * n]),
            scales: std::array::from_fn(|t| &acts.scales[t * n..(t + 1) * n]),
            sums: std::array::from_fn(|t| &sums[t * n..(t + 1) * n]),
        }
    }

    /// Values `16 i..16 i + 16` of token `t`'s block `b`.
    #[inline(always)]
    pub(in crate::kernels) fn sixteen(&self, t: usize, b: usize, i: usize) -> int8x16_t {
        load_i8(&self.qs[t][b].as_chunks::<16>().0[i])
    }

    /// The scale of token `t`'s block `b`.
    #[inline(always)]
    pub(in crate::kernels) fn scale(&self, t: usize, b: usize) -> f32 {
        self.scales[t][b]
    }

    /// The sums of token `t`'s block `b`.
    #[inline(always)]
    pub(in crate::kernels) fn sums(&self, t: usize, b: usize) -> &'a [i16; SUMS] {
        &self.sums[t][b]
    }
}

/// Stores token `t`'s eight results.
#[inline(always)]
pub(in crate::kernels) fn store_token(out: &mut Outputs, t: usize, acc: [float32x4_t; 2]) {
    let halves = out[t].as_chunks_mut::<4>().0;
    store_f32(&mut halves[0], acc[0]);
    store_f32(&mut halves[1], acc[1]);
}

/// Adds eight sub-blocks' minimums times sums of activations to the sums of eight rows.
#[inline(always)]
fn add_mins(acc: [int32x4_t; 2], mins: &[[i16; 8]; 8], sums: int16x8_t) -> [int32x4_t; 2] {
    let acc = add_min::<1>(add_min::<0>(acc, mins, sums), mins, sums);
    let acc = add_min::<3>(add_min::<2>(acc, mins, sums), mins, sums);
    let acc = add_min::<5>(add_min::<4>(acc, mins, sums), mins, sums);
    add_min::<7>(add_min::<6>(acc, mins, sums), mins, sums)
}

/// Adds sub-block `J`'s.
#[inline(always)]
fn add_min<const J: i32>([a, b]: [int32x4_t; 2], mins: &[[i16; 8]; 8], sums: int16x8_t) -> [int32x4_t; 2] {
    let m = load_i16(&mins[J as usize]);
    // SAFETY: NEON is always there.
    unsafe { [vmlal_laneq_s16::<J>(a, vget_low_s16(m), sums), vmlal_high_laneq_s16::<J>(b, m, sums)] }
}

/// `acc` less the minimums of one block: eight rows, one token with sums `sums` and scale `s`.
#[inline(always)]
pub(in crate::kernels) fn sub_min<const SUBS: usize>(
    acc: [float32x4_t; 2],
    tile: &Tile256,
    sums: &[i16; 16],
    s: f32,
) -> [float32x4_t; 2] {
    let sums = sub_sums(sums, SUBS);
    let (mins, _) = tile.mins.as_chunks::<8>();
    let mut total = add_mins([zero_i32(); 2], &mins[0], sums[0]);
    if SUBS == 16 {
        total = add_mins(total, &mins[1], sums[1]);
    }
    // -(dmin * s) times the sum, as the definition has it: only the sign moves, rounding stays.
    [0, 1].map(|i| {
        let dmin = scale(load_f32(&tile.dmin[i]), s);
        // SAFETY: NEON is always there.
        unsafe { vfmsq_f32(acc[i], to_f32(total[i]), dmin) }
    })
}
