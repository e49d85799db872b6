//! [`Model`]: the immutable bundle that sessions share: file, weights, tokenizer, template, kernels, threads.

use std::path::Path;
use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::chat::{ChatTemplate, Message, RenderOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{GgufFile, Value};
use crate::governor::{Pressure, Thermal, available_memory};
use crate::hf;
use crate::kernels::Kernels;
use crate::log::{Log, LogLevel};
use crate::model::{Calibration, Context, Decoder, ModelSpec, Pooling, Table};
use crate::plan::{self, Fit, SessionOptions};
use crate::threads::{Pool, default_threads};
use crate::tokenizer::{Special, TokenId, Tokenizer};

/// How to run a model.
#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    /// Threads, the caller's included; by default one per fast core that the process may use.
    pub threads: Option<usize>,
    /// Name of the kernel tier, see [`Kernels::tiers`]; by default the fastest that the processor runs.
    pub kernels: Option<String>,
    /// Where messages go; by default nowhere.
    pub log: Option<Log>,
    /// How experts come into memory.
    pub experts: Experts,
    /// The text of a chat template, which takes the place of the file's.
    pub chat_template: Option<String>,
}

/// How the experts of a model come into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Experts {
    /// `Stream` if the file is larger than the memory that is left when it is opened, else `Map`.
    #[default]
    Auto,
    /// Like everything else: the system reads around what is touched, which is faster where memory holds the model.
    Map,
    /// The system is told for every token which experts come next, and reads nothing else of them.
    Stream,
}

impl Experts {
    /// Whether a model of so many bytes had better be read expert by expert.
    fn are_streamed(self, bytes: u64) -> bool {
        match self {
            Self::Stream => true,
            Self::Map => false,
            Self::Auto => available_memory().is_some_and(|available| bytes > available),
        }
    }
}

/// An opened model, ready for sessions. Cheap to clone; immutable; shared freely between threads.
#[derive(Clone, Debug)]
pub struct Model(Arc<Inner>);

/// Sessions on any thread share a model.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Model>();
};

/// What a model is, in short; [`Model::spec`] has all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Value of `general.architecture`.
    pub architecture: String,
    /// Value of `general.name`.
    pub name: Option<String>,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Context that the model was trained for, in tokens.
    pub context: usize,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// Whether there is a chat template that can be used.
    pub has_chat_template: bool,
    /// Whether the model generates text; if not, it only embeds.
    pub generates: bool,
    /// How the model was trained to embed texts; `None` if the file does not say.
    pub pooling: Option<Pooling>,
    /// Name of the kernel tier in use.
    pub kernels: &'static str,
    /// Threads in use.
    pub threads: usize,
}

#[derive(Debug)]
struct Inner {
    file: GgufFile,
    decoder: Decoder,
    tokenizer: Tokenizer,
    /// An error if there is one that cannot be used: it still completes text.
    template: Result<Option<ChatTemplate>>,
    kernels: &'static Kernels,
    pool: Pool,
    log: Option<Log>,
    stream_experts: bool,
}

