//! Random sequences of calls, on handles that are in use, freed, of another kind, or garbage, from several threads. A model
//! of what is alive says which answers are possible; anything else, a crash included, is a failure.
#![allow(unsafe_code, reason = "calls the C ABI")]
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

#[path = "../../core/tests/common/mod.rs"]
mod common;

use siskin_ffi::chat::siskin_prompt;
use siskin_ffi::error::{siskin_error, siskin_error_free, siskin_error_message};
use siskin_ffi::job::{
    siskin_event, siskin_job, siskin_job_cancel, siskin_job_free, siskin_job_new, siskin_job_next,
    siskin_job_run,
};
use siskin_ffi::model::{siskin_model, siskin_model_free, siskin_model_open_bytes};
use siskin_ffi::options::{siskin_generate_options, siskin_generate_options_init};
use siskin_ffi::owned::{siskin_tokens, siskin_tokens_data, siskin_tokens_free};
use siskin_ffi::result::siskin_result::{self, *};
use siskin_ffi::session::{
    siskin_session, siskin_session_free, siskin_session_new, siskin_session_position, siskin_session_tokens,
    siskin_session_truncate,
};
use std::ffi::c_void;
use std::ptr::{null, null_mut};

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        // xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Every handle that ever was, and whether it is in use.
#[derive(Default)]
struct Handles(Vec<(usize, Kind, bool)>);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Model,
    Session,
    Job,
    Tokens,
    Error,
}

impl Handles {
    fn add<T>(&mut self, ptr: *mut T, kind: Kind) {
        let bits = ptr.addr();
        assert!(bits != 0 && !self.0.iter().any(|h| h.0 == bits), "a handle came twice");
        self.0.push((bits, kind, true));
    }

    /// One of `kind` that is in use, or with some luck anything at all: whether it is good.
    fn pick<T>(&self, rng: &mut Rng, kind: Kind) -> (*mut T, bool) {
        let live: Vec<_> = self.0.iter().filter(|h| h.1 == kind && h.2).collect();
        let bits = match rng.below(8) {
            0 if !self.0.is_empty() => self.0[rng.below(self.0.len())].0,
            1 => rng.below(1 << 30) << rng.below(34) | 1,
            _ if !live.is_empty() => live[rng.below(live.len())].0,
            _ => 0,
        };
        let good = self.0.contains(&(bits, kind, true));
        (std::ptr::without_provenance_mut(bits), good)
    }

    fn freed(&mut self, bits: usize) {
        self.0.iter_mut().filter(|h| h.0 == bits).for_each(|h| h.2 = false);
    }
}

unsafe extern "C" fn on_event(count: *mut c_void, event: *const siskin_event) -> bool {
    // SAFETY: the library gives a valid event, and `count` is the caller's.
    unsafe {
        assert!((1..=4).contains(&(*event).kind));
        *count.cast::<u32>() += 1;
        *count.cast::<u32>() < 20
    }
}

/// What a call on a handle may answer.
fn check(result: siskin_result, good: bool, ptr: usize, also: &[siskin_result]) {
    match (good, ptr) {
        (true, _) => {
            assert!(result == SISKIN_RESULT_OK || also.contains(&result), "{result:?} of a good handle")
        }
        (false, 0) => assert_eq!(result, SISKIN_RESULT_NULL_POINTER),
        (false, _) => assert_eq!(result, SISKIN_RESULT_INVALID_HANDLE),
    }
}

