#![no_main]
//! A valid model with a few changes: loaded, and four tokens generated.

use siskin_fuzz::{Edit, edited, generate};

libfuzzer_sys::fuzz_target!(|edits: Vec<Edit>| {
    let untouched = edits.is_empty();
    let result = generate(edited(edits));
    assert!(!untouched || result.is_ok(), "the model itself must work: {result:?}");
});
