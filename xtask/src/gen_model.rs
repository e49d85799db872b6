//! `cargo xtask gen-model OUT --shape S --quant Q --vocab-from GGUF`: a model of real size with random weights.
//!
//! Speed and memory depend on shapes and types, not on values: where weights cannot be had, this measures them. The
//! types are those that llama.cpp's quantiser picks, with its fall-backs where a row is no multiple of 256. Blocks are
//! random bits with small scales; norms are one. The text such a model writes means nothing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use siskin::gguf::GgufFile;
use siskin::gguf::write::{GgufWriter, TensorPlan};
use siskin::quant::QuantType;

use crate::Failure;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to write
    out: PathBuf,
    /// The shape of the network
    #[arg(long, value_enum)]
    shape: ShapeName,
    /// The mix of tensor types
    #[arg(long, value_enum)]
    quant: Mix,
    /// A GGUF with the tokenizer to copy: any Gemma 3
    #[arg(long)]
    vocab_from: PathBuf,
    /// So many layers instead of the shape's
    #[arg(long)]
    layers: Option<usize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ShapeName {
    #[value(name = "gemma3-1b")]
    Gemma3_1b,
    #[value(name = "gemma3-4b")]
    Gemma3_4b,
    #[value(name = "qwen3-30b-a3b")]
    Qwen3_30bA3b,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Mix {
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_k_m")]
    Q4KM,
    #[value(name = "q8_0")]
    Q8_0,
}

/// A Gemma 3 text model, or a Qwen 3 with experts.
struct Shape {
    name: &'static str,
    architecture: &'static str,
    layers: usize,
    width: usize,
    hidden: usize, // of the feed-forward block
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    window: usize,
    rope_divisor: Option<f32>,
    experts: Option<Experts>,
}

struct Experts {
    count: usize,
    used: usize,
    hidden: usize,
}

impl Shape {
    fn of(name: ShapeName) -> Self {
        let b1 = Self {
            name: "Gemma 3 1B shape, random weights",
            architecture: "gemma3",
            layers: 26,
            width: 1152,
            hidden: 6912,
            heads: 4,
            kv_heads: 1,
            head_dim: 256,
            window: 512,
            rope_divisor: None,
            experts: None,
        };
        match name {
            ShapeName::Gemma3_1b => b1,
            ShapeName::Gemma3_4b => Self {
                name: "Gemma 3 4B shape, random weights",
                layers: 34,
                width: 2560,
                hidden: 10240,
                heads: 8,
                kv_heads: 4,
                window: 1024,
                rope_divisor: Some(8.0),
                ..b1
            },
            ShapeName::Qwen3_30bA3b => Self {
                name: "Qwen 3 30B-A3B shape, random weights",
                architecture: "qwen3moe",
                layers: 48,
                width: 2048,
                hidden: 6144, // stated and not used
                heads: 32,
                kv_heads: 4,
                head_dim: 128,
                experts: Some(Experts { count: 128, used: 8, hidden: 768 }),
                ..b1
            },
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let shape = Shape::of(args.shape);
    let shape = Shape { layers: args.layers.unwrap_or(shape.layers), ..shape };
    let vocab_file = GgufFile::open(&args.vocab_from)?;
    let mut writer = GgufWriter::new();
    metadata(&mut writer, &shape, &vocab_file);
    let embedding =
        vocab_file.tensors().get("token_embd.weight").ok_or("the vocabulary's file has no embedding")?;
    tensors(&mut writer, &shape, args.quant, *embedding.dims().last().ok_or("the embedding has no rows")?)?;
    let bytes: usize = writer.tensors().iter().map(|t| t.bytes).sum();
    println!("{}: {} tensors, {} MB", args.out.display(), writer.tensors().len(), bytes / 1_000_000);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&args.out)?);
    writer.write(&mut out, &mut |tensor, to| Ok(fill(tensor, &mut random, to)?))?;
    Ok(())
}

fn metadata(w: &mut GgufWriter, s: &Shape, vocab_file: &GgufFile) {
    let number = |n: usize| u32::try_from(n).expect("the shapes above are small");
    let arch = s.architecture;
    w.set("general.architecture", arch).set("general.name", s.name);
    let mut sizes = vec![
        ("context_length", 32_768),
        ("embedding_length", s.width),
        ("block_count", s.layers),
        ("feed_forward_length", s.hidden),
        ("attention.head_count", s.heads),
        ("attention.head_count_kv", s.kv_heads),
        ("attention.key_length", s.head_dim),
        ("attention.value_length", s.head_dim),
    ];
    match &s.experts {
        None => sizes.push(("attention.sliding_window", s.window)),
        Some(e) => sizes.extend([
            ("expert_count", e.count),
            ("expert_used_count", e.used),
            ("expert_feed_forward_length", e.hidden),
        ]),
    }
    for (key, size) in sizes {
        w.set(&format!("{arch}.{key}"), &number(size));
    }
    w.set(&format!("{arch}.attention.layer_norm_rms_epsilon"), &1e-6f32);
    w.set(&format!("{arch}.rope.freq_base"), &1_000_000f32);
    if let Some(divisor) = s.rope_divisor {
        w.set(&format!("{arch}.rope.scaling.type"), "linear");
        w.set(&format!("{arch}.rope.scaling.factor"), &divisor);
    }
    for (key, value) in vocab_file.metadata().iter().filter(|(key, _)| key.starts_with("tokenizer.")) {
        w.set(key, value);
    }
}

fn tensors(w: &mut GgufWriter, s: &Shape, mix: Mix, vocab: usize) -> Result<(), Failure> {
    let (q, kv) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
    // The embedding is the output matrix too: both 4-bit mixes give it six bits.
    let head = if mix == Mix::Q8_0 { QuantType::Q8_0 } else { QuantType::Q6K };
    w.tensor("token_embd.weight", fitting(head, s.width), &[s.width, vocab])?;
    w.tensor("output_norm.weight", QuantType::F32, &[s.width])?;
    for i in 0..s.layers {
        let main = match mix {
            Mix::Q4_0 => QuantType::Q4_0,
            Mix::Q8_0 => QuantType::Q8_0,
            Mix::Q4KM => QuantType::Q4K,
        };
        let more = if mix == Mix::Q4KM && more_bits(i, s.layers) { QuantType::Q6K } else { main };
        let mut norms = vec![
            ("attn_norm", s.width),
            ("attn_q_norm", s.head_dim),
            ("attn_k_norm", s.head_dim),
            ("ffn_norm", s.width),
        ];
        if s.experts.is_none() {
            norms.extend([("post_attention_norm", s.width), ("post_ffw_norm", s.width)]);
        }
        for (name, len) in norms {
            w.tensor(&format!("blk.{i}.{name}.weight"), QuantType::F32, &[len])?;
        }
        let matrices = [
            ("attn_q", main, s.width, q),
            ("attn_k", main, s.width, kv),
            ("attn_v", more, s.width, kv),
            ("attn_output", main, q, s.width),
        ];
        for (name, ty, columns, rows) in matrices {
            w.tensor(&format!("blk.{i}.{name}.weight"), fitting(ty, columns), &[columns, rows])?;
        }
        let (suffix, hidden, count) = match &s.experts {
            None => ("", s.hidden, None),
            Some(e) => {
                w.tensor(&format!("blk.{i}.ffn_gate_inp.weight"), QuantType::Q8_0, &[s.width, e.count])?;
                ("_exps", e.hidden, Some(e.count))
            }
        };
        let blocks = [
            ("ffn_gate", main, s.width, hidden),
            ("ffn_up", main, s.width, hidden),
            ("ffn_down", more, hidden, s.width),
        ];
        for (name, ty, columns, rows) in blocks {
            let dims: Vec<usize> = [columns, rows].into_iter().chain(count).collect();
            w.tensor(&format!("blk.{i}.{name}{suffix}.weight"), fitting(ty, columns), &dims)?;
        }
    }
    Ok(())
}

/// The layers in which Q4_K_M gives the sensitive matrices six bits: the first and last eighth, and every third between.
fn more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// `ty`, or what takes its place where rows are no whole number of blocks of 256.
fn fitting(ty: QuantType, columns: usize) -> QuantType {
    match ty {
        _ if columns.is_multiple_of(ty.block_len()) => ty,
        QuantType::Q4K => QuantType::Q5_0,
        _ => QuantType::Q8_0,
    }
}

/// Random blocks with scales that keep weights around 0.03; ones for norms.
fn fill(tensor: &TensorPlan, random: &mut Random, to: &mut dyn Write) -> std::io::Result<()> {
    if tensor.ty == QuantType::F32 {
        return (0..tensor.bytes / 4).try_for_each(|_| to.write_all(&1f32.to_le_bytes()));
    }
    // Where the f16 scales lie in a block, and how large they are.
    let (at, scale): (&[usize], half::f16) = match tensor.ty {
        QuantType::Q8_0 => (&[0], half::f16::from_f32(0.0004)),
        QuantType::Q4K => (&[0, 2], half::f16::from_f32(0.0001)),
        QuantType::Q6K => (&[208], half::f16::from_f32(0.00002)),
        _ => (&[0], half::f16::from_f32(0.004)),
    };
    let mut block = vec![0u8; tensor.ty.block_bytes()];
    for _ in 0..tensor.bytes / block.len() {
        block.chunks_mut(8).for_each(|c| c.copy_from_slice(&random.next().to_le_bytes()[..c.len()]));
        for &at in at {
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        to.write_all(&block)?;
    }
    Ok(())
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures published for real files: weight bytes that a token reads.
    #[test]
    fn sizes_are_those_of_real_files() {
        for (shape, mix, megabytes) in [
            (ShapeName::Gemma3_1b, Mix::Q4_0, 714),
            (ShapeName::Gemma3_1b, Mix::Q4KM, 800),
            (ShapeName::Gemma3_1b, Mix::Q8_0, 1063),
            (ShapeName::Gemma3_4b, Mix::Q4_0, 2357),
            (ShapeName::Gemma3_4b, Mix::Q4KM, 2483),
        ] {
            let mut w = GgufWriter::new();
            tensors(&mut w, &Shape::of(shape), mix, 262_144).expect("shapes fit their types");
            let bytes: usize = w.tensors().iter().map(|t| t.bytes).sum();
            assert_eq!((bytes + 500_000) / 1_000_000, megabytes);
        }
    }
}
