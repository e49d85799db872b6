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
use siskin::gguf::GgufFile;
use siskin::model::ProductInput;
use siskin::tokenizer::Special;
use siskin_quantize::Importance;
use std::collections::BTreeMap;
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
    let sums = sums.finish();
    let part = Part::create(&args.out)?;
    let dataset = args.text.display().to_string();
    part.write(|out| Importance::write(&sums, &dataset, (windows as u32, args.ctx as u32), out))?;
    part.finish(&args.out, args.force)?;
    print(&format!(
        "{}: {} matrices, {windows} windows of {} tokens\n",
        args.out.display(),
        sums.len(),
        args.ctx
    ))?;
    Ok(())
}

/// Sums of squares for each matrix, found by where its bytes are.
struct Sums {
    /// Start and end of each tensor's bytes, and its name; sorted.
    places: Vec<(usize, usize, String)>,
    /// For the tensor with this place: sums, and how many inputs.
    sums: BTreeMap<usize, (Vec<f64>, u64)>,
}

impl Sums {
    fn new(file: &GgufFile) -> Self {
        let place = |t: &siskin::gguf::TensorInfo| {
            let start = t.bytes().as_ptr() as usize;
            (start, start + t.bytes().len(), t.name().to_owned())
        };
        let head = |name: &str| name == "output.weight" || name == "token_embd.weight";
        let mut places: Vec<_> = file.tensors().iter().filter(|t| !head(t.name())).map(place).collect();
        places.sort();
        Self { places, sums: BTreeMap::new() }
    }

    fn add(&mut self, product: ProductInput<'_>) {
        let start = product.weights.as_ptr() as usize;
        let after = self.places.partition_point(|p| p.0 <= start);
        let Some(place) = after.checked_sub(1).filter(|&i| start < self.places[i].1) else { return };
        let (sums, count) = self.sums.entry(place).or_insert_with(|| (vec![0.0; product.columns], 0));
        for row in product.input.chunks_exact(product.columns) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
            *count += 1;
        }
    }

    fn finish(self) -> Vec<(String, Vec<f32>, u64)> {
        let Self { places, sums } = self;
        let named = |(place, (sums, count)): (usize, (Vec<f64>, u64))| {
            (places[place].2.clone(), sums.into_iter().map(|x| x as f32).collect(), count)
        };
        sums.into_iter().map(named).collect()
    }
}
