//! Products of weights and activations, and the quantisation of activations.

use super::data::{Floats, OwnedActs, Rng, Weights, weights};
use super::{assert_same, fast_tiers, nmse, oracle};
use crate::kernels::{Kernels, Scratch};
use crate::quant::{ActFormat, QuantType};
use crate::tensor::{QMatRef, StripeSource};

/// Rows of weights and tokens of the largest case; all others are parts of it.
const MOST: usize = 33;
const TOKENS: [usize; 12] = [1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, MOST];
const GUARD: f32 = -12_345.0;

fn row_counts() -> impl Iterator<Item = usize> {
    (1..=17).chain([MOST])
}

fn lengths(ty: QuantType) -> &'static [usize] {
    match ty.block_len() {
        1 => &[0, 1, 2, 3, 15, 16, 17, 31, 33, 64, 100],
        32 => &[0, 32, 64, 96, 160, 256, 288],
        64 => &[0, 64, 128, 192, 320],
        _ => &[0, 256, 512, 768, 1280],
    }
}

/// Weights of `rows` rows and activations of `n` tokens.
struct Product {
    ty: QuantType,
    k: usize,
    /// The same rows, at each of four misalignments.
    shifted: [Vec<u8>; 4],
    acts: OwnedActs,
}

impl Product {
    fn new(rng: &mut Rng, ty: QuantType, rows: usize, n: usize, k: usize, w: Weights, a: Floats) -> Self {
        let bytes = weights(rng, ty, rows * (k / ty.block_len()), w);
        let shifted = std::array::from_fn(|shift| {
            let mut shifted = vec![0x5a; shift + 4];
            // The allocation may begin anywhere; count from an address that is a multiple of four.
            shifted.reserve_exact(bytes.len() + 8);
            let pad = shifted.as_ptr().align_offset(4) % 4;
            shifted.truncate(pad + shift);
            shifted.extend_from_slice(&bytes);
            shifted
        });
        let acts = OwnedActs::new(ty.act_format(), n, k, rng.floats(n * k, a));
        Self { ty, k, shifted, acts }
    }

    /// Rows `r0..r0 + rows` times tokens `t0..t0 + n`: `[n, rows]`, written through a stripe of a wider matrix.
    fn run(
        &self,
        kernels: &Kernels,
        shift: usize,
        (r0, rows): (usize, usize),
        (t0, n): (usize, usize),
    ) -> Vec<f32> {
        let row_bytes = self.ty.row_bytes(self.k).expect("whole blocks");
        let bytes = &self.shifted[shift];
        let at = bytes.as_ptr().align_offset(4) % 4 + shift + r0 * row_bytes;
        let at = at.min(bytes.len());
        let w = QMatRef::new(self.ty, rows, self.k, &bytes[at..at + rows * row_bytes]).expect("whole rows");
        let mut out = vec![GUARD; n * (rows + 3)];
        let source = StripeSource::new(&mut out, n, rows + 3);
        // SAFETY: the only stripe.
        let mut stripe = unsafe { source.tile(0..n, 1..rows + 1) };
        kernels.matmul(w, &self.acts.view(t0, n), &mut stripe, &mut Scratch::new(self.k));
        let mut inside = Vec::with_capacity(n * rows);
        for row in out.chunks_exact(rows + 3) {
            assert!(
                row[0] == GUARD && row[rows + 1..] == [GUARD; 2],
                "{} wrote beside its stripe",
                kernels.name()
            );
            inside.extend_from_slice(&row[1..=rows]);
        }
        inside
    }
}

