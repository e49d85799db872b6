//! Folders as they are published: a text model within one that sees and hears, an embedding with rows for images, layers
//! that predict further tokens. Each is made of a small folder that has only the text model, whose answers it must give.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

#[path = "tokenizer_support/mod.rs"]
mod support;

use serde_json::{Map, Value, json};
use siskin::sampler::SamplerConfig;
use siskin::session::{Event, Flow, GenerateOptions, SessionOptions};
use siskin::tokenizer::Special;
use siskin::{Model, ModelOptions};
use std::path::{Path, PathBuf};

/// A tensor: name, type, shape, bytes.
type Tensor = (String, String, Vec<u64>, Vec<u8>);

/// A folder that goes away again.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn read_tensors(path: &Path) -> Vec<Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..start]).unwrap();
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    tensors
        .map(|(name, t)| {
            let number = |v: &Value| v.as_u64().unwrap();
            let [from, to] = [0, 1].map(|i| start + number(&t["data_offsets"][i]) as usize);
            let shape = t["shape"].as_array().unwrap().iter().map(number).collect();
            (name, t["dtype"].as_str().unwrap().to_owned(), shape, bytes[from..to].to_vec())
        })
        .collect()
}

fn write_tensors(path: &Path, tensors: &[Tensor]) {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let from = data.len();
        data.extend_from_slice(bytes);
        let t = json!({"dtype": dtype, "shape": shape, "data_offsets": [from, data.len()]});
        header.insert(name.clone(), t);
    }
    let mut header = serde_json::to_vec(&header).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length[..], &header, &data].concat()).unwrap();
}

/// A matrix in BF16 that must not be used: of ones.
fn ones(name: &str, shape: &[u64]) -> Tensor {
    let elements = shape.iter().product::<u64>() as usize;
    (name.to_owned(), "BF16".to_owned(), shape.to_vec(), [0x80, 0x3f].repeat(elements))
}

