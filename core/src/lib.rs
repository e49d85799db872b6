//! Siskin: an on-device language-model runtime.
//!
//! It opens a quantised GGUF file where it lies, memory-mapped, and answers from it. No network, no global state, no
//! environment variables, no printing.
//!
//! # The way of a token
//!
//! ```text
//! open ──▶ plan ──▶ load ──▶ tokenize ──▶ prefill ──▶ decode ──▶ sample ──▶ detokenize ──▶ stream
//! gguf     plan     model    tokenizer    session     session    sampler    tokenizer      session
//!                            (chat)       └─ model::Decoder ─▶ kernels, spread over threads ─┘
//! ```
//!
//! 1. [`gguf`] turns bytes into a checked description: nothing behind it meets an unchecked size again.
//! 2. [`plan`] says what a session will take before anything is allocated ([`Model::fit`]).
//! 3. [`model`] reads what the model *is* from metadata (a typed specification, no code per architecture) and binds its
//!    weights, which stay in the mapped file. There is one forward pass for all families.
//! 4. [`tokenizer`] and [`chat`] turn text and messages into tokens.
//! 5. [`session`] is the only thing that changes: tokens so far, keys and values, logits. It prefills in batches,
//!    decodes, and streams [`Event`]s.
//! 6. [`kernels`] is the arithmetic, once per instruction set, chosen at run time. All tiers give the same bits, for any
//!    number of threads and any batch size.
//!
//! [`Model`] is immutable and shared; each conversation is a [`Session`]; a [`CancelToken`] stops it from any thread.
//! The modules above import only from modules listed before them in `ARCHITECTURE.md`.
//!
//! The README has a complete program. Every failure is an [`Error`] with its kind and the file, key, tensor and offset.
#![deny(missing_docs)]

pub mod cancel;
pub mod chat;
pub mod engine;
pub mod error;
pub mod fim;
pub mod gguf;
pub mod governor;
pub mod hf;
pub mod job;
mod json;
pub mod kernels;
pub mod kv_cache;
pub mod log;
pub mod model;
pub mod moderate;
pub mod plan;
pub mod quant;
pub mod sampler;
pub mod session;
pub mod tensor;
pub mod threads;
pub mod tokenizer;
pub mod vision;

pub use cancel::CancelToken;
pub use engine::{Experts, Model, ModelInfo, ModelOptions};
pub use error::{Error, ErrorKind, Result};
pub use fim::{FimCut, FimFile, FimPrompt, FimRequest};
pub use governor::{Pressure, Thermal};
pub use job::{Batch, Job, Prompt, SharedEmbedder, SharedModerator, SharedSession};
pub use kv_cache::KvType;
pub use log::{Log, LogLevel};
pub use model::Pooling;
pub use moderate::{ModerateOptions, Moderator, Policy, Score};
pub use plan::Fit;
pub use sampler::SamplerConfig;
pub use session::{
    EmbedOptions, Embedder, Event, Flow, GenerateOptions, HeadStats, Outcome, Session, SessionOptions, Stats,
    StopReason,
};
pub use vision::{
    ImageFeatures, ImagePrompt, PanAndScan, Picture, PictureOptions, RgbImage, Vision, VisionTower,
};

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
