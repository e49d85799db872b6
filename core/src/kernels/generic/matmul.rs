//! Products of float weights: F32, F16, BF16.
//!
//! Each output element is sixteen lanes of fused multiply-adds over `k` in order, the last step padded with zeros, and
//! then the tree sum. A tile of several tokens and rows is computed at once to load less; that changes no element's
//! own order.

use crate::kernels::vector::F32x16;
use crate::quant::{BlockBF16, BlockF16, BlockF32};
use crate::tensor::{Acts, PlainBlock, QMatRef, Stripe};

/// Sixteen weights of a float type as a vector.
pub(crate) trait FloatBlock: PlainBlock {
    /// Widens sixteen.
    fn load<V: F32x16>(w: &[Self; 16]) -> V;
    /// A weight that is zero.
    const ZERO: Self;
}

impl FloatBlock for BlockF32 {
    const ZERO: Self = Self([0; 4]);

    #[inline(always)]
    fn load<V: F32x16>(w: &[Self; 16]) -> V {
        let mut values = [0.0; 16];
        for (value, w) in values.iter_mut().zip(w) {
            *value = f32::from_le_bytes(w.0);
        }
        V::load(&values)
    }
}

impl FloatBlock for BlockF16 {
    const ZERO: Self = Self([0; 2]);

    #[inline(always)]
    fn load<V: F32x16>(w: &[Self; 16]) -> V {
        let mut bits = [0; 16];
        for (bits, w) in bits.iter_mut().zip(w) {
            *bits = u16::from_le_bytes(w.0);
        }
        V::load_f16(&bits)
    }
}

impl FloatBlock for BlockBF16 {
    const ZERO: Self = Self([0; 2]);

    #[inline(always)]
    fn load<V: F32x16>(w: &[Self; 16]) -> V {
        let mut bits = [0; 16];
        for (bits, w) in bits.iter_mut().zip(w) {
            *bits = u16::from_le_bytes(w.0);
        }
        V::load_bf16(&bits)
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

/// `weights [rows, k]`, `x [n, k]`.
#[inline(always)]
fn tiles<V: F32x16, B: FloatBlock, const TILE: usize>(
    weights: &[B],
    x: &[f32],
    n: usize,
    k: usize,
    out: &mut Stripe<'_>,
) {
    let rows = weights.len() / k;
    let token_block = (TOKEN_BLOCK_BYTES / (4 * k)).max(TILE).next_multiple_of(TILE);
    let mut start = 0;
    while start < n {
        let end = n.min(start + token_block);
        let mut r = 0;
        while r + TILE <= rows {
            let w = &weights[r * k..(r + TILE) * k];
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
                tile::<V, B, 1, 1>(&weights[r * k..(r + 1) * k], &x[t * k..(t + 1) * k], k, r, t, out);
            }
            r += 1;
        }
        start = end;
    }
}

/// Outputs `t..t + T`, `r..r + R`. `w [R, k]`, `x [T, k]`.
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
    let whole = k / 16;
    let mut w_rows = [&[] as &[[B; 16]]; R];
    for (i, row) in w_rows.iter_mut().enumerate() {
        *row = &w[i * k..].as_chunks::<16>().0[..whole];
    }
    let mut x_rows = [&[] as &[[f32; 16]]; T];
    for (i, row) in x_rows.iter_mut().enumerate() {
        *row = &x[i * k..].as_chunks::<16>().0[..whole];
    }
    for step in 0..whole {
        let mut wide = [V::splat(0.0); R];
        for i in 0..R {
            wide[i] = B::load::<V>(&w_rows[i][step]);
        }
        for j in 0..T {
            let x = V::load(&x_rows[j][step]);
            for i in 0..R {
                acc[j][i] = wide[i].fma(x, acc[j][i]);
            }
        }
    }
    if !k.is_multiple_of(16) {
        for i in 0..R {
            let mut full = [B::ZERO; 16];
            full[..k % 16].copy_from_slice(&w[i * k + whole * 16..(i + 1) * k]);
            let wide = B::load::<V>(&full);
            for j in 0..T {
                let x = V::load_partial(&x[j * k + whole * 16..(j + 1) * k], 0.0);
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
