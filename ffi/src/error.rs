//! `siskin_error`: why a call did not work, and where.

use crate::args::Out;
use crate::boundary::Result;
use crate::handles::{self, Kind};
use crate::result::siskin_result;
use siskin::Error;
use std::ffi::c_char;

/// Why a call did not work. It is the caller's to free. All its functions may be called from any thread; the texts are
/// valid until it is freed.
#[derive(Debug)]
pub struct siskin_error {
    _private: [u8; 0],
}

/// Writes the text that `part` gives, or NULL and 0 if there is none.
fn give(
    error: *const siskin_error,
    out_data: *mut *const c_char,
    out_len: *mut usize,
    part: impl FnOnce(&Error) -> Option<&str>,
) -> Result<()> {
    // SAFETY: the header asks for pointers that can be written to.
    let (data, len) = unsafe { (Out::new(out_data, "out_data")?, Out::new(out_len, "out_len")?) };
    let error = handles::error(error)?;
    // The text lies in the object, which the table keeps until it is freed.
    let text = part(&error.1);
    data.set(text.map_or(std::ptr::null(), |t| t.as_ptr().cast()));
    len.set(text.map_or(0, str::len));
    Ok(())
}

/// The number that the call returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_error_result(
    error: *const siskin_error,
    out_result: *mut u32,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_result, "out_result") }?;
        out.set(handles::error(error)?.0 as u32);
        Ok(())
    })
}

/// What happened, without where. UTF-8, not terminated by NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_error_message(
    error: *const siskin_error,
    out_data: *mut *const c_char,
    out_len: *mut usize,
) -> siskin_result {
    boundary!({ give(error, out_data, out_len, |e| Some(e.message())) })
}

/// The file concerned; NULL and 0 if none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_error_file(
    error: *const siskin_error,
    out_data: *mut *const c_char,
    out_len: *mut usize,
) -> siskin_result {
    boundary!({ give(error, out_data, out_len, |e| e.file().and_then(std::path::Path::to_str)) })
}

/// The metadata key concerned; NULL and 0 if none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_error_key(
    error: *const siskin_error,
    out_data: *mut *const c_char,
    out_len: *mut usize,
) -> siskin_result {
    boundary!({ give(error, out_data, out_len, Error::key) })
}

/// The tensor concerned; NULL and 0 if none is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_error_tensor(
    error: *const siskin_error,
    out_data: *mut *const c_char,
    out_len: *mut usize,
) -> siskin_result {
    boundary!({ give(error, out_data, out_len, Error::tensor) })
}

/// The byte offset in the file; `*out_known` says whether there is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_error_offset(
    error: *const siskin_error,
    out_offset: *mut u64,
    out_known: *mut bool,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for pointers that can be written to.
        let (offset, known) =
            unsafe { (Out::new(out_offset, "out_offset")?, Out::new(out_known, "out_known")?) };
        let error = handles::error(error)?;
        offset.set(error.1.offset().unwrap_or(0));
        known.set(error.1.offset().is_some());
        Ok(())
    })
}

/// Everything in one line: what happened, the file, key, tensor, offset and the system's own words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_error_describe(
    error: *const siskin_error,
    out_text: *mut *mut crate::owned::siskin_text,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_text, "out_text") }?;
        let text = handles::error(error)?.1.to_string();
        crate::owned::give_text(text, out)
    })
}

/// Frees an error. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_error_free(error: *mut siskin_error) -> siskin_result {
    boundary!({ handles::free(error.cast(), Kind::Error) })
}
