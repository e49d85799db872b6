//! Products with one token on matrices that no cache holds: `cargo bench -p siskin-benches --bench memory [TYPE]`.
//!
//! One core; "whole" is one call for the matrix, "in tasks" one per 192 KiB, as the decoder makes them. The fractions
//! are of what plain reading of the same bytes reaches in the same minute.
#![allow(clippy::print_stdout, reason = "prints a table")]

use std::hint::black_box;
use std::time::Duration;

use siskin::quant::QuantType;
use siskin_benches::{Product, best_of, tiers};

const TIME: Duration = Duration::from_millis(150);
const BYTES: usize = 200 << 20;

fn main() {
    let only = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    for tier in tiers().into_iter().filter(|t| t.name() != "scalar") {
        println!(
            "{}\n  {:8} {:>5} {:>10} {:>15} {:>15} {:>9}",
            tier.name(),
            "type",
            "k",
            "read GB/s",
            "whole",
            "in tasks",
            "in cache",
        );
        for &ty in QuantType::ALL {
            if only.as_ref().is_some_and(|only| ty.name() != only) {
                continue;
            }
            for k in [1280, 6912] {
                let rows = BYTES / ty.row_bytes(k).expect("whole blocks") / 16 * 16;
                let mut gemv = Product::new(ty, rows, 1, k);
                let bytes = gemv.bytes() as f64 / 1e9;
                let read = bytes / best_of(TIME, || _ = black_box(gemv.read()));
                let whole = bytes / best_of(TIME, || gemv.run(tier));
                let cut = bytes / best_of(TIME, || gemv.run_cut(tier, 192 << 10));
                let mut small =
                    Product::new(ty, (256 << 10) / ty.row_bytes(k).expect("whole blocks") / 16 * 16, 1, k);
                let cached = small.bytes() as f64 / 1e9 / best_of(TIME / 4, || small.run(tier));
                let (a, b) = (whole / read, cut / read);
                println!(
                    "  {:8} {k:>5} {read:>10.1} {whole:>8.1} ({a:.2}) {cut:>8.1} ({b:.2}) {cached:>9.1}",
                    ty.name()
                );
            }
        }
    }
}
