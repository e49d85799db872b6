//! Siskin for Swift, Kotlin and Python: the runtime's objects, records and errors in a form that uniffi translates.
//!
//! Every function here turns arguments into those of the crate `siskin`, calls it, and turns the result back. It holds
//! no logic of its own: what a language makes more pleasant (streams, iterators, coroutines) stands in `swift/`,
//! `kotlin/` and `python/`, by hand, over code that `cargo xtask bindings` generates from this crate. These comments
//! become the documentation of that code, so they speak to users of all three languages.
//!
//! It does not know the C interface (`ffi/`): both stand on `siskin` side by side.

mod embedder;
mod error;
mod events;
mod fim;
mod job;
mod log;
mod model;
mod moderator;
mod options;
mod session;
mod vision;

pub use embedder::{EmbedOptions, Embedder, Pooling};
pub use error::{LogFailure, SiskinError};
pub use events::{Event, Outcome, Stats, StopReason};
pub use fim::{FimCut, FimFile, FimJob, FimRequest};
pub use job::Job;
pub use log::{LogLevel, LogSink};
pub use model::{Fit, Model, ModelInfo, Pressure, SpecialTokens, Thermal, TokenKind};
pub use moderator::{ModerateOptions, Moderator, Policy, Score};
pub use options::{
    Experts, GenerateOptions, KvType, Message, ModelOptions, Prompt, RenderOptions, SamplerConfig,
    SessionOptions, TokenBias,
};
pub use session::Session;
pub use vision::{PanAndScan, Picture, Vision, VisionInfo};

uniffi::setup_scaffolding!("siskin");

/// The version of the library, such as "0.1.0".
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A size of the library as a number of the languages: they have no `usize`.
fn wide(n: usize) -> u64 {
    n as u64 // no platform has larger sizes
}

/// A number from outside as a size. Larger than this platform's memory means "as large as can be": the library
/// refuses such sizes itself, with a reason.
fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
