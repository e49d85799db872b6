//! Where files come from, besides paths: descriptors and memory.

use crate::args;
use crate::boundary::{Failure, Result};
use crate::model::siskin_release_fn;
use crate::result::siskin_result;
use siskin::gguf::GgufFile;
#[cfg(not(unix))]
use siskin::{Error, ErrorKind};
use std::ffi::c_void;

#[cfg(unix)]
pub(crate) fn file_from_fd(fd: i32, offset: u64, length: u64) -> Result<GgufFile> {
    use std::os::fd::BorrowedFd;
    if fd < 0 {
        let message = format!("{fd} is no file descriptor");
        return Err(Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, message));
    }
    // SAFETY: not -1; a number that is not open makes the duplication fail, which is told.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(GgufFile::from_fd(fd, offset, length)?)
}

#[cfg(not(unix))]
pub(crate) fn file_from_fd(_: i32, _: u64, _: u64) -> Result<GgufFile> {
    Err(Error::new(ErrorKind::Unsupported, "file descriptors are not supported on this system").into())
}

/// Bytes of the caller's: lent, if there is a function that gives them back, which is called however this ends.
pub(crate) struct Bytes {
    data: *const u8,
    len: usize,
    lent: Option<Lent>,
}

impl Bytes {
    pub(crate) fn new(
        data: *const u8,
        len: usize,
        release: siskin_release_fn,
        userdata: *mut c_void,
    ) -> Self {
        Self { data, len, lent: release.map(|release| Lent { data, len, release, userdata }) }
    }

    /// The file that they are.
    ///
    /// # Safety
    /// As the header says of siskin_model_open_bytes.
    pub(crate) unsafe fn file(self) -> Result<GgufFile> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { args::slice(self.data, self.len, "data") }?;
        Ok(match self.lent {
            Some(lent) => GgufFile::from_shared(Box::new(lent)),
            None => GgufFile::from_bytes(bytes.to_vec()),
        }?)
    }
}

/// Memory of the caller's; tells when it is not used any more.
struct Lent {
    data: *const u8,
    len: usize,
    release: unsafe extern "C" fn(*mut c_void),
    userdata: *mut c_void,
}

// SAFETY: the bytes do not change as long as it lives, and the header says that `release` may come on any thread.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[]; // `data` may be NULL then
        }
        // SAFETY: it was checked, when it was handed over, that this is a possible slice; the caller keeps it as it is
        // until `release`.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: the caller gave the function for this.
        unsafe { (self.release)(self.userdata) };
    }
}
