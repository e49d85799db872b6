//! The only mutable timeline: tokens fed so far, their keys and values, and the logits of the last.

mod channels;
mod embed;
mod generate;
mod image;
mod stop;
mod telling;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::cancel::CancelToken;
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::kv_cache::KvCache;
use crate::model::{Activations, Best, Context, Fed, Inputs, Named, ProductInput, Tap, Wanted, Which};
use crate::plan::Fit;
use crate::sampler::{Need, Sampler};
use crate::tokenizer::TokenId;
use crate::vision::ImageFeatures;

pub use self::embed::{EmbedOptions, Embedder};
pub use self::generate::{Event, Flow, GenerateOptions, HeadStats, Outcome, Stats, StopReason};
pub use self::stop::{MAX_STOP_BYTES, MAX_STOP_STRINGS, StopMatcher};
pub use crate::plan::SessionOptions;
pub use crate::vision::IMAGE_POSITION;

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
    /// The images in the cache, and where each begins.
    images: Vec<(usize, ImageFeatures)>,
    /// `[tokens of the tokenizer]`: the logits that a sampler may change.
    candidates: Vec<f32>,
    /// How many of the last tokens have logits, in order: the last row of them is the last token's.
    logit_rows: usize,
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
    /// `Argument` or `Limit` if the options cannot be met; `Unsupported` for a model that only embeds texts (see
    /// [`embedder`](Self::embedder)).
    pub fn session(&self, options: &SessionOptions) -> Result<Session> {
        if !self.spec().generates {
            let arch = &self.spec().architecture;
            let message = format!("a \"{arch}\" model embeds texts, it does not generate any");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Session::new(self, options)
    }
}

