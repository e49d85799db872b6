//! What several subcommands need: opening a model, settings from the command line, prompts from messages.

use crate::Result;
use crate::args::{ContextArgs, Experts, Kv, ModelArgs, PassArgs, SamplingArgs};
use crate::output::{FAILED, Failure, UNREADABLE};
use siskin::chat::{ChatTemplate, Date, MAX_SOURCE_BYTES, Message, RenderOptions};
use siskin::sampler::SamplerConfig;
use siskin::vision::mark_images;
use siskin::{ErrorKind, KvType, Model, ModelOptions, Picture, Prompt, SessionOptions};
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The most bytes that a prompt or text from standard input may have.
const MAX_INPUT: u64 = 256 << 20;

impl ModelArgs {
    pub(crate) fn open(&self) -> Result<Model> {
        self.open_with(None)
    }

    /// With the text of a chat template that takes the place of the model's.
    pub(crate) fn open_with(&self, chat_template: Option<String>) -> Result<Model> {
        let options = ModelOptions {
            threads: self.threads,
            kernels: self.kernels.clone(),
            experts: self.experts.into(),
            chat_template,
            ..ModelOptions::default()
        };
        Ok(Model::open(&self.model, &options)?)
    }
}

impl From<Experts> for siskin::Experts {
    fn from(experts: Experts) -> Self {
        match experts {
            Experts::Auto => Self::Auto,
            Experts::Map => Self::Map,
            Experts::Stream => Self::Stream,
        }
    }
}

impl From<Kv> for KvType {
    fn from(kv: Kv) -> Self {
        match kv {
            Kv::F16 => Self::F16,
            Kv::F32 => Self::F32,
            Kv::Q8 => Self::Q8,
        }
    }
}

impl ContextArgs {
    pub(crate) fn options(&self) -> SessionOptions {
        self.pass.options(self.ctx)
    }
}

impl PassArgs {
    pub(crate) fn kv_type(&self) -> KvType {
        self.kv.into()
    }

    pub(crate) fn options(&self, context: Option<usize>) -> SessionOptions {
        let default = SessionOptions::default();
        SessionOptions {
            context,
            batch: self.batch.unwrap_or(default.batch),
            kv_type: self.kv_type(),
            ..default
        }
    }
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

/// The text of a chat template in a file, which parses.
pub(crate) fn template(path: &Path) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| Failure::Other(format!("{}: {e}", path.display()), UNREADABLE);
    let mut bytes = Vec::new();
    // One byte more than a template may have: too long is said below.
    let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
    file.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| failed(&format!("not UTF-8 (at byte {})", e.utf8_error().valid_up_to())))?;
    ChatTemplate::new(&text, "", "").map_err(|e| e.with_file(path))?;
    Ok(text)
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
            let message =
                "the model has no chat template; give one with --template, or use `siskin run --raw`";
            Err(Failure::Usage(message.to_owned()))
        }
        Err(e) => Err(e.into()),
    }
}

/// The prompt of a conversation, each of its pictures with the number of the message that shows it; an error without a
/// template.
pub(crate) fn conversation(
    model: &Model,
    messages: &[Message],
    pictures: &[(usize, Picture)],
) -> Result<Prompt> {
    usable_template(model)?;
    let mut messages = messages.to_vec();
    for (i, message) in messages.iter_mut().enumerate() {
        mark_images(message, pictures.iter().filter(|(n, _)| *n == i).count())?;
    }
    let pictures = pictures.iter().map(|(_, picture)| picture.clone()).collect();
    Ok(Prompt::Messages { messages, options: render_options(), pictures })
}

fn render_options() -> RenderOptions {
    RenderOptions { add_generation_prompt: true, now: now(), ..RenderOptions::default() }
}

/// The number of tokens per second.
pub(crate) fn rate(tokens: usize, time: std::time::Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}
