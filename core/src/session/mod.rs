//! The mutable timeline of one conversation.

mod stop;

pub use stop::{MAX_STOP_BYTES, MAX_STOP_STRINGS, StopMatcher};
