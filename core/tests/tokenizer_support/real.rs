//! Metadata of a GGUF file, as the converters of the families write it, from a published `tokenizer.json`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use siskin::gguf::GgufFile;
use siskin::gguf::write::GgufWriter;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// `pre`: the pre-tokenizer, or `None` for a SentencePiece vocabulary. `bos`: the token that starts a text.
pub(crate) fn gguf_of(path: &Path, pre: Option<&str>, bos: Option<u32>) -> GgufFile {
    let json: Value = serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
    let model = &json["model"];
    let vocab = model["vocab"].as_object().expect("a vocabulary");
    let added = json["added_tokens"].as_array().expect("added tokens");
    let id_of = |value: &Value| value.as_u64().expect("an id") as usize;
    let count =
        vocab.values().map(id_of).chain(added.iter().map(|t| id_of(&t["id"]))).max().expect("tokens") + 1;

    let mut tokens: Vec<String> = (0..count).map(|i| format!("[PAD{i}]")).collect();
    let mut types = vec![UNUSED; count];
    for (text, id) in vocab {
        let id = id_of(id);
        types[id] = if pre.is_none() && text.len() == 6 && text.starts_with("<0x") { BYTE } else { NORMAL };
        tokens[id] = text.clone();
    }
    for token in added {
        let id = id_of(&token["id"]);
        tokens[id] = token["content"].as_str().expect("a text").to_owned();
        if pre.is_none() {
            tokens[id] = tokens[id].replace('▁', " ");
        }
        types[id] = if token["special"] == true { CONTROL } else { USER_DEFINED };
    }
    let merges: Vec<String> = model["merges"]
        .as_array()
        .expect("merges")
        .iter()
        .map(|merge| match merge {
            Value::String(merge) => merge.clone(),
            pair => format!("{} {}", pair[0].as_str().expect("a text"), pair[1].as_str().expect("a text")),
        })
        .collect();

    let mut file = GgufWriter::new();
    let strings = |list: &[String]| -> Vec<Vec<u8>> { list.iter().map(|s| s.clone().into_bytes()).collect() };
    file.set("general.architecture", "test");
    file.set("tokenizer.ggml.tokens", &strings(&tokens)[..]);
    file.set("tokenizer.ggml.token_type", &types[..]);
    if let Some(bos) = bos {
        file.set("tokenizer.ggml.bos_token_id", &bos);
    }
    file.set("tokenizer.ggml.add_bos_token", &bos.is_some());
    match pre {
        Some(pre) => {
            file.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", pre);
            file.set("tokenizer.ggml.merges", &strings(&merges)[..]);
        }
        None => {
            // The score of a token is the better, the earlier the list makes it.
            let ids: HashMap<&str, usize> =
                vocab.iter().map(|(text, id)| (text.as_str(), id_of(id))).collect();
            let mut scores = vec![0.0f32; count];
            for (rank, merge) in merges.iter().enumerate().rev() {
                let space = merge.char_indices().skip(1).find(|c| c.1 == ' ').expect("two sides").0;
                let joined = [&merge[..space], &merge[space + 1..]].concat();
                scores[ids[joined.as_str()]] = -(rank as f32);
            }
            let prefix = json["normalizer"].to_string().contains("Prepend");
            file.set("tokenizer.ggml.model", "llama").set("tokenizer.ggml.scores", &scores[..]);
            file.set("tokenizer.ggml.add_space_prefix", &prefix);
        }
    }
    let bytes = file.to_bytes(|_| Vec::new()).expect("no tensors");
    GgufFile::from_bytes(bytes).expect("well-formed")
}
