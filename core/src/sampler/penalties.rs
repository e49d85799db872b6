//! Repetition, frequency and presence penalties over the last n tokens.
//!
//! As in llama.cpp: a logit of a token seen `count` times in the window is divided by `repeat` if positive and
//! multiplied by it otherwise, then lowered by `count * frequency + presence`.

/// The window and how often each token is in it. Never allocates after `new`.
#[derive(Clone, Debug)]
pub(super) struct Penalties {
    repeat: f32,
    frequency: f32,
    presence: f32,
    /// The last tokens; `next` is the oldest once the ring is full. Capacity = window length.
    ring: Vec<u32>,
    next: usize,
    window: usize,
    /// (token, occurrences) sorted by token: the window is short, so a binary search and a small move are cheap.
    counts: Vec<(u32, u32)>,
}

impl Penalties {
    pub(super) fn new(repeat: f32, frequency: f32, presence: f32, window: usize) -> Self {
        let active = repeat != 1.0 || frequency != 0.0 || presence != 0.0;
        let window = if active { window } else { 0 };
        Self {
            repeat,
            frequency,
            presence,
            ring: Vec::with_capacity(window),
            next: 0,
            window,
            counts: Vec::with_capacity(window + 1),
        }
    }

    /// Adds a token to the window; the oldest leaves when it is full.
    pub(super) fn accept(&mut self, token: u32) {
        if self.window == 0 {
            return;
        }
        match self.counts.binary_search_by_key(&token, |c| c.0) {
            Ok(i) => self.counts[i].1 += 1,
            Err(i) => self.counts.insert(i, (token, 1)),
        }
        if self.ring.len() < self.window {
            self.ring.push(token);
            return;
        }
        let oldest = std::mem::replace(&mut self.ring[self.next], token);
        self.next = (self.next + 1) % self.window;
        if let Ok(i) = self.counts.binary_search_by_key(&oldest, |c| c.0) {
            self.counts[i].1 -= 1;
            if self.counts[i].1 == 0 {
                self.counts.remove(i);
            }
        }
    }

    /// Lowers the logits (`[vocab]`) of the tokens in the window. Tokens beyond the vocabulary are ignored.
    pub(super) fn apply(&self, logits: &mut [f32]) {
        for &(token, count) in &self.counts {
            let Some(l) = logits.get_mut(token as usize) else { continue };
            *l = if *l > 0.0 { *l / self.repeat } else { *l * self.repeat };
            *l -= count as f32 * self.frequency + self.presence;
        }
    }

    /// The tokens in the window.
    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> {
        self.counts.iter().map(|c| c.0)
    }

    pub(super) fn reset(&mut self) {
        self.ring.clear();
        self.counts.clear();
        self.next = 0;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<u32>() + self.counts.capacity() * size_of::<(u32, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_llama_cpp_defines_them() {
        let mut p = Penalties::new(2.0, 0.5, 0.25, 4);
        [1, 1, 2].into_iter().for_each(|t| p.accept(t));
        let mut logits = [1.0, 4.0, -4.0, 3.0];
        p.apply(&mut logits);
        assert_eq!(logits, [1.0, 4.0 / 2.0 - 1.25, -8.0 - 0.75, 3.0]);
    }

    #[test]
    fn window_forgets_like_a_naive_count() {
        let mut p = Penalties::new(1.0, 1.0, 0.0, 5);
        let capacity = (p.ring.capacity(), p.counts.capacity());
        let mut history = Vec::new();
        let mut rng = super::super::rng::Rng::new(3);
        for _ in 0..500 {
            let token = rng.below(7) as u32;
            p.accept(token);
            history.push(token);
            let mut logits = [0.0f32; 7];
            p.apply(&mut logits);
            for (id, &l) in logits.iter().enumerate() {
                let last = &history[history.len().saturating_sub(5)..];
                assert_eq!(-l, last.iter().filter(|&&t| t as usize == id).count() as f32);
            }
        }
        assert_eq!(capacity, (p.ring.capacity(), p.counts.capacity()), "grew");
        p.reset();
        let mut logits = [1.0f32; 7];
        p.apply(&mut logits);
        assert_eq!(logits, [1.0; 7]);
    }

    #[test]
    fn neutral_settings_keep_nothing() {
        let mut p = Penalties::new(1.0, 0.0, 0.0, 64);
        p.accept(1);
        assert_eq!(p.heap_bytes(), p.counts.capacity() * 8);
        assert!(p.counts.is_empty());
    }
}
