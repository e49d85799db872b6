//! What the caller says: options, messages, prompts. Every field has a default, so a language writes only what differs.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use siskin::chat;
use siskin::tokenizer::TokenId;
use siskin::vision::mark_images;

use crate::error::argument;
use crate::{LogLevel, LogSink, Picture, SiskinError, log, size};

/// How to run a model.
#[derive(Clone, Default, uniffi::Record)]
pub struct ModelOptions {
    /// Threads, the caller's included; by default one per fast core that the process may use.
    #[uniffi(default = None)]
    pub threads: Option<u32>,
    /// Name of the kernels to use; by default the fastest that the processor runs.
    #[uniffi(default = None)]
    pub kernels: Option<String>,
    /// Where messages go; by default nowhere.
    #[uniffi(default = None)]
    pub log: Option<Arc<dyn LogSink>>,
    /// The least important messages that go there; by default warnings.
    #[uniffi(default = None)]
    pub log_level: Option<LogLevel>,
    /// How experts come into memory; by default as the sizes of file and memory suggest.
    #[uniffi(default = None)]
    pub experts: Option<Experts>,
}

/// How the experts of a model come into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Experts {
    /// One by one if the file is larger than the memory that is left, else like everything else.
    Auto,
    /// Like everything else: the system reads around what is touched.
    Map,
    /// One by one: the system is told which come next, and reads nothing else of them.
    Stream,
}

impl fmt::Debug for ModelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threads, kernels, log, log_level, experts } = self;
        let log = log.as_ref().map(|_| log_level);
        f.debug_struct("ModelOptions")
            .field("threads", threads)
            .field("kernels", kernels)
            .field("log", &log)
            .field("experts", experts)
            .finish()
    }
}

impl From<ModelOptions> for siskin::ModelOptions {
    fn from(o: ModelOptions) -> Self {
        let level = o.log_level.unwrap_or(LogLevel::Warn);
        Self {
            threads: o.threads.map(|n| n as usize),
            kernels: o.kernels,
            log: o.log.map(|sink| log::log(level, sink)),
            experts: match o.experts {
                None | Some(Experts::Auto) => siskin::Experts::Auto,
                Some(Experts::Map) => siskin::Experts::Map,
                Some(Experts::Stream) => siskin::Experts::Stream,
            },
            chat_template: None,
        }
    }
}

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum KvType {
    /// 16-bit floats.
    F16,
    /// 32-bit floats: twice the memory, for comparisons with a reference.
    F32,
    /// 8 bits: about half the memory, and faster behind long texts. Answers differ a little from those with floats.
    Q8,
}

/// Sizes of a session.
#[derive(Clone, Debug, Default, uniffi::Record)]
pub struct SessionOptions {
    /// Tokens that fit; by default 4096, or what the model was trained for if that is less.
    #[uniffi(default = None)]
    pub context: Option<u32>,
    /// Most tokens in one pass, by default 256. Results do not depend on it.
    #[uniffi(default = None)]
    pub batch: Option<u32>,
    /// How keys and values are stored, by default as 16-bit floats.
    #[uniffi(default = None)]
    pub kv_type: Option<KvType>,
}

impl From<SessionOptions> for siskin::SessionOptions {
    fn from(o: SessionOptions) -> Self {
        let default = Self::default();
        Self {
            context: o.context.map(|n| n as usize),
            batch: o.batch.map_or(default.batch, |n| n as usize),
            kv_type: match o.kv_type {
                None => default.kv_type,
                Some(KvType::F16) => siskin::KvType::F16,
                Some(KvType::F32) => siskin::KvType::F32,
                Some(KvType::Q8) => siskin::KvType::Q8,
            },
            ..default
        }
    }
}

/// A token whose logit is changed.
#[derive(Clone, Copy, Debug, uniffi::Record)]
pub struct TokenBias {
    /// The token.
    pub token: u32,
    /// Added to its logit; minus infinity bans it.
    pub bias: f32,
}