impl Session {
    fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        let fit = model.fit(options)?;
        let decoder = model.decoder();
        let cache = KvCache::new(decoder.cache_shapes(), options.kv_type, fit.context, fit.batch)?;
        let acts = decoder.activations((fit.context, fit.batch, fit.logit_rows, fit.threads));
        Ok(Self {
            model: model.clone(),
            fit,
            acts,
            cache,
            tokens: Vec::with_capacity(fit.context),
            images: Vec::new(),
            pass: Vec::with_capacity(fit.batch),
            candidates: vec![0.0; model.tokenizer().len()],
            logit_rows: 0,
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

    /// The tokens fed so far; [`IMAGE_POSITION`] for each position of an image.
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

    /// Logits of the last token fed, `[vocab]`; empty if nothing was fed since the session was made or truncated (but see
    /// [`decode_rows`](Self::decode_rows)). If [`generate`](Self::generate) fed it and the model has a screening table,
    /// those that its sampler could not have chosen are -Inf.
    pub fn logits(&self) -> &[f32] {
        &self.acts.logits[self.last_logits()]
    }

    /// Where the last token's logits are; empty if it has none.
    fn last_logits(&self) -> std::ops::Range<usize> {
        let vocab = self.model.spec().vocab;
        self.logit_rows.saturating_sub(1) * vocab..self.logit_rows * vocab
    }

    /// Feeds `tokens` behind what is there in one pass and gives the logits of each, `[n, vocab]`: the bits that the
    /// tokens one by one would give, in little more time than one of them takes. There may be at most
    /// [`Fit::logit_rows`]; [`SessionOptions::logit_rows`] asks for more than one.
    ///
    /// This is how guessed tokens are checked. Feed the token that was chosen last and the guesses; row `i` tells what
    /// follows `tokens[i]`, so it is right as far as the guesses were. [`truncate`](Self::truncate) forgets the wrong
    /// ones, and [`logits`](Self::logits) are then those of the last token that is left, if it was of this call. Recurrent
    /// layers go back the whole call only: forget that, and feed the right ones again.
    ///
    /// # Errors
    /// `Argument` for no token, too many, or one that the model does not have; `ContextFull`; `Cancelled`; `FileChanged`;
    /// `Poisoned`. After the first three nothing was fed.
    pub fn decode_rows(&mut self, tokens: &[TokenId]) -> Result<&[f32]> {
        let (n, most) = (tokens.len(), self.fit.logit_rows);
        if n == 0 || n > most {
            let message = format!("logits of {n} tokens: this session was made for 1 to {most} together");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        self.check_room(tokens)?;
        self.forward(tokens, Wanted::Rows)?;
        Ok(&self.acts.logits[..n * self.model.spec().vocab])
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

    /// Feeds `tokens` as [`prefill`](Self::prefill) does and shows `see` what every product of every pass reads, in an
    /// order that is always the same.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn prefill_measured(
        &mut self,
        tokens: &[TokenId],
        see: &mut (dyn FnMut(ProductInput<'_>) + Send),
    ) -> Result<()> {
        self.check_room(tokens)?;
        let see = Mutex::new(see);
        let inputs = |product: ProductInput<'_>| {
            see.lock().unwrap_or_else(PoisonError::into_inner)(product);
        };
        let mut batches = tokens.chunks(self.fit.batch);
        batches.try_for_each(|batch| self.forward_watched(batch, Wanted::Last, Some(&inputs)))
    }

    /// Forgets every token from `n` on. Layers with a window remember a window and a batch behind the end; if `n` lies
    /// further back, everything is forgotten. Says how many tokens are left: `n` or 0.
    ///
    /// An image is kept as a whole: if `n` lies inside, it is forgotten from its start.
    pub fn truncate(&mut self, n: usize) -> usize {
        self.pending = None;
        let before = self.position();
        if n >= before {
            return before;
        }
        let n = self.outside_images(n);
        if !self.cache.truncate(n) {
            self.cache.truncate(0);
        }
        let left = self.cache.len();
        self.tokens.truncate(left);
        self.images.retain(|(at, _)| *at < left);
        self.logit_rows = self.logit_rows.saturating_sub(before - left);
        left
    }

    /// Prepares to continue with the conversation `tokens`: keeps the longest common prefix with what is there, short
    /// of the last token, and forgets the rest. Says how many tokens are kept; feed `tokens[kept..]` next. Images end the
    /// prefix: tokens do not tell them apart (but see [`reuse_images`](Self::reuse_images)).
    pub fn reuse_prefix(&mut self, tokens: &[TokenId]) -> usize {
        let common =
            self.tokens.iter().zip(tokens).take_while(|(a, b)| a == b && **a != IMAGE_POSITION).count();
        self.truncate(common.min(tokens.len().saturating_sub(1)))
    }

    fn check_room(&self, tokens: &[TokenId]) -> Result<()> {
        let vocab = self.model.spec().vocab;
        if let Some(bad) = tokens.iter().find(|t| t.0 as usize >= vocab) {
            let message = format!("token {} does not exist: the model has {vocab}", bad.0);
            return Err(Error::new(ErrorKind::Argument, message));
        }
        self.check_fits(tokens.len())
    }

    fn check_fits(&self, n: usize) -> Result<()> {
        if n > self.room() {
            let message = format!(
                "{n} tokens do not fit: {} of the context's {} are free; a larger context can be asked for",
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

    /// Makes the last token's logits the only ones, and computes all of them if only some were.
    fn complete_logits(&mut self) {
        if std::mem::take(&mut self.screened) {
            let Self { acts, model, cancel, .. } = self;
            let cx = model.context(cancel);
            model.decoder().logits(&cx, acts, 1, None);
        }
        let last = self.last_logits();
        self.acts.logits.copy_within(last, 0);
        self.logit_rows = self.logit_rows.min(1);
    }

    /// One pass. The file is looked at before and after: weights that changed under the pass must not become text.
    fn forward(&mut self, batch: &[TokenId], wanted: Wanted<'_>) -> Result<()> {
        self.forward_watched(batch, wanted, None)
    }

    fn forward_watched(
        &mut self,
        batch: &[TokenId],
        wanted: Wanted<'_>,
        inputs: Option<&Inputs<'_>>,
    ) -> Result<()> {
        self.pass.clear();
        self.pass.extend(batch.iter().map(|t| t.0));
        self.run_pass(None, wanted, inputs)
    }

    /// One pass over what [`pass`](Self#structfield.pass) names: tokens, or the positions of an image, whose `rows` are
    /// given.
    fn run_pass(
        &mut self,
        rows: Option<&[f32]>,
        wanted: Wanted<'_>,
        inputs: Option<&Inputs<'_>>,
    ) -> Result<()> {
        if self.poisoned {
            return Err(Error::new(ErrorKind::Poisoned, "an earlier failure left this session unusable"));
        }
        self.model.file().check_unchanged()?;
        self.logit_rows = 0;
        self.screened = false;
        let logit_rows = match wanted {
            Wanted::None | Wanted::States => 0,
            _ if !self.model.spec().generates => 0,
            Wanted::Last | Wanted::Best(_) | Wanted::All(_) => 1,
            Wanted::Rows => self.pass.len(),
        };
        let Self { acts, cache, pass, model, cancel, .. } = self;
        let cx = Context { inputs, together: rows.is_some(), ..model.context(cancel) };
        let fed = rows.map_or(Fed::Tokens(pass), Fed::Rows);
        let pass = catch_unwind(AssertUnwindSafe(|| model.decoder().forward(&cx, acts, cache, fed, wanted)));
        pass.unwrap_or_else(|_| {
            self.poisoned = true;
            Err(Error::new(ErrorKind::Poisoned, "internal error: a task of the forward pass panicked"))
        })?;
        if let Err(e) = self.model.file().check_unchanged() {
            self.poisoned = true;
            return Err(e);
        }
        self.tokens.extend(self.pass.iter().map(|&t| TokenId(t)));
        self.pending = None;
        self.logit_rows = logit_rows;
        Ok(())
    }
}
