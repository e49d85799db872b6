//! `siskin embed`: texts to vectors, one line each, as they are done.

use crate::Result;
use crate::args::{EmbedArgs, PoolingArg};
use crate::interrupt::Interrupt;
use crate::output::{FAILED, Failure, UNREADABLE, print};
use siskin::{EmbedOptions, Embedder, Pooling};
use std::io::BufRead;

/// The most bytes that a line of standard input may have.
const MAX_LINE: u64 = 16 << 20;

pub(crate) fn run(args: &EmbedArgs) -> Result {
    let interrupt = Interrupt::install()?;
    let model = args.model.open()?;
    let options = EmbedOptions {
        pooling: args.pooling.map(pooling),
        // A cosine does not depend on it.
        normalize: args.normalize || args.similarity,
        dimensions: args.dimensions,
        truncate: args.truncate,
        ..EmbedOptions::default()
    };
    let mut embedder = model.embedder(&options)?;
    interrupt.watch(Some(embedder.cancel_token()));
    let mut first = None;
    let lines = ["-".to_owned()];
    for text in if args.text.is_empty() { &lines[..] } else { &args.text } {
        if text != "-" {
            line(args, &mut embedder, text, &mut first)?;
            continue;
        }
        let mut stdin = std::io::stdin().lock();
        while let Some(text) = read_line(&mut stdin)? {
            line(args, &mut embedder, &text, &mut first)?;
        }
    }
    if first.is_none() {
        return Err(Failure::Usage("no text: give --text, or lines on standard input".to_owned()));
    }
    Ok(())
}

fn pooling(arg: PoolingArg) -> Pooling {
    match arg {
        PoolingArg::Mean => Pooling::Mean,
        PoolingArg::Cls => Pooling::Cls,
        PoolingArg::Last => Pooling::Last,
    }
}

/// Prints what became of one text; the `first` vector is kept.
fn line(args: &EmbedArgs, embedder: &mut Embedder, text: &str, first: &mut Option<Vec<f32>>) -> Result {
    let vector = embedder.embed(&format!("{}{text}", args.prefix))?;
    let first = first.get_or_insert_with(|| vector.clone());
    let result = if args.similarity {
        let cosine: f64 = first.iter().zip(&vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        format!("{cosine:.6}")
    } else {
        // The shortest digits that give the number back.
        let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
        if args.json { format!("[{}]", numbers.join(",")) } else { numbers.join(" ") }
    };
    let line = if args.json {
        let name = if args.similarity { "similarity" } else { "embedding" };
        format!("{{\"text\":{},\"{name}\":{result}}}\n", serde_json::Value::from(text))
    } else {
        format!("{result}\n")
    };
    print(&line)?;
    Ok(())
}

/// The next line without its end; `None` at the end of the input.
fn read_line(input: &mut impl BufRead) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = std::io::Read::take(&mut *input, MAX_LINE + 1).read_until(b'\n', &mut bytes);
    if read.map_err(|e| Failure::Other(format!("standard input: {e}"), UNREADABLE))? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 > MAX_LINE {
        return Err(Failure::Other(
            format!("a line of standard input has more than {MAX_LINE} bytes"),
            FAILED,
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Other("a line of standard input is not UTF-8".to_owned(), FAILED))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_only() {
        let mut input = &b"one\r\n\ntwo \nlast"[..];
        let lines: Vec<String> = std::iter::from_fn(|| read_line(&mut input).unwrap_or_default()).collect();
        assert_eq!(lines, ["one", "", "two ", "last"]);
        assert!(read_line(&mut &b"\xff\n"[..]).is_err());
    }
}
