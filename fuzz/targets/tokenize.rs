#![no_main]
//! Any vocabulary and any text: encoded and decoded.

use siskin::tokenizer::Special;
use siskin_fuzz::Vocabulary;

libfuzzer_sys::fuzz_target!(|input: (Vocabulary, bool, String)| {
    let (vocabulary, parse, text) = input;
    let Ok(tokenizer) = vocabulary.tokenizer() else { return };
    let Ok(ids) = tokenizer.encode(&text, Special { add: true, parse }) else { return };
    assert!(ids.iter().all(|id| (id.0 as usize) < tokenizer.len()));
    tokenizer.decode(&ids, true).expect("what was encoded can be decoded");
});
