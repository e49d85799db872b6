//! TQ1_0: 256 weights, each -1, 0 or 1, five a byte, one f16 scale. 1.6875 bits per weight.
//!
//! ```text
//! byte 0..32    qs[l]                digit n of 0..5 = weight 32 n + l
//! byte 32..48   qs[32 + l]           digit n of 0..5 = weight 160 + 16 n + l
//! byte 48..52   qh[l]                digit n of 0..4 = weight 240 + 4 n + l
//! byte 52..54   d                    f16
//! weight = d * (digit - 1)
//! ```
//!
//! A byte is a fraction in base 3 (of 256, rounded up): three times it is its first digit, a carry, and the rest.

use super::coded::{Coded, Codes256};
use super::k_scales::{inverse, max_abs, nearest};
use half::f16;

/// A block of 256 weights. Layout of ggml's `block_tq1_0`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BlockTQ1_0 {
    /// Five weights a byte.
    pub qs: [u8; 48],
    /// Four weights a byte.
    pub qh: [u8; 4],
    /// Scale, f16 bits, little-endian.
    pub d: [u8; 2],
}

/// The first digits of some bytes, one byte after the other; then the second ones, and so on.
#[inline(always)]
fn digits<const N: usize>(mut bytes: [u8; N], out: &mut [u8]) {
    for out in out.as_chunks_mut::<N>().0 {
        for (o, byte) in out.iter_mut().zip(&mut bytes) {
            // Where three times a byte carries, once and twice: bytes are all that this needs.
            *o = u8::from(*byte > 85) + u8::from(*byte > 170);
            *byte = byte.wrapping_mul(3);
        }
    }
}

/// The byte whose first `n` digits are these weights plus one.
fn fraction(n: u16, weight: impl Fn(u16) -> i32) -> u8 {
    let digits = (0..5).fold(0, |sum, i| 3 * sum + if i < n { (weight(i) + 1) as u32 } else { 0 });
    (digits * 256).div_ceil(243) as u8
}

impl Coded for BlockTQ1_0 {
    const SIGNED: bool = false;
    const OFFSET: i32 = 1;
    const UNIT: f32 = 1.0;

    #[inline(always)]
    fn codes(&self, out: &mut Codes256) {
        let (first, last) = self.qs.split_at(32);
        digits(*first.as_chunks::<32>().0.first().unwrap_or(&[0; 32]), &mut out.bytes[..160]);
        digits(*last.as_chunks::<16>().0.first().unwrap_or(&[0; 16]), &mut out.bytes[160..240]);
        digits(self.qh, &mut out.bytes[240..]);
        out.scales = [1; 16];
        out.d = u16::from_le_bytes(self.d);
    }

    fn encode(x: &[f32]) -> Self {
        let d = max_abs(x);
        let q = |w: usize| nearest(x[w], inverse(d), -1, 1);
        let at = |first: usize, step: usize, n: u16| first + step * usize::from(n);
        Self {
            qs: std::array::from_fn(|i| {
                if i < 32 { fraction(5, |n| q(at(i, 32, n))) } else { fraction(5, |n| q(at(128 + i, 16, n))) }
            }),
            qh: std::array::from_fn(|i| fraction(4, |n| q(at(240 + i, 4, n)))),
            d: f16::from_f32_const(d).to_le_bytes(),
        }
    }
}
