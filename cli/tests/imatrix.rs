//! `imatrix`: what it measures of experts, and that `quantize` heeds it.

mod common;

use common::{folder, model, output, siskin};
use siskin::gguf::{GgufFile, TensorInfo};
use siskin::quant::QuantType;
use siskin::tensor::QMatRef;
use std::path::Path;

fn floats(tensor: &TensorInfo) -> Vec<f32> {
    let mut values = vec![0.0; tensor.elements()];
    QMatRef::new(QuantType::F32, 1, values.len(), tensor.bytes())
        .expect("F32")
        .dequantize_row(0, &mut values);
    values
}

fn runs<const N: usize>(args: [&Path; N]) {
    let out = output(&mut siskin(args));
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn every_expert_is_measured_by_itself() {
    for family in ["qwen3_moe", "llama4"] {
        let Some(model) = model(family) else { return };
        let dir = folder(&format!("imatrix-{family}"));
        let path = |name: &str| dir.join(name);
        std::fs::write(path("text"), "A finch eats seeds, a siskin those of alders. ".repeat(40))
            .expect("written");
        let arg = Path::new;
        runs([
            arg("imatrix"),
            &model,
            &path("text"),
            &path("imatrix.gguf"),
            arg("--ctx"),
            arg("64"),
            arg("--chunks"),
            arg("2"),
        ]);
        let (file, imatrix) = (
            GgufFile::open(&model).expect("a model"),
            GgufFile::open(path("imatrix.gguf")).expect("what was written"),
        );
        let arch: String = file.metadata().require("general.architecture").expect("there");
        let used: u32 = file.metadata().require(&format!("{arch}.expert_used_count")).expect("there");
        let mut asked = 0;
        for tensor in file.tensors().iter().filter(|t| t.name().contains("_exps.weight")) {
            let (columns, experts) = (tensor.dims()[0], tensor.dims()[2]);
            let of = |suffix: &str| {
                imatrix.tensors().get(&format!("{}.{suffix}", tensor.name())).expect("measured")
            };
            let (sums, counts) = (of("in_sum2"), of("counts"));
            assert_eq!(
                (sums.dims(), counts.dims()),
                (&[columns, experts][..], &[1, experts][..]),
                "{}",
                tensor.name()
            );
            // Two windows of 64 tokens, each at so many experts.
            let counts = floats(counts);
            assert_eq!(counts.iter().sum::<f32>(), (128 * used) as f32, "{family}: {}", tensor.name());
            for (sums, &count) in floats(sums).chunks_exact(columns).zip(&counts) {
                assert_eq!(sums.iter().any(|&s| s > 0.0), count > 0.0, "{family}: {}", tensor.name());
            }
            asked += 1;
        }
        assert!(asked >= 3, "{family}: {asked} tensors of experts");

        runs([arg("quantize"), &model, &path("plain.gguf"), arg("--type"), arg("Q4_0")]);
        runs([
            arg("quantize"),
            &model,
            &path("measured.gguf"),
            arg("--type"),
            arg("Q4_0"),
            arg("--imatrix"),
            &path("imatrix.gguf"),
        ]);
        let (plain, measured) = (
            GgufFile::open(path("plain.gguf")).expect("what was written"),
            GgufFile::open(path("measured.gguf")).expect("what was written"),
        );
        let changed = |t: &&TensorInfo| {
            measured.tensors().get(t.name()).is_some_and(|m| m.bytes()[..] != t.bytes()[..])
        };
        let experts =
            plain.tensors().iter().filter(|t| t.name().contains("_exps.weight")).filter(changed).count();
        assert_eq!(experts, asked, "{family}: matrices of experts that the measurement changes");
    }
}
