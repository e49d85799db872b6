//! Products with few tokens, as when guesses are checked: `cargo bench -p siskin-benches --bench rows [TIER [TYPE]]`.
//!
//! One core, tasks of 192 KiB as the decoder makes them. For each number of tokens: how many times the tokens per second
//! of one token, with weights that the second-level cache holds and with weights that no cache holds, each beside the
//! GB/s of one token. "GOPS" is that of eight tokens in cache (two per multiply-add).
#![allow(clippy::print_stdout, reason = "prints a table")]

use std::time::Duration;

use siskin::kernels::Kernels;
use siskin::quant::{ActFormat, QuantType};
use siskin_benches::{Product, best_of, tiers};

const TIME: Duration = Duration::from_millis(40);
const TOKENS: [usize; 7] = [1, 2, 3, 4, 6, 8, 16];
const COLUMNS: usize = 2048;
const CACHED: usize = 384 << 10;
const FROM_MEMORY: usize = 80 << 20;

/// Seconds of a product of some `bytes` of weights for each number of tokens, and the exact bytes.
fn times(tier: &Kernels, ty: QuantType, bytes: usize) -> ([f64; TOKENS.len()], usize) {
    let rows = bytes / ty.row_bytes(COLUMNS).expect("whole blocks") / 16 * 16;
    let mut exact = 0;
    let times = TOKENS.map(|n| {
        let mut product = Product::new(ty, rows, n, COLUMNS);
        exact = product.bytes();
        if bytes == CACHED {
            product.verify(tier);
        }
        best_of(TIME, || product.run_cut(tier, 192 << 10))
    });
    (times, exact)
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let (only_tier, only_type) = (args.next(), args.next());
    for tier in tiers().into_iter().filter(|t| t.name() != "scalar") {
        if only_tier.as_ref().is_some_and(|only| tier.name() != only) {
            continue;
        }
        print!("{}\n  {:8} {:>6} {:>5}", tier.name(), "type", "GOPS", "GB/s");
        TOKENS[1..].iter().for_each(|n| print!(" {n:>5}"));
        print!(" | {:>5}", "GB/s");
        TOKENS[1..].iter().for_each(|n| print!(" {n:>5}"));
        println!();
        for &ty in QuantType::ALL.iter().filter(|ty| ty.act_format() != ActFormat::F32) {
            if only_type.as_ref().is_some_and(|only| ty.name() != only) {
                continue;
            }
            let parts = [CACHED, FROM_MEMORY].map(|bytes| times(tier, ty, bytes));
            let (cached, bytes) = parts[0];
            let weights = bytes as f64 / ty.block_bytes() as f64 * ty.block_len() as f64;
            print!("  {:8} {:>6.0}", ty.name(), 16.0 * weights / cached[5] / 1e9);
            for (i, (times, bytes)) in parts.iter().enumerate() {
                print!("{}{:>5.1}", if i == 0 { " " } else { " | " }, *bytes as f64 / times[0] / 1e9);
                for (n, time) in TOKENS.iter().zip(times).skip(1) {
                    print!(" {:>5.2}", times[0] * *n as f64 / time);
                }
            }
            println!();
        }
    }
}
