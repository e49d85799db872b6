//! Stopping a computation from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cancels whatever its session is doing. Clone it, send it anywhere; cancelling is one atomic store, allowed at any
/// time, any number of times, also from a signal handler.
///
/// A cancelled session stays cancelled until [`reset`](Self::reset): a cancel that comes before the work starts
/// counts.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the session to stop. It does so within one task of one layer.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the session was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets the session work again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
