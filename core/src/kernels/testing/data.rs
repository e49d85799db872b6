//! Deterministic numbers of every unpleasant kind.

use crate::quant::{ActFormat, QuantType};
use crate::tensor::{Acts, QuantActs};

use super::oracle;

/// SplitMix64.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// In -1..1.
    pub(super) fn signed(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    pub(super) fn floats(&mut self, n: usize, kind: Floats) -> Vec<f32> {
        (0..n).map(|_| self.float(kind)).collect()
    }

    fn float(&mut self, kind: Floats) -> f32 {
        let x = self.signed();
        match kind {
            Floats::Plain => x * 4.0,
            // A constant magnitude quantises to -127 and 127 everywhere.
            Floats::Extreme => x.signum(),
            Floats::Small => x * 1e-40,
            Floats::Wide => x * 10.0f32.powi(self.below(60) as i32 - 30),
            Floats::Special => match self.below(40) {
                0 => f32::NAN,
                1 => f32::INFINITY,
                2 => f32::NEG_INFINITY,
                3 => -0.0,
                4 => 1e-42,
                5 => f32::MAX,
                _ => x,
            },
            Floats::Sparse => {
                if self.below(30) == 0 {
                    x
                } else {
                    0.0
                }
            }
        }
    }
}

/// Kinds of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floats {
    Plain,
    Extreme,
    Small,
    Wide,
    Special,
    Sparse,
}

impl Floats {
    pub(super) const ALL: [Floats; 6] =
        [Floats::Plain, Floats::Extreme, Floats::Small, Floats::Wide, Floats::Special, Floats::Sparse];
}

/// Kinds of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// Random bits, scale fields in the range of real models.
    Plain,
    /// Random bits, scale fields any finite bit pattern: denormal, zero, negative, the largest.
    Wild,
    /// Every byte of a block the same of 00, ff, 80, 7f, 88, 77, with scales of magnitude 1.
    Extreme,
}

/// Offsets of the f16 fields in a block.
fn f16_fields(ty: QuantType) -> &'static [usize] {
    match ty {
        QuantType::F32 | QuantType::BF16 | QuantType::MXFP4 | QuantType::NVFP4 | QuantType::IQ1M => &[],
        QuantType::F16 | QuantType::Q4_0 | QuantType::Q5_0 | QuantType::Q8_0 => &[0],
        QuantType::IQ4NL | QuantType::IQ4XS | QuantType::IQ1S => &[0],
        QuantType::IQ2XXS | QuantType::IQ2XS | QuantType::IQ2S | QuantType::IQ3XXS | QuantType::IQ3S => &[0],
        QuantType::TQ1_0 => &[52],
        QuantType::TQ2_0 => &[64],
        QuantType::Q4_1 | QuantType::Q5_1 | QuantType::Q4K | QuantType::Q5K => &[0, 2],
        QuantType::Q2K => &[80, 82],
        QuantType::Q3K => &[108],
        QuantType::Q6K => &[208],
    }
}

/// `blocks` blocks of type `ty`.
pub(super) fn weights(rng: &mut Rng, ty: QuantType, blocks: usize, kind: Weights) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(blocks * ty.block_bytes());
    for _ in 0..blocks {
        let at = bytes.len();
        let fill = [0x00, 0xff, 0x80, 0x7f, 0x88, 0x77][rng.below(6)];
        for _ in 0..ty.block_bytes() {
            bytes.push(if kind == Weights::Extreme { fill } else { rng.bits() as u8 });
        }
        let block = &mut bytes[at..];
        match ty {
            QuantType::F32 => block.copy_from_slice(&float_weight(rng, kind).to_le_bytes()),
            QuantType::BF16 => block.copy_from_slice(&float_weight(rng, kind).to_le_bytes()[2..]),
            QuantType::MXFP4 => block[0] = exponent(rng, kind),
            // Any byte is a scale within reason.
            QuantType::NVFP4 if kind == Weights::Extreme => block[..4].fill(0x40),
            QuantType::NVFP4 => {}
            // Nibbles of the scale lie in the upper halves of four bytes.
            QuantType::IQ1M => {
                let bits = f16_scale(rng, kind);
                for i in 0..4 {
                    block[49 + 2 * i] = (block[49 + 2 * i] & 15) | ((bits >> (4 * i)) as u8 & 15) << 4;
                }
            }
            _ => {
                for &field in f16_fields(ty) {
                    let bits = f16_scale(rng, kind);
                    block[field..field + 2].copy_from_slice(&bits.to_le_bytes());
                }
            }
        }
    }
    bytes
}

fn float_weight(rng: &mut Rng, kind: Weights) -> f32 {
    match kind {
        Weights::Plain => rng.signed(),
        Weights::Wild => rng.float(Floats::Wide),
        Weights::Extreme => rng.signed().signum(),
    }
}

fn f16_scale(rng: &mut Rng, kind: Weights) -> u16 {
    let bits = rng.bits() as u16;
    match kind {
        // Sign and mantissa free, exponents 2^-10 .. 2^-3.
        Weights::Plain => (bits & 0x83ff) | ((5 + (bits >> 10 & 7)) << 10),
        Weights::Wild if bits & 0x7c00 == 0x7c00 => bits ^ 0x4000,
        Weights::Wild => bits,
        Weights::Extreme => (bits & 0x8000) | 0x3c00,
    }
}

/// A scale that is a power of two, biased by 128.
fn exponent(rng: &mut Rng, kind: Weights) -> u8 {
    match kind {
        Weights::Plain => 118 + rng.below(8) as u8,
        Weights::Wild => rng.bits() as u8,
        Weights::Extreme => 128,
    }
}

/// Owned activations in the format that `format` asks for, quantised by the scalar tier.
pub(super) struct OwnedActs {
    format: ActFormat,
    k: usize,
    x: Vec<f32>,
    qs: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i16>,
}

impl OwnedActs {
    /// Of `x`, `[n, k]`.
    pub(super) fn new(format: ActFormat, n: usize, k: usize, x: Vec<f32>) -> Self {
        let (mut qs, mut scales, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        if format != ActFormat::F32 {
            qs.resize(n * k, 0);
            scales.resize(n * k / format.block_len(), 0.0);
            sums.resize(n * k / format.sum_len(), 0);
            oracle().quantize(format, &x, &mut qs, &mut scales, &mut sums);
        }
        Self { format, k, x, qs, scales, sums }
    }

    /// Tokens `start..start + n`.
    pub(super) fn view(&self, start: usize, n: usize) -> Acts<'_> {
        let k = self.k;
        if self.format == ActFormat::F32 {
            return Acts::F32 { x: &self.x[start * k..(start + n) * k], n, k };
        }
        let total = self.x.len().checked_div(k).unwrap_or(start + n);
        let all = QuantActs::new(self.format, total, k, &self.qs, &self.scales, &self.sums);
        Acts::Quant(all.tokens(start..start + n))
    }

    /// Token `t` as the product sees it: decoded.
    pub(super) fn decoded(&self, t: usize) -> Vec<f64> {
        let range = t * self.k..(t + 1) * self.k;
        if self.format == ActFormat::F32 {
            return self.x[range].iter().map(|&x| f64::from(x)).collect();
        }
        let scale = |i: usize| f64::from(self.scales[i / self.format.block_len()]);
        range.map(|i| f64::from(self.qs[i]) * scale(i)).collect()
    }
}
