//! What the fuzz targets share: a tiny model, changes to it, and vocabularies.

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use siskin::gguf::GgufFile;
use siskin::gguf::write::GgufWriter;
use siskin::quant::QuantType::{self, F32, Q4_0, Q8_0};
use siskin::tokenizer::{Special, TokenId, Tokenizer};
use siskin::{Flow, GenerateOptions, Model, ModelOptions, Result, SamplerConfig, SessionOptions};

const WIDTH: usize = 32;

/// A model of one layer in about 30 KB.
pub static MODEL: LazyLock<Vec<u8>> = LazyLock::new(|| model().expect("the shapes are right"));

fn model() -> Result<Vec<u8>> {
    let mut w = GgufWriter::new();
    w.set("general.architecture", "llama").set("llama.block_count", &1u32).set("llama.context_length", &64u32);
    w.set("llama.embedding_length", &(WIDTH as u32)).set("llama.feed_forward_length", &(WIDTH as u32));
    w.set("llama.attention.head_count", &2u32).set("llama.attention.head_count_kv", &1u32);
    w.set("llama.attention.layer_norm_rms_epsilon", &1e-5f32);
    let vocab = Vocabulary { bpe: false, tokens: vec![b"ab".to_vec()], ..Vocabulary::default() }.write(&mut w);
    let mut tensors: Vec<(&str, QuantType, &[usize])> = vec![("output_norm.weight", F32, &[WIDTH])];
    let embedding = [WIDTH, vocab];
    tensors.extend([("token_embd.weight", Q8_0, &embedding[..]), ("output.weight", Q4_0, &embedding)]);
    tensors.extend([("blk.0.attn_norm.weight", F32, &[WIDTH][..]), ("blk.0.ffn_norm.weight", F32, &[WIDTH])]);
    tensors.extend([("blk.0.attn_k.weight", F32, &[WIDTH, 16][..]), ("blk.0.attn_v.weight", Q4_0, &[WIDTH, 16])]);
    for name in ["attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        let name: &'static str = format!("blk.0.{name}.weight").leak(); // once in the life of the process
        tensors.push((name, Q8_0, &[WIDTH, WIDTH]));
    }
    for (name, ty, dims) in tensors {
        w.tensor(name, ty, dims)?;
    }
    w.to_bytes(|t| (0..t.bytes).map(|i| if i % 2 == 1 && t.ty != F32 { 0x18 } else { i as u8 & 0x3f }).collect())
}

/// A change to a file.
#[derive(Arbitrary, Debug)]
pub enum Edit {
    Byte { at: u16, to: u8 },
    U32 { at: u16, to: u32 },
    U64 { at: u16, to: u64 },
    Insert { at: u16, what: Vec<u8> },
    Remove { at: u16, n: u8 },
    Cut { at: u16 },
}

/// The tiny model with changes.
pub fn edited(edits: Vec<Edit>) -> Vec<u8> {
    let mut file = MODEL.clone();
    for edit in edits {
        let len = file.len();
        let clamp = |at: u16| usize::from(at).min(len);
        let mut put = |at: u16, bytes: &[u8]| file[clamp(at)..].iter_mut().zip(bytes).for_each(|(to, &b)| *to = b);
        match edit {
            Edit::Byte { at, to } => put(at, &[to]),
            Edit::U32 { at, to } => put(at, &to.to_le_bytes()),
            Edit::U64 { at, to } => put(at, &to.to_le_bytes()),
            Edit::Insert { at, what } => drop(file.splice(clamp(at)..clamp(at), what)),
            Edit::Remove { at, n } => drop(file.drain(clamp(at)..clamp(at.saturating_add(n.into())))),
            Edit::Cut { at } => file.truncate(clamp(at)),
        }
    }
    file
}

/// Loads the model and generates four tokens.
pub fn generate(file: Vec<u8>) -> Result<()> {
    let options = ModelOptions { threads: Some(1), ..ModelOptions::default() };
    let model = Model::from_gguf(GgufFile::from_bytes(file)?, &options)?;
    let mut session = model.session(&SessionOptions { context: Some(16), batch: 2, ..SessionOptions::default() })?;
    let mut prompt = model.tokenizer().encode("ab c", Special { add: true, parse: true })?;
    prompt.truncate(8);
    let options = GenerateOptions {
        max_tokens: Some(4),
        sampler: SamplerConfig::greedy(),
        ..GenerateOptions::default()
    };
    session.generate(&prompt, &options, &mut |_| Flow::Continue).map(drop)
}

