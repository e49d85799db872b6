//! The stable C ABI of Siskin: `include/siskin.h`, made from these files by cbindgen (`cargo xtask header`).
//!
//! This crate translates and holds no logic. Three things are its own:
//!
//! - [`handles`]: what C holds is a number in a pointer's clothes. It is looked up, never followed, so a handle that was
//!   freed, is of another kind, or is garbage gives `SISKIN_RESULT_INVALID_HANDLE`;
//! - [`boundary`]: the macro that every function's body stands in. A panic becomes `SISKIN_RESULT_PANIC`, a failure its
//!   number and, if the caller wants it, an error object;
//! - [`args`]: from C's pointers to Rust's values, with NULL, length and UTF-8 checked; structs of older and newer
//!   callers by their `size`.
#![allow(unsafe_code, reason = "the C ABI: pointers come in and go out")]
#![allow(non_camel_case_types, reason = "these are the names that C sees")]
#![allow(clippy::missing_safety_doc, reason = "callers are in C: the header says what they must keep to")]

#[macro_use]
mod boundary;
mod args;
pub mod chat;
pub mod embedder;
pub mod error;
pub mod fim;
mod handles;
pub mod job;
pub mod model;
pub mod moderator;
pub mod options;
pub mod owned;
pub mod result;
pub mod session;
mod source;
pub mod tokenizer;
pub mod version;
pub mod vision;
