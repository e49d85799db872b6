//! An opened model.

use std::sync::Arc;

use siskin::gguf::GgufFile;
use siskin::tokenizer::{Special, TokenId};

use crate::error::argument;
use crate::options::messages;
use crate::{
    EmbedOptions, Embedder, Message, ModelOptions, ModerateOptions, Moderator, Pooling, RenderOptions,
    Session, SessionOptions, SiskinError, Vision, wide,
};

/// An opened model: immutable, shared freely between threads and sessions. The weights stay in the mapped file.
#[derive(Debug, uniffi::Object)]
pub struct Model(siskin::Model);

impl Model {
    pub(crate) fn inner(&self) -> &siskin::Model {
        &self.0
    }

    fn from_file(file: GgufFile, options: ModelOptions) -> Result<Arc<Self>, SiskinError> {
        Ok(Arc::new(Self(siskin::Model::from_gguf(file, &options.into())?)))
    }
}

#[uniffi::export]
impl Model {
    /// Opens the GGUF file at `path` (any part of a split one).
    #[uniffi::constructor(default(options))]
    pub fn open(path: String, options: ModelOptions) -> Result<Arc<Self>, SiskinError> {
        Ok(Arc::new(Self(siskin::Model::open(path, &options.into())?)))
    }

    /// Opens a model that lies in an open file, from byte `offset` on, `length` bytes: an asset in a package, a slice
    /// of a bundle. It is mapped, not copied. The descriptor stays the caller's, who may close it afterwards.
    #[uniffi::constructor(default(options))]
    pub fn open_fd(
        fd: i32,
        offset: u64,
        length: u64,
        options: ModelOptions,
    ) -> Result<Arc<Self>, SiskinError> {
        let file = descriptor::gguf(fd, offset, length)?;
        Self::from_file(file, options)
    }

    /// Opens a model that is in memory already. The bytes are copied once.
    #[uniffi::constructor(default(options))]
    pub fn open_bytes(bytes: Vec<u8>, options: ModelOptions) -> Result<Arc<Self>, SiskinError> {
        Self::from_file(GgufFile::from_bytes(bytes)?, options)
    }

    /// What the model is and how it runs.
    pub fn info(&self) -> ModelInfo {
        let (info, file) = (self.0.info(), self.0.file());
        ModelInfo {
            architecture: info.architecture,
            name: info.name,
            layers: wide(info.layers),
            width: wide(info.width),
            vocabulary: wide(info.vocab),
            context: wide(info.context),
            parameters: info.parameters,
            weight_bytes: info.weight_bytes,
            has_chat_template: info.has_chat_template,
            generates: info.generates,
            pooling: info.pooling.map(Into::into),
            kernels: info.kernels.to_owned(),
            threads: wide(info.threads),
            path: file.path().map(|p| p.display().to_string()),
            parts: wide(file.parts()),
            gguf_version: file.version(),
            mapped_bytes: file.mapped_bytes(),
        }
    }

    /// The text of the file's chat template.
    pub fn chat_template(&self) -> Result<String, SiskinError> {
        Ok(self.0.chat_template()?.source().to_owned())
    }

    /// What a session with these options will take.
    #[uniffi::method(default(options))]
    pub fn fit(&self, options: SessionOptions) -> Result<Fit, SiskinError> {
        Ok(self.0.fit(&options.into())?.into())
    }

    /// Starts an empty session.
    #[uniffi::method(default(options))]
    pub fn session(&self, options: SessionOptions) -> Result<Arc<Session>, SiskinError> {
        Session::new(self, options)
    }

    /// Starts an embedder: texts to vectors.
    #[uniffi::method(default(options))]
    pub fn embedder(&self, options: EmbedOptions) -> Result<Arc<Embedder>, SiskinError> {
        Embedder::new(self, options)
    }

    /// Starts a moderator: how probable it is that texts violate policies.
    #[uniffi::method(default(options))]
    pub fn moderator(&self, options: ModerateOptions) -> Result<Arc<Moderator>, SiskinError> {
        Moderator::new(self, options)
    }

    /// Whether the model was trained to fill in the middle.
    pub fn fills_in(&self) -> bool {
        self.0.fills_in()
    }

    /// Opens the model's eyes: the vision tower in the GGUF file at `path` ("mmproj"), or in the folder of a model that
    /// sees.
    pub fn vision(&self, path: String) -> Result<Arc<Vision>, SiskinError> {
        Vision::open(self, &path)
    }

    /// The same from part of an open file, as for `open_fd`.
    pub fn vision_fd(&self, fd: i32, offset: u64, length: u64) -> Result<Arc<Vision>, SiskinError> {
        Vision::from_file(self, descriptor::gguf(fd, offset, length)?)
    }

    /// The same from a file in memory, which is copied once.
    pub fn vision_bytes(&self, bytes: Vec<u8>) -> Result<Arc<Vision>, SiskinError> {
        Vision::from_file(self, GgufFile::from_bytes(bytes)?)
    }

    /// The keys of the file's metadata, in the file's order.
    pub fn metadata_keys(&self) -> Vec<String> {
        self.0.file().metadata().iter().map(|(key, _)| key.to_owned()).collect()
    }

