//! [`F32x16`] as four registers of 128 bits. Baseline instructions only, so all three ARM tiers use it.

use std::arch::{aarch64::*, asm};

use super::super::vector::F32x16;

/// Sixteen lanes: register `i` holds lanes `4 i .. 4 i + 4`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Neon(pub(super) [float32x4_t; 4]);

impl Neon {
    #[inline(always)]
    fn map(self, f: impl Fn(float32x4_t) -> float32x4_t) -> Self {
        let [a, b, c, d] = self.0;
        Self([f(a), f(b), f(c), f(d)])
    }

    /// Integral lanes as words.
    #[inline(always)]
    fn words(self) -> [int16x8_t; 2] {
        // SAFETY: every aarch64 processor that the standard library runs on has NEON.
        let [a, b, c, d] = self.0.map(|x| unsafe { vmovn_s32(vcvtq_s32_f32(x)) });
        // SAFETY: as above.
        unsafe { [vcombine_s16(a, b), vcombine_s16(c, d)] }
    }

    #[inline(always)]
    fn zip(self, y: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        let ([a, b, c, d], [p, q, r, s]) = (self.0, y.0);
        Self([f(a, p), f(b, q), f(c, r), f(d, s)])
    }
}

/// `if a > b { a } else { b }`: unlike FMAX, `b` when either is NaN.
#[inline(always)]
fn max4(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: every aarch64 processor that the standard library runs on has NEON.
    unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
}

/// `if a < b { a } else { b }`: unlike FMIN, `b` when either is NaN.
#[inline(always)]
fn min4(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: as in `max4`.
    unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
}

// NEON is part of every aarch64 target of the standard library, and the loads and stores below stay inside the
// arrays that they are given.
impl F32x16 for Neon {
    #[inline(always)]
    fn store_i16(self, out: &mut [i16; 16]) {
        let [low, high] = self.words();
        // SAFETY: NEON is always there; writes the two halves of `out`.
        unsafe {
            vst1q_s16(out.as_mut_ptr(), low);
            vst1q_s16(out[8..].as_mut_ptr(), high);
        }
    }

    #[inline(always)]
    fn store_i8(self, out: &mut [i8; 16]) {
        let [low, high] = self.words();
        // SAFETY: NEON is always there; writes `out`.
        unsafe { vst1q_s8(out.as_mut_ptr(), vcombine_s8(vmovn_s16(low), vmovn_s16(high))) }
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: NEON is always there.
        Self([unsafe { vdupq_n_f32(x) }; 4])
    }

    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        let p = x.as_ptr();
        // SAFETY: NEON is always there; 4 x 4 values inside the array.
        Self(unsafe { [vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))] })
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        let p = out.as_mut_ptr();
        for (i, v) in self.0.into_iter().enumerate() {
            // SAFETY: NEON is always there; 4 x 4 values inside the array.
            unsafe { vst1q_f32(p.add(4 * i), v) };
        }
    }

    #[inline(always)]
    fn load_f16(x: &[u16; 16]) -> Self {
        let p = x.as_ptr();
        // SAFETY: NEON is always there; 2 x 8 values inside the array. FCVTL from half is baseline, not FEAT_FP16.
        unsafe {
            let (a, b) = (vreinterpretq_f16_u16(vld1q_u16(p)), vreinterpretq_f16_u16(vld1q_u16(p.add(8))));
            Self([
                vcvt_f32_f16(vget_low_f16(a)),
                vcvt_high_f32_f16(a),
                vcvt_f32_f16(vget_low_f16(b)),
                vcvt_high_f32_f16(b),
            ])
        }
    }

    #[inline(always)]
    fn store_f16(self, out: &mut [u16; 16]) {
        let [a, b, c, d] = self.0;
        let p = out.as_mut_ptr();
        // SAFETY: NEON is always there; 2 x 8 values inside the array. FCVTN to half is baseline.
        unsafe {
            vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a), b)));
            vst1q_u16(p.add(8), vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(c), d)));
        }
    }

    #[inline(always)]
    fn load_bf16(x: &[u16; 16]) -> Self {
        let p = x.as_ptr();
        // SAFETY: NEON is always there; 2 x 8 values inside the array.
        unsafe {
            let (a, b) = (vld1q_u16(p), vld1q_u16(p.add(8)));
            Self([
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(a))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(a)),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(b))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(b)),
            ])
        }
    }

    #[inline(always)]
    fn prefetch<T>(p: *const T) {
        // SAFETY: a prefetch of any address is harmless. (Its intrinsic is not stable.)
        unsafe { asm!("prfm pldl2keep, [{p}]", p = in(reg) p, options(nostack, preserves_flags, readonly)) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(b, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(b, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(b, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(b, |a, b| unsafe { vdivq_f32(a, b) })
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        let ([a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3]) = (self.0, b.0, c.0);
        // SAFETY: NEON is always there.
        Self(unsafe {
            [vfmaq_f32(c0, a0, b0), vfmaq_f32(c1, a1, b1), vfmaq_f32(c2, a2, b2), vfmaq_f32(c3, a3, b3)]
        })
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        self.zip(b, max4)
    }

    #[inline(always)]
    fn min(self, b: Self) -> Self {
        self.zip(b, min4)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: NEON is always there.
        self.map(|a| unsafe { vabsq_f32(a) })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: NEON is always there.
        self.map(|a| unsafe { vrndnq_f32(a) })
    }

    #[inline(always)]
    fn exp2i(self) -> Self {
        // SAFETY: NEON is always there.
        self.map(|a| unsafe {
            let biased = vaddq_s32(vcvtq_s32_f32(a), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
        })
    }

    #[inline(always)]
    fn reduce_add(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: NEON is always there.
        unsafe {
            let four = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    fn reduce_max(self) -> f32 {
        let [a, b, c, d] = self.0;
        let four = max4(max4(a, c), max4(b, d));
        let mut x = [0.0; 4];
        // SAFETY: NEON is always there; 4 values inside the array.
        unsafe { vst1q_f32(x.as_mut_ptr(), four) };
        let pick = |a: f32, b: f32| if a > b { a } else { b };
        pick(pick(x[0], x[2]), pick(x[1], x[3]))
    }
}
