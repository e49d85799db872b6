//! Products with activations in blocks of 32.

use std::arch::x86_64::*;

use super::block32::{Block32, Unpacked};
use super::rows::{Ahead, Rows};
use crate::kernels::scratch::{Line, Scratch};
use crate::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// Tokens that share a pass over an unpacked panel: their sums, a block of weights and what is in flight fill the
/// 32 registers.
const GROUP: usize = 8;

/// Up to this many tokens, weights are unpacked into registers for each use instead of into scratch.
const DIRECT: usize = 4;

/// One block of sixteen rows in scratch.
#[repr(C, align(64))]
struct Packed {
    tile: [Line; 8],
    scale: [f32; 16],
    min: [f32; 16],
}

/// [`MatmulFn`](crate::kernels::MatmulFn) of the types of [`Block32`].
///
/// # Safety
/// - the processor has the tier's instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn matmul<B: Block32>(
    w: QMatRef<'_>,
    acts: &Acts<'_>,
    out: &mut Stripe<'_>,
    scratch: &mut Scratch,
) {
    let Acts::Quant(acts) = acts else { unreachable!("the format was checked") };
    let blocks = acts.k / 32;
    assert_eq!(w.row_bytes(), blocks * size_of::<B>());
    let (side, panel) = split(scratch, blocks);
    let mut ahead = Ahead::new(&w);
    if acts.n <= DIRECT {
        make_side::<B>(acts, 0..acts.n, side);
        for first in (0..w.rows()).step_by(16) {
            let rows = Rows::new(&w, first);
            let tokens = Tokens::new(acts, 0, side);
            // SAFETY: the instructions are there; `rows` and `tokens` have `blocks` blocks.
            unsafe {
                match acts.n {
                    0 => {}
                    1 => direct::<B, 1>(&rows, &tokens, &mut ahead).store(&rows, 0, out),
                    2 => direct::<B, 2>(&rows, &tokens, &mut ahead).store(&rows, 0, out),
                    3 => direct::<B, 3>(&rows, &tokens, &mut ahead).store(&rows, 0, out),
                    _ => direct::<B, 4>(&rows, &tokens, &mut ahead).store(&rows, 0, out),
                }
            }
        }
        return;
    }
    for first in (0..w.rows()).step_by(16) {
        let rows = Rows::new(&w, first);
        // SAFETY: the instructions are there; each row of `w` has `blocks` blocks.
        unsafe { pack::<B>(&rows, panel, &mut ahead) };
        let mut t = 0;
        while t < acts.n {
            let n = [8, 4, 2, 1].into_iter().find(|n| t + n <= acts.n).expect("one fits");
            make_side::<B>(acts, t..t + n, side);
            let tokens = Tokens::new(acts, t, side);
            // SAFETY: the instructions are there; `panel` and `tokens` have `blocks` blocks.
            unsafe {
                match n {
                    8 => packed::<8>(panel, &tokens, B::MIN).store(&rows, t, out),
                    4 => packed::<4>(panel, &tokens, B::MIN).store(&rows, t, out),
                    2 => packed::<2>(panel, &tokens, B::MIN).store(&rows, t, out),
                    _ => packed::<1>(panel, &tokens, B::MIN).store(&rows, t, out),
                }
            }
            t += n;
        }
    }
}

/// Room for one panel, and for what [`make_side`] writes.
fn split(scratch: &mut Scratch, blocks: usize) -> (&mut [u32], &mut [Packed]) {
    let lines = scratch.lines();
    let (side, panel) = lines.split_at_mut((GROUP * blocks).div_ceil(16));
    let (panel, _) = panel.split_at_mut(blocks * (size_of::<Packed>() / 64));
    // SAFETY: lines are plain bytes; `u32` needs less alignment, `Packed` the same; the lengths are those of the
    // slices, and any bits are valid for both.
    unsafe {
        (
            std::slice::from_raw_parts_mut(side.as_mut_ptr().cast(), GROUP * blocks),
            std::slice::from_raw_parts_mut(panel.as_mut_ptr().cast(), blocks),
        )
    }
}

/// Per token and block: `-OFFSET * sum` (an integer), or `scale * sum` (an `f32`'s bits) for types with a minimum.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn make_side<B: Block32>(acts: &QuantActs<'_>, tokens: std::ops::Range<usize>, side: &mut [u32]) {
    let acts = acts.tokens(tokens);
    for ((out, &sum), &scale) in side.iter_mut().zip(acts.sums).zip(acts.scales) {
        *out = if B::MIN { (scale * f32::from(sum)).to_bits() } else { (-B::OFFSET * i32::from(sum)) as u32 };
    }
}

/// Activations of some neighbouring tokens.
struct Tokens {
    qs: *const i8,
    scales: *const f32,
    side: *const u32,
    blocks: usize,
}

