//! The buffers of experts. A slot is a token at one of its experts.

use std::ops::Range;

use super::activations::{Input, Sizes};
use super::spec::ModelSpec;

/// Most columns of an expert's last product in one task.
pub(crate) const TILE: usize = 64;

/// The numbers that the sizes follow from: the most of any layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    count: usize,
    used: usize,
    hidden: usize,
}

impl Room {
    pub(crate) fn new(spec: &ModelSpec) -> Option<Self> {
        let experts = || spec.layers.iter().filter_map(|l| l.ffn.experts());
        let most = |f: fn(&super::spec::ExpertsSpec) -> usize| experts().map(f).max();
        Some(Self { count: most(|e| e.count)?, used: most(|e| e.used)?, hidden: most(|e| e.hidden)? })
    }

    /// Widest input of an expert's product.
    fn widest(self, s: &Sizes) -> usize {
        s.width.max(self.hidden)
    }

    /// Bytes for all of a session; `None` if that overflows.
    pub(crate) fn bytes(self, s: &Sizes) -> Option<usize> {
        let slot =
            (2 * self.hidden * 4 + 16).checked_add(Input::row_bytes(self.widest(s), self.formats(s)))?;
        let token = self.used.checked_mul(slot)?.checked_add(4 * self.count + 4)?;
        let bands = self.count * size_of::<(usize, Range<usize>)>() + (self.count + 1) * 4;
        token.checked_mul(s.batch)?.checked_add(bands)
    }

    /// Widest inputs as `Q8x32` and `Q8x256`.
    fn formats(self, s: &Sizes) -> (usize, usize) {
        (s.q8x32.min(self.widest(s)), s.q8x256.min(self.widest(s)))
    }
}

/// The buffers of a session.
#[derive(Debug)]
pub(crate) struct Slots {
    /// `[B, experts]`: the router's products, then scores.
    pub(crate) scores: Vec<f32>,
    /// `[B, used]`: each token's experts, best first.
    pub(crate) chosen: Vec<u32>,
    /// `[B, used]`: their weights.
    pub(crate) chosen_weights: Vec<f32>,
    /// `[B]`: products of the shared expert's gate.
    pub(crate) shared: Vec<f32>,
    /// `[B * used]`: whose slot it is.
    pub(crate) tokens: Vec<u32>,
    /// `[B * used]`.
    pub(crate) weights: Vec<f32>,
    /// Experts with slots, ascending, and which slots they are.
    pub(crate) bands: Vec<(usize, Range<usize>)>,
    /// `[experts + 1]`: the next free slot of each expert while slots are ordered.
    next: Vec<u32>,
    /// Rows for every slot.
    pub(crate) input: Input,
    /// `[B * used, hidden]`.
    pub(crate) gate: Vec<f32>,
    /// `[B * used, hidden]`.
    pub(crate) up: Vec<f32>,
}

impl Slots {
    pub(crate) fn new(room: Room, s: &Sizes) -> Self {
        let slots = s.batch * room.used;
        Self {
            scores: vec![0.0; s.batch * room.count],
            chosen: vec![0; slots],
            chosen_weights: vec![0.0; slots],
            shared: vec![0.0; s.batch],
            tokens: vec![0; slots],
            weights: vec![0.0; slots],
            bands: Vec::with_capacity(room.count),
            next: vec![0; room.count + 1],
            input: Input::new(slots, room.widest(s), room.formats(s)),
            gate: vec![0.0; slots * room.hidden],
            up: vec![0.0; slots * room.hidden],
        }
    }

    /// Gives every choice of `n` tokens its slot.
    pub(crate) fn order(&mut self, n: usize, experts: usize, used: usize) {
        let chosen = &self.chosen[..n * used];
        let next = &mut self.next[..=experts];
        next.fill(0);
        chosen.iter().for_each(|&e| next[e as usize + 1] += 1);
        self.bands.clear();
        for e in 0..experts {
            let (from, len) = (next[e], next[e + 1]);
            next[e + 1] += from;
            if len > 0 {
                self.bands.push((e, from as usize..(from + len) as usize));
            }
        }
        for (i, (&e, &weight)) in chosen.iter().zip(&self.chosen_weights).enumerate() {
            let slot = next[e as usize] as usize;
            next[e as usize] += 1;
            self.tokens[slot] = (i / used) as u32;
            self.weights[slot] = weight;
        }
    }
}
