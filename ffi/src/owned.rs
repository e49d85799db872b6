//! `siskin_text` and `siskin_tokens`: answers of any length.

use crate::args::Out;
use crate::boundary::{Failure, Result};
use crate::handles::{self, Kind, Object};
use crate::result::siskin_result;
use std::ffi::c_char;

/// Text that the library made. It is the caller's to free.
#[derive(Debug)]
pub struct siskin_text {
    _private: [u8; 0],
}

/// Tokens that the library made. They are the caller's to free.
#[derive(Debug)]
pub struct siskin_tokens {
    _private: [u8; 0],
}

pub(crate) fn full() -> Failure {
    let message = "there are as many handles as there can be; some should be freed";
    Failure::new(siskin_result::SISKIN_RESULT_TOO_MANY_HANDLES, message)
}

/// Puts `object` into the table and its handle where the caller wants it.
pub(crate) fn give<T>(object: Object, out: Out<*mut T>) -> Result<()> {
    out.set(handles::insert(object).ok_or_else(full)?.cast());
    Ok(())
}

pub(crate) fn give_text(text: String, out: Out<*mut siskin_text>) -> Result<()> {
    give(Object::Text(text.into()), out)
}

/// The text: UTF-8, not terminated by NUL, valid until `text` is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_text_data(
    text: *const siskin_text,
    out_data: *mut *const c_char,
    out_len: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for pointers that can be written to.
        let (data, len) = unsafe { (Out::new(out_data, "out_data")?, Out::new(out_len, "out_len")?) };
        let text = handles::text(text)?;
        data.set(text.as_ptr().cast());
        len.set(text.len());
        Ok(())
    })
}

/// Frees a text. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_text_free(text: *mut siskin_text) -> siskin_result {
    boundary!({ handles::free(text.cast(), Kind::Text) })
}

/// The ids, valid until `tokens` is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_tokens_data(
    tokens: *const siskin_tokens,
    out_ids: *mut *const u32,
    out_len: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for pointers that can be written to.
        let (ids, len) = unsafe { (Out::new(out_ids, "out_ids")?, Out::new(out_len, "out_len")?) };
        let tokens = handles::tokens(tokens)?;
        ids.set(tokens.as_ptr());
        len.set(tokens.len());
        Ok(())
    })
}

/// Frees tokens. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_tokens_free(tokens: *mut siskin_tokens) -> siskin_result {
    boundary!({ handles::free(tokens.cast(), Kind::Tokens) })
}