impl Model {
    /// Opens the model at `path`: a GGUF file (any part of a split one), or a folder as [`crate::hf`] describes it. Weights stay in the mapped file.
    ///
    /// # Errors
    /// Names the file and the key, tensor and offset that it fails on.
    pub fn open(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Self> {
        let path = path.as_ref();
        hf::open_any(path).and_then(|file| Self::from_gguf(file, options)).map_err(|e| {
            // What is wrong with the options is not the file's fault.
            if e.kind() == ErrorKind::Argument { e } else { e.with_file(path) }
        })
    }

    /// The same from an opened file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_gguf(file: GgufFile, options: &ModelOptions) -> Result<Self> {
        let kernels = match &options.kernels {
            None => Kernels::best(),
            Some(name) => Kernels::by_name(name).ok_or_else(|| no_such_tier(name))?,
        };
        let decoder = Decoder::load(&file)?;
        let tokenizer = Tokenizer::from_metadata(file.metadata())?;
        if tokenizer.len() > decoder.spec().vocab {
            let message = format!(
                "the vocabulary has {} tokens but the embedding only {} rows",
                tokenizer.len(),
                decoder.spec().vocab
            );
            return Err(Error::new(ErrorKind::Shape, message).with_tensor("token_embd.weight"));
        }
        let template = match &options.chat_template {
            None => ChatTemplate::from_metadata(file.metadata(), &tokenizer),
            Some(source) => ChatTemplate::of(source, &tokenizer).map(Some),
        };
        let pool = Pool::new(options.threads.unwrap_or_else(default_threads))?;
        let stream_experts = options.experts.are_streamed(file.mapped_bytes());
        let model = Self(Arc::new(Inner {
            file,
            decoder,
            tokenizer,
            template,
            kernels,
            pool,
            log: options.log.clone(),
            stream_experts,
        }));
        if stream_experts {
            model.decoder().advise_random_experts();
        }
        model.say(LogLevel::Info, || {
            let (spec, kernels, threads) = (model.spec(), model.kernels().name(), model.threads());
            let mib = (model.file().mapped_bytes() + model.file().heap_bytes() as u64) >> 20;
            format!(
                "opened: {}, {} layers, {mib} MiB, {kernels}, {threads} threads",
                spec.architecture,
                spec.layers.len()
            )
        });
        if Tokenizer::lacks_pre_tokenizer(model.file().metadata()) {
            model.say(LogLevel::Warn, || {
                "tokenizer.ggml.pre is missing: text is cut into words in the default way, which may be wrong".to_owned()
            });
        }
        match &model.0.template {
            Ok(None) => model.say(LogLevel::Info, || "the file has no chat template".to_owned()),
            Err(e) => model.say(LogLevel::Warn, || format!("the chat template cannot be used: {e}")),
            Ok(Some(_)) => {}
        }
        Ok(model)
    }

