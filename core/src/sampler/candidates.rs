//! The candidates of one draw and the exact cuts on them, without sorting.
//!
//! Candidates are the logits themselves, in token order. A cut removes some: while many remain it sets theirs to
//! -Inf in place, and once at most [`COMPACT`] remain it moves them to the front and notes their ids, so that later
//! steps touch only those. Order is always by logit, larger first, and by token id among equals.
//!
//! A cut finds its border in two steps. A histogram of the sums (of counts for top-k, of integer weights for top-p
//! and typical) over the distance from the best, 1/64 wide, says in which bucket the border lies; the candidates of
//! that bucket are sorted. If they are too many (thousands of nearly equal logits), a radix select over the 32
//! order-preserving bits of the logit takes the place of sorting: three more passes. Exact, linear, no scratch that
//! grows.

use super::weight::{LANES, as_float, total, weight, weights};

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
    ids: Vec<u32>,                  // [COMPACT]
    best: Vec<(f32, u32)>,          // capacity COMPACT
    histogram: Box<[u64; BUCKETS]>, // [BUCKETS]
    sums: Vec<u64>,                 // [ceil(vocab / CHUNK)]
}

impl Scratch {
    pub(super) fn new(vocab: usize) -> Self {
        Self {
            ids: vec![0; COMPACT.min(vocab)],
            best: Vec::with_capacity(COMPACT),
            histogram: Box::new([0; BUCKETS]),
            sums: vec![0; vocab.div_ceil(CHUNK)],
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.ids.capacity() * 4 + self.best.capacity() * 8 + (self.histogram.len() + self.sums.capacity()) * 8
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
        let max = self.max;
        self.spread(|l| max - l, |l| u64::from(l > f32::NEG_INFINITY));
        let border = self.border(k as u64, |l| max - l, descending, |l| u64::from(l > f32::NEG_INFINITY));
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
        let total = self.spread(|l| max - l, |l| weight(l - max));
        let border = self.border(share(p, total), |l| max - l, descending, |l| weight(l - max));
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
        let mean = self.mean();
        let score = move |l: f32| (f64::from(l - max) - mean).abs() as f32;
        let total = self.spread(score, |l| weight(l - max));
        let border = self.border(share(p, total), score, |l| score(l).to_bits(), |l| weight(l - max));
        self.cut(border, |l| score(l).to_bits());
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
        let chunks = self.logits[..self.live].chunks(CHUNK);
        let sums = self.scratch.sums.iter_mut().zip(chunks).map(|(sum, chunk)| {
            *sum = total(chunk, self.max, temperature);
            *sum
        });
        sums.sum()
    }

    /// The expected logit minus the largest. A sum in a fixed order: by lanes, then the lanes, then the rest.
    fn mean(&self) -> f64 {
        // A weight of zero belongs to x = -Inf too, where the product would be NaN.
        let term = |w: u64, l: f32| as_float(w) * f64::from(if w == 0 { 0.0 } else { l - self.max });
        let (groups, rest) = self.slice().as_chunks::<LANES>();
        let mut lanes = [0.0f64; LANES];
        let mut sums = [0u64; LANES];
        for group in groups {
            let w = weights(group, self.max, 1.0);
            for i in 0..LANES {
                lanes[i] += term(w[i], group[i]);
                sums[i] += w[i];
            }
        }
        let (mut terms, mut total) = (lanes.iter().sum::<f64>(), sums.iter().sum::<u64>());
        for &l in rest {
            let w = weight(l - self.max);
            terms += term(w, l);
            total += w;
        }
        terms / (total as f64 / (1u64 << 40) as f64)
    }

    /// Removes the candidates below `floor`.
    fn drop_below(&mut self, floor: f32) {
        let kept = self.slice().iter().filter(|&&l| l >= floor).count();
        if kept < self.live {
            self.retain(kept, |l| l >= floor);
        }
    }

    /// Fills the histogram with the sums of `weight` by `distance`, and gives the sum of all.
    fn spread(&mut self, distance: impl Fn(f32) -> f32, weight: impl Fn(f32) -> u64) -> u64 {
        let Self { logits, live, scratch, .. } = self;
        let histogram: &mut [u64; BUCKETS] = &mut scratch.histogram;
        histogram.fill(0);
        let (groups, rest) = logits[..*live].as_chunks::<LANES>();
        for group in groups {
            // In whole vectors first; then the scattered additions.
            let (buckets, weights) = (group.map(|l| bucket(distance(l))), group.map(&weight));
            for (b, w) in buckets.into_iter().zip(weights) {
                histogram[b as usize % BUCKETS] += w;
            }
        }
        for &l in rest {
            histogram[bucket(distance(l)) as usize % BUCKETS] += weight(l);
        }
        histogram.iter().sum()
    }

    /// The border at which the sum of `weight` over the candidates in order of `key` reaches `target`, which is at
    /// least 1 and at most the sum of all. `distance` does not fall as `key` grows, and the histogram is spread by it.
    fn border(
        &mut self,
        target: u64,
        distance: impl Fn(f32) -> f32,
        key: impl Fn(f32) -> u32,
        weight: impl Fn(f32) -> u64,
    ) -> Border {
        let Self { logits, live, scratch, .. } = self;
        let logits = &logits[..*live];
        let (crossing, mut reached) = crossing(&scratch.histogram[..], target, 0);
        let members = &mut scratch.best;
        members.clear();
        for (chunk, at) in logits.chunks(LANES).zip((0u32..).step_by(LANES)) {
            let inside = |l: f32| bucket(distance(l)) == crossing;
            if !chunk.iter().fold(false, |any, &l| any | inside(l)) {
                continue;
            }
            if members.len() > COMPACT - LANES {
                return self.border_by_bits(target, key, weight);
            }
            members
                .extend(chunk.iter().zip(at..).filter(|m| inside(*m.0)).map(|(&l, position)| (l, position)));
        }
        members.sort_unstable_by_key(|m| (key(m.0), m.1));
        let mut border = Border { key: 0, ties: 0 };
        for &(l, _) in members.iter() {
            if reached >= target {
                break;
            }
            reached += weight(l);
            let k = key(l);
            border = Border { key: k, ties: if k == border.key { border.ties + 1 } else { 1 } };
        }
        border
    }

    /// The same by a radix select.
    fn border_by_bits(
        &mut self,
        target: u64,
        key: impl Fn(f32) -> u32,
        weight: impl Fn(f32) -> u64,
    ) -> Border {
        let Self { logits, live, scratch, .. } = self;
        let logits = &logits[..*live];
        let (mut prefix, mut reached) = (0u32, 0u64);
        for (above, shift, bits) in [(0, 21, 11), (11, 10, 11), (22, 0, 10)] {
            scratch.histogram.fill(0);
            for &l in logits {
                let k = key(l);
                if k.unbounded_shr(32 - above) == prefix {
                    scratch.histogram[(k >> shift) as usize & ((1 << bits) - 1)] += weight(l);
                }
            }
            let (found, before) = crossing(&scratch.histogram[..1 << bits], target, reached);
            (prefix, reached) = ((prefix << bits) | found, before);
        }
        let mut ties = 0;
        for &l in logits {
            if reached < target && key(l) == prefix {
                reached += weight(l);
                ties += 1;
            }
        }
        Border { key: prefix, ties }
    }

    /// Removes what lies beyond `border`.
    fn cut(&mut self, border: Border, key: impl Fn(f32) -> u32) {
        let live = &mut self.logits[..self.live];
        let (mut kept, mut ties) = (0u32, 0u32);
        for l in &mut *live {
            let k = key(*l);
            *l = if k <= border.key { *l } else { f32::NEG_INFINITY };
            kept += u32::from(*l > f32::NEG_INFINITY);
            ties += u32::from(k == border.key);
        }
        let mut spare = (ties as usize).saturating_sub(border.ties);
        kept -= spare as u32;
        for l in live.iter_mut().rev() {
            if spare == 0 {
                break;
            }
            if key(*l) == border.key {
                *l = f32::NEG_INFINITY;
                spare -= 1;
            }
        }
        self.retain(kept as usize, |l| l > f32::NEG_INFINITY);
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

/// The bucket of a distance of at least 0: 1/64 wide, the last one for all beyond 32.
#[inline(always)]
fn bucket(distance: f32) -> u32 {
    const LAST: f32 = BUCKETS as f32 - 1.0;
    const ROUND: f32 = 8_388_608.0; // 2^23: the sum's low bits are the rounded integer
    let scaled = distance * 64.0;
    let scaled = if scaled < LAST { scaled } else { LAST };
    (scaled + ROUND).to_bits() - ROUND.to_bits()
}

/// The bucket in which the running sum, `reached` before the first, reaches `target`, and the sum before it.
fn crossing(histogram: &[u64], target: u64, mut reached: u64) -> (u32, u64) {
    let mut found = 0;
    while found + 1 < histogram.len() && reached + histogram[found] < target {
        reached += histogram[found];
        found += 1;
    }
    (found as u32, reached)
}

/// `p` of `total`, rounded up, at least 1.
fn share(p: f32, total: u64) -> u64 {
    (libm::ceil(f64::from(p) * total as f64) as u64).clamp(1, total)
}
