//! Tiny models with random weights, made in memory: a mix of weight types, head counts and windows.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs; a panic is a failure")]

pub(crate) mod seeing;

use siskin::engine::{Model, ModelOptions};
use siskin::gguf::GgufFile;
use siskin::gguf::write::GgufWriter;
use siskin::quant::QuantType::{self, F16, F32, Q4_0, Q4K, Q5_0, Q6K, Q8_0};
use siskin::tokenizer::TokenId;

/// Layers of a tiny model.
const LAYERS: usize = 7;
const WIDTH: usize = 256;
const HIDDEN: usize = 512;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 64;
/// Window of the tiny Gemma's sliding layers.
pub(crate) const WINDOW: u32 = 40;
/// First token that is a letter.
const LETTERS: u32 = 3 + 256;
pub(crate) const VOCAB: usize = 320;

/// splitmix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In -1..1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Bytes of `n` random weights of about `size`.
pub(crate) fn weights(rng: &mut Rng, ty: QuantType, n: usize, size: f32) -> Vec<u8> {
    let f16 = |x: f32| half::f16::from_f32(x).to_le_bytes();
    let mut blocks = Vec::new();
    for _ in 0..n / ty.block_len() {
        let mut block: Vec<u8> = (0..ty.block_bytes()).map(|_| rng.next() as u8).collect();
        match ty {
            F32 => block.copy_from_slice(&(rng.unit() * size).to_le_bytes()),
            F16 => block.copy_from_slice(&f16(rng.unit() * size)),
            Q4_0 => block[..2].copy_from_slice(&f16(size / 8.0)),
            Q5_0 => block[..2].copy_from_slice(&f16(size / 16.0)),
            Q8_0 => block[..2].copy_from_slice(&f16(size / 128.0)),
            Q4K => {
                block[..2].copy_from_slice(&f16(size / (8.0 * 32.0)));
                block[2..4].copy_from_slice(&f16(size / 32.0));
            }
            Q6K => block[208..].copy_from_slice(&f16(size / (32.0 * 64.0))),
            other => panic!("no random blocks of {other}"),
        }
        blocks.extend(block);
    }
    blocks
}

/// Experts of `qwen2moe`, those that a token uses, and the rows of one.
const EXPERTS: usize = 8;
const USED: usize = 3;
const EXPERT: usize = 256;
/// Residual streams of `gemma3n`, elements of a layer's own embeddings, and of its low-rank path.
const STREAMS: usize = 4;
const OWN: usize = 64;
const RANK: usize = 64;