    /// Whether it is the same model, opened once.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What a session with these options will take.
    ///
    /// # Errors
    /// `Argument` or `Limit`, as for [`session`](Self::session).
    pub fn fit(&self, options: &SessionOptions) -> Result<Fit> {
        let trained = self.spec().context;
        let context = options.context.unwrap_or(trained.min(plan::DEFAULT_CONTEXT));
        let batch = match self.spec().is_bidirectional() {
            true => context, // a text goes through in one pass
            false => options.batch.min(context),
        };
        if let Some(positions) = self.spec().learned_positions()
            && context > positions
        {
            let message = format!("a context of {context} tokens: the model has {positions} positions");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        // The session keeps a copy of the logits for the sampler.
        let tables = self.0.file.heap_bytes() + self.0.tokenizer.heap_bytes() + 4 * self.0.tokenizer.len();
        Fit::new(
            &self.0.decoder,
            (context, batch, options.logit_rows, self.threads()),
            options.kv_type,
            self.0.file.mapped_bytes(),
            tables,
        )
    }

    /// What the model is and how it runs, in short.
    pub fn info(&self) -> ModelInfo {
        let (spec, file) = (self.spec(), self.file());
        ModelInfo {
            architecture: spec.architecture.clone(),
            name: file.metadata().get("general.name").and_then(Value::as_str).map(str::to_owned),
            layers: spec.layers.len(),
            width: spec.width,
            vocab: self.tokenizer().len(),
            context: spec.context,
            parameters: file.tensors().parameters(),
            weight_bytes: file.tensors().weight_bytes(),
            has_chat_template: self.0.template.as_ref().is_ok_and(Option::is_some),
            generates: spec.generates,
            pooling: spec.embedding.pooling,
            kernels: self.kernels().name(),
            threads: self.threads(),
        }
    }

    /// The file.
    pub fn file(&self) -> &GgufFile {
        &self.0.file
    }

    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        self.0.decoder.spec()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// The chat template: the file's, or the one that was given instead.
    ///
    /// # Errors
    /// `Missing` if the file has none; `Template` if it has one that does not parse. Everything but conversations works
    /// nevertheless.
    pub fn chat_template(&self) -> Result<&ChatTemplate> {
        self.0.template.as_ref().map_err(Clone::clone)?.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Missing, "the model has no chat template")
                .with_key("tokenizer.chat_template")
        })
    }

    /// The prompt of a conversation: rendered by the file's template and encoded. The tokenizer's begin token is added
    /// only if the template did not write it.
    ///
    /// # Errors
    /// `Missing` if the file has no chat template; `Template` if rendering fails.
    pub fn conversation(&self, messages: &[Message], options: &RenderOptions) -> Result<Vec<TokenId>> {
        self.conversation_unless(&CancelToken::default(), messages, options)
    }

    /// The same, or `Cancelled`.
    pub(crate) fn conversation_unless(
        &self,
        cancel: &CancelToken,
        messages: &[Message],
        options: &RenderOptions,
    ) -> Result<Vec<TokenId>> {
        let text = self.chat_template()?.render(messages, options)?;
        self.tokenizer().encode_unless(cancel, &text, self.special_of(&text))
    }

    /// How a prompt is encoded: the begin token is added unless it is written there.
    pub(crate) fn special_of(&self, prompt: &str) -> Special {
        let tokenizer = self.tokenizer();
        let begin = tokenizer.bos().and_then(|bos| tokenizer.token_text(bos));
        let has_begin = begin.is_some_and(|begin| !begin.is_empty() && prompt.starts_with(&*begin));
        Special { add: !has_begin, parse: true }
    }

    /// The kernels in use.
    pub fn kernels(&self) -> &'static Kernels {
        self.0.kernels
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.0.pool.threads()
    }

    /// Threads that work for now, see [`set_thermal`](Self::set_thermal).
    pub fn active_threads(&self) -> usize {
        self.0.pool.active_threads()
    }

    /// Tells how hot the device is: when hot, fewer threads work. It counts at once, also for what runs; results do not
    /// depend on it.
    pub fn set_thermal(&self, thermal: Thermal) {
        let threads = thermal.threads(self.threads());
        self.0.pool.set_active_threads(threads);
        self.say(LogLevel::Info, || format!("{thermal:?} heat: {threads} of {} threads", self.threads()));
    }

    /// Tells how short of memory the device is. Weights are given back to the system, and read again from the file when
    /// they are used; what sessions hold is the caller's to drop.
    pub fn relieve(&self, pressure: Pressure) {
        if pressure == Pressure::None {
            return;
        }
        self.file().release_pages();
        self.say(LogLevel::Info, || format!("{pressure:?} pressure: pages of the model were given back"));
    }

    /// The screening table of the exact fast head for this model, to be written behind a copy of its file. `calibration`
    /// says where its final activations point.
    ///
    /// # Errors
    /// `Unsupported` if the head cannot have one.
    pub fn screen_table(&self, calibration: &Calibration) -> Result<Table<'_>> {
        Table::new(self.decoder(), self.kernels(), self.pool(), calibration)
    }

    /// Whether the file has a screening table for the head.
    pub fn has_screen(&self) -> bool {
        self.decoder().has_screen()
    }

    pub(crate) fn say(&self, level: LogLevel, message: impl FnOnce() -> String) {
        Log::say(self.0.log.as_ref(), level, message);
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.0.decoder
    }

    /// What a pass runs on.
    pub(crate) fn context<'a>(&'a self, cancel: &'a CancelToken) -> Context<'a> {
        let stream_experts = self.0.stream_experts;
        let (kernels, pool) = (self.kernels(), self.pool());
        Context { kernels, pool, cancel, inputs: None, stream_experts, together: false }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

fn no_such_tier(name: &str) -> Error {
    let tiers: Vec<String> = Kernels::tiers()
        .map(|(name, here)| if here { name.to_owned() } else { format!("{name} (not on this processor)") })
        .collect();
    Error::new(ErrorKind::Argument, format!("no kernels called \"{name}\"; there are {}", tiers.join(", ")))
}
