//! The only mutable timeline: tokens fed so far, their keys and values, and the logits of the last.

mod generate;
mod stop;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cancel::CancelToken;
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::KvCache;
use crate::model::{Activations, Best, Context, Named, Tap, Wanted, Which};
use crate::plan::Fit;
use crate::sampler::{Need, Sampler};
use crate::tokenizer::TokenId;

pub use self::generate::{Event, Flow, GenerateOptions, HeadStats, Outcome, Stats, StopReason};
pub use self::stop::{MAX_STOP_BYTES, MAX_STOP_STRINGS, StopMatcher};
pub use crate::plan::SessionOptions;

/// A conversation's state. Not shared: one thread uses it at a time; [`CancelToken`] reaches it from others.
#[derive(Debug)]
pub struct Session {
    model: Model,
    fit: Fit,
    acts: Activations,
    cache: KvCache,
    /// The tokens in the cache.
    tokens: Vec<TokenId>,
    /// The same as numbers, for one pass.
    pass: Vec<u32>,
    /// `[tokens of the tokenizer]`: the logits that a sampler may change.
    candidates: Vec<f32>,
    /// Whether the logits are those of the last token.
    has_logits: bool,
    /// Whether those that nobody was going to look at are -Inf.
    screened: bool,
    /// The token that was chosen last and has not been fed.
    pending: Option<TokenId>,
    cancel: CancelToken,
    poisoned: bool,
}

impl Model {
    /// Starts an empty session.
    ///
    /// # Errors
    /// `Argument` or `Limit` if the options cannot be met.
    pub fn session(&self, options: &SessionOptions) -> Result<Session> {
        Session::new(self, options)
    }
}

