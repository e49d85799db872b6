//! One answer as a thing of its own: prepared, run on the caller's thread or on one of its own, pulled, cancelled,
//! dropped. What the C ABI and the bindings of other languages translate.
//!
//! A [`Session`](crate::Session) belongs to one thread. A [`SharedSession`] may have several owners; at most one
//! [`Job`] has it at a time, and whoever else wants it meanwhile gets [`ErrorKind::Busy`](crate::ErrorKind::Busy),
//! never a wait; so it is with a [`SharedEmbedder`] and a [`SharedModerator`], whose calls are short enough to need no
//! job. Dropping never waits either: a job whose owners are gone is cancelled and ends by itself.

mod batch;
mod embedder;
mod exclusive;
mod handle;
mod moderator;
mod prompt;
mod shared;

pub use self::batch::Batch;
pub use self::embedder::SharedEmbedder;
pub use self::handle::Job;
pub use self::moderator::SharedModerator;
pub use self::prompt::Prompt;
pub use self::shared::SharedSession;
