//! Products of float weights: F32, F16, BF16, and NVFP4, whose blocks become floats sixteen at a time.
//!
//! Each output element is sixteen lanes of fused multiply-adds over `k` in order, the last step padded with zeros, and
//! then the tree sum. A tile of several tokens and rows is computed at once to load less; that changes no element's
//! own order.

use crate::kernels::vector::F32x16;
use crate::quant::{BlockBF16, BlockF16, BlockF32, BlockNVFP4};
use crate::tensor::{Acts, PlainBlock, QMatRef, Stripe};

/// A type that is multiplied as floats, sixteen weights at a time.
pub(crate) trait FloatBlock: PlainBlock {
    /// Weights that lie together, [`STEPS`](Self::STEPS) times sixteen.
    type Group: Copy;
    /// Sixteens in a group.
    const STEPS: usize;
    /// A block of zeros.
    const ZERO: Self;
    /// A row in whole groups.
    fn groups(row: &[Self]) -> &[Self::Group];
    /// The `step`-th sixteen of a group, widened.
    fn load<V: F32x16>(group: &Self::Group, step: usize) -> V;
}

/// [`FloatBlock`] for one weight a block: its zero, and how sixteen are loaded.
macro_rules! float_block {
    ($block:ident, $zero:expr, |$w:ident| $load:expr) => {
        impl FloatBlock for $block {
            type Group = [Self; 16];
            const STEPS: usize = 1;
            const ZERO: Self = Self($zero);

            #[inline(always)]
            fn groups(row: &[Self]) -> &[[Self; 16]] {
                row.as_chunks().0
            }

            #[inline(always)]
            fn load<V: F32x16>($w: &[Self; 16], _step: usize) -> V {
                $load
            }
        }
    };
}

float_block!(BlockF32, [0; 4], |w| {
    let mut values = [0.0; 16];
    for (value, w) in values.iter_mut().zip(w) {
        *value = f32::from_le_bytes(w.0);
    }
    V::load(&values)
});

float_block!(BlockF16, [0; 2], |w| {
    let mut bits = [0; 16];
    for (bits, w) in bits.iter_mut().zip(w) {
        *bits = u16::from_le_bytes(w.0);
    }
    V::load_f16(&bits)
});

float_block!(BlockBF16, [0; 2], |w| {
    let mut bits = [0; 16];
    for (bits, w) in bits.iter_mut().zip(w) {
        *bits = u16::from_le_bytes(w.0);
    }
    V::load_bf16(&bits)
});

impl FloatBlock for BlockNVFP4 {
    type Group = Self;
    const STEPS: usize = 4;
    const ZERO: Self = Self { d: [0; 4], qs: [0; 32] };

    #[inline(always)]
    fn groups(row: &[Self]) -> &[Self] {
        row
    }

    /// A 4-bit float is the sign and the uppermost bits below it of an f16 that is 2^14 times smaller, and so 2^15 times
    /// smaller than the doubled values: the product with the scale is exact.
    #[inline(always)]
    fn load<V: F32x16>(block: &Self, step: usize) -> V {
        let mut bits = [0; 16];
        for (i, q) in block.nibbles(step).iter().enumerate() {
            let q = u16::from(*q);
            bits[i] = (q & 8) << 12 | (q & 7) << 9;
            bits[i + 8] = (q & 0x80) << 8 | (q & 0x70) << 5;
        }
        V::load_f16(&bits).mul(V::splat(block.scale(step) * 32768.0))
    }
}

/// Bytes of activations that are kept near while the rows pass by: about half of a small L2 cache.
const TOKEN_BLOCK_BYTES: usize = 256 << 10;

