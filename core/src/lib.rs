//! Siskin: an on-device language-model runtime.
#![deny(missing_docs)]

pub mod chat;
pub mod engine;
pub mod error;
pub mod gguf;
pub mod kernels;
pub mod kv_cache;
pub mod model;
pub mod plan;
pub mod quant;
pub mod sampler;
pub mod session;
pub mod tensor;
pub mod threads;
pub mod tokenizer;

pub use engine::{Model, ModelOptions};
pub use error::{Error, ErrorKind, Result};
pub use plan::Fit;
pub use session::{
    CancelToken, Event, Flow, GenerateOptions, Outcome, Session, SessionOptions, Stats, StopReason,
};
