#![no_main]
//! Any ids: the text streamed piece by piece is the text decoded at once.

use siskin::tokenizer::Detokenizer;
use siskin_fuzz::{Vocabulary, ids};

libfuzzer_sys::fuzz_target!(|input: (Vocabulary, bool, Vec<u16>)| {
    let (vocabulary, show_special, numbers) = input;
    let Ok(tokenizer) = vocabulary.tokenizer() else { return };
    let ids = ids(&numbers, &tokenizer);
    let (mut stream, mut text) = (Detokenizer::new(show_special, true), String::new());
    for &id in &ids {
        stream.push(&tokenizer, id, &mut text).expect("inside the vocabulary");
    }
    stream.finish(&mut text);
    assert_eq!(text, tokenizer.decode(&ids, show_special).expect("inside the vocabulary"));
});
