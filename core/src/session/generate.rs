//! The decode loop: prompt in, events out.

use std::time::{Duration, Instant};

use super::telling::Telling;
use super::{IMAGE_POSITION, Session, StopMatcher};
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::sampler::{Sampler, SamplerConfig};
use crate::tokenizer::TokenId;
use crate::vision::{ImageFeatures, ImagePrompt};

/// What to generate.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Most tokens to generate; `None` for as many as the context holds.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Tokens that end the answer besides the model's own; they are no part of it, and [`StopReason::EndOfTurn`] tells of
    /// them too.
    pub stop_tokens: Vec<TokenId>,
    /// Whether the model's own end-of-turn tokens end the answer.
    pub stop_at_end_of_turn: bool,
    /// Whether token events carry the log-probability that the model gave the token.
    pub logprobs: bool,
    /// Whether special tokens appear in the text. Then it is all that the model writes, also what it thinks.
    pub show_special: bool,
    /// Whether [`Event::Reasoning`] tells what the model thinks, where its format keeps that apart from the answer. It is
    /// never part of the text.
    pub reasoning: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: None,
            sampler: SamplerConfig::default(),
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            stop_at_end_of_turn: true,
            logprobs: false,
            show_special: false,
            reasoning: false,
        }
    }
}

impl GenerateOptions {
    /// Refuses what [`Session::generate`] would refuse.
    pub(crate) fn check(&self, model: &Model) -> Result<()> {
        self.sampler.check(model.tokenizer().len())?;
        StopMatcher::new(&self.stop).map(drop)
    }
}

/// What happens while an answer is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A batch of the prompt was taken in.
    Prefill {
        /// Prompt tokens done.
        done: usize,
        /// Prompt tokens in all.
        total: usize,
    },
    /// A token was chosen.
    Token {
        /// The token.
        id: TokenId,
        /// Natural logarithm of its probability under the model, before the sampler; only on request.
        logprob: Option<f32>,
    },
    /// Text became certain: whole Unicode scalars, no part of a stop text.
    Text(&'a str),
    /// Text that the model writes before it answers, for itself; only on request
    /// ([`GenerateOptions::reasoning`]). Stop texts do not count in it.
    Reasoning(&'a str),
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop; what was computed stays.
    Stop,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The model ended its turn, or chose one of the tokens that were to end the answer.
    EndOfTurn,
    /// A stop text appeared.
    StopString,
    /// As many tokens as were asked for.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// Cancelled through the token.
    Cancelled,
    /// The event handler said stop.
    Caller,
}

/// Counts and times of one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Prompt tokens taken in, with the [`pending`](Session::pending) one of the answer before.
    pub prompt_tokens: usize,
    /// Tokens generated, an end-of-turn token included.
    pub generated_tokens: usize,
    /// From the call to the first choice of a token.
    pub prefill_time: Duration,
    /// From then to the end.
    pub decode_time: Duration,
    /// What the output matrix cost.
    pub head: HeadStats,
}

/// How much of the output matrix was computed. Without a screening table, all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadStats {
    /// Tokens whose logits were computed.
    pub steps: usize,
    /// Of these, tokens for which every row was computed.
    pub whole: usize,
    /// Rows computed, in all.
    pub rows: u64,
    /// Rows that there are, times the steps.
    pub rows_at_most: u64,
}

impl HeadStats {
    fn add(&mut self, rows: usize, vocab: usize) {
        self.steps += 1;
        self.whole += usize::from(rows == vocab);
        self.rows += rows as u64;
        self.rows_at_most += vocab as u64;
    }

    /// The share of rows that was computed; 1 if nothing was.
    pub fn share(&self) -> f64 {
        if self.rows_at_most == 0 { 1.0 } else { self.rows as f64 / self.rows_at_most as f64 }
    }
}

/// How generation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Why.
    pub reason: StopReason,
    /// Counts and times.
    pub stats: Stats,
}

