//! What holds for every type of the table.

use super::*;
use crate::tensor::PlainBlock;

/// Root mean square of the coding error over that of gaussian-like values, at most: about the reference set's figures,
/// with room for the plainer encoders here.
fn coding_error(ty: QuantType) -> f64 {
    match ty {
        QuantType::F32 => 0.0,
        QuantType::F16 => 3e-4,
        QuantType::BF16 => 2e-3,
        QuantType::Q8_0 => 8e-3,
        QuantType::Q6K => 0.025,
        QuantType::Q5_0 | QuantType::Q5_1 | QuantType::Q5K => 0.06,
        QuantType::Q4_0 | QuantType::Q4_1 | QuantType::Q4K | QuantType::IQ4NL | QuantType::IQ4XS => 0.12,
        QuantType::MXFP4 => 0.15,
        QuantType::NVFP4 => 0.12,
        QuantType::Q3K => 0.22,
        QuantType::Q2K => 0.36,
        QuantType::IQ3XXS | QuantType::IQ3S => 0.25,
        QuantType::IQ2XXS | QuantType::IQ2XS | QuantType::IQ2S => 0.5,
        QuantType::IQ1S | QuantType::IQ1M => 0.65,
        // Made for models that were trained with three values; others lose most.
        QuantType::TQ1_0 | QuantType::TQ2_0 => 0.95,
    }
}

fn each_type(mut f: impl FnMut(QuantType, fn(&[f32]) -> Vec<f32>)) {
    macro_rules! each {
        ($($variant:ident = $id:literal, $block:ident, $bytes:literal, $name:literal;)+) => {
            $(f(QuantType::$variant, round_trip::<$block>);)+
        };
    }
    with_quant_types!(each);
}

fn round_trip<B: PlainBlock>(x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    for (x, out) in x.chunks_exact(B::LEN).zip(out.chunks_exact_mut(B::LEN)) {
        B::quantize(x).dequantize(out);
    }
    out
}

#[test]
fn encoding_and_decoding_come_close() {
    // Sums of four uniform numbers from a multiplicative sequence: near enough to gaussian.
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let x: Vec<f32> = (0..2048).map(|_| (0..4).map(|_| uniform()).sum()).collect();
    let rms = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    each_type(|ty, round_trip| {
        let decoded = round_trip(&x);
        let error = rms(&mut x.iter().zip(&decoded).map(|(a, b)| f64::from(a - b)));
        let error = error / rms(&mut x.iter().map(|&v| f64::from(v)));
        assert!(error <= coding_error(ty), "{ty}: {error}");
        assert!(
            ty == QuantType::F32 || error > coding_error(ty) / 10.0,
            "{ty}: {error} is too good to be true"
        );
    });
}

#[test]
fn constant_blocks_survive() {
    each_type(|ty, round_trip| {
        assert!(round_trip(&[0.0; 256]).iter().all(|&v| v == 0.0), "{ty} zeros");
        let worst = round_trip(&[-0.5; 256]).iter().fold(0.0f32, |m, v| m.max((v + 0.5).abs()));
        assert!(worst < 0.08, "{ty} constant: off by {worst}");
    });
}

#[test]
fn ids_and_sizes_are_ggmls() {
    assert_eq!(QuantType::COUNT, 26);
    for &ty in QuantType::ALL {
        assert_eq!(QuantType::from_ggml_id(ty.ggml_id()), Some(ty));
        assert_eq!(QuantType::ALL[ty as usize], ty, "the discriminant is the place in the table");
        assert_eq!(ty.row_bytes(512), Some(512 / ty.block_len() * ty.block_bytes()));
        assert_eq!(ty.row_bytes(ty.block_len() + 1).is_some(), ty.block_len() == 1);
        let bytes = ty.row_bytes(usize::MAX / 256 * 256);
        assert_eq!(bytes.is_none(), ty.block_bytes() > ty.block_len(), "overflow is seen, and nothing else");
    }
    assert_eq!(QuantType::from_ggml_id(4), None);
    assert_eq!(QuantType::Q4K.to_string(), "Q4_K");
}
