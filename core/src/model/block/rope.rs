//! Rotary position encoding: the turning angles of a batch.
//!
//! Su et al., "RoFormer" (2021). Angles are computed once per batch and distinct encoding, shared by all layers.

use crate::model::spec::{RopeFactors, RopeSpec, Yarn};
use std::f64::consts::TAU;

/// One encoding of a model, ready to use.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// `[dims / 2]`: turns per position of each pair.
    usual: Vec<f32>,
    /// The same for sessions of more than so many tokens.
    beyond: Option<(usize, Vec<f32>)>,
    magnitude: f32,
}

impl Rotation {
    /// `factors` are the file's for the usual context and for a longer one, `[dims / 2]` each.
    pub(crate) fn new(spec: &RopeSpec, factors: Option<&[f32]>, long: Option<&[f32]>) -> Self {
        let (usual, beyond) = match (spec.factors, long) {
            (RopeFactors::None, _) => (frequencies(spec, None), None),
            (RopeFactors::ByContext { original }, Some(long)) => {
                (frequencies(spec, factors), Some((original, frequencies(spec, Some(long)))))
            }
            (RopeFactors::IfPresent | RopeFactors::ByContext { .. }, _) => (frequencies(spec, factors), None),
        };
        Self { usual, beyond, magnitude: spec.magnitude }
    }

    /// Fills `out`, `[dims / 2][cos, sin]`, for `position` in a session of `context` tokens.
    pub(crate) fn angles(&self, context: usize, position: usize, out: &mut [f32]) {
        let frequencies = match &self.beyond {
            Some((original, long)) if context > *original => long,
            _ => &self.usual,
        };
        for (f, pair) in frequencies.iter().zip(out.chunks_exact_mut(2)) {
            let (sin, cos) = libm::sincosf(position as f32 * f);
            pair[0] = cos * self.magnitude;
            pair[1] = sin * self.magnitude;
        }
    }

    /// Elements that are rotated.
    pub(crate) fn dims(&self) -> usize {
        2 * self.usual.len()
    }
}

/// `base^(-2i / dims)`, divided by the pair's factor, and by the position's divisor as far as it is scaled:
/// `[dims / 2]`.
fn frequencies(spec: &RopeSpec, factors: Option<&[f32]>) -> Vec<f32> {
    let ramp = spec.yarn.map(|yarn| ramp(spec, &yarn));
    (0..spec.dims / 2)
        .map(|i| {
            let exponent = (2 * i) as f32 / spec.dims as f32;
            let frequency = 1.0 / libm::pow(f64::from(spec.base), f64::from(exponent)) as f32;
            let frequency = frequency / factors.map_or(1.0, |f| f[i]);
            let scaled = frequency / spec.position_divisor;
            match ramp {
                None => scaled,
                Some((low, high)) => {
                    let share = ((i as f32 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                    scaled * share + frequency * (1.0 - share)
                }
            }
        })
        .collect()
}

/// The pairs between which YaRN goes over from unscaled to scaled, rounded away from each other if at all.
fn ramp(spec: &RopeSpec, yarn: &Yarn) -> (f32, f32) {
    let dims = spec.dims as f64;
    // The pair, not rounded, that turns `turns` times within the original context.
    let pair = |turns: f32| {
        let ratio = yarn.original as f64 / (f64::from(turns) * TAU);
        dims * libm::log(ratio) / (2.0 * libm::log(f64::from(spec.base)))
    };
    let (mut low, mut high) = (pair(yarn.beta_fast), pair(yarn.beta_slow));
    if yarn.rounded {
        (low, high) = (low.floor(), high.ceil());
    }
    (low.max(0.0) as f32, high.min(dims - 1.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::RopePairing;

    fn spec(position_divisor: f32, factors: RopeFactors, magnitude: f32) -> RopeSpec {
        let (pairing, yarn) = (RopePairing::Halves, None);
        RopeSpec { dims: 4, base: 100.0, position_divisor, yarn, pairing, factors, magnitude }
    }

    #[test]
    fn frequencies_fall_by_powers_of_the_base() {
        let usual = |divisor, factors, file| Rotation::new(&spec(divisor, factors, 1.0), file, None).usual;
        assert_eq!(usual(1.0, RopeFactors::IfPresent, None), [1.0, 0.1]);
        assert_eq!(usual(8.0, RopeFactors::IfPresent, None), [0.125, 0.1 / 8.0]);
        assert_eq!(usual(1.0, RopeFactors::IfPresent, Some(&[2.0, 4.0])), [0.5, 0.1 / 4.0]);
        assert_eq!(usual(1.0, RopeFactors::None, Some(&[2.0, 4.0])), [1.0, 0.1]);
    }

    #[test]
    fn yarn_divides_slow_pairs_only() {
        let yarn = Some(Yarn { original: 4096, beta_fast: 32.0, beta_slow: 1.0, rounded: true });
        let plain = RopeSpec { dims: 64, base: 10_000.0, ..spec(1.0, RopeFactors::None, 1.0) };
        let scaled = RopeSpec { position_divisor: 8.0, yarn, ..plain };
        let (plain, scaled) = (frequencies(&plain, None), frequencies(&scaled, None));
        // 64 ln(4096 / (32 * 2 pi)) / (2 ln 10000) = 10.5 and, for one turn, 22.5.
        let ratio = |i: usize| plain[i] / scaled[i];
        assert_eq!((ratio(0), ratio(10)), (1.0, 1.0));
        assert!(ratio(11) > 1.0 && ratio(22) < 8.0 && (ratio(23), ratio(31)) == (8.0, 8.0));
        let middle = scaled[16] / plain[16]; // 6 of 13 steps down the ramp
        assert!((middle - (6.0 / 8.0 + 7.0) / 13.0).abs() < 1e-6, "{middle}");
    }

    #[test]
    fn a_long_session_has_its_own_factors_and_all_have_the_magnitude() {
        let spec = spec(1.0, RopeFactors::ByContext { original: 64 }, 2.0);
        let rotation = Rotation::new(&spec, Some(&[1.0, 1.0]), Some(&[4.0, 4.0]));
        let cos = |context, position| {
            let mut out = [9.0; 4];
            rotation.angles(context, position, &mut out);
            out[0]
        };
        assert_eq!((cos(64, 0), cos(65, 0)), (2.0, 2.0), "position 0 does not turn");
        assert!(
            (cos(64, 3) - 2.0 * 3f32.cos()).abs() < 1e-6 && (cos(65, 3) - 2.0 * 0.75f32.cos()).abs() < 1e-6
        );
        assert_eq!(rotation.dims(), 4);
    }
}
