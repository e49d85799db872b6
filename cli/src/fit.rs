//! `siskin fit`: what a model will take of this machine, before anything is loaded.

use crate::Result;
use crate::args::FitArgs;
use crate::output::{Failure, NO_FIT, Table, bytes, print, print_json};
use crate::system::read_bandwidth;
use serde_json::json;
use siskin::governor::available_memory;
use std::time::Duration;

/// The smallest file whose weights say how fast memory is read.
const SMALLEST_MEASURED: u64 = 16 << 20;

/// How a model fits.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Yes,
    /// The weights don't stay in memory: each token reads from storage.
    Slowly,
    No,
    Unknown,
}

impl Verdict {
    fn of(dirty: u64, peak: u64, available: Option<u64>) -> Self {
        match available {
            None => Self::Unknown,
            Some(available) if peak <= available => Self::Yes,
            Some(available) if dirty <= available => Self::Slowly,
            Some(_) => Self::No,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Slowly => "slowly",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

pub(crate) fn run(args: &FitArgs) -> Result {
    let model = args.model.open()?;
    let fit = model.fit(&args.context.options())?;
    let available = available_memory();
    // Pages of the file that are in memory already count as available.
    let verdict = Verdict::of(fit.dirty(), fit.peak(), available);
    // Of a small file, starting the threads is what would be measured.
    let measurable = fit.mapped >= SMALLEST_MEASURED;
    let bandwidth = if verdict == Verdict::Yes && measurable {
        Some(read_bandwidth(model.file(), model.threads(), Duration::from_millis(300)))
    } else {
        None
    };
    let speed = bandwidth.map(|b| b / fit.bytes_per_token.max(1) as f64);
    if args.json {
        print_json(&json!({
            "fits": verdict.words(),
            "context": fit.context,
            "batch": fit.batch,
            "kv_type": args.context.pass.kv_type().name(),
            "threads": fit.threads,
            "mapped_bytes": fit.mapped,
            "dirty_bytes": fit.dirty(),
            "peak_bytes": fit.peak(),
            "kv_cache_bytes": fit.kv_cache,
            "buffer_bytes": fit.buffers,
            "table_bytes": fit.tables,
            "available_bytes": available,
            "weight_bytes_per_token": fit.bytes_per_token,
            "read_bytes_per_second": bandwidth,
            "tokens_per_second_at_most": speed,
        }))?;
    } else {
        let kv = args.context.pass.kv_type().name();
        let mut table = Table::new(&["memory", "size", ""]);
        let mut row = |name: &str, n: u64, note: &str| table.row([name.into(), bytes(n), note.into()]);
        row("mapped", fit.mapped, "the file; the system may drop and re-read it");
        row("dirty", fit.dirty(), "only for this model, until it is closed:");
        row("  cache", fit.kv_cache, &format!("keys and values of {} tokens, {kv}", fit.context));
        row(
            "  buffers",
            fit.buffers,
            &format!("for passes of up to {} tokens, {} threads", fit.batch, fit.threads),
        );
        row("  tables", fit.tables, "tokenizer, tensors, settings");
        row("peak", fit.peak(), "all of it");
        if let Some(available) = available {
            row("available", available, "on this machine now");
        }
        print(&table.render())?;
        if let (Some(speed), Some(bandwidth)) = (speed, bandwidth) {
            print(&format!(
                "speed: at most {speed:.1} tokens/s ({} of weights per token, read at {:.1} GB/s)\n",
                bytes(fit.bytes_per_token),
                bandwidth / 1e9
            ))?;
        }
        print(&format!(
            "fits: {}\n",
            match verdict {
                Verdict::Slowly => "slowly: the weights do not all stay in memory, each token re-reads some",
                other => other.words(),
            }
        ))?;
    }
    if verdict == Verdict::No { Err(Failure::Quiet(NO_FIT)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        assert_eq!(Verdict::of(10, 100, Some(100)).words(), "yes");
        assert_eq!(Verdict::of(10, 100, Some(99)).words(), "slowly");
        assert_eq!(Verdict::of(10, 100, Some(9)).words(), "no");
        assert_eq!(Verdict::of(10, 100, None).words(), "unknown");
    }
}
