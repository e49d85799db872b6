//! A conversation's state.

use std::sync::Arc;

use siskin::SharedSession;

use crate::model::Model;
use crate::{FimJob, FimRequest, Fit, GenerateOptions, Job, Prompt, SessionOptions, SiskinError, size, wide};

/// A conversation's state: the tokens so far with what the model made of them. One job at a time works on it; while
/// one does, the other calls throw `Busy`.
///
/// Dropping the last reference while a job runs returns at once and cancels the job.
#[derive(Debug, uniffi::Object)]
pub struct Session(SharedSession);

#[uniffi::export]
impl Session {
    /// Starts an empty session.
    #[uniffi::constructor(default(options))]
    pub fn new(model: &Model, options: SessionOptions) -> Result<Arc<Self>, SiskinError> {
        Ok(Arc::new(Self(SharedSession::new(model.inner(), &options.into())?)))
    }

    /// What this session takes.
    pub fn fit(&self) -> Fit {
        (*self.0.fit()).into()
    }

    /// Tokens taken in so far.
    pub fn position(&self) -> Result<u64, SiskinError> {
        Ok(wide(self.0.position()?))
    }

    /// Tokens that still fit.
    pub fn room(&self) -> Result<u64, SiskinError> {
        Ok(wide(self.0.room()?))
    }

    /// The tokens taken in so far.
    pub fn tokens(&self) -> Result<Vec<u32>, SiskinError> {
        Ok(self.0.tokens()?.into_iter().map(|t| t.0).collect())
    }

    /// The model's raw scores for the token that comes next, one per token of the vocabulary; empty if nothing was
    /// taken in since the session was made or truncated.
    pub fn logits(&self) -> Result<Vec<f32>, SiskinError> {
        Ok(self.0.logits()?)
    }

    /// Forgets every token from `position` on. Models whose attention has a window cannot go far back: then everything
    /// is forgotten. Says how many tokens are left: `position` or 0.
    pub fn truncate(&self, position: u64) -> Result<u64, SiskinError> {
        Ok(wide(self.0.truncate(size(position))?))
    }

    /// Prepares an answer to `prompt`. Pull its events from the job, which starts with the first pull.
    #[uniffi::method(default(options))]
    pub fn job(&self, prompt: Prompt, options: GenerateOptions) -> Result<Arc<Job>, SiskinError> {
        Ok(Job::new(self.0.job(prompt.try_into()?, options.into())?))
    }

    /// Prepares what goes between the prefix and the suffix of `request`. The session is that text's from then on: what it
    /// holds of the prompt already is not computed again, the rest is forgotten. If there is more text than room, its far
    /// ends are cut.
    #[uniffi::method(default(options))]
    pub fn fim(&self, request: FimRequest, options: GenerateOptions) -> Result<FimJob, SiskinError> {
        let (job, cut) = self.0.fim(&request.into(), options.into())?;
        Ok(FimJob { job: Job::new(job), cut: cut.into() })
    }
}