fn sequence(seed: u64, calls: usize, file: &[u8]) {
    let (mut rng, mut handles) = (Rng(seed), Handles::default());
    let mut options: siskin_generate_options =
        siskin_generate_options { size: size_of::<siskin_generate_options>() as u32, ..zeroed() };
    // SAFETY: all arguments are as the header asks, but for the handles, which are what is tested.
    unsafe {
        assert_eq!(siskin_generate_options_init(&mut options), SISKIN_RESULT_OK);
        (options.limit_tokens, options.max_tokens) = (1, 6);
        for _ in 0..calls {
            let mut error: *mut siskin_error = null_mut();
            match rng.below(14) {
                0 if handles.0.iter().filter(|h| h.1 == Kind::Model && h.2).count() < 2 => {
                    let mut model: *mut siskin_model = null_mut();
                    let result = siskin_model_open_bytes(
                        file.as_ptr(),
                        file.len(),
                        None,
                        null_mut(),
                        null(),
                        &mut model,
                        &mut error,
                    );
                    assert_eq!(result, SISKIN_RESULT_OK);
                    handles.add(model, Kind::Model);
                }
                0 | 1 => {
                    let (model, good) = handles.pick::<siskin_model>(&mut rng, Kind::Model);
                    let mut session: *mut siskin_session = null_mut();
                    let result = siskin_session_new(model, null(), &mut session, &mut error);
                    check(result, good, model.addr(), &[]);
                    if good {
                        handles.add(session, Kind::Session);
                    }
                }
                2 | 3 => {
                    let (session, good) = handles.pick::<siskin_session>(&mut rng, Kind::Session);
                    let tokens: Vec<u32> = common::prompt(1 + rng.below(60)).iter().map(|t| t.0).collect();
                    let prompt = siskin_prompt {
                        size: size_of::<siskin_prompt>() as u32,
                        tokens: tokens.as_ptr(),
                        token_count: tokens.len(),
                        ..zeroed()
                    };
                    let mut job: *mut siskin_job = null_mut();
                    let result = siskin_job_new(session, &prompt, &options, &mut job, &mut error);
                    check(result, good, session.addr(), &[]);
                    if good {
                        handles.add(job, Kind::Job);
                    }
                }
                4 => {
                    let (job, good) = handles.pick::<siskin_job>(&mut rng, Kind::Job);
                    let mut count = 0u32;
                    let userdata = (&raw mut count).cast();
                    let result = siskin_job_run(job, Some(on_event), userdata, null_mut(), &mut error);
                    let also =
                        [SISKIN_RESULT_BUSY, SISKIN_RESULT_INVALID_ARGUMENT, SISKIN_RESULT_CONTEXT_FULL];
                    check(result, good, job.addr(), &also);
                }
                5 | 6 => {
                    let (job, good) = handles.pick::<siskin_job>(&mut rng, Kind::Job);
                    let (mut events, mut count) = (null(), 0);
                    let wait = [0, 1, 50][rng.below(3)];
                    let result = siskin_job_next(job, wait, &mut events, &mut count, &mut error);
                    let also =
                        [SISKIN_RESULT_BUSY, SISKIN_RESULT_INVALID_ARGUMENT, SISKIN_RESULT_CONTEXT_FULL];
                    check(result, good, job.addr(), &also);
                    if result == SISKIN_RESULT_OK {
                        for i in 0..count {
                            let event = &**events.add(i);
                            assert!(
                                event.size as usize == size_of::<siskin_event>()
                                    && (1..=4).contains(&event.kind)
                            );
                        }
                    }
                }
                7 => {
                    let (job, good) = handles.pick::<siskin_job>(&mut rng, Kind::Job);
                    check(siskin_job_cancel(job), good, job.addr(), &[]);
                }
                8 => {
                    let (session, good) = handles.pick::<siskin_session>(&mut rng, Kind::Session);
                    let mut n = 0;
                    let busy = &[SISKIN_RESULT_BUSY];
                    check(siskin_session_position(session, &mut n), good, session.addr(), busy);
                    let half = n / 2;
                    check(siskin_session_truncate(session, half, &mut n), good, session.addr(), busy);
                }
                9 => {
                    let (session, good) = handles.pick::<siskin_session>(&mut rng, Kind::Session);
                    let mut tokens: *mut siskin_tokens = null_mut();
                    let result = siskin_session_tokens(session, &mut tokens, &mut error);
                    check(result, good, session.addr(), &[SISKIN_RESULT_BUSY]);
                    if result == SISKIN_RESULT_OK {
                        handles.add(tokens, Kind::Tokens);
                    }
                }
                10 => {
                    let (tokens, good) = handles.pick::<siskin_tokens>(&mut rng, Kind::Tokens);
                    let (mut ids, mut n) = (null(), 0);
                    check(siskin_tokens_data(tokens, &mut ids, &mut n), good, tokens.addr(), &[]);
                }
                11 => {
                    let (error, good) = handles.pick::<siskin_error>(&mut rng, Kind::Error);
                    let (mut data, mut n) = (null(), 0);
                    check(siskin_error_message(error, &mut data, &mut n), good, error.addr(), &[]);
                }
                _ => {
                    let kinds = [Kind::Model, Kind::Session, Kind::Job, Kind::Job, Kind::Tokens, Kind::Error];
                    let kind = kinds[rng.below(kinds.len())];
                    let (ptr, good) = handles.pick::<c_void>(&mut rng, kind);
                    let result = match kind {
                        Kind::Model => siskin_model_free(ptr.cast()),
                        Kind::Session => siskin_session_free(ptr.cast()),
                        Kind::Job => siskin_job_free(ptr.cast()),
                        Kind::Tokens => siskin_tokens_free(ptr.cast()),
                        Kind::Error => siskin_error_free(ptr.cast()),
                    };
                    if ptr.is_null() {
                        assert_eq!(result, SISKIN_RESULT_OK, "NULL is fine");
                    } else {
                        check(result, good, ptr.addr(), &[]);
                    }
                    if good {
                        handles.freed(ptr.addr());
                    }
                }
            }
            if !error.is_null() {
                handles.add(error, Kind::Error);
            }
        }
        for &(bits, kind, live) in &handles.0 {
            let ptr = std::ptr::without_provenance_mut::<c_void>(bits);
            let result = match kind {
                Kind::Model => siskin_model_free(ptr.cast()),
                Kind::Session => siskin_session_free(ptr.cast()),
                Kind::Job => siskin_job_free(ptr.cast()),
                Kind::Tokens => siskin_tokens_free(ptr.cast()),
                Kind::Error => siskin_error_free(ptr.cast()),
            };
            check(result, live, bits, &[]);
        }
    }
}

/// A struct of numbers, pointers and optional functions, all 0.
fn zeroed<T>() -> T {
    // SAFETY: used for such structs only.
    unsafe { std::mem::zeroed() }
}

#[test]
fn any_sequence_of_calls_gives_documented_answers() {
    let file = common::tiny_file("llama");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let file = &file;
            scope.spawn(move || sequence(0x5151 + thread, 1500, file));
        }
    });
}
