//! A moderator that several owners may hold.

use std::sync::Arc;

use super::exclusive::Exclusive;
use crate::engine::Model;
use crate::error::Result;
use crate::moderate::{ModerateOptions, Moderator, Policy, Score};

/// A moderator that several owners and threads may hold. Clones are the same moderator; one call at a time has it, and
/// another meanwhile gets [`Busy`](crate::ErrorKind::Busy), never a wait.
#[derive(Clone, Debug)]
pub struct SharedModerator(Arc<Exclusive<Moderator>>);

impl SharedModerator {
    /// A moderator of `model`.
    ///
    /// # Errors
    /// As [`Model::moderator`].
    pub fn new(model: &Model, options: &ModerateOptions) -> Result<Self> {
        Ok(Self(Arc::new(Exclusive::new("moderator", model.moderator(options)?))))
    }

    /// How probable it is that a text violates each of `policies`, as [`Moderator::moderate`].
    ///
    /// # Errors
    /// `Busy` while another call runs.
    pub fn moderate(&self, prompt: &str, response: Option<&str>, policies: &[Policy]) -> Result<Vec<Score>> {
        self.0.call(|moderator, cancel| {
            moderator.set_cancel_token(cancel);
            moderator.moderate(prompt, response, policies)
        })
    }

    /// Cancels the call that runs, if one does; the next is not touched.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}
