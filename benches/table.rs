//! A short table of the kernels' speed on one core: `cargo bench -p siskin-benches --bench table`.
//!
//! Every result is compared with the scalar tier before it is timed; each figure is the best of the runs that fit into
//! its time. `gemv` is in GB/s of weights, from a matrix that a second-level cache holds in part; `gemm` in GOPS
//! (two per multiply-add), for quantised types also as a fraction of the measured peak of the tier's `int8`
//! instruction. (AVX2 may exceed its own: types of few bits can be added up in 16 bits before they are widened.)
#![allow(clippy::print_stdout, reason = "prints a table")]

use std::time::Duration;

use siskin::kernels::Activation;
use siskin::quant::{ActFormat, QuantType};
use siskin_benches::{Attention, Product, best_of, noise, peak, tiers};

/// For each figure.
const TIME: Duration = Duration::from_millis(60);

fn main() {
    println!("one core reads {:.1} GB/s\n", peak::read_bandwidth() / 1e9);
    for tier in tiers() {
        let (peak, fma) = (peak::int8(tier.name()), peak::fma(tier.name()));
        print!("{}", tier.name());
        match peak {
            Some((name, ops)) => println!(": peak {:.0} GOPS by {name}", ops / 1e9),
            None => println!(),
        }
        println!("  {:8} {:>10} {:>12} {:>9}", "type", "gemv GB/s", "gemm GOPS", "of peak");
        // The scalar tier takes seconds where others take milliseconds.
        let (rows, n) = if tier.name() == "scalar" { (128, 8) } else { (512, 64) };
        for &ty in QuantType::ALL {
            let mut gemv = Product::new(ty, 4 * rows, 1, 2048);
            gemv.verify(tier);
            let decode = gemv.bytes() as f64 / best_of(TIME, || gemv.run(tier));
            let mut gemm = Product::new(ty, rows, n, 2048);
            gemm.verify(tier);
            let prefill = gemm.ops() as f64 / best_of(TIME, || gemm.run(tier));
            let fraction = match peak {
                Some((_, peak)) if ty.act_format() != ActFormat::F32 => format!("{:.2}", prefill / peak),
                _ => String::new(),
            };
            println!("  {:8} {:>10.1} {:>12.1} {fraction:>9}", ty.name(), decode / 1e9, prefill / 1e9);
        }
        for (head_dim, n) in [(64, 3), (64, 192), (256, 4), (256, 256)] {
            let mut attention = Attention::new(head_dim, n);
            attention.verify(tier);
            let speed = attention.ops() as f64 / best_of(TIME, || attention.run(tier));
            let fraction = fma.map(|fma| format!(", {:.2} of peak", speed / fma)).unwrap_or_default();
            println!(
                "  attention of {n} queries over 256 positions, head_dim {head_dim}: {:.1} GFLOPS{fraction}",
                speed / 1e9
            );
        }
        let (x, mut out) = (noise(2048, 6), noise(2048, 7));
        let mut ns = |name: &str, f: &mut dyn FnMut(&mut [f32])| {
            println!("  {name}: {:.3} ns per element", best_of(TIME, || f(&mut out)) * 1e9 / 2048.0);
        };
        ns("rms_norm", &mut |out| tier.rms_norm(out, &x, &x, 1e-6));
        ns("silu", &mut |out| tier.act_mul(out, &x, Activation::Silu));
        ns("gelu", &mut |out| tier.act_mul(out, &x, Activation::GeluTanh));
        println!();
    }
}
