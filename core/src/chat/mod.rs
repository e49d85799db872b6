//! Chat messages into prompt text, by the template that the model file brings.
//!
//! The template is a program in Jinja from an untrusted file. It runs in our own interpreter (`jinja`), which gives
//! it the messages and nothing else, and within limits: [`MAX_SOURCE_BYTES`] of source, [`MAX_STEPS`] evaluations,
//! memory and output in proportion to the messages, bounded nesting. White space is handled as transformers does it
//! (`trim_blocks`, `lstrip_blocks`).
//!
//! This module knows no token ids: its output is text, in which the tokenizer later finds the special tokens.

mod jinja;

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Metadata;
use crate::tokenizer::{TokenId, Tokenizer};
use jinja::{Budget, Template, Value, from_json};
use serde_json::Value as Json;
use std::sync::Arc;

/// The longest template, in bytes. The longest published one that we know has 40 KiB.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;
/// The most evaluations in one rendering. A published template takes some hundreds per message.
pub const MAX_STEPS: u64 = 5_000_000;
/// Bytes that a rendering may make (intermediate text included), besides [`BYTES_PER_INPUT_BYTE`] for each byte of
/// the messages and tools.
const BASE_BYTES: u64 = 32 << 20;
const BYTES_PER_INPUT_BYTE: u64 = 64;

/// One message of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Who speaks: "system", "user", "assistant", "tool", or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
    /// Further fields as templates read them, in this order: `tool_calls`, `tool_call_id`, `name`,
    /// `reasoning_content`. A field called `role` or `content` takes the place of the text above, so that content
    /// can be null or a list of parts.
    pub fields: serde_json::Map<String, Json>,
}

impl Message {
    /// A message of text alone.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), fields: serde_json::Map::new() }
    }
}

/// A date and time, for templates that tell the model what day it is. The library has no clock: the caller gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The year of our era.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
}

impl Date {
    /// The date of `seconds` since 1970-01-01T00:00:00, in the time zone that they are given in.
    pub fn from_unix(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days since 0000-03-01 in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms").
        let z = days + 719_468;
        let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as i32,
            month: month as u8,
            day: day as u8,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        }
    }

    fn is_leap(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    /// 1 to 366.
    fn day_of_year(self) -> u32 {
        const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let month = usize::from(self.month).clamp(1, 12);
        BEFORE[month - 1] + u32::from(self.day) + u32::from(self.is_leap() && month > 2)
    }

    /// 0 for Monday to 6 for Sunday.
    fn weekday(self) -> u32 {
        let before = i64::from(self.year) - 1;
        let days = before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
        (days + i64::from(self.day_of_year()) - 1).rem_euclid(7) as u32
    }
}

/// What a template is given besides the messages.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// Whether the text shall end where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// The tools the model may call, as a JSON array of their descriptions.
    pub tools: Option<Json>,
    /// Further variables, such as `enable_thinking`.
    pub variables: serde_json::Map<String, Json>,
    /// What `strftime_now` tells. Without it that function is not defined, and templates fall back to a date of their
    /// own.
    pub now: Option<Date>,
}

/// A model's chat template, parsed.
#[derive(Debug)]
pub struct ChatTemplate {
    template: Template,
    source: Arc<str>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The template that a model file carries (`tokenizer.chat_template`), if it has one.
    ///
    /// # Errors
    /// `Template`, naming the key, if it does not parse.
    pub fn from_metadata(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let key = "tokenizer.chat_template";
        let Some(source) = metadata.optional::<String>(key)? else {
            return Ok(None);
        };
        Self::of(&source, tokenizer).map(Some).map_err(|e| e.with_key(key))
    }

    /// Parses a template for texts of this tokenizer.
    pub(crate) fn of(source: &str, tokenizer: &Tokenizer) -> Result<Self> {
        let text = |id: Option<TokenId>| id.and_then(|id| tokenizer.token_text(id)).unwrap_or_default();
        Self::new(source, &text(tokenizer.bos()), &text(tokenizer.eos()))
    }

    /// Parses a template. `bos` and `eos` are the texts of the tokens that it knows as `bos_token` and `eos_token`.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self> {
        if source.len() > MAX_SOURCE_BYTES {
            let message =
                format!("a chat template of {} bytes; at most {MAX_SOURCE_BYTES} are allowed", source.len());
            return Err(Error::new(ErrorKind::Template, message));
        }
        let template = Template::parse(source).map_err(error)?;
        Ok(Self { template, source: source.into(), bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for these messages. Errors are of kind [`ErrorKind::Template`] and name the template's line.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let input = input_bytes(messages, options);
        let mut budget =
            Budget::new(MAX_STEPS, BASE_BYTES.saturating_add(input.saturating_mul(BYTES_PER_INPUT_BYTE)));
        let variables = self.variables(messages, options, &mut budget).map_err(error)?;
        self.template.render(variables, options.now, &mut budget).map_err(error)
    }

    fn variables(
        &self,
        messages: &[Message],
        options: &RenderOptions,
        budget: &mut Budget,
    ) -> std::result::Result<Vec<(Arc<str>, Value)>, jinja::Fault> {
        let messages = messages.iter().map(|m| message(m, budget)).collect::<std::result::Result<_, _>>()?;
        let mut variables: Vec<(Arc<str>, Value)> = vec![
            ("messages".into(), Value::list(messages, budget)?),
            ("add_generation_prompt".into(), Value::Bool(options.add_generation_prompt)),
            ("bos_token".into(), Value::str(self.bos.as_str())),
            ("eos_token".into(), Value::str(self.eos.as_str())),
            // As transformers passes them: defined, and none if there are none.
            ("tools".into(), options.tools.as_ref().map_or(Ok(Value::None), |t| from_json(t, budget))?),
            ("documents".into(), Value::None),
        ];
        for (name, value) in &options.variables {
            let value = from_json(value, budget)?;
            match variables.iter_mut().find(|(n, _)| **n == **name) {
                Some((_, old)) => *old = value,
                None => variables.push((name.as_str().into(), value)),
            }
        }
        Ok(variables)
    }
}

fn message(message: &Message, budget: &mut Budget) -> std::result::Result<Value, jinja::Fault> {
    let mut entries = vec![
        (Value::str("role"), Value::str(message.role.as_str())),
        (Value::str("content"), Value::str(message.content.as_str())),
    ];
    for (name, value) in &message.fields {
        entries.push((Value::str(name.as_str()), from_json(value, budget)?));
    }
    Value::map(entries, budget)
}

/// Roughly the bytes of what the caller gives: what may become text.
fn input_bytes(messages: &[Message], options: &RenderOptions) -> u64 {
    fn json(value: &Json) -> u64 {
        match value {
            Json::String(s) => s.len() as u64 + 8,
            Json::Array(items) => 8 + items.iter().map(json).sum::<u64>(),
            Json::Object(entries) => {
                8 + entries.iter().map(|(k, v)| k.len() as u64 + 8 + json(v)).sum::<u64>()
            }
            _ => 16,
        }
    }
    let fields = |map: &serde_json::Map<String, Json>| map.values().map(json).sum::<u64>();
    let text = messages.iter().map(|m| (m.role.len() + m.content.len() + 64) as u64 + fields(&m.fields));
    text.sum::<u64>() + options.tools.as_ref().map_or(0, json) + fields(&options.variables)
}

fn error(fault: jinja::Fault) -> Error {
    let message = match fault.line {
        Some(line) => format!("chat template, line {line}: {}", fault.message),
        None => format!("chat template: {}", fault.message),
    };
    Error::new(ErrorKind::Template, message)
}
