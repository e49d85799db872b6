//! The one way in and out: every function's body stands in `boundary!`, or in `infallible!` if it cannot fail.
//! `cargo xtask header` refuses a function whose body stands in neither.

use crate::error::siskin_error;
use crate::handles::{self, Object};
use crate::result::siskin_result;
use siskin::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Why a call did not work.
pub(crate) struct Failure {
    pub(crate) result: siskin_result,
    pub(crate) error: Error,
}

impl Failure {
    pub(crate) fn new(result: siskin_result, message: impl Into<String>) -> Self {
        Self { result, error: Error::new(ErrorKind::Argument, message) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { result: error.kind().into(), error }
    }
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// `boundary!(out_error, { body })`, or `boundary!({ body })` for functions that give no error object: runs the body,
/// which ends in `Result<()>`.
macro_rules! boundary {
    ($out_error:expr, $body:block) => {
        $crate::boundary::run($out_error, || $body)
    };
    ($body:block) => {
        $crate::boundary::run(std::ptr::null_mut(), || $body)
    };
}

/// For what cannot fail and answers something else than a result. A panic, which would be a mistake of ours, ends the
/// process, as it must where there is no way to tell.
macro_rules! infallible {
    ($body:block) => {
        $body
    };
}

pub(crate) fn run(out_error: *mut *mut siskin_error, body: impl FnOnce() -> Result<()>) -> siskin_result {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return siskin_result::SISKIN_RESULT_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text =
                text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            let error = Error::new(ErrorKind::Poisoned, format!("internal error: {text}"));
            // A payload may panic when it is dropped; it is leaked instead.
            std::mem::forget(panic);
            Failure { result: siskin_result::SISKIN_RESULT_PANIC, error }
        }
    };
    if !out_error.is_null() {
        let Failure { result, error } = failure;
        // Without a place in the table there is no error object but NULL; the result still says what it is.
        let handle =
            handles::insert(Object::Error(Arc::new((result, error)))).unwrap_or(std::ptr::null_mut());
        // SAFETY: the header asks for a pointer that can be written to, or NULL.
        unsafe { out_error.write_unaligned(handle.cast()) };
        return result;
    }
    failure.result
}
