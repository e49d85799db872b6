//! `siskin_job`: one answer.

use crate::args::{Out, Sized32, SizedOut};
use crate::boundary::{Failure, Result};
use crate::chat::{self, siskin_prompt};
use crate::error::siskin_error;
use crate::handles::{self, Kind, Object};
use crate::options::{self, siskin_generate_options};
use crate::owned::full;
use crate::result::siskin_result;
use crate::session::siskin_session;
use siskin::{Batch, CancelToken, Event, Flow, Job, Outcome, StopReason};
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One answer in the making. Make it, then either run it (siskin_job_run) or pull from it (siskin_job_next).
#[derive(Debug)]
pub struct siskin_job {
    _private: [u8; 0],
}

/// What an event tells.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_event_kind {
    /// `done` of `total` prompt tokens are read.
    SISKIN_EVENT_PREFILL = 1,
    /// `token` was chosen, with `logprob` if that was asked for.
    SISKIN_EVENT_TOKEN = 2,
    /// `text` is certain: `text_len` bytes of whole characters.
    SISKIN_EVENT_TEXT = 3,
    /// The end: `outcome` says why, with counts and times. Always the last event.
    SISKIN_EVENT_DONE = 4,
}

/// Why an answer ended.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_stop {
    /// The model ended its turn.
    SISKIN_STOP_END_OF_TURN = 1,
    /// A stop text appeared.
    SISKIN_STOP_STRING = 2,
    /// As many tokens as were asked for.
    SISKIN_STOP_MAX_TOKENS = 3,
    /// The context is full.
    SISKIN_STOP_CONTEXT_FULL = 4,
    /// Cancelled.
    SISKIN_STOP_CANCELLED = 5,
    /// The event function said so.
    SISKIN_STOP_CALLER = 6,
}

/// How a job ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_outcome {
    /// sizeof(siskin_outcome)
    pub size: u32,
    /// A siskin_stop.
    pub reason: u32,
    /// Prompt tokens that were read; of a conversation, those that were new.
    pub prompt_tokens: u64,
    /// Tokens generated, an end-of-turn token included.
    pub generated_tokens: u64,
    /// Nanoseconds from the start to the first choice of a token.
    pub prefill_ns: u64,
    /// Nanoseconds from then to the end.
    pub decode_ns: u64,
}

/// Something that happened. Which fields mean something depends on `kind`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_event {
    /// sizeof(siskin_event) of the library
    pub size: u32,
    /// A siskin_event_kind.
    pub kind: u32,
    /// Of a token.
    pub token: u32,
    /// Of a token: natural logarithm of the probability that the model gave it; NaN if it was not asked for.
    pub logprob: f32,
    /// Of a text: UTF-8, not terminated by NUL.
    pub text: *const c_char,
    pub text_len: usize,
    /// Of a prefill: prompt tokens read, of how many.
    pub done: u64,
    pub total: u64,
    /// Of the end.
    pub outcome: *const siskin_outcome,
}

/// Hears an event, which is valid during the call, on the thread that called siskin_job_run. `false` stops the job, and
/// what was computed stays. It may cancel or free anything; other functions answer SISKIN_RESULT_BUSY for the session that
/// the job has.
pub type siskin_event_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, event: *const siskin_event) -> bool>;

// SAFETY: repr(C), `size` first, and only numbers.
unsafe impl Sized32 for siskin_outcome {}

const EVENT: siskin_event = siskin_event {
    size: size_of::<siskin_event>() as u32,
    kind: 0,
    token: 0,
    logprob: f32::NAN,
    text: std::ptr::null(),
    text_len: 0,
    done: 0,
    total: 0,
    outcome: std::ptr::null(),
};