impl Session {
    fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        let fit = model.fit(options)?;
        let decoder = model.decoder();
        let cache = KvCache::new(decoder.kv_shapes(), options.kv_type, fit.context, fit.batch)?;
        let acts = decoder.activations(fit.context, fit.batch, fit.threads);
        Ok(Self {
            model: model.clone(),
            fit,
            acts,
            cache,
            tokens: Vec::with_capacity(fit.context),
            pass: Vec::with_capacity(fit.batch),
            candidates: vec![0.0; model.tokenizer().len()],
            has_logits: false,
            screened: false,
            pending: None,
            cancel: CancelToken::default(),
            poisoned: false,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What this session takes.
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// Tokens fed so far.
    pub fn position(&self) -> usize {
        self.cache.len()
    }

    /// The tokens fed so far.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.fit.context - self.position()
    }

    /// The token that [`generate`](Self::generate) chose last, if nothing was fed since: the next call feeds it first.
    pub fn pending(&self) -> Option<TokenId> {
        self.pending
    }

    /// A handle that cancels what this session does.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// From now on `token` cancels what this session does, and the tokens given out before do not.
    pub fn set_cancel_token(&mut self, token: CancelToken) {
        self.cancel = token;
    }

    /// Logits of the last token fed, `[vocab]`; empty if nothing was fed since the session was made or truncated. If
    /// [`generate`](Self::generate) fed it and the model has a screening table, those that its sampler could not have
    /// chosen are -Inf.
    pub fn logits(&self) -> &[f32] {
        if self.has_logits { &self.acts.logits } else { &[] }
    }

    /// Feeds `tokens` behind what is there, in batches, and computes the logits of the last.
    ///
    /// # Errors
    /// `ContextFull` before anything is computed; `Argument` for a token that the model does not have; `Cancelled`,
    /// after which whole batches that were done stay; `FileChanged`; `Poisoned`.
    pub fn prefill(&mut self, tokens: &[TokenId]) -> Result<()> {
        self.prefill_with(tokens, None, &mut |_, _| Flow::Continue).map(|_| ())
    }

    /// [`prefill`](Self::prefill) that tells `progress(done, total)` after each batch, which may stop it; then the
    /// answer is `Flow::Stop`. With a sampler, only the logits that it needs are computed.
    fn prefill_with(
        &mut self,
        tokens: &[TokenId],
        sampler: Option<&Sampler>,
        progress: &mut dyn FnMut(usize, usize) -> Flow,
    ) -> Result<Flow> {
        self.check_room(tokens)?;
        let mut done = 0;
        for batch in tokens.chunks(self.fit.batch) {
            done += batch.len();
            if done < tokens.len() {
                self.forward(batch, Wanted::None)?;
            } else {
                self.forward_last(batch, sampler)?;
            }
            if progress(done, tokens.len()) == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }

    /// Feeds `tokens` as [`prefill`](Self::prefill) does and shows `tap` the inside of every pass and the logits of
    /// every position. Positions that taps name are relative to the batch, which starts at [`position`](Self::position)
    /// as it was before the batch.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn prefill_tapped(&mut self, tokens: &[TokenId], tap: &mut dyn FnMut(Tap<'_>)) -> Result<()> {
        self.check_room(tokens)?;
        tokens.chunks(self.fit.batch).try_for_each(|batch| self.forward(batch, Wanted::All(tap)))
    }

    /// Forgets every token from `n` on. Layers with a window remember a window and a batch behind the end; if `n` lies
    /// further back, everything is forgotten. Says how many tokens are left: `n` or 0.
    pub fn truncate(&mut self, n: usize) -> usize {
        self.pending = None;
        if n >= self.position() {
            return self.position();
        }
        if !self.cache.truncate(n) {
            self.cache.truncate(0);
        }
        self.tokens.truncate(self.cache.len());
        self.has_logits = false;
        self.cache.len()
    }

    /// Prepares to continue with the conversation `tokens`: keeps the longest common prefix with what is there, short
    /// of the last token, and forgets the rest. Says how many tokens are kept; feed `tokens[kept..]` next.
    pub fn reuse_prefix(&mut self, tokens: &[TokenId]) -> usize {
        let common = self.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        self.truncate(common.min(tokens.len().saturating_sub(1)))
    }

    fn check_room(&self, tokens: &[TokenId]) -> Result<()> {
        let vocab = self.model.spec().vocab;
        if let Some(bad) = tokens.iter().find(|t| t.0 as usize >= vocab) {
            let message = format!("token {} does not exist: the model has {vocab}", bad.0);
            return Err(Error::new(ErrorKind::Argument, message));
        }
        if tokens.len() > self.room() {
            let message = format!(
                "{} tokens do not fit: {} of the context's {} are free; a larger context can be asked for",
                tokens.len(),
                self.room(),
                self.fit.context
            );
            return Err(Error::new(ErrorKind::ContextFull, message));
        }
        Ok(())
    }

    /// One pass that ends in logits: those that `sampler` needs, or all.
    fn forward_last(&mut self, batch: &[TokenId], sampler: Option<&Sampler>) -> Result<()> {
        let needed = sampler.map(|s| (s, s.need()));
        let (sampler, which) = match needed {
            Some((sampler, Need::Top(n))) => (sampler, Which::Top(n)),
            Some((sampler, Need::Within(distance))) => (sampler, Which::Within(distance)),
            Some((_, Need::All)) | None => return self.forward(batch, Wanted::Last),
        };
        let named: Named<'_> = &|f| sampler.changed().for_each(f);
        let rows = self.model.tokenizer().len();
        self.forward(batch, Wanted::Best(Best { rows, which, named }))?;
        self.screened = self.acts.head_rows < self.model.spec().vocab;
        Ok(())
    }

    /// All logits of the last token, if only some were computed.
    fn complete_logits(&mut self) {
        if std::mem::take(&mut self.screened) {
            let Self { acts, model, cancel, .. } = self;
            let cx = Context { kernels: model.kernels(), pool: model.pool(), cancel };
            model.decoder().logits(&cx, acts, None);
        }
    }

    /// One pass. The file is looked at before and after: weights that changed under the pass must not become text.
    fn forward(&mut self, batch: &[TokenId], wanted: Wanted<'_>) -> Result<()> {
        if self.poisoned {
            return Err(Error::new(ErrorKind::Poisoned, "an earlier failure left this session unusable"));
        }
        self.model.file().check_unchanged()?;
        self.pass.clear();
        self.pass.extend(batch.iter().map(|t| t.0));
        self.has_logits = false;
        self.screened = false;
        let last = !matches!(wanted, Wanted::None);
        let Self { acts, cache, pass, model, cancel, .. } = self;
        let cx = Context { kernels: model.kernels(), pool: model.pool(), cancel };
        let pass = catch_unwind(AssertUnwindSafe(|| model.decoder().forward(&cx, acts, cache, pass, wanted)));
        pass.unwrap_or_else(|_| {
            self.poisoned = true;
            Err(Error::new(ErrorKind::Poisoned, "internal error: a task of the forward pass panicked"))
        })?;
        if let Err(e) = self.model.file().check_unchanged() {
            self.poisoned = true;
            return Err(e);
        }
        self.tokens.extend_from_slice(batch);
        self.pending = None;
        self.has_logits = last;
        Ok(())
    }
}
