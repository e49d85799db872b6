//! Siskin: an on-device language-model runtime.
#![deny(missing_docs)]

pub mod error;

pub use error::{Error, ErrorKind, Result};
