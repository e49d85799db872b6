//! Rotary position encoding: the turning angles of a batch.
//!
//! Su et al., "RoFormer" (2021). Angles are computed once per batch and distinct encoding, shared by all layers.

use crate::model::spec::RopeSpec;

/// Turns per position of each pair, `[dims / 2]`: `base^(-2i / dims)`, divided by the file's factor for the pair.
pub(crate) fn frequencies(spec: &RopeSpec, factors: Option<&[f32]>) -> Vec<f32> {
    (0..spec.dims / 2)
        .map(|i| {
            let exponent = (2 * i) as f32 / spec.dims as f32;
            let frequency = 1.0 / libm::pow(f64::from(spec.base), f64::from(exponent)) as f32;
            let factor = factors.filter(|_| spec.file_factors).map_or(1.0, |f| f[i]);
            frequency / factor / spec.position_divisor
        })
        .collect()
}

/// Fills `out`, `[dims / 2][cos, sin]`, for `position`.
pub(crate) fn angles(frequencies: &[f32], position: usize, out: &mut [f32]) {
    for (f, pair) in frequencies.iter().zip(out.chunks_exact_mut(2)) {
        let (sin, cos) = libm::sincosf(position as f32 * f);
        pair[0] = cos;
        pair[1] = sin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::RopePairing;

    fn spec(position_divisor: f32, file_factors: bool) -> RopeSpec {
        RopeSpec { dims: 4, base: 100.0, position_divisor, pairing: RopePairing::Halves, file_factors }
    }

    #[test]
    fn frequencies_fall_by_powers_of_the_base() {
        assert_eq!(frequencies(&spec(1.0, true), None), [1.0, 0.1]);
        assert_eq!(frequencies(&spec(8.0, true), None), [0.125, 0.1 / 8.0]);
        assert_eq!(frequencies(&spec(1.0, true), Some(&[2.0, 4.0])), [0.5, 0.1 / 4.0]);
        assert_eq!(frequencies(&spec(1.0, false), Some(&[2.0, 4.0])), [1.0, 0.1]);
    }

    #[test]
    fn position_zero_does_not_turn() {
        let mut out = [9.0; 4];
        angles(&[1.0, 0.1], 0, &mut out);
        assert_eq!(out, [1.0, 0.0, 1.0, 0.0]);
        angles(&[1.0, 0.1], 3, &mut out);
        assert!((out[0] - 3f32.cos()).abs() < 1e-6 && (out[3] - 0.3f32.sin()).abs() < 1e-6);
    }
}
