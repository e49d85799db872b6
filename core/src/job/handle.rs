//! [`Job`]: prepared, then run here or elsewhere.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::prompt::Prompt;
use super::shared::{State, Taken};
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};
use crate::log::LogLevel;
use crate::session::{Event, Flow, GenerateOptions, Outcome, Stats, StopReason};

/// Events that may wait to be pulled. Who does not pull stops the computation rather than filling memory.
const MAX_WAITING: usize = 1024;
/// How long a job that waits for room may miss that it was cancelled: cancelling wakes nobody, so that it can be done
/// from a signal handler.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// One answer in the making. Clones are the same job; when the last one is dropped while it runs it is cancelled,
/// without a wait.
///
/// Run it with [`run`](Self::run), which tells events on the caller's thread, or pull them with [`next`](Self::next),
/// which lets a thread of the job's own do the work. Not both.
#[derive(Clone, Debug)]
pub struct Job(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Work>);

#[derive(Debug)]
struct Work {
    state: Arc<State>,
    /// Until it starts.
    order: Mutex<Option<(Prompt, GenerateOptions)>>,
    cancel: CancelToken,
    queue: Mutex<Queue>,
    /// Something waits to be pulled, or the job has ended.
    ready: Condvar,
    /// Something was pulled.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Batch,
    /// Nothing will ever wait here: events go to the function that was given to `run`.
    pushed: bool,
    end: Option<Result<Outcome>>,
}

impl Job {
    pub(super) fn new(
        state: Arc<State>,
        prompt: Prompt,
        options: GenerateOptions,
        cancel: CancelToken,
    ) -> Self {
        Self(Arc::new(Owner(Arc::new(Work {
            state,
            order: Mutex::new(Some((prompt, options))),
            cancel,
            queue: Mutex::default(),
            ready: Condvar::new(),
            room: Condvar::new(),
        }))))
    }

