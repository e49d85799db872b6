//! What a model thinks before it answers: dim, on standard error, or collected.

use crate::args::Reasoning;
use std::io::{IsTerminal, Write};

/// Takes reasoning as it comes.
pub(crate) struct Aside {
    text: String,
    shown: bool,
    dim: bool,
    /// Something is on the screen that the answer must not follow on the same line.
    open: bool,
}

impl Aside {
    /// `collect`: nothing is shown, whatever `how` says.
    pub(crate) fn new(how: Reasoning, collect: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let shown = !collect
            && match how {
                Reasoning::Auto => terminal,
                Reasoning::Show => true,
                Reasoning::Hide => false,
            };
        Self { text: String::new(), shown, dim: terminal, open: false }
    }

    /// Takes the next piece. That standard error is closed is no reason to end an answer.
    pub(crate) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        if self.shown && !piece.is_empty() {
            let start = if self.dim && !self.open { "\x1b[2m" } else { "" };
            self.open = true;
            let _ = write!(std::io::stderr(), "{start}{piece}");
        }
    }

    /// Something else follows.
    pub(crate) fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            let end = if self.dim { "\x1b[0m" } else { "" };
            let _ = writeln!(std::io::stderr(), "{end}");
        }
    }

    /// All of it.
    pub(crate) fn into_text(mut self) -> String {
        self.close();
        std::mem::take(&mut self.text)
    }
}

impl Drop for Aside {
    /// Leaves no terminal dim, also after a failure.
    fn drop(&mut self) {
        self.close();
    }
}