/// How tokens are chosen. The default samples moderately; a temperature of 0 always takes the most probable token.
#[derive(Clone, Debug, uniffi::Record)]
pub struct SamplerConfig {
    /// Divides the logits before the draw; 0 is greedy. 0 to 1000.
    #[uniffi(default = 0.8)]
    pub temperature: f32,
    /// Keeps the k largest logits; 0 keeps all.
    #[uniffi(default = 40)]
    pub top_k: u32,
    /// Keeps the most probable that together reach p; 1 keeps all.
    #[uniffi(default = 0.95)]
    pub top_p: f32,
    /// Keeps those at least p times as probable as the best; 0 keeps all.
    #[uniffi(default = 0.05)]
    pub min_p: f32,
    /// Keeps the most typical that together reach p; 1 keeps all.
    #[uniffi(default = 1.0)]
    pub typical_p: f32,
    /// Divides positive logits of recent tokens and multiplies negative ones; 1 does nothing.
    #[uniffi(default = 1.0)]
    pub repeat_penalty: f32,
    /// Subtracted from a recent token's logit for each time it occurred.
    #[uniffi(default = 0.0)]
    pub frequency_penalty: f32,
    /// Subtracted once from the logit of a recent token.
    #[uniffi(default = 0.0)]
    pub presence_penalty: f32,
    /// How many tokens count as recent; at most 65536.
    #[uniffi(default = 64)]
    pub penalty_last_n: u32,
    /// Tokens whose logits are changed.
    #[uniffi(default = [])]
    pub logit_bias: Vec<TokenBias>,
    /// Where the random numbers start: the same seed gives the same answer.
    #[uniffi(default = 0)]
    pub seed: u64,
}

impl From<SamplerConfig> for siskin::SamplerConfig {
    fn from(o: SamplerConfig) -> Self {
        Self {
            temperature: o.temperature,
            top_k: o.top_k as usize,
            top_p: o.top_p,
            min_p: o.min_p,
            typical_p: o.typical_p,
            repeat_penalty: o.repeat_penalty,
            frequency_penalty: o.frequency_penalty,
            presence_penalty: o.presence_penalty,
            penalty_last_n: o.penalty_last_n as usize,
            logit_bias: o.logit_bias.into_iter().map(|b| (TokenId(b.token), b.bias)).collect(),
            seed: o.seed,
        }
    }
}

/// What to generate.
#[derive(Clone, Debug, uniffi::Record)]
pub struct GenerateOptions {
    /// Most tokens to generate; by default as many as the context holds.
    #[uniffi(default = None)]
    pub max_tokens: Option<u64>,
    /// How tokens are chosen.
    #[uniffi(default)]
    pub sampler: SamplerConfig,
    /// Texts that end the answer; they are not part of it.
    #[uniffi(default = [])]
    pub stop: Vec<String>,
    /// Whether the model's own end-of-turn tokens end the answer.
    #[uniffi(default = true)]
    pub stop_at_end_of_turn: bool,
    /// Whether token events carry the log-probability that the model gave the token.
    #[uniffi(default = false)]
    pub logprobs: bool,
    /// Whether special tokens appear in the text.
    #[uniffi(default = false)]
    pub show_special: bool,
}

