//! The candidates of one draw and the exact cuts on them, without sorting.
//!
//! Candidates are the logits themselves, in token order. A cut removes some: if at most [`COMPACT`] remain it moves them
//! to the front and notes their ids, so that later steps touch only those; else it sets those that go to -Inf in place.
//! Order is always by a key, smaller first, and by token id among equals: see [`Order`].
//!
//! A cut by a sum (of integer weights for top-p and typical, of counts for top-k) finds its border in two steps. A
//! histogram of the sums over the distance from the best, 1/64 wide, says in which bucket the border lies; the
//! candidates of that bucket are sorted. If they are too many (thousands of nearly equal logits), a radix select over
//! the bits in which their keys differ takes the place of sorting. Exact, linear, no scratch that grows.
//!
//! Whatever looks at every logit of a large vocabulary is a kernel, or passes over sixteen at a time that are all too
//! far from the best to matter; how far that is, `p` and the number of candidates say beforehand.

use super::order::{Order, Probable, Typical};
use crate::kernels::Kernels;
use crate::kernels::generic::weight::weight;

/// Up to this many candidates are compacted.
pub(super) const COMPACT: usize = 8192;
/// Below this a top-k is found through a bounded buffer, which reads the logits once.
const SMALL_K: usize = COMPACT / 4;
/// Of the border's bucket, up to this many are sorted.
const SORTED: usize = COMPACT / 4;
const BUCKETS: usize = 2048;
/// Logits per call of a kernel, and per partial sum of the draw.
const CHUNK: usize = 1024;
/// Logits that are passed over together.
const GROUP: usize = 16;

/// Buffers that outlive a draw. Sized once.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    ids: Vec<u32>,                  // [COMPACT]
    best: Vec<(f32, u32)>,          // capacity COMPACT + GROUP
    histogram: Box<[u64; BUCKETS]>, // [BUCKETS]
    weights: Box<[u64; CHUNK]>,     // [CHUNK]
    sums: Vec<u64>,                 // [ceil(vocab / CHUNK)]
}

impl Scratch {
    pub(super) fn new(vocab: usize) -> Self {
        Self {
            ids: vec![0; COMPACT.min(vocab)],
            best: Vec::with_capacity(COMPACT + GROUP),
            histogram: Box::new([0; BUCKETS]),
            weights: Box::new([0; CHUNK]),
            sums: vec![0; vocab.div_ceil(CHUNK)],
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let numbers = self.histogram.len() + self.weights.len() + self.sums.capacity();
        self.ids.capacity() * 4 + self.best.capacity() * 8 + numbers * 8
    }
}

/// What a cut adds up.
#[derive(Clone, Copy, PartialEq)]
enum Amount {
    /// One for each candidate that is not masked.
    Count,
    /// Its weight at temperature 1.
    Weight,
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
    kernels: &'static Kernels,
}

/// Where a cut falls: everything with a smaller key stays, and the first `ties` with this very key.
#[derive(Clone, Copy)]
struct Border {
    key: f32,
    ties: usize,
}

impl<'a> Candidates<'a> {
    /// All of `logits`; `max` is the largest of them.
    pub(super) fn new(
        logits: &'a mut [f32],
        max: f32,
        scratch: &'a mut Scratch,
        kernels: &'static Kernels,
    ) -> Self {
        Self { live: logits.len(), logits, compact: false, max, scratch, kernels }
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
        let order = Probable { max: self.max };
        let finite = self.spread(order, Amount::Count, BUCKETS);
        if (k as u64) < finite {
            self.keep_sum(k as u64, order, Amount::Count, BUCKETS);
        }
    }

