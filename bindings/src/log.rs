//! Messages of the library, given to a sink of the caller's language.

use std::sync::Arc;

use crate::LogFailure;

/// How important a message is, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Something failed and no caller is told by a result.
    Error,
    /// It works, but not as one would want.
    Warn,
    /// What was opened, with which settings; how a job ended.
    Info,
    /// What helps when looking for a mistake.
    Debug,
}

/// Where messages go. Called on whichever thread has something to say, never for each token. Messages hold no prompt
/// and no answer. It must not call back into the library; an error that it throws is ignored.
#[uniffi::export(foreign)]
pub trait LogSink: Send + Sync {
    /// Takes one message.
    fn log(&self, level: LogLevel, text: String) -> Result<(), LogFailure>;
}

/// The library's log that writes to `sink`.
pub(crate) fn log(level: LogLevel, sink: Arc<dyn LogSink>) -> siskin::Log {
    siskin::Log::new(level.into(), move |level, text| {
        let _ = sink.log(level.into(), text.to_owned()); // logging never fails a call
    })
}

impl From<LogLevel> for siskin::LogLevel {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

impl From<siskin::LogLevel> for LogLevel {
    fn from(level: siskin::LogLevel) -> Self {
        match level {
            siskin::LogLevel::Error => Self::Error,
            siskin::LogLevel::Warn => Self::Warn,
            siskin::LogLevel::Info => Self::Info,
            siskin::LogLevel::Debug => Self::Debug,
        }
    }
}