impl From<GenerateOptions> for siskin::GenerateOptions {
    fn from(o: GenerateOptions) -> Self {
        Self {
            max_tokens: o.max_tokens.map(size),
            sampler: o.sampler.into(),
            stop: o.stop,
            stop_tokens: Vec::new(),
            stop_at_end_of_turn: o.stop_at_end_of_turn,
            logprobs: o.logprobs,
            show_special: o.show_special,
            reasoning: false,
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Message {
    /// Who speaks: "system", "user", "assistant", "tool", or what else the model's template knows.
    pub role: String,
    /// What is said.
    pub content: String,
    /// Further fields as templates read them, a JSON object: `tool_calls`, `tool_call_id`, `name`. A field called
    /// `content` takes the place of the text above.
    #[uniffi(default = None)]
    pub fields: Option<String>,
    /// What the message shows: where its content has "<start_of_image>" for each picture, else before it.
    #[uniffi(default = [])]
    pub pictures: Vec<Arc<Picture>>,
}

/// What a chat template is given besides the messages.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct RenderOptions {
    /// Whether the text ends where the assistant's answer begins: yes, unless the conversation shall only be shown.
    #[uniffi(default = true)]
    pub add_generation_prompt: bool,
    /// The tools that the model may call, a JSON array of their descriptions.
    #[uniffi(default = None)]
    pub tools: Option<String>,
    /// Further variables of the template, a JSON object, such as `{"enable_thinking": false}`.
    #[uniffi(default = None)]
    pub variables: Option<String>,
    /// The date that templates may tell the model: seconds since 1970-01-01T00:00:00 in the user's time zone. The
    /// library has no clock.
    #[uniffi(default = None)]
    pub now: Option<i64>,
}

impl TryFrom<RenderOptions> for chat::RenderOptions {
    type Error = SiskinError;

    fn try_from(o: RenderOptions) -> Result<Self, SiskinError> {
        let tools = o.tools.map(|text| json("tools", &text)).transpose()?;
        if tools.as_ref().is_some_and(|tools| !tools.is_array()) {
            return Err(argument("tools must be a JSON array"));
        }
        Ok(Self {
            add_generation_prompt: o.add_generation_prompt,
            tools,
            variables: o.variables.map_or(Ok(Map::new()), |text| object("variables", &text))?,
            now: o.now.map(chat::Date::from_unix),
        })
    }
}

/// What a job starts from.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum Prompt {
    /// Tokens, put behind what the session holds.
    Tokens {
        /// The tokens.
        tokens: Vec<u32>,
    },
    /// Text, put behind what the session holds. The tokenizer's begin token is added only at the start.
    Text {
        /// The text.
        text: String,
        /// Whether the text of special tokens becomes those tokens: no for what a user typed.
        #[uniffi(default = false)]
        parse_special: bool,
        /// What is shown: where the text has "<start_of_image>" for each picture, if special tokens in it count, else
        /// before it.
        #[uniffi(default = [])]
        pictures: Vec<Arc<Picture>>,
    },
    /// A whole conversation. What the session holds of it already is not computed again.
    Messages {
        /// The conversation so far, the newest message last.
        messages: Vec<Message>,
        /// What the template is given besides.
        #[uniffi(default)]
        options: RenderOptions,
    },
}

impl TryFrom<Prompt> for siskin::Prompt {
    type Error = SiskinError;

    fn try_from(prompt: Prompt) -> Result<Self, SiskinError> {
        Ok(match prompt {
            Prompt::Tokens { tokens } => Self::Tokens(tokens.into_iter().map(TokenId).collect()),
            Prompt::Text { text, parse_special, pictures } => {
                let pictures = pictures.iter().map(|picture| picture.inner().clone()).collect();
                Self::Text { text, parse_special, pictures }
            }
            Prompt::Messages { messages, options } => {
                let (messages, pictures) = self::messages(messages)?;
                Self::Messages { messages, options: options.try_into()?, pictures }
            }
        })
    }
}

/// Messages as the library takes them, and what they show.
pub(crate) fn messages(
    messages: Vec<Message>,
) -> Result<(Vec<chat::Message>, Vec<siskin::Picture>), SiskinError> {
    let mut pictures = Vec::new();
    let mut converted = Vec::with_capacity(messages.len());
    for m in messages {
        let fields = m.fields.map_or(Ok(Map::new()), |text| object("a message's fields", &text))?;
        let mut message = chat::Message { role: m.role, content: m.content, fields };
        mark_images(&mut message, m.pictures.len())?;
        pictures.extend(m.pictures.iter().map(|picture| picture.inner().clone()));
        converted.push(message);
    }
    Ok((converted, pictures))
}

fn json(what: &str, text: &str) -> Result<Value, SiskinError> {
    serde_json::from_str(text).map_err(|e| argument(format!("{what}: not JSON: {e}")))
}

fn object(what: &str, text: &str) -> Result<Map<String, Value>, SiskinError> {
    match json(what, text)? {
        Value::Object(map) => Ok(map),
        _ => Err(argument(format!("{what} must be a JSON object"))),
    }
}