impl Tokens {
    fn new(acts: &QuantActs<'_>, first: usize, side: &[u32]) -> Self {
        let blocks = acts.k / 32;
        Self {
            qs: acts.qs[first * acts.k..].as_ptr(),
            scales: acts.scales[first * blocks..].as_ptr(),
            side: side.as_ptr(),
            blocks,
        }
    }
}

/// Results of sixteen rows and `T` tokens.
struct Sums<const T: usize>([__m512; T]);

impl<const T: usize> Sums<T> {
    #[inline(always)]
    unsafe fn store(self, rows: &Rows, t: usize, out: &mut Stripe<'_>) {
        for (i, sum) in self.0.into_iter().enumerate() {
            let mut lanes = [0.0; 16];
            // SAFETY: writes the array.
            unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
            rows.scatter(&lanes, out.row(t + i));
        }
    }
}

/// One block of sixteen rows times one token.
#[inline(always)]
unsafe fn step(
    block: &Unpacked,
    tokens: &Tokens,
    t: usize,
    b: usize,
    min: bool,
    two: bool,
    sum: __m512,
) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        let q = tokens.qs.add((t * tokens.blocks + b) * 32).cast::<i32>();
        let side = tokens.side.add(t * tokens.blocks + b);
        let scale = _mm512_set1_ps(*tokens.scales.add(t * tokens.blocks + b));
        let mut dot = if min { _mm512_setzero_si512() } else { _mm512_set1_epi32(side.cast::<i32>().read()) };
        let mut dot2 = _mm512_setzero_si512();
        for c in 0..4 {
            dot = _mm512_dpbusd_epi32(dot, block.tile[c], _mm512_set1_epi32(q.add(c).read_unaligned()));
        }
        for c in 4..8 {
            let d = if two { &mut dot2 } else { &mut dot };
            *d = _mm512_dpbusd_epi32(*d, block.tile[c], _mm512_set1_epi32(q.add(c).read_unaligned()));
        }
        if two {
            dot = _mm512_add_epi32(dot, dot2);
        }
        let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(block.scale, scale), sum);
        if min { _mm512_fmadd_ps(block.min, _mm512_set1_ps(f32::from_bits(*side)), sum) } else { sum }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn direct<B: Block32, const T: usize>(rows: &Rows, tokens: &Tokens, ahead: &mut Ahead) -> Sums<T> {
    let mut sums = [_mm512_setzero_ps(); T];
    for b in 0..tokens.blocks {
        // SAFETY: the caller's.
        unsafe {
            ahead.advance(16 * size_of::<B>());
            let block = B::unpack(rows, b * size_of::<B>());
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = step(&block, tokens, t, b, B::MIN, T <= 2, *sum);
            }
        }
    }
    Sums(sums)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn pack<B: Block32>(rows: &Rows, panel: &mut [Packed], ahead: &mut Ahead) {
    for (b, packed) in panel.iter_mut().enumerate() {
        // SAFETY: the caller's; the stores are into `packed`, which is aligned.
        unsafe {
            ahead.advance(16 * size_of::<B>());
            let block = B::unpack(rows, b * size_of::<B>());
            for c in 0..8 {
                _mm512_store_si512(packed.tile[c].0.as_mut_ptr().cast(), block.tile[c]);
            }
            _mm512_store_ps(packed.scale.as_mut_ptr(), block.scale);
            if B::MIN {
                _mm512_store_ps(packed.min.as_mut_ptr(), block.min);
            }
        }
    }
}

#[inline(always)]
unsafe fn packed<const T: usize>(panel: &[Packed], tokens: &Tokens, min: bool) -> Sums<T> {
    // SAFETY: the caller's.
    unsafe {
        if min { packed_pass::<T, true>(panel, tokens) } else { packed_pass::<T, false>(panel, tokens) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn packed_pass<const T: usize, const MIN: bool>(panel: &[Packed], tokens: &Tokens) -> Sums<T> {
    let mut sums = [_mm512_setzero_ps(); T];
    for (b, packed) in panel.iter().enumerate() {
        // SAFETY: the caller's; the loads are from `packed`, which is aligned.
        unsafe {
            let mut tile = [_mm512_setzero_si512(); 8];
            for (x, line) in tile.iter_mut().zip(&packed.tile) {
                *x = _mm512_load_si512(line.0.as_ptr().cast());
            }
            let block = Unpacked {
                tile,
                scale: _mm512_load_ps(packed.scale.as_ptr()),
                min: if MIN { _mm512_load_ps(packed.min.as_ptr()) } else { _mm512_setzero_ps() },
            };
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = step(&block, tokens, t, b, MIN, false, *sum);
            }
        }
    }
    Sums(sums)
}
