//! What several subcommands need: opening a model, settings from the command line, prompts from messages.

use crate::Result;
use crate::args::{ContextArgs, ModelArgs, SamplingArgs};
use crate::output::{FAILED, Failure, UNREADABLE};
use siskin::chat::{Date, Message, RenderOptions};
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::{Special, TokenId};
use siskin::{ErrorKind, Model, ModelOptions, SessionOptions};
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

/// The most bytes that a prompt or text from standard input may have.
const MAX_INPUT: u64 = 256 << 20;

impl ModelArgs {
    pub(crate) fn open(&self) -> Result<Model> {
        let options = ModelOptions { threads: self.threads, kernels: self.kernels.clone(), log: None };
        Ok(Model::open(&self.model, &options)?)
    }
}

impl ContextArgs {
    pub(crate) fn options(&self) -> SessionOptions {
        session_options(self.ctx, self.batch)
    }
}

pub(crate) fn session_options(context: Option<usize>, batch: Option<usize>) -> SessionOptions {
    let default = SessionOptions::default();
    SessionOptions { context, batch: batch.unwrap_or(default.batch), ..default }
}

impl SamplingArgs {
    pub(crate) fn config(&self) -> SamplerConfig {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        SamplerConfig {
            temperature: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical,
            repeat_penalty: self.repeat_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            penalty_last_n: self.repeat_last_n,
            logit_bias: Vec::new(),
            seed: self.seed.unwrap_or_else(clock),
        }
    }
}

/// All of standard input, as UTF-8.
pub(crate) fn stdin_text() -> Result<String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|e| Failure::Other(format!("standard input: {e}"), UNREADABLE))?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::Other(format!("standard input has more than {MAX_INPUT} bytes"), FAILED));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::Other(format!("standard input is not UTF-8 (at byte {at})"), FAILED)
    })
}

/// Now, in UTC.
fn now() -> Option<Date> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(Date::from_unix(i64::try_from(seconds).ok()?))
}

/// An error that says what to do if the model has no chat template, or one that cannot be used.
pub(crate) fn usable_template(model: &Model) -> Result<()> {
    match model.chat_template() {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::Missing => {
            Err(Failure::Usage("the model has no chat template; use `siskin run --raw`".to_owned()))
        }
        Err(e) => Err(e.into()),
    }
}

/// The prompt tokens of a conversation, by the model's template; an error without one.
pub(crate) fn conversation(model: &Model, messages: &[Message]) -> Result<Vec<TokenId>> {
    usable_template(model)?;
    let options = RenderOptions { add_generation_prompt: true, now: now(), ..RenderOptions::default() };
    Ok(model.conversation(messages, &options)?)
}

/// The tokens of a text that is to be continued as it is.
pub(crate) fn continuation(model: &Model, text: &str) -> Result<Vec<TokenId>> {
    Ok(model.tokenizer().encode(text, Special { add: true, parse: true })?)
}

/// The number of tokens per second.
pub(crate) fn rate(tokens: usize, time: std::time::Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}