#[test]
fn tiers_equal_scalar() {
    let mut rng = Rng(1);
    let mut cases = 0;
    for &ty in QuantType::ALL {
        for &k in lengths(ty) {
            for (w, a) in [
                (Weights::Plain, Floats::Plain),
                (Weights::Plain, Floats::Special),
                (Weights::Wild, Floats::Wide),
                (Weights::Wild, Floats::Sparse),
                (Weights::Extreme, Floats::Extreme),
                (Weights::Plain, Floats::Small),
            ] {
                let product = Product::new(&mut rng, ty, MOST, MOST, k, w, a);
                let all = product.run(oracle(), 0, (0, MOST), (0, MOST));
                for tier in fast_tiers() {
                    for rows in row_counts() {
                        for n in TOKENS {
                            // All shapes for ordinary numbers, one in nine for each of the others.
                            if a != Floats::Plain && rng.below(9) != 0 {
                                continue;
                            }
                            let (r0, t0) = (rng.below(MOST - rows + 1), rng.below(MOST - n + 1));
                            let got = product.run(tier, cases % 4, (r0, rows), (t0, n));
                            for (t, got) in got.chunks_exact(rows).enumerate() {
                                let want = &all[(t0 + t) * MOST + r0..][..rows];
                                assert_same(got, want, || {
                                    format!(
                                        "{} {ty} k={k} rows={rows} tokens={n} ({w:?} weights, {a:?} activations), token {t}",
                                        tier.name()
                                    )
                                });
                            }
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(fast_tiers().next().is_none() || cases > 25_000, "only {cases} cases");
}

#[test]
fn tiers_equal_scalar_when_large() {
    let mut rng = Rng(2);
    for &ty in QuantType::ALL {
        for (rows, n, k) in [(70, 67, 2048), (5, 130, 1024 + 256), (131, 1, 4096 + 512)] {
            let product = Product::new(&mut rng, ty, rows, n, k, Weights::Plain, Floats::Plain);
            if fast_tiers().next().is_none() {
                return;
            }
            let want = product.run(oracle(), 0, (0, rows), (0, n));
            for tier in fast_tiers() {
                let got = product.run(tier, 3, (0, rows), (0, n));
                assert_same(&got, &want, || format!("{} {ty} k={k} rows={rows} tokens={n}", tier.name()));
            }
        }
    }
}

#[test]
fn a_batch_equals_its_tokens_one_by_one() {
    let mut rng = Rng(3);
    for &ty in QuantType::ALL {
        let (rows, n, k) = (19, 18, 512);
        let product = Product::new(&mut rng, ty, rows, n, k, Weights::Wild, Floats::Plain);
        for tier in fast_tiers().chain([oracle()]) {
            let batch = product.run(tier, 1, (0, rows), (0, n));
            for t in 0..n {
                let one = product.run(tier, 2, (0, rows), (t, 1));
                assert_same(&one, &batch[t * rows..][..rows], || format!("{} {ty} token {t}", tier.name()));
            }
            for r in 0..rows {
                let one = product.run(tier, 0, (r, 1), (0, n));
                let column: Vec<f32> = (0..n).map(|t| batch[t * rows + r]).collect();
                assert_same(&one, &column, || format!("{} {ty} row {r}", tier.name()));
            }
        }
    }
}

/// Normalised squared error of a product against `f64`; RELIABILITY promises 1e-7. Only the roundings between blocks
/// remain, so the budget is far smaller.
fn budget(ty: QuantType) -> f64 {
    match ty.act_format() {
        ActFormat::F32 => 1e-13,
        // A difference of two nearly equal sums: the value and the minimum.
        _ if matches!(ty, QuantType::Q4_1 | QuantType::Q5_1) => 1e-12,
        _ => 1e-13,
    }
}

#[test]
fn scalar_is_close_to_f64() {
    let mut rng = Rng(4);
    for &ty in QuantType::ALL {
        for (w, a) in [
            (Weights::Plain, Floats::Plain),
            (Weights::Plain, Floats::Sparse),
            (Weights::Extreme, Floats::Plain),
        ] {
            let (rows, n, k) = (9, 5, 1024);
            let product = Product::new(&mut rng, ty, rows, n, k, w, a);
            let got = product.run(oracle(), 0, (0, rows), (0, n));
            let row_bytes = ty.row_bytes(k).expect("whole blocks");
            let bytes = &product.shifted[0][product.shifted[0].len() - rows * row_bytes..];
            let matrix = QMatRef::new(ty, rows, k, bytes).expect("whole rows");
            let mut want = vec![0.0; n * rows];
            let mut row = vec![0.0; k];
            for r in 0..rows {
                matrix.dequantize_row(r, &mut row);
                for t in 0..n {
                    let x = product.acts.decoded(t);
                    want[t * rows + r] = row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum();
                }
            }
            let error = nmse(&got, &want);
            assert!(error <= budget(ty), "{ty} ({w:?}, {a:?}): error {error:e} is over {:e}", budget(ty));
        }
    }
}

/// The definition, as plainly as it can be said.
fn quantize_plainly(x: &[f32], sum_len: usize) -> (Vec<i8>, f32, Vec<i16>) {
    let amax = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let (scale, inverse) = match 127.0 / amax {
        _ if x.iter().any(|v| !v.is_finite()) => (f32::NAN, 0.0),
        inverse if inverse.is_infinite() => (0.0, 0.0),
        inverse => (amax / 127.0, inverse),
    };
    let q = |v: &f32| if inverse == 0.0 { 0 } else { (v * inverse).round_ties_even() as i8 };
    let qs: Vec<i8> = x.iter().map(q).collect();
    let sums = qs.chunks_exact(sum_len).map(|c| c.iter().map(|&q| i16::from(q)).sum()).collect();
    (qs, scale, sums)
}

#[test]
fn quantisation_of_activations_is_as_defined() {
    let mut rng = Rng(5);
    let mut cases = 0;
    for format in [ActFormat::Q8x32, ActFormat::Q8x256] {
        let len = format.block_len();
        for tier in fast_tiers().chain([oracle()]) {
            for kind in Floats::ALL {
                for blocks in (0..=9).chain([17, 33]) {
                    let x = rng.floats(blocks * len, kind);
                    let mut qs = vec![99; x.len()];
                    let mut scales = vec![GUARD; blocks];
                    let mut sums = vec![-99; x.len() / format.sum_len()];
                    tier.quantize(format, &x, &mut qs, &mut scales, &mut sums);
                    for (b, x) in x.chunks_exact(len).enumerate() {
                        let (want_qs, want_scale, want_sums) = quantize_plainly(x, format.sum_len());
                        let per_block = len / format.sum_len();
                        assert_same(&scales[b..=b], &[want_scale], || {
                            format!("{} {format:?} {kind:?}", tier.name())
                        });
                        assert_eq!(&qs[b * len..][..len], want_qs, "{} {format:?} {kind:?}", tier.name());
                        assert_eq!(&sums[b * per_block..][..per_block], want_sums, "{}", tier.name());
                    }
                    cases += 1;
                }
            }
        }
    }
    assert!(cases >= 144, "only {cases} cases");
}
