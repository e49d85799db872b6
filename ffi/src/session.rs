//! `siskin_session`: what a model has read.

use crate::args::{Out, SizedOut};
use crate::boundary::Failure;
use crate::error::siskin_error;
use crate::handles::{self, Kind, Object};
use crate::model::{self, siskin_fit, siskin_model};
use crate::options::{self, siskin_session_options};
use crate::owned::{give, siskin_tokens};
use crate::result::siskin_result;
use siskin::SharedSession;

/// A conversation's state. Its functions may be called from any thread; while a job runs on it they answer
/// SISKIN_RESULT_BUSY at once.
#[derive(Debug)]
pub struct siskin_session {
    _private: [u8; 0],
}

/// Starts an empty session. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_new(
    model: *const siskin_model,
    options: *const siskin_session_options,
    out_session: *mut *mut siskin_session,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, options) = unsafe { (Out::new(out_session, "out_session")?, options::session(options)?) };
        give(Object::Session(SharedSession::new(&handles::model(model)?, &options)?), out)
    })
}

/// Frees a session. NULL is fine. A job that runs on it is cancelled and ends by itself: this never waits for it.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_session_free(session: *mut siskin_session) -> siskin_result {
    boundary!({ handles::free(session.cast(), Kind::Session) })
}

/// Fills `fit`, whose `size` must be set, with what the session takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_get_fit(
    session: *const siskin_session,
    fit: *mut siskin_fit,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for as many bytes as `size` says.
        let out = unsafe { SizedOut::new(fit, "fit") }?;
        out.set(&model::fit(handles::session(session)?.fit()));
        Ok(())
    })
}

/// How many tokens the session holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_position(
    session: *const siskin_session,
    out_tokens: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_tokens, "out_tokens") }?;
        out.set(handles::session(session)?.position()?);
        Ok(())
    })
}

/// How many more tokens fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_room(
    session: *const siskin_session,
    out_tokens: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_tokens, "out_tokens") }?;
        out.set(handles::session(session)?.room()?);
        Ok(())
    })
}

/// The tokens that the session holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_tokens(
    session: *const siskin_session,
    out_tokens: *mut *mut siskin_tokens,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_tokens, "out_tokens") }?;
        let tokens = handles::session(session)?.tokens()?;
        give(Object::Tokens(tokens.into_iter().map(|t| t.0).collect()), out)
    })
}

/// Copies the logits of the last token to `logits`, which has room for `capacity` numbers, and says in `out_len` how many
/// there are: one for each row of the model's output, or none if nothing was read since the session was made or truncated.
/// With too little room nothing is copied and the call fails, but `out_len` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_logits(
    session: *const siskin_session,
    logits: *mut f32,
    capacity: usize,
    out_len: *mut usize,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_len, "out_len") }?;
        let all = handles::session(session)?.logits()?;
        out.set(all.len());
        if all.len() > capacity || (logits.is_null() && !all.is_empty()) {
            let message = format!("{} logits do not fit into {capacity}", all.len());
            return Err(Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, message));
        }
        if !all.is_empty() {
            // SAFETY: the header asks for room for `capacity` numbers, which is enough.
            unsafe { std::ptr::copy_nonoverlapping(all.as_ptr().cast::<u8>(), logits.cast(), 4 * all.len()) };
        }
        Ok(())
    })
}

/// Forgets every token from number `tokens` on, and says how many are left: as many, or none if a layer with a window does
/// not remember that far back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_session_truncate(
    session: *mut siskin_session,
    tokens: usize,
    out_left: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_left, "out_left") }?;
        out.set(handles::session(session)?.truncate(tokens)?);
        Ok(())
    })
}