    /// Does the work on this thread, telling `on_event` everything, which may stop it.
    ///
    /// # Errors
    /// `Busy` if another job has the session, after which this one can be tried again; `Argument` if this job was run
    /// already; what [`Session::generate`](crate::Session::generate) and [`Model::conversation`](crate::Model::conversation)
    /// may fail with. Being cancelled is an outcome, not an error.
    pub fn run(&self, on_event: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Outcome> {
        let work = self.work();
        let (session, order) = work.begin()?.ok_or_else(already_run)?;
        lock(&work.queue).pushed = true;
        // If `on_event` panics, whoever pulls must not wait for ever.
        let mut end = OnDrop(Some(|| work.end(Err(panicked()))));
        let result = work.generate(session, &order, on_event);
        end.0 = None;
        work.end(result.clone());
        result
    }

    /// Starts the work on a thread of its own; events wait to be pulled.
    ///
    /// # Errors
    /// `Busy` and `Argument` as for [`run`](Self::run); `Io` if no thread can be started.
    pub fn start(&self) -> Result<()> {
        self.spawn(self.work().begin()?.ok_or_else(already_run)?)
    }

    fn spawn(&self, (session, order): Begun) -> Result<()> {
        let work = Arc::clone(self.work());
        let body = move || {
            let told = &mut |event: Event<'_>| work.tell(event);
            let result = catch_unwind(AssertUnwindSafe(|| work.generate(session, &order, told)));
            work.end(result.unwrap_or_else(|_| Err(panicked())));
        };
        std::thread::Builder::new().name("siskin-job".to_owned()).spawn(body).map(drop).map_err(|e| {
            let error = Error::new(ErrorKind::Io, "cannot start a thread for the job").with_source(e);
            self.work().end(Err(error.clone()));
            error
        })
    }

    /// Takes all events that wait into `batch`, whose old ones are dropped. Starts the job if nothing has. Waits for at
    /// least one event, for the end, or until `timeout` is over (without one, as long as it takes). The answer is `None`
    /// as long as there may be more, and how the job ended after that, as often as it is asked. Several threads may pull:
    /// each event goes to one of them, the end to all.
    ///
    /// # Errors
    /// As [`run`](Self::run); a job that failed tells it again at each call. `Argument` while the job is run by
    /// [`run`](Self::run), also from inside its function.
    pub fn next(&self, batch: &mut Batch, timeout: Option<Duration>) -> Result<Option<Outcome>> {
        batch.clear();
        let work = self.work();
        if let Some(begun) = work.begin()? {
            self.spawn(begun)?;
        }
        let until = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut queue = lock(&work.queue);
        if queue.pushed && queue.end.is_none() {
            let message = "the job is being run: its events go to the function that was given for that";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        while queue.waiting.is_empty() && queue.end.is_none() {
            queue = match until {
                None => work.ready.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    work.ready.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        if queue.waiting.is_empty() {
            return queue.end.clone().transpose();
        }
        std::mem::swap(&mut queue.waiting, batch);
        drop(queue);
        work.room.notify_one();
        Ok(None)
    }

    /// How the job ended, if it has; does not wait.
    pub fn outcome(&self) -> Option<Result<Outcome>> {
        lock(&self.work().queue).end.clone()
    }

    /// Cancels the job: at any time, from any thread, any number of times. One that has not started ends as cancelled
    /// when it starts.
    pub fn cancel(&self) {
        self.work().cancel.cancel();
    }

    /// What cancels the job, and outlives it.
    pub fn cancel_token(&self) -> CancelToken {
        self.work().cancel.clone()
    }

    fn work(&self) -> &Arc<Work> {
        &self.0.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Of a job that does not run the token is left alone: it may be the caller's, and cancel other jobs.
        let running = lock(&self.0.order).is_none() && lock(&self.0.queue).end.is_none();
        if running {
            self.0.cancel.cancel();
            self.0.room.notify_one();
        }
    }
}

/// The session, and what is to be done with it.
type Begun = (Taken, (Prompt, GenerateOptions));

impl Work {
    /// Takes the session, then what is to be done. `None` if somebody has begun already.
    fn begin(&self) -> Result<Option<Begun>> {
        let mut order = lock(&self.order);
        if order.is_none() {
            return Ok(None);
        }
        let session = self.state.take(&self.cancel)?;
        Ok(order.take().map(|order| (session, order)))
    }

    fn generate(
        &self,
        mut taken: Taken,
        (prompt, options): &(Prompt, GenerateOptions),
        on_event: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<Outcome> {
        let session = taken.session();
        let result = if self.cancel.is_cancelled() {
            // Before the prompt makes the session ready for it, which may forget what it holds.
            Ok(before_the_start())
        } else {
            let started = Instant::now();
            match prompt.prepare(session) {
                Ok(prompt) => {
                    let seeing = if prompt.images().is_empty() { Duration::ZERO } else { started.elapsed() };
                    session.generate_seeing(&prompt, options, on_event).map(|mut outcome| {
                        outcome.stats.prefill_time += seeing; // of pictures, which can take longer than the rest
                        outcome
                    })
                }
                Err(e) if e.kind() == ErrorKind::Cancelled => Ok(before_the_start()),
                Err(e) => Err(e),
            }
        };
        let model = &self.state.model;
        match &result {
            Ok(Outcome { reason, stats }) => model.say(LogLevel::Info, || {
                let (p, g) = (stats.prompt_tokens, stats.generated_tokens);
                let (pt, dt) = (stats.prefill_time, stats.decode_time);
                format!("job ended ({reason:?}): {p} prompt tokens in {pt:.1?}, {g} generated in {dt:.1?}")
            }),
            Err(e) => model.say(LogLevel::Error, || format!("job failed: {e}")),
        }
        drop(taken); // the session is free before anyone learns of the end
        result
    }

    /// Adds an event to those that wait, when there is room.
    fn tell(&self, event: Event<'_>) -> Flow {
        let mut queue = lock(&self.queue);
        while queue.waiting.len() >= MAX_WAITING && !self.cancel.is_cancelled() {
            queue = self.room.wait_timeout(queue, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.waiting.push(event);
        drop(queue);
        self.ready.notify_one();
        Flow::Continue
    }

    fn end(&self, result: Result<Outcome>) {
        lock(&self.queue).end = Some(result);
        self.ready.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a job ends that was cancelled before it computed anything.
fn before_the_start() -> Outcome {
    Outcome { reason: StopReason::Cancelled, stats: Stats::default() }
}

fn already_run() -> Error {
    Error::new(ErrorKind::Argument, "the job was run already; each answer needs a new one")
}

fn panicked() -> Error {
    Error::new(ErrorKind::Poisoned, "internal error: the job panicked")
}

/// Runs what it holds when dropped, also by a panic.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}
