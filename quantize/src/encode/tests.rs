use siskin::quant::QuantType;
use siskin::tensor::QMatRef;

use super::*;

/// Numbers like weights: mostly small, some large.
fn weights(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..n).map(|_| 0.02 * ((0..12).map(|_| uniform()).sum::<f32>() - 6.0)).collect()
}

fn decoded(ty: QuantType, bytes: &[u8], n: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    QMatRef::new(ty, 1, n, bytes).expect("a row").dequantize_row(0, &mut out);
    out
}

fn encoded(ty: QuantType, x: &[f32], importance: Option<&[f32]>) -> Vec<f32> {
    let mut out = vec![0; ty.row_bytes(x.len()).expect("whole blocks")];
    encode_row(ty, x, importance, &mut out);
    decoded(ty, &out, x.len())
}

fn relative_error(x: &[f32], y: &[f32]) -> f64 {
    let square = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>();
    (square(&mut x.iter().zip(y).map(|(a, b)| a - b)) / square(&mut x.iter().copied())).sqrt()
}

/// Round-to-nearest of the runtime's own, which its tests use.
fn nearest(ty: QuantType, x: &[f32]) -> Vec<f32> {
    fn all<B: Block>(x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        for (x, out) in x.chunks(B::LEN).zip(out.chunks_mut(B::LEN)) {
            B::quantize(x).dequantize(out);
        }
        out
    }
    use siskin::quant::*;
    match ty {
        QuantType::Q4_0 => all::<BlockQ4_0>(x),
        QuantType::Q4_1 => all::<BlockQ4_1>(x),
        QuantType::Q5_0 => all::<BlockQ5_0>(x),
        QuantType::Q5_1 => all::<BlockQ5_1>(x),
        QuantType::Q8_0 => all::<BlockQ8_0>(x),
        QuantType::Q2K => all::<BlockQ2K>(x),
        QuantType::Q3K => all::<BlockQ3K>(x),
        QuantType::Q4K => all::<BlockQ4K>(x),
        QuantType::Q5K => all::<BlockQ5K>(x),
        QuantType::Q6K => all::<BlockQ6K>(x),
        QuantType::IQ4NL => all::<BlockIQ4NL>(x),
        QuantType::IQ4XS => all::<BlockIQ4XS>(x),
        _ => x.to_vec(),
    }
}

#[test]
fn errors_are_those_of_the_type_and_searching_gains() {
    let x = weights(256 * 64, 1);
    // Relative errors in percent, as measured; the margin is for other seeds.
    for (ty, most) in [
        (QuantType::F32, 0.0),
        (QuantType::F16, 0.03),
        (QuantType::BF16, 0.25),
        (QuantType::Q8_0, 0.6),
        (QuantType::Q6K, 2.0),
        (QuantType::Q5K, 4.0),
        (QuantType::Q5_0, 4.6),
        (QuantType::Q5_1, 4.2),
        (QuantType::Q4K, 8.0),
        (QuantType::Q4_0, 9.5),
        (QuantType::Q4_1, 8.6),
        (QuantType::IQ4NL, 8.6),
        (QuantType::IQ4XS, 8.8),
        (QuantType::Q3K, 17.5),
        (QuantType::Q2K, 30.0),
    ] {
        let found = 100.0 * relative_error(&x, &encoded(ty, &x, None));
        assert!(found <= most, "{ty}: {found:.3} %");
        if !matches!(ty, QuantType::F32 | QuantType::F16 | QuantType::BF16 | QuantType::Q8_0) {
            let plain = 100.0 * relative_error(&x, &nearest(ty, &x));
            assert!(found < 0.98 * plain, "{ty}: {found:.3} % searched, {plain:.3} % nearest");
        }
    }
}

#[test]
fn what_matters_is_kept_better() {
    let x = weights(256 * 16, 2);
    let importance: Vec<f32> = (0..x.len()).map(|i| if i % 8 == 0 { 100.0 } else { 1.0 }).collect();
    let error = |y: &[f32]| {
        x.iter().zip(y).zip(&importance).map(|((x, y), w)| f64::from(w * (x - y).powi(2))).sum::<f64>()
    };
    for &ty in QuantType::ALL.iter().filter(|&&ty| can_encode(ty)) {
        let (without, with) = (error(&encoded(ty, &x, None)), error(&encoded(ty, &x, Some(&importance))));
        match ty {
            QuantType::F32 | QuantType::F16 | QuantType::BF16 | QuantType::Q8_0 => assert_eq!(with, without),
            _ => assert!(with < 0.9 * without, "{ty}: {with:e} with importance, {without:e} without"),
        }
    }
}

#[test]
fn odd_blocks() {
    for &ty in QuantType::ALL.iter().filter(|&&ty| can_encode(ty)) {
        for x in [vec![0.0; 256], vec![1.0; 256], vec![-3.0; 256], vec![1e-30; 256], vec![6e4; 256]] {
            let y = encoded(ty, &x, None);
            for (x, y) in x.iter().zip(&y) {
                assert!(y.is_finite() && (x - y).abs() <= 0.13 * x.abs() + 1e-6, "{ty}: {x} became {y}");
            }
        }
        let mut spike = vec![0.0; 256];
        spike[77] = -5.0;
        let y = encoded(ty, &spike, Some(&[0.0; 256]));
        assert!((y[77] + 5.0).abs() < 0.3, "{ty}: {}", y[77]);
    }
}

/// Wider vectors change nothing: the code that is compiled for all processors gives the same bytes.
#[test]
fn the_same_bytes_on_every_processor() {
    let x = weights(256 * 16, 3);
    let importance: Vec<f32> = (0..x.len()).map(|i| (i % 7) as f32).collect();
    for &ty in QuantType::ALL.iter().filter(|&&ty| can_encode(ty)) {
        for importance in [None, Some(&importance[..])] {
            let mut out = [(); 2].map(|()| vec![0; ty.row_bytes(x.len()).expect("whole blocks")]);
            encode(ty, &x, importance, &mut out[0]);
            encode_row(ty, &x, importance, &mut out[1]);
            assert!(out[0] == out[1], "{ty}");
        }
    }
}