/// Makes a folder of the reference set's `family`: `change` is given its configuration, tokenizer and tensors.
fn derived(
    family: &str,
    change: impl FnOnce(&mut Value, &mut Value, &mut Vec<Tensor>),
) -> Option<(PathBuf, Folder)> {
    let from = support::reference(&format!("conformance/public/{family}/hf"))?;
    let folder = Folder(std::env::temp_dir().join(format!("siskin-folders-{}-{family}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    for file in support::files(&from, "") {
        std::fs::write(folder.0.join(file.file_name().unwrap()), std::fs::read(&file).unwrap()).unwrap();
    }
    let json = |name: &str| serde_json::from_slice(&std::fs::read(from.join(name)).unwrap()).unwrap();
    let (mut config, mut tokenizer) = (json("config.json"), json("tokenizer.json"));
    let mut tensors = read_tensors(&from.join("model.safetensors"));
    change(&mut config, &mut tokenizer, &mut tensors);
    std::fs::write(folder.0.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.0.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    write_tensors(&folder.0.join("model.safetensors"), &tensors);
    Some((from, folder))
}

/// Puts the text model into one of type `outer`, as its publishers do.
fn wrap(config: &mut Value, tensors: &mut [Tensor], outer: &str) {
    let text = config.take();
    *config = json!({
        "model_type": outer,
        "architectures": ["ForConditionalGeneration"],
        "eos_token_id": text["eos_token_id"],
        "text_config": text,
        "vision_config": {"model_type": "vision", "hidden_size": 7, "num_hidden_layers": 5},
        "audio_config": {"hidden_size": 9},
        "tie_word_embeddings": text["tie_word_embeddings"],
    });
    for (name, ..) in tensors {
        if let Some(rest) = name.strip_prefix("model.") {
            *name = format!("model.language_model.{rest}");
        }
    }
}

/// Logits after a text, and what is said then.
fn answer(folder: &Path) -> (usize, Vec<f32>, Vec<u32>) {
    let model = Model::open(folder, &ModelOptions { threads: Some(2), ..ModelOptions::default() }).unwrap();
    let options = SessionOptions { context: Some(256), ..SessionOptions::default() };
    let mut session = model.session(&options).unwrap();
    let text = "The quick brown fox, and 3 more.";
    let prompt = model.tokenizer().encode(text, Special { add: true, parse: false }).unwrap();
    session.prefill(&prompt).unwrap();
    let logits = session.logits().to_vec();
    let mut tokens = Vec::new();
    let options = GenerateOptions {
        max_tokens: Some(24),
        sampler: SamplerConfig::greedy(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    };
    let on_event = &mut |event: Event<'_>| {
        if let Event::Token { id, .. } = event {
            tokens.push(id.0);
        }
        Flow::Continue
    };
    session.generate(&[], &options, on_event).unwrap();
    assert_eq!(tokens.len(), 24);
    (logits.len(), logits, tokens)
}

fn check(made: Option<(PathBuf, Folder)>) {
    let Some((plain, folder)) = made else { return };
    assert!(answer(&plain) == answer(&folder.0), "{}", folder.0.display());
}

#[test]
fn gemma3n_as_published() {
    check(derived("gemma3n", |config, tokenizer, tensors| {
        let known = config["vocab_size"].as_u64().unwrap();
        let whole = known + 40;
        config["vocab_size"] = json!(whole);
        wrap(config, tensors, "gemma3n");
        // Rows for what is no text, and a token for one of them.
        let embedding =
            tensors.iter_mut().find(|t| t.0 == "model.language_model.embed_tokens.weight").unwrap();
        let row = embedding.3.len() / known as usize;
        embedding.2[0] = whole;
        embedding.3.extend([0x00, 0x41].repeat(row / 2 * 40));
        let soft = json!({"id": known + 1, "content": "<image_soft_token>", "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false});
        tokenizer["added_tokens"].as_array_mut().unwrap().push(soft);
        tensors.extend([
            ones("model.vision_tower.timm_model.conv_stem.conv.weight", &[4, 3]),
            ones("model.audio_tower.conformer.0.norm.weight", &[9]),
            ones("model.embed_vision.embedding.weight", &[40, 7]),
            ones("model.embed_audio.hard_embedding_norm.weight", &[9]),
        ]);
    }));
}

#[test]
fn gemma4_as_published() {
    for family in ["gemma4_dense", "gemma4_e2b", "gemma4_moe"] {
        check(derived(family, |config, _, tensors| {
            wrap(config, tensors, "gemma4");
            tensors.extend([
                ones("model.vision_tower.encoder.layers.0.mlp.up_proj.linear.weight", &[4, 7]),
                ones("model.audio_tower.layers.0.norm_out.weight", &[9]),
                ones("model.embed_vision.embedding_projection.weight", &[64, 7]),
                ones("model.embed_audio.embedding_projection.weight", &[64, 9]),
            ]);
        }));
    }
}

#[test]
fn qwen3_5_as_published() {
    check(derived("qwen3_5", |config, _, tensors| {
        wrap(config, tensors, "qwen3_5");
        config["text_config"]["mtp_num_hidden_layers"] = json!(1);
        tensors.extend([
            ones("model.visual.blocks.0.attn.qkv.weight", &[21, 7]),
            ones("model.visual.merger.norm.weight", &[7]),
            ones("mtp.fc.weight", &[64, 128]),
            ones("mtp.layers.0.mlp.up_proj.weight", &[96, 64]),
            ones("mtp.norm.weight", &[64]),
        ]);
    }));
}

#[test]
fn deepseek_v3_with_layers_for_further_tokens() {
    check(derived("deepseek_v3", |config, _, tensors| {
        config["num_nextn_predict_layers"] = json!(1);
        let behind = config["num_hidden_layers"].as_u64().unwrap();
        let name = |rest: &str| format!("model.layers.{behind}.{rest}");
        tensors.extend([
            ones(&name("embed_tokens.weight"), &[544, 64]),
            ones(&name("enorm.weight"), &[64]),
            ones(&name("eh_proj.weight"), &[64, 128]),
            ones(&name("self_attn.q_a_proj.weight"), &[32, 64]),
            ones(&name("mlp.experts.0.up_proj.weight"), &[32, 64]),
            ones(&name("mlp.gate.e_score_correction_bias"), &[8]),
            ones(&name("shared_head.norm.weight"), &[64]),
        ]);
    }));
}

/// Google's configurations of Gemma 3 leave out what transformers has as defaults.
#[test]
fn gemma3_with_little_in_its_configuration() {
    check(derived("gemma3", |config, _, _| {
        for key in ["max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_local_base_freq"] {
            config.as_object_mut().unwrap().remove(key);
        }
    }));
}
