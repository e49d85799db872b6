//! The numbers of results.

use siskin::ErrorKind;
use std::ffi::{CStr, c_char};

/// How a call ended. Numbers are grouped by hundreds, never change and are never used again.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum siskin_result {
    /// It worked.
    SISKIN_RESULT_OK = 0,

    /// A pointer that must not be NULL is.
    SISKIN_RESULT_NULL_POINTER = 100,
    /// A handle that was freed, is of another kind, or never was one.
    SISKIN_RESULT_INVALID_HANDLE = 101,
    /// A value that makes no sense.
    SISKIN_RESULT_INVALID_ARGUMENT = 102,
    /// Text that is not UTF-8.
    SISKIN_RESULT_INVALID_UTF8 = 103,
    /// A struct whose `size` is too small, or one of a newer version that asks for what this version does not know.
    SISKIN_RESULT_STRUCT_SIZE = 104,
    /// The session is in use by a job.
    SISKIN_RESULT_BUSY = 105,
    /// There are as many handles as there can be.
    SISKIN_RESULT_TOO_MANY_HANDLES = 106,

    /// The operating system refused.
    SISKIN_RESULT_IO = 200,
    /// The file is not a well-formed model file.
    SISKIN_RESULT_FORMAT = 201,
    /// Something is larger than this library accepts.
    SISKIN_RESULT_LIMIT = 202,
    /// A valid file of a kind that this version does not run.
    SISKIN_RESULT_UNSUPPORTED = 203,
    /// A key, tensor or template is absent.
    SISKIN_RESULT_MISSING = 204,
    /// A tensor or value does not fit the model.
    SISKIN_RESULT_SHAPE = 205,
    /// The model file changed while it was in use.
    SISKIN_RESULT_FILE_CHANGED = 206,

    /// Text or tokens that the tokenizer cannot handle.
    SISKIN_RESULT_TOKENIZER = 300,
    /// The chat template cannot be parsed or rendered.
    SISKIN_RESULT_TEMPLATE = 301,

    /// The context has no room for what was asked.
    SISKIN_RESULT_CONTEXT_FULL = 400,
    /// Cancelled. A cancelled job is no failure: it ends with SISKIN_STOP_CANCELLED.
    SISKIN_RESULT_CANCELLED = 401,
    /// The model gave something that is not a number.
    SISKIN_RESULT_NUMERIC = 402,
    /// An earlier failure left this object unusable; free it.
    SISKIN_RESULT_POISONED = 403,

    /// A mistake in the library itself. The object may be unusable, the process is fine. Please report it.
    SISKIN_RESULT_PANIC = 900,
}

use siskin_result as R;

impl From<ErrorKind> for siskin_result {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Io => R::SISKIN_RESULT_IO,
            ErrorKind::Format => R::SISKIN_RESULT_FORMAT,
            ErrorKind::Limit => R::SISKIN_RESULT_LIMIT,
            ErrorKind::Unsupported => R::SISKIN_RESULT_UNSUPPORTED,
            ErrorKind::Missing => R::SISKIN_RESULT_MISSING,
            ErrorKind::Shape => R::SISKIN_RESULT_SHAPE,
            ErrorKind::Tokenizer => R::SISKIN_RESULT_TOKENIZER,
            ErrorKind::Template => R::SISKIN_RESULT_TEMPLATE,
            ErrorKind::Argument => R::SISKIN_RESULT_INVALID_ARGUMENT,
            ErrorKind::Busy => R::SISKIN_RESULT_BUSY,
            ErrorKind::ContextFull => R::SISKIN_RESULT_CONTEXT_FULL,
            ErrorKind::Cancelled => R::SISKIN_RESULT_CANCELLED,
            ErrorKind::FileChanged => R::SISKIN_RESULT_FILE_CHANGED,
            ErrorKind::Numeric => R::SISKIN_RESULT_NUMERIC,
            ErrorKind::Poisoned => R::SISKIN_RESULT_POISONED,
            // The compiler does not name a kind that is new here; a test does.
            _ => R::SISKIN_RESULT_PANIC,
        }
    }
}

const NAMES: &[(siskin_result, &CStr)] = &[
    (R::SISKIN_RESULT_OK, c"SISKIN_RESULT_OK"),
    (R::SISKIN_RESULT_NULL_POINTER, c"SISKIN_RESULT_NULL_POINTER"),
    (R::SISKIN_RESULT_INVALID_HANDLE, c"SISKIN_RESULT_INVALID_HANDLE"),
    (R::SISKIN_RESULT_INVALID_ARGUMENT, c"SISKIN_RESULT_INVALID_ARGUMENT"),
    (R::SISKIN_RESULT_INVALID_UTF8, c"SISKIN_RESULT_INVALID_UTF8"),
    (R::SISKIN_RESULT_STRUCT_SIZE, c"SISKIN_RESULT_STRUCT_SIZE"),
    (R::SISKIN_RESULT_BUSY, c"SISKIN_RESULT_BUSY"),
    (R::SISKIN_RESULT_TOO_MANY_HANDLES, c"SISKIN_RESULT_TOO_MANY_HANDLES"),
    (R::SISKIN_RESULT_IO, c"SISKIN_RESULT_IO"),
    (R::SISKIN_RESULT_FORMAT, c"SISKIN_RESULT_FORMAT"),
    (R::SISKIN_RESULT_LIMIT, c"SISKIN_RESULT_LIMIT"),
    (R::SISKIN_RESULT_UNSUPPORTED, c"SISKIN_RESULT_UNSUPPORTED"),
    (R::SISKIN_RESULT_MISSING, c"SISKIN_RESULT_MISSING"),
    (R::SISKIN_RESULT_SHAPE, c"SISKIN_RESULT_SHAPE"),
    (R::SISKIN_RESULT_FILE_CHANGED, c"SISKIN_RESULT_FILE_CHANGED"),
    (R::SISKIN_RESULT_TOKENIZER, c"SISKIN_RESULT_TOKENIZER"),
    (R::SISKIN_RESULT_TEMPLATE, c"SISKIN_RESULT_TEMPLATE"),
    (R::SISKIN_RESULT_CONTEXT_FULL, c"SISKIN_RESULT_CONTEXT_FULL"),
    (R::SISKIN_RESULT_CANCELLED, c"SISKIN_RESULT_CANCELLED"),
    (R::SISKIN_RESULT_NUMERIC, c"SISKIN_RESULT_NUMERIC"),
    (R::SISKIN_RESULT_POISONED, c"SISKIN_RESULT_POISONED"),
    (R::SISKIN_RESULT_PANIC, c"SISKIN_RESULT_PANIC"),
];

/// The name of a result, such as "SISKIN_RESULT_IO"; of an unknown number, "unknown". Never NULL, valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_result_name(result: u32) -> *const c_char {
    infallible!({
        let found = NAMES.iter().find(|(r, _)| *r as u32 == result);
        found.map_or(c"unknown", |(_, name)| name).as_ptr()
    })
}
