//! `siskin quantize`: a smaller GGUF file of a model.

use crate::Result;
use crate::interrupt::Interrupt;
use crate::output::{bytes, print};
use crate::part::Part;
use crate::progress::Progress;
use clap::Args;
use siskin::CancelToken;
use siskin::quant::QuantType;
use siskin::threads::default_threads;
use siskin_quantize::encode::can_encode;
use siskin_quantize::{Conversion, Importance, Options, Recipe};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args, Debug)]
pub(crate) struct QuantizeArgs {
    /// A GGUF file, or a folder with config.json and safetensors files
    pub(crate) model: PathBuf,
    /// The GGUF file to write
    pub(crate) out: PathBuf,
    /// What to make of the weights: F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q5_0, Q5_1, Q4_K_M, Q4_K_S, Q4_0, Q4_1,
    /// IQ4_NL, IQ4_XS, Q3_K_L, Q3_K_M, Q3_K_S or Q2_K
    #[arg(long = "type", value_name = "TYPE", value_parser = recipe)]
    pub(crate) recipe: Recipe,
    /// How much each input matters, as `siskin imatrix` or llama.cpp's measured it (GGUF)
    #[arg(long, value_name = "FILE")]
    pub(crate) imatrix: Option<PathBuf>,
    /// The type of one tensor, or of those whose names fit a pattern with `*`; may be given several times
    #[arg(long, value_name = "NAME=TYPE", value_parser = tensor_type)]
    pub(crate) tensor: Vec<(String, QuantType)>,
    /// Accept weights that are quantised already, and lose more
    #[arg(long)]
    pub(crate) requantize: bool,
    /// Only say what would become of each tensor
    #[arg(long)]
    pub(crate) list: bool,
    /// Threads [default: one for each fast core]
    #[arg(long, short = 't', value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

pub(crate) fn run(args: &QuantizeArgs) -> Result {
    Part::check(&args.out, args.force)?;
    let interrupt = Interrupt::install()?;
    let cancel = CancelToken::default();
    interrupt.watch(Some(cancel.clone()));
    let options = Options {
        recipe: args.recipe,
        importance: args.imatrix.as_deref().map(Importance::read).transpose()?,
        tensors: args.tensor.clone(),
        requantize: args.requantize,
    };
    let file = siskin::hf::open_any(&args.model)?;
    let named = |e: siskin::Error| e.with_file(&args.model);
    let conversion = Conversion::new(&file, &options).map_err(named)?;
    let mut counts = BTreeMap::<(QuantType, QuantType), usize>::new();
    for (name, before, after) in conversion.types() {
        *counts.entry((before, after)).or_default() += 1;
        if args.list {
            print(&format!("{name}: {before} -> {after}\n"))?;
        }
    }
    if args.list {
        return Ok(());
    }
    let started = Instant::now();
    let mut progress = Progress::new();
    let part = Part::create(&args.out)?;
    let threads = args.threads.unwrap_or_else(default_threads);
    part.write(|out| {
        conversion.write(out, threads, &mut |p| {
            progress.show("million weights", (p.done / 1_000_000) as usize, (p.total / 1_000_000) as usize);
            !cancel.is_cancelled()
        })
    })?;
    let size = part.finish(&args.out, args.force)?;
    drop(progress);
    for ((before, after), count) in counts {
        print(&format!("{count:>5} tensors {before} -> {after}\n"))?;
    }
    let weights = file.tensors().parameters();
    print(&format!(
        "{}: {}, {:.2} bits for each weight, in {:.1} s\n",
        args.out.display(),
        bytes(size),
        conversion.weight_bytes() as f64 * 8.0 / weights.max(1) as f64,
        started.elapsed().as_secs_f64(),
    ))?;
    Ok(())
}

/// A recipe by its name.
pub(crate) fn recipe(name: &str) -> Result<Recipe, String> {
    Recipe::named(name).ok_or_else(|| format!("there are {}", Recipe::names().collect::<Vec<_>>().join(", ")))
}

/// `NAME=TYPE`
pub(crate) fn tensor_type(text: &str) -> Result<(String, QuantType), String> {
    let (name, ty) = text.split_once('=').ok_or("expected NAME=TYPE")?;
    let types = || QuantType::ALL.iter().copied().filter(|&t| can_encode(t));
    let ty = types().find(|t| t.name().eq_ignore_ascii_case(ty)).ok_or_else(|| {
        format!("there are {}", types().map(QuantType::name).collect::<Vec<_>>().join(", "))
    })?;
    Ok((name.to_owned(), ty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        assert_eq!(tensor_type("blk.*=q8_0"), Ok(("blk.*".to_owned(), QuantType::Q8_0)));
        assert!(tensor_type("x").is_err() && tensor_type("x=Q9").is_err());
        assert_eq!(recipe("q4_k_m").map(Recipe::name), Ok("Q4_K_M"));
        assert!(recipe("Q4_K").expect_err("no recipe").contains("Q4_K_S"));
    }
}
