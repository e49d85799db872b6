//! A folder made a file: what llama.cpp's converter makes of the same folder, weight by weight.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is a failure; skips are shown")]

use siskin::gguf::{GgufFile, TensorInfo};
use siskin::tensor::QMatRef;
use siskin_quantize::{Conversion, Options, Recipe};
use std::path::{Path, PathBuf};

fn reference(family: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("SISKIN_REFERENCE").map_or(root, PathBuf::from);
    let path = root.join("conformance/public").join(family);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: the reference set has no {family} (set SISKIN_REFERENCE)");
    None
}

fn floats(tensor: &TensorInfo) -> Vec<f32> {
    let (cols, all) = (tensor.dims()[0], tensor.elements());
    let matrix = QMatRef::new(tensor.quant_type().unwrap(), all / cols, cols, tensor.bytes()).unwrap();
    let mut values = vec![0.0; all];
    values.chunks_exact_mut(cols).enumerate().for_each(|(row, out)| matrix.dequantize_row(row, out));
    values
}

#[test]
fn rows_and_columns_are_where_other_programs_look_for_them() {
    for family in ["llama3", "qwen3_5", "gemma3n"] {
        let Some(folder) = reference(family) else { return };
        let source = siskin::hf::open(folder.join("hf")).unwrap();
        let options =
            Options { recipe: Recipe::F32, importance: None, tensors: Vec::new(), requantize: false };
        let mut bytes = Vec::new();
        Conversion::new(&source, &options).unwrap().write(&mut bytes, 2, &mut |_| true).unwrap();
        let (ours, theirs) =
            (GgufFile::from_bytes(bytes).unwrap(), GgufFile::open(folder.join("model.gguf")).unwrap());
        assert!(
            !ours
                .metadata()
                .iter()
                .any(|(key, _)| key.starts_with("siskin.delta") || key.starts_with("siskin.rope"))
        );
        // What llama.cpp does not open such a file without.
        if family == "qwen3_5" {
            let key = "qwen35.rope.dimension_sections";
            let of = |file: &GgufFile| file.metadata().require::<Vec<i32>>(key).unwrap();
            assert_eq!(of(&ours), of(&theirs));
        }
        let mut compared = 0;
        for tensor in theirs.tensors() {
            let Some(own) = ours.tensors().get(tensor.name()) else { continue };
            assert_eq!(own.dims(), tensor.dims(), "{family}: {}", tensor.name());
            let (own, want) = (floats(own), floats(tensor));
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 0.01 * b.abs() + 1e-6; // they round some to BF16
            assert!(own.iter().zip(&want).all(close), "{family}: {}", tensor.name());
            compared += 1;
        }
        assert!(compared * 10 >= theirs.tensors().iter().count() * 9, "{family}: {compared} tensors");
    }
}
