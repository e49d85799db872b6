//! Files whose last layers only predict further tokens run without these.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

mod common;
#[path = "common/edit.rs"]
mod edit;

use edit::Edit;
use siskin::engine::{Model, ModelOptions};
use siskin::error::Result;
use siskin::gguf::GgufFile;
use siskin::session::SessionOptions;
use siskin::tokenizer::TokenId;

/// The tiny Qwen, which has seven layers, as of `blocks` layers of which the last `predictors` predict further tokens.
fn open(blocks: u32, predictors: u32) -> Result<Model> {
    let numbers = vec![("qwen2.block_count", blocks), ("qwen2.nextn_predict_layers", predictors)];
    let edit = Edit { numbers, tensors: vec!["blk.7.nextn.eh_proj.weight"], ..Edit::default() };
    let bytes = edit.of(&GgufFile::from_bytes(common::tiny_file("qwen2")).unwrap());
    Model::from_gguf(GgufFile::from_bytes(bytes).unwrap(), &ModelOptions::default())
}

fn logits(model: &Model) -> Vec<u32> {
    let mut session = model.session(&SessionOptions::default()).unwrap();
    session.prefill(&[5, 6, 7].map(TokenId)).unwrap();
    session.logits().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn they_are_left_out() {
    let plain =
        Model::from_gguf(GgufFile::from_bytes(common::tiny_file("qwen2")).unwrap(), &ModelOptions::default());
    assert_eq!(logits(&open(8, 1).unwrap()), logits(&plain.unwrap()));
}

#[test]
fn other_layers_must_be_whole() {
    let e = open(8, 0).unwrap_err();
    assert!(e.tensor().is_some_and(|t| t.starts_with("blk.7.")), "{e}");
    let e = open(7, 0).unwrap_err();
    assert_eq!(e.tensor(), Some("blk.7.nextn.eh_proj.weight"), "{e}");
    let e = open(8, 8).unwrap_err();
    assert_eq!(e.key(), Some("qwen2.block_count"), "{e}");
}
