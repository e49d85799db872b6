//! Small vocabularies in memory.

use siskin::Result;
use siskin::gguf::GgufFile;
use siskin::gguf::write::GgufWriter;
use siskin::tokenizer::Tokenizer;

pub(crate) const NORMAL: i32 = 1;
pub(crate) const UNKNOWN: i32 = 2;
pub(crate) const CONTROL: i32 = 3;
pub(crate) const USER_DEFINED: i32 = 4;
pub(crate) const BYTE: i32 = 6;

/// What a file says about its tokenizer; change the fields, then [`Small::open`] it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Small {
    pub(crate) model: String,
    pub(crate) pre: Option<String>,
    pub(crate) tokens: Vec<Vec<u8>>,
    pub(crate) types: Option<Vec<i32>>,
    pub(crate) scores: Option<Vec<f32>>,
    pub(crate) merges: Option<Vec<Vec<u8>>>,
    pub(crate) numbers: Vec<(&'static str, u32)>,
    pub(crate) bools: Vec<(&'static str, bool)>,
    pub(crate) architecture: String,
}

impl Small {
    /// `<unk>`, `<s>`, `</s>`, the 256 byte tokens, then `pieces` with scores.
    pub(crate) fn spm(pieces: &[(&str, f32)]) -> Self {
        let mut small = Self {
            model: "llama".into(),
            scores: Some(Vec::new()),
            types: Some(Vec::new()),
            numbers: vec![("bos_token_id", 1), ("eos_token_id", 2), ("unknown_token_id", 0)],
            ..Self::default()
        };
        for (text, kind) in [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)] {
            small.add(text, kind, 0.0);
        }
        for byte in 0..=255u8 {
            small.add(&format!("<0x{byte:02X}>"), BYTE, 0.0);
        }
        for (text, score) in pieces {
            small.add(text, NORMAL, *score);
        }
        small
    }

    /// The characters of all bytes, then what `merges` make, then `<|endoftext|>`.
    pub(crate) fn bpe(pre: &str, merges: &[(&str, &str)]) -> Self {
        let mut small =
            Self { model: "gpt2".into(), pre: Some(pre.into()), types: Some(Vec::new()), ..Self::default() };
        for byte in 0..=255u8 {
            small.add(&byte_char(byte).to_string(), NORMAL, 0.0);
        }
        for (left, right) in merges {
            small.add(&format!("{left}{right}"), NORMAL, 0.0);
        }
        small.merges = Some(merges.iter().map(|(l, r)| format!("{l} {r}").into_bytes()).collect());
        small.add("<|endoftext|>", CONTROL, 0.0);
        small
    }

    /// Adds a token; its id.
    pub(crate) fn add(&mut self, text: &str, kind: i32, score: f32) -> u32 {
        self.tokens.push(text.as_bytes().to_vec());
        if let Some(types) = &mut self.types {
            types.push(kind);
        }
        if let Some(scores) = &mut self.scores {
            scores.push(score);
        }
        self.tokens.len() as u32 - 1
    }

    pub(crate) fn open(&self) -> Result<Tokenizer> {
        Tokenizer::from_metadata(self.file().metadata())
    }

    pub(crate) fn file(&self) -> GgufFile {
        let mut file = GgufWriter::new();
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        file.set("general.architecture", self.architecture.as_str());
        file.set(&key("model"), self.model.as_str());
        file.set(&key("tokens"), &self.tokens[..]);
        if let Some(pre) = &self.pre {
            file.set(&key("pre"), pre.as_str());
        }
        if let Some(types) = &self.types {
            file.set(&key("token_type"), &types[..]);
        }
        if let Some(scores) = &self.scores {
            file.set(&key("scores"), &scores[..]);
        }
        if let Some(merges) = &self.merges {
            file.set(&key("merges"), &merges[..]);
        }
        for (name, number) in &self.numbers {
            file.set(&key(name), number);
        }
        for (name, bool) in &self.bools {
            file.set(&key(name), bool);
        }
        GgufFile::from_bytes(file.to_bytes(|_| Vec::new()).expect("no tensors")).expect("well-formed")
    }
}

/// GPT-2's character for a byte.
pub(crate) fn byte_char(byte: u8) -> char {
    let itself = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if itself(byte) {
        return char::from(byte);
    }
    let others = (0..byte).filter(|&b| !itself(b)).count() as u32;
    char::from_u32(0x100 + others).expect("below U+0144")
}

/// Numbers that are the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Up to `most` pieces of `from`.
    pub(crate) fn text(&mut self, from: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| *self.pick(from)).collect()
    }
}
