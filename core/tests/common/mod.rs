//! Tiny models with random weights, made in memory: a mix of weight types, head counts and windows.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs; a panic is a failure")]

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
fn weights(rng: &mut Rng, ty: QuantType, n: usize, size: f32) -> Vec<u8> {
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

/// The file of a tiny model of architecture `arch`: `llama`, `qwen2` or `gemma3`.
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
    vocabulary(&mut w);
    let gemma = arch == "gemma3";
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
        t(&mut w, &name("attn_q.weight"), types[0], &[WIDTH, q_row]);
        t(&mut w, &name("attn_k.weight"), types[1], &[WIDTH, kv_row]);
        t(&mut w, &name("attn_v.weight"), types[2], &[WIDTH, kv_row]);
        t(&mut w, &name("attn_output.weight"), types[0], &[q_row, WIDTH]);
        t(&mut w, &name("ffn_gate.weight"), types[1], &[WIDTH, HIDDEN]);
        t(&mut w, &name("ffn_up.weight"), types[2], &[WIDTH, HIDDEN]);
        t(&mut w, &name("ffn_down.weight"), types[1], &[HIDDEN, WIDTH]);
        if gemma {
            for part in ["attn_q_norm.weight", "attn_k_norm.weight"] {
                t(&mut w, &name(part), F32, &[HEAD_DIM]);
            }
            for part in ["post_attention_norm.weight", "post_ffw_norm.weight"] {
                t(&mut w, &name(part), F32, &[WIDTH]);
            }
        }
        if arch == "qwen2" {
            t(&mut w, &name("attn_q.bias"), F32, &[q_row]);
            t(&mut w, &name("attn_k.bias"), F32, &[kv_row]);
            t(&mut w, &name("attn_v.bias"), F32, &[kv_row]);
        }
    }
    let mut rng = Rng(7);
    w.to_bytes(|plan| {
        let n = plan.dims.iter().product();
        let vector = plan.dims.len() == 1;
        weights(&mut rng, plan.ty, n, if vector { 1.0 } else { 0.2 })
    })
    .unwrap()
}

/// A line per message.
const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
    {% if add_generation_prompt %}assistant: {% endif %}";

/// A SentencePiece-style vocabulary: three control tokens, 256 bytes, letters and a few pieces.
fn vocabulary(w: &mut GgufWriter) {
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
    let options = ModelOptions { threads: Some(threads), kernels: kernels.map(str::to_owned), log: None };
    Model::from_gguf(file, &options).unwrap()
}

/// `n` random tokens, a BOS first.
pub(crate) fn prompt(n: usize) -> Vec<TokenId> {
    let mut rng = Rng(n as u64);
    let letter = |rng: &mut Rng| TokenId(LETTERS + rng.below(VOCAB - LETTERS as usize) as u32);
    (0..n).map(|i| if i == 0 { TokenId(1) } else { letter(&mut rng) }).collect()
}
