//! From logits to a token.
//!
//! The chain, in this order (llama.cpp's default order):
//!
//! 1. logit bias: added to the named tokens; -Inf bans one
//! 2. penalties over the last n accepted tokens: repetition, frequency, presence
//! 3. with temperature 0: the largest logit, of equal ones the lowest id; the filters below are not looked at
//! 4. top-k: the k largest
//! 5. typical: the least surprisingly probable set (locally typical sampling)
//! 6. top-p: the smallest set of the most probable that holds p
//! 7. min-p: those at least p times as probable as the best
//! 8. temperature, then one draw
//!
//! Each filter sees the probabilities of what the one before it left, at temperature 1, and always keeps at least one
//! candidate. Ties go to the lower id everywhere.
//!
//! The same seed and the same logits give the same tokens on every platform and with all kernels: probabilities are
//! integers ([`Kernels::weights`]), the random numbers are our own (see `rng`). [`Sampler::sample`] and
//! [`Sampler::accept`] allocate nothing. This module knows neither text nor models: it sees logits `[vocab]`.
//!
//! A logit of -Inf means "masked" (by a constraint or a bias). NaN, +Inf, or nothing but -Inf is an error of kind
//! [`ErrorKind::Numeric`].

mod candidates;
mod order;
mod penalties;
mod rng;

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernels;
use crate::tokenizer::TokenId;
use candidates::{Candidates, Scratch};
use penalties::Penalties;
use rng::Rng;

/// The most tokens that the penalties may look back on.
pub const MAX_PENALTY_WINDOW: usize = 1 << 16;
/// The sum of so many weights fits 64 bits.
const MAX_VOCAB: usize = (1 << 24) - 1;

/// What the chain does. The default samples moderately: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, no
/// penalties, seed 0.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerConfig {
    /// Divides the logits before the draw; 0 is greedy. 0 to 1000.
    pub temperature: f32,
    /// Keeps the k largest logits; 0 keeps all.
    pub top_k: usize,
    /// Keeps the most probable that together reach p; 1 keeps all. 0 to 1.
    pub top_p: f32,
    /// Keeps those at least p times as probable as the best; 0 keeps all. 0 to 1.
    pub min_p: f32,
    /// Keeps the most typical that together reach p; 1 keeps all. 0 to 1.
    pub typical_p: f32,
    /// Divides positive logits of recent tokens and multiplies negative ones; 1 does nothing. Above 0, to 1000.
    pub repeat_penalty: f32,
    /// Subtracted from a recent token's logit for each time it occurred. -1000 to 1000.
    pub frequency_penalty: f32,
    /// Subtracted once from the logit of a recent token. -1000 to 1000.
    pub presence_penalty: f32,
    /// How many accepted tokens count as recent; at most [`MAX_PENALTY_WINDOW`].
    pub penalty_last_n: usize,
    /// Added to the logits of these tokens; -Inf bans one.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_last_n: 64,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl SamplerConfig {
    /// Always the most probable token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    pub(crate) fn check(&self, vocab: usize) -> Result<()> {
        let fail = |field: &str, wanted: &str, value: &dyn std::fmt::Display| {
            let message = format!("{field} must be {wanted}, not {value}");
            Err(Error::new(ErrorKind::Argument, message))
        };
        let in_range = |field, value: f32, low: f32, high: f32| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            fail(field, &format!("a number from {low} to {high}"), &value)
        };
        in_range("temperature", self.temperature, 0.0, 1000.0)?;
        in_range("top_p", self.top_p, 0.0, 1.0)?;
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range("typical_p", self.typical_p, 0.0, 1.0)?;
        in_range("repeat_penalty", self.repeat_penalty, f32::MIN_POSITIVE, 1000.0)?;
        in_range("frequency_penalty", self.frequency_penalty, -1000.0, 1000.0)?;
        in_range("presence_penalty", self.presence_penalty, -1000.0, 1000.0)?;
        if self.penalty_last_n > MAX_PENALTY_WINDOW {
            return fail("penalty_last_n", &format!("at most {MAX_PENALTY_WINDOW}"), &self.penalty_last_n);
        }
        for (id, bias) in &self.logit_bias {
            if id.0 as usize >= vocab {
                return fail("logit_bias", &format!("for a token below {vocab}"), &id.0);
            }
            if bias.is_nan() || *bias == f32::INFINITY {
                return fail("logit_bias", "a finite number or -inf", bias);
            }
        }
        Ok(())
    }
}

/// Which logits a chain looks at. The others may be -Inf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Need {
    /// All.
    All,
    /// The largest n, with those that equal the smallest of these.
    Top(usize),
    /// Those at most this far below the largest.
    Within(f32),
}