fn event(event: Event<'_>) -> siskin_event {
    use siskin_event_kind as K;
    match event {
        Event::Prefill { done, total } => siskin_event {
            kind: K::SISKIN_EVENT_PREFILL as u32,
            done: done as u64,
            total: total as u64,
            ..EVENT
        },
        Event::Token { id, logprob } => siskin_event {
            kind: K::SISKIN_EVENT_TOKEN as u32,
            token: id.0,
            logprob: logprob.unwrap_or(f32::NAN),
            ..EVENT
        },
        Event::Text(text) => siskin_event {
            kind: K::SISKIN_EVENT_TEXT as u32,
            text: text.as_ptr().cast(),
            text_len: text.len(),
            ..EVENT
        },
        // It was not asked for, so none comes.
        Event::Reasoning(_) => self::event(Event::Text("")),
    }
}

fn end(outcome: &siskin_outcome) -> siskin_event {
    siskin_event { kind: siskin_event_kind::SISKIN_EVENT_DONE as u32, outcome, ..EVENT }
}

fn outcome(outcome: &Outcome) -> siskin_outcome {
    use siskin_stop as S;
    let reason = match outcome.reason {
        StopReason::EndOfTurn => S::SISKIN_STOP_END_OF_TURN,
        StopReason::StopString => S::SISKIN_STOP_STRING,
        StopReason::MaxTokens => S::SISKIN_STOP_MAX_TOKENS,
        StopReason::ContextFull => S::SISKIN_STOP_CONTEXT_FULL,
        StopReason::Cancelled => S::SISKIN_STOP_CANCELLED,
        // The compiler does not name a reason that is new here; a test does.
        _ => S::SISKIN_STOP_CALLER,
    };
    let ns = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    siskin_outcome {
        size: size_of::<siskin_outcome>() as u32,
        reason: reason as u32,
        prompt_tokens: outcome.stats.prompt_tokens as u64,
        generated_tokens: outcome.stats.generated_tokens as u64,
        prefill_ns: ns(outcome.stats.prefill_time),
        decode_ns: ns(outcome.stats.decode_time),
    }
}

/// What stands behind the handle.
pub(crate) struct JobObject {
    job: Job,
    pulled: Mutex<Pulled>,
}

/// What siskin_job_next gave last. The events point into the batch and to the outcome, and `pointers` to the events.
#[derive(Default)]
struct Pulled {
    batch: Batch,
    events: Vec<siskin_event>,
    pointers: Vec<*const siskin_event>,
    outcome: Option<Box<siskin_outcome>>,
}

// SAFETY: the pointers point into the same object, whose memory does not move with it.
unsafe impl Send for Pulled {}

/// Prepares an answer to `prompt`. `options` may be NULL. Nothing is computed yet; all that is pointed to is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_job_new(
    session: *mut siskin_session,
    prompt: *const siskin_prompt,
    options: *const siskin_generate_options,
    out_job: *mut *mut siskin_job,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, prompt, options) =
            unsafe { (Out::new(out_job, "out_job")?, chat::prompt(prompt)?, options::generate(options)?) };
        let session = handles::session(session)?;
        give(out, |cancel| Ok(session.job_with(prompt, options, cancel)?))
    })
}

/// Puts the job that `make` makes into the table; it is cancelled by what `make` is given.
pub(crate) fn give(out: Out<*mut siskin_job>, make: impl FnOnce(CancelToken) -> Result<Job>) -> Result<()> {
    // The handle's own cell cancels the job, see `handles`.
    let made = handles::insert_with(Kind::Job, |bits| {
        let cell = handles::cell(bits);
        cell.store(bits, std::sync::atomic::Ordering::Relaxed);
        let job = make(CancelToken::on_cell(cell, bits))?;
        Ok(Object::Job(Arc::new(JobObject { job, pulled: Mutex::default() })))
    });
    out.set(made?.ok_or_else(full)?.cast());
    Ok(())
}

