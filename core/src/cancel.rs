//! Stopping a computation from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cancels whatever its session or job is doing. Clone it, send it anywhere; cancelling is one atomic operation,
/// allowed at any time, any number of times, also from a signal handler.
///
/// A cancelled session stays cancelled until [`reset`](Self::reset): a cancel that comes before the work starts
/// counts.
#[derive(Clone, Debug)]
pub struct CancelToken {
    cell: Arc<AtomicU64>,
    /// What the cell holds as long as nobody has cancelled.
    armed: u64,
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::on_cell(Arc::default(), 0)
    }
}

impl CancelToken {
    /// A token on a cell of the caller's, which holds `armed` now: any other value cancels. A table of handles can keep
    /// one cell for each of its places and put a new number into it for each new user.
    pub fn on_cell(cell: Arc<AtomicU64>, armed: u64) -> Self {
        Self { cell, armed }
    }

    /// Asks for the work to stop. It does so within one task of one layer.
    pub fn cancel(&self) {
        let _ = self.swap(self.armed, !self.armed);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cell.load(Ordering::Relaxed) != self.armed
    }

    /// Lets the work go on, or start.
    pub fn reset(&self) {
        let _ = self.swap(!self.armed, self.armed);
    }

    fn swap(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.cell.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_a_new_owner_is_cancelled_for_the_old_one_only() {
        let cell = Arc::new(AtomicU64::new(4));
        let old = CancelToken::on_cell(Arc::clone(&cell), 4);
        assert!(!old.is_cancelled());
        old.cancel();
        assert!(old.is_cancelled());
        old.reset();
        assert!(!old.is_cancelled());
        cell.store(6, Ordering::Relaxed);
        let new = CancelToken::on_cell(cell, 6);
        assert!(old.is_cancelled() && !new.is_cancelled());
        old.cancel();
        old.reset();
        assert!(old.is_cancelled() && !new.is_cancelled(), "an old token cannot touch its successor");
    }
}