/// `out[t][r] = dot(w row r, acts t)` for a float type `B`.
#[inline(always)]
pub(crate) fn matmul<V: F32x16, B: FloatBlock>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>) {
    let &Acts::F32 { x, n, k } = acts else {
        panic!("float weights meet float activations: checked by the caller")
    };
    if k == 0 {
        for t in 0..n {
            out.row(t).fill(0.0);
        }
        return;
    }
    let weights = crate::tensor::blocks::<B>(w.bytes()).expect("the view holds whole blocks");
    if V::TILE == 4 {
        tiles::<V, B, 4>(weights, x, n, k, out);
    } else {
        tiles::<V, B, 2>(weights, x, n, k, out);
    }
}

/// `weights [rows, k]` in blocks, `x [n, k]`.
#[inline(always)]
fn tiles<V: F32x16, B: FloatBlock, const TILE: usize>(
    weights: &[B],
    x: &[f32],
    n: usize,
    k: usize,
    out: &mut Stripe<'_>,
) {
    let blocks = k / B::LEN;
    let rows = weights.len() / blocks;
    let token_block = (TOKEN_BLOCK_BYTES / (4 * k)).max(TILE).next_multiple_of(TILE);
    let mut start = 0;
    while start < n {
        let end = n.min(start + token_block);
        let mut r = 0;
        while r + TILE <= rows {
            let w = &weights[r * blocks..(r + TILE) * blocks];
            let mut t = start;
            while t + TILE <= end {
                tile::<V, B, TILE, TILE>(w, &x[t * k..(t + TILE) * k], k, r, t, out);
                t += TILE;
            }
            while t < end {
                tile::<V, B, 1, TILE>(w, &x[t * k..(t + 1) * k], k, r, t, out);
                t += 1;
            }
            r += TILE;
        }
        while r < rows {
            for t in start..end {
                tile::<V, B, 1, 1>(
                    &weights[r * blocks..(r + 1) * blocks],
                    &x[t * k..(t + 1) * k],
                    k,
                    r,
                    t,
                    out,
                );
            }
            r += 1;
        }
        start = end;
    }
}

/// Outputs `t..t + T`, `r..r + R`. `w [R, k]` in blocks, `x [T, k]`.
#[inline(always)]
fn tile<V: F32x16, B: FloatBlock, const T: usize, const R: usize>(
    w: &[B],
    x: &[f32],
    k: usize,
    r: usize,
    t: usize,
    out: &mut Stripe<'_>,
) {
    let mut acc = [[V::splat(0.0); R]; T];
    let blocks = k / B::LEN;
    let groups = k / (16 * B::STEPS);
    let mut w_rows = [&[] as &[B::Group]; R];
    for (i, row) in w_rows.iter_mut().enumerate() {
        *row = &B::groups(&w[i * blocks..])[..groups];
    }
    let mut x_rows = [&[] as &[[f32; 16]]; T];
    for (i, row) in x_rows.iter_mut().enumerate() {
        *row = &x[i * k..].as_chunks::<16>().0[..groups * B::STEPS];
    }
    for group in 0..groups {
        for step in 0..B::STEPS {
            let mut wide = [V::splat(0.0); R];
            for i in 0..R {
                wide[i] = B::load::<V>(&w_rows[i][group], step);
            }
            for j in 0..T {
                let x = V::load(&x_rows[j][group * B::STEPS + step]);
                for i in 0..R {
                    acc[j][i] = wide[i].fma(x, acc[j][i]);
                }
            }
        }
    }
    // Only rows of single weights have a rest.
    if B::LEN == 1 && !k.is_multiple_of(16) {
        let whole = k - k % 16;
        for i in 0..R {
            let mut full = [B::ZERO; 16];
            full[..k % 16].copy_from_slice(&w[i * k + whole..(i + 1) * k]);
            let wide = B::load::<V>(&B::groups(&full)[0], 0);
            for j in 0..T {
                let x = V::load_partial(&x[j * k + whole..(j + 1) * k], 0.0);
                acc[j][i] = wide.fma(x, acc[j][i]);
            }
        }
    }
    for j in 0..T {
        let out = &mut out.row(t + j)[r..r + R];
        for i in 0..R {
            out[i] = acc[j][i].reduce_add();
        }
    }
}
