//! What files leave unsaid.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

use super::spec;
use crate::gguf::GgufFile;
use crate::gguf::write::GgufWriter;
use crate::model::spec::{AttentionSpec, FfnSpec, GqaSpec, ModelSpec};

/// The specification of a model of four layers whose file says besides what `more` sets.
fn of(arch: &str, more: impl Fn(&mut GgufWriter)) -> ModelSpec {
    let mut w = GgufWriter::new();
    w.set("general.architecture", arch);
    for (name, value) in [
        ("block_count", 4u32),
        ("context_length", 8192),
        ("embedding_length", 256),
        ("feed_forward_length", 512),
        ("attention.head_count", 4),
    ] {
        w.set(&format!("{arch}.{name}"), &value);
    }
    w.set(&format!("{arch}.attention.layer_norm_rms_epsilon"), &1e-6f32);
    more(&mut w);
    let file = GgufFile::from_bytes(w.to_bytes(|_| Vec::new()).unwrap()).unwrap();
    spec(file.metadata(), 100).unwrap()
}

fn attention(spec: &ModelSpec, layer: usize) -> GqaSpec {
    match spec.layers[layer].attention {
        AttentionSpec::Gqa(gqa) => gqa,
        ref other => panic!("{other:?}"),
    }
}

fn yarn(w: &mut GgufWriter, arch: &str) {
    w.set(&format!("{arch}.rope.scaling.type"), "yarn").set(&format!("{arch}.rope.scaling.factor"), &8f32);
}

#[test]
fn olmo_3_scales_positions_in_global_layers_alone() {
    let spec = of("olmo2", |w| {
        w.set("olmo2.attention.sliding_window", &64u32).set("olmo2.rope.freq_base", &5e5f32);
        yarn(w, "olmo2");
    });
    for layer in 0..4 {
        let a = attention(&spec, layer);
        let rope = spec.ropes[a.rope.unwrap()];
        assert_eq!(rope.base, 5e5);
        assert_eq!(a.window.is_some(), layer != 3);
        match layer {
            3 => assert!(rope.yarn.is_some() && rope.position_divisor == 8.0 && rope.magnitude > 1.0),
            _ => assert!(rope.yarn.is_none() && rope.position_divisor == 1.0 && rope.magnitude == 1.0),
        }
    }
}

/// llama.cpp: the type is linear unless another is stated; a factor of 0 or none is 1.
#[test]
fn linear_scaling() {
    let divisor = |kind: Option<&str>, values: &[(&str, f32)]| {
        let spec = of("llama", |w| {
            if let Some(kind) = kind {
                w.set("llama.rope.scaling.type", kind);
            }
            for (name, value) in values {
                w.set(&format!("llama.rope.{name}"), value);
            }
        });
        spec.ropes[0].position_divisor
    };
    assert_eq!(divisor(None, &[]), 1.0);
    assert_eq!(divisor(None, &[("scaling.factor", 4.0)]), 4.0);
    assert_eq!(divisor(None, &[("scale_linear", 2.0)]), 2.0);
    assert_eq!(divisor(Some("linear"), &[("scaling.factor", 4.0)]), 4.0);
    assert_eq!(divisor(Some("linear"), &[]), 1.0);
    assert_eq!(divisor(Some("linear"), &[("scaling.factor", 0.0)]), 1.0);
    assert_eq!(divisor(Some("none"), &[("scaling.factor", 4.0)]), 1.0);
}

#[test]
fn windows_that_files_do_not_state() {
    let spec = of("gemma2", |_| {});
    assert_eq!([0, 1].map(|i| attention(&spec, i).window), [Some(4096), None]);
    // An architecture of Gemma 3's files without windows: then all positions turn by the usual base.
    let spec = of("gemma3", |_| {});
    assert!((0..4).all(|i| attention(&spec, i).window.is_none()));
    assert!((0..4).all(|i| spec.ropes[attention(&spec, i).rope.unwrap()].base == 1e6));
}

#[test]
fn gemma_3n_caps_logits() {
    let spec = of("gemma3n", |w| {
        w.set("gemma3n.altup.num_inputs", &4u32).set("gemma3n.embedding_length_per_layer_input", &64u32);
    });
    assert_eq!(spec.head.softcap, Some(30.0));
}

#[test]
fn gpt_oss_does_not_round_the_ramp() {
    let rounded = |key: Option<bool>| {
        let spec = of("gpt-oss", |w| {
            for (name, value) in [("expert_count", 8u32), ("expert_used_count", 2)] {
                w.set(&format!("gpt-oss.{name}"), &value);
            }
            yarn(w, "gpt-oss");
            if let Some(key) = key {
                w.set("gpt-oss.rope.scaling.yarn_truncate", &key);
            }
        });
        spec.ropes[0].yarn.unwrap().rounded
    };
    assert_eq!([None, Some(false), Some(true)].map(rounded), [false, false, true]);
}

/// Qwen1.5-MoE as it was converted at first: 5632 rows for 4 experts of 1408, and as many in the shared one.
#[test]
fn first_files_of_qwen_with_experts() {
    let spec = of("qwen2moe", |w| {
        w.set("qwen2moe.expert_count", &8u32).set("qwen2moe.expert_used_count", &4u32);
    });
    let FfnSpec::Experts(experts) = spec.layers[0].ffn else { panic!("{:?}", spec.layers[0].ffn) };
    assert_eq!((experts.hidden, experts.shared.map(|s| s.hidden)), (128, Some(512)));
}

#[test]
fn layers_that_predict_further_tokens_are_no_layers() {
    let spec = of("qwen2", |w| {
        w.set("qwen2.nextn_predict_layers", &1u32).set("qwen2.attention.head_count_kv", &[4u32, 2, 1, 4][..]);
    });
    assert_eq!((spec.layers.len(), spec.predictors), (3, 1));
    assert_eq!([0, 1, 2].map(|i| attention(&spec, i).kv_heads), [4, 2, 1]);
}
