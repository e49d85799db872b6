//! A session that several owners may hold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Job, Prompt};
use crate::cancel::CancelToken;
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::fim::{self, FimCut, FimRequest};
use crate::plan::Fit;
use crate::session::{GenerateOptions, Session, SessionOptions};
use crate::tokenizer::TokenId;

/// A session that several owners and threads may hold. Clones are the same session. When the last one is dropped, a job
/// that runs is cancelled and what the session holds is freed, by the job if it has it; dropping does not wait.
#[derive(Clone, Debug)]
pub struct SharedSession(Arc<Owner>);

/// What the clones of a [`SharedSession`] share and its jobs do not.
#[derive(Debug)]
struct Owner(Arc<State>);

/// What the session and its jobs share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) model: Model,
    fit: Fit,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    Idle(Box<Session>),
    /// A job has it; this cancels the job.
    Running(CancelToken),
    /// Nobody owns the session any more.
    Closed,
}

impl SharedSession {
    /// An empty session.
    ///
    /// # Errors
    /// As [`Model::session`].
    pub fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        let session = Box::new(model.session(options)?);
        let fit = *session.fit();
        let slot = Mutex::new(Slot::Idle(session));
        Ok(Self(Arc::new(Owner(Arc::new(State { model: model.clone(), fit, slot })))))
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.state().model
    }

    /// What the session takes.
    pub fn fit(&self) -> &Fit {
        &self.state().fit
    }

    /// Tokens fed so far.
    ///
    /// # Errors
    /// `Busy` while a job runs; the same holds for all that follows.
    pub fn position(&self) -> Result<usize> {
        self.with(|session| session.position())
    }

    /// Tokens that still fit.
    ///
    /// # Errors
    /// `Busy`.
    pub fn room(&self) -> Result<usize> {
        self.with(|session| session.room())
    }

    /// The tokens fed so far.
    ///
    /// # Errors
    /// `Busy`.
    pub fn tokens(&self) -> Result<Vec<TokenId>> {
        self.with(|session| session.tokens().to_vec())
    }

    /// Logits of the last token fed, as [`Session::logits`].
    ///
    /// # Errors
    /// `Busy`.
    pub fn logits(&self) -> Result<Vec<f32>> {
        self.with(|session| session.logits().to_vec())
    }

    /// Forgets every token from `n` on, as [`Session::truncate`]; says how many are left.
    ///
    /// # Errors
    /// `Busy`.
    pub fn truncate(&self, n: usize) -> Result<usize> {
        self.with(|session| session.truncate(n))
    }

    /// Prepares an answer to `prompt`. Nothing is computed yet, and other jobs may run before it.
    ///
    /// # Errors
    /// `Argument` for options that make no sense.
    pub fn job(&self, prompt: Prompt, options: GenerateOptions) -> Result<Job> {
        self.job_with(prompt, options, CancelToken::default())
    }

    /// The same, cancelled by a token of the caller's, which may be that of several jobs. A job that is dropped while it
    /// runs, or whose session is, cancels it.
    ///
    /// # Errors
    /// As [`job`](Self::job).
    pub fn job_with(&self, prompt: Prompt, options: GenerateOptions, cancel: CancelToken) -> Result<Job> {
        options.check(self.model())?;
        prompt.check(self.model(), self.fit().batch)?;
        Ok(Job::new(Arc::clone(self.state()), prompt, options, cancel))
    }

    /// Prepares what goes between the prefix and the suffix of `request`, and says what there was no room for. The session
    /// is that text's from then on: what it holds of the prompt already is not computed again, the rest is forgotten. The
    /// answer ends where the model says that it fits, whatever else `options` say.
    ///
    /// # Errors
    /// As [`Model::fim`] and [`job`](Self::job).
    pub fn fim(&self, request: &FimRequest, options: GenerateOptions) -> Result<(Job, FimCut)> {
        self.fim_with(request, options, CancelToken::default())
    }

    /// The same, cancelled by a token of the caller's, as [`job_with`](Self::job_with).
    ///
    /// # Errors
    /// As [`fim`](Self::fim).
    pub fn fim_with(
        &self,
        request: &FimRequest,
        mut options: GenerateOptions,
        cancel: CancelToken,
    ) -> Result<(Job, FimCut)> {
        let room = fim::room(self.fit().context, options.max_tokens);
        let prompt = self.model().fim(request, room)?;
        options.stop_tokens.extend(prompt.stop_tokens);
        Ok((self.job_with(Prompt::Anew(prompt.tokens), options, cancel)?, prompt.cut))
    }

    fn state(&self) -> &Arc<State> {
        &self.0.0
    }

    fn with<R>(&self, f: impl FnOnce(&mut Session) -> R) -> Result<R> {
        match &mut *self.state().lock() {
            Slot::Idle(session) => Ok(f(session)),
            Slot::Running(_) | Slot::Closed => Err(busy()),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.0.lock(), Slot::Closed);
        if let Slot::Running(cancel) = &before {
            cancel.cancel();
        }
    }
}

impl State {
    /// Takes the session for a job that `cancel` cancels.
    pub(super) fn take(self: &Arc<Self>, cancel: &CancelToken) -> Result<Taken> {
        let mut slot = self.lock();
        match std::mem::replace(&mut *slot, Slot::Running(cancel.clone())) {
            Slot::Idle(mut session) => {
                session.set_cancel_token(cancel.clone());
                Ok(Taken { state: Arc::clone(self), session: Some(session) })
            }
            Slot::Running(other) => {
                *slot = Slot::Running(other);
                Err(busy())
            }
            Slot::Closed => {
                *slot = Slot::Closed;
                Err(Error::new(ErrorKind::Argument, "the session was closed"))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "the session is in use by a job; wait for its end or cancel it")
}

/// The session while a job has it; goes back when dropped.
pub(super) struct Taken {
    state: Arc<State>,
    session: Option<Box<Session>>,
}

impl Taken {
    pub(super) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("there until dropped")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        session.set_cancel_token(CancelToken::default());
        let mut slot = self.state.lock();
        match &*slot {
            Slot::Closed => drop(slot), // nobody wants it: freed here, outside the lock
            Slot::Idle(_) | Slot::Running(_) => *slot = Slot::Idle(session),
        }
    }
}