/// A vocabulary: bytes and special tokens first, then `tokens`.
#[derive(Arbitrary, Debug, Default)]
pub struct Vocabulary {
    pub bpe: bool,
    /// Which pre-tokenizer, of byte-level BPE.
    pub pre: u8,
    pub tokens: Vec<Vec<u8>>,
    /// Of `tokens`; 1 (normal) where there are fewer.
    pub kinds: Vec<u8>,
    /// Of `tokens`; 0 where there are fewer.
    pub scores: Vec<f32>,
    /// Pairs of token ids.
    pub merges: Vec<(u16, u16)>,
    pub flags: [bool; 3],
}

impl Vocabulary {
    const PRE: &[&str] = &["default", "gpt-2", "llama-bpe", "qwen2", "smollm", "deepseek-llm", "tekken", "gpt-4o"];

    /// Adds the keys; returns how many tokens there are.
    pub fn write(&self, w: &mut GgufWriter) -> usize {
        let mut tokens: Vec<Vec<u8>> = ["<unk>", "<s>", "</s>"].map(|t| t.into()).to_vec();
        let bytes = if self.bpe { byte_letters() } else { (0..256).map(|b| format!("<0x{b:02X}>")).collect() };
        tokens.extend(bytes.into_iter().map(String::into_bytes));
        let mut kinds: Vec<i32> = vec![2, 3, 3];
        kinds.resize(tokens.len(), if self.bpe { 1 } else { 6 });
        let mut scores = vec![0.0f32; tokens.len()];
        for (i, token) in self.tokens.iter().enumerate() {
            tokens.push(token.clone());
            kinds.push(self.kinds.get(i).map_or(1, |&k| i32::from(k)));
            scores.push(self.scores.get(i).copied().unwrap_or(0.0));
        }
        let token = |i: u16| &tokens[usize::from(i) % tokens.len()][..];
        let merges: Vec<Vec<u8>> = self.merges.iter().map(|&(a, b)| [token(a), b" ", token(b)].concat()).collect();
        w.set("tokenizer.ggml.model", if self.bpe { "gpt2" } else { "llama" });
        w.set("tokenizer.ggml.pre", Self::PRE[usize::from(self.pre) % Self::PRE.len()]);
        w.set("tokenizer.ggml.tokens", &tokens[..]).set("tokenizer.ggml.token_type", &kinds[..]);
        w.set("tokenizer.ggml.scores", &scores[..]).set("tokenizer.ggml.merges", &merges[..]);
        w.set("tokenizer.ggml.bos_token_id", &1u32).set("tokenizer.ggml.eos_token_id", &2u32);
        w.set("tokenizer.ggml.unknown_token_id", &0u32);
        w.set("tokenizer.ggml.add_bos_token", &self.flags[0]).set("tokenizer.ggml.add_eos_token", &self.flags[1]);
        w.set("tokenizer.ggml.add_space_prefix", &self.flags[2]);
        tokens.len()
    }

    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let mut w = GgufWriter::new();
        self.write(&mut w);
        let file = GgufFile::from_bytes(w.to_bytes(|_| vec![])?)?;
        Tokenizer::from_metadata(file.metadata())
    }
}

/// The letters that stand for the 256 bytes in byte-level BPE.
fn byte_letters() -> Vec<String> {
    let own = |b: u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut next = 256;
    let mut letter = |b: u32| {
        let code = if own(b) { b } else { next };
        next += u32::from(!own(b));
        char::from_u32(code).expect("below the surrogates").to_string()
    };
    (0..256).map(&mut letter).collect()
}

/// Numbers as tokens, inside the vocabulary.
pub fn ids(numbers: &[u16], tokenizer: &Tokenizer) -> Vec<TokenId> {
    numbers.iter().map(|&n| TokenId(u32::from(n) % tokenizer.len() as u32)).collect()
}