    /// The value of a metadata key as JSON text; nothing if there is no such key.
    pub fn metadata(&self, key: String) -> Option<String> {
        self.0.file().metadata().get(&key).map(|value| value.to_json().to_string())
    }

    /// The tokens of `text`. `add_special` adds the tokens that start and end a text, where the file says so;
    /// `parse_special` turns the text of special tokens into those tokens.
    #[uniffi::method(default(add_special = true, parse_special = false))]
    pub fn tokenize(
        &self,
        text: String,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, SiskinError> {
        let special = Special { add: add_special, parse: parse_special };
        Ok(self.0.tokenizer().encode(&text, special)?.into_iter().map(|t| t.0).collect())
    }

    /// The text of `tokens`, which are a whole text. Bytes that are no text become U+FFFD.
    #[uniffi::method(default(show_special = false))]
    pub fn detokenize(&self, tokens: Vec<u32>, show_special: bool) -> Result<String, SiskinError> {
        let tokens: Vec<TokenId> = tokens.into_iter().map(TokenId).collect();
        Ok(self.0.tokenizer().decode(&tokens, show_special)?)
    }

    /// A token as the vocabulary writes it; nothing if there is no such token.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.0.tokenizer().token_text(TokenId(id)).map(Into::into)
    }

    /// The bytes that a token stands for, which may be part of a character.
    #[uniffi::method(default(show_special = false))]
    pub fn token_bytes(&self, id: u32, show_special: bool) -> Result<Vec<u8>, SiskinError> {
        let mut bytes = Vec::new();
        self.0.tokenizer().append_token_bytes(TokenId(id), &mut bytes, show_special)?;
        Ok(bytes)
    }

    /// What a token is for; nothing if there is no such token.
    pub fn token_kind(&self, id: u32) -> Option<TokenKind> {
        self.0.tokenizer().token_kind(TokenId(id)).map(Into::into)
    }

    /// The token that the vocabulary writes as `text`.
    pub fn token_id(&self, text: String) -> Option<u32> {
        self.0.tokenizer().token_id(text.as_bytes()).map(|t| t.0)
    }

    /// The tokens with a meaning of their own.
    pub fn special_tokens(&self) -> SpecialTokens {
        let tokenizer = self.0.tokenizer();
        SpecialTokens {
            bos: tokenizer.bos().map(|t| t.0),
            eos: tokenizer.eos().map(|t| t.0),
            ends: tokenizer.end_tokens().iter().map(|t| t.0).collect(),
        }
    }

    /// The text that the file's chat template makes of a conversation.
    #[uniffi::method(default(options))]
    pub fn render(&self, messages: Vec<Message>, options: RenderOptions) -> Result<String, SiskinError> {
        Ok(self.0.chat_template()?.render(&self::messages(messages)?.0, &options.try_into()?)?)
    }

    /// The tokens of a conversation: rendered by the file's chat template and encoded.
    #[uniffi::method(default(options))]
    pub fn conversation(
        &self,
        messages: Vec<Message>,
        options: RenderOptions,
    ) -> Result<Vec<u32>, SiskinError> {
        let tokens = self.0.conversation(&self::messages(messages)?.0, &options.try_into()?)?;
        Ok(tokens.into_iter().map(|t| t.0).collect())
    }

    /// Threads that work for now: fewer than were asked for when the device is hot.
    pub fn active_threads(&self) -> u64 {
        wide(self.0.active_threads())
    }

    /// Says how hot the device is: fewer threads work when it is hot. The tokens stay the same.
    pub fn set_thermal(&self, thermal: Thermal) {
        self.0.set_thermal(thermal.into());
    }

    /// Says that memory is short: pages of the mapped file are given back, to be read again when needed.
    pub fn relieve(&self, pressure: Pressure) {
        self.0.relieve(pressure.into());
    }
}

/// The one place of this crate that believes the caller something that cannot be checked.
mod descriptor {
    #![allow(unsafe_code, reason = "a file descriptor comes as a number from other languages")]

    use std::os::fd::BorrowedFd;

    use super::{GgufFile, SiskinError, argument};

    /// The file behind `fd`, mapped.
    pub(super) fn gguf(fd: i32, offset: u64, length: u64) -> Result<GgufFile, SiskinError> {
        if fd < 0 {
            return Err(argument(format!("{fd} is not a file descriptor")));
        }
        // SAFETY: not -1, and the caller says that it stays open during this call. If it does not, mapping fails with
        // an error of the system or maps another file, whose bytes are checked like any other's.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Ok(GgufFile::from_fd(fd, offset, length)?)
    }
}

