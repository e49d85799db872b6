//! The candidates of one draw and the exact cuts on them, without sorting.
//!
//! Candidates are the logits themselves, in token order. A cut removes some: while many remain it sets theirs to
//! -Inf in place, and once at most [`COMPACT`] remain it moves them to the front and notes their ids, so that later
//! steps touch only those. Order is always by logit, larger first, and by token id among equals.
//!
//! A cut finds its border with a radix select over the 32 order-preserving bits of the logit (or score): at most
//! three passes with a histogram of 2,048 sums, of counts for top-k and of integer weights for top-p and typical.
//! Exact, linear, no scratch that grows.

use super::weight::{LANES, weight, weights};

/// Up to this many candidates are compacted.
pub(super) const COMPACT: usize = 8192;
/// Below this a top-k is found through a bounded buffer, which reads the logits once.
const SMALL_K: usize = COMPACT / 4;
const BUCKETS: usize = 2048;
/// Logits per partial sum of the draw.
const CHUNK: usize = 1024;

/// Buffers that outlive a draw. Sized once.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    ids: Vec<u32>,         // [COMPACT]
    best: Vec<(f32, u32)>, // capacity COMPACT
    histogram: Vec<u64>,   // [BUCKETS]
    sums: Vec<u64>,        // [ceil(vocab / CHUNK)]
}

impl Scratch {
    pub(super) fn new(vocab: usize) -> Self {
        Self {
            ids: vec![0; COMPACT.min(vocab)],
            best: Vec::with_capacity(COMPACT),
            histogram: vec![0; BUCKETS],
            sums: vec![0; vocab.div_ceil(CHUNK)],
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.ids.capacity() * 4
            + self.best.capacity() * 8
            + (self.histogram.capacity() + self.sums.capacity()) * 8
    }
}

/// What is left of the logits of one step.
pub(super) struct Candidates<'a> {
    /// `[live]`, -Inf where removed. Never NaN or +Inf.
    logits: &'a mut [f32],
    /// How many of `logits` are in use, from the front.
    live: usize,
    /// Whether `scratch.ids[..live]` names the tokens; otherwise position is id.
    compact: bool,
    /// The largest logit left; finite.
    max: f32,
    scratch: &'a mut Scratch,
}

/// The largest of `logits`, or `None` if one is NaN or +Inf or all are -Inf.
pub(super) fn largest(logits: &[f32]) -> Option<f32> {
    let mut max = [f32::NEG_INFINITY; LANES];
    let mut bad = [false; LANES];
    let mut chunks = logits.chunks_exact(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            max[i] = if chunk[i] > max[i] { chunk[i] } else { max[i] };
            bad[i] |= chunk[i].is_nan() | (chunk[i] == f32::INFINITY);
        }
    }
    for (i, &l) in chunks.remainder().iter().enumerate() {
        max[i] = if l > max[i] { l } else { max[i] };
        bad[i] |= l.is_nan() | (l == f32::INFINITY);
    }
    let max = max.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (!bad.contains(&true) && max > f32::NEG_INFINITY).then_some(max)
}

/// Bits that grow as the logit falls, equal exactly for equal logits (-0 and 0 are equal).
fn descending(logit: f32) -> u32 {
    let bits = (logit + 0.0).to_bits();
    if bits >> 31 == 0 { !bits ^ 0x8000_0000 } else { bits }
}

/// Where a cut falls: everything with a smaller key stays, and the first `ties` with this very key.
#[derive(Clone, Copy)]
struct Border {
    key: u32,
    ties: usize,
}

impl<'a> Candidates<'a> {
    /// All of `logits`; `max` is their [`largest`].
    pub(super) fn new(logits: &'a mut [f32], max: f32, scratch: &'a mut Scratch) -> Self {
        Self { live: logits.len(), logits, compact: false, max, scratch }
    }

    fn slice(&self) -> &[f32] {
        &self.logits[..self.live]
    }

    fn id(&self, position: usize) -> u32 {
        if self.compact { self.scratch.ids[position] } else { position as u32 }
    }

    /// Keeps the `k` best.
    pub(super) fn top_k(&mut self, k: usize) {
        if k >= self.live {
            return;
        }
        if k <= SMALL_K {
            return self.top_small_k(k);
        }
        let finite = self.slice().iter().filter(|&&l| l > f32::NEG_INFINITY).count();
        if k >= finite {
            return;
        }
        let one = |l: f32| u64::from(l > f32::NEG_INFINITY);
        let border = self.border(k as u64, descending, one);
        self.cut(border, descending);
    }

