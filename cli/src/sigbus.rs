//! What to do when the mapped model file is truncated under us.
//!
//! Reading a mapped page that the file no longer has raises SIGBUS, which would kill the program without a word. The
//! handler maps a page of zeros there instead and returns: the pass goes on with wrong weights, ends, and the session
//! then sees that the file changed and gives the error; nothing computed from the zeros comes out. If that does not
//! work, the program says so and ends with code 74.
#![allow(unsafe_code, reason = "signal handlers and mmap have no safe interface in std")]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Set once before the handler, so that it need not ask.
static PAGE: AtomicUsize = AtomicUsize::new(0);
/// Pages replaced. A truncated model has at most this many pages of 4 KiB; more means that something else is wrong.
static REPLACED: AtomicU32 = AtomicU32::new(0);
const MOST: u32 = 1 << 26;

/// Installs the handler. If the system refuses, SIGBUS stays deadly.
pub(crate) fn install() {
    // SAFETY: sysconf reads a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
    // SAFETY: an all-zero sigaction is a valid one (default action, empty mask).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `action` is initialised, and the handler calls async-signal-safe functions only (mmap, write, _exit).
    unsafe { libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) };
}

extern "C" fn handler(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let page = PAGE.load(Ordering::Relaxed);
    // SAFETY: the system passes a valid siginfo to a SA_SIGINFO handler, and for SIGBUS it holds the address.
    let address = unsafe { (*info).si_addr() } as usize;
    if address != 0 && REPLACED.fetch_add(1, Ordering::Relaxed) < MOST {
        let start = (address & !(page - 1)) as *mut libc::c_void;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: replaces exactly the page whose access just failed, which therefore holds no data that anyone could
        // have read; it lies in a mapping of this process, or the access would have been a SIGSEGV.
        let mapped = unsafe { libc::mmap(start, page, libc::PROT_READ, flags, -1, 0) };
        if mapped != libc::MAP_FAILED {
            return;
        }
    }
    let text = b"siskin: error: a mapped file was truncated while it was in use\n";
    // SAFETY: both are async-signal-safe; the buffer is static.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(74);
    }
}
