//! The most that one core does: multiply-adds in registers, of `int8` and of `f32`, and bytes read from memory.
#![allow(unsafe_code, reason = "the instructions whose peak is measured")]

use std::hint::black_box;
use std::time::Duration;

use crate::best_of;

/// Name and operations (two per multiply-add) per second of the best `int8` instruction for tier `tier`.
pub fn int8(tier: &str) -> Option<(&'static str, f64)> {
    const ROUNDS: usize = 100_000;
    let (name, ops, f): (&str, usize, unsafe fn(usize)) = match tier {
        #[cfg(target_arch = "x86_64")]
        "x86_64-avx512-vnni" => ("vpdpbusd zmm", 16 * 64 * 2, x86::vnni),
        #[cfg(target_arch = "x86_64")]
        "x86_64-avx2" => ("vpmaddubsw + vpmaddwd ymm", 8 * 32 * 2, x86::avx2),
        #[cfg(target_arch = "aarch64")]
        "aarch64-neon-dotprod" => ("sdot", 16 * 16 * 2, arm::sdot),
        #[cfg(target_arch = "aarch64")]
        "aarch64-neon-i8mm" => ("smmla", 16 * 32 * 2, arm::smmla),
        _ => return None,
    };
    // SAFETY: the caller has the tier, so the processor has its instructions.
    let seconds = best_of(Duration::from_millis(200), || unsafe { f(ROUNDS) });
    Some((name, (ROUNDS * ops) as f64 / seconds))
}

/// Floating-point operations (two per multiply-add) per second of the widest fused multiply-add of tier `tier`.
pub fn fma(tier: &str) -> Option<f64> {
    const ROUNDS: usize = 100_000;
    let (products, f): (usize, unsafe fn(usize)) = match tier {
        #[cfg(target_arch = "x86_64")]
        "x86_64-avx512-vnni" => (12 * 16, x86::fma512),
        #[cfg(target_arch = "x86_64")]
        "x86_64-avx2" => (12 * 8, x86::fma256),
        #[cfg(target_arch = "aarch64")]
        _ if tier.starts_with("aarch64-neon") => (16 * 4, arm::fmla),
        _ => return None,
    };
    // SAFETY: the caller has the tier, so the processor has its instructions.
    let seconds = best_of(Duration::from_millis(100), || unsafe { f(ROUNDS) });
    Some((ROUNDS * products * 2) as f64 / seconds)
}

/// Bytes per second that one core reads from a buffer that no cache holds.
pub fn read_bandwidth() -> f64 {
    let buffer = vec![1u64; 32 << 20];
    let seconds = best_of(Duration::from_millis(300), || {
        let mut sums = [0u64; 32];
        for chunk in buffer.as_chunks::<32>().0 {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum ^= x;
            }
        }
        black_box(sums);
    });
    (buffer.len() * 8) as f64 / seconds
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// Sixteen independent accumulators per round.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn vnni(rounds: usize) {
        let (a, b) = (_mm512_set1_epi8(black_box(3)), _mm512_set1_epi8(black_box(5)));
        let mut acc = black_box([_mm512_setzero_si512(); 16]);
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm512_dpbusd_epi32(*acc, a, b);
            }
        }
        black_box(acc);
    }

    macro_rules! fused {
        ($name:ident, $features:literal, $set:ident, $fma:ident) => {
            /// Twelve independent accumulators per round: AVX2 has sixteen registers.
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: usize) {
                let (a, b) = ($set(black_box(0.5)), $set(black_box(0.25)));
                let mut acc = black_box([$set(0.0); 12]);
                for _ in 0..rounds {
                    for acc in &mut acc {
                        *acc = $fma(a, b, *acc);
                    }
                }
                black_box(acc);
            }
        };
    }
    fused!(fma512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps);
    fused!(fma256, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps);

    /// Eight independent accumulators per round. As `asm!`, because the compiler sees that the products are all equal.
    #[target_feature(enable = "avx2")]
    pub(super) fn avx2(rounds: usize) {
        let (a, b) = (_mm256_set1_epi8(black_box(3)), _mm256_set1_epi8(black_box(5)));
        let ones = _mm256_set1_epi16(1);
        let mut acc = [_mm256_setzero_si256(); 8];
        for _ in 0..rounds {
            for acc in &mut acc {
                // SAFETY: AVX2, which this function has, on registers only.
                unsafe {
                    asm!("vpmaddubsw {t}, {a}, {b}", "vpmaddwd {t}, {t}, {ones}", "vpaddd {acc}, {acc}, {t}",
                         t = out(ymm_reg) _, a = in(ymm_reg) a, b = in(ymm_reg) b, ones = in(ymm_reg) ones,
                         acc = inout(ymm_reg) *acc, options(pure, nomem, nostack, preserves_flags));
                }
            }
        }
        black_box(acc);
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;
    use std::arch::asm;
    use std::hint::black_box;

    macro_rules! sixteen {
        ($name:ident, $feature:literal, $instruction:literal) => {
            /// Sixteen independent accumulators per round.
            #[target_feature(enable = $feature)] // assemblers refuse what the function does not have
            pub(super) fn $name(rounds: usize) {
                let (a, b) = (vdupq_n_s8(black_box(3)), vdupq_n_s8(black_box(5)));
                let mut acc = [vdupq_n_s32(0); 16];
                for _ in 0..rounds {
                    for acc in &mut acc {
                        // SAFETY: an instruction that this function has, on registers only.
                        unsafe {
                            asm!($instruction, inout(vreg) *acc, in(vreg) a, in(vreg) b,
                                 options(pure, nomem, nostack));
                        }
                    }
                }
                black_box(acc);
            }
        };
    }
    sixteen!(fmla, "neon", "fmla {0:v}.4s, {1:v}.4s, {2:v}.4s");
    sixteen!(sdot, "neon,dotprod", "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b");
    sixteen!(smmla, "neon,i8mm", "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b");
}
