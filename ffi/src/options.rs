//! Settings: structs that begin with their size, each with a function that fills in the defaults.

use crate::args::{self, Sized32, SizedOut};
use crate::boundary::{Failure, Result};
use crate::model::siskin_release_fn;
use crate::result::siskin_result;
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::TokenId;
use siskin::{Experts, GenerateOptions, KvType, Log, LogLevel, ModelOptions, SessionOptions};
use std::ffi::{c_char, c_void};

/// How important a message is.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_log_level {
    /// Something failed that no result tells of.
    SISKIN_LOG_ERROR = 1,
    /// It works, but not as one would want.
    SISKIN_LOG_WARN = 2,
    /// What was opened, how a job ended.
    SISKIN_LOG_INFO = 3,
    /// What helps when looking for a mistake.
    SISKIN_LOG_DEBUG = 4,
}

/// How keys and values are stored.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_kv_type {
    /// Two bytes each.
    SISKIN_KV_F16 = 1,
    /// Four bytes each.
    SISKIN_KV_F32 = 2,
    /// A little more than one byte each: faster behind long texts. Answers differ a little from those with floats.
    SISKIN_KV_Q8 = 3,
}

/// How the experts of a model come into memory.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_experts {
    /// SISKIN_EXPERTS_STREAM if the file is larger than the memory that is left, else SISKIN_EXPERTS_MAP.
    SISKIN_EXPERTS_AUTO = 0,
    /// Like everything else: the system reads around what is touched.
    SISKIN_EXPERTS_MAP = 1,
    /// One by one: the system is told which come next, and reads nothing else of them.
    SISKIN_EXPERTS_STREAM = 2,
}

/// Hears a message of the library: a siskin_log_level and UTF-8 of `len` bytes that is valid during the call. It holds no
/// prompt and no answer. Called on whichever thread has something to say, also on several at once; it must not call the
/// library.
pub type siskin_log_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, level: u32, message: *const c_char, len: usize)>;

/// How to run a model. Fill it with siskin_model_options_init.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_model_options {
    /// sizeof(siskin_model_options)
    pub size: u32,
    /// Threads, the caller's included; 0 for one per fast core.
    pub threads: u32,
    /// Name of the kernels to use; NULL for the fastest.
    pub kernels: *const c_char,
    pub kernels_len: usize,
    /// Hears messages; NULL for none. It and `log_userdata` must stay valid until `log_release` is called: the model, its
    /// sessions and its jobs are freed by then and every job has ended.
    pub log: siskin_log_fn,
    pub log_userdata: *mut c_void,
    /// Called with `log_userdata` when `log` will not be called any more, also if the model cannot be opened; NULL for
    /// none.
    pub log_release: siskin_release_fn,
    /// The least important siskin_log_level that is told.
    pub log_level: u32,
    /// A siskin_experts: how experts come into memory.
    pub experts: u32,
}

/// What a session is to hold. Fill it with siskin_session_options_init.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_session_options {
    /// sizeof(siskin_session_options)
    pub size: u32,
    /// A siskin_kv_type.
    pub kv_type: u32,
    /// Tokens that fit; 0 for 4096, or what the model was trained for if that is less.
    pub context: u64,
    /// Most tokens in one pass; results do not depend on it.
    pub batch: u64,
}

/// What to generate. Fill it with siskin_generate_options_init.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_generate_options {
    /// sizeof(siskin_generate_options)
    pub size: u32,
    /// Whether there is a limit of `max_tokens`: 0 or 1. Without one, as many as the context holds.
    pub limit_tokens: u32,
    /// Most tokens to generate, if `limit_tokens` is 1. With 0 the prompt is taken in and nothing is generated.
    pub max_tokens: u64,
    /// Divides the logits before the draw; 0 always takes the most probable token.
    pub temperature: f32,
    /// Keeps the k largest logits; 0 keeps all.
    pub top_k: u32,
    /// Keeps the most probable that together reach p; 1 keeps all.
    pub top_p: f32,
    /// Keeps those at least p times as probable as the best; 0 keeps all.
    pub min_p: f32,
    /// Keeps the most typical that together reach p; 1 keeps all.
    pub typical_p: f32,
    /// Divides positive logits of recent tokens and multiplies negative ones; 1 does nothing.
    pub repeat_penalty: f32,
    /// Subtracted from a recent token's logit for each time it occurred.
    pub frequency_penalty: f32,
    /// Subtracted once from the logit of a recent token.
    pub presence_penalty: f32,
    /// How many tokens count as recent.
    pub penalty_last_n: u32,
    /// Whether the model's end-of-turn tokens end the answer: 0 or 1.
    pub stop_at_end_of_turn: u32,
    /// Where the random numbers start.
    pub seed: u64,
    /// Whether token events carry log-probabilities: 0 or 1.
    pub logprobs: u32,
    /// Whether special tokens appear in the text: 0 or 1.
    pub show_special: u32,
    /// `stop_count` texts that end the answer, UTF-8, and their lengths.
    pub stop: *const *const c_char,
    pub stop_lens: *const usize,
    pub stop_count: usize,
    /// `bias_count` tokens and what is added to their logits; -INFINITY bans one.
    pub bias_tokens: *const u32,
    pub bias_values: *const f32,
    pub bias_count: usize,
}