/// The file of a tiny model of architecture `arch`: `llama`, `qwen2`, `qwen2moe`, `gemma3`, `gemma3n`, `deepseek2` (no
/// experts) or `qwen35`.
pub(crate) fn tiny_file(arch: &str) -> Vec<u8> {
    let mut w = GgufWriter::new();
    let key = |name: &str| format!("{arch}.{name}");
    w.set("general.architecture", arch)
        .set(&key("block_count"), &(LAYERS as u32))
        .set(&key("context_length"), &8192u32)
        .set(&key("embedding_length"), &(WIDTH as u32))
        .set(&key("feed_forward_length"), &(HIDDEN as u32))
        .set(&key("attention.head_count"), &(HEADS as u32))
        .set(&key("attention.head_count_kv"), &(KV_HEADS as u32))
        .set(&key("attention.key_length"), &(HEAD_DIM as u32))
        .set(&key("attention.layer_norm_rms_epsilon"), &1e-6f32)
        .set(&key("attention.sliding_window"), &WINDOW);
    match arch {
        "deepseek2" => latent_sizes(&mut w),
        "qwen2moe" => {
            for (name, value) in [
                ("expert_count", EXPERTS),
                ("expert_used_count", USED),
                ("expert_feed_forward_length", EXPERT),
                ("expert_shared_feed_forward_length", HIDDEN),
            ] {
                w.set(&key(name), &(value as u32));
            }
        }
        "gemma3n" => {
            for (name, value) in [
                ("altup.num_inputs", STREAMS),
                ("embedding_length_per_layer_input", OWN),
                ("attention.shared_kv_layers", 1),
                ("attention.sliding_window_pattern", 2),
            ] {
                w.set(&key(name), &(value as u32));
            }
            w.set(&key("final_logit_softcapping"), &30.0f32);
        }
        "qwen35" => {
            for (name, value) in [
                ("conv_kernel", 4),
                ("state_size", 32),
                ("group_count", 2),
                ("time_step_rank", 4),
                ("inner_size", 256),
            ] {
                w.set(&format!("qwen35.ssm.{name}"), &(value as u32));
            }
            w.set("qwen35.rope.dimension_count", &16u32);
        }
        _ => {}
    }
    vocabulary(&mut w);
    let gemma = matches!(arch, "gemma3" | "gemma3n");
    let t = |w: &mut GgufWriter, name: &str, ty, dims: &[usize]| {
        w.tensor(name, ty, dims).unwrap();
    };
    t(&mut w, "token_embd.weight", if gemma { Q8_0 } else { Q5_0 }, &[WIDTH, VOCAB]);
    t(&mut w, "output_norm.weight", F32, &[WIDTH]);
    if !gemma {
        t(&mut w, "output.weight", Q6K, &[WIDTH, VOCAB]);
    }
    let (q_row, kv_row) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    for i in 0..LAYERS {
        let name = |part: &str| format!("blk.{i}.{part}");
        // Different types from layer to layer, also among products that share their input.
        let types = [[Q4_0, Q4K, Q8_0], [Q4K, Q4K, Q6K], [F16, Q5_0, F32]][i % 3];
        t(&mut w, &name("attn_norm.weight"), F32, &[WIDTH]);
        t(&mut w, &name("ffn_norm.weight"), F32, &[WIDTH]);
        match arch {
            "deepseek2" => latent_attention(&mut w, i, types),
            "qwen35" if i % 4 != 3 => delta_attention(&mut w, i, types),
            _ => {
                let q_product = if arch == "qwen35" { 2 * q_row } else { q_row };
                t(&mut w, &name("attn_q.weight"), types[0], &[WIDTH, q_product]);
                t(&mut w, &name("attn_k.weight"), types[1], &[WIDTH, kv_row]);
                t(&mut w, &name("attn_v.weight"), types[2], &[WIDTH, kv_row]);
                t(&mut w, &name("attn_output.weight"), types[0], &[q_row, WIDTH]);
            }
        }
        let experts = arch == "qwen2moe";
        let suffix = if experts { "_shexp" } else { "" };
        t(&mut w, &name(&format!("ffn_gate{suffix}.weight")), types[1], &[WIDTH, HIDDEN]);
        t(&mut w, &name(&format!("ffn_up{suffix}.weight")), types[2], &[WIDTH, HIDDEN]);
        t(&mut w, &name(&format!("ffn_down{suffix}.weight")), types[1], &[HIDDEN, WIDTH]);
        if experts {
            t(&mut w, &name("ffn_gate_inp.weight"), F32, &[WIDTH, EXPERTS]);
            t(&mut w, &name("ffn_gate_inp_shexp.weight"), F32, &[WIDTH]);
            t(&mut w, &name("ffn_gate_exps.weight"), types[0], &[WIDTH, EXPERT, EXPERTS]);
            t(&mut w, &name("ffn_up_exps.weight"), types[1], &[WIDTH, EXPERT, EXPERTS]);
            t(&mut w, &name("ffn_down_exps.weight"), types[2], &[EXPERT, WIDTH, EXPERTS]);
        }
        if arch == "gemma3n" {
            for (part, dims) in [
                ("altup_router.weight", &[WIDTH, STREAMS][..]),
                ("altup_router_norm.weight", &[WIDTH]),
                ("altup_predict_coef.weight", &[STREAMS, STREAMS * STREAMS]),
                ("altup_correct_coef.weight", &[STREAMS, STREAMS]),
                ("altup_correct_scale.weight", &[WIDTH]),
                ("laurel_l.weight", &[WIDTH, RANK]),
                ("laurel_r.weight", &[RANK, WIDTH]),
                ("laurel_post_norm.weight", &[WIDTH]),
                ("inp_gate.weight", &[WIDTH, OWN]),
                ("proj.weight", &[OWN, WIDTH]),
                ("post_norm.weight", &[WIDTH]),
            ] {
                t(&mut w, &name(part), F32, dims);
            }
        }
        if gemma || (arch == "qwen35" && i % 4 == 3) {
            for part in ["attn_q_norm.weight", "attn_k_norm.weight"] {
                t(&mut w, &name(part), F32, &[HEAD_DIM]);
            }
        }
        if gemma {
            for part in ["post_attention_norm.weight", "post_ffw_norm.weight"] {
                t(&mut w, &name(part), F32, &[WIDTH]);
            }
        }
        if matches!(arch, "qwen2" | "qwen2moe") {
            t(&mut w, &name("attn_q.bias"), F32, &[q_row]);
            t(&mut w, &name("attn_k.bias"), F32, &[kv_row]);
            t(&mut w, &name("attn_v.bias"), F32, &[kv_row]);
        }
    }
    if arch == "gemma3n" {
        t(&mut w, "altup_proj.weight", F16, &[WIDTH, WIDTH, STREAMS - 1]);
        t(&mut w, "altup_unembd_proj.weight", F16, &[WIDTH, WIDTH, STREAMS - 1]);
        t(&mut w, "per_layer_token_embd.weight", Q8_0, &[OWN * LAYERS, VOCAB]);
        t(&mut w, "per_layer_model_proj.weight", Q8_0, &[WIDTH, OWN * LAYERS]);
        t(&mut w, "per_layer_proj_norm.weight", F32, &[OWN]);
    }
    let mut rng = Rng(7);
    w.to_bytes(|plan| {
        let n = plan.dims.iter().product();
        let vector = plan.dims.len() == 1;
        let bytes = weights(&mut rng, plan.ty, n, if vector { 1.0 } else { 0.2 });
        if plan.name.ends_with("ssm_a") {
            return bytes.chunks_exact(4).flat_map(|_| (-0.3f32).to_le_bytes()).collect();
        }
        bytes
    })
    .unwrap()
}

