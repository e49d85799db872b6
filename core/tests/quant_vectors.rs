//! Every quantisation type against the reference set's vectors: rows of bytes, their values, and dot products.
//!
//! The reference set lies at `SISKIN_REFERENCE`, or at `../shared` beside the workspace; without it the test says that
//! it is skipped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use siskin::kernels::{Kernels, Scratch};
use siskin::quant::{ActFormat, QuantType};
use siskin::tensor::{Acts, QMatRef, QuantActs, Stripe};

/// A safetensors file: a length, a JSON header, and the data.
struct SafeTensors {
    header: BTreeMap<String, serde_json::Value>,
    data: Vec<u8>,
}

impl SafeTensors {
    fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("the vectors are readable");
        let (length, rest) = bytes.split_first_chunk::<8>().expect("a header length");
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Self { header: serde_json::from_slice(header).expect("a JSON header"), data: data.to_vec() }
    }

    /// The bytes of tensor `name`, if it is there and holds `dtype`.
    fn get(&self, name: &str, dtype: &str) -> Option<&[u8]> {
        let tensor = self.header.get(name)?;
        assert_eq!(tensor["dtype"], dtype, "{name}");
        let offset = |i: usize| tensor["data_offsets"][i].as_u64().expect("an offset") as usize;
        Some(&self.data[offset(0)..offset(1)])
    }

    fn f32s(&self, name: &str) -> Vec<f32> {
        let bytes = self.get(name, "F32").unwrap_or_else(|| panic!("no {name}"));
        bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    }

    fn f64s(&self, name: &str) -> Vec<f64> {
        let bytes = self.get(name, "F64").unwrap_or_else(|| panic!("no {name}"));
        bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect()
    }
}

/// `<reference>/conformance/public`, if it is there. A relative `SISKIN_REFERENCE` counts from the workspace.
fn conformance() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("core lies in the workspace");
    let reference = std::env::var_os("SISKIN_REFERENCE").unwrap_or_else(|| "../shared".into());
    let folder = workspace.join(reference).join("conformance/public");
    if folder.is_dir() {
        return Some(folder);
    }
    // Not `println!`: this must be seen although the test passes.
    let _ = writeln!(std::io::stderr(), "skipped: no reference set at {}", folder.display());
    None
}

/// `matrix` times `x` by `kernels`, activations quantised as the type asks.
fn product(kernels: &Kernels, matrix: QMatRef<'_>, x: &[f32]) -> Vec<f32> {
    let k = x.len();
    let mut out = vec![0.0; matrix.rows()];
    let mut stripe = Stripe::whole(&mut out, 1, matrix.rows());
    let mut scratch = Scratch::new(k);
    let format = matrix.ty().act_format();
    if format == ActFormat::F32 {
        kernels.matmul(matrix, &Acts::F32 { x, n: 1, k }, &mut stripe, &mut scratch);
    } else {
        let (mut qs, mut scales) = (vec![0; k], vec![0.0; k / format.block_len()]);
        let mut sums = vec![0; k / format.sum_len()];
        kernels.quantize(format, x, &mut qs, &mut scales, &mut sums);
        let acts = QuantActs::new(format, 1, k, &qs, &scales, &sums);
        kernels.matmul(matrix, &Acts::Quant(acts), &mut stripe, &mut scratch);
    }
    out
}

#[test]
fn values_and_dots_equal_the_reference() {
    let Some(folder) = conformance() else { return };
    let vectors = SafeTensors::open(&folder.join("quant_vectors/vectors.safetensors"));
    let x = vectors.f32s("x");
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let x_norm = norm(&mut x.iter().map(|&v| f64::from(v)));
    let mut seen = 0;
    for &ty in QuantType::ALL {
        for set in ["random", "real"] {
            let Some(bytes) = vectors.get(&format!("{ty}.{set}.bytes"), "U8") else {
                // F32 is no quantisation, and the set's maker could not write NVFP4.
                let known = ty == QuantType::F32 || (ty == QuantType::NVFP4 && set == "real");
                assert!(known, "{ty} has no {set} vectors");
                continue;
            };
            seen += 1;
            let want = vectors.f32s(&format!("{ty}.{set}.values"));
            let dots = vectors.f64s(&format!("{ty}.{set}.dot"));
            let matrix = QMatRef::new(ty, dots.len(), x.len(), bytes).expect("whole rows");
            let mut row = vec![0.0; x.len()];
            for (r, want) in want.chunks_exact(x.len()).enumerate() {
                matrix.dequantize_row(r, &mut row);
                for (i, (got, want)) in row.iter().zip(want).enumerate() {
                    assert_eq!(
                        got.to_bits(),
                        want.to_bits(),
                        "{ty} {set} row {r} value {i}: {got} not {want}"
                    );
                }
                let dot: f64 = row.iter().zip(&x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                let size = norm(&mut row.iter().map(|&v| f64::from(v))) * x_norm;
                assert!((dot - dots[r]).abs() <= 1e-13 * size, "{ty} {set} row {r}: {dot}, not {}", dots[r]);
                // The kernels: rounding only for float types; otherwise activations carry eight bits, an error of
                // about 0.5 / 127 of the largest per value, random in sign.
                let budget = if ty.act_format() == ActFormat::F32 { 1e-6 } else { 1.5e-3 };
                for name in Kernels::tiers().filter(|t| t.1).map(|t| t.0) {
                    let kernels = Kernels::by_name(name).expect("supported");
                    let got = f64::from(product(kernels, matrix, &x)[r]);
                    assert!(
                        (got - dots[r]).abs() <= budget * size,
                        "{name} {ty} {set} row {r}: {got}, not {} (scale {size})",
                        dots[r]
                    );
                }
            }
        }
    }
    assert_eq!(seen, 2 * QuantType::COUNT - 3);
}
