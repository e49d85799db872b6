//! How probable it is that a text violates a policy.

use std::sync::Arc;

use siskin::SharedModerator;

use crate::{Model, SiskinError};

/// How to moderate.
#[derive(Clone, Copy, Debug, Default, uniffi::Record)]
pub struct ModerateOptions {
    /// Also with a model that does not say it is a classifier of this kind.
    #[uniffi(default = false)]
    pub any_model: bool,
}

/// A rule that a text may violate.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Policy {
    /// Its name. Without words of its own one that the model was trained with: "dangerous_content", "harassment",
    /// "hate_speech" or "sexually_explicit".
    pub name: String,
    /// Its words; by default those that the model was trained with.
    #[uniffi(default = None)]
    pub guideline: Option<String>,
}

/// How a text stands to a policy.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Score {
    /// The policy's name.
    pub policy: String,
    /// Probability that the text violates it, 0 to 1.
    pub probability: f64,
}

/// Tells how probable it is that texts violate policies, with a model that was trained for it (ShieldGemma). Any thread may
/// use it; one call at a time, another meanwhile fails as busy.
#[derive(Debug, uniffi::Object)]
pub struct Moderator(SharedModerator);

impl Moderator {
    pub(crate) fn new(model: &Model, options: ModerateOptions) -> Result<Arc<Self>, SiskinError> {
        let options =
            siskin::ModerateOptions { any_model: options.any_model, ..siskin::ModerateOptions::default() };
        Ok(Arc::new(Self(SharedModerator::new(model.inner(), &options)?)))
    }
}

#[uniffi::export]
impl Moderator {
    /// How probable it is that a text violates each of `policies`, by default those that the model was trained with: the
    /// response that a chatbot gave to `prompt`, or without one the prompt, which a user wrote. Computes on this thread and
    /// the model's. A text that is too long is refused, never cut.
    #[uniffi::method(default(response = None, policies = None))]
    pub fn moderate(
        &self,
        prompt: String,
        response: Option<String>,
        policies: Option<Vec<Policy>>,
    ) -> Result<Vec<Score>, SiskinError> {
        let policy = |Policy { name, guideline }| siskin::Policy { name, guideline };
        let policies = policies.map_or_else(siskin::Policy::all, |all| all.into_iter().map(policy).collect());
        let scores = self.0.moderate(&prompt, response.as_deref(), &policies)?;
        let score = |s: siskin::Score| Score { policy: s.policy, probability: s.probability };
        Ok(scores.into_iter().map(score).collect())
    }

    /// Cancels the call that runs, if one does; from any thread.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}
