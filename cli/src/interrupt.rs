//! Ctrl-C: cancels what runs through the session's token. A second one ends the program.

use crate::Result;
use crate::output::{CANCELLED, FAILED, Failure};
use siskin::CancelToken;
use std::sync::{Arc, Mutex, PoisonError};

/// Knows what Ctrl-C is to cancel at the moment.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<Mutex<Option<CancelToken>>>);

impl Interrupt {
    /// Takes over Ctrl-C (and the polite request to end).
    pub(crate) fn install() -> Result<Self> {
        let interrupt = Self::default();
        let handle = interrupt.clone();
        ctrlc::set_handler(move || match &*handle.lock() {
            Some(token) if !token.is_cancelled() => token.cancel(),
            _ => std::process::exit(CANCELLED.into()),
        })
        .map_err(|e| Failure::Other(format!("cannot handle Ctrl-C: {e}"), FAILED))?;
        Ok(interrupt)
    }

    /// From now on Ctrl-C cancels this; without one it ends the program.
    pub(crate) fn watch(&self, token: Option<CancelToken>) {
        *self.lock() = token;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<CancelToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