/// Does the work on this thread and tells `on_event` everything on this thread; returns when the job has ended. For each
/// job once, unless the answer is SISKIN_RESULT_BUSY: then another job has the session, and this one can be tried again.
/// `outcome`, whose `size` must be set, may be NULL. Being cancelled is an outcome, not a failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_job_run(
    job: *mut siskin_job,
    on_event: siskin_event_fn,
    userdata: *mut c_void,
    outcome: *mut siskin_outcome,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        let out = match outcome.is_null() {
            true => None,
            // SAFETY: the header asks for as many bytes as `size` says.
            false => Some(unsafe { SizedOut::new(outcome, "outcome") }?),
        };
        let on_event = on_event
            .ok_or_else(|| Failure::new(siskin_result::SISKIN_RESULT_NULL_POINTER, "on_event is NULL"))?;
        let job = handles::job(job)?;
        let result = job.job.run(&mut |e| {
            // SAFETY: the caller gave the function for this.
            if unsafe { on_event(userdata, &event(e)) } { Flow::Continue } else { Flow::Stop }
        })?;
        let result = self::outcome(&result);
        // SAFETY: as above.
        unsafe { on_event(userdata, &end(&result)) };
        if let Some(out) = out {
            out.set(&result);
        }
        Ok(())
    })
}

/// Starts the work on a thread of the library's; siskin_job_next does so too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_job_start(
    job: *mut siskin_job,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, { Ok(handles::job(job)?.job.start()?) })
}

/// Pulls all events that wait: `*out_events` are `*out_count` pointers to events, valid until the next call with this job or
/// until it is freed. Starts the job if nothing has. Waits for at least one event, at most `timeout_ms` milliseconds (0
/// does not wait, a negative number waits as long as it takes); then `*out_count` is 0. The last event is
/// SISKIN_EVENT_DONE, and whoever asks again gets it again. One thread at a time pulls from a job. If another thread frees
/// the job while this waits, the answer is SISKIN_RESULT_INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_job_next(
    job: *mut siskin_job,
    timeout_ms: i64,
    out_events: *mut *const *const siskin_event,
    out_count: *mut usize,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for pointers that can be written to.
        let (out, count) =
            unsafe { (Out::new(out_events, "out_events")?, Out::new(out_count, "out_count")?) };
        let object = handles::job(job)?;
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        let mut pulled = object.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        let Pulled { batch, events, pointers, outcome } = &mut *pulled;
        events.clear();
        pointers.clear();
        let ended = object.job.next(batch, timeout)?;
        // Freed by another thread meanwhile: the events would be gone before the caller sees them.
        handles::job(job)?;
        events.extend(batch.events().map(event));
        if let Some(ended) = ended {
            let outcome = outcome.get_or_insert_with(|| Box::new(self::outcome(&ended)));
            events.push(end(outcome));
        }
        pointers.extend(events.iter().map(std::ptr::from_ref));
        out.set(pointers.as_ptr());
        count.set(pointers.len());
        Ok(())
    })
}

/// Fills `outcome`, whose `size` must be set, if the job has ended; `*out_ended` says whether. Does not wait. Fails as the
/// job did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_job_get_outcome(
    job: *const siskin_job,
    outcome: *mut siskin_outcome,
    out_ended: *mut bool,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, ended) = unsafe { (SizedOut::new(outcome, "outcome")?, Out::new(out_ended, "out_ended")?) };
        let result = handles::job(job)?.job.outcome().transpose()?;
        if let Some(result) = &result {
            out.set(&self::outcome(result));
        }
        ended.set(result.is_some());
        Ok(())
    })
}

/// Cancels a job: from any thread, at any time, any number of times, also from a signal handler. One that was not started
/// ends as cancelled when it starts. A job that is gone gives SISKIN_RESULT_INVALID_HANDLE and nothing else happens.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_job_cancel(job: *const siskin_job) -> siskin_result {
    infallible!({
        match (job.is_null(), handles::cancel(job.cast())) {
            (true, _) => siskin_result::SISKIN_RESULT_NULL_POINTER,
            (false, true) => siskin_result::SISKIN_RESULT_OK,
            (false, false) => siskin_result::SISKIN_RESULT_INVALID_HANDLE,
        }
    })
}

/// Frees a job. NULL is fine. If it runs it is cancelled and ends by itself: this never waits. Events that it gave are gone.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_job_free(job: *mut siskin_job) -> siskin_result {
    boundary!({ handles::free(job.cast(), Kind::Job) })
}