    /// Keeps the `k` best through a buffer that is halved to the best k whenever it is full: after the first few
    /// thousand logits almost none is good enough to enter it.
    fn top_small_k(&mut self, k: usize) {
        let Self { logits, live, scratch, .. } = self;
        let best = &mut scratch.best;
        best.clear();
        let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        let mut floor = f32::NEG_INFINITY; // only larger ones can enter: equal ones come later and so rank lower
        for (chunk, at) in logits[..*live].chunks(LANES).zip((0u32..).step_by(LANES)) {
            if !chunk.iter().fold(false, |any, &l| any | (l > floor)) {
                continue;
            }
            for (&l, position) in chunk.iter().zip(at..) {
                if l > floor {
                    best.push((l + 0.0, position));
                }
            }
            if best.len() > COMPACT - LANES {
                best.select_nth_unstable_by(k - 1, order);
                floor = best[k - 1].0;
                best.truncate(k);
            }
        }
        if best.len() > k {
            best.select_nth_unstable_by(k - 1, order);
            best.truncate(k);
        }
        best.sort_unstable_by_key(|b| b.1);
        for (to, &(l, position)) in scratch.best.iter().enumerate() {
            // Positions ascend, so what is overwritten was read already.
            logits[to] = l;
            scratch.ids[to] = if self.compact { scratch.ids[position as usize] } else { position };
        }
        self.live = scratch.best.len();
        self.compact = true;
    }

    /// Keeps the smallest set of the most probable candidates that holds at least `p` of the probability.
    pub(super) fn top_p(&mut self, p: f32) {
        let max = self.max;
        let total = self.total(1.0);
        let target = share(p, total);
        self.drop_below(self.tail(total - target));
        let border = self.border(target, descending, |l| weight(l - max));
        self.cut(border, descending);
    }

    /// Keeps those at least `p` times as probable as the most probable one.
    pub(super) fn min_p(&mut self, p: f32) {
        self.drop_below(self.max + libm::logf(p));
    }

    /// Keeps the smallest set of the candidates whose surprise is nearest to the expected one (the entropy) that holds
    /// at least `p` of the probability (Meister et al., 2022).
    ///
    /// With x the logit minus the largest, surprise is `ln Z - x` and its mean `ln Z - E[x]`, so the distance is
    /// `|x - E[x]|`: no logarithm is needed.
    pub(super) fn typical(&mut self, p: f32) {
        let max = self.max;
        let total = self.total(1.0);
        let target = share(p, total);
        let mean = self.mean(total);
        // Candidates below 2 E[x] are less typical than all those above, so that they are a tail here too.
        let floor = self.tail(total - target).min(max + 2.0 * mean as f32 - 1.0);
        self.drop_below(floor);
        let score = move |l: f32| ((f64::from(l - max) - mean).abs() as f32).to_bits();
        let border = self.border(target, score, |l| weight(l - max));
        self.cut(border, score);
        // The most probable candidate may be gone.
        self.max = self.slice().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    }

    /// Draws one of those left with probability proportional to `exp(logit / temperature)`; `random(n)` gives a
    /// number below n.
    pub(super) fn draw(&mut self, temperature: f32, random: impl FnOnce(u64) -> u64) -> u32 {
        let total = self.total(temperature);
        let mut rest = random(total);
        let mut at = 0;
        for &sum in &self.scratch.sums[..self.live.div_ceil(CHUNK)] {
            if rest < sum {
                break;
            }
            rest -= sum;
            at += CHUNK;
        }
        for position in at..self.live {
            let w = weight((self.logits[position] - self.max) / temperature);
            if rest < w {
                return self.id(position);
            }
            rest -= w;
        }
        unreachable!("the sums are those of the same weights")
    }

    /// The sum of all weights at `temperature`; leaves the sum of each chunk in `scratch.sums`.
    fn total(&mut self, temperature: f32) -> u64 {
        let Self { logits, live, max, scratch, .. } = self;
        let mut total = 0;
        let mut w = [0; LANES];
        for (sum, chunk) in scratch.sums.iter_mut().zip(logits[..*live].chunks(CHUNK)) {
            *sum = 0;
            for group in chunk.chunks(LANES) {
                *sum += weights(group, *max, temperature, &mut w);
            }
            total += *sum;
        }
        total
    }