// SAFETY: repr(C), `size` first, and only numbers, pointers and optional functions.
unsafe impl Sized32 for siskin_model_options {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_session_options {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_generate_options {}

pub(crate) fn model_defaults() -> siskin_model_options {
    siskin_model_options {
        size: size_of::<siskin_model_options>() as u32,
        threads: 0,
        kernels: std::ptr::null(),
        kernels_len: 0,
        log: None,
        log_userdata: std::ptr::null_mut(),
        log_release: None,
        log_level: siskin_log_level::SISKIN_LOG_INFO as u32,
        experts: siskin_experts::SISKIN_EXPERTS_AUTO as u32,
    }
}

pub(crate) fn session_defaults() -> siskin_session_options {
    siskin_session_options {
        size: size_of::<siskin_session_options>() as u32,
        kv_type: siskin_kv_type::SISKIN_KV_F16 as u32,
        context: 0,
        batch: SessionOptions::default().batch as u64,
    }
}

pub(crate) fn generate_defaults() -> siskin_generate_options {
    let GenerateOptions { sampler: s, stop_at_end_of_turn, logprobs, show_special, .. } =
        GenerateOptions::default();
    siskin_generate_options {
        size: size_of::<siskin_generate_options>() as u32,
        limit_tokens: 0,
        max_tokens: 0,
        temperature: s.temperature,
        top_k: s.top_k as u32,
        top_p: s.top_p,
        min_p: s.min_p,
        typical_p: s.typical_p,
        repeat_penalty: s.repeat_penalty,
        frequency_penalty: s.frequency_penalty,
        presence_penalty: s.presence_penalty,
        penalty_last_n: s.penalty_last_n as u32,
        stop_at_end_of_turn: stop_at_end_of_turn.into(),
        seed: s.seed,
        logprobs: logprobs.into(),
        show_special: show_special.into(),
        stop: std::ptr::null(),
        stop_lens: std::ptr::null(),
        stop_count: 0,
        bias_tokens: std::ptr::null(),
        bias_values: std::ptr::null(),
        bias_count: 0,
    }
}

/// Fills `options`, whose `size` must be set, with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_options_init(options: *mut siskin_model_options) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for as many bytes as `size` says.
        unsafe { SizedOut::new(options, "options") }?.set(&model_defaults());
        Ok(())
    })
}

/// Fills `options`, whose `size` must be set, with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_options_init(options: *mut siskin_session_options) -> siskin_result {
    boundary!({
        // SAFETY: as above.
        unsafe { SizedOut::new(options, "options") }?.set(&session_defaults());
        Ok(())
    })
}

/// Fills `options`, whose `size` must be set, with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_generate_options_init(
    options: *mut siskin_generate_options,
) -> siskin_result {
    boundary!({
        // SAFETY: as above.
        unsafe { SizedOut::new(options, "options") }?.set(&generate_defaults());
        Ok(())
    })
}

fn invalid(message: String) -> Failure {
    Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, message)
}

/// A `uint32_t` that stands for a bool.
pub(crate) fn flag(value: u32, what: &str) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(invalid(format!("{what} is {other}; it can be 0 or 1"))),
    }
}

/// What C's userdata is to us: a number that we hand back, and what tells that we will not any more.
struct Userdata(*mut c_void, siskin_release_fn);
// SAFETY: it is only handed back; the header says that the function is called from any thread.
unsafe impl Send for Userdata {}
// SAFETY: as above.
unsafe impl Sync for Userdata {}

