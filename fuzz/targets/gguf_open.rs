#![no_main]
//! Any bytes as a file: opened, everything read, and checked as an adapter for the tiny model.

use siskin::gguf::{Adapter, GgufFile};
use siskin_fuzz::MODEL;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(file) = GgufFile::from_bytes(data.to_vec()) else { return };
    for (key, value) in file.metadata().iter() {
        assert!(file.metadata().get(key).is_some());
        let _ = (value.to_string(), file.metadata().per_layer::<usize>(key, 3), file.metadata().require::<String>(key));
    }
    for tensor in file.tensors() {
        std::hint::black_box(tensor.bytes().iter().fold(0u8, |a, &b| a ^ b));
        let _ = (tensor.quant_type(), tensor.type_name(), tensor.elements());
    }
    let base = GgufFile::from_bytes(MODEL.clone()).expect("valid");
    let _ = Adapter::new(&file, &base);
});
