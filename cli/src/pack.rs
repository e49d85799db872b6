//! `siskin pack`: a copy of a model file with the tables behind it that make it faster.

use crate::Result;
use crate::args::PackArgs;
use crate::interrupt::Interrupt;
use crate::output::{FAILED, Failure, UNREADABLE, bytes, print};
use crate::part::Part;
use crate::progress::Progress;
use siskin::model::{Calibration, Tap};
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::{Special, TokenId};
use siskin::{CancelToken, Error, ErrorKind, Flow, GenerateOptions, Model, SessionOptions};
use std::fs;
use std::io::Write;

/// Tokens in a row: text of its own, or a piece of the given one.
const RUN: usize = 128;
/// Bytes copied between two looks at Ctrl-C.
const PIECE: usize = 8 << 20;

pub(crate) fn run(args: &PackArgs) -> Result {
    if args.tokens == 0 {
        return Err(Failure::Usage("--tokens must be at least 1".to_owned()));
    }
    Part::check(&args.out, args.force)?;
    let interrupt = Interrupt::install()?;
    let cancel = CancelToken::default();
    interrupt.watch(Some(cancel.clone()));
    let model = args.model.open()?;
    if model.file().model_bytes().is_none() {
        let message = "only a single GGUF file can be packed: not a split model, nor a folder";
        return Err(Error::new(ErrorKind::Unsupported, message).with_file(&args.model.model).into());
    }
    let mut progress = Progress::new();
    // Before minutes of work: whether the head can have a table at all.
    let mut calibration = Calibration::new(model.spec().width);
    model.screen_table(&calibration)?;
    calibrate(&model, args, &cancel, &mut calibration, &mut progress)?;
    progress.line(|| "finding the basis".to_owned());
    let part = Part::create(&args.out)?;
    let table = model.screen_table(&calibration)?;
    part.write(|out| {
        copy(&model, out, &cancel, &mut progress)?;
        table.write(out, &mut |done, total| {
            progress.show("table", done, total);
            !cancel.is_cancelled()
        })
    })?;
    model.file().check_unchanged()?;
    let (before, after) = (model.fit(&SessionOptions::default())?, model.file().mapped_bytes());
    let size = part.finish(&args.out, args.force)?;
    drop(progress);
    let packed = Model::open(&args.out, &siskin::ModelOptions::default())?;
    let fit = packed.fit(&SessionOptions::default())?;
    print(&format!(
        "{}: {}, {} more than before; a token reads {} of weights instead of {} ({} positions of {})\n",
        args.out.display(),
        bytes(size),
        bytes(size.saturating_sub(after)),
        bytes(fit.bytes_per_token),
        bytes(before.bytes_per_token),
        calibration.positions(),
        if args.text.is_some() { "the text" } else { "its own text" },
    ))?;
    Ok(())
}

/// Shows `calibration` the final activations of the given text, or of text that the model makes up.
fn calibrate(
    model: &Model,
    args: &PackArgs,
    cancel: &CancelToken,
    calibration: &mut Calibration,
    progress: &mut Progress,
) -> Result {
    let mut session =
        model.session(&SessionOptions { context: Some(RUN.max(2)), ..SessionOptions::default() })?;
    session.set_cancel_token(cancel.clone());
    let tokens = match &args.text {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|e| Failure::Other(format!("{}: {e}", path.display()), UNREADABLE))?;
            let all = model.tokenizer().encode(&text, Special { add: false, parse: false })?;
            if all.is_empty() {
                return Err(Failure::Other(format!("{}: no text", path.display()), FAILED));
            }
            Some(all)
        }
        None => None,
    };
    // Pieces from all over the text.
    let pieces = args.tokens.div_ceil(RUN);
    for i in 0.. {
        if calibration.positions() >= args.tokens || (tokens.is_some() && i == pieces) {
            break;
        }
        progress.show("reading positions", calibration.positions(), args.tokens);
        session.truncate(0);
        let mut piece: Vec<TokenId> = model.tokenizer().bos().into_iter().collect();
        match &tokens {
            Some(all) => {
                let start = i * (all.len() / pieces);
                piece.extend(all[start..].iter().take(RUN - piece.len()));
            }
            None => {
                piece.push(somewhere(model, i));
                let options = GenerateOptions {
                    max_tokens: Some(RUN - piece.len()),
                    sampler: SamplerConfig {
                        temperature: 1.0,
                        top_k: 0,
                        seed: i as u64,
                        ..SamplerConfig::default()
                    },
                    stop_at_end_of_turn: i % 2 == 0,
                    ..GenerateOptions::default()
                };
                session.generate(&piece, &options, &mut |_| Flow::Continue)?;
                piece = session.tokens().to_vec();
                session.truncate(0);
            }
        }
        session.prefill_tapped(&piece, &mut |tap| {
            if let Tap::FinalNorm(_, h) = tap {
                calibration.add(h);
            }
        })?;
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled").into());
        }
        if i >= 16 * pieces {
            // A model whose activations are no numbers, or that says nothing.
            break;
        }
    }
    Ok(())
}

/// A token from somewhere in the vocabulary, always the same for an `i`.
fn somewhere(model: &Model, i: usize) -> TokenId {
    let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    TokenId((mixed % model.tokenizer().len().max(1) as u64) as u32)
}

/// The model's own bytes, padded so that a companion can follow.
fn copy(
    model: &Model,
    out: &mut dyn Write,
    cancel: &CancelToken,
    progress: &mut Progress,
) -> siskin::Result<()> {
    let Some(all) = model.file().model_bytes() else { return Ok(()) };
    for (i, piece) in all.chunks(PIECE).enumerate() {
        progress.show("copying MiB", (i * PIECE) >> 20, all.len() >> 20);
        out.write_all(piece)?;
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
    }
    let missing = model.file().data_end().saturating_sub(all.len() as u64);
    out.write_all(&vec![0; usize::try_from(missing).unwrap_or(0)])?;
    Ok(())
}