impl Userdata {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

impl Drop for Userdata {
    fn drop(&mut self) {
        if let Some(release) = self.1 {
            // SAFETY: the caller gave the function for this.
            unsafe { release(self.0) };
        }
    }
}

/// # Safety
/// As the header says of siskin_model_options.
pub(crate) unsafe fn model(options: *const siskin_model_options) -> Result<ModelOptions> {
    // SAFETY: the caller's promise.
    let o = unsafe { args::sized(options, model_defaults(), "options") }?;
    // First of all, so that it is released however this ends.
    let userdata = Userdata(o.log_userdata, o.log_release);
    let experts = match o.experts {
        0 => Experts::Auto,
        1 => Experts::Map,
        2 => Experts::Stream,
        other => return Err(invalid(format!("{other} is no siskin_experts"))),
    };
    let kernels = match o.kernels.is_null() {
        true => None,
        // SAFETY: the caller's promise.
        false => Some(unsafe { args::text(o.kernels, o.kernels_len, "kernels") }?.to_owned()),
    };
    let log = match o.log {
        None => None,
        Some(function) => {
            let level = match o.log_level {
                1 => LogLevel::Error,
                2 => LogLevel::Warn,
                3 => LogLevel::Info,
                4 => LogLevel::Debug,
                other => return Err(invalid(format!("log_level is {other}; it can be 1 to 4"))),
            };
            Some(Log::new(level, move |level, message| {
                let level = match level {
                    LogLevel::Error => siskin_log_level::SISKIN_LOG_ERROR,
                    LogLevel::Warn => siskin_log_level::SISKIN_LOG_WARN,
                    LogLevel::Info => siskin_log_level::SISKIN_LOG_INFO,
                    LogLevel::Debug => siskin_log_level::SISKIN_LOG_DEBUG,
                };
                // SAFETY: the caller promised that the function may be called as long as the model lives.
                unsafe { function(userdata.get(), level as u32, message.as_ptr().cast(), message.len()) };
            }))
        }
    };
    let threads = (o.threads != 0).then_some(o.threads as usize);
    Ok(ModelOptions { threads, kernels, log, experts, ..ModelOptions::default() })
}

/// A siskin_kv_type.
pub(crate) fn kv_type(value: u32) -> Result<KvType> {
    match value {
        1 => Ok(KvType::F16),
        2 => Ok(KvType::F32),
        3 => Ok(KvType::Q8),
        other => {
            let can = "it can be SISKIN_KV_F16, SISKIN_KV_F32 or SISKIN_KV_Q8";
            Err(invalid(format!("kv_type is {other}; {can}")))
        }
    }
}

/// # Safety
/// As the header says of siskin_session_options.
pub(crate) unsafe fn session(options: *const siskin_session_options) -> Result<SessionOptions> {
    // SAFETY: the caller's promise.
    let o = unsafe { args::sized(options, session_defaults(), "options") }?;
    let kv_type = kv_type(o.kv_type)?;
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Ok(SessionOptions {
        context: (o.context != 0).then(|| number(o.context)),
        batch: number(o.batch),
        kv_type,
        ..SessionOptions::default()
    })
}

/// # Safety
/// As the header says of siskin_generate_options.
pub(crate) unsafe fn generate(options: *const siskin_generate_options) -> Result<GenerateOptions> {
    // SAFETY: the caller's promise.
    let o = unsafe { args::sized(options, generate_defaults(), "options") }?;
    // SAFETY: the caller's promise.
    let (stop, stop_lens, bias_tokens, bias_values) = unsafe {
        (
            args::slice(o.stop, o.stop_count, "stop")?,
            args::slice(o.stop_lens, o.stop_count, "stop_lens")?,
            args::slice(o.bias_tokens, o.bias_count, "bias_tokens")?,
            args::slice(o.bias_values, o.bias_count, "bias_values")?,
        )
    };
    let stop = stop.iter().zip(stop_lens).map(|(&text, &len)| {
        // SAFETY: the caller's promise.
        unsafe { args::text(text, len, "a stop text") }.map(str::to_owned)
    });
    Ok(GenerateOptions {
        max_tokens: flag(o.limit_tokens, "limit_tokens")?
            .then(|| usize::try_from(o.max_tokens).unwrap_or(usize::MAX)),
        sampler: SamplerConfig {
            temperature: o.temperature,
            top_k: o.top_k as usize,
            top_p: o.top_p,
            min_p: o.min_p,
            typical_p: o.typical_p,
            repeat_penalty: o.repeat_penalty,
            frequency_penalty: o.frequency_penalty,
            presence_penalty: o.presence_penalty,
            penalty_last_n: o.penalty_last_n as usize,
            logit_bias: bias_tokens.iter().zip(bias_values).map(|(&t, &b)| (TokenId(t), b)).collect(),
            seed: o.seed,
        },
        stop: stop.collect::<Result<_>>()?,
        stop_tokens: Vec::new(),
        stop_at_end_of_turn: flag(o.stop_at_end_of_turn, "stop_at_end_of_turn")?,
        logprobs: flag(o.logprobs, "logprobs")?,
        show_special: flag(o.show_special, "show_special")?,
        reasoning: false,
    })
}