impl Session {
    /// Feeds `prompt` behind what is there and generates, telling `on_event` everything, which may stop it.
    ///
    /// The last token that is generated is not fed, it is [`pending`](Session::pending): the next call feeds it before
    /// its prompt, so that an answer cut off by `max_tokens` goes on with an empty prompt. [`truncate`](Session::truncate)
    /// and [`reuse_prefix`](Session::reuse_prefix) drop it.
    ///
    /// # Errors
    /// As [`prefill`](Session::prefill) (but cancelling is an outcome, not an error); `Argument` for sampler settings
    /// or stop texts that make no sense, or an empty prompt with nothing to continue; `Numeric` if the model's output
    /// is not a number.
    pub fn generate(
        &mut self,
        prompt: &[TokenId],
        options: &GenerateOptions,
        on_event: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<Outcome> {
        self.answer((prompt, &[]), options, on_event)
    }

    /// The same for a prompt with images.
    ///
    /// # Errors
    /// As [`generate`](Self::generate) and [`prefill_image`](Self::prefill_image).
    pub fn generate_seeing(
        &mut self,
        prompt: &ImagePrompt,
        options: &GenerateOptions,
        on_event: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<Outcome> {
        self.answer((prompt.tokens(), prompt.images()), options, on_event)
    }

    fn answer(
        &mut self,
        (prompt, images): (&[TokenId], &[ImageFeatures]),
        options: &GenerateOptions,
        on_event: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<Outcome> {
        let tokens = self.model.tokenizer().len();
        let mut sampler = Sampler::new(&options.sampler, tokens)?.with_kernels(self.model.kernels());
        let with_pending: Vec<TokenId>;
        let prompt = match self.pending {
            Some(token) => {
                with_pending = std::iter::once(token).chain(prompt.iter().copied()).collect();
                &with_pending
            }
            None => prompt,
        };
        if prompt.is_empty() && self.logit_rows == 0 {
            return Err(Error::new(ErrorKind::Argument, "an empty prompt: there is nothing to continue"));
        }
        let starts_text =
            self.position() == 0 && prompt.iter().all(|&t| Some(t) == self.model.tokenizer().bos());
        let mut telling = Telling::new(self.model.tokenizer(), options, [&self.tokens, prompt], starts_text)?;
        let said = self.tokens.iter().chain(prompt).filter(|&&t| t != IMAGE_POSITION);
        said.for_each(|&t| sampler.accept(t));
        let started = Instant::now();
        let mut stats = Stats::default();
        if prompt.is_empty() {
            self.complete_logits();
        }
        let needs = (!options.logprobs).then_some(&sampler);
        let flow = self.prefill_seeing(prompt, images, needs, &mut |done, total| {
            stats.prompt_tokens = done;
            on_event(Event::Prefill { done, total })
        });
        stats.prefill_time = started.elapsed();
        let reason = match flow {
            Ok(Flow::Continue) => {
                let reason = self.decode(options, &mut sampler, &mut telling, &mut stats, on_event)?;
                telling.finish(reason, on_event);
                reason
            }
            Ok(Flow::Stop) => StopReason::Caller,
            Err(e) if e.kind() == ErrorKind::Cancelled => StopReason::Cancelled,
            Err(e) => return Err(e),
        };
        stats.decode_time = started.elapsed() - stats.prefill_time;
        Ok(Outcome { reason, stats })
    }

    /// Chooses tokens and feeds them until something says stop.
    fn decode(
        &mut self,
        options: &GenerateOptions,
        sampler: &mut Sampler,
        telling: &mut Telling,
        stats: &mut Stats,
        on_event: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<StopReason> {
        let model = self.model.clone();
        let tokenizer = model.tokenizer();
        loop {
            if options.max_tokens.is_some_and(|max| stats.generated_tokens >= max) {
                return Ok(StopReason::MaxTokens);
            }
            if self.cancel.is_cancelled() {
                return Ok(StopReason::Cancelled);
            }
            stats.head.add(self.acts.head_rows, model.spec().vocab);
            // The embedding may have more rows than there are tokens; only tokens can be chosen.
            self.candidates.copy_from_slice(&self.acts.logits[..tokenizer.len()]);
            let id = sampler.sample(&mut self.candidates)?;
            sampler.accept(id);
            self.pending = Some(id);
            stats.generated_tokens += 1;
            let logprob = options.logprobs.then(|| logprob(&self.acts.logits[..tokenizer.len()], id));
            let flow = on_event(Event::Token { id, logprob });
            let own_end = options.stop_at_end_of_turn && tokenizer.is_end(id);
            if own_end || options.stop_tokens.contains(&id) {
                return Ok(StopReason::EndOfTurn);
            }
            if telling.push(tokenizer, id, on_event)? {
                return Ok(StopReason::StopString);
            }
            if flow == Flow::Stop || telling.stopped {
                return Ok(StopReason::Caller);
            }
            if options.max_tokens.is_some_and(|max| stats.generated_tokens >= max) {
                return Ok(StopReason::MaxTokens);
            }
            if self.room() == 0 {
                return Ok(StopReason::ContextFull);
            }
            let needs = (!options.logprobs).then_some(&*sampler);
            match self.prefill_with(&[id], needs, &mut |_, _| Flow::Continue).map(|_| ()) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Cancelled => return Ok(StopReason::Cancelled),
                Err(e) => return Err(e),
            }
        }
    }
}

/// Natural logarithm of the probability of `id` under `logits`.
fn logprob(logits: &[f32], id: TokenId) -> f32 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(libm::expf(l - max))).sum();
    logits[id.0 as usize] - max - libm::log(sum) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprobs_are_normalised() {
        let logits = [1.0, 2.0, 3.0, -1000.0];
        let total: f32 = (0..4).map(|i| logprob(&logits, TokenId(i)).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6);
        assert!((logprob(&logits, TokenId(2)) - logprob(&logits, TokenId(1)) - 1.0).abs() < 1e-6);
    }
}