/// Latent attention: elements of a latent, of a head's key that are not rotated and that are, of a value.
const KV_RANK: usize = 256;
const PLAIN: usize = 64;
const ROPE: usize = 32;
const VALUE: usize = 64;

/// The heads' sizes as newer files state them (they have others under the usual names), and YaRN.
fn latent_sizes(w: &mut GgufWriter) {
    for (name, value) in [
        ("attention.key_length_mla", PLAIN + ROPE),
        ("attention.value_length_mla", VALUE),
        ("attention.kv_lora_rank", KV_RANK),
        ("attention.q_lora_rank", WIDTH),
        ("rope.dimension_count", ROPE),
        ("rope.scaling.original_context_length", 64),
    ] {
        w.set(&format!("deepseek2.{name}"), &(value as u32));
    }
    w.set("deepseek2.rope.scaling.type", "yarn").set("deepseek2.rope.scaling.factor", &8.0f32);
    w.set("deepseek2.rope.scaling.yarn_log_multiplier", &0.1f32);
}

/// Every other layer has the older form of the matrix of keys and values.
fn latent_attention(w: &mut GgufWriter, i: usize, types: [QuantType; 3]) {
    let mut t = |name: &str, ty, dims: &[usize]| {
        w.tensor(&format!("blk.{i}.{name}"), ty, dims).unwrap();
    };
    t("attn_q_a.weight", types[0], &[WIDTH, WIDTH]);
    t("attn_q_a_norm.weight", F32, &[WIDTH]);
    t("attn_q_b.weight", types[1], &[WIDTH, HEADS * (PLAIN + ROPE)]);
    t("attn_kv_a_mqa.weight", types[1], &[WIDTH, KV_RANK + ROPE]);
    t("attn_kv_a_norm.weight", F32, &[KV_RANK]);
    if i.is_multiple_of(2) {
        t("attn_k_b.weight", [Q8_0, F16, F32][i % 3], &[PLAIN, KV_RANK, HEADS]);
        t("attn_v_b.weight", types[1], &[KV_RANK, VALUE, HEADS]);
    } else {
        t("attn_kv_b.weight", types[1], &[KV_RANK, HEADS * (PLAIN + VALUE)]);
    }
    t("attn_output.weight", types[0], &[HEADS * VALUE, WIDTH]);
}

