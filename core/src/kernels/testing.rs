//! The oracle suite: every tier in [`TIERS`], every operation, every type, on awkward shapes and values, must equal
//! the scalar tier bit for bit (NaN equals NaN); the scalar tier itself is held to an `f64` reference.
//!
//! A new tier or type is tested by existing. A tier that this processor lacks is named in the output as skipped. Seeds
//! are fixed, so a failure repeats.

mod attention;
mod data;
mod delta;
mod floats;
mod products;

use super::select::TIERS;
use super::{Kernels, scalar};
use crate::quant::{ActFormat, QuantType};
use std::io::Write as _;

/// The tiers of this processor, except the scalar one.
fn fast_tiers() -> impl Iterator<Item = &'static Kernels> {
    TIERS.iter().filter(|t| (t.supported)()).map(|t| &t.kernels).filter(|k| k.name() != oracle().name())
}

/// The scalar tier.
fn oracle() -> &'static Kernels {
    &scalar::TIER.kernels
}

/// Equal bits, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[track_caller]
fn assert_same(got: &[f32], want: &[f32], what: impl FnOnce() -> String) {
    assert_eq!(got.len(), want.len());
    if let Some(i) = (0..got.len()).find(|&i| !same(got[i], want[i])) {
        panic!(
            "{}: element {i} of {} is {:e} ({:#x}), not {:e} ({:#x})",
            what(),
            got.len(),
            got[i],
            got[i].to_bits(),
            want[i],
            want[i].to_bits()
        );
    }
}

/// Squared error over squared reference.
fn nmse(got: &[f32], want: &[f64]) -> f64 {
    let error: f64 = got.iter().zip(want).map(|(&g, w)| (f64::from(g) - w).powi(2)).sum();
    error / want.iter().map(|w| w * w).sum::<f64>().max(f64::MIN_POSITIVE)
}

#[test]
fn which_tiers_are_tested() {
    // Not `println!`: this must be seen although the test passes.
    let mut out = std::io::stderr();
    for tier in TIERS {
        let name = tier.kernels.name();
        let text = if (tier.supported)() { "tested" } else { "skipped: not on this processor" };
        writeln!(out, "kernel tier {name}: {text}").expect("standard error is open");
    }
    assert!(Kernels::by_name("scalar").is_some() && Kernels::by_name("no such tier").is_none());
    assert!(Kernels::tiers().any(|(name, supported)| supported && name == Kernels::best().name()));
}

#[test]
fn tier_names_differ() {
    let mut names: Vec<_> = Kernels::tiers().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TIERS.len());
}

/// The table of products in docs/kernels.md says of every compiled tier and type what the code has.
#[test]
fn the_documented_inventory_is_true() {
    let page = include_str!("../../../docs/kernels.md");
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let mut table = page.lines().skip_while(|line| !line.starts_with("| type |")).map(cells);
    let heads = table.next().expect("docs/kernels.md has a table of types");
    let rows: Vec<_> = table.skip(1).take_while(|cells| cells.len() == heads.len()).collect();
    for tier in TIERS.iter().filter(|t| t.kernels.name() != oracle().name()) {
        let name = tier.kernels.name();
        let column = heads.iter().position(|&h| h == name).unwrap_or_else(|| panic!("no column {name}"));
        for &ty in QuantType::ALL {
            let row = rows.iter().find(|row| row[0] == ty.name()).unwrap_or_else(|| panic!("no row {ty}"));
            let (own, scalar) = (tier.kernels.matmul.0[ty as usize], scalar::MATMUL.0[ty as usize]);
            let is = match ty.act_format() {
                ActFormat::F32 => "generic",
                _ if std::ptr::fn_addr_eq(own, scalar) => "scalar",
                _ => "fast",
            };
            assert_eq!(row[column], is, "docs/kernels.md, row {ty}, column {name}");
        }
    }
}
