//! What a recurrent layer keeps instead of keys and values: a state of fixed size.

use super::try_zeros;

/// One layer's state, twice: as it was before the last pass and as it is after it. A pass reads one and writes the other,
/// so that one that fails changes nothing, and the last one can be taken back.
#[derive(Debug)]
pub(super) struct State([Vec<f32>; 2]);

impl State {
    pub(super) fn new(len: usize) -> Option<Self> {
        let zeros = || try_zeros(len, |n| vec![0.0; n]);
        Some(Self([zeros()?, zeros()?]))
    }

    /// The state that counts, which is copy `now`, and room for the next one.
    pub(super) fn turn(&mut self, now: usize) -> (&[f32], &mut [f32]) {
        let [a, b] = &mut self.0;
        if now == 0 { (a, b) } else { (b, a) }
    }

    /// Makes copy `now` that of no position at all.
    pub(super) fn clear(&mut self, now: usize) {
        self.0[now].fill(0.0);
    }
}
