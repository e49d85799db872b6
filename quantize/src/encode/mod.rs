//! Rows of numbers to blocks.
//!
//! The layouts are those of `siskin::quant`, which has the definition of each; this is about choosing what goes in.
//!
//! Loops, not `array::from_fn` or `map`, wherever time matters: what these call is not always made one with the function
//! that is compiled for AVX2, and then runs without it (for Q2_K that was a fourth of the time). Compiled for AVX-512 the
//! same loops take a fifth more time, Q2_K's twice as much.
#![allow(clippy::needless_range_loop, reason = "lanes are clearest by index")]

mod blocks256;
mod blocks32;
mod search;

use half::{bf16, f16};

use siskin::quant::QuantType;

use self::search::{LANES, extreme, total};

/// Whether rows can be made of this type. (The runtime reads types that this crate does not write.)
pub fn can_encode(ty: QuantType) -> bool {
    use QuantType as T;
    matches!(
        ty,
        T::F32
            | T::F16
            | T::BF16
            | T::Q4_0
            | T::Q4_1
            | T::Q5_0
            | T::Q5_1
            | T::Q8_0
            | T::Q2K
            | T::Q3K
            | T::Q4K
            | T::Q5K
            | T::Q6K
            | T::IQ4NL
            | T::IQ4XS
    )
}

/// Encodes a row, `[cols]`, a whole number of blocks, of finite values into `out`, `[row_bytes(cols)]`. `importance`,
/// `[cols]`, says how much each column's error matters; without it, larger weights matter more.
///
/// # Panics
/// If the lengths do not fit, or [`can_encode`] says no.
pub fn encode_row(ty: QuantType, x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    assert_eq!(ty.row_bytes(x.len()), Some(out.len()), "the room for a row");
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return wide::encode_row(ty, x, importance, out);
    }
    encode(ty, x, importance, out);
}

/// The same code with wider vectors. Without fused products, and with a fixed order of sums, its results are the same.
#[cfg(target_arch = "x86_64")]
mod wide {
    #![allow(unsafe_code, reason = "calls a function that is compiled for AVX2")]
    use siskin::quant::QuantType;

    /// Needs a processor with AVX2: the caller has asked.
    pub(super) fn encode_row(ty: QuantType, x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
        #[target_feature(enable = "avx2")]
        fn with_avx2(ty: QuantType, x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
            super::encode(ty, x, importance, out);
        }
        // SAFETY: the processor has AVX2, as the caller has asked.
        unsafe { with_avx2(ty, x, importance, out) }
    }
}

#[inline(always)]
fn encode(ty: QuantType, x: &[f32], importance: Option<&[f32]>, out: &mut [u8]) {
    match ty {
        QuantType::F32 => {
            let (chunks, _) = out.as_chunks_mut();
            chunks.iter_mut().zip(x).for_each(|(o, x)| *o = x.to_le_bytes());
        }
        QuantType::F16 => {
            let (chunks, _) = out.as_chunks_mut();
            chunks.iter_mut().zip(x).for_each(|(o, &x)| *o = f16::from_f32(x).to_le_bytes());
        }
        QuantType::BF16 => {
            let (chunks, _) = out.as_chunks_mut();
            chunks.iter_mut().zip(x).for_each(|(o, &x)| *o = bf16::from_f32(x).to_le_bytes());
        }
        QuantType::Q4_0 => blocks(x, importance, out, blocks32::q4_0),
        QuantType::Q4_1 => blocks(x, importance, out, blocks32::q4_1),
        QuantType::Q5_0 => blocks(x, importance, out, blocks32::q5_0),
        QuantType::Q5_1 => blocks(x, importance, out, blocks32::q5_1),
        QuantType::Q8_0 => {
            for (x, out) in x.as_chunks::<32>().0.iter().zip(out.chunks_exact_mut(ty.block_bytes())) {
                blocks32::q8_0(x, out);
            }
        }
        QuantType::IQ4NL => blocks(x, importance, out, blocks32::iq4_nl),
        QuantType::Q2K => blocks(x, importance, out, blocks256::q2_k),
        QuantType::Q3K => blocks(x, importance, out, blocks256::q3_k),
        QuantType::Q4K => blocks(x, importance, out, blocks256::q4_k),
        QuantType::Q5K => blocks(x, importance, out, blocks256::q5_k),
        QuantType::Q6K => blocks(x, importance, out, blocks256::q6_k),
        QuantType::IQ4XS => blocks(x, importance, out, blocks256::iq4_xs),
        _ => unreachable!("{ty} is not made: see `can_encode`"),
    }
}

/// Encodes block by block.
#[inline(always)]
fn blocks<const LEN: usize>(
    x: &[f32],
    importance: Option<&[f32]>,
    out: &mut [u8],
    encode: impl Fn(&[f32; LEN], &[f32; LEN], &mut [u8]),
) {
    let (x, _) = x.as_chunks::<LEN>();
    let bytes = out.len() / x.len().max(1);
    let mut weights = [0.0; LEN];
    for (i, (x, out)) in x.iter().zip(out.chunks_exact_mut(bytes.max(1))).enumerate() {
        weigh(x, importance.map(|im| &im.as_chunks().0[i]), &mut weights);
        encode(x, &weights, out);
    }
}

/// How much the error of each weight of a block matters.
#[inline(always)]
fn weigh<const LEN: usize>(x: &[f32; LEN], importance: Option<&[f32; LEN]>, w: &mut [f32; LEN]) {
    let mut squares = [0.0f32; LANES];
    for piece in x.as_chunks::<LANES>().0 {
        squares.iter_mut().zip(piece).for_each(|(sum, x)| *sum += x * x);
    }
    let mean = total(squares) / x.len() as f32;
    match importance {
        // An input's mean square says what an error costs on average; that large weights are kept more exactly than
        // that has proved better all the same.
        Some(importance) => {
            for ((w, &x), &im) in w.iter_mut().zip(x).zip(importance) {
                *w = im * (mean + x * x).sqrt();
            }
        }
        None => {
            let root = mean.sqrt();
            w.iter_mut().zip(x).for_each(|(w, x)| *w = root + x.abs());
        }
    }
    // Inputs that were never seen, or a block of zeros: all alike.
    if extreme(w) <= 0.0 {
        w.fill(1.0);
    }
}

/// A scale as the file has it: its bits, and its value.
#[inline(always)]
fn half(x: f32) -> ([u8; 2], f32) {
    // Beyond f16 a scale would be infinite: weights of that size are cut.
    let h = f16::from_f32(x.clamp(-65_504.0, 65_504.0));
    (h.to_le_bytes(), h.to_f32())
}

#[cfg(test)]
mod tests;
