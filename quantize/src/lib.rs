//! Makes smaller models: weights of a GGUF file or a folder to a GGUF file of another type.
//!
//! Not a part of the runtime, so that an app that only runs models does not carry it (docs/adr/0021). Three parts:
//!
//! - [`encode`]: rows of numbers to blocks, with scales searched for by weighted least squares;
//! - [`Recipe`]: which tensor gets which type, since some matter more than others;
//! - [`Conversion`]: the whole file, row by row on several threads. Its bytes do not depend on their number.
//!
//! An [`Importance`] says how much each input of a product matters, as measured on text.
#![deny(missing_docs)]

mod convert;
pub mod encode;
mod importance;
mod items;
mod order;
mod recipe;

pub use convert::{Conversion, Options, Progress};
pub use importance::{Importance, Measured};
pub use recipe::Recipe;
