//! Scales that files keep beside matrices.

use super::*;
use crate::gguf::GgufFile;
use crate::gguf::write::GgufWriter;
use crate::quant::QuantType;

/// A file with matrices `[2, 64]` of type `ty`, three of them in `experts`, and these scales, 0.5 each.
fn file(ty: QuantType, scales: &[(&str, usize)]) -> GgufFile {
    let mut w = GgufWriter::new();
    w.set("general.architecture", "x");
    w.tensor("a.weight", ty, &[64, 2]).expect("a shape");
    w.tensor("experts.weight", ty, &[64, 2, 3]).expect("a shape");
    for (name, len) in scales {
        w.tensor(name, QuantType::F32, &[*len]).expect("a shape");
    }
    let bytes = w.to_bytes(|t| match t.name.contains("scale") {
        true => 0.5f32.to_le_bytes().repeat(t.bytes / 4),
        false => vec![0; t.bytes],
    });
    GgufFile::from_bytes(bytes.expect("written")).expect("valid")
}

/// The scales of `a` and of the second expert, if the file binds.
fn bound(file: &GgufFile) -> Result<[Option<f32>; 2]> {
    let mut b = Binder::new(file.tensors());
    let a = b.linear("a", 2, 64, Bias::IfPresent)?;
    let mut experts = b.stack("experts", (3, 2, 64))?;
    b.scale_stack("experts", &mut experts, 3)?;
    b.finish()?;
    Ok([a.scale, experts.scale(1)])
}

#[test]
fn scales_of_nvfp4_are_bound_and_others_refused() {
    let both = [("a.scale", 1), ("experts.scale", 3), ("a.input_scale", 1), ("experts.input_scale", 3)];
    assert_eq!(bound(&file(QuantType::NVFP4, &both)).expect("binds"), [Some(0.5); 2]);
    assert_eq!(bound(&file(QuantType::NVFP4, &[])).expect("binds"), [None; 2]);
    let refused =
        |ty, scales: &[_]| bound(&file(ty, scales)).expect_err("refused").tensor().map(str::to_owned);
    assert_eq!(refused(QuantType::Q4_0, &both[..1]).as_deref(), Some("a.scale"));
    assert_eq!(refused(QuantType::NVFP4, &[("a.scale", 2)]).as_deref(), Some("a.scale"));
    // What is looked up has no scale.
    let file = file(QuantType::NVFP4, &both[..1]);
    let mut b = Binder::new(file.tensors());
    b.table("a", 2, 64, Bias::IfPresent).expect("binds");
    assert!(b.finish().is_err());
}
