//! Fill in the middle: what goes between two texts.

use crate::args::{self, Out, Sized32, SizedOut};
use crate::boundary::Result;
use crate::error::siskin_error;
use crate::handles;
use crate::job::{self, siskin_job};
use crate::model::siskin_model;
use crate::options::{self, siskin_generate_options};
use crate::result::siskin_result;
use crate::session::siskin_session;
use siskin::{FimCut, FimFile, FimRequest};
use std::ffi::c_char;

/// A file of a project that the model is to know about. Texts are UTF-8 and are read during the call only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_fim_file {
    /// sizeof(siskin_fim_file)
    pub size: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Its path within the project.
    pub path: *const c_char,
    pub path_len: usize,
    /// What is in it.
    pub text: *const c_char,
    pub text_len: usize,
}

/// What is to be completed. Texts are UTF-8 and are read during the call only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_fim_request {
    /// sizeof(siskin_fim_request)
    pub size: u32,
    /// Must be 0.
    pub reserved: u32,
    /// The text before the place.
    pub prefix: *const c_char,
    pub prefix_len: usize,
    /// The text behind it.
    pub suffix: *const c_char,
    pub suffix_len: usize,
    /// Where the text is from, within its project; NULL for unknown.
    pub path: *const c_char,
    pub path_len: usize,
    /// Name of the project; NULL for none.
    pub repo: *const c_char,
    pub repo_len: usize,
    /// `file_count` other files of the project, the most important one last; all must have the same size.
    pub files: *const siskin_fim_file,
    pub file_count: usize,
}

/// What a prompt had no room for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_fim_cut {
    /// sizeof(siskin_fim_cut)
    pub size: u32,
    /// 0
    pub reserved: u32,
    /// Tokens at the start of the prefix.
    pub prefix_tokens: u64,
    /// Tokens at the end of the suffix.
    pub suffix_tokens: u64,
    /// Files, the first ones.
    pub files: u64,
}

// SAFETY: repr(C), `size` first, and only numbers and pointers.
unsafe impl Sized32 for siskin_fim_request {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_fim_file {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_fim_cut {}

const NO_REQUEST: siskin_fim_request = siskin_fim_request {
    size: size_of::<siskin_fim_request>() as u32,
    reserved: 0,
    prefix: std::ptr::null(),
    prefix_len: 0,
    suffix: std::ptr::null(),
    suffix_len: 0,
    path: std::ptr::null(),
    path_len: 0,
    repo: std::ptr::null(),
    repo_len: 0,
    files: std::ptr::null(),
    file_count: 0,
};

const NO_FILE: siskin_fim_file = siskin_fim_file {
    size: size_of::<siskin_fim_file>() as u32,
    reserved: 0,
    path: std::ptr::null(),
    path_len: 0,
    text: std::ptr::null(),
    text_len: 0,
};

/// # Safety
/// As the header says of siskin_fim_request.
unsafe fn request(ptr: *const siskin_fim_request) -> Result<FimRequest> {
    // SAFETY: the caller's promise, here and below.
    unsafe {
        args::given(ptr, "the request")?;
        let r = args::sized(ptr, NO_REQUEST, "the request")?;
        args::reserved(r.reserved, "the request")?;
        let text = |ptr, len, what| args::text(ptr, len, what).map(str::to_owned);
        let optional = |ptr: *const c_char, len, what| match ptr.is_null() {
            true => Ok(None),
            false => text(ptr, len, what).map(Some),
        };
        let files = args::each(r.files, r.file_count, NO_FILE, "files")?.into_iter().map(|f| {
            args::reserved(f.reserved, "a file")?;
            let path = text(f.path, f.path_len, "a file's path")?;
            Ok(FimFile { path, text: text(f.text, f.text_len, "a file's text")? })
        });
        Ok(FimRequest {
            prefix: text(r.prefix, r.prefix_len, "the prefix")?,
            suffix: text(r.suffix, r.suffix_len, "the suffix")?,
            path: optional(r.path, r.path_len, "the path")?,
            repo: optional(r.repo, r.repo_len, "the repo")?,
            files: files.collect::<Result<_>>()?,
        })
    }
}

/// Whether the model was trained to fill in the middle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_fills_in(
    model: *const siskin_model,
    out_fills_in: *mut bool,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_fills_in, "out_fills_in") }?;
        out.set(handles::model(model)?.fills_in());
        Ok(())
    })
}

/// Prepares what goes between the prefix and the suffix of `request`, as siskin_job_new prepares an answer. The session is
/// that text's from then on: what it holds of the prompt already is not computed again, the rest is forgotten. If there is
/// more text than room, its far ends are cut: `cut`, whose `size` must be set, says what; it may be NULL.
/// SISKIN_RESULT_UNSUPPORTED if the model was not trained for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_job_new_fim(
    session: *mut siskin_session,
    request: *const siskin_fim_request,
    options: *const siskin_generate_options,
    cut: *mut siskin_fim_cut,
    out_job: *mut *mut siskin_job,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, request, options) =
            unsafe { (Out::new(out_job, "out_job")?, self::request(request)?, options::generate(options)?) };
        let out_cut = match cut.is_null() {
            true => None,
            // SAFETY: the header asks for as many bytes as `size` says.
            false => Some(unsafe { SizedOut::new(cut, "cut") }?),
        };
        let session = handles::session(session)?;
        let mut cut = FimCut::default();
        job::give(out, |cancel| {
            let (job, left_out) = session.fim_with(&request, options, cancel)?;
            cut = left_out;
            Ok(job)
        })?;
        if let Some(out) = out_cut {
            out.set(&siskin_fim_cut {
                size: 0,
                reserved: 0,
                prefix_tokens: cut.prefix_tokens as u64,
                suffix_tokens: cut.suffix_tokens as u64,
                files: cut.files as u64,
            });
        }
        Ok(())
    })
}