/// Two key heads of 32, four value heads of 64.
fn delta_attention(w: &mut GgufWriter, i: usize, types: [QuantType; 3]) {
    let mut t = |name: &str, ty, dims: &[usize]| {
        w.tensor(&format!("blk.{i}.{name}"), ty, dims).unwrap();
    };
    let channels = 2 * 2 * 32 + 4 * 64;
    t("attn_qkv.weight", types[0], &[WIDTH, channels]);
    t("attn_gate.weight", types[1], &[WIDTH, 256]);
    t("ssm_alpha.weight", types[2], &[WIDTH, 4]);
    t("ssm_beta.weight", types[2], &[WIDTH, 4]);
    t("ssm_conv1d.weight", F32, &[4, channels]);
    t("ssm_a", F32, &[4]);
    t("ssm_dt.bias", F32, &[4]);
    t("ssm_norm.weight", F32, &[64]);
    t("ssm_out.weight", types[1], &[256, WIDTH]);
}

/// A line per message.
const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
    {% if add_generation_prompt %}assistant: {% endif %}";

/// A SentencePiece-style vocabulary: three control tokens, 256 bytes, letters and a few pieces.
pub(crate) fn vocabulary(w: &mut GgufWriter) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).into();
    let mut kinds = vec![2i32, 3, 3];
    tokens.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    kinds.resize(tokens.len(), 6);
    tokens.push("\u{2581}".to_owned());
    tokens.extend(('a'..='z').map(String::from));
    let fill = VOCAB - tokens.len();
    tokens.extend(
        (0..fill).map(|i| format!("{}{}", (b'a' + i as u8 % 26) as char, (b'a' + i as u8 / 26) as char)),
    );
    kinds.resize(tokens.len(), 1);
    let scores: Vec<f32> = (0..tokens.len()).map(|i| -(i as f32)).collect();
    w.set("tokenizer.ggml.model", "llama")
        .set("tokenizer.ggml.tokens", tokens.as_slice())
        .set("tokenizer.ggml.scores", scores.as_slice())
        .set("tokenizer.ggml.token_type", kinds.as_slice())
        .set("tokenizer.ggml.bos_token_id", &1u32)
        .set("tokenizer.ggml.eos_token_id", &2u32)
        .set("tokenizer.ggml.unknown_token_id", &0u32)
        .set("tokenizer.chat_template", TEMPLATE);
}

/// A tiny model on `threads` threads.
pub(crate) fn tiny(arch: &str, threads: usize) -> Model {
    tiny_on(arch, threads, None)
}

/// The same on the kernel tier called `kernels`.
pub(crate) fn tiny_on(arch: &str, threads: usize, kernels: Option<&str>) -> Model {
    let file = GgufFile::from_bytes(tiny_file(arch)).unwrap();
    let options = ModelOptions {
        threads: Some(threads),
        kernels: kernels.map(str::to_owned),
        ..ModelOptions::default()
    };
    Model::from_gguf(file, &options).unwrap()
}

/// `n` random tokens, a BOS first.
pub(crate) fn prompt(n: usize) -> Vec<TokenId> {
    let mut rng = Rng(n as u64);
    let letter = |rng: &mut Rng| TokenId(LETTERS + rng.below(VOCAB - LETTERS as usize) as u32);
    (0..n).map(|i| if i == 0 { TokenId(1) } else { letter(&mut rng) }).collect()
}
