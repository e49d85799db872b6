//! What a job tells.

/// What happens while an answer is made.
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
pub enum Event {
    /// A batch of the prompt was taken in.
    Prefill {
        /// Prompt tokens done.
        done: u64,
        /// Prompt tokens in all.
        total: u64,
    },
    /// A token was chosen.
    Token {
        /// The token.
        id: u32,
        /// Natural logarithm of its probability under the model, before the sampler; only on request.
        logprob: Option<f32>,
    },
    /// Text became certain: whole characters, no part of a stop text.
    Text {
        /// The text.
        text: String,
    },
    /// The answer ended: the last event.
    Done {
        /// How it ended.
        outcome: Outcome,
    },
}

impl From<siskin::Event<'_>> for Event {
    fn from(event: siskin::Event<'_>) -> Self {
        match event {
            siskin::Event::Prefill { done, total } => {
                Self::Prefill { done: crate::wide(done), total: crate::wide(total) }
            }
            siskin::Event::Token { id, logprob } => Self::Token { id: id.0, logprob },
            siskin::Event::Text(text) => Self::Text { text: text.to_owned() },
            // It was not asked for, so none comes.
            siskin::Event::Reasoning(_) => Self::Text { text: String::new() },
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum StopReason {
    /// The model ended its turn.
    EndOfTurn,
    /// A stop text appeared.
    StopString,
    /// As many tokens as were asked for.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// Cancelled.
    Cancelled,
    /// The receiver of the events said stop.
    Caller,
    /// A reason that these bindings do not know yet.
    Other,
}

impl From<siskin::StopReason> for StopReason {
    fn from(reason: siskin::StopReason) -> Self {
        match reason {
            siskin::StopReason::EndOfTurn => Self::EndOfTurn,
            siskin::StopReason::StopString => Self::StopString,
            siskin::StopReason::MaxTokens => Self::MaxTokens,
            siskin::StopReason::ContextFull => Self::ContextFull,
            siskin::StopReason::Cancelled => Self::Cancelled,
            siskin::StopReason::Caller => Self::Caller,
            _ => Self::Other,
        }
    }
}

/// Counts and times of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, uniffi::Record)]
pub struct Stats {
    /// Prompt tokens taken in, without those that the session held already.
    pub prompt_tokens: u64,
    /// Tokens generated, an end-of-turn token included.
    pub generated_tokens: u64,
    /// Seconds from the start to the first choice of a token.
    pub prefill_seconds: f64,
    /// Seconds from then to the end.
    pub decode_seconds: f64,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct Outcome {
    /// Why.
    pub reason: StopReason,
    /// Counts and times.
    pub stats: Stats,
}

impl From<siskin::Outcome> for Outcome {
    fn from(outcome: siskin::Outcome) -> Self {
        let stats = outcome.stats;
        Self {
            reason: outcome.reason.into(),
            stats: Stats {
                prompt_tokens: crate::wide(stats.prompt_tokens),
                generated_tokens: crate::wide(stats.generated_tokens),
                prefill_seconds: stats.prefill_time.as_secs_f64(),
                decode_seconds: stats.decode_time.as_secs_f64(),
            },
        }
    }
}
