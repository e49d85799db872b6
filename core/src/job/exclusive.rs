//! What several owners may hold and one call at a time uses.

use std::sync::{Mutex, PoisonError, TryLockError};

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};

/// Gives what it holds to one call at a time; another meanwhile gets [`Busy`](ErrorKind::Busy), never a wait.
#[derive(Debug)]
pub(super) struct Exclusive<T> {
    held: Mutex<T>,
    /// What errors call it.
    name: &'static str,
    /// Cancels the call that runs, or ran last.
    running: Mutex<CancelToken>,
}

impl<T> Exclusive<T> {
    pub(super) fn new(name: &'static str, held: T) -> Self {
        Self { held: Mutex::new(held), name, running: Mutex::default() }
    }

    /// Calls `f` with what is held and with the token that [`cancel`](Self::cancel) cancels meanwhile.
    ///
    /// # Errors
    /// `Busy` while another call runs; those of `f`.
    pub(super) fn call<R>(&self, f: impl FnOnce(&mut T, CancelToken) -> Result<R>) -> Result<R> {
        let mut held = match self.held.try_lock() {
            Ok(held) => held,
            // Its session, if it is broken, says so itself.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let message = format!("the {} is in use by another call", self.name);
                return Err(Error::new(ErrorKind::Busy, message));
            }
        };
        let cancel = CancelToken::default();
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = cancel.clone();
        f(&mut held, cancel)
    }

    /// Cancels the call that runs, if one does; the next is not touched.
    pub(super) fn cancel(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }
}
