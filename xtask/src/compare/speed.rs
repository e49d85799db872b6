//! Speed, run in turn: prefill of 512 tokens, decode of 64 at an empty context and behind 2,048 tokens.

use std::path::PathBuf;

use super::Peers;
use crate::Failure;

pub(super) fn run(_: &Peers, _: &[PathBuf], _: usize) -> Result<(), Failure> { Err("x".into()) }
