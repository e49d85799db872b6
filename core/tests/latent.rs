//! Latent attention: files that have the matrix of keys and values in one say the same as files that have it in two.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

mod common;

use siskin::engine::{Model, ModelOptions};
use siskin::gguf::GgufFile;
use siskin::gguf::write::GgufWriter;
use siskin::kv_cache::KvType;
use siskin::quant::QuantType::F32;
use siskin::session::SessionOptions;

const WIDTH: usize = 64;
const HEADS: usize = 3;
const RANK: usize = 48;
const PLAIN: usize = 16;
const ROPE: usize = 8;
const VALUE: usize = 24;
const LAYERS: usize = 2;

/// `attn_kv_b` of layer `i`: `[heads][plain keys, then values][rank]`.
fn keys_and_values(i: usize) -> Vec<f32> {
    random(1000 + i as u64, HEADS * (PLAIN + VALUE) * RANK)
}

fn random(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = common::Rng(seed);
    (0..n).map(|_| (rng.below(2001) as f32 / 1000.0 - 1.0) * 0.3).collect()
}

/// The model with the matrix in two, or in one.
fn model(in_two: bool) -> Model {
    let mut w = GgufWriter::new();
    w.set("general.architecture", "deepseek2");
    let (key, value) = if in_two { (RANK + ROPE, RANK) } else { (PLAIN + ROPE, VALUE) };
    let mut sizes = vec![
        ("block_count", LAYERS),
        ("context_length", 1024),
        ("embedding_length", WIDTH),
        ("feed_forward_length", WIDTH),
        ("attention.head_count", HEADS),
        ("attention.key_length", key),
        ("attention.value_length", value),
        ("attention.kv_lora_rank", RANK),
        ("rope.dimension_count", ROPE),
    ];
    if in_two {
        sizes.extend([("attention.key_length_mla", PLAIN + ROPE), ("attention.value_length_mla", VALUE)]);
    }
    for (name, value) in sizes {
        w.set(&format!("deepseek2.{name}"), &(value as u32));
    }
    w.set("deepseek2.attention.layer_norm_rms_epsilon", &1e-6f32);
    common::vocabulary(&mut w);
    let mut t = |name: &str, dims: &[usize]| {
        w.tensor(name, F32, dims).unwrap();
    };
    t("token_embd.weight", &[WIDTH, common::VOCAB]);
    t("output_norm.weight", &[WIDTH]);
    for i in 0..LAYERS {
        let mut t = |name: &str, dims: &[usize]| t(&format!("blk.{i}.{name}.weight"), dims);
        t("attn_norm", &[WIDTH]);
        t("ffn_norm", &[WIDTH]);
        t("attn_q", &[WIDTH, HEADS * (PLAIN + ROPE)]);
        t("attn_kv_a_mqa", &[WIDTH, RANK + ROPE]);
        t("attn_kv_a_norm", &[RANK]);
        if in_two {
            t("attn_k_b", &[PLAIN, RANK, HEADS]);
            t("attn_v_b", &[RANK, VALUE, HEADS]);
        } else {
            t("attn_kv_b", &[RANK, HEADS * (PLAIN + VALUE)]);
        }
        t("attn_output", &[HEADS * VALUE, WIDTH]);
        t("ffn_gate", &[WIDTH, WIDTH]);
        t("ffn_up", &[WIDTH, WIDTH]);
        t("ffn_down", &[WIDTH, WIDTH]);
    }
    let bytes = w.to_bytes(|plan| {
        let layer: usize = plan.name.split('.').nth(1).and_then(|i| i.parse().ok()).unwrap_or(0);
        let both = keys_and_values(layer);
        let row = |head: usize, i: usize| &both[(head * (PLAIN + VALUE) + i) * RANK..][..RANK];
        let values: Vec<f32> = if plan.name.contains("attn_kv_b") {
            both.clone()
        } else if plan.name.contains("attn_k_b") {
            let keys = |head| (0..RANK).flat_map(move |r| (0..PLAIN).map(move |i| (head, i, r)));
            (0..HEADS).flat_map(keys).map(|(head, i, r)| row(head, i)[r]).collect()
        } else if plan.name.contains("attn_v_b") {
            (0..HEADS).flat_map(|head| (0..VALUE).flat_map(move |i| row(head, PLAIN + i).to_vec())).collect()
        } else {
            let seed = plan.name.bytes().fold(0u64, |seed, b| seed.wrapping_mul(31) + u64::from(b));
            random(seed, plan.dims.iter().product())
        };
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    });
    let file = GgufFile::from_bytes(bytes.unwrap()).unwrap();
    Model::from_gguf(file, &ModelOptions { threads: Some(2), ..ModelOptions::default() }).unwrap()
}

#[test]
fn one_matrix_of_keys_and_values_is_the_same_as_two() {
    let prompt = common::prompt(300);
    let logits = |in_two: bool| {
        let model = model(in_two);
        let options = SessionOptions { context: Some(400), batch: 32, kv_type: KvType::F32, logit_rows: 1 };
        let mut session = model.session(&options).unwrap();
        session.prefill(&prompt).unwrap();
        let first = session.logits().to_vec();
        session.prefill(&prompt[..3]).unwrap();
        [first, session.logits().to_vec()]
    };
    for (two, one) in logits(true).iter().zip(&logits(false)) {
        let largest = two.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let difference = two.iter().zip(one).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(largest > 0.1 && difference < 1e-4 * largest, "{difference:e} of {largest}");
    }
}
