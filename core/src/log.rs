//! What the library has to say besides results: given to a function of the caller's, never printed. Messages hold no
//! prompt and no answer.

use std::fmt;
use std::sync::Arc;

/// How important a message is, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something failed and no caller is told by a result, such as a job that nobody pulls from any more.
    Error,
    /// It works, but not as one would want.
    Warn,
    /// What was opened, with which settings; how a job ended.
    Info,
    /// What helps when looking for a mistake.
    Debug,
}

/// Where messages go.
#[derive(Clone)]
pub struct Log {
    level: LogLevel,
    sink: Arc<Sink>,
}

type Sink = dyn Fn(LogLevel, &str) + Send + Sync;

impl Log {
    /// Messages of `level` and more important ones go to `sink`, on whichever thread has something to say. It must not
    /// call back into the object that is being used.
    pub fn new(level: LogLevel, sink: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        Self { level, sink: Arc::new(sink) }
    }

    /// Says `message`, which is only put together if somebody listens.
    pub(crate) fn say(log: Option<&Self>, level: LogLevel, message: impl FnOnce() -> String) {
        if let Some(log) = log.filter(|log| level <= log.level) {
            (log.sink)(level, &message());
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn only_important_messages_come_and_others_are_not_made() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        let log = Log::new(LogLevel::Warn, move |level, text| {
            sink.lock().expect("no panic").push((level, text.to_owned()));
        });
        Log::say(Some(&log), LogLevel::Error, || "a".to_owned());
        Log::say(Some(&log), LogLevel::Warn, || "b".to_owned());
        Log::say(Some(&log), LogLevel::Info, || panic!("nobody listens"));
        Log::say(None, LogLevel::Error, || panic!("nobody listens"));
        let want = [(LogLevel::Error, "a".to_owned()), (LogLevel::Warn, "b".to_owned())];
        assert_eq!(*heard.lock().expect("no panic"), want);
    }
}
