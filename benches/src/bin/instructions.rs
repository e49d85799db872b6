//! Instructions per 32 multiply-adds, for every quantised type and tier, under emulation: `scripts/arm-instructions`
//! runs it as several ARM processors with a counting plugin, which prints what is executed between two marks.
//!
//! `instructions [TYPE..]`: one line per product on standard output, in the order of the plugin's regions.
#![allow(clippy::print_stdout, reason = "prints what it runs")]
#![allow(unsafe_code, reason = "the marks are instructions")]

use siskin::kernels::Kernels;
use siskin::quant::{ActFormat, QuantType};
use siskin_benches::Product;

const ROWS: usize = 64;
const K: usize = 2048;

/// Begins (96) or ends (97) a region.
fn mark<const N: u32>() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint that no processor knows does nothing.
    unsafe {
        std::arch::asm!("hint #{n}", n = const N);
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let tier = Kernels::best();
    for &ty in QuantType::ALL {
        if ty.act_format() == ActFormat::F32 || !(wanted.is_empty() || wanted.iter().any(|w| w == ty.name()))
        {
            continue;
        }
        for n in [1, 32] {
            let mut product = Product::new(ty, ROWS, n, K);
            mark::<96>();
            product.run(tier);
            mark::<97>();
            println!("{} {} {n} {}", tier.name(), ty.name(), product.ops() / 64);
        }
    }
}