/// The chain with its state: the penalties' window and the random numbers. One per session.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplerConfig,
    vocab: usize,
    penalties: Penalties,
    rng: Rng,
    scratch: Scratch,
    kernels: &'static Kernels,
}

impl Sampler {
    /// A sampler for logits of `vocab` tokens. Settings out of range are an [`ErrorKind::Argument`] that names the
    /// field.
    pub fn new(config: &SamplerConfig, vocab: usize) -> Result<Self> {
        if vocab == 0 || vocab > MAX_VOCAB {
            return Err(Error::new(ErrorKind::Argument, format!("a vocabulary of {vocab} tokens")));
        }
        config.check(vocab)?;
        Ok(Self {
            vocab,
            penalties: Penalties::new(
                config.repeat_penalty,
                config.frequency_penalty,
                config.presence_penalty,
                config.penalty_last_n,
            ),
            rng: Rng::new(config.seed),
            scratch: Scratch::new(vocab),
            config: config.clone(),
            kernels: Kernels::best(),
        })
    }

    /// The same with other kernels, which give the same tokens.
    #[must_use]
    pub fn with_kernels(self, kernels: &'static Kernels) -> Self {
        Self { kernels, ..self }
    }

    /// Tells the penalties that `token` is now part of the text. Call it for prompt tokens too, if they shall count.
    pub fn accept(&mut self, token: TokenId) {
        self.penalties.accept(token.0);
    }

    /// Which logits the next [`sample`](Self::sample) looks at, besides those of [`changed`](Self::changed) tokens.
    pub(crate) fn need(&self) -> Need {
        let c = &self.config;
        if c.temperature == 0.0 {
            Need::Top(1)
        } else if c.top_k > 0 {
            Need::Top(c.top_k)
        } else if c.min_p > 0.0 && c.typical_p >= 1.0 && c.top_p >= 1.0 {
            Need::Within(-libm::logf(c.min_p))
        } else {
            Need::All
        }
    }

    /// The tokens whose logits biases and penalties change; some may come twice.
    pub(crate) fn changed(&self) -> impl Iterator<Item = u32> {
        self.config.logit_bias.iter().map(|b| b.0.0).chain(self.penalties.tokens())
    }

    /// Chooses a token from `logits` (`[vocab]`), which it overwrites.
    pub fn sample(&mut self, logits: &mut [f32]) -> Result<TokenId> {
        if logits.len() != self.vocab {
            let message = format!("expected logits of {} tokens, found {}", self.vocab, logits.len());
            return Err(Error::new(ErrorKind::Argument, message));
        }
        for &(id, bias) in &self.config.logit_bias {
            logits[id.0 as usize] += bias;
        }
        self.penalties.apply(logits);
        let max = self.kernels.largest(logits);
        if max.is_infinite() {
            return Err(bad_logits(logits));
        }
        let c = &self.config;
        if c.temperature == 0.0 {
            return Ok(TokenId(first(logits, max)));
        }
        let mut candidates = Candidates::new(logits, max, &mut self.scratch, self.kernels);
        if c.top_k > 0 {
            candidates.top_k(c.top_k);
        }
        if c.typical_p < 1.0 {
            candidates.typical(c.typical_p);
        }
        if c.top_p < 1.0 {
            candidates.top_p(c.top_p);
        }
        if c.min_p > 0.0 {
            candidates.min_p(c.min_p);
        }
        Ok(TokenId(candidates.draw(c.temperature, |bound| self.rng.below(bound))))
    }

    /// Back to the start: the seed's first random number and an empty window.
    pub fn reset(&mut self) {
        self.penalties.reset();
        self.rng = Rng::new(self.config.seed);
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let bias = self.config.logit_bias.capacity() * size_of::<(TokenId, f32)>();
        self.penalties.heap_bytes() + self.scratch.heap_bytes() + bias
    }
}

/// Where the first `value` is; it is there.
fn first(logits: &[f32], value: f32) -> u32 {
    // In whole vectors first: a loop that may end at every element is not one.
    let in_vain = logits.chunks_exact(64).take_while(|c| !c.iter().fold(false, |any, &l| any | (l == value)));
    let before = in_vain.count() * 64;
    let at = logits[before..].iter().position(|&l| l == value).expect("the largest is one of them");
    (before + at) as u32
}

fn bad_logits(logits: &[f32]) -> Error {
    let message = match logits.iter().position(|&l| l.is_nan() || l == f32::INFINITY) {
        Some(id) => format!("the logit of token {id} is {}", logits[id]),
        None => "every token is masked".to_owned(),
    };
    Error::new(ErrorKind::Numeric, message)
}
