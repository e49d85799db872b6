//! Cases of `tokenizer_cases.json` and `tokenizers_real.json`.

use std::path::Path;

use serde_json::Value;
use siskin::tokenizer::{Detokenizer, Special, TokenId, Tokenizer};

use super::support::ids;

/// The cases of one tokenizer.
pub(crate) struct Vectors {
    cases: Vec<Value>,
    streaming: Vec<Value>,
    /// Whether byte tokens are apart from text, so that Hugging Face repairs damaged text in its own way.
    spm: bool,
    gemma4: bool,
}

impl Vectors {
    pub(crate) fn read(path: &Path) -> Self {
        Self::new(&serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON"))
    }

    pub(crate) fn new(value: &Value) -> Self {
        let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
        let kind = value["kind"].as_str().unwrap_or_default();
        let gemma4 = value["tokenizer"].as_str().is_some_and(|t| t.starts_with("gemma4"));
        Self { cases: list("cases"), streaming: list("streaming"), spm: kind == "spm" || gemma4, gemma4 }
    }

    /// Checks all; tells failures. How many cases equal only a recorded alternative.
    pub(crate) fn check(&self, tokenizer: &Tokenizer, fail: &mut dyn FnMut(String)) -> usize {
        assert!(!self.cases.is_empty(), "no cases");
        let inside = |case: &&Value| {
            let inside =
                ids(&case["ids"]).is_none_or(|ids| ids.iter().all(|id| (id.0 as usize) < tokenizer.len()));
            if !inside {
                eprintln!("skipped: {} has a token that this vocabulary has not", case["text"]);
            }
            inside
        };
        let alternatives = self
            .cases
            .iter()
            .filter(inside)
            .filter(|case| check_case(tokenizer, case, self.gemma4, fail))
            .count();
        for case in &self.streaming {
            check_streaming(tokenizer, case, self.spm, fail);
        }
        alternatives
    }
}

/// Whether only a recorded alternative is equal.
fn check_case(tokenizer: &Tokenizer, case: &Value, markers: bool, fail: &mut dyn FnMut(String)) -> bool {
    let text = case["text"].as_str().expect("a text");
    let mut alternative = false;
    let mut compare = |special: Special, expected: &[Option<Vec<TokenId>>]| {
        let found = tokenizer.encode(text, special).expect("encodes");
        match expected.iter().position(|e| e.as_ref() == Some(&found)) {
            Some(0) => {}
            Some(_) => alternative = true,
            None => fail(format!("{text:?} {special:?}\n  expected {:?}\n  found    {found:?}", expected[0])),
        }
    };
    let other = &case["llama_cpp_differs"];
    let plain = [ids(&case["ids"]), ids(&case["ids_sentencepiece"]), ids(&other["ids"])];
    compare(Special { add: false, parse: true }, &plain);
    compare(Special { add: true, parse: true }, &[ids(&case["ids_special"]), ids(&other["ids_special"])]);
    match ids(&case["ids_plain"]) {
        Some(expected) => compare(Special { add: false, parse: false }, &[Some(expected)]),
        None => compare(Special { add: false, parse: false }, &plain),
    }
    let ids = ids(&case["ids"]).expect("ids");
    for (show_special, key) in [(true, "decoded"), (false, "decoded_skip_special")] {
        let mut found = tokenizer.decode(&ids, show_special).expect("decodes");
        if markers && !show_special {
            found = found.replace("<|image|>", ""); // the file calls it a token to be shown
        }
        if Some(found.as_str()) != case[key].as_str() {
            fail(format!("{key} of {ids:?}\n  expected {:?}\n  found    {found:?}", case[key]));
        }
    }
    alternative
}

fn check_streaming(tokenizer: &Tokenizer, case: &Value, spm: bool, fail: &mut dyn FnMut(String)) {
    let ids = ids(&case["ids"]).expect("ids");
    let hex = case["bytes_hex"].as_array().expect("bytes");
    let mut detokenizer = Detokenizer::new(true, true);
    let (mut text, mut all) = (String::new(), Vec::new());
    for (i, (&id, hex)) in ids.iter().zip(hex).enumerate() {
        let mut bytes = Vec::new();
        tokenizer.append_token_bytes(id, &mut bytes, true).expect("a token");
        let shown: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        if Some(shown.as_str()) != hex.as_str() {
            fail(format!("bytes of {id:?}: expected {hex}, found {shown}"));
        }
        all.extend(bytes);
        detokenizer.push(tokenizer, id, &mut text).expect("a token");
        // What the recorded prefix shows of a character that is not there yet is held back. Hugging Face takes back
        // whole characters where a run of byte tokens is not finished: then the recorded prefix is shorter.
        if let Some(prefix) = case["decoded_prefixes"][i].as_str() {
            let whole = prefix.trim_end_matches('\u{FFFD}');
            let longest = case["text"].as_str().expect("a text");
            let fits = text == whole || (spm && text.starts_with(whole) && longest.starts_with(&text));
            if !fits {
                fail(format!("after {:?}: expected {whole:?}, found {text:?}", &ids[..=i]));
            }
        }
    }
    detokenizer.finish(&mut text);
    let whole = tokenizer.decode(&ids, true).expect("decodes");
    if text != whole {
        fail(format!("{ids:?}: streamed {text:?}, decoded {whole:?}"));
    }
    let expected = match case["decoded"].as_str() {
        // See the module `detok` about Hugging Face's way with damaged byte tokens.
        Some(_) if spm => String::from_utf8_lossy(&all).into_owned(),
        Some(decoded) => decoded.to_owned(),
        None => case["text"].as_str().expect("a text").to_owned(),
    };
    if text != expected {
        fail(format!("{ids:?}: expected {expected:?}, found {text:?}"));
    }
}
