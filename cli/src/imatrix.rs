//! `siskin imatrix`: how much each input of each product matters on a text: its mean square.
//!
//! The text is cut into windows of `--ctx` tokens, each of which starts with the begin token if the model wants one, as
//! llama.cpp's `llama-imatrix` does. The head, which reads one position of many, is left out as there.

use crate::Result;
use crate::args::ModelArgs;
use crate::interrupt::Interrupt;
use crate::output::{FAILED, Failure, UNREADABLE, print};
use crate::part::Part;
use crate::progress::Progress;
use clap::Args;
use siskin::SessionOptions;
use siskin::gguf::{GgufFile, TensorInfo};
use siskin::model::ProductInput;
use siskin::tokenizer::Special;
use siskin_quantize::{Importance, Measured};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ImatrixArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Text to measure on, in UTF-8
    pub(crate) text: PathBuf,
    /// The GGUF file to write
    pub(crate) out: PathBuf,
    /// Tokens of a window
    #[arg(long, short = 'c', value_name = "N", default_value_t = 512)]
    pub(crate) ctx: usize,
    /// Measure at most this many windows
    #[arg(long, value_name = "N")]
    pub(crate) chunks: Option<usize>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

pub(crate) fn run(args: &ImatrixArgs) -> Result {
    if args.ctx < 2 {
        return Err(Failure::Usage("--ctx must be at least 2".to_owned()));
    }
    Part::check(&args.out, args.force)?;
    let unreadable =
        |what: &dyn std::fmt::Display| Failure::Other(format!("{}: {what}", args.text.display()), UNREADABLE);
    let text = std::fs::read(&args.text).map_err(|e| unreadable(&e))?;
    let text = String::from_utf8(text).map_err(|_| unreadable(&"not UTF-8"))?;
    let interrupt = Interrupt::install()?;
    let model = args.model.open()?;
    let tokenizer = model.tokenizer();
    let tokens = tokenizer.encode(&text, Special { add: true, parse: false })?;
    let begin = tokenizer.bos().filter(|bos| tokens.first() == Some(bos));
    let windows = (tokens.len() / args.ctx).min(args.chunks.unwrap_or(usize::MAX));
    if windows == 0 {
        let message = format!("the text has {} tokens, less than one window of {}", tokens.len(), args.ctx);
        return Err(Failure::Other(message, FAILED));
    }
    let mut session =
        model.session(&SessionOptions { context: Some(args.ctx), ..SessionOptions::default() })?;
    interrupt.watch(Some(session.cancel_token()));
    let mut progress = Progress::new();
    let mut sums = Sums::new(model.file());
    for (i, window) in tokens.chunks_exact(args.ctx).take(windows).enumerate() {
        progress.show("windows", i, windows);
        let mut window = window.to_vec();
        if let Some(begin) = begin {
            window[0] = begin;
        }
        session.truncate(0);
        session.prefill_measured(&window, &mut |product| sums.add(product))?;
    }
    drop(progress);
    let measured = sums.finish();
    let part = Part::create(&args.out)?;
    let dataset = args.text.display().to_string();
    part.write(|out| Importance::write(&measured, &dataset, (windows as u32, args.ctx as u32), out))?;
    part.finish(&args.out, args.force)?;
    print(&format!(
        "{}: {} matrices, {windows} windows of {} tokens\n",
        args.out.display(),
        measured.len(),
        args.ctx
    ))?;
    Ok(())
}

/// Sums of squares for each tensor, found by where its bytes are.
struct Sums {
    /// Sorted by where they start.
    tensors: Vec<Place>,
    /// What was measured of the tensor with this number.
    measured: BTreeMap<usize, Measured>,
}

/// Where a tensor is.
struct Place {
    bytes: Range<usize>,
    /// Of each expert's matrix; of the whole tensor where there are none.
    matrix_bytes: usize,
    experts: usize,
    name: String,
}

impl Place {
    fn new(tensor: &TensorInfo) -> Self {
        let (start, len) = (tensor.bytes().as_ptr() as usize, tensor.bytes().len());
        let experts = tensor.dims().get(2).copied().unwrap_or(1).max(1);
        let name = tensor.name().to_owned();
        Self { bytes: start..start + len, matrix_bytes: (len / experts).max(1), experts, name }
    }
}

impl Sums {
    fn new(file: &GgufFile) -> Self {
        let head = |name: &str| name == "output.weight" || name == "token_embd.weight";
        let mut tensors: Vec<_> = file.tensors().iter().filter(|t| !head(t.name())).map(Place::new).collect();
        tensors.sort_by_key(|t| t.bytes.start);
        Self { tensors, measured: BTreeMap::new() }
    }

    fn add(&mut self, product: ProductInput<'_>) {
        let (start, columns) = (product.weights.as_ptr() as usize, product.columns);
        let after = self.tensors.partition_point(|t| t.bytes.start <= start);
        let Some(at) = after.checked_sub(1).filter(|&i| self.tensors[i].bytes.contains(&start)) else {
            return;
        };
        let tensor = &self.tensors[at];
        let measured = self.measured.entry(at).or_insert_with(|| Measured {
            name: tensor.name.clone(),
            sums: vec![0.0; tensor.experts * columns],
            counts: vec![0; tensor.experts],
        });
        let expert = (start - tensor.bytes.start) / tensor.matrix_bytes;
        let sums = &mut measured.sums[expert * columns..][..columns];
        for row in product.input.chunks_exact(columns) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
            measured.counts[expert] += 1;
        }
    }

    fn finish(self) -> Vec<Measured> {
        self.measured.into_values().collect()
    }
}
