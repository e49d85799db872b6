//! `candle-bench MODEL.gguf PROMPT TOKENS DEPTH..`: prefill of PROMPT tokens and decode of TOKENS at each depth by candle.
//!
//! Prints `{"prefill": tokens/s, "decode": [tokens/s, ..]}`. Each figure follows a warm-up; token ids don't matter
//! to speed. The number of threads is rayon's: RAYON_NUM_THREADS.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_gemma3, quantized_llama, quantized_qwen2};

enum Model {
    Llama(quantized_llama::ModelWeights),
    Gemma3(quantized_gemma3::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
}

impl Model {
    fn open(path: &str) -> Result<Self, Box<dyn Error>> {
        let mut file = BufReader::new(File::open(path)?);
        let content = Content::read(&mut file)?;
        let name = content.metadata.get("general.architecture").ok_or("no architecture")?.to_string()?.clone();
        let cpu = Device::Cpu;
        Ok(match name.as_str() {
            "llama" => Self::Llama(quantized_llama::ModelWeights::from_gguf(content, &mut file, &cpu)?),
            "gemma3" => Self::Gemma3(quantized_gemma3::ModelWeights::from_gguf(content, &mut file, &cpu)?),
            "qwen2" => Self::Qwen2(quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &cpu)?),
            other => return Err(format!("candle-bench does not know {other}").into()),
        })
    }

    /// Runs `n` tokens at `position` (0 begins anew) to the best of the last logits.
    fn forward(&mut self, n: usize, position: usize) -> Result<u32, Box<dyn Error>> {
        let ids: Vec<u32> = (0..n).map(|i| ((position + i) * 7919 % 30_000) as u32).collect();
        let x = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let logits = match self {
            Self::Llama(m) => m.forward(&x, position)?,
            Self::Gemma3(m) => m.forward(&x, position)?,
            Self::Qwen2(m) => m.forward(&x, position)?,
        };
        Ok(logits.flatten_all()?.argmax(0)?.to_scalar()?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, prompt, tokens, depths @ ..] = args.as_slice() else {
        return Err("usage: candle-bench MODEL PROMPT TOKENS DEPTH..".into());
    };
    let (prompt, tokens): (usize, usize) = (prompt.parse()?, tokens.parse()?);
    let mut model = Model::open(model)?;
    model.forward(32, 0)?;
    let start = Instant::now();
    model.forward(prompt.max(1), 0)?;
    let prefill = prompt as f64 / start.elapsed().as_secs_f64();
    let mut decode = Vec::new();
    for depth in depths {
        let depth = depth.parse::<usize>()?.max(1);
        model.forward(depth, 0)?;
        model.forward(1, depth)?;
        let start = Instant::now();
        for i in 1..=tokens {
            model.forward(1, depth + i)?;
        }
        decode.push(tokens as f64 / start.elapsed().as_secs_f64());
    }
    println!("{{\"prefill\": {prefill:.3}, \"decode\": {decode:?}}}");
    Ok(())
}
