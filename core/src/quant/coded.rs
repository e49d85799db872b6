//! What the types have in common whose weights are codes: a block is first written out as bytes, [`Codes256`], by looking
//! points up or computing digits, and multiplied as that. Products of one token take these bytes as they are; others take
//! them with signs and offsets applied, [`Bytes256`].

use super::grids::negate;
use super::k_scales::{inverse, max_abs, nearest, sub_dots};
use super::{ActBlock, ActFormat, Block};
use half::f16;

/// A block of 256 weights written out: weight `w` is `d * scales[w / 16] * q[w]`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Bytes256 {
    /// At most 64 in magnitude.
    pub q: [i8; 256],
    /// Of 16 weights each, in 1..32.
    pub scales: [i8; 16],
    /// Scale of the scales.
    pub d: f32,
}

impl Bytes256 {
    /// One with no weights yet.
    pub const ZERO: Self = Self { q: [0; 256], scales: [0; 16], d: 0.0 };
}

/// The same before signs and offsets.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Codes256 {
    /// At most 64.
    pub bytes: [u8; 256],
    /// Bit `i` of word `j` = minus for weight `32 j + i`; not used by types without signs.
    pub signs: [u32; 8],
    /// Of 16 weights each, in 1..32.
    pub scales: [i8; 16],
    /// Scale of the scales, f16 bits.
    pub d: u16,
}

impl Codes256 {
    /// One with no weights yet.
    pub const ZERO: Self = Self { bytes: [0; 256], signs: [0; 8], scales: [0; 16], d: 0 };

    /// The bytes of eight weights each.
    #[inline(always)]
    pub(super) fn eights(&mut self) -> &mut [[u8; 8]; 32] {
        self.bytes.as_chunks_mut().0.as_mut_array().expect("32 times 8 are 256")
    }

    /// Sets the scales to `2 s + 1` for nibbles `s`, low ones first.
    #[inline(always)]
    pub(super) fn put_scales_of_16(&mut self, nibbles: &[u8; 8]) {
        for (out, s) in self.scales.as_chunks_mut::<2>().0.iter_mut().zip(nibbles) {
            *out = [(s & 15) << 1 | 1, s >> 4 << 1 | 1].map(|s| s as i8);
        }
    }

    /// Sets the scales of 32 weights each to `2 s + 1`.
    #[inline(always)]
    pub(super) fn put_scales_of_32(&mut self, s: [u32; 8]) {
        for (out, s) in self.scales.as_chunks_mut::<2>().0.iter_mut().zip(s) {
            // Both bytes at once.
            *out = ((s << 1 | 1) as u16 * 0x0101).to_le_bytes().map(u8::cast_signed);
        }
    }
}

/// A type of blocks of 256 that is multiplied as bytes; that makes it a [`Block`].
pub trait Coded: Copy + Send + Sync + 'static {
    /// Whether weights have signs beside their bytes.
    const SIGNED: bool;
    /// How much larger than the weights the bytes are; 0 if they have signs.
    const OFFSET: i32;
    /// What [`Codes256::d`] is to be multiplied with: a power of two.
    const UNIT: f32;

    /// Writes the block out. Plain integer code, in loops that compilers make vectors of; must be `#[inline(always)]`, so
    /// that it is compiled for the instructions of who calls it.
    fn codes(&self, out: &mut Codes256);

    /// [`Block::quantize`].
    fn encode(x: &[f32]) -> Self;

    /// Writes the block out with signs and offsets.
    #[inline(always)]
    fn decode(&self, out: &mut Bytes256) {
        let mut codes = Codes256::ZERO;
        self.codes(&mut codes);
        if Self::SIGNED {
            let signs = codes.signs.map(u32::to_le_bytes);
            let eights = out.q.as_chunks_mut::<8>().0.iter_mut().zip(codes.eights());
            for ((out, &mut bytes), &signs) in eights.zip(signs.as_flattened()) {
                *out = negate(u64::from_le_bytes(bytes), signs).to_le_bytes().map(u8::cast_signed);
            }
        } else {
            for (out, byte) in out.q.iter_mut().zip(codes.bytes) {
                *out = byte.wrapping_sub(Self::OFFSET as u8).cast_signed();
            }
        }
        out.scales = codes.scales;
        out.d = f16::from_bits(codes.d).to_f32_const() * Self::UNIT;
    }
}

