//! Which tiers exist, and which one this processor gets.

use super::Kernels;

/// One instruction set: its kernels, and whether the processor has it.
pub(crate) struct Tier {
    /// Must ask for every feature that the tier's `#[target_feature]` lists name.
    pub(crate) supported: fn() -> bool,
    pub(crate) kernels: Kernels,
}

/// THE TABLE: fastest first. Every processor has the last one.
pub(crate) static TIERS: &[&Tier] = &[
    #[cfg(target_arch = "x86_64")]
    &super::avx512_vnni::TIER,
    #[cfg(target_arch = "x86_64")]
    &super::avx2::TIER,
    #[cfg(target_arch = "aarch64")]
    &super::neon_i8mm::TIER,
    #[cfg(target_arch = "aarch64")]
    &super::neon_dotprod::TIER,
    #[cfg(target_arch = "aarch64")]
    &super::neon::TIER,
    #[cfg(any(test, not(target_arch = "aarch64"), not(feature = "fast-kernels-only")))]
    &super::scalar::TIER,
];

pub(super) fn best() -> &'static Kernels {
    let tier = TIERS.iter().find(|t| (t.supported)()).expect("every processor has the last tier");
    &tier.kernels
}

pub(super) fn by_name(name: &str) -> Option<&'static Kernels> {
    TIERS.iter().find(|t| t.kernels.name == name && (t.supported)()).map(|t| &t.kernels)
}

pub(super) fn tiers() -> impl Iterator<Item = (&'static str, bool)> {
    TIERS.iter().map(|t| (t.kernels.name, (t.supported)()))
}
