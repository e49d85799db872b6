//! What a rendering may use up. Each operation pays before it works, so that time and memory are bounded whatever
//! the template says.

use super::{Fault, fault};

#[derive(Debug)]
pub(in crate::chat) struct Budget {
    steps: u64,
    bytes: u64,
}

impl Budget {
    pub(in crate::chat) fn new(steps: u64, bytes: u64) -> Self {
        Self { steps, bytes }
    }

    /// Pays for `n` evaluations (or as much work).
    #[inline]
    pub(super) fn steps(&mut self, n: usize) -> Result<(), Fault> {
        match self.steps.checked_sub(n as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(fault("the template takes too many steps")),
        }
    }

    /// Pays for `n` bytes of new values or output.
    #[inline]
    pub(super) fn bytes(&mut self, n: usize) -> Result<(), Fault> {
        match self.bytes.checked_sub(n as u64) {
            Some(left) => {
                self.bytes = left;
                // Bytes take time too.
                self.steps(n / 64)
            }
            None => Err(fault("the template makes too much text")),
        }
    }
}