    /// Keeps the `k` best through a buffer that is halved to the best k whenever it is full: after the first few
    /// thousand logits almost none is good enough to enter it.
    fn top_small_k(&mut self, k: usize) {
        let best = &mut self.scratch.best;
        best.clear();
        let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        let mut floor = f32::NEG_INFINITY; // only larger ones can enter: equal ones come later and so rank lower
        for (group, at) in self.logits[..self.live].chunks(GROUP).zip((0u32..).step_by(GROUP)) {
            if !group.iter().fold(false, |any, &l| any | (l > floor)) {
                continue;
            }
            for (&l, position) in group.iter().zip(at..) {
                if l > floor {
                    best.push((l + 0.0, position));
                }
            }
            if best.len() > COMPACT - GROUP {
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
        self.compact();
    }

    /// Keeps the smallest set of the most probable candidates that holds at least `p` of the probability.
    pub(super) fn top_p(&mut self, p: f32) {
        let reach = self.reach(p);
        self.keep_share(p, Probable { max: self.max }, reach);
    }

    /// Keeps those at least `p` times as probable as the most probable one.
    pub(super) fn min_p(&mut self, p: f32) {
        let floor = self.max + libm::logf(p);
        if self.gather(|l| if l >= floor { 0.0 } else { 1.0 }, 0.0, |d| d == 0.0) {
            return self.compact();
        }
        for l in &mut self.logits[..self.live] {
            *l = if *l >= floor { *l } else { f32::NEG_INFINITY };
        }
    }

    /// Keeps the smallest set of the candidates whose surprise is nearest to the expected one (the entropy) that holds
    /// at least `p` of the probability (Meister et al., 2022).
    ///
    /// With x the logit minus the largest, surprise is `ln Z - x` and its mean `ln Z - E[x]`, so the distance is
    /// `|x - E[x]|`: no logarithm is needed.
    pub(super) fn typical(&mut self, p: f32) {
        let expected = self.kernels.expected(&self.logits[..self.live], self.max) as f32;
        let reach = (expected + self.reach(p)).max(-expected);
        self.keep_share(p, Typical { max: self.max, expected }, reach);
        // The most probable candidate may be gone.
        self.max = self.kernels.largest(&self.logits[..self.live]);
    }

    /// How far from the largest logit a candidate may well be and still be among the most probable that hold `p`: all
    /// that are further weigh together, as many as there are, less than what may be missing. The total weight, of which
    /// `1 - p` may be missing, is guessed from every sixteenth chunk.
    fn reach(&mut self, p: f32) -> f32 {
        let weights = &mut self.scratch.weights;
        let mut sum = 0;
        for chunk in self.logits[..self.live].chunks(CHUNK).step_by(16) {
            sum += self.kernels.weights(chunk, self.max, 1.0, &mut weights[..chunk.len()]);
        }
        let total = (sum as f32 / (1u64 << 40) as f32 * 8.0).max(1.0);
        libm::logf(self.live as f32 / ((1.0 - p).max(1e-6) * total)).max(0.0)
    }

    /// Keeps the first candidates in `order` that hold at least `p` of the probability. They are expected to lie within
    /// `reach` (in logits) of the best key; no harm is done if not, but time lost.
    fn keep_share(&mut self, p: f32, order: impl Order, reach: f32) {
        let mut near = ((reach.min(1e3) * 64.0) as usize + 2).min(BUCKETS);
        let total = self.spread(order, Amount::Weight, near);
        let target = share(p, total);
        if self.scratch.histogram[..near].iter().sum::<u64>() < target {
            near = BUCKETS;
            self.spread(order, Amount::Weight, near);
        }
        self.keep_sum(target, order, Amount::Weight, near);
    }

    /// Draws one of those left with probability proportional to `exp(logit / temperature)`; `random(n)` gives a
    /// number below n.
    pub(super) fn draw(&mut self, temperature: f32, random: impl FnOnce(u64) -> u64) -> u32 {
        let Self { logits, live, scratch, max, kernels, .. } = self;
        let Scratch { weights, sums, .. } = &mut **scratch;
        let chunks = logits[..*live].chunks(CHUNK);
        let mut total = 0;
        for (chunk, sum) in chunks.clone().zip(&mut sums[..]) {
            *sum = kernels.weights(chunk, *max, temperature, &mut weights[..chunk.len()]);
            total += *sum;
        }
        let mut rest = random(total);
        for (i, (chunk, &sum)) in chunks.zip(&sums[..]).enumerate() {
            if rest < sum {
                kernels.weights(chunk, *max, temperature, &mut weights[..chunk.len()]);
                for (j, &w) in weights[..chunk.len()].iter().enumerate() {
                    if rest < w {
                        return self.id(i * CHUNK + j);
                    }
                    rest -= w;
                }
            }
            rest -= sum;
        }
        unreachable!("the sums are those of the same weights")
    }

    /// Fills the histogram with the sums of `amount` by distance, and gives the sum over all candidates. Buckets from
    /// `near` on may lack some.
    fn spread(&mut self, order: impl Order, amount: Amount, near: usize) -> u64 {
        let Self { logits, live, scratch, max, kernels, .. } = self;
        let Scratch { histogram, weights, .. } = &mut **scratch;
        histogram.fill(0);
        let mut total = 0;
        // The distance of a bucket's upper edge is rounded to the next bucket: all of `near` and beyond are at least
        // half a bucket further.
        let limit = if near < BUCKETS { near as f32 / 64.0 } else { f32::INFINITY };
        for chunk in logits[..*live].chunks(CHUNK) {
            let weights = &mut weights[..chunk.len()];
            match amount {
                Amount::Weight => total += kernels.weights(chunk, *max, 1.0, weights),
                Amount::Count => {
                    for (w, &l) in weights.iter_mut().zip(chunk) {
                        *w = u64::from(l > f32::NEG_INFINITY);
                        total += *w;
                    }
                }
            }
            let ((groups, rest), (weights, rest_weights)) =
                (chunk.as_chunks::<GROUP>(), weights.as_chunks::<GROUP>());
            for (group, w) in groups.iter().zip(weights) {
                let distances = group.map(|l| order.distance(l));
                if !distances.iter().fold(false, |any, &d| any | (d <= limit)) {
                    continue;
                }
                let buckets = distances.map(bucket);
                if buckets.iter().fold(true, |all, &b| all & (b == buckets[0])) {
                    histogram[buckets[0] as usize % BUCKETS] += w.iter().sum::<u64>();
                    continue;
                }
                for (b, w) in buckets.into_iter().zip(w) {
                    histogram[b as usize % BUCKETS] += w;
                }
            }
            for (&l, w) in rest.iter().zip(rest_weights) {
                histogram[bucket(order.distance(l)) as usize % BUCKETS] += w;
            }
        }
        total
    }

    /// Keeps the first candidates in `order` whose sum of `amount` reaches `target`, which is at least 1. The histogram
    /// is spread by it and reaches it before bucket `near`.
    fn keep_sum(&mut self, target: u64, order: impl Order, amount: Amount, near: usize) {
        let max = self.max;
        let amount_of = |l: f32| match amount {
            Amount::Count => u64::from(l > f32::NEG_INFINITY),
            Amount::Weight => weight(l - max),
        };
        let (crossing, reached) = crossing(&self.scratch.histogram[..near], target, 0);
        // All of the bucket are nearer than the end of the next one.
        let limit =
            if crossing as usize + 1 < BUCKETS { (crossing + 1) as f32 / 64.0 } else { f32::INFINITY };
        let distance = |l| order.distance(l);
        if self.gather(distance, limit, |d| bucket(d) <= crossing) {
            self.compact();
        }
        let border = if self.gather(distance, limit, |d| bucket(d) == crossing)
            && self.scratch.best.len() <= SORTED
        {
            self.border(target, reached, order, amount_of)
        } else {
            self.border_by_bits(target, reached, order, amount_of, |l| bucket(order.distance(l)) == crossing)
        };
        self.cut(border, order);
    }

    /// Collects in `scratch.best` the candidates whose distance `inside` accepts, all of which are below or at `limit`,
    /// with their positions. False if they are too many.
    fn gather(&mut self, distance: impl Fn(f32) -> f32, limit: f32, inside: impl Fn(f32) -> bool) -> bool {
        let Self { logits, live, scratch, .. } = self;
        let best = &mut scratch.best;
        best.clear();
        for (group, at) in logits[..*live].chunks(GROUP).zip((0u32..).step_by(GROUP)) {
            if !group.iter().fold(false, |any, &l| any | (distance(l) <= limit)) {
                continue;
            }
            if best.len() > COMPACT {
                return false;
            }
            for (&l, position) in group.iter().zip(at..) {
                if inside(distance(l)) {
                    best.push((l, position)); // never grows: there is room for a group beyond COMPACT
                }
            }
        }
        best.len() <= COMPACT
    }

    /// The candidates in `scratch.best`, which are in order of position, are all that are left.
    fn compact(&mut self) {
        let Self { logits, live, scratch, compact, .. } = self;
        let Scratch { ids, best, .. } = &mut **scratch;
        for (to, &(l, position)) in best.iter().enumerate() {
            // Positions ascend, so what is overwritten was read already.
            logits[to] = l;
            ids[to] = if *compact { ids[position as usize] } else { position };
        }
        *live = best.len();
        *compact = true;
    }

    /// The border at which the sum, `reached` before the bucket whose candidates are in `scratch.best`, reaches `target`.
    fn border(
        &mut self,
        target: u64,
        mut reached: u64,
        order: impl Order,
        amount: impl Fn(f32) -> u64,
    ) -> Border {
        let members = &mut self.scratch.best;
        for member in members.iter_mut() {
            member.0 = order.key(member.0);
        }
        sort_by_key(members);
        let mut border = Border { key: f32::NEG_INFINITY, ties: 0 };
        for &(key, position) in members.iter() {
            if reached >= target {
                break;
            }
            reached += amount(self.logits[position as usize]);
            border = Border { key, ties: if key == border.key { border.ties + 1 } else { 1 } };
        }
        border
    }

    /// The same for all candidates that are `inside`, by a radix select over the bits in which their keys differ.
    fn border_by_bits<O: Order>(
        &mut self,
        target: u64,
        mut reached: u64,
        order: O,
        amount: impl Fn(f32) -> u64,
        inside: impl Fn(f32) -> bool,
    ) -> Border {
        const DIGIT: u32 = BUCKETS.ilog2();
        let Self { logits, live, scratch, .. } = self;
        let histogram = &mut scratch.histogram;
        let logits = &logits[..*live];
        let bits = |l: f32| ascending(order.key(l));
        let (mut low, mut high) = (u32::MAX, 0);
        for &l in logits {
            let (k, inside) = (bits(l), inside(l));
            low = if inside & (k < low) { k } else { low };
            high = if inside & (k > high) { k } else { high };
        }
        // The keys' common bits, and how many bits are open below them.
        let mut open = (low ^ high).checked_ilog2().map_or(0, |bit| bit + 1);
        let mut prefix = low.unbounded_shr(open);
        while open > 0 {
            let digit = open.min(DIGIT);
            histogram.fill(0);
            for &l in logits {
                let k = bits(l);
                if k.unbounded_shr(open) == prefix && inside(l) {
                    histogram[(k >> (open - digit)) as usize & ((1 << digit) - 1)] += amount(l);
                }
            }
            let (found, before) = crossing(&histogram[..1 << digit], target, reached);
            (open, reached) = (open - digit, before);
            prefix = prefix << digit | found;
        }
        let mut members = logits.iter().copied().filter(|&l| bits(l) == prefix);
        if O::INJECTIVE {
            let l = members.next().expect("the prefix is a candidate's");
            let ties = (target - reached).div_ceil(amount(l).max(1)) as usize;
            return Border { key: order.key(l), ties };
        }
        let mut border = Border { key: 0.0, ties: 0 };
        for l in members {
            if reached >= target {
                break;
            }
            reached += amount(l);
            border = Border { key: order.key(l), ties: border.ties + 1 };
        }
        border
    }

    /// Removes what lies beyond `border`.
    fn cut(&mut self, border: Border, order: impl Order) {
        let Self { logits, live, .. } = self;
        let live = &mut logits[..*live];
        let mut ties = 0u32;
        for l in &mut *live {
            let key = order.key(*l);
            *l = if key <= border.key { *l } else { f32::NEG_INFINITY };
            ties += u32::from(key == border.key);
        }
        let mut spare = (ties as usize).saturating_sub(border.ties);
        for l in live.iter_mut().rev() {
            if spare == 0 {
                break;
            }
            if order.key(*l) == border.key {
                *l = f32::NEG_INFINITY;
                spare -= 1;
            }
        }
    }
}

/// Bits that order like the number, which is not NaN.
#[inline(always)]
fn ascending(key: f32) -> u32 {
    let bits = key.to_bits();
    bits ^ ((bits as i32 >> 31) as u32 | 1 << 31)
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

/// By key, then by position. One function for all orders: sorting is much code.
fn sort_by_key(members: &mut [(f32, u32)]) {
    members.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
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
