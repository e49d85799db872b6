//! The sampler's random numbers: xoshiro256++ seeded through SplitMix64 (Blackman and Vigna, 2019; Steele, Lea and
//! Flood, 2014). Only integer additions, rotations and shifts, so a seed gives the same numbers on every platform.
//! Not for cryptography.

/// A generator with 256 bits of state.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    s: [u64; 4],
}

impl Rng {
    /// The generator of `seed`. Any seed is good, zero too: SplitMix64 spreads it.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self { s: std::array::from_fn(|_| split_mix(&mut state)) }
    }

    /// The next 64 random bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let s = &mut self.s;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A number in `0..bound` (0 for a bound of 0): the high half of a 128-bit product, so that no value's
    /// probability is off by more than 2^-64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sequences() {
        let mut state = 1_477_776_061_723_855_037;
        let split: [u64; 3] = std::array::from_fn(|_| split_mix(&mut state));
        assert_eq!(split, [1985237415132408290, 2979275885539914483, 13511426838097143398]);
        let mut rng = Rng { s: [1, 2, 3, 4] };
        let xoshiro: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
        assert_eq!(xoshiro, [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new(0);
        assert_eq!(rng.below(0), 0);
        for bound in [1, 2, 7, u64::MAX] {
            assert!((0..1000).all(|_| rng.below(bound) < bound));
        }
    }
}
