//! `exp`, `tanh` and the tail of the normal distribution: polynomials, the same operations in every tier.
//!
//! `x = n ln 2 + r` with integral `n` and `|r| <= ln 2 / 2`; `exp(x) = 2^n (1 + r + r^2 q(r))`. The coefficients of `q`
//! minimise the relative squared error at Chebyshev nodes; rounded to `f32` they leave an error below 4e-9.

use crate::kernels::vector::F32x16;

/// `e^x`, with an error of at most 1 ULP where `-87.33 < x < 88.37` (tested below over all of it).
/// Above that infinity (a little early: `f32` ends at 88.72), below it zero (no denormals). NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<V: F32x16>(x: V) -> V {
    // Bounds that give n = -127 and n = 128, hence 2^n = 0 and infinity. `max` and `min` keep a NaN on the right.
    let x = V::splat(89.0).min(V::splat(-88.0).max(x));
    let n = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
    // ln 2 as a sum of two floats.
    let r = n.fma(V::splat(-std::f32::consts::LN_2), x);
    let r = n.fma(V::splat(1.904_654_2e-9), r);
    let p = V::splat(1.375_128e-3);
    let p = p.fma(r, V::splat(8.368_952e-3));
    let p = p.fma(r, V::splat(4.166_954e-2));
    let p = p.fma(r, V::splat(0.166_665_18));
    let p = p.fma(r, V::splat(0.499_999_88));
    let p = p.fma(r, V::splat(1.0));
    let p = p.fma(r, V::splat(1.0));
    p.mul(n.exp2i())
}

/// `tanh(x)` as `1 - 2 / (e^2x + 1)`, with an absolute (not relative) error below 2e-7. NaN stays NaN.
#[inline(always)]
pub(crate) fn tanh<V: F32x16>(x: V) -> V {
    let e = exp(x.add(x));
    V::splat(1.0).sub(V::splat(2.0).div(e.add(V::splat(1.0))))
}

/// `P(X > x)` for a standard normal `X` and `x >= 0`, which is `erfc(x / sqrt(2)) / 2`, as
/// `exp(-x^2 / 2) t p(t)` with `t = 1 / (1 + 0.3 x)`. The coefficients of `p` minimise the largest relative error for `x`
/// up to 10: 5e-8 before rounding.
#[inline(always)]
pub(crate) fn upper_tail<V: F32x16>(x: V) -> V {
    let one = V::splat(1.0);
    let t = one.div(x.fma(V::splat(0.3), one));
    let p = V::splat(0.037_547_994);
    let p = p.fma(t, V::splat(-0.165_077_34));
    let p = p.fma(t, V::splat(0.220_084_92));
    let p = p.fma(t, V::splat(-0.066_524_185));
    let p = p.fma(t, V::splat(0.135_496_32));
    let p = p.fma(t, V::splat(0.097_756_08));
    let p = p.fma(t, V::splat(0.121_111_21));
    let p = p.fma(t, V::splat(0.119_605_04));
    p.mul(t).mul(exp(x.mul(x).mul(V::splat(-0.5))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::scalar::Lanes;

    fn map(f: impl Fn(Lanes) -> Lanes, x: f32) -> f32 {
        let mut out = [0.0; 16];
        f(Lanes::splat(x)).store(&mut out);
        out[0]
    }

    #[test]
    fn exp_is_within_one_ulp() {
        let (low, high) = (-87.33f32, 88.37f32);
        let steps = 400_000;
        for i in 0..=steps {
            let x = low + (high - low) * (i as f32 / steps as f32);
            let (got, want) = (map(exp, x), f64::from(x).exp());
            let ulp = f64::from((want as f32).next_up() - want as f32);
            assert!((f64::from(got) - want).abs() <= ulp, "exp({x}) = {got}, not {want}");
        }
    }

    #[test]
    fn exp_beyond_its_range() {
        assert_eq!(map(exp, f32::NEG_INFINITY), 0.0);
        assert_eq!(map(exp, -1e30), 0.0);
        assert_eq!(map(exp, -87.9), 0.0);
        assert_eq!(map(exp, 89.0), f32::INFINITY);
        assert_eq!(map(exp, f32::INFINITY), f32::INFINITY);
        assert_eq!(map(exp, 0.0), 1.0);
        assert!(map(exp, f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_close() {
        for i in -40_000..=40_000 {
            let x = i as f32 / 2000.0;
            assert!((f64::from(map(tanh, x)) - f64::from(x).tanh()).abs() < 2e-7, "tanh({x})");
        }
        assert_eq!(map(tanh, f32::INFINITY), 1.0);
        assert_eq!(map(tanh, f32::NEG_INFINITY), -1.0);
        assert!(map(tanh, f32::NAN).is_nan());
    }
}