impl<B: Coded> Block for B {
    const LEN: usize = 256;
    const ACT: ActFormat = ActFormat::Q8x256;

    /// Exact, and so equal to ggml's in whichever order that multiplies: a scale has 11 bits, the others have 5 and 6.
    fn dequantize(&self, out: &mut [f32]) {
        let mut bytes = Bytes256::ZERO;
        self.decode(&mut bytes);
        for (w, (o, q)) in out.iter_mut().zip(bytes.q).enumerate() {
            *o = bytes.d * f32::from(bytes.scales[w / 16]) * f32::from(q);
        }
    }

    fn quantize(x: &[f32]) -> Self {
        B::encode(x)
    }

    /// |sum| <= 256 * 31 * 64 * 127 < 2^26: no overflow, nor with 128 added to each weight.
    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32 {
        let mut bytes = Bytes256::ZERO;
        self.decode(&mut bytes);
        let dots = sub_dots::<16>(&bytes.q, act.qs);
        let sum: i32 = dots.iter().zip(bytes.scales).map(|(d, s)| d * i32::from(s)).sum();
        (sum as f32).mul_add(bytes.d * act.scale, acc)
    }
}

/// Odd scales `2 s + 1`, `s` in `0..=most`, of `N` sub-blocks: what 1 is worth, and each `s`.
///
/// `error(x, inverse)` is the squared error of eight weights times `inverse`. Of the scales that make a sub-block's largest
/// weight one of `largest`, the best is taken.
pub(super) fn odd_scales<const N: usize>(
    x: &[f32],
    most: u8,
    largest: &[f32],
    error: impl Fn(&[f32], f32) -> f32,
) -> (f32, [u8; N]) {
    let wanted: [f32; N] = std::array::from_fn(|j| {
        let x = &x[256 / N * j..256 / N * (j + 1)];
        let max = max_abs(x);
        let cost = |largest: &f32| {
            let scale = max / largest;
            x.chunks_exact(8).map(|x| error(x, inverse(scale))).sum::<f32>() * scale * scale
        };
        let best = largest.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
        max / best.copied().unwrap_or(1.0)
    });
    let unit = max_abs(&wanted) / f32::from(2 * most + 1);
    (unit, wanted.map(|s| nearest(s - unit, inverse(2.0 * unit), 0, most.into()) as u8))
}

/// Index of the first point of `grid` nearest to `x`, where `values` gives a point's coordinates; and the squared distance.
pub(super) fn nearest_point<const N: usize, P: Copy>(
    x: [f32; N],
    grid: &[P],
    values: impl Fn(P) -> [i8; N],
) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (i, &point) in grid.iter().enumerate() {
        let distance = x.iter().zip(values(point)).map(|(x, v)| (x - f32::from(v)).powi(2)).sum();
        if distance < best.1 {
            best = (i, distance);
        }
    }
    best
}

/// Magnitudes of eight weights, and their signs as bits, set for minus.
pub(super) fn magnitudes(x: &[f32]) -> ([f32; 8], u8) {
    let signs = (0..8).map(|i| u8::from(x[i] < 0.0) << i).sum();
    (std::array::from_fn(|i| x[i].abs()), signs)
}

/// [`magnitudes`] with an even number of minus signs, for which the smallest weight may have to change its own.
pub(super) fn even_magnitudes(x: &[f32]) -> ([f32; 8], u8) {
    let (mut magnitudes, mut signs) = magnitudes(x);
    if signs.count_ones() % 2 == 1 {
        let smallest = (0..8).min_by(|&a, &b| magnitudes[a].total_cmp(&magnitudes[b])).unwrap_or(0);
        signs ^= 1 << smallest;
        magnitudes[smallest] *= -1.0;
    }
    (magnitudes, signs)
}