    /// The expected logit minus the largest. A sum in a fixed order: 16 lanes, then the lanes.
    fn mean(&self, total: u64) -> f64 {
        let mut w = [0; LANES];
        let mut lanes = [0.0f64; LANES];
        for group in self.slice().chunks(LANES) {
            weights(group, self.max, 1.0, &mut w);
            for (i, &l) in group.iter().enumerate() {
                // A weight of zero belongs to x = -Inf too, where the product would be NaN.
                let x = if w[i] == 0 { 0.0 } else { l - self.max };
                lanes[i] += w[i] as f64 * f64::from(x);
            }
        }
        lanes.iter().sum::<f64>() / total as f64
    }

    /// A logit such that all candidates below it together weigh at most `spare`.
    fn tail(&self, spare: u64) -> f32 {
        let each = spare as f64 / self.live as f64 / (1u64 << super::weight::WEIGHT_BITS) as f64;
        // The margin is far above the error of `weight` and of this logarithm.
        self.max + (libm::log(each) - 1e-3) as f32
    }

    /// Removes the candidates below `floor`.
    fn drop_below(&mut self, floor: f32) {
        let kept = self.slice().iter().filter(|&&l| l >= floor).count();
        if kept < self.live {
            self.retain(kept, |l| l >= floor);
        }
    }

    /// The border at which the sum of `weight` over the candidates in order of `key` reaches `target`, which is at
    /// least 1 and at most the sum of all.
    fn border(&mut self, target: u64, key: impl Fn(f32) -> u32, weight: impl Fn(f32) -> u64) -> Border {
        let Self { logits, live, scratch, .. } = self;
        let logits = &logits[..*live];
        let (mut prefix, mut reached) = (0u64, 0u64);
        for (shift, bits) in [(21, 11), (10, 11), (0, 10)] {
            let histogram = &mut scratch.histogram[..1 << bits];
            histogram.fill(0);
            for &l in logits {
                let key = u64::from(key(l));
                if key >> (shift + bits) == prefix {
                    histogram[(key >> shift) as usize & (BUCKETS - 1) & ((1 << bits) - 1)] += weight(l);
                }
            }
            let mut bucket = 0;
            while bucket + 1 < histogram.len() && reached + histogram[bucket] < target {
                reached += histogram[bucket];
                bucket += 1;
            }
            prefix = (prefix << bits) | bucket as u64;
        }
        let border = prefix as u32;
        let mut ties = 0;
        for &l in logits {
            if reached < target && key(l) == border {
                reached += weight(l);
                ties += 1;
            }
        }
        Border { key: border, ties }
    }

    /// Removes what lies beyond `border`.
    fn cut(&mut self, border: Border, key: impl Fn(f32) -> u32) {
        let mut ties = border.ties;
        let mut kept = 0;
        for l in &mut self.logits[..self.live] {
            let k = key(*l);
            let tie = k == border.key && ties > 0;
            ties -= usize::from(tie);
            if *l > f32::NEG_INFINITY && (k < border.key || tie) {
                kept += 1;
            } else {
                *l = f32::NEG_INFINITY;
            }
        }
        self.retain(kept, |l| l > f32::NEG_INFINITY);
    }

    /// Keeps the `kept` candidates for which `keep` holds.
    fn retain(&mut self, kept: usize, keep: impl Fn(f32) -> bool) {
        let Self { logits, live, scratch, compact, .. } = self;
        if kept > scratch.ids.len() {
            for l in &mut logits[..*live] {
                *l = if keep(*l) { *l } else { f32::NEG_INFINITY };
            }
            return;
        }
        let mut to = 0;
        for start in (0..*live).step_by(LANES) {
            let end = (start + LANES).min(*live);
            if !logits[start..end].iter().fold(false, |any, &l| any | keep(l)) {
                continue;
            }
            for position in start..end {
                if keep(logits[position]) {
                    logits[to] = logits[position];
                    scratch.ids[to] = if *compact { scratch.ids[position] } else { position as u32 };
                    to += 1;
                }
            }
        }
        *live = to;
        *compact = true;
    }
}

/// `p` of `total`, rounded up, at least 1.
fn share(p: f32, total: u64) -> u64 {
    (libm::ceil(f64::from(p) * total as f64) as u64).clamp(1, total)
}