/// What a model is and how it runs.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ModelInfo {
    /// What the file calls its architecture.
    pub architecture: String,
    /// What the file calls the model.
    pub name: Option<String>,
    /// Decoder layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub width: u64,
    /// Tokens of the vocabulary.
    pub vocabulary: u64,
    /// Tokens of context that the model was trained for.
    pub context: u64,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// Whether the file has a chat template that can be used.
    pub has_chat_template: bool,
    /// Whether it generates text; if not, it only embeds.
    pub generates: bool,
    /// How it was trained to embed texts, if its file says so.
    pub pooling: Option<Pooling>,
    /// Name of the kernels in use.
    pub kernels: String,
    /// Threads in use.
    pub threads: u64,
    /// Where the file is, if it was opened by its path.
    pub path: Option<String>,
    /// Files that the model is split into.
    pub parts: u64,
    /// Version of the file format.
    pub gguf_version: u32,
    /// Bytes of the mapped file.
    pub mapped_bytes: u64,
}

/// Memory that a session needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Fit {
    /// Tokens of context.
    pub context: u64,
    /// Tokens per pass.
    pub batch: u64,
    /// Threads.
    pub threads: u64,
    /// The model file: mapped, shared with the system's cache, given back under pressure.
    pub mapped: u64,
    /// Keys and values, when the context is full.
    pub kv_cache: u64,
    /// Buffers of the forward pass.
    pub buffers: u64,
    /// Tables of the file, the tokenizer and the model.
    pub tables: u64,
    /// Bytes of weights that making one token reads.
    pub bytes_per_token: u64,
    /// Memory that only this process has and that cannot be dropped: cache, buffers and tables.
    pub dirty: u64,
    /// Everything, with the whole file resident.
    pub peak: u64,
}

impl From<siskin::Fit> for Fit {
    fn from(fit: siskin::Fit) -> Self {
        Self {
            context: wide(fit.context),
            batch: wide(fit.batch),
            threads: wide(fit.threads),
            mapped: fit.mapped,
            kv_cache: fit.kv_cache,
            buffers: fit.buffers,
            tables: fit.tables,
            bytes_per_token: fit.bytes_per_token,
            dirty: fit.dirty(),
            peak: fit.peak(),
        }
    }
}

/// The tokens with a meaning of their own.
#[derive(Clone, Debug, uniffi::Record)]
pub struct SpecialTokens {
    /// Starts a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// All tokens that end an answer, sorted.
    pub ends: Vec<u32>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// Stands for what the vocabulary cannot say.
    Unknown,
    /// Has a meaning to the model, like the end of a turn; not text.
    Control,
    /// A piece of text that is always one token.
    UserDefined,
    /// A row that training did not use.
    Unused,
    /// One byte of text.
    Byte,
    /// The file gives no kind.
    Undefined,
}

impl From<siskin::tokenizer::TokenKind> for TokenKind {
    fn from(kind: siskin::tokenizer::TokenKind) -> Self {
        use siskin::tokenizer::TokenKind as K;
        match kind {
            K::Normal => Self::Normal,
            K::Unknown => Self::Unknown,
            K::Control => Self::Control,
            K::UserDefined => Self::UserDefined,
            K::Unused => Self::Unused,
            K::Byte => Self::Byte,
            _ => Self::Undefined,
        }
    }
}

/// How hot the device is: Apple's `ProcessInfo.ThermalState`, Android's thermal status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Thermal {
    /// As it should be.
    Nominal,
    /// Warm.
    Fair,
    /// Hot: fewer threads.
    Serious,
    /// Too hot: one thread.
    Critical,
}

impl From<Thermal> for siskin::Thermal {
    fn from(thermal: Thermal) -> Self {
        match thermal {
            Thermal::Nominal => Self::Nominal,
            Thermal::Fair => Self::Fair,
            Thermal::Serious => Self::Serious,
            Thermal::Critical => Self::Critical,
        }
    }
}

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Pressure {
    /// It is not.
    None,
    /// It is getting short.
    Moderate,
    /// The system is about to end processes.
    Critical,
}

impl From<Pressure> for siskin::Pressure {
    fn from(pressure: Pressure) -> Self {
        match pressure {
            Pressure::None => Self::None,
            Pressure::Moderate => Self::Moderate,
            Pressure::Critical => Self::Critical,
        }
    }
}

/// The level of Android's `onTrimMemory` as pressure. A hidden user interface is no pressure.
#[uniffi::export]
pub(crate) fn pressure_from_android(level: i32) -> Pressure {
    match siskin::Pressure::from_android(level) {
        siskin::Pressure::None => Pressure::None,
        siskin::Pressure::Moderate => Pressure::Moderate,
        siskin::Pressure::Critical => Pressure::Critical,
    }
}

/// Android's thermal status.
#[uniffi::export]
pub(crate) fn thermal_from_android(status: i32) -> Thermal {
    thermal(siskin::Thermal::from_android(status))
}

/// Apple's `ProcessInfo.ThermalState` by its raw value.
#[uniffi::export]
pub(crate) fn thermal_from_apple(state: i32) -> Thermal {
    thermal(siskin::Thermal::from_apple(state))
}

fn thermal(thermal: siskin::Thermal) -> Thermal {
    match thermal {
        siskin::Thermal::Nominal => Thermal::Nominal,
        siskin::Thermal::Fair => Thermal::Fair,
        siskin::Thermal::Serious => Thermal::Serious,
        siskin::Thermal::Critical => Thermal::Critical,
    }
}
