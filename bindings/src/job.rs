//! One answer being made, pulled in batches of events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use siskin::Batch;

use crate::{Event, SiskinError};

/// One answer: prepared by a session, made on a thread of its own, pulled by the caller.
///
/// Dropping the last reference cancels it, and never waits. One thread pulls at a time; any thread may cancel.
#[derive(Debug, uniffi::Object)]
pub struct Job {
    job: siskin::Job,
    /// Used again by every pull.
    pulled: Mutex<Pulled>,
}

#[derive(Debug, Default)]
struct Pulled {
    batch: Batch,
    /// The last event was handed out.
    ended: bool,
}

impl Job {
    pub(crate) fn new(job: siskin::Job) -> Arc<Self> {
        Arc::new(Self { job, pulled: Mutex::default() })
    }
}

#[uniffi::export]
impl Job {
    /// Starts making the answer on a thread of its own. The first `next_batch` does that too.
    pub fn start(&self) -> Result<(), SiskinError> {
        Ok(self.job.start()?)
    }

    /// Takes the events that wait, in order, at least one: waits for it, at most `timeout_ms` milliseconds if given.
    /// The last event is `Done`. The list is empty if the time ran out, and after `Done`.
    #[uniffi::method(default(timeout_ms = None))]
    pub fn next_batch(&self, timeout_ms: Option<u32>) -> Result<Vec<Event>, SiskinError> {
        // Whoever panicked here left a batch that is cleared by the next pull.
        let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        let Pulled { batch, ended } = &mut *pulled;
        if *ended {
            return Ok(Vec::new());
        }
        let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let outcome = self.job.next(batch, timeout)?;
        let mut events = Vec::with_capacity(batch.len() + 1);
        events.extend(batch.events().map(Event::from));
        if let Some(outcome) = outcome {
            *ended = true;
            events.push(Event::Done { outcome: outcome.into() });
        }
        Ok(events)
    }

    /// Asks the answer to stop: from any thread, at any time, any number of times, also before the start. It ends
    /// within a fraction of a layer, and says `Done` with the reason `Cancelled`.
    pub fn cancel(&self) {
        self.job.cancel();
    }
}
